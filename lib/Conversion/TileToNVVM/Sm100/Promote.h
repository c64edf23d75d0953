// Sums of a block of K in tensor memory, times their scales, to registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_PROMOTE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_PROMOTE_H

#include "Rings.h"
#include "Sm100Kernel.h"

namespace nibble {
namespace sm100 {

/// What one tile.promote does in a thread, which has a row of the tile.
class Promotion {
public:
  /// `m`, `n` are those of the tile, `warp` one of the role's four.
  Promotion(Sm100Kernel &kernel, tile::PromoteOp op, Int m, Int n, Int warp);

  /// Scales in global memory that are one value of a thread: of its row, of all
  /// rows or of all columns. They are loaded a block before they are needed.
  llvm::SmallVector<mlir::Value> loadScalars(Int block);
  /// Those of each column, if columns have their own.
  llvm::SmallVector<mlir::Value> loadColumnScales(Int block);
  /// The row's scale from a slot, as f32.
  mlir::Value loadPacked(const Slot &slot);

  /// `sums` of the row and the partial ones from tensor memory, from `column`
  /// on, times the product of `scalars` and those of columns. With `isLast`
  /// they go back there, too.
  llvm::SmallVector<mlir::Value> add(llvm::ArrayRef<mlir::Value> sums,
                                     Int column,
                                     llvm::ArrayRef<mlir::Value> scalars,
                                     llvm::ArrayRef<mlir::Value> columns,
                                     bool isLast);

private:
  mlir::Value loadRow(Int block);
  mlir::Value loadOfAllColumns(Int block);
  mlir::Value loadAt(mlir::Value memref, Int line, Int place, int64_t count);
  Int getAddress(Int column);
  llvm::SmallVector<mlir::Value>
  getFactors(llvm::ArrayRef<mlir::Value> scalars,
             llvm::ArrayRef<mlir::Value> columns);
  void store(llvm::ArrayRef<mlir::Value> sums, Int address);

  Sm100Kernel &kernel;
  Code &code;
  tile::PromoteOp op;
  Int m, n, warp;
  int64_t width; ///< columns of the tile
};

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_PROMOTE_H
