// What passes share that write instructions for numbers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TARGET_GPU_NUMBERPATTERNS_H
#define NIBBLE_LIB_TARGET_GPU_NUMBERPATTERNS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
namespace gpu {

/// Instructions take scalars: vectors of one dimension come apart.
bool isFlat(mlir::Type type);
/// Elements of a flat value.
llvm::SmallVector<mlir::Value> unpack(mlir::ImplicitLocOpBuilder &b,
                                      mlir::Value value);
/// A scalar, or a vector, as `like` is.
mlir::Value pack(mlir::ImplicitLocOpBuilder &b, mlir::Type like,
                 llvm::ArrayRef<mlir::Value> elements);

/// A constant, also one that is the same in all lanes.
std::optional<double> getNumber(mlir::Value value);

/// The other operand of one of `Ops` with a constant.
template <typename... Ops>
std::optional<std::pair<mlir::Value, double>> matchConstant(mlir::Value value) {
  mlir::Operation *op = value.getDefiningOp();
  if (!op || !mlir::isa<Ops...>(op))
    return std::nullopt;
  for (unsigned i : {0, 1})
    if (auto number = getNumber(op->getOperand(1 - i)))
      return std::make_pair(op->getOperand(i), *number);
  return std::nullopt;
}

/// A pass on any operation that applies patterns.
template <typename PassT>
class NumberPass : public mlir::PassWrapper<PassT, mlir::OperationPass<>> {
public:
  void getDependentDialects(mlir::DialectRegistry &registry) const final {
    registry.insert<mlir::arith::ArithDialect, mlir::LLVM::LLVMDialect,
                    mlir::math::MathDialect, mlir::NVVM::NVVMDialect,
                    mlir::vector::VectorDialect>();
  }

protected:
  void apply(mlir::RewritePatternSet patterns) {
    if (failed(mlir::applyPatternsGreedily(this->getOperation(),
                                           std::move(patterns))))
      this->signalPassFailure();
  }
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_GPU_NUMBERPATTERNS_H
