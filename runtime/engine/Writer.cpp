// EngineWriter: streams blobs to disk, then writes metadata and header.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/engine_writer.h"

#include "BlobFile.h"
#include "Validate.h"
#include "nibble/rt/dtype.h"
#include "nibble/rt/schema/engine_generated.h"

#include <algorithm>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

namespace {
/// A blob that is in the file already.
struct Written {
  std::string name;
  CodeKind kind = CodeKind::CpuObject;
  uint32_t alternative = kNoCode;
  uint64_t offset = 0, size = 0, hash = 0;
};
} // namespace

struct EngineWriter::Impl {
  BlobFile file;
  std::string target, toolVersion, report;
  SourceDesc source;
  std::vector<std::string> cpuFeatures;
  std::vector<Written> code, constants;
  std::vector<std::pair<std::string, uint32_t>> kernels;
  std::vector<PortDesc> states;
  std::vector<EntryDesc> entries;

  Result<uint32_t>
  addBlob(std::vector<Written> &list, Written blob, uint64_t alignment,
          const std::function<Status(const Append &)> &produce);
  Offset<fb::Engine> build(FlatBufferBuilder &b, uint64_t blobsHash) const;
  uint64_t blobsHash() const;
};

EngineWriter::EngineWriter() : impl(std::make_unique<Impl>()) {}
EngineWriter::~EngineWriter() = default;

Status EngineWriter::open(const std::string &path, const std::string &target) {
  if (target.empty() || target.size() >= sizeof(EngineHeader::target))
    return error(Code::InvalidArgument,
                 "engine target '%s': wanted 1 to 15 characters",
                 target.c_str());
  impl->target = target;
  NIBBLE_RETURN_IF_ERROR(impl->file.open(path));
  // Room for the header, which finish() writes.
  static const char page[kEnginePage] = {};
  return impl->file.append(page, sizeof(page));
}

void EngineWriter::setToolVersion(std::string version) {
  impl->toolVersion = std::move(version);
}
void EngineWriter::setSource(SourceDesc source) {
  impl->source = std::move(source);
}
void EngineWriter::setCpuFeatures(std::vector<std::string> features) {
  impl->cpuFeatures = std::move(features);
}
void EngineWriter::setReport(std::string json) {
  impl->report = std::move(json);
}

Result<uint32_t> EngineWriter::Impl::addBlob(
    std::vector<Written> &list, Written blob, uint64_t alignment,
    const std::function<Status(const Append &)> &produce) {
  if (!file.isOpen())
    return error(Code::InvalidArgument, "the engine writer is not open");
  NIBBLE_RETURN_IF_ERROR(file.pad(alignment));
  blob.offset = file.size() - kEnginePage;
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  auto append = [&](const void *data, uint64_t size) -> Status {
    XXH3_64bits_update(&state, data, size);
    return file.append(data, size);
  };
  NIBBLE_RETURN_IF_ERROR(produce(append).withContext(blob.name));
  uint64_t written = file.size() - kEnginePage - blob.offset;
  if (written != blob.size)
    return error(Code::InvalidArgument,
                 "'%s': announced %llu bytes, but wrote %llu",
                 blob.name.c_str(), static_cast<unsigned long long>(blob.size),
                 static_cast<unsigned long long>(written));
  blob.hash = XXH3_64bits_digest(&state);
  list.push_back(std::move(blob));
  return static_cast<uint32_t>(list.size() - 1);
}

Result<uint32_t> EngineWriter::addCode(CodeKind kind, const std::string &name,
                                       const void *data, uint64_t size,
                                       uint32_t alternative) {
  Written blob;
  blob.name = name;
  blob.kind = kind;
  blob.alternative = alternative;
  blob.size = size;
  return impl->addBlob(
      impl->code, std::move(blob), kEnginePage,
      [&](const Append &append) { return append(data, size); });
}

Result<uint32_t> EngineWriter::addKernel(const std::string &symbol,
                                         uint32_t code) {
  impl->kernels.emplace_back(symbol, code);
  return static_cast<uint32_t>(impl->kernels.size() - 1);
}

Result<uint32_t> EngineWriter::addConstant(const std::string &name,
                                           const void *data, uint64_t size) {
  return addConstant(name, size,
                     [&](const Append &append) { return append(data, size); });
}

Result<uint32_t> EngineWriter::addConstant(
    const std::string &name, uint64_t size,
    const std::function<Status(const Append &)> &produce) {
  Written blob;
  blob.name = name;
  blob.size = size;
  // Small constants share pages: a model has hundreds of biases.
  uint64_t alignment = size < kEnginePage ? kValueAlignment : kEnginePage;
  return impl->addBlob(impl->constants, std::move(blob), alignment, produce);
}

/// Fills in the linear size.
template <typename Desc> static Status completeSize(Desc &desc) {
  if (desc.byteSize)
    return Status();
  Result<DType> type = parseDType(desc.dtype);
  if (!type.ok())
    return Status(type.status()).withContext("'" + desc.name + "'");
  Result<StorageLayout> layout =
      storageLayout(*type, desc.shape.data(), desc.shape.size());
  if (!layout.ok())
    return Status(layout.status()).withContext("'" + desc.name + "'");
  desc.byteSize = layout->total;
  return Status();
}

Result<uint32_t> EngineWriter::addState(PortDesc state) {
  NIBBLE_RETURN_IF_ERROR(completeSize(state));
  impl->states.push_back(std::move(state));
  return static_cast<uint32_t>(impl->states.size() - 1);
}

Result<uint32_t> EngineWriter::addEntry(EntryDesc entry) {
  for (std::vector<PortDesc> *ports : {&entry.inputs, &entry.outputs})
    for (PortDesc &port : *ports)
      NIBBLE_RETURN_IF_ERROR(completeSize(port));
  for (ValueDesc &value : entry.values)
    NIBBLE_RETURN_IF_ERROR(completeSize(value));
  impl->entries.push_back(std::move(entry));
  return static_cast<uint32_t>(impl->entries.size() - 1);
}

// In all builders one statement per part: the order in which arguments are
// evaluated is unspecified, and the bytes must not depend on the compiler.

static Offset<fb::Port> buildPort(FlatBufferBuilder &b, const PortDesc &port) {
  auto name = b.CreateString(port.name);
  auto dtype = b.CreateSharedString(port.dtype);
  auto shape = b.CreateVector(port.shape);
  return fb::CreatePort(b, name, dtype, shape, port.byteSize);
}

static Offset<fb::Value> buildValue(FlatBufferBuilder &b,
                                    const ValueDesc &value) {
  auto name = b.CreateSharedString(value.name);
  auto dtype = b.CreateSharedString(value.dtype);
  auto shape = b.CreateVector(value.shape);
  return fb::CreateValue(b, name, dtype, shape, value.byteSize,
                         static_cast<fb::Storage>(value.storage), value.index,
                         value.offset);
}

static Offset<fb::TensorMap> buildMap(FlatBufferBuilder &b,
                                      const TensorMapDesc &map) {
  auto sizes = b.CreateVector(map.sizes);
  auto strides = b.CreateVector(map.strides);
  auto box = b.CreateVector(map.box);
  auto elementStrides = b.CreateVector(map.elementStrides);
  return fb::CreateTensorMap(b, map.type, sizes, strides, box, elementStrides,
                             map.interleave, map.swizzle, map.l2Promotion,
                             map.fill);
}

static Offset<fb::GpuArg> buildGpuArg(FlatBufferBuilder &b,
                                      const GpuArgDesc &arg) {
  Offset<flatbuffers::Vector<uint8_t>> bytes;
  Offset<fb::TensorMap> map;
  if (arg.kind == GpuArgKind::Bytes)
    bytes = b.CreateVector(arg.bytes);
  if (arg.kind == GpuArgKind::TensorMap)
    map = buildMap(b, arg.map);
  return fb::CreateGpuArg(b, static_cast<fb::GpuArgKind>(arg.kind), arg.arg,
                          arg.offset, bytes, map);
}

static fb::Dim3 dim3(Dim3 d) { return fb::Dim3(d.x, d.y, d.z); }

static Offset<fb::GpuLaunch> buildGpu(FlatBufferBuilder &b,
                                      const GpuLaunchDesc &gpu) {
  std::vector<Offset<fb::GpuArg>> offsets;
  for (const GpuArgDesc &arg : gpu.args)
    offsets.push_back(buildGpuArg(b, arg));
  auto args = b.CreateVector(offsets);
  fb::Dim3 grid = dim3(gpu.grid), block = dim3(gpu.block),
           cluster = dim3(gpu.cluster);
  return fb::CreateGpuLaunch(b, &grid, &block, &cluster, gpu.sharedBytes, args,
                             gpu.overlap);
}

static Offset<fb::Launch> buildLaunch(FlatBufferBuilder &b,
                                      const LaunchDesc &l) {
  auto args = b.CreateVector(l.args);
  auto layer = b.CreateSharedString(l.layer);
  auto op = b.CreateSharedString(l.op);
  Offset<fb::GpuLaunch> gpu;
  if (l.gpu)
    gpu = buildGpu(b, *l.gpu);
  return fb::CreateLaunch(b, static_cast<fb::LaunchKind>(l.kind), l.kernel,
                          args, l.results, l.extent, l.grain,
                          static_cast<fb::Split>(l.split), l.scratchBytes,
                          layer, op, l.bytes, l.flops, gpu);
}

/// A vector of tables, built in order.
template <typename T, typename Desc, typename Build>
static Offset<flatbuffers::Vector<Offset<T>>>
buildAll(FlatBufferBuilder &b, const std::vector<Desc> &descs, Build build) {
  std::vector<Offset<T>> offsets;
  for (const Desc &desc : descs)
    offsets.push_back(build(b, desc));
  return b.CreateVector(offsets);
}

static Offset<fb::Entry> buildEntry(FlatBufferBuilder &b,
                                    const EntryDesc &entry) {
  auto name = b.CreateString(entry.name);
  auto inputs = buildAll<fb::Port>(b, entry.inputs, buildPort);
  auto outputs = buildAll<fb::Port>(b, entry.outputs, buildPort);
  auto values = buildAll<fb::Value>(b, entry.values, buildValue);
  auto launches = buildAll<fb::Launch>(b, entry.launches, buildLaunch);
  return fb::CreateEntry(b, name, inputs, outputs, values, launches,
                         entry.arenaSize);
}

static Offset<fb::Code> buildCode(FlatBufferBuilder &b, const Written &code) {
  fb::Bytes bytes(code.offset, code.size, code.hash);
  return fb::CreateCode(b, b.CreateString(code.name),
                        static_cast<fb::CodeKind>(code.kind), &bytes,
                        code.alternative);
}

static Offset<fb::Constant> buildConstant(FlatBufferBuilder &b,
                                          const Written &constant) {
  fb::Bytes bytes(constant.offset, constant.size, constant.hash);
  return fb::CreateConstant(b, b.CreateString(constant.name), &bytes);
}

static Offset<fb::Kernel>
buildKernel(FlatBufferBuilder &b,
            const std::pair<std::string, uint32_t> &kernel) {
  return fb::CreateKernel(b, b.CreateString(kernel.first), kernel.second);
}

Offset<fb::Engine> EngineWriter::Impl::build(FlatBufferBuilder &b,
                                             uint64_t blobsHash) const {
  auto version = b.CreateString(toolVersion);
  auto targetName = b.CreateString(target);
  auto model = b.CreateString(source.model);
  auto modelHash = b.CreateString(source.modelHash);
  auto command = b.CreateString(source.command);
  auto sourceTable = fb::CreateSource(b, model, modelHash, command);
  auto codeTables = buildAll<fb::Code>(b, code, buildCode);
  auto constantTables = buildAll<fb::Constant>(b, constants, buildConstant);
  auto kernelTables = buildAll<fb::Kernel>(b, kernels, buildKernel);
  auto stateTables = buildAll<fb::Port>(b, states, buildPort);
  auto entryTables = buildAll<fb::Entry>(b, entries, buildEntry);
  auto reportText = b.CreateString(report);
  auto features = b.CreateVectorOfStrings(cpuFeatures);
  return fb::CreateEngine(b, version, targetName, sourceTable, codeTables,
                          constantTables, kernelTables, stateTables,
                          entryTables, reportText, blobsHash, features);
}

uint64_t EngineWriter::Impl::blobsHash() const {
  EngineInfo info;
  auto records = [](const std::vector<Written> &from,
                    std::vector<BlobInfo> &to) {
    for (const Written &blob : from)
      to.push_back({blob.name, blob.kind, blob.alternative, blob.offset,
                    blob.size, blob.hash});
  };
  records(code, info.code);
  records(constants, info.constants);
  return hashBlobRecords(info);
}

Status EngineWriter::finish() {
  if (!impl->file.isOpen())
    return error(Code::InvalidArgument, "the engine writer is not open");
  NIBBLE_RETURN_IF_ERROR(impl->file.pad(kEnginePage));
  EngineHeader header = {};
  std::memcpy(header.magic, kEngineMagic, sizeof(kEngineMagic));
  header.version = kEngineVersion;
  std::memcpy(header.target, impl->target.data(), impl->target.size());
  header.blobsSize = impl->file.size() - kEnginePage;
  header.blobsHash = impl->blobsHash();

  FlatBufferBuilder builder;
  fb::FinishEngineBuffer(builder, impl->build(builder, header.blobsHash));
  header.metadataSize = builder.GetSize();
  header.metadataHash =
      XXH3_64bits(builder.GetBufferPointer(), builder.GetSize());

  // What the reader would refuse is refused here, where the compiler can tell
  // its user.
  EngineInfo info;
  NIBBLE_RETURN_IF_ERROR(readMetadata(builder.GetBufferPointer(),
                                      builder.GetSize(), header.blobsSize, info)
                             .withContext("writing an engine"));
  NIBBLE_RETURN_IF_ERROR(
      impl->file.append(builder.GetBufferPointer(), builder.GetSize()));
  return impl->file.commit(&header, sizeof(header));
}
