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
};

/// `threads` of a block; `wanted` threads are there to be used.
LoopJob planJob(cpu::Nest &nest, int64_t threads, int64_t wanted);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSPLAN_H
