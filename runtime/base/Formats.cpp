// Storage formats chosen at run time: dispatch to the codecs of each format.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/formats.h"

using namespace nibble::rt;

namespace {

template <StorageFormat F> using Tag = std::integral_constant<StorageFormat, F>;

/// Calls fn with the format as a type; None behaves as an 8-bit code of value 0
/// would, through U8.
template <typename Fn> auto dispatch(StorageFormat format, Fn &&fn) {
  using S = StorageFormat;
  switch (format) {
  case S::F64:
    return fn(Tag<S::F64>());
  case S::F32:
    return fn(Tag<S::F32>());
  case S::F16:
    return fn(Tag<S::F16>());
  case S::BF16:
    return fn(Tag<S::BF16>());
  case S::E4M3FN:
    return fn(Tag<S::E4M3FN>());
  case S::E5M2:
    return fn(Tag<S::E5M2>());
  case S::E4M3FNUZ:
    return fn(Tag<S::E4M3FNUZ>());
  case S::E5M2FNUZ:
    return fn(Tag<S::E5M2FNUZ>());
  case S::E8M0:
    return fn(Tag<S::E8M0>());
  case S::E2M1:
    return fn(Tag<S::E2M1>());
  case S::Bool:
    return fn(Tag<S::Bool>());
  case S::I4:
    return fn(Tag<S::I4>());
  case S::I8:
    return fn(Tag<S::I8>());
  case S::I16:
    return fn(Tag<S::I16>());
  case S::I32:
    return fn(Tag<S::I32>());
  case S::I64:
    return fn(Tag<S::I64>());
  case S::U4:
    return fn(Tag<S::U4>());
  case S::U16:
    return fn(Tag<S::U16>());
  case S::U32:
    return fn(Tag<S::U32>());
  case S::U64:
    return fn(Tag<S::U64>());
  case S::U8:
  case S::None:
    break;
  }
  return fn(Tag<S::U8>());
}

/// The unsigned integer that holds one code in memory.
template <unsigned Bits>
using Word = std::conditional_t<
    Bits == 64, uint64_t,
    std::conditional_t<Bits == 32, uint32_t,
                       std::conditional_t<Bits == 16, uint16_t, uint8_t>>>;

template <StorageFormat F> uint64_t load(const void *data, size_t index) {
  if constexpr (formatBits(F) == 4) {
    uint8_t byte = static_cast<const uint8_t *>(data)[index / 2];
    return index % 2 ? byte >> 4 : byte & 15;
  } else {
    Word<formatBits(F)> word;
    std::memcpy(&word,
                static_cast<const uint8_t *>(data) + index * sizeof(word),
                sizeof(word));
    return word;
  }
}

template <StorageFormat F> void store(void *data, size_t index, uint64_t code) {
  if constexpr (formatBits(F) == 4) {
    uint8_t &byte = static_cast<uint8_t *>(data)[index / 2];
    byte = index % 2 ? (byte & 0x0f) | uint8_t(code << 4)
                     : (byte & 0xf0) | uint8_t(code & 15);
  } else {
    auto word = static_cast<Word<formatBits(F)>>(code);
    std::memcpy(static_cast<uint8_t *>(data) + index * sizeof(word), &word,
                sizeof(word));
  }
}

template <typename T>
void decodeTo(StorageFormat format, const void *data, size_t first,
              size_t count, T *out) {
  dispatch(format, [&](auto tag) {
    constexpr StorageFormat F = decltype(tag)::value;
    for (size_t i = 0; i < count; ++i)
      out[i] = static_cast<T>(decodeAs<F>(load<F>(data, first + i)));
  });
}

template <typename T>
void encodeFrom(StorageFormat format, const T *in, size_t first, size_t count,
                void *data, Overflow overflow) {
  dispatch(format, [&](auto tag) {
    constexpr StorageFormat F = decltype(tag)::value;
    size_t i = 0;
    if constexpr (formatBits(F) == 4) {
      if (first % 2 && count > 0)
        store<F>(data, first, encodeAs<F>(in[i++], overflow));
      uint8_t *bytes = static_cast<uint8_t *>(data) + (first + i) / 2;
      for (; i + 1 < count; i += 2)
        *bytes++ = static_cast<uint8_t>(encodeAs<F>(in[i], overflow) |
                                        encodeAs<F>(in[i + 1], overflow) << 4);
    }
    for (; i < count; ++i)
      store<F>(data, first + i, encodeAs<F>(in[i], overflow));
  });
}

template <typename T>
uint64_t encodeOne(StorageFormat format, T x, Overflow overflow) {
  return dispatch(format, [&](auto tag) -> uint64_t {
    return encodeAs<decltype(tag)::value>(x, overflow);
  });
}

/// Case-sensitive; signless integers are signed, as in ONNX and in MLIR.
struct Alias {
  std::string_view name;
  StorageFormat format;
};
constexpr Alias kAliases[] = {
    {"i4", StorageFormat::I4},   {"i8", StorageFormat::I8},
    {"i16", StorageFormat::I16}, {"i32", StorageFormat::I32},
    {"i64", StorageFormat::I64},
};

} // namespace

StorageFormat nibble::rt::formatFromName(std::string_view name) {
  for (unsigned i = 1; i < kNumFormats; ++i)
    if (name == kFormatInfo[i].name || name == kFormatInfo[i].onnxName)
      return static_cast<StorageFormat>(i);
  for (const Alias &alias : kAliases)
    if (name == alias.name)
      return alias.format;
  return StorageFormat::None;
}

StorageFormat nibble::rt::formatFromOnnx(int64_t dataType) {
  for (unsigned i = 1; i < kNumFormats; ++i)
    if (dataType == kFormatInfo[i].onnxType)
      return static_cast<StorageFormat>(i);
  return StorageFormat::None;
}

double nibble::rt::decode(StorageFormat format, uint64_t code) {
  return dispatch(format, [&](auto tag) -> double {
    return static_cast<double>(decodeAs<decltype(tag)::value>(code));
  });
}

uint64_t nibble::rt::encode(StorageFormat format, double x, Overflow overflow) {
  return encodeOne(format, x, overflow);
}

uint64_t nibble::rt::encode(StorageFormat format, float x, Overflow overflow) {
  return encodeOne(format, x, overflow);
}

double nibble::rt::roundTo(StorageFormat format, double x, Overflow overflow) {
  return dispatch(format, [&](auto tag) -> double {
    constexpr StorageFormat F = decltype(tag)::value;
    return static_cast<double>(decodeAs<F>(encodeAs<F>(x, overflow)));
  });
}

uint64_t nibble::rt::loadCode(StorageFormat format, const void *data,
                              size_t index) {
  return dispatch(format, [&](auto tag) -> uint64_t {
    return load<decltype(tag)::value>(data, index);
  });
}

void nibble::rt::storeCode(StorageFormat format, void *data, size_t index,
                           uint64_t code) {
  dispatch(format,
           [&](auto tag) { store<decltype(tag)::value>(data, index, code); });
}

void nibble::rt::decodeArray(StorageFormat format, const void *data,
                             size_t first, size_t count, float *out) {
  decodeTo(format, data, first, count, out);
}

void nibble::rt::decodeArray(StorageFormat format, const void *data,
                             size_t first, size_t count, double *out) {
  decodeTo(format, data, first, count, out);
}

void nibble::rt::encodeArray(StorageFormat format, const float *in,
                             size_t first, size_t count, void *data,
                             Overflow overflow) {
  encodeFrom(format, in, first, count, data, overflow);
}

void nibble::rt::encodeArray(StorageFormat format, const double *in,
                             size_t first, size_t count, void *data,
                             Overflow overflow) {
  encodeFrom(format, in, first, count, data, overflow);
}

void nibble::rt::packNibbles(const uint8_t *codes, size_t count,
                             uint8_t *packed) {
  for (size_t i = 0; i < count / 2; ++i)
    packed[i] = (codes[2 * i] & 15) | uint8_t(codes[2 * i + 1] << 4);
  if (count % 2)
    packed[count / 2] = codes[count - 1] & 15;
}

void nibble::rt::unpackNibbles(const uint8_t *packed, size_t count,
                               uint8_t *codes) {
  for (size_t i = 0; i < count; ++i)
    codes[i] = i % 2 ? packed[i / 2] >> 4 : packed[i / 2] & 15;
}
