// Names, sizes and storage of element types.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/dtype.h"

#include <algorithm>

using namespace nibble::rt;

StorageFormat nibble::rt::parseElem(std::string_view name) {
  StorageFormat format = formatFromName(name);
  if (format != StorageFormat::None || name.size() > 32)
    return format;
  if (name == "float64")
    return StorageFormat::F64;
  if (name == "float32")
    return StorageFormat::F32;
  // ONNX spells the others like numpy, in capitals.
  std::string upper;
  for (char c : name)
    upper += c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c;
  return formatFromName(upper);
}

static std::string_view trim(std::string_view text) {
  size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos)
    return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

static Status badType(std::string_view text, const char *why) {
  return error(Code::Malformed,
               "element type '%.*s': %s; wanted f32, f16, bf16, si8, ... or "
               "!nq.scaled<STORAGE, SCALE per BLOCK(, global T)(, zero_point)>",
               int(std::min<size_t>(text.size(), 200)), text.data(), why);
}

static DType scaledType(StorageFormat code, StorageFormat scale,
                        std::vector<int64_t> block, StorageFormat global) {
  DType type;
  type.elem = code;
  type.scale = scale;
  type.block = std::move(block);
  type.global = global;
  return type;
}

/// One extent: digits, or `?` / `*` for the full one, as 0. -1 if neither.
static int64_t parseExtent(std::string_view text) {
  if (text == "?" || text == "*")
    return 0;
  if (text.empty() || text.size() > 12)
    return -1;
  int64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9')
      return -1;
    value = value * 10 + (c - '0');
  }
  return value > 0 ? value : -1;
}

/// Parses "1x16" into `block`; "tensor" leaves it empty.
static bool parseBlock(std::string_view text, std::vector<int64_t> &block) {
  if (text == "tensor")
    return true;
  while (block.size() < 16) {
    size_t cut = text.find('x');
    int64_t extent = parseExtent(text.substr(0, cut));
    if (extent < 0)
      return false;
    block.push_back(extent);
    if (cut == std::string_view::npos)
      return true;
    text.remove_prefix(cut + 1);
  }
  return false;
}

/// Splits at commas and trims.
static std::vector<std::string_view> splitArgs(std::string_view body) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t cut = body.find(',');
    parts.push_back(trim(body.substr(0, cut)));
    if (cut == std::string_view::npos || parts.size() > 8)
      return parts;
    body.remove_prefix(cut + 1);
  }
}

static bool isCode(StorageFormat elem) {
  switch (elem) {
  case StorageFormat::E2M1:
  case StorageFormat::E4M3FN:
  case StorageFormat::E5M2:
  case StorageFormat::I4:
  case StorageFormat::U4:
  case StorageFormat::I8:
  case StorageFormat::U8:
  case StorageFormat::F16: // narrow codes, stored wider
  case StorageFormat::BF16:
    return true;
  default:
    return false;
  }
}

static bool isScale(StorageFormat elem) {
  return elem == StorageFormat::F32 || elem == StorageFormat::F16 ||
         elem == StorageFormat::BF16 || elem == StorageFormat::E4M3FN ||
         elem == StorageFormat::E8M0;
}

/// Parses what stands between `!nq.scaled<` and `>`.
static Result<DType> parseScaled(std::string_view text, std::string_view body) {
  std::vector<std::string_view> parts = splitArgs(body);
  if (parts.size() < 2)
    return badType(text, "no scale");
  DType type;
  type.elem = parseElem(parts[0]);
  if (!isCode(type.elem))
    return badType(text, "unknown storage type");
  size_t per = parts[1].find(" per ");
  if (per == std::string_view::npos)
    return badType(text, "the scale has no 'per BLOCK'");
  type.scale = parseElem(trim(parts[1].substr(0, per)));
  if (!isScale(type.scale))
    return badType(text, "unknown scale type");
  if (!parseBlock(trim(parts[1].substr(per + 5)), type.block))
    return badType(text, "bad block");
  for (size_t i = 2; i < parts.size(); ++i) {
    if (parts[i] == "zero_point") {
      type.zeroPoint = true;
      continue;
    }
    if (parts[i].substr(0, 7) != "global ")
      return badType(text, "unknown part after the scale");
    type.global = parseElem(trim(parts[i].substr(7)));
    if (type.global != StorageFormat::F32 &&
        type.global != StorageFormat::F16 && type.global != StorageFormat::BF16)
      return badType(text, "unknown type of the global scale");
  }
  return type;
}

Result<DType> nibble::rt::parseDType(std::string_view text) {
  if (text == "!nq.nvfp4")
    return scaledType(StorageFormat::E2M1, StorageFormat::E4M3FN, {1, 16},
                      StorageFormat::F32);
  if (text == "!nq.mxfp4")
    return scaledType(StorageFormat::E2M1, StorageFormat::E8M0, {1, 32},
                      StorageFormat::None);
  if (text == "!nq.mxfp8")
    return scaledType(StorageFormat::E4M3FN, StorageFormat::E8M0, {1, 32},
                      StorageFormat::None);
  if (text == "!nq.fp8")
    return scaledType(StorageFormat::E4M3FN, StorageFormat::F32, {},
                      StorageFormat::None);
  constexpr std::string_view prefix = "!nq.scaled<";
  if (text.substr(0, prefix.size()) == prefix && text.back() == '>')
    return parseScaled(
        text, text.substr(prefix.size(), text.size() - prefix.size() - 1));
  DType type;
  type.elem = parseElem(text);
  if (type.elem == StorageFormat::None)
    return badType(text, "unknown");
  return type;
}

static constexpr uint64_t kMaxElements = uint64_t(1) << 62;

Result<uint64_t> nibble::rt::elementCount(const int64_t *shape, size_t rank) {
  uint64_t count = 1;
  bool empty = false;
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] < 0)
      return error(Code::Malformed, "dimension %zu is negative (%lld)", i,
                   static_cast<long long>(shape[i]));
    empty |= shape[i] == 0;
    // Checked even when another dimension is 0: a huge one is nonsense anyway.
    uint64_t extent = shape[i] ? shape[i] : 1;
    if (count > kMaxElements / extent)
      return error(Code::Malformed, "the number of elements overflows");
    count *= extent;
  }
  return empty ? 0 : count;
}

/// ceil(count * bits / 8); counts are at most 2^62, so 4 and 8 bits fit.
static bool bytesFor(uint64_t count, unsigned bits, uint64_t &bytes) {
  if (bits == 4) {
    bytes = count / 2 + count % 2;
    return true;
  }
  return !__builtin_mul_overflow(count, uint64_t(bits / 8), &bytes) &&
         bytes <= kMaxElements;
}

/// Appends a section at the next multiple of 64.
static bool addSection(StorageLayout &layout, uint64_t &at, uint64_t &bytes,
                       uint64_t count, unsigned bits) {
  at = (layout.total + 63) / 64 * 64;
  if (!bytesFor(count, bits, bytes))
    return false;
  layout.total = at + bytes;
  return layout.total <= kMaxElements;
}

/// Number of scales: the product of ceil(shape / block).
static uint64_t gridCount(const DType &type, const int64_t *shape,
                          size_t rank) {
  if (type.block.empty())
    return 1;
  uint64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    size_t fromEnd = rank - i;
    int64_t block = 1;
    if (fromEnd <= type.block.size())
      block = type.block[type.block.size() - fromEnd];
    if (block == 0)
      block = shape[i] ? shape[i] : 1;
    // At most the number of elements, so it cannot overflow. The extra term
    // instead of shape + block - 1 keeps large blocks safe as well.
    count *= shape[i] / block + (shape[i] % block != 0);
  }
  return count;
}

Result<StorageLayout> nibble::rt::storageLayout(const DType &type,
                                                const int64_t *shape,
                                                size_t rank) {
  Result<uint64_t> count = elementCount(shape, rank);
  if (!count.ok())
    return count.status();
  if (type.block.size() > rank)
    return error(Code::Malformed,
                 "the block has %zu dimensions, the shape only %zu",
                 type.block.size(), rank);
  StorageLayout l;
  bool fits =
      addSection(l, l.codes, l.codesBytes, *count, formatBits(type.elem));
  if (type.isScaled() && fits) {
    uint64_t grid = gridCount(type, shape, rank);
    fits = addSection(l, l.scales, l.scalesBytes, grid, formatBits(type.scale));
    if (fits && type.global != StorageFormat::None)
      fits = addSection(l, l.global, l.globalBytes, 1, formatBits(type.global));
    if (fits && type.zeroPoint)
      fits = addSection(l, l.zeroPoints, l.zeroPointsBytes, grid, 8);
  }
  if (!fits)
    return error(Code::Malformed, "the size in bytes overflows");
  return l;
}

std::string nibble::rt::describe(std::string_view dtype, const int64_t *shape,
                                 size_t rank) {
  std::string text(dtype);
  text += '[';
  for (size_t i = 0; i < rank; ++i) {
    if (i)
      text += 'x';
    text += std::to_string(shape[i]);
  }
  return text + ']';
}
