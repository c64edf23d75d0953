// In which order to run steps, so that little memory is live at a time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ANALYSIS_ORDERSTEPS_H
#define NIBBLE_ANALYSIS_ORDERSTEPS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace nibble {

/// One launch. Buffers are numbers; each is written by one step.
struct Step {
  llvm::SmallVector<unsigned> reads;  ///< buffers, each once
  llvm::SmallVector<unsigned> writes; ///< buffers
  llvm::SmallVector<unsigned> after;  ///< further steps that must come earlier
  /// (read, written): the second may take the place of the first if that dies
  /// here.
  llvm::SmallVector<std::pair<unsigned, unsigned>> reuse;
};

/// Steps and the sizes of their buffers. A buffer of size 0 lives elsewhere
/// (in an output, in a state).
struct StepGraph {
  std::vector<Step> steps;
  std::vector<int64_t> sizes;
};

using StepOrder = std::vector<unsigned>;

/// The most bytes that live at one step if the steps run in `order`.
int64_t getPeak(const StepGraph &graph, llvm::ArrayRef<unsigned> order);

/// The order nearest to that of the numbers: a step moves only if one that it
/// depends on has a higher number. Empty if the steps depend on each other in
/// a circle.
StepOrder getStableOrder(const StepGraph &graph);

/// An order with a low peak: the best of the stable one, a greedy one (of the
/// steps that can run, the one that frees most), and a depth-first one
/// (operands that need the most memory first, as Sethi and Ullman number
/// registers). Never worse than the stable order, which wins a tie.
StepOrder findOrder(const StepGraph &graph);

} // namespace nibble

#endif // NIBBLE_ANALYSIS_ORDERSTEPS_H
