// A lane program under loops: the meaning of linalg ops and of epilogues.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REFERENCE_LOOPNEST_H
#define NIBBLE_LIB_REFERENCE_LOOPNEST_H

#include "LaneProgram.h"

#include "mlir/IR/AffineMap.h"

namespace nibble::ref {

/// The loops [0, sizes) around a program whose arguments are one element of
/// each operand: inputs, then the results so far. Each operand is accessed
/// through its map from loop indices.
struct LoopNest {
  llvm::SmallVector<int64_t> sizes;
  llvm::SmallVector<bool> isReduction;
  llvm::SmallVector<RefTensor> inputs;
  /// Values of the results before the first iteration.
  llvm::SmallVector<RefTensor> inits;
  /// Of inputs, then results.
  llvm::SmallVector<mlir::AffineMap> maps;
  LaneProgram program;

  /// Runs all iterations; reductions in loop order. Errors (an access or a
  /// gather out of bounds) are reported at `op`.
  mlir::FailureOr<llvm::SmallVector<RefTensor>> run(mlir::Operation *op,
                                                    unsigned threads);
};

/// Map of an operand of `shape` that broadcasts to `rank` loops as in numpy.
mlir::AffineMap getBroadcastMap(llvm::ArrayRef<int64_t> shape, int64_t rank,
                                mlir::MLIRContext *context);

} // namespace nibble::ref

#endif // NIBBLE_LIB_REFERENCE_LOOPNEST_H
