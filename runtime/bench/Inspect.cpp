// The verb inspect: what is in an engine file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Execution.h"

#include "nibble/rt/json_writer.h"

#include <iomanip>

using namespace nibble::rt;
using namespace nibble::rt::cli;

static void printPorts(std::ostream &out, const char *what,
                       const std::vector<PortInfo> &ports) {
  for (const PortInfo &port : ports)
    out << "  " << what << " " << printable(port.name) << " "
        << describePort(port) << "\n";
}

static std::string print(Dim3 d) {
  return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" +
         std::to_string(d.z);
}

static std::string describe(const GpuArgInfo &arg, const LaunchInfo &launch,
                            const EntryInfo &entry) {
  if (arg.kind == GpuArgKind::Bytes)
    return std::to_string(arg.bytes.size()) + " bytes";
  std::string text = arg.kind == GpuArgKind::TensorMap ? "map of " : "";
  text += printable(entry.values[launch.args[arg.arg]].name);
  if (arg.offset)
    text += "+" + std::to_string(arg.offset);
  if (!arg.map)
    return text;
  text += " (";
  for (size_t i = 0; i < arg.map->sizes.size(); ++i)
    text += (i ? "x" : "") + std::to_string(arg.map->sizes[i]);
  text += ", box ";
  for (size_t i = 0; i < arg.map->box.size(); ++i)
    text += (i ? "x" : "") + std::to_string(arg.map->box[i]);
  return text + ")";
}

/// "grid 4x5x1 block 128x1x1 (map of x (50x37, box 16x8), y, 4 bytes)".
static std::string describeWork(const LaunchInfo &launch,
                                const EntryInfo &entry) {
  if (!launch.gpu)
    return "extent " + std::to_string(launch.extent) + " grain " +
           std::to_string(launch.grain);
  const GpuLaunchInfo &gpu = *launch.gpu;
  std::string text = "grid " + print(gpu.grid) + " block " + print(gpu.block);
  if (gpu.cluster.count() > 1)
    text += " cluster " + print(gpu.cluster);
  if (gpu.sharedBytes)
    text += " shared " + std::to_string(gpu.sharedBytes);
  text += gpu.overlap ? " overlap (" : " (";
  for (size_t i = 0; i < gpu.args.size(); ++i)
    text += (i ? ", " : "") + describe(gpu.args[i], launch, entry);
  return text + ")";
}

static void printLaunches(std::ostream &out, const EngineInfo &info,
                          const EntryInfo &entry) {
  for (size_t i = 0; i < entry.launches.size(); ++i) {
    const LaunchInfo &l = entry.launches[i];
    out << "  launch " << i << " " << printable(l.layer) << " ("
        << printable(l.op) << ") "
        << (l.kind == LaunchKind::Copy
                ? "copy"
                : printable(info.kernels[l.kernel].symbol) + " " +
                      describeWork(l, entry))
        << (l.scratchBytes ? " scratch " + std::to_string(l.scratchBytes) : "")
        << "\n";
  }
}

static void printText(std::ostream &out, const Engine &engine, bool launches) {
  const EngineInfo &info = engine.info();
  out << "engine     " << engine.path() << ", " << engine.fileSize()
      << " bytes, format version " << info.version << "\n"
      << "target     " << printable(info.target) << "\n"
      << "made by    " << printable(info.toolVersion) << "\n"
      << "model      " << printable(info.model) << " "
      << printable(info.modelHash) << "\n"
      << "command    " << printable(info.command) << "\n"
      << "code       " << info.code.size() << " blobs, " << info.kernels.size()
      << " kernels\n"
      << "constants  " << info.constants.size() << ", " << info.constantBytes()
      << " bytes\n";
  if (!info.cpuFeatures.empty()) {
    out << "needs      ";
    for (std::string_view feature : info.cpuFeatures)
      out << printable(feature) << " ";
    out << "\n";
  }
  printPorts(out, "state", info.states);
  for (const EntryInfo &entry : info.entries) {
    out << "entry point " << printable(entry.name) << ": "
        << entry.launches.size() << " launches, arena " << entry.arenaSize
        << " bytes\n";
    printPorts(out, "input", entry.inputs);
    printPorts(out, "output", entry.outputs);
    if (launches)
      printLaunches(out, info, entry);
  }
}

static void writePorts(JsonWriter &json, const char *name,
                       const std::vector<PortInfo> &ports) {
  json.key(name).beginArray();
  for (const PortInfo &port : ports) {
    json.beginObject().field("name", port.name).field("dtype", port.dtype);
    json.key("shape").beginArray();
    for (int64_t extent : port.shape)
      json.value(extent);
    json.endArray().field("bytes", port.byteSize).endObject();
  }
  json.endArray();
}

static void writeDim(JsonWriter &json, const char *name, Dim3 d) {
  json.key(name).beginArray().value(uint64_t(d.x));
  json.value(uint64_t(d.y)).value(uint64_t(d.z)).endArray();
}

template <typename T>
static void writeNumbers(JsonWriter &json, const char *name,
                         Span<const T> numbers) {
  json.key(name).beginArray();
  for (T number : numbers)
    json.value(uint64_t(number));
  json.endArray();
}

static void writeMap(JsonWriter &json, const TensorMapInfo &map) {
  json.key("map").beginObject();
  json.field("type", uint64_t(map.type));
  writeNumbers(json, "sizes", map.sizes);
  writeNumbers(json, "strides", map.strides);
  writeNumbers(json, "box", map.box);
  writeNumbers(json, "element_strides", map.elementStrides);
  json.field("interleave", uint64_t(map.interleave));
  json.field("swizzle", uint64_t(map.swizzle));
  json.field("l2_promotion", uint64_t(map.l2Promotion));
  json.field("fill", uint64_t(map.fill)).endObject();
}

static void writeGpu(JsonWriter &json, const GpuLaunchInfo &gpu) {
  static const char *const kKinds[] = {"pointer", "bytes", "tensor_map"};
  json.key("gpu").beginObject();
  writeDim(json, "grid", gpu.grid);
  writeDim(json, "block", gpu.block);
  writeDim(json, "cluster", gpu.cluster);
  json.field("shared_bytes", uint64_t(gpu.sharedBytes));
  json.field("overlap", gpu.overlap);
  json.key("params").beginArray();
  for (const GpuArgInfo &arg : gpu.args) {
    json.beginObject().field("kind", kKinds[int(arg.kind)]);
    if (arg.kind == GpuArgKind::Bytes)
      writeNumbers(json, "bytes", arg.bytes);
    else
      json.field("arg", uint64_t(arg.arg)).field("offset", arg.offset);
    if (arg.map)
      writeMap(json, *arg.map);
    json.endObject();
  }
  json.endArray().endObject();
}

static void writeLaunch(JsonWriter &json, const EngineInfo &info,
                        const LaunchInfo &l) {
  bool copy = l.kind == LaunchKind::Copy;
  json.beginObject().field("layer", l.layer).field("op", l.op);
  json.field("kernel",
             copy ? std::string_view("copy") : info.kernels[l.kernel].symbol);
  json.key("args").beginArray();
  for (uint32_t arg : l.args)
    json.value(arg);
  json.endArray().field("results", l.results);
  json.field("extent", l.extent).field("grain", l.grain);
  json.field("scratch_bytes", l.scratchBytes);
  json.field("bytes", l.bytes).field("flops", l.flops);
  if (l.gpu)
    writeGpu(json, *l.gpu);
  json.endObject();
}

static void writeValue(JsonWriter &json, const ValueInfo &value) {
  json.beginObject().field("name", value.name).field("dtype", value.dtype);
  json.key("shape").beginArray();
  for (int64_t extent : value.shape)
    json.value(extent);
  json.endArray().field("storage", storageName(value.storage));
  json.field("index", value.index).field("offset", value.offset);
  json.field("bytes", value.byteSize).endObject();
}

static void writeEntry(JsonWriter &json, const EngineInfo &info,
                       const EntryInfo &entry, bool launches) {
  json.beginObject().field("name", entry.name);
  json.field("arena_bytes", entry.arenaSize);
  json.field("launch_count", uint64_t(entry.launches.size()));
  writePorts(json, "inputs", entry.inputs);
  writePorts(json, "outputs", entry.outputs);
  if (launches) {
    json.key("values").beginArray();
    for (const ValueInfo &value : entry.values)
      writeValue(json, value);
    json.endArray().key("launches").beginArray();
    for (const LaunchInfo &launch : entry.launches)
      writeLaunch(json, info, launch);
    json.endArray();
  }
  json.endObject();
}

static void writeBlobs(JsonWriter &json, const char *name,
                       const std::vector<BlobInfo> &blobs, bool kinds) {
  json.key(name).beginArray();
  for (const BlobInfo &blob : blobs) {
    json.beginObject().field("name", blob.name);
    if (kinds)
      json.field("kind", codeKindName(blob.kind));
    char hash[20];
    std::snprintf(hash, sizeof(hash), "%016llx",
                  static_cast<unsigned long long>(blob.hash));
    json.field("offset", blob.offset).field("bytes", blob.size);
    json.field("xxh3", hash).endObject();
  }
  json.endArray();
}

static void printJson(std::ostream &out, const Engine &engine, bool launches) {
  const EngineInfo &info = engine.info();
  JsonWriter json;
  json.beginObject().field("schema", "nibble.inspect/1");
  json.field("file", engine.path()).field("bytes", engine.fileSize());
  json.field("format_version", info.version).field("target", info.target);
  json.field("tool_version", info.toolVersion).field("model", info.model);
  json.field("model_hash", info.modelHash).field("command", info.command);
  json.field("constant_bytes", info.constantBytes());
  json.key("cpu_features").beginArray();
  for (std::string_view feature : info.cpuFeatures)
    json.value(feature);
  json.endArray();
  writeBlobs(json, "code", info.code, true);
  writeBlobs(json, "constants", info.constants, false);
  json.key("kernels").beginArray();
  for (const KernelInfo &kernel : info.kernels)
    json.value(kernel.symbol);
  json.endArray();
  writePorts(json, "states", info.states);
  json.key("entries").beginArray();
  for (const EntryInfo &entry : info.entries)
    writeEntry(json, info, entry, launches);
  json.endArray().endObject();
  out << json.str();
}

int cli::inspect(const InspectOptions &options, Streams streams) {
  auto engine = Engine::load(options.file);
  if (!engine.ok())
    return fail(engine.status(), streams);
  if (options.json)
    printJson(streams.data, **engine, options.launches);
  else
    printText(streams.data, **engine, options.launches);
  if (!options.check)
    return 0;
  Status status = (*engine)->checkBlobs();
  if (!status.ok())
    return fail(status, streams);
  streams.talk << "all hashes match\n";
  return 0;
}
