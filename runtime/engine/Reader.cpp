// Engine: maps a file, checks its header, validates its metadata.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/engine.h"

#include "MappedFile.h"
#include "Validate.h"

#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "engine files are little endian and are used in place"
#endif

struct Engine::Impl {
  std::string path;
  MappedFile file;
  const uint8_t *data = nullptr;
  uint64_t size = 0;
  EngineInfo info;

  const uint8_t *blobs() const { return data + kEnginePage; }
  Status read(const LoadOptions &options);
  Status readHeader(EngineHeader &header) const;
  Status readAll();
  Status checkBlob(const char *what, const BlobInfo &blob) const;
  std::string rebuildAdvice() const;
};

/// The target of a header, with anything unprintable replaced.
static std::string targetOf(const EngineHeader &header) {
  std::string target;
  for (char c : header.target) {
    if (!c)
      break;
    target += c >= 33 && c < 127 ? c : '?';
  }
  return target;
}

static bool isMagic(const EngineHeader &header) {
  return std::memcmp(header.magic, kEngineMagic, sizeof(kEngineMagic)) == 0;
}

Status Engine::Impl::readHeader(EngineHeader &header) const {
  if (size < sizeof(EngineHeader))
    return error(Code::Malformed,
                 "the file is truncated: %llu bytes, wanted a header of 64",
                 static_cast<unsigned long long>(size));
  std::memcpy(&header, data, sizeof(header));
  if (!isMagic(header))
    return error(Code::Malformed,
                 "not a Nibble engine: wanted the magic bytes "
                 "'NBLE\\r\\n\\x1a\\n' at the start (a transfer in "
                 "text mode destroys them)");
  if (header.version != kEngineVersion)
    return error(Code::Unsupported,
                 "engine format version %u (target '%s'), but this runtime "
                 "reads version %u: compile the model again with the matching "
                 "nibble, or use the matching runtime",
                 header.version, targetOf(header).c_str(), kEngineVersion);
  if (header.flags != 0)
    return error(Code::Unsupported,
                 "engine flags 0x%x, this runtime knows none", header.flags);
  return Status();
}

/// The two sizes of the header must add up to the file, exactly.
static Status checkSizes(const EngineHeader &header, uint64_t size) {
  if (header.blobsSize % kEnginePage)
    return error(Code::Malformed,
                 "the blob section has %llu bytes, not a multiple of 4096",
                 static_cast<unsigned long long>(header.blobsSize));
  uint64_t wanted = 0;
  if (__builtin_add_overflow(header.blobsSize, header.metadataSize, &wanted) ||
      __builtin_add_overflow(wanted, kEnginePage, &wanted) ||
      header.metadataSize == 0)
    return error(Code::Malformed,
                 "the header's sizes are nonsense (blobs %llu, "
                 "metadata %llu bytes)",
                 static_cast<unsigned long long>(header.blobsSize),
                 static_cast<unsigned long long>(header.metadataSize));
  if (wanted != size)
    return error(Code::Malformed,
                 "the file is %s: wanted %llu bytes, found %llu",
                 size < wanted ? "truncated" : "longer than its header says",
                 static_cast<unsigned long long>(wanted),
                 static_cast<unsigned long long>(size));
  return Status();
}

Status Engine::Impl::readAll() {
  EngineHeader header;
  NIBBLE_RETURN_IF_ERROR(readHeader(header));
  NIBBLE_RETURN_IF_ERROR(checkSizes(header, size));
  const uint8_t *metadata = blobs() + header.blobsSize;
  uint64_t found = XXH3_64bits(metadata, header.metadataSize);
  if (found != header.metadataHash)
    return error(Code::Malformed,
                 "the metadata is corrupt: wanted hash %016llx, found %016llx",
                 static_cast<unsigned long long>(header.metadataHash),
                 static_cast<unsigned long long>(found));
  info.version = header.version;
  NIBBLE_RETURN_IF_ERROR(
      readMetadata(metadata, header.metadataSize, header.blobsSize, info));
  if (header.blobsHash != hashBlobRecords(info))
    return error(Code::Malformed,
                 "the header's hash of code and constants does "
                 "not match the metadata");
  // All 16 bytes: what follows the name must be zero.
  char target[sizeof(header.target)] = {};
  info.target.copy(target, sizeof(target) - 1);
  if (info.target.size() >= sizeof(target) ||
      std::memcmp(target, header.target, sizeof(target)) != 0)
    return error(Code::Malformed,
                 "the header says target '%s', the metadata '%s'",
                 targetOf(header).c_str(), std::string(info.target).c_str());
  return Status();
}

/// Only if the end of the file still holds sound metadata.
std::string Engine::Impl::rebuildAdvice() const {
  EngineHeader header;
  if (size < sizeof(header))
    return "";
  std::memcpy(&header, data, sizeof(header));
  if (!isMagic(header) || header.metadataSize == 0 || size < kEnginePage ||
      header.metadataSize > size - kEnginePage ||
      (size - header.metadataSize) % 8)
    return "";
  std::string_view command =
      findCommand(data + size - header.metadataSize, header.metadataSize);
  if (command.empty())
    return "";
  return "; to rebuild it: " + std::string(command);
}

Status Engine::Impl::read(const LoadOptions &options) {
  Status status = readAll();
  if (!status.ok())
    return Status(status.code(), status.str() + rebuildAdvice())
        .withContext("engine '" + path + "'");
  if (!options.checkBlobs)
    return Status();
  for (const BlobInfo &blob : info.code)
    NIBBLE_RETURN_IF_ERROR(checkBlob("code", blob));
  for (const BlobInfo &blob : info.constants)
    NIBBLE_RETURN_IF_ERROR(checkBlob("constant", blob));
  return Status();
}

Status Engine::Impl::checkBlob(const char *what, const BlobInfo &blob) const {
  uint64_t found = XXH3_64bits(blobs() + blob.offset, blob.size);
  if (found == blob.hash)
    return Status();
  return error(Code::Malformed,
               "%s '%s' is corrupt: wanted hash %016llx, found %016llx%s", what,
               std::string(blob.name).c_str(),
               static_cast<unsigned long long>(blob.hash),
               static_cast<unsigned long long>(found), rebuildAdvice().c_str())
      .withContext("engine '" + path + "'");
}

Engine::Engine() : impl(std::make_unique<Impl>()) {}
Engine::~Engine() = default;

Result<std::shared_ptr<const Engine>> Engine::load(const std::string &path,
                                                   const LoadOptions &options) {
  std::shared_ptr<Engine> engine(new Engine());
  Impl &impl = *engine->impl;
  impl.path = path;
  NIBBLE_RETURN_IF_ERROR(impl.file.open(path));
  impl.file.willNeed();
  impl.data = impl.file.data();
  impl.size = impl.file.size();
  NIBBLE_RETURN_IF_ERROR(impl.read(options));
  return std::shared_ptr<const Engine>(std::move(engine));
}

Result<std::shared_ptr<const Engine>>
Engine::fromMemory(const void *data, uint64_t size, const std::string &name,
                   const LoadOptions &options) {
  std::shared_ptr<Engine> engine(new Engine());
  Impl &impl = *engine->impl;
  impl.path = name;
  impl.data = static_cast<const uint8_t *>(data);
  impl.size = size;
  if (reinterpret_cast<uintptr_t>(data) % kValueAlignment)
    return error(Code::InvalidArgument,
                 "engine '%s' in memory is not aligned to 64 bytes",
                 name.c_str());
  NIBBLE_RETURN_IF_ERROR(impl.read(options));
  return std::shared_ptr<const Engine>(std::move(engine));
}

const EngineInfo &Engine::info() const { return impl->info; }
const std::string &Engine::path() const { return impl->path; }
uint64_t Engine::fileSize() const { return impl->size; }

const void *Engine::constantData(uint32_t index) const {
  return impl->blobs() + impl->info.constants[index].offset;
}

const void *Engine::codeData(uint32_t index) const {
  return impl->blobs() + impl->info.code[index].offset;
}

Status Engine::checkCode(uint32_t index) const {
  return impl->checkBlob("code", impl->info.code[index]);
}

Status Engine::checkBlobs() const {
  for (const BlobInfo &blob : impl->info.code)
    NIBBLE_RETURN_IF_ERROR(impl->checkBlob("code", blob));
  for (const BlobInfo &blob : impl->info.constants)
    NIBBLE_RETURN_IF_ERROR(impl->checkBlob("constant", blob));
  return Status();
}

Result<uint32_t> Engine::findEntry(std::string_view name) const {
  const std::vector<EntryInfo> &entries = impl->info.entries;
  if (name.empty() && entries.size() == 1)
    return uint32_t(0);
  std::string known;
  for (uint32_t i = 0; i < entries.size(); ++i) {
    if (!name.empty() && entries[i].name == name)
      return i;
    if (i < 16)
      known += (i ? ", " : "") + std::string(entries[i].name);
  }
  if (name.empty())
    return error(Code::InvalidArgument,
                 "the engine has %zu entry points, choose one: %s",
                 entries.size(), known.c_str());
  return error(Code::NotFound, "no entry point '%s'; the engine has: %s",
               std::string(name).c_str(), known.c_str());
}

uint64_t EngineInfo::constantBytes() const {
  uint64_t sum = 0;
  for (const BlobInfo &constant : constants)
    sum += constant.size;
  return sum;
}
