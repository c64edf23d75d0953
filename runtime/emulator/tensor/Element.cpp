// Elements of the multiplicands of tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Element.h"

#include "tensor/Vector.h"

#include "nibble/rt/float_codec.h"

#include <cmath>
#if defined(__F16C__)
#include <immintrin.h>
#endif

using namespace nibble;
using namespace nibble::emu::tensor;
using rt::StorageFormat;

namespace {
struct Info {
  const char *name;
  uint8_t bytes;
  int8_t least, greatest; ///< exponents
  uint8_t significand;
};
constexpr Info kInfos[] = {
    {"f16", 2, -14, 15, 11},    {"bf16", 2, -126, 127, 8},
    {"tf32", 4, -126, 127, 11}, {"e4m3", 1, -6, 8, 4},
    {"e5m2", 1, -14, 15, 3},    {"e2m3", 1, 0, 2, 4},
    {"e3m2", 1, -2, 4, 3},      {"e2m1", 1, 0, 2, 2},
    {"s8", 1, 0, 7, 1},         {"u8", 1, 0, 7, 1}};

/// The formats of 6 bits have neither infinity nor NaN (PTX ISA 5.2.3).
double decodeSix(uint32_t code, int mantissaBits, int bias) {
  int exponent = int(code >> mantissaBits & ((1 << (5 - mantissaBits)) - 1));
  int mantissa = int(code & ((1u << mantissaBits) - 1));
  if (exponent)
    mantissa += 1 << mantissaBits;
  double value =
      std::ldexp(mantissa, std::max(exponent, 1) - bias - mantissaBits);
  return code & 32 ? -value : value;
}
} // namespace

bool nibble::emu::tensor::parseElement(std::string_view word,
                                       Element &element) {
  for (unsigned i = 0; i < sizeof kInfos / sizeof *kInfos; ++i)
    if (word == kInfos[i].name) {
      element = Element(i);
      return true;
    }
  return false;
}

const char *nibble::emu::tensor::elementName(Element element) {
  return kInfos[unsigned(element)].name;
}

unsigned nibble::emu::tensor::bytesOf(Element element) {
  return kInfos[unsigned(element)].bytes;
}

int nibble::emu::tensor::leastExponent(Element element) {
  return kInfos[unsigned(element)].least;
}

int nibble::emu::tensor::greatestExponent(Element element) {
  return kInfos[unsigned(element)].greatest;
}

unsigned nibble::emu::tensor::significandBits(Element element) {
  return kInfos[unsigned(element)].significand;
}

double nibble::emu::tensor::decode(Element element, uint32_t code) {
  switch (element) {
  case Element::F16:
    return rt::decodeF16(uint16_t(code));
  case Element::BF16:
    return rt::decodeBF16(uint16_t(code));
  case Element::TF32:
    return rt::floatFromBits(code & ~0x1FFFu);
  case Element::E4M3:
    return double(rt::decodeAs<StorageFormat::E4M3FN>(uint8_t(code)));
  case Element::E5M2:
    return double(rt::decodeAs<StorageFormat::E5M2>(uint8_t(code)));
  case Element::E2M3:
    return decodeSix(code, 3, 1);
  case Element::E3M2:
    return decodeSix(code, 2, 3);
  case Element::E2M1:
    return double(rt::decodeAs<StorageFormat::E2M1>(code & 15));
  case Element::S8:
    return int8_t(code);
  case Element::U8:
    return uint8_t(code);
  }
  return 0;
}

double nibble::emu::tensor::decodeScale(Scale scale, uint8_t code) {
  return double(scale == Scale::UE8M0 ? rt::decodeE8M0(code)
                                      : rt::decodeE4M3(uint8_t(code & 0x7F)));
}

namespace {
/// Values of all codes of a type of one byte.
struct ByteTable {
  explicit ByteTable(Element element) {
    for (unsigned code = 0; code < 256; ++code)
      values[code] = decode(element, code);
  }
  double values[256];
};

template <Element E> const double *byteTable() {
  static const ByteTable kTable(E);
  return kTable.values;
}

const double *byteTable(Element element) {
  switch (element) {
  case Element::E4M3:
    return byteTable<Element::E4M3>();
  case Element::E5M2:
    return byteTable<Element::E5M2>();
  case Element::E2M3:
    return byteTable<Element::E2M3>();
  case Element::E3M2:
    return byteTable<Element::E3M2>();
  case Element::E2M1:
    return byteTable<Element::E2M1>();
  case Element::S8:
    return byteTable<Element::S8>();
  default:
    return byteTable<Element::U8>();
  }
}

/// Four FP32 numbers as doubles.
void storeDoubles(VectorOf<uint32_t> codes, double *to) {
  storeVector(to, __builtin_convertvector(VectorOf<float>(codes), Vector));
}

void decodeHalves(const uint8_t *bytes, double *to) {
#if defined(__F16C__)
  __m256 v = _mm256_cvtph_ps(
      _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes)));
  _mm256_storeu_pd(to, _mm256_cvtps_pd(_mm256_castps256_ps128(v)));
  _mm256_storeu_pd(to + 4, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
#else
  uint16_t codes[8];
  std::memcpy(codes, bytes, sizeof codes);
  for (unsigned i = 0; i < 8; ++i)
    to[i] = rt::decodeF16(codes[i]);
#endif
}

void decodeBrains(const uint8_t *bytes, double *to) {
  uint16_t codes[8];
  std::memcpy(codes, bytes, sizeof codes);
  for (unsigned i = 0; i < 8; i += kLanes)
    storeDoubles(
        __builtin_convertvector(loadVector(codes + i), VectorOf<uint32_t>)
            << 16,
        to + i);
}

void decodeWords(const uint8_t *bytes, double *to) {
  uint32_t codes[kLanes];
  std::memcpy(codes, bytes, sizeof codes);
  storeDoubles(loadVector(codes) & ~0x1FFFu, to);
}
} // namespace

void nibble::emu::tensor::decodeChunk(Element element, const uint8_t *bytes,
                                      double *values) {
  if (element == Element::F16)
    return decodeHalves(bytes, values);
  if (element == Element::BF16)
    return decodeBrains(bytes, values);
  if (element == Element::TF32)
    return decodeWords(bytes, values);
  const double *table = byteTable(element);
  for (unsigned i = 0; i < 16; ++i)
    values[i] = table[bytes[i]];
}

void nibble::emu::tensor::decodePackedChunk(Element element,
                                            const uint8_t *bytes,
                                            unsigned count, double *values) {
  bool isSix = element == Element::E2M3 || element == Element::E3M2;
  if (!isSix && element != Element::E2M1)
    return decodeChunk(element, bytes, values);
  const double *table = byteTable(element);
  if (!isSix) {
    for (unsigned i = 0; i < count; ++i)
      values[i] = table[bytes[i / 2] >> (4 * (i % 2)) & 15];
    return;
  }
  for (unsigned i = 0; i < count; ++i) {
    unsigned at = 6 * i;
    unsigned window =
        bytes[at / 8] | (at / 8 < 15 ? bytes[at / 8 + 1] << 8 : 0);
    values[i] = table[window >> (at % 8) & 63];
  }
}
