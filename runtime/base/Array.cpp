// Conversions between what numpy can hold and what a port wants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/array.h"

#include <algorithm>

using namespace nibble::rt;

static Status cannotAdapt(const Array &array, const std::string &dtype,
                          Span<const int64_t> shape) {
  return error(
      Code::InvalidArgument, "wanted %s, got %s",
      describe(dtype, shape.data(), shape.size()).c_str(),
      describe(array.dtype, array.shape.data(), array.shape.size()).c_str());
}

/// Types that numpy lacks and that are written as codes.
static bool isRawType(StorageFormat elem) {
  return elem == StorageFormat::BF16 || formatBits(elem) == 4 ||
         (isFloatFormat(elem) && formatBits(elem) == 8);
}

/// Codes of a 4-bit type, one per byte, packed.
static std::vector<uint8_t> packCodes(const Array &array) {
  std::vector<uint8_t> out(array.data.size() / 2 + array.data.size() % 2);
  packNibbles(array.data.data(), array.data.size(), out.data());
  return out;
}

static bool isRawFor(StorageFormat have, StorageFormat want) {
  if (!isRawType(want))
    return false;
  if (formatBits(want) == 16)
    return have == StorageFormat::U16;
  return have == StorageFormat::U8 ||
         (want == StorageFormat::I4 && have == StorageFormat::I8);
}

static std::vector<uint8_t> roundAll(const Array &array, StorageFormat have,
                                     StorageFormat want, uint64_t count) {
  std::vector<uint8_t> out(formatBytes(want, count));
  for (uint64_t i = 0; i < count; ++i)
    storeCode(want, out.data(), i,
              encode(want, decode(have, loadCode(have, array.data.data(), i))));
  return out;
}

/// A scaled value only ever comes as the bytes of its whole buffer.
static Result<Array> adaptScaled(Array array, const std::string &dtype,
                                 const DType &type, Span<const int64_t> shape,
                                 std::string &note) {
  Result<StorageLayout> layout =
      storageLayout(type, shape.data(), shape.size());
  if (!layout.ok())
    return layout.status();
  if (array.dtype != "ui8" || array.data.size() < layout->total)
    return cannotAdapt(array, dtype, shape);
  note = "taken as raw bytes of " + dtype;
  array.dtype = dtype;
  array.shape.assign(shape.begin(), shape.end());
  return array;
}

Result<Array> nibble::rt::adaptArray(Array array, const std::string &dtype,
                                     Span<const int64_t> shape,
                                     std::string &note) {
  note.clear();
  Result<DType> type = parseDType(dtype);
  if (!type.ok())
    return type.status();
  if (type->isScaled())
    return adaptScaled(std::move(array), dtype, *type, shape, note);
  StorageFormat have = parseElem(array.dtype), want = type->elem;
  bool sameShape = std::equal(array.shape.begin(), array.shape.end(),
                              shape.begin(), shape.end());
  if (have == StorageFormat::None || !sameShape)
    return cannotAdapt(array, dtype, shape);
  uint64_t count = *elementCount(shape.data(), shape.size());
  bool haveFloat = have == StorageFormat::F32 || have == StorageFormat::F64;
  if (have == want) {
    // Only the spelling of the type may differ.
  } else if (isRawFor(have, want)) {
    note = "taken as codes of " + dtype;
    if (formatBits(want) == 4)
      array.data = packCodes(array);
  } else if (haveFloat && isFloatFormat(want) &&
             formatBits(want) < formatBits(have)) {
    note = array.dtype + " rounded to " + dtype;
    array.data = roundAll(array, have, want, count);
  } else {
    return cannotAdapt(array, dtype, shape);
  }
  array.dtype = dtype;
  return array;
}

Result<std::vector<double>> nibble::rt::toDoubles(const std::string &dtype,
                                                  Span<const int64_t> shape,
                                                  const void *data,
                                                  uint64_t bytes) {
  StorageFormat elem = parseElem(dtype);
  if (elem == StorageFormat::None)
    return error(Code::Unsupported, "values of type %s cannot be compared",
                 dtype.c_str());
  Result<uint64_t> count = elementCount(shape.data(), shape.size());
  if (!count.ok())
    return count.status();
  if (bytes < formatBytes(elem, *count))
    return error(Code::InvalidArgument, "%s needs %zu bytes, got %llu",
                 describe(dtype, shape.data(), shape.size()).c_str(),
                 formatBytes(elem, *count),
                 static_cast<unsigned long long>(bytes));
  std::vector<double> out(*count);
  decodeArray(elem, data, 0, *count, out.data());
  return out;
}
