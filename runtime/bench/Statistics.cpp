// Statistics of repeated measurements.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/bench.h"

#include <algorithm>
#include <cmath>

using namespace nibble::rt;

/// Of sorted values, linear between ranks.
static double percentile(const std::vector<double> &sorted, double p) {
  double rank = std::min(std::max(p, 0.0), 100.0) / 100 * (sorted.size() - 1);
  size_t below = size_t(rank);
  size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - below) * (sorted[above] - sorted[below]);
}

Statistics nibble::rt::statistics(std::vector<double> times,
                                  const std::vector<double> &percentiles) {
  Statistics s;
  s.count = times.size();
  if (times.empty())
    return s;
  std::sort(times.begin(), times.end());
  s.min = times.front();
  s.max = times.back();
  s.median = percentile(times, 50);
  for (double t : times)
    s.mean += t / times.size();
  double variance = 0;
  for (double t : times)
    variance += (t - s.mean) * (t - s.mean) / times.size();
  s.cov = s.mean > 0 ? std::sqrt(variance) / s.mean : 0;
  for (double p : percentiles)
    s.percentiles.emplace_back(p, percentile(times, p));
  return s;
}
