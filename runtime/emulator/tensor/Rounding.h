// Accumulators of tensor cores: codes to numbers, sums to codes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_ROUNDING_H
#define NIBBLE_RT_EMULATOR_TENSOR_ROUNDING_H

#include "isa/Half.h"
#include "tensor/Dot.h"
#include "tensor/WideSum.h"

namespace nibble {
namespace emu {
namespace tensor {

/// 2^exponent, within the range of normal doubles.
inline double powerOfTwo(int exponent) {
  return bitCast<double>(uint64_t(exponent + 1023) << 52);
}

/// Each says how an accumulator is read, how a sum (rounded to odd) becomes
/// one, and what a reduced precision leaves of it.
struct FloatAccumulator {
  using Code = float;
  static constexpr int kLeastExponent = -126;
  static double load(Code code) { return double(code); }
  static Code store(double sum) {
    return sum == sum ? float(sum) : bitCast<float>(kFloatNan);
  }
  static double reduce(double sum, Precision precision) {
    if (sum == 0 || !std::isfinite(sum))
      return sum;
    int exponent = std::max(std::ilogb(sum), kLeastExponent);
    double scale = powerOfTwo(int(precision.result) - exponent);
    return std::trunc(sum * scale) / scale;
  }
};

struct HalfAccumulator {
  using Code = uint16_t;
  static constexpr int kLeastExponent = -14;
  static double load(Code code) { return double(halfToFloat(code)); }
  static Code store(double sum) { return toHalf(sum); }
  static double reduce(double sum, Precision) { return sum; }
};

/// Sums of integers are exact in double: 2^5 products below 2^16, and 2^31.
template <bool Saturate> struct IntegerAccumulator {
  using Code = int32_t;
  static constexpr int kLeastExponent = 0;
  static double load(Code code) { return double(code); }
  static Code store(double sum) {
    if (Saturate)
      return Code(std::min(std::max(sum, -0x1p31), 0x1p31 - 1));
    return Code(uint32_t(int64_t(sum)));
  }
  static double reduce(double sum, Precision) { return sum; }
};

/// sum + c rounded to odd, where `sum` is exact.
inline double addToOdd(double sum, double c) {
  double total = sum + c;
  return roundToOdd(total, sumError(sum, c, total));
}

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_ROUNDING_H
