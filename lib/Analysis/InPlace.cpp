// In-place legality from what a kernel computes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/InPlace.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;

/// The op that does the work; null if there is more than one.
static Operation *getOnlyOp(func::FuncOp kernel) {
  if (kernel.isExternal() || kernel.getNumResults() != 1)
    return nullptr;
  Operation *only = nullptr;
  for (Operation &op : kernel.front().without_terminator()) {
    if (op.hasTrait<OpTrait::ConstantLike>() ||
        isa<nq::ConstantOp, tensor::EmptyOp, linalg::FillOp>(op))
      continue;
    if (only)
      return nullptr;
    only = &op;
  }
  Operation *terminator = kernel.front().getTerminator();
  return only && terminator->getOperand(0).getDefiningOp() == only ? only
                                                                   : nullptr;
}

/// tensor.extract %argument[%0, %1, ..] with the indices of the loops in order.
static bool readsOwnElement(Operation *user) {
  auto extract = dyn_cast<tensor::ExtractOp>(user);
  if (!extract)
    return false;
  for (auto [i, index] : llvm::enumerate(extract.getIndices())) {
    auto loop = index.getDefiningOp<linalg::IndexOp>();
    if (!loop || loop.getDim() != i)
      return false;
  }
  return true;
}

static std::string checkGeneric(linalg::GenericOp op, BlockArgument argument) {
  if (op.getNumParallelLoops() != op.getNumLoops())
    return "it reduces";
  if (!op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return "it writes its result in another order";
  for (OpOperand &use : argument.getUses()) {
    if (use.getOwner() == op) {
      if (!op.getMatchingIndexingMap(&use).isIdentity())
        return "it reads elements of the operand in another order";
    } else if (!readsOwnElement(use.getOwner())) {
      return "it gathers elements of the operand";
    }
  }
  return "";
}

/// `argument` is operand `value` of `op`, and nothing else.
static std::string checkOnlyUse(BlockArgument argument, Value value) {
  if (value == argument && argument.hasOneUse())
    return "";
  return "it reads the operand in another way";
}

static std::string checkMatmul(nq::MatmulOp op, BlockArgument argument) {
  auto shape = cast<RankedTensorType>(op.getResult().getType()).getShape();
  if (!argument.hasOneUse() ||
      !llvm::is_contained(op.getExtras(), Value(argument)))
    return "it multiplies the operand";
  if (ShapedType::getNumElements(shape.drop_back(2)) != 1)
    return "its epilogue is shared by batches";
  return "";
}

static std::string checkType(Type operand, Type result) {
  auto type = dyn_cast<RankedTensorType>(operand);
  if (operand != result || !type)
    return "operand and result have different types";
  Type element = type.getElementType();
  bool whole = element.isIntOrIndexOrFloat() &&
               (element.isIndex() || element.isInteger(1) ||
                element.getIntOrFloatBitWidth() % 8 == 0);
  if (!whole || nq::getLayout(type))
    return "elements are not plain and of whole bytes";
  return "";
}

std::string nibble::whyNotInPlace(func::FuncOp kernel, unsigned operand,
                                  unsigned result) {
  std::string why = checkType(kernel.getArgumentTypes()[operand],
                              kernel.getResultTypes()[result]);
  if (!why.empty())
    return why;
  Operation *op = getOnlyOp(kernel);
  if (!op)
    return "the kernel is not one op with one result";
  BlockArgument argument = kernel.getArgument(operand);
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return checkGeneric(generic, argument);
  if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op))
    return checkOnlyUse(argument, softmax.getInput());
  if (auto norm = dyn_cast<nq::NormOp>(op))
    return checkOnlyUse(argument, norm.getInput());
  if (auto update = dyn_cast<nq::UpdateOp>(op))
    return checkOnlyUse(argument, update.getInput());
  if (auto matmul = dyn_cast<nq::MatmulOp>(op))
    return checkMatmul(matmul, argument);
  return ("'" + op->getName().getStringRef() + "' is not known to allow it")
      .str();
}

bool nibble::mustRunInPlace(func::FuncOp kernel) {
  return isa_and_present<nq::UpdateOp>(getOnlyOp(kernel));
}
