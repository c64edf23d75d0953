// The scalar body of a linalg op as nodes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_BODYREADER_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_BODYREADER_H

#include "KernelTensor.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace nibble {
namespace cpu {

/// Tensors that the operands of a linalg op, and the extracts of its body,
/// read.
using OperandTensors = llvm::SmallDenseMap<mlir::Value, Tensor *, 4>;

/// Value of an affine expression at the given dimensions.
Lin evaluate(Dag &dag, mlir::AffineExpr expr, IndexRef dims);

/// Reports ops that a body must not have.
mlir::LogicalResult checkBody(mlir::linalg::LinalgOp op);
/// True if computing the body twice costs more than storing its results.
bool isExpensiveBody(mlir::linalg::LinalgOp op);

/// Reads one body at one point of the iteration space.
class BodyReader {
public:
  BodyReader(Dag &dag, mlir::linalg::LinalgOp op, const OperandTensors &tensors,
             IndexRef loops, llvm::ArrayRef<Node *> accumulators)
      : dag(dag), op(op), tensors(tensors), loops(loops),
        accumulators(accumulators) {}

  /// A value of the body or a constant around it, in its compute type.
  Node *read(mlir::Value value);

private:
  Node *readArgument(mlir::BlockArgument argument);
  Node *readOp(mlir::Operation &inner);
  Node *readExtract(mlir::tensor::ExtractOp extract);
  Node *readBitcast(mlir::arith::BitcastOp cast);
  Node *readIndexMath(mlir::Operation &inner, llvm::ArrayRef<Node *> operands);
  Node *readPower(mlir::Operation &inner, llvm::ArrayRef<Node *> operands);
  Node *clone(mlir::Operation &inner, llvm::ArrayRef<Node *> operands);

  Dag &dag;
  mlir::linalg::LinalgOp op;
  const OperandTensors &tensors;
  IndexRef loops;
  llvm::ArrayRef<Node *> accumulators;
  llvm::SmallDenseMap<mlir::Value, Node *> known;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_BODYREADER_H
