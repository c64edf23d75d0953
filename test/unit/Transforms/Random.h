// Random numbers that are the same on every machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_RANDOM_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_RANDOM_H

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>

namespace nibble::test {

/// SplitMix64.
class Random {
public:
  explicit Random(uint64_t seed, uint64_t stream = 0)
      : state(seed * 0x9e3779b97f4a7c15ull ^ (stream * 0xbf58476d1ce4e5b9ull)) {
  }

  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// 0 .. count - 1
  uint64_t below(uint64_t count) { return next() % count; }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(high - low + 1));
  }
  bool chance(unsigned percent) { return below(100) < percent; }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// Sum of uniforms: about normal, and without libm.
  double normal() {
    double sum = 0;
    for (int i = 0; i < 12; ++i)
      sum += uniform();
    return sum - 6;
  }
  template <typename Range> auto pick(const Range &range) {
    return *(range.begin() + below(range.size()));
  }
  template <typename T> T pick(std::initializer_list<T> list) {
    return *(list.begin() + below(list.size()));
  }

private:
  uint64_t state;
};

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_RANDOM_H
