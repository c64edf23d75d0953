// Threads that put together what each has of a fold.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSTEAM_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSTEAM_H

#include "Fold.h"
#include "GpuFunction.h"

namespace nibble {
namespace gpu {

/// Shared memory for the folds of whole blocks, made on demand and used by one
/// fold after the other.
class BlockExchange {
public:
  explicit BlockExchange(GpuFunction &f) : f(f) {}
  /// One element per warp, for accumulator `i` of `type`.
  mlir::Value get(unsigned i, mlir::Type type);

private:
  GpuFunction &f;
  llvm::SmallVector<std::pair<mlir::Type, mlir::Value>> buffers;
};

/// The lanes of an accumulator, in a fixed order.
mlir::Value foldLanes(mlir::ImplicitLocOpBuilder &b,
                      const cpu::Reduction &reduction, unsigned i,
                      mlir::Value lanes);

/// The accumulators of all `team` threads combined, in thread 0 of the team
/// (others hold something else). Every thread of the warp, or of the block for
/// a team of more than 32, must come here. Fixed order: same values, same bits.
llvm::SmallVector<mlir::Value> foldTeam(GpuFunction &f, BlockExchange &exchange,
                                        const cpu::Reduction &reduction,
                                        int64_t team,
                                        llvm::ArrayRef<mlir::Value> values);

/// The accumulators of `lanes` neighbours of a warp (a power of two) combined,
/// in all of them.
llvm::SmallVector<mlir::Value> foldWarp(mlir::ImplicitLocOpBuilder &b,
                                        const cpu::Reduction &reduction,
                                        int64_t lanes,
                                        llvm::ArrayRef<mlir::Value> values);

/// The same for a team of `groups` groups of `lanes` threads, by memory that
/// nothing else uses, with one barrier. `first` is the number of the team's
/// first group in the block; null is 0.
llvm::SmallVector<mlir::Value> foldGroups(GpuFunction &f,
                                          const cpu::Reduction &reduction,
                                          int64_t lanes, int64_t groups,
                                          mlir::Value first,
                                          llvm::ArrayRef<mlir::Value> values);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSTEAM_H
