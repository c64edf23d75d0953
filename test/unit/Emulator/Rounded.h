// Rounding by definition, for tests: the neighbours of an exact value, and
// which of them a direction picks. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
#ifndef NIBBLE_TEST_EMULATOR_ROUNDED_H
#define NIBBLE_TEST_EMULATOR_ROUNDED_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

/// The five directions, as PTX writes them.
const std::vector<std::string> kDirections{"rn", "rz", "rm", "rp"};

/// A small float format: all its finite magnitudes in order, index = code.
class SmallFormat {
public:
  /// `codes`: finite magnitudes; `bits`: of a number with its sign.
  SmallFormat(int exponentBits, int mantissaBits, int bias, unsigned codes)
      : bits(1 + exponentBits + mantissaBits) {
    for (unsigned code = 0; code <= codes; ++code) { // one beyond the largest
      int exponent = int(code >> mantissaBits);
      long double mantissa = code & ((1u << mantissaBits) - 1);
      if (exponent)
        mantissa += 1u << mantissaBits;
      values.push_back(std::ldexp(mantissa, (exponent ? exponent : 1) - bias -
                                                mantissaBits));
    }
  }
  /// The code of |x| rounded, for a direction that is one of `kDirections` or
  /// "rna"; size() - 1 means that it overflows. `negative`: the sign of x.
  unsigned magnitude(long double x, bool negative,
                     const std::string &mode) const {
    size_t least = 0, end = values.size() - 1;
    if (x >= values[end])
      return truncates(mode, negative) ? unsigned(end - 1) : unsigned(end);
    while (end - least > 1) {
      size_t middle = (least + end) / 2;
      (values[middle] <= x ? least : end) = middle;
    }
    if (values[least] == x || truncates(mode, negative))
      return unsigned(least);
    if (mode != "rn" && mode != "rna")
      return unsigned(end);
    long double below = x - values[least], above = values[end] - x;
    if (below != above)
      return unsigned(below < above ? least : end);
    return unsigned(mode == "rna" || (least & 1) ? end : least);
  }
  static bool truncates(const std::string &mode, bool negative) {
    return mode == "rz" || mode == (negative ? "rp" : "rm");
  }
  unsigned largest() const { return unsigned(values.size()) - 2; }
  /// Sign and magnitude of a finite x or infinity; overflow becomes `overflow`.
  unsigned encode(long double x, const std::string &mode,
                  unsigned overflow) const {
    bool negative = std::signbit(x);
    unsigned code = std::isinf(x) ? unsigned(values.size()) - 1
                                  : magnitude(std::fabs(x), negative, mode);
    if (code > largest())
      code = overflow;
    return code | unsigned(negative) << (bits - 1);
  }
  /// The value of a finite code.
  long double decode(unsigned code) const {
    bool negative = code >> (bits - 1) & 1;
    long double x = values[code & ((1u << (bits - 1)) - 1)];
    return negative ? -x : x;
  }
  const int bits;
  std::vector<long double> values;
};

inline const SmallFormat &formatF16() {
  static const SmallFormat format(5, 10, 15, 0x7C00);
  return format;
}
inline const SmallFormat &formatBF16() {
  static const SmallFormat format(8, 7, 127, 0x7F80);
  return format;
}
inline const SmallFormat &formatE4M3() {
  static const SmallFormat format(4, 3, 7, 0x7F);
  return format;
}
inline const SmallFormat &formatE5M2() {
  static const SmallFormat format(5, 2, 15, 0x7C);
  return format;
}
inline const SmallFormat &formatE2M1() {
  static const SmallFormat format(2, 1, 1, 8);
  return format;
}

template <typename To, typename From> To asBits(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

/// Bits of floats: zeros, subnormals, largest, infinities, NaNs, ties, random.
inline std::vector<uint32_t> floatBits(unsigned random = 200) {
  std::vector<uint32_t> v{
      0,          1,          2,          0x007FFFFF, 0x00400000, 0x00800000,
      0x00800001, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x3F000000, 0x3FC00000,
      0x40200000, 0x4B000001, 0x4B800001, 0x4EFFFFFF, 0x4F000000, 0x4F7FFFFF,
      0x4F800000, 0x5F000000, 0x5F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001,
      0x7FC00000, 0x7FFFFFFF, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x33000000,
      0x33000001, 0x387FC000, 0x38800000, 0x3F803000, 0x3F801000, 0x3F808000,
      0x3F818000, 0x43E00000, 0x43E80000, 0x43E80001, 0x47600000, 0x47680000,
      0x40C00000, 0x40E00000, 0x3E800000, 0x3F400000, 0x437F8000};
  std::mt19937 engine(7);
  for (unsigned i = 0; i < random; ++i) {
    uint32_t exponent = i % 3 ? 127 - 30 + engine() % 60 : engine() % 255;
    v.push_back(exponent << 23 | (engine() & (i % 2 ? 0x7FFFFF : 0x7FE000)));
  }
  for (size_t i = 0, n = v.size(); i < n; ++i)
    v.push_back(v[i] | 0x80000000);
  return v;
}
inline std::vector<float> floats(unsigned random = 200) {
  std::vector<float> v;
  for (uint32_t bits : floatBits(random))
    v.push_back(asBits<float>(bits));
  return v;
}
inline std::vector<double> doubles(unsigned random = 100) {
  std::vector<double> v;
  for (float x : floats(random / 2))
    v.push_back(x);
  std::mt19937_64 engine(9);
  for (unsigned i = 0; i < random; ++i)
    v.push_back(asBits<double>((1023 - 70 + engine() % 140) << 52 |
                               engine() >> 12 | engine() << 63));
  for (double x : {0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023, 0x1p-149,
                   0x1p-150, 0x1.8p-149, 0x1.fffffep127, 0x1.ffffffp127})
    v.push_back(x), v.push_back(-x);
  return v;
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_TEST_EMULATOR_ROUNDED_H
