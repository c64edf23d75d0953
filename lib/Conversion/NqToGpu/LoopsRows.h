// Stages that depend on each other, and whether they do so by rows.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSROWS_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSROWS_H

#include "KernelStages.h"
#include "LoopsEmit.h"
#include "RowPlan.h"

namespace nibble {
namespace gpu {

/// Stages that depend on each other, directly or not.
struct StageGroup {
  llvm::SmallVector<int> stages; ///< in order
  std::vector<Nests> nests;      ///< per stage
  /// If set, a block (or a warp of it, see rowsPerBlock) does all stages of a
  /// row: the first `rowDims` dimensions of all tensors, `rows` in all. Else
  /// stage after stage is complete before the next one begins, in a launch of
  /// its own.
  bool inRows = false;
  unsigned rowDims = 0;
  int64_t rows = 1;
  llvm::SmallVector<int64_t> rowShape;
  int64_t rowSize = 0; ///< elements of the largest tensor of a row
  int64_t threads = 32;
  /// In shared memory: more than one are the work of one warp each.
  int64_t rowsPerBlock = 1;
  /// If set, what a row has stays in registers; else in shared memory.
  std::optional<RowPlan> plan;
  int64_t blocks = 0;
  /// Intermediate tensors that a block, or a warp, keeps to itself.
  llvm::SmallVector<cpu::Tensor *> shared;
};

/// All groups of a kernel with their nests built.
std::vector<StageGroup> groupStages(const cpu::KernelStages &stages,
                                    RowMachine machine,
                                    mlir::MLIRContext *context);

/// The rows of block number `block` of a group in rows, by group.threads
/// threads.
void emitRows(GpuFunction &f, const cpu::KernelStages &stages,
              StageGroup &group, mlir::Value block);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSROWS_H
