// Where rings, barriers and panels lie in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SHAREDMEMORY_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SHAREDMEMORY_H

#include "nibble/Dialect/Tile/TileOps.h"

#include "llvm/ADT/MapVector.h"

namespace nibble {
namespace tilecode {

/// Bytes from the begin of the block's shared memory, which is aligned to 1024.
struct RingLayout {
  int64_t stages = 0, stageBytes = 0;
  /// Sum of the slots: what arrives in a stage.
  int64_t loadBytes = 0;
  int64_t begin = 0, full = 0, empty = 0;
  llvm::SmallVector<int64_t> slots; ///< from the begin of a stage
  /// Some load is for all blocks of the cluster along m, along n.
  bool multicast[2] = {false, false};
  /// Arrivals that make a stage empty, from one block.
  int64_t readers = 0;
  /// Arrivals that make it full.
  int64_t writers = 1;
  /// Of two blocks that multiply together: stages in shared memory are full in
  /// block 0 when both have theirs, accumulators are empty there.
  bool pair = false;
};

struct SharedMemory {
  explicit SharedMemory(tile::KernelOp kernel);
  llvm::MapVector<mlir::Value, RingLayout> rings;
  /// What blocks along k send, and a barrier behind it.
  llvm::MapVector<tile::ReduceOp, int64_t> reductions;
  llvm::DenseMap<mlir::Operation *, int64_t> maxima; ///< by tile.epilogue
  llvm::DenseMap<mlir::Operation *, int64_t> panels; ///< by tile.store
  /// Where the address of the block's tensor memory is, if it has some.
  int64_t tensorAddress = -1;
  int64_t bytes = 0;
  /// Blocks multiply in pairs (tile.kernel).
  bool pair = false;
  /// Blocks of the cluster write into each other's memory.
  bool usesOtherBlocks() const;
};

/// True if one thread of the role does it all: it loads, or multiplies into
/// tensor memory.
bool isSingleThread(tile::RoleOp role);

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SHAREDMEMORY_H
