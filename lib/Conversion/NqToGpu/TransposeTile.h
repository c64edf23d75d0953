// Copies that turn rows into columns, by tiles in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_TRANSPOSETILE_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_TRANSPOSETILE_H

#include "GpuFunction.h"
#include "LoopsPlan.h"

namespace nibble {
namespace gpu {

/// A copy whose reads are contiguous along one dimension and whose writes along
/// another. A block reads a square of `tile` x `tile` elements row by row into
/// shared memory and writes it column by column, so that both walk along
/// memory.
struct TransposeTile {
  const LoopJob *job = nullptr;
  unsigned from = 0, to = 0; ///< dimensions contiguous in reads, in writes
  int64_t tile = 0;
  int64_t reads = 1, writes = 1; ///< elements per access
  llvm::SmallVector<unsigned> outer;
  int64_t blocks = 0;
};

/// Nothing if `job` is no such copy, or too narrow for tiles.
std::optional<TransposeTile> planTranspose(const LoopJob &job);

/// Tile number `block`, by all threads of a block.
void emitTranspose(GpuFunction &f, const TransposeTile &plan,
                   mlir::Value block);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_TRANSPOSETILE_H
