// Statistics of repeated measurements.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_H
#define NIBBLE_RT_BENCH_H

#include <cstddef>
#include <utility>
#include <vector>

namespace nibble {
namespace rt {

/// Of a set of times, in the unit of the times.
struct Statistics {
  std::size_t count = 0;
  double min = 0, max = 0, mean = 0, median = 0;
  double cov = 0; ///< standard deviation / mean
  /// (p, value) as asked for; linear between ranks, as numpy.percentile.
  std::vector<std::pair<double, double>> percentiles;
};

/// `times` may be in any order; empty gives zeros.
Statistics statistics(std::vector<double> times,
                      const std::vector<double> &percentiles);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_H
