// Strips engines of their weights and makes them again.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/recipe.h"

#include "BlobFile.h"
#include "MappedFile.h"
#include "Validate.h"

#include "nibble/rt/dtype.h"
#include "nibble/rt/random_codes.h"
#include "nibble/rt/schema/engine_generated.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;

static constexpr uint64_t kChunk = 1 << 20;
/// Of the codes of a constant, to estimate their standard deviation.
static constexpr uint64_t kSamples = 1 << 16;
/// What the outliers of RandomCodes::normal add to it: one in 512, 8 times.
static constexpr double kOutlierGain = 1.0597;
/// Scales of a constant of the least size that is replaced stay below this part
/// of it.
static constexpr uint64_t kFewScales = 16;
static constexpr uint64_t kScaleSeed = 0x5ca1e;

namespace {

/// XXH3-64 of bytes as they come.
class Hasher {
public:
  Hasher() { XXH3_64bits_reset(&state); }
  void add(const void *data, uint64_t size) {
    XXH3_64bits_update(&state, data, size);
  }
  uint64_t digest() const { return XXH3_64bits_digest(&state); }

private:
  XXH3_state_t state;
};

using Sink = std::function<Status(const uint8_t *data, uint64_t size)>;

} // namespace

/// The codes of a range, in pieces.
static Status generate(const RecipeRange &range, const Sink &sink) {
  auto format = StorageFormat(range.format);
  RandomCodes codes = range.kind == RecipeKind::Scales
                          ? RandomCodes::scales(format, range.std)
                          : RandomCodes::normal(format, range.std);
  std::vector<uint8_t> chunk(std::min(kChunk, range.bytes));
  uint64_t perChunk = kChunk * 8 / formatBits(format);
  for (uint64_t at = 0, first = 0; at < range.bytes;
       at += kChunk, first += perChunk) {
    uint64_t bytes = std::min(kChunk, range.bytes - at);
    codes.fill(range.seed, first, bytes * 8 / formatBits(format), chunk.data());
    NIBBLE_RETURN_IF_ERROR(sink(chunk.data(), bytes));
  }
  return Status();
}

/// Hands over [0, size) of a blob section: ranges generated, the rest from
/// `rest`, which has what lies between them without gaps.
static Status
assemble(const std::vector<RecipeRange> &ranges, uint64_t size,
         const std::function<Status(uint64_t offset, uint64_t size)> &copy,
         const std::function<Status(const RecipeRange &)> &make) {
  uint64_t at = 0;
  for (const RecipeRange &range : ranges) {
    NIBBLE_RETURN_IF_ERROR(copy(at, range.offset - at));
    NIBBLE_RETURN_IF_ERROR(make(range));
    at = range.offset + range.bytes;
  }
  return copy(at, size - at);
}

//===----------------------------------------------------------------------===//
// strip
//===----------------------------------------------------------------------===//

/// Root mean square of the numbers, estimated; 0 if they are not finite.
static double estimateRms(StorageFormat format, const uint8_t *codes,
                          uint64_t count) {
  double squares = 0;
  uint64_t step = std::max<uint64_t>(count / kSamples, 1), used = 0;
  for (uint64_t i = 0; i < count; i += step, ++used) {
    double x = decode(format, loadCode(format, codes, i));
    squares += x * x;
  }
  double rms = used ? std::sqrt(squares / double(used)) : 0;
  return std::isfinite(rms) ? rms : 0;
}

namespace {

class Strip {
public:
  Strip(const Engine &engine, const uint8_t *file, const StripOptions &options)
      : info(engine.info()), file(file), options(options) {
    std::memcpy(&header, file, sizeof header);
  }

  Status plan();
  Status write(const std::string &recipe, const std::string &seeded);
  StripResult result;

private:
  void addConstant(const ValueInfo &value);
  void addCodes(uint32_t index, const DType &type, const StorageLayout &layout);
  void addScales(uint32_t index, const DType &type,
                 const StorageLayout &layout);
  Status hashConstants();
  void patchMetadata();
  const uint8_t *blobs() const { return file + kEnginePage; }

  EngineInfo info; ///< with the hashes of the seeded engine
  const uint8_t *file;
  const StripOptions &options;
  EngineHeader header;
  std::vector<uint8_t> metadata;
  /// In the order of the file.
  std::map<uint32_t, std::vector<RecipeRange>> byConstant;
};

} // namespace

void Strip::addConstant(const ValueInfo &value) {
  const BlobInfo &blob = info.constants[value.index];
  if (blob.size < options.least || byConstant.count(value.index))
    return;
  Result<DType> type = parseDType(value.dtype);
  double std = 0;
  if (!type.ok() || !RandomCodes::getStd(type->elem, std))
    return;
  auto layout = storageLayout(*type, value.shape.data(), value.shape.size());
  if (!layout.ok() || layout->total != blob.size || value.offset)
    return;
  addCodes(value.index, *type, *layout);
  addScales(value.index, *type, *layout);
}

void Strip::addCodes(uint32_t index, const DType &type,
                     const StorageLayout &layout) {
  RecipeRange range;
  range.offset = info.constants[index].offset + layout.codes;
  range.bytes = layout.codesBytes;
  range.seed = options.seed * 0x10001 + index;
  range.format = uint32_t(type.elem);
  range.kind = RecipeKind::Codes;
  double usual = 1;
  RandomCodes::getStd(type.elem, usual);
  double rms = estimateRms(type.elem, blobs() + range.offset,
                           range.bytes * 8 / formatBits(type.elem));
  range.std = rms > 0 ? rms / kOutlierGain : usual;
  byConstant[index].push_back(range);
}

/// Scales of blocks, if there are many.
void Strip::addScales(uint32_t index, const DType &type,
                      const StorageLayout &layout) {
  if (layout.scalesBytes < std::max<uint64_t>(options.least / kFewScales, 1))
    return;
  RecipeRange range;
  range.offset = info.constants[index].offset + layout.scales;
  range.bytes = layout.scalesBytes;
  range.seed = (options.seed ^ kScaleSeed) * 0x10001 + index;
  range.format = uint32_t(type.scale);
  range.kind = RecipeKind::Scales;
  range.std = estimateRms(type.scale, blobs() + range.offset,
                          range.bytes * 8 / formatBits(type.scale));
  if (range.std > 0)
    byConstant[index].push_back(range);
}

Status Strip::plan() {
  for (const EntryInfo &entry : info.entries)
    for (const ValueInfo &value : entry.values)
      if (value.storage == Storage::Constant)
        addConstant(value);
  for (uint32_t i = 0; i < info.constants.size(); ++i)
    if (info.constants[i].size >= options.least && !byConstant.count(i))
      result.kept.emplace_back(info.constants[i].name);
  for (auto &[index, ranges] : byConstant)
    for (const RecipeRange &range : ranges) {
      result.ranges.push_back(range);
      result.strippedBytes += range.bytes;
    }
  std::sort(result.ranges.begin(), result.ranges.end(),
            [](auto &a, auto &b) { return a.offset < b.offset; });
  NIBBLE_RETURN_IF_ERROR(hashConstants());
  patchMetadata();
  return Status();
}

/// What is not made stays.
Status Strip::hashConstants() {
  for (auto &[index, ranges] : byConstant) {
    BlobInfo &blob = info.constants[index];
    Hasher hash;
    uint64_t at = blob.offset;
    for (const RecipeRange &range : ranges) {
      hash.add(blobs() + at, range.offset - at);
      NIBBLE_RETURN_IF_ERROR(
          generate(range, [&](const uint8_t *data, uint64_t size) {
            hash.add(data, size);
            return Status();
          }));
      at = range.offset + range.bytes;
    }
    hash.add(blobs() + at, blob.offset + blob.size - at);
    blob.hash = hash.digest();
  }
  return Status();
}

void Strip::patchMetadata() {
  const uint8_t *from = blobs() + header.blobsSize;
  metadata.assign(from, from + header.metadataSize);
  fb::Engine *root = flatbuffers::GetMutableRoot<fb::Engine>(metadata.data());
  for (auto &[index, ranges] : byConstant) {
    const fb::Bytes *bytes = root->constants()->Get(index)->bytes();
    // A structure lies in the buffer as it is; the hash is its last field.
    static_assert(sizeof(fb::Bytes) == 24, "offset, size, hash");
    auto *at = reinterpret_cast<uint8_t *>(const_cast<fb::Bytes *>(bytes)) + 16;
    std::memcpy(at, &info.constants[index].hash, sizeof(uint64_t));
  }
  header.blobsHash = hashBlobRecords(info);
  auto *table = reinterpret_cast<flatbuffers::Table *>(root);
  (void)table->SetField<uint64_t>(fb::Engine::VT_BLOBS_HASH, header.blobsHash,
                                  0);
  header.metadataHash = XXH3_64bits(metadata.data(), metadata.size());
}

Status Strip::write(const std::string &recipePath, const std::string &seeded) {
  BlobFile recipe, whole;
  Hasher rest;
  std::vector<uint8_t> page(kEnginePage);
  const auto *table = reinterpret_cast<const uint8_t *>(result.ranges.data());
  uint64_t tableBytes = result.ranges.size() * sizeof(RecipeRange);
  NIBBLE_RETURN_IF_ERROR(recipe.open(recipePath));
  NIBBLE_RETURN_IF_ERROR(
      recipe.append(page.data(), sizeof(RecipeHeader) + sizeof(EngineHeader)));
  NIBBLE_RETURN_IF_ERROR(recipe.append(table, tableBytes));
  if (!seeded.empty()) {
    NIBBLE_RETURN_IF_ERROR(whole.open(seeded));
    NIBBLE_RETURN_IF_ERROR(whole.append(page.data(), page.size()));
  }
  uint64_t restSize = 0;
  auto keep = [&](const uint8_t *data, uint64_t size) -> Status {
    rest.add(data, size);
    restSize += size;
    if (whole.isOpen())
      NIBBLE_RETURN_IF_ERROR(whole.append(data, size));
    return recipe.append(data, size);
  };
  NIBBLE_RETURN_IF_ERROR(assemble(
      result.ranges, header.blobsSize,
      [&](uint64_t at, uint64_t size) { return keep(blobs() + at, size); },
      [&](const RecipeRange &range) {
        return whole.isOpen()
                   ? generate(range,
                              [&](const uint8_t *data, uint64_t size) {
                                return whole.append(data, size);
                              })
                   : Status();
      }));
  NIBBLE_RETURN_IF_ERROR(keep(metadata.data(), metadata.size()));
  RecipeHeader start = {};
  std::memcpy(start.magic, kRecipeMagic, sizeof start.magic);
  start.version = kRecipeVersion;
  start.ranges = uint32_t(result.ranges.size());
  Hasher tableHash;
  tableHash.add(&header, sizeof header);
  tableHash.add(table, tableBytes);
  start.tableHash = tableHash.digest();
  start.restSize = restSize;
  start.restHash = rest.digest();
  std::vector<uint8_t> both(sizeof start + sizeof header);
  std::memcpy(both.data(), &start, sizeof start);
  std::memcpy(both.data() + sizeof start, &header, sizeof header);
  NIBBLE_RETURN_IF_ERROR(recipe.commit(both.data(), both.size()));
  return seeded.empty() ? Status() : whole.commit(&header, sizeof header);
}

Result<StripResult> nibble::rt::stripEngine(const std::string &engine,
                                            const std::string &recipe,
                                            const std::string &seeded,
                                            const StripOptions &options) {
  auto loaded = Engine::load(engine);
  if (!loaded.ok())
    return loaded.status();
  MappedFile file;
  NIBBLE_RETURN_IF_ERROR(file.open(engine));
  Strip strip(**loaded, file.data(), options);
  NIBBLE_RETURN_IF_ERROR(strip.plan());
  NIBBLE_RETURN_IF_ERROR(strip.write(recipe, seeded));
  return std::move(strip.result);
}

//===----------------------------------------------------------------------===//
// refill
//===----------------------------------------------------------------------===//

namespace {

/// A recipe whose parts are where they should be.
struct Recipe {
  RecipeHeader header;
  EngineHeader engine;
  std::vector<RecipeRange> ranges;
  const uint8_t *rest = nullptr;

  Status read(const uint8_t *data, uint64_t size);
  Status checkRanges() const;
};

} // namespace

static Status bad(const char *what) {
  return error(Code::Malformed, "recipe: %s", what);
}

Status Recipe::read(const uint8_t *data, uint64_t size) {
  uint64_t start = sizeof header + sizeof engine;
  if (size < start)
    return bad("shorter than its headers");
  std::memcpy(&header, data, sizeof header);
  std::memcpy(&engine, data + sizeof header, sizeof engine);
  if (std::memcmp(header.magic, kRecipeMagic, sizeof header.magic) != 0)
    return bad("other magic bytes (made by nibble-run strip?)");
  if (header.version != kRecipeVersion)
    return error(Code::Unsupported, "recipe version %u, this runtime reads %u",
                 header.version, kRecipeVersion);
  uint64_t tableBytes = header.ranges * sizeof(RecipeRange);
  if (tableBytes > size - start || header.restSize != size - start - tableBytes)
    return bad("truncated, or longer than its header says");
  Hasher hash;
  hash.add(data + sizeof header, sizeof engine + tableBytes);
  if (hash.digest() != header.tableHash)
    return bad("the table is corrupt");
  ranges.resize(header.ranges);
  if (tableBytes)
    std::memcpy(ranges.data(), data + start, tableBytes);
  rest = data + start + tableBytes;
  if (XXH3_64bits(rest, header.restSize) != header.restHash)
    return bad("the bytes of the engine are corrupt");
  return checkRanges();
}

static bool isKnown(const RecipeRange &range) {
  if (range.format >= kNumFormats || !std::isfinite(range.std))
    return false;
  auto format = StorageFormat(range.format);
  double unused;
  bool isCode = RandomCodes::getStd(format, unused);
  return range.kind == RecipeKind::Codes ? isCode
         : range.kind == RecipeKind::Scales
             ? (isCode && formatBits(format) >= 8) ||
                   format == StorageFormat::E8M0
             : false;
}

Status Recipe::checkRanges() const {
  uint64_t at = 0, made = 0;
  for (const RecipeRange &range : ranges) {
    if (!isKnown(range))
      return bad("a range of a format that is not known");
    if (range.offset < at || range.bytes > engine.blobsSize ||
        range.offset > engine.blobsSize - range.bytes)
      return bad("ranges overlap or leave the engine");
    at = range.offset + range.bytes;
    made += range.bytes;
  }
  if (engine.metadataSize > header.restSize ||
      header.restSize - engine.metadataSize != engine.blobsSize - made)
    return bad("its parts do not add up");
  return Status();
}

Status nibble::rt::refillEngine(const std::string &recipePath,
                                const std::string &enginePath) {
  MappedFile file;
  NIBBLE_RETURN_IF_ERROR(file.open(recipePath));
  Recipe recipe;
  NIBBLE_RETURN_IF_ERROR(
      recipe.read(file.data(), file.size()).withContext(recipePath));
  BlobFile out;
  std::vector<uint8_t> page(kEnginePage);
  NIBBLE_RETURN_IF_ERROR(out.open(enginePath));
  NIBBLE_RETURN_IF_ERROR(out.append(page.data(), page.size()));
  const uint8_t *rest = recipe.rest;
  auto copy = [&](uint64_t, uint64_t size) -> Status {
    rest += size;
    return size ? out.append(rest - size, size) : Status();
  };
  NIBBLE_RETURN_IF_ERROR(assemble(
      recipe.ranges, recipe.engine.blobsSize, copy,
      [&](const RecipeRange &range) {
        return generate(range, [&](const uint8_t *data, uint64_t size) {
          return out.append(data, size);
        });
      }));
  NIBBLE_RETURN_IF_ERROR(copy(0, recipe.engine.metadataSize));
  NIBBLE_RETURN_IF_ERROR(out.commit(&recipe.engine, sizeof recipe.engine));
  LoadOptions check;
  check.checkBlobs = true;
  Status status = Engine::load(enginePath, check).status();
  if (!status.ok())
    ::unlink(enginePath.c_str());
  return status;
}
