// How a nest of loops runs on the threads of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSPLAN_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSPLAN_H

#include "Nest.h"

namespace nibble {
namespace gpu {

/// A nest as units of work. A unit is a point of the parallel dimensions
/// `outer` and a run of `width` elements along `lanesDim`; it is done by `team`
/// threads that share its fold. Numbers of units count runs fastest, then the
/// dimensions of `outer` from the last to the first.
struct LoopJob {
  cpu::Nest *nest = nullptr;
  /// Others with the same loops, whose elements the same units make: what they
  /// read in common is read once.
  llvm::SmallVector<cpu::Nest *, 1> more;
  llvm::SmallVector<unsigned> outer; ///< outside in
  int lanesDim = -1;
  int64_t width = 1, runs = 1;
  int64_t units = 0;

  llvm::SmallVector<unsigned> folded; ///< outside in
  /// In order, a thread takes all; else each thread of the team takes every
  /// team-th run of `foldWidth` elements along the last folded dimension, and
  /// what they have is combined in a fixed order.
  bool inOrder = true;
  int64_t foldWidth = 1, foldRuns = 1;
  int64_t team = 1; ///< 1, a power of two up to 32, or a whole block

  /// More than one: a unit is folded in so many parts of `partLength` runs (in
  /// order: values of the outermost folded dimension) by units of their own,
  /// which leave accumulators in the workspace; another launch combines them.
  int64_t parts = 1, partLength = 0;
  /// Where, per accumulator: [part][unit][lane].
  llvm::SmallVector<int64_t> partOffsets;
};

/// `threads` of a block; `wanted` threads are there to be used.
LoopJob planJob(cpu::Nest &nest, int64_t threads, int64_t wanted,
                bool mayPart = false);

/// Whether `other` is a copy of the loops of `job`, and neither folds.
bool haveSameLoops(const LoopJob &job, const LoopJob &other);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSPLAN_H
