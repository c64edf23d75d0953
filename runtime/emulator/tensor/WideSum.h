// Sums of doubles without rounding.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_WIDESUM_H
#define NIBBLE_RT_EMULATOR_TENSOR_WIDESUM_H

#include "isa/Numbers.h"

#include <cmath>
#include <cstdint>

namespace nibble {
namespace emu {
namespace tensor {

/// `value`, which is not the exact result but a neighbour of it in double, with
/// `error` = exact - value: rounded to odd. A number rounded to odd in double
/// and then to nearest (or in any other way) in a format of at most 51 bits is
/// the exact number rounded once. (Boldo and Melquiond, "Emulation of FMA and
/// correctly rounded sums: proved algorithms using rounding to odd".)
inline double roundToOdd(double value, double error) {
  int64_t bits = bitCast<int64_t>(value);
  int64_t outward = (value > 0) == (error > 0) ? 1 : -1;
  bool isFinite = error - error == 0; // else value is infinite or NaN
  bool adjust = (error != 0) & isFinite & !(bits & 1);
  return bitCast<double>(bits + (adjust ? outward : 0));
}

/// The error of value = fl(a + b), exactly (Knuth's TwoSum).
/// T: double or a vector of them.
template <typename T> inline T sumError(T a, T b, T value) {
  T back = value - a;
  return (a - (value - back)) + (b - back);
}

/// A fixed-point sum of numbers that are multiples of 2^-320 and below 2^440 in
/// all; products of any two elements and scales are (E8M0 scales reach 2^+-254,
/// BF16 and TF32 products 2^-272 and 2^256).
class WideSum {
public:
  void add(double x) {
    if (x == 0)
      return;
    int64_t bits = bitCast<int64_t>(x);
    int64_t mantissa = (bits & ((int64_t(1) << 52) - 1)) | int64_t(1) << 52;
    int position = int(bits >> 52 & 2047) - 1075 + kBelow;
    if (position < 0) { // the lowest bits of the mantissa are zeros
      mantissa >>= -position;
      position = 0;
    }
    addAt(bits < 0 ? -mantissa : mantissa, unsigned(position));
  }

  /// The sum, rounded to odd.
  double toOdd() const {
    WideSum magnitude = *this;
    bool negative = words[kWords - 1] >> 63;
    if (negative)
      magnitude.negate();
    double value = magnitude.positiveToOdd();
    return negative ? -value : value;
  }

private:
  static constexpr int kWords = 12, kBelow = 320;

  /// Adds value * 2^position to the two's complement number.
  void addAt(int64_t value, unsigned position) {
    unsigned word = position / 64, shift = position % 64;
    __int128 wide = value * (__int128(1) << shift); // |value| < 2^53: fits
    uint64_t sign = value < 0 ? ~uint64_t(0) : 0;
    unsigned carry = 0;
    for (unsigned i = word; i < kWords; ++i) {
      uint64_t part = i == word       ? uint64_t(wide)
                      : i == word + 1 ? uint64_t(wide >> 64)
                                      : sign;
      if (i > word + 1 && carry == (sign & 1))
        return; // the words above stay as they are
      unsigned __int128 sum = (unsigned __int128)words[i] + part + carry;
      words[i] = uint64_t(sum);
      carry = unsigned(sum >> 64);
    }
  }

  void negate() {
    unsigned carry = 1;
    for (uint64_t &word : words) {
      word = ~word + carry;
      carry = carry && word == 0;
    }
  }

  double positiveToOdd() const {
    int top = kWords - 1;
    while (top >= 0 && !words[top])
      --top;
    if (top < 0)
      return 0;
    int shift = __builtin_clzll(words[top]);
    uint64_t bits = words[top] << shift;
    bool sticky = false;
    if (top > 0 && shift)
      bits |= words[top - 1] >> (64 - shift);
    if (top > 0)
      sticky = (shift ? words[top - 1] << shift : words[top - 1]) != 0;
    for (int i = top - 2; i >= 0; --i)
      sticky |= words[i] != 0;
    constexpr uint64_t kDropped = (1 << 11) - 1; // of 64 bits to 53
    sticky |= (bits & kDropped) != 0;
    uint64_t kept = bits >> 11 | (sticky ? 1 : 0);
    return std::ldexp(double(kept), 64 * top - shift + 11 - kBelow);
  }

  uint64_t words[kWords] = {};
};

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_WIDESUM_H
