// From accumulators in tensor memory to global memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_RESULTS_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_RESULTS_H

#include "Operands.h"
#include "Sm100Kernel.h"

namespace nibble {
namespace sm100 {

/// One epilogue with all stores of its results. A thread has one row of the
/// tile; a loop goes over the columns, as many at once as panels of the stores
/// have: it reads the accumulators, evaluates the body, writes panels of the
/// warp's 32 rows to shared memory, and copies them. No two warps meet.
class Results {
public:
  struct Target {
    tile::StoreOp op;
    llvm::SmallVector<Int> coords; ///< in tiles
  };

  /// `warp` of the role's four.
  Results(Sm100Kernel &kernel, tile::RoleOp role, tile::EpilogueOp epilogue,
          Int warp, const mlir::IRMapping &values);

  Int m = 0, n = 0;                 ///< of the tile
  llvm::SmallVector<Int> columns;   ///< of the accumulators in tensor memory
  llvm::SmallVector<Target> stores; ///< of results, in any order
  llvm::SmallVector<tile::StoreBlocksOp> blocks; ///< of others

  /// `release` is written where the accumulators have been read.
  mlir::LogicalResult write(llvm::function_ref<void()> release);

private:
  using Pieces = llvm::SmallVector<llvm::SmallVector<mlir::Value>>;
  using Maps = llvm::MutableArrayRef<mlir::IRMapping>;

  mlir::LogicalResult check();
  int64_t getLength(unsigned result);
  int64_t getSpan(tile::StoreOp store);
  int64_t getColumns();
  Int getFirst(Int panel);
  void writePanel(Int panel);
  Pieces loadAccumulators(Int first);
  void addOperands(Operands &operands, int64_t column,
                   llvm::SmallVectorImpl<mlir::Value> &args);
  Pieces evaluate(Int first);
  void evaluateBlock(Operands &operands, const Pieces &accs, int64_t at,
                     Pieces &results);
  void copyOp(mlir::Operation &op, Maps pieces);
  void writeMaximum(tile::BlockMaxOp op, Maps pieces);
  void waitForPanels();
  void stage(Target target, llvm::ArrayRef<mlir::Value> vectors, Int panel);
  void stageTransposed(Target target, llvm::ArrayRef<mlir::Value> vectors,
                       mlir::Value begin);
  void copy(Target target, Int panel, Int first);
  mlir::Value getPanel(Target target, Int panel);
  void clearBlocks(tile::StoreBlocksOp store, Int row, Int end, int64_t last);
  void storeBlocks(tile::StoreBlocksOp store,
                   llvm::ArrayRef<mlir::Value> vectors, Int first);

  Sm100Kernel &kernel;
  Code &code;
  tile::EpilogueOp epilogue;
  Int warp;
  mlir::IRMapping outside;
  int64_t width;    ///< columns of the body
  int64_t together; ///< columns that are evaluated at once: a block, or `width`
  int64_t span = 0; ///< columns of a panel
  int64_t tileColumns;
};

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_RESULTS_H
