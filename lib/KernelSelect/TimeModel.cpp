// The time of a kernel on a GPU, by counting.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/TimeModel.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace nibble;

namespace {
struct Part {
  const char *name;
  double clocks;
};
} // namespace

/// What works beside each other: the longest, and a little more.
static double together(llvm::ArrayRef<Part> parts, double exponent) {
  double most = 0, sum = 0;
  for (const Part &part : parts)
    most = std::max(most, part.clocks);
  if (most <= 0)
    return 0;
  for (const Part &part : parts)
    sum += std::pow(part.clocks / most, exponent);
  return most * std::pow(sum, 1 / exponent);
}

/// Clocks of the busiest multiprocessor, and what its loop waits for.
static double countClocks(const TileWork &w, const TimeMachine &m,
                          const char *&bound) {
  const Part parts[] = {{"tensor", w.tensorClocks + m.stageClocks},
                        {"shared", w.sharedBytes / m.sharedPerClock},
                        {"l2", w.l2Bytes / m.l2PerClock},
                        {"issue", w.instructions * m.issueClocks},
                        {"latency", m.latencyClocks / std::max(w.stages, 1.0)}};
  bound = std::max_element(
              std::begin(parts), std::end(parts),
              [](const Part &a, const Part &b) { return a.clocks < b.clocks; })
              ->name;
  double step = together(parts, m.overlap) + w.serial * m.issueClocks;
  double loop = w.steps * step;
  double epilogue = m.tileClocks + w.epilogue * m.issueClocks +
                    w.storedBytes / m.storePerClock;
  if (w.waits)
    epilogue += m.exchangeClocks + w.exchange / m.l2PerClock;
  double waves = std::ceil(w.tiles / w.tilesAtOnce);
  double fill = m.startClocks + m.latencyClocks;
  // Beside the loops of other tiles: the last one is seen.
  if (w.epiloguesBeside > 0)
    return fill + waves * std::max(loop, epilogue / w.epiloguesBeside) +
           epilogue;
  return fill + waves * (loop + epilogue);
}

TileTime nibble::predictTiles(const TileWork &w, const TimeMachine &m) {
  TileTime time;
  double clocks = countClocks(w, m, time.bound);
  double busy = w.tensorClocks * w.steps * std::ceil(w.tiles / w.tilesAtOnce) /
                std::max(clocks, 1.0);
  double used = std::min(1.0, w.tiles / w.tilesAtOnce);
  double clock = m.clockGHz * 1e9 * (1 - m.clockLoss * busy * used);
  double compute = clocks / clock;
  time.dramSeconds = w.dramBytes / (m.dramGBs * 1e9);
  const Part both[] = {{"", compute}, {"", time.dramSeconds}};
  if (time.dramSeconds > compute)
    time.bound = "dram";
  time.seconds = m.launchUs * 1e-6 + together(both, m.overlap);
  return time;
}

double nibble::predictBytes(double bytes, const TimeMachine &m) {
  return m.rowLatencyUs * 1e-6 + bytes / (m.dramGBs * 1e9 * m.rowBandwidth);
}

double nibble::predictAttention(double bytes, double flops,
                                const TimeMachine &m) {
  double rate = 2 * m.f16PerClock * m.sms * m.clockGHz * 1e9 * m.attentionRate;
  return m.attentionLatencyUs * 1e-6 +
         std::max(bytes / (m.dramGBs * 1e9), flops / rate);
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// `values` are sorted.
static double quantile(llvm::ArrayRef<double> values, double share) {
  double at = share * (values.size() - 1);
  size_t low = size_t(at);
  size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - low) * (values[high] - values[low]);
}

ModelError nibble::summarizeErrors(llvm::ArrayRef<double> ratios) {
  ModelError error;
  error.rows = ratios.size();
  if (ratios.empty())
    return error;
  llvm::SmallVector<double> logs, sizes;
  for (double ratio : ratios) {
    logs.push_back(std::log(ratio));
    sizes.push_back(std::abs(logs.back()));
  }
  llvm::sort(logs);
  llvm::sort(sizes);
  error.bias = std::expm1(quantile(logs, 0.5));
  error.median = std::expm1(quantile(sizes, 0.5));
  error.most = std::expm1(quantile(sizes, 0.9));
  return error;
}

std::string ModelError::str() const {
  if (!rows)
    return "model error not known: no measured kernels";
  char text[160];
  std::snprintf(text, sizeof text,
                "model error on %s, %zu kernels: median %.0f %%, 90 %% within "
                "%.0f %%",
                device.c_str(), rows, median * 100, most * 100);
  return text;
}
