// Slices of columns of a product, and who reads them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_FUSE_COLUMNSLICES_H
#define NIBBLE_LIB_TRANSFORMS_FUSE_COLUMNSLICES_H

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace nibble::fuse {

/// A static slice with step 1 of the last dimension, all of the others.
bool isColumnSlice(mlir::Operation *op);

/// isColumnSlice of what a product computes.
bool isSliceOfProduct(mlir::Operation *op);

/// What changes addresses, not values: reshapes, transpositions, slices of
/// columns.
bool isMove(mlir::Operation *op);

/// An op that reads a value, maybe through moves.
struct MovedReader {
  mlir::Operation *op;
  llvm::SmallVector<mlir::Operation *> moves; ///< in the order of the block
  bool isTransposed() const;
};

/// Readers of `value`, ops of the block that defines it, each once.
llvm::SmallVector<MovedReader> getMovedReaders(mlir::Value value);

/// "" if the kernel of `op` computes addresses for what it reads, or why it
/// wants a buffer with nothing else in it.
std::string whyNotReadInPlace(mlir::Operation *op);

} // namespace nibble::fuse

#endif // NIBBLE_LIB_TRANSFORMS_FUSE_COLUMNSLICES_H
