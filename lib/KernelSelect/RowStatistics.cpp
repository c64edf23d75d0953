// When statistics of rows, made by the product in front of a norm, pay.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/RowStatistics.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace nibble;

/// f32 values of a row that 1024 threads hold in 64 registers each.
constexpr int64_t kBlockElements = 1024 * 64;
constexpr int64_t kElementsPerThread = 8;
/// Below this, two launches of one kernel differ by chance.
constexpr double kLeastGain = 1e-7;

static double getSaved(const Machine &machine, const NormedRows &norm) {
  double saved = machine.blockReduction;
  if (norm.columns > kBlockElements)
    saved += double(norm.rows) * norm.columns * norm.elementBytes /
             machine.reached.bandwidth;
  return saved;
}

static double getCost(const Machine &machine, const NormedRows &norm) {
  double elements = double(norm.rows) * norm.columns;
  double perRow =
      double(llvm::divideCeil(norm.columns, norm.tile)) * norm.parts;
  double merged = elements / kElementsPerThread * perRow /
                  (machine.multiprocessors * machine.sumsPerSecond);
  double moved = 2 * 4 * norm.rows * perRow / machine.reached.bandwidth;
  double made = 2 * norm.parts * elements / machine.reached.f32;
  return merged + moved + made;
}

static std::string explain(const Machine &machine, const NormedRows &norm,
                           const StatisticsVerdict &verdict) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << norm.rows << (norm.rows == 1 ? " row of " : " rows of ") << norm.columns
     << ": a norm without them waits "
     << llvm::format("%.2f us for the reduction of a block%s",
                     verdict.saved * 1e6,
                     norm.columns > kBlockElements
                         ? " and for rows that it must read twice"
                         : "")
     << ", making and reading the sums takes "
     << llvm::format("%.2f us on ", verdict.cost * 1e6)
     << machine.multiprocessors << " multiprocessors";
  return text;
}

StatisticsVerdict nibble::judgeStatistics(const Machine &machine,
                                          const NormedRows &norm) {
  if (!machine.isGpu())
    return {false, 0, 0,
            "a core has a row in its cache when it normalizes it: sums by the "
            "product would be one more pass over what it has computed"};
  StatisticsVerdict verdict;
  verdict.saved = getSaved(machine, norm);
  verdict.cost = getCost(machine, norm);
  verdict.pays = verdict.saved - verdict.cost >= kLeastGain;
  verdict.reason = explain(machine, norm, verdict);
  return verdict;
}
