// fold-constants: ops on constants are evaluated by the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

namespace nibble {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static bool isConstant(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() || isa<nq::ConstantOp>(op);
}

static int64_t getBytes(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? nq::getStorageRegions(tensor).total : 8;
}

namespace {
struct FoldConstantsPass : nibble::impl::FoldConstantsBase<FoldConstantsPass> {
  using nibble::impl::FoldConstantsBase<FoldConstantsPass>::FoldConstantsBase;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    for (Operation &op : getOperation().front().without_terminator())
      ops.push_back(&op);
    for (Operation *op : ops)
      if (shouldFold(op))
        fold(op);
    for (Operation *op : llvm::reverse(ops))
      if (isOpTriviallyDead(op))
        op->erase();
  }

  /// All that the op reads, operands and what its regions capture.
  static SmallVector<Value> getReads(Operation *op) {
    llvm::SetVector<Value> captured;
    for (Region &region : op->getRegions())
      getUsedValuesDefinedAbove(region, captured);
    SmallVector<Value> reads(op->getOperands());
    llvm::append_range(reads, captured);
    return reads;
  }

  /// Initial values are worth evaluating only as part of the op that uses them.
  static bool isInitial(Operation *op) {
    return isa<tensor::EmptyOp, linalg::FillOp>(op);
  }

  bool shouldFold(Operation *op) {
    if (isConstant(op) || isInitial(op) || !isPure(op) ||
        op->getNumResults() == 0)
      return false;
    int64_t before = 0;
    for (Value value : getReads(op)) {
      Operation *producer = value.getDefiningOp();
      if (!producer || !(isConstant(producer) || isInitial(producer)))
        return false;
      if (isConstant(producer))
        before += getBytes(value.getType());
    }
    int64_t after = 0;
    for (Type type : op->getResultTypes())
      after += getBytes(type);
    return after <= maxBytes && after <= before + maxGrowth;
  }

  void fold(Operation *op) {
    OpBuilder builder(op);
    for (Value result : op->getResults())
      if (Value constant = ref::materializeConstant(result, builder))
        result.replaceAllUsesWith(constant);
  }
};
} // namespace
