// Generators of inputs: the same bits for the same words on every machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   normal:seed=1[,mean=0][,std=1]
//   uniform:seed=1[,low=0][,high=1]      integers: low <= x < high, high needed
//   outliers:seed=1                      normal; about 1 % of the channels (the
//                                        last axis), at least one,
//                                        times 30..100
//   zeros, ones
//
// Definition. SplitMix64 started at state `seed` gives words w0, w1, ...;
// u(w) = (w >> 11) * 2^-53 is uniform in [0, 1). Element i of
//   uniform   low + u(w_i) * (high - low); integers take the floor
//   normal    mean + std * sqrt(-2 ln(u(w_2i) + 2^-53)) * cos(2 pi u(w_2i+1))
//   outliers  the normal element times the factor of its channel. With words v
//             of SplitMix64 started at state seed XOR 0x6f75746c69657273,
//             channel c is an outlier if u(v_2c) < 0.01, its factor 30 + 70 *
//             u(v_2c+1); if there is none, channel v_{2C} mod C (C channels) is
//             one
// in double, then one rounding to the element type. ln and cos are evaluated by
// fixed sequences of IEEE operations, so that no libm makes a difference.
#ifndef NIBBLE_RT_GENERATOR_H
#define NIBBLE_RT_GENERATOR_H

#include "nibble/rt/array.h"

namespace nibble {
namespace rt {

/// Word `index` of SplitMix64 started at `seed`.
inline uint64_t splitMix64(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

struct Generator {
  enum class Kind { Zeros, Ones, Normal, Uniform, Outliers };
  Kind kind = Kind::Zeros;
  uint64_t seed = 0;
  double mean = 0, std = 1;
  double low = 0, high = 1;
  bool highGiven = false;
};

/// True if `text` starts with the name of a generator.
bool isGenerator(const std::string &text);
/// Parses "normal:seed=1"; the error lists what there is.
Result<Generator> parseGenerator(const std::string &text);
/// Fills an array. `normal` and `outliers` make floats only; scaled types are
/// refused.
Result<Array> generate(const Generator &generator, const std::string &dtype,
                       Span<const int64_t> shape);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_GENERATOR_H
