// Verification and semantic validation of engine metadata.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Validate.h"

#include "ValidateGpu.h"

#include "nibble/rt/dtype.h"
#include "nibble/rt/schema/engine_generated.h"

#include <unordered_set>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;

namespace {

// A FlatBuffer may reference one table from many places, so that a small file
// can describe an enormous engine. These limits bound time and memory.
constexpr unsigned kMaxDepth = 16;
constexpr unsigned kMaxTables = 1 << 20;
constexpr size_t kMaxName = 4096;
constexpr size_t kMaxRank = 16;
constexpr size_t kMaxArgs = 1024;
constexpr int64_t kMaxExtent = int64_t(1) << 62;
constexpr uint64_t kMaxScratch = uint64_t(1) << 32;

template <typename T>
using Tables = flatbuffers::Vector<flatbuffers::Offset<T>>;

std::string_view view(const flatbuffers::String *text) {
  return text ? std::string_view(text->c_str(), text->size())
              : std::string_view();
}

template <typename V> size_t sizeOf(const V *vector) {
  return vector ? vector->size() : 0;
}

/// For messages: hostile names can be long or hold control characters.
std::string quote(std::string_view name) {
  std::string text = "'";
  for (char c : name.substr(0, 120))
    text += (static_cast<unsigned char>(c) < 32 || c == 127) ? '?' : c;
  return text + (name.size() > 120 ? "...'" : "'");
}

/// Reads one Engine table; each function handles one kind of table.
class MetadataReader {
public:
  MetadataReader(uint64_t blobsSize, EngineInfo &info)
      : blobsSize(blobsSize), info(info) {}

  Status read(const fb::Engine &engine);

private:
  Status readFeatures(const Tables<flatbuffers::String> *list);
  Status readBlob(const char *what, size_t index,
                  const flatbuffers::String *name, const fb::Bytes *bytes,
                  uint64_t alignment, BlobInfo &blob);
  Status readCode(const Tables<fb::Code> *table);
  Status checkAlternative(size_t code) const;
  Status readConstants(const Tables<fb::Constant> *table);
  Status readKernels(const Tables<fb::Kernel> *table);
  Status readPorts(const char *what, const Tables<fb::Port> *table,
                   std::vector<PortInfo> &ports);
  Status readEntries(const Tables<fb::Entry> *table);
  Status readEntry(const fb::Entry &table, EntryInfo &entry);
  Status readValue(const fb::Value &table, const EntryInfo &entry,
                   ValueInfo &value);
  Status checkPlace(const ValueInfo &value, const EntryInfo &entry);
  Status readLaunch(const fb::Launch &table, const EntryInfo &entry,
                    LaunchInfo &launch);
  Status readGpu(const fb::GpuLaunch *table, const EntryInfo &entry,
                 LaunchInfo &launch);
  Status checkArgs(const LaunchInfo &launch, const EntryInfo &entry);
  Status checkOutputs(const EntryInfo &entry);
  Status checkName(const char *what, size_t index, std::string_view name);
  Status checkType(std::string_view dtype,
                   const flatbuffers::Vector<int64_t> *shape, uint64_t byteSize,
                   bool exact);

  uint64_t blobsSize;
  EngineInfo &info;
};

} // namespace

static Status bad(const std::string &message) {
  return Status(Code::Malformed, message);
}

Status MetadataReader::checkName(const char *what, size_t index,
                                 std::string_view name) {
  std::string where = std::string(what) + " " + std::to_string(index);
  if (name.empty())
    return bad(where + " has no name");
  if (name.size() > kMaxName)
    return bad(where + " has a name of " + std::to_string(name.size()) +
               " bytes, more than " + std::to_string(kMaxName));
  return Status();
}

Status MetadataReader::checkType(std::string_view dtype,
                                 const flatbuffers::Vector<int64_t> *shape,
                                 uint64_t byteSize, bool exact) {
  if (sizeOf(shape) > kMaxRank)
    return bad("rank " + std::to_string(shape->size()) + " is more than " +
               std::to_string(kMaxRank));
  if (dtype.size() > 256)
    return bad("the element type has " + std::to_string(dtype.size()) +
               " characters");
  Result<DType> type = parseDType(dtype);
  if (!type.ok())
    return type.status();
  const int64_t *dims = shape ? shape->data() : nullptr;
  Result<StorageLayout> layout = storageLayout(*type, dims, sizeOf(shape));
  if (!layout.ok())
    return layout.status();
  bool fits = exact && !type->isScaled() ? byteSize == layout->total
                                         : byteSize >= layout->total;
  if (!fits)
    return bad(describe(dtype, dims, sizeOf(shape)) + " needs " +
               std::to_string(layout->total) + " bytes, but has " +
               std::to_string(byteSize));
  return Status();
}

Status MetadataReader::readBlob(const char *what, size_t index,
                                const flatbuffers::String *name,
                                const fb::Bytes *bytes, uint64_t alignment,
                                BlobInfo &blob) {
  blob.name = view(name);
  NIBBLE_RETURN_IF_ERROR(checkName(what, index, blob.name));
  std::string where = std::string(what) + " " + quote(blob.name);
  if (!bytes)
    return bad(where + " has no bytes");
  blob.offset = bytes->offset();
  blob.size = bytes->size();
  blob.hash = bytes->hash();
  if (blob.offset % alignment)
    return bad(where + " starts at offset " + std::to_string(blob.offset) +
               ", not a multiple of " + std::to_string(alignment));
  if (blob.offset > blobsSize || blob.size > blobsSize - blob.offset)
    return bad(where + " (offset " + std::to_string(blob.offset) + ", " +
               std::to_string(blob.size) +
               " bytes) lies outside of the blob "
               "section of " +
               std::to_string(blobsSize) + " bytes");
  return Status();
}

Status MetadataReader::readCode(const Tables<fb::Code> *table) {
  info.code.resize(sizeOf(table));
  for (size_t i = 0; i < info.code.size(); ++i) {
    const fb::Code &code = *table->Get(i);
    NIBBLE_RETURN_IF_ERROR(readBlob("code", i, code.name(), code.bytes(),
                                    kEnginePage, info.code[i]));
    if (code.kind() > fb::CodeKind::Cubin)
      return bad("code " + quote(info.code[i].name) + " is of unknown kind " +
                 std::to_string(int(code.kind())));
    info.code[i].kind = static_cast<CodeKind>(code.kind());
    info.code[i].alternative = code.alternative();
    NIBBLE_RETURN_IF_ERROR(checkAlternative(i));
  }
  return Status();
}

/// One that stands before it, so that there are no circles, and of a GPU.
Status MetadataReader::checkAlternative(size_t i) const {
  const BlobInfo &code = info.code[i];
  if (code.alternative == kNoCode)
    return Status();
  if (code.alternative >= i || code.kind == CodeKind::CpuObject ||
      info.code[code.alternative].kind == CodeKind::CpuObject)
    return bad("code " + quote(code.name) + " has alternative " +
               std::to_string(code.alternative) +
               "; wanted GPU code that stands before it");
  return Status();
}

Status MetadataReader::readConstants(const Tables<fb::Constant> *table) {
  info.constants.resize(sizeOf(table));
  for (size_t i = 0; i < info.constants.size(); ++i) {
    const fb::Constant &constant = *table->Get(i);
    NIBBLE_RETURN_IF_ERROR(readBlob("constant", i, constant.name(),
                                    constant.bytes(), kValueAlignment,
                                    info.constants[i]));
  }
  return Status();
}

/// Symbols are C identifiers, plus the '.' and '$' that compilers add.
static bool isSymbol(std::string_view name) {
  if (name.empty() || name.size() > 1024 || (name[0] >= '0' && name[0] <= '9'))
    return false;
  for (char c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
          (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '$'))
      return false;
  return true;
}

Status MetadataReader::readKernels(const Tables<fb::Kernel> *table) {
  info.kernels.resize(sizeOf(table));
  for (size_t i = 0; i < info.kernels.size(); ++i) {
    KernelInfo &kernel = info.kernels[i];
    kernel.symbol = view(table->Get(i)->symbol());
    kernel.code = table->Get(i)->code();
    if (!isSymbol(kernel.symbol))
      return bad("kernel " + std::to_string(i) + " has the symbol " +
                 quote(kernel.symbol) +
                 ", wanted letters, digits, '_', '.', '$'");
    if (kernel.code >= info.code.size())
      return bad("kernel " + quote(kernel.symbol) + " is in code " +
                 std::to_string(kernel.code) + ", but there are only " +
                 std::to_string(info.code.size()) + " blobs of code");
  }
  return Status();
}

Status MetadataReader::readPorts(const char *what,
                                 const Tables<fb::Port> *table,
                                 std::vector<PortInfo> &ports) {
  ports.resize(sizeOf(table));
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    const fb::Port &source = *table->Get(i);
    PortInfo &port = ports[i];
    port.name = view(source.name());
    NIBBLE_RETURN_IF_ERROR(checkName(what, i, port.name));
    if (!names.insert(port.name).second)
      return bad(std::string("two ") + what + "s are called " +
                 quote(port.name));
    port.dtype = view(source.dtype());
    port.byteSize = source.byte_size();
    NIBBLE_RETURN_IF_ERROR(
        checkType(port.dtype, source.shape(), port.byteSize, /*exact=*/true)
            .withContext(std::string(what) + " " + quote(port.name)));
    if (source.shape())
      port.shape = {source.shape()->data(), source.shape()->size()};
  }
  return Status();
}

/// Whether [offset, offset + size) fits into `capacity` bytes, aligned.
static Status checkRange(uint64_t offset, uint64_t size, uint64_t capacity,
                         const std::string &container) {
  if (offset % kValueAlignment)
    return bad("offset " + std::to_string(offset) + " is not a multiple of " +
               std::to_string(kValueAlignment));
  if (offset > capacity || size > capacity - offset)
    return bad("offset " + std::to_string(offset) + " and " +
               std::to_string(size) + " bytes lie outside of " + container +
               " of " + std::to_string(capacity) + " bytes");
  return Status();
}

Status MetadataReader::checkPlace(const ValueInfo &value,
                                  const EntryInfo &entry) {
  if (value.storage == Storage::Arena)
    return checkRange(value.offset, value.byteSize, entry.arenaSize,
                      "the arena");
  size_t count = value.storage == Storage::Input      ? entry.inputs.size()
                 : value.storage == Storage::Output   ? entry.outputs.size()
                 : value.storage == Storage::Constant ? info.constants.size()
                                                      : info.states.size();
  std::string container = std::string(storageName(value.storage)) + " " +
                          std::to_string(value.index);
  if (value.index >= count)
    return bad("it lives in " + container + ", but there are only " +
               std::to_string(count));
  uint64_t capacity =
      value.storage == Storage::Input      ? entry.inputs[value.index].byteSize
      : value.storage == Storage::Output   ? entry.outputs[value.index].byteSize
      : value.storage == Storage::Constant ? info.constants[value.index].size
                                           : info.states[value.index].byteSize;
  return checkRange(value.offset, value.byteSize, capacity, container);
}

Status MetadataReader::readValue(const fb::Value &table, const EntryInfo &entry,
                                 ValueInfo &value) {
  value.dtype = view(table.dtype());
  value.byteSize = table.byte_size();
  value.index = table.index();
  value.offset = table.offset();
  if (table.storage() > fb::Storage::State)
    return bad("unknown storage " + std::to_string(int(table.storage())));
  value.storage = static_cast<Storage>(table.storage());
  NIBBLE_RETURN_IF_ERROR(
      checkType(value.dtype, table.shape(), value.byteSize, /*exact=*/false));
  if (table.shape())
    value.shape = {table.shape()->data(), table.shape()->size()};
  return checkPlace(value, entry);
}

Status MetadataReader::checkArgs(const LaunchInfo &launch,
                                 const EntryInfo &entry) {
  for (size_t i = 0; i < launch.args.size(); ++i) {
    uint32_t arg = launch.args[i];
    if (arg >= entry.values.size())
      return bad("argument " + std::to_string(i) + " is value " +
                 std::to_string(arg) + ", but there are only " +
                 std::to_string(entry.values.size()));
    // The mapping is read-only: a kernel that wrote there would crash.
    const ValueInfo &value = entry.values[arg];
    bool written = i >= launch.args.size() - launch.results;
    if (written &&
        (value.storage == Storage::Constant || value.storage == Storage::Input))
      return bad("result " + quote(value.name) + " lives in " +
                 (value.storage == Storage::Input ? "an input" : "a constant") +
                 ", which cannot be written");
  }
  return Status();
}

Status MetadataReader::readLaunch(const fb::Launch &table,
                                  const EntryInfo &entry, LaunchInfo &launch) {
  if (table.kind() > fb::LaunchKind::Copy || table.split() > fb::Split::Static)
    return bad("unknown kind " + std::to_string(int(table.kind())) +
               " or split " + std::to_string(int(table.split())));
  launch.kind = static_cast<LaunchKind>(table.kind());
  launch.split = static_cast<Split>(table.split());
  launch.kernel = table.kernel();
  launch.results = table.results();
  launch.extent = table.extent();
  launch.grain = table.grain();
  launch.scratchBytes = table.scratch_bytes();
  launch.op = view(table.op());
  launch.bytes = table.bytes();
  launch.flops = table.flops();
  if (sizeOf(table.args()) > kMaxArgs || launch.results > sizeOf(table.args()))
    return bad(std::to_string(sizeOf(table.args())) + " arguments with " +
               std::to_string(launch.results) + " results; wanted at most " +
               std::to_string(kMaxArgs) +
               " and no more results than arguments");
  if (table.args())
    launch.args = {table.args()->data(), table.args()->size()};
  NIBBLE_RETURN_IF_ERROR(checkArgs(launch, entry));
  if (launch.kind == LaunchKind::Copy) {
    if (launch.args.size() != 2 || launch.results != 1)
      return bad("a copy has one operand and one result");
    if (entry.values[launch.args[0]].byteSize !=
        entry.values[launch.args[1]].byteSize)
      return bad("a copy between buffers of different size");
    return table.gpu() ? bad("a copy with a launch of a GPU kernel") : Status();
  }
  if (launch.kernel >= info.kernels.size())
    return bad("kernel " + std::to_string(launch.kernel) +
               ", but there are only " + std::to_string(info.kernels.size()));
  if (launch.extent < 0 || launch.extent > kMaxExtent || launch.grain < 1 ||
      launch.grain > kMaxExtent)
    return bad("extent " + std::to_string(launch.extent) + " and grain " +
               std::to_string(launch.grain) + "; wanted 0..2^62 and 1..2^62");
  if (launch.scratchBytes > kMaxScratch)
    return bad(std::to_string(launch.scratchBytes) +
               " bytes of scratch, more than 4 GiB");
  return readGpu(table.gpu(), entry, launch);
}

/// Kernels of a GPU, and only they, have a grid.
Status MetadataReader::readGpu(const fb::GpuLaunch *table,
                               const EntryInfo &entry, LaunchInfo &launch) {
  const KernelInfo &kernel = info.kernels[launch.kernel];
  CodeKind kind = info.code[kernel.code].kind;
  bool wanted = kind != CodeKind::CpuObject;
  if (!table)
    return wanted ? bad("kernel " + quote(kernel.symbol) + " is " +
                        codeKindName(kind) + " code, but there is no grid")
                  : Status();
  if (!wanted)
    return bad("kernel " + quote(kernel.symbol) +
               " is cpu-object code, but there is a grid");
  return readGpuLaunch(*table, entry, launch);
}

/// An output that nobody writes would be zeros or old results: never silently.
Status MetadataReader::checkOutputs(const EntryInfo &entry) {
  std::vector<bool> written(entry.outputs.size());
  for (const LaunchInfo &launch : entry.launches)
    for (size_t i = launch.args.size() - launch.results; i < launch.args.size();
         ++i) {
      const ValueInfo &value = entry.values[launch.args[i]];
      if (value.storage == Storage::Output)
        written[value.index] = true;
    }
  for (size_t i = 0; i < written.size(); ++i)
    if (!written[i] && entry.outputs[i].byteSize)
      return bad("output " + quote(entry.outputs[i].name) +
                 " is written by no launch");
  return Status();
}

Status MetadataReader::readEntry(const fb::Entry &table, EntryInfo &entry) {
  NIBBLE_RETURN_IF_ERROR(readPorts("input", table.inputs(), entry.inputs));
  NIBBLE_RETURN_IF_ERROR(readPorts("output", table.outputs(), entry.outputs));
  entry.arenaSize = table.arena_size();
  if (entry.arenaSize > uint64_t(1) << 46)
    return bad("an arena of " + std::to_string(entry.arenaSize) +
               " bytes, more than 64 TiB");
  entry.values.resize(sizeOf(table.values()));
  for (size_t i = 0; i < entry.values.size(); ++i) {
    const fb::Value &value = *table.values()->Get(i);
    entry.values[i].name = view(value.name());
    NIBBLE_RETURN_IF_ERROR(checkName("value", i, entry.values[i].name));
    NIBBLE_RETURN_IF_ERROR(readValue(value, entry, entry.values[i])
                               .withContext("value " + std::to_string(i) + " " +
                                            quote(entry.values[i].name)));
  }
  entry.launches.resize(sizeOf(table.launches()));
  for (size_t i = 0; i < entry.launches.size(); ++i) {
    const fb::Launch &launch = *table.launches()->Get(i);
    entry.launches[i].layer = view(launch.layer());
    NIBBLE_RETURN_IF_ERROR(readLaunch(launch, entry, entry.launches[i])
                               .withContext("launch " + std::to_string(i) +
                                            " of layer " +
                                            quote(entry.launches[i].layer)));
  }
  return checkOutputs(entry);
}

Status MetadataReader::readEntries(const Tables<fb::Entry> *table) {
  if (sizeOf(table) == 0)
    return bad("there is no entry point");
  info.entries.resize(table->size());
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < info.entries.size(); ++i) {
    EntryInfo &entry = info.entries[i];
    entry.name = view(table->Get(i)->name());
    NIBBLE_RETURN_IF_ERROR(checkName("entry point", i, entry.name));
    if (!names.insert(entry.name).second)
      return bad("two entry points are called " + quote(entry.name));
    NIBBLE_RETURN_IF_ERROR(
        readEntry(*table->Get(i), entry)
            .withContext("entry point " + quote(entry.name)));
  }
  return Status();
}

Status MetadataReader::readFeatures(const Tables<flatbuffers::String> *list) {
  if (sizeOf(list) > 256)
    return bad("more than 256 CPU features");
  for (size_t i = 0; i < sizeOf(list); ++i) {
    info.cpuFeatures.push_back(view(list->Get(i)));
    NIBBLE_RETURN_IF_ERROR(checkName("CPU feature", i, info.cpuFeatures[i]));
  }
  return Status();
}

Status MetadataReader::read(const fb::Engine &engine) {
  info.toolVersion = view(engine.tool_version());
  info.target = view(engine.target());
  info.report = view(engine.report());
  if (const fb::Source *source = engine.source()) {
    info.model = view(source->model());
    info.modelHash = view(source->model_hash());
    info.command = view(source->command());
  }
  NIBBLE_RETURN_IF_ERROR(checkName("the target, field", 0, info.target));
  NIBBLE_RETURN_IF_ERROR(readFeatures(engine.cpu_features()));
  NIBBLE_RETURN_IF_ERROR(readCode(engine.code()));
  NIBBLE_RETURN_IF_ERROR(readConstants(engine.constants()));
  if (engine.blobs_hash() != hashBlobRecords(info))
    return bad("the hash of the records of code and constants does not match");
  NIBBLE_RETURN_IF_ERROR(readKernels(engine.kernels()));
  NIBBLE_RETURN_IF_ERROR(readPorts("state", engine.states(), info.states));
  return readEntries(engine.entries());
}

uint64_t nibble::rt::hashBlobRecords(const EngineInfo &info) {
  std::vector<uint64_t> records;
  for (const std::vector<BlobInfo> *blobs : {&info.code, &info.constants})
    for (const BlobInfo &blob : *blobs)
      records.insert(records.end(), {blob.offset, blob.size, blob.hash});
  return XXH3_64bits(records.data(), records.size() * sizeof(uint64_t));
}

/// The verifier asserts on sizes beyond 2 GiB, so those are refused before.
static const fb::Engine *verified(const uint8_t *metadata, uint64_t size) {
  if (size < 16 || size >= FLATBUFFERS_MAX_BUFFER_SIZE)
    return nullptr;
  flatbuffers::Verifier verifier(metadata, size, kMaxDepth, kMaxTables);
  if (!fb::EngineBufferHasIdentifier(metadata) ||
      !fb::VerifyEngineBuffer(verifier))
    return nullptr;
  return fb::GetEngine(metadata);
}

Status nibble::rt::readMetadata(const uint8_t *metadata, uint64_t size,
                                uint64_t blobsSize, EngineInfo &info) {
  const fb::Engine *engine = verified(metadata, size);
  if (!engine)
    return bad("the metadata (" + std::to_string(size) +
               " bytes) is not a valid FlatBuffer of a Nibble engine");
  return MetadataReader(blobsSize, info).read(*engine);
}

std::string_view nibble::rt::findCommand(const uint8_t *metadata,
                                         uint64_t size) {
  const fb::Engine *engine = verified(metadata, size);
  if (!engine || !engine->source())
    return {};
  return view(engine->source()->command()).substr(0, kMaxName);
}

const char *nibble::rt::storageName(Storage storage) {
  static const char *const names[] = {"input", "output", "arena", "constant",
                                      "state"};
  return names[static_cast<size_t>(storage)];
}

const char *nibble::rt::codeKindName(CodeKind kind) {
  static const char *const names[] = {"cpu-object", "ptx", "cubin"};
  return names[static_cast<size_t>(kind)];
}
