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

static void printLaunches(std::ostream &out, const EngineInfo &info,
                          const EntryInfo &entry) {
  for (size_t i = 0; i < entry.launches.size(); ++i) {
    const LaunchInfo &l = entry.launches[i];
    out << "  launch " << i << " " << printable(l.layer) << " ("
        << printable(l.op) << ") "
        << (l.kind == LaunchKind::Copy
                ? "copy"
                : printable(info.kernels[l.kernel].symbol) + " extent " +
                      std::to_string(l.extent) + " grain " +
                      std::to_string(l.grain))
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
  json.field("bytes", l.bytes).field("flops", l.flops).endObject();
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
