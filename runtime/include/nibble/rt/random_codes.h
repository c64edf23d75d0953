// RandomCodes: contents of large tensors at random, quickly.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The same bytes on every machine. Definition: element i is number
//   (word i / 4 of SplitMix64 started at `seed`) >> 16 * (i mod 4), mod 2^16
// of a table of 2^16 codes, which are, rounded once to the format,
//   normal    std * n_j, where n_j is element j of `normal:seed=1`
//             (generator.h); every 512th, an outlier, is 8 times that; all
//             within the finite numbers of the format
//   uniform   low + (high - low) * (j + 0.5) / 2^16
//   scales    rms * max(|n_j|, 1/16): positive
#ifndef NIBBLE_RT_RANDOM_CODES_H
#define NIBBLE_RT_RANDOM_CODES_H

#include "nibble/rt/formats.h"

#include <vector>

namespace nibble {
namespace rt {

class RandomCodes {
public:
  static RandomCodes normal(StorageFormat format, double std);
  static RandomCodes uniform(StorageFormat format, double low, double high);
  /// Of scales of blocks, of any float format, E8M0 among them.
  static RandomCodes scales(StorageFormat format, double rms);
  /// Of codes that are weights or activations: normal, with a std that uses
  /// the range of the format (E4M3 and E5M2 64, E2M1 2, INT4 2.5, INT8 40,
  /// wider floats 1). False: not one of these formats.
  static bool getStd(StorageFormat format, double &std);

  /// Writes elements [first, first + count) to `data`, which is where element
  /// `first`, a multiple of 4, is stored. An odd count of 4-bit elements leaves
  /// the last high nibble 0.
  void fill(uint64_t seed, uint64_t first, uint64_t count, void *data) const;

private:
  explicit RandomCodes(StorageFormat format) : format(format) {}
  void setTable(const std::vector<double> &numbers);
  template <typename T>
  void fillWith(uint64_t seed, uint64_t first, uint64_t count, T *data) const;
  void fillNibbles(uint64_t seed, uint64_t first, uint64_t count,
                   uint8_t *data) const;

  StorageFormat format;
  std::vector<uint8_t> table; ///< codes; those of 4 bits one per byte
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_RANDOM_CODES_H
