// 16-bit floats as numbers, and rounding to a number of bits in any direction.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_HALF_H
#define NIBBLE_RT_EMULATOR_ISA_HALF_H

#include "isa/Numbers.h"

#include "nibble/rt/float_codec.h"

#include <cmath>

namespace nibble {
namespace emu {

inline float halfToFloat(uint16_t bits) { return rt::decodeF16(bits); }
inline float bfloatToFloat(uint16_t bits) { return rt::decodeBF16(bits); }

/// NaNs of results have one bit pattern on NVIDIA GPUs.
constexpr uint16_t kHalfNan = 0x7FFF;
constexpr uint32_t kFloatNan = 0x7FFFFFFF;

/// Round to nearest even, overflow to infinity.
inline uint16_t toHalf(double x) {
  return std::isnan(x) ? kHalfNan
                       : uint16_t(rt::encodeAs<rt::StorageFormat::F16>(
                             x, rt::Overflow::NonFinite));
}
inline uint16_t toBFloat(double x) {
  return std::isnan(x) ? kHalfNan
                       : uint16_t(rt::encodeAs<rt::StorageFormat::BF16>(
                             x, rt::Overflow::NonFinite));
}

enum class Round : uint8_t { Nearest, Zero, Down, Up, NearestAway };

/// x with `mantissa` stored bits and the least exponent `minExponent` (of a
/// normal number), rounded; without regard to a largest exponent.
template <typename T> // double or long double
inline T roundBits(T x, int mantissa, int minExponent, Round mode) {
  if (x == 0 || !std::isfinite(x))
    return x;
  int exponent = std::max(std::ilogb(x), minExponent);
  T unit = std::ldexp(T(1), exponent - mantissa), scaled = x / unit;
  switch (mode) {
  case Round::Zero:
    scaled = std::trunc(scaled);
    break;
  case Round::Down:
    scaled = std::floor(scaled);
    break;
  case Round::Up:
    scaled = std::ceil(scaled);
    break;
  case Round::NearestAway:
    scaled = std::round(scaled);
    break;
  case Round::Nearest:
    scaled = std::nearbyint(scaled);
    break;
  }
  T result = scaled * unit;
  return result == 0 ? std::copysign(T(0), x) : result;
}

/// Beyond the largest finite number: infinity, or that number if the direction
/// leads there.
inline double clampOverflow(double x, double largest, Round mode) {
  if (!(std::fabs(x) > largest) || std::isinf(x))
    return x;
  bool stays = mode == Round::Zero || (mode == Round::Down && x > 0) ||
               (mode == Round::Up && x < 0);
  return std::copysign(stays ? largest : INFINITY, x);
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_HALF_H
