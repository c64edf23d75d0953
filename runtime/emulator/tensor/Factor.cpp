// Multiplicands: their values, and the bits that these use.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Dot.h"

#include "isa/Numbers.h"

#include <algorithm>
#include <cstring>

using namespace nibble::emu;
using namespace nibble::emu::tensor;

namespace {
constexpr unsigned kStep = 4; ///< doubles of a vector
constexpr int kFar = 1 << 20; ///< beyond all exponents

using Bits = int64_t __attribute__((vector_size(8 * kStep)));

/// Zeros have no bits; infinities and NaNs come out right in any arithmetic.
bool counts(int exponentField) {
  return exponentField != 0 && exponentField != 2047; // none is subnormal
}

/// The bits that the values use, exactly.
Factor::Span exactSpan(const double *values, unsigned k) {
  Factor::Span span{-kFar, kFar};
  for (unsigned i = 0; i < k; ++i) {
    uint64_t bits = bitCast<uint64_t>(values[i]);
    int field = int(bits >> 52 & 2047);
    if (!counts(field))
      continue;
    uint64_t mantissa = bits << 12;
    int used = mantissa ? 64 - __builtin_ctzll(mantissa) : 0;
    span.high = std::max(span.high, field - 1023 + 1);
    span.low = std::min(span.low, field - 1023 - used);
  }
  return span; // of zeros: exact with anything
}

/// The bits that values of an element with these exponents can use; k is a
/// multiple of kStep.
Factor::Span quickSpan(const double *values, unsigned k, Element element) {
  Bits high = {}, low = high + 2047;
  for (unsigned i = 0; i < k; i += kStep) {
    Bits field;
    std::memcpy(&field, values + i, sizeof field);
    field = field >> 52 & 2047;
    Bits isCounted = (field != 0) & (field != 2047);
    Bits most = field & isCounted, least = most | (2047 & ~isCounted);
    high = most > high ? most : high;
    low = least < low ? least : low;
  }
  int top = 0, bottom = 2047;
  for (unsigned i = 0; i < kStep; ++i) {
    top = std::max(top, int(high[i]));
    bottom = std::min(bottom, int(low[i]));
  }
  if (!top)
    return {-kFar, kFar};
  int lowest = std::max(bottom - 1023, leastExponent(element));
  return {top - 1023 + 1, lowest - int(significandBits(element)) + 1};
}
} // namespace

Factor::Factor(Element element, unsigned rows, unsigned k)
    : element(element), rows(rows), k(k), spans(rows),
      values(size_t(rows) * k) {}

/// Types of a byte, E5M2 excepted, have so few bits that they need no look.
Factor::Span Factor::spanOf(const double *row) const {
  if (isScaled || k % kStep)
    return exactSpan(row, k);
  if (bytesOf(element) > 1 || element == Element::E5M2)
    return quickSpan(row, k, element);
  return {greatestExponent(element) + 1,
          leastExponent(element) - int(significandBits(element)) + 1};
}

void Factor::seal() {
  for (unsigned r = 0; r < rows; ++r)
    spans[r] = spanOf(row(r));
}

void Factor::setChunk(unsigned r, unsigned column, const uint8_t *bytes,
                      double scale) {
  double *to = row(r) + column;
  decodeChunk(element, bytes, to);
  for (unsigned i = 0; scale != 1 && i < 16 / bytesOf(element); ++i)
    to[i] *= scale;
  isScaled |= scale != 1 && scale != -1;
}

void Factor::setPacked(unsigned r, unsigned column, const uint8_t *bytes,
                       unsigned count, double scale) {
  double table[16];
  for (unsigned code = 0; code < 16; ++code)
    table[code] = decode(Element::E2M1, code) * scale;
  double *to = row(r) + column;
  for (unsigned i = 0; i < count; i += 2) {
    to[i] = table[bytes[i / 2] & 15];
    to[i + 1] = table[bytes[i / 2] >> 4];
  }
  isScaled |= scale != 1 && scale != -1;
}
