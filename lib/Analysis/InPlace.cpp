// In-place legality from what a kernel computes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/InPlace.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace nibble;

/// Constants and initial values: not what a kernel is about.
static bool isInitial(Operation *op) {
  return op->hasTrait<OpTrait::ConstantLike>() ||
         isa<nq::ConstantOp, tensor::EmptyOp, linalg::FillOp>(op);
}

/// The op that does the work; null if there is more than one.
static Operation *getOnlyOp(func::FuncOp kernel) {
  if (kernel.isExternal() || kernel.getNumResults() != 1)
    return nullptr;
  Operation *only = nullptr;
  for (Operation &op : kernel.front().without_terminator()) {
    if (isInitial(&op))
      continue;
    if (only)
      return nullptr;
    only = &op;
  }
  Operation *terminator = kernel.front().getTerminator();
  return only && terminator->getOperand(0).getDefiningOp() == only ? only
                                                                   : nullptr;
}

/// tensor.extract %argument[%0, %1, ..] with the indices of the loops in order,
/// or 0 where there is only one.
static bool readsOwnElement(Operation *user) {
  auto extract = dyn_cast<tensor::ExtractOp>(user);
  if (!extract)
    return false;
  auto shape = cast<RankedTensorType>(extract.getTensor().getType()).getShape();
  for (auto [i, index] : llvm::enumerate(extract.getIndices())) {
    auto loop = index.getDefiningOp<linalg::IndexOp>();
    bool isOnly = shape[i] == 1 && matchPattern(index, m_Zero());
    if (!isOnly && (!loop || loop.getDim() != i))
      return false;
  }
  return true;
}

static std::string checkGeneric(linalg::GenericOp op, Value operand) {
  if (op.getNumParallelLoops() != op.getNumLoops() || op.getNumResults() != 1)
    return "it reduces, or has several results";
  if (!op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return "it writes its result in another order";
  for (OpOperand &use : op->getOpOperands())
    if (use.get() == operand && !op.getMatchingIndexingMap(&use).isIdentity())
      return "it reads elements of the operand in another order";
  for (Operation *user : operand.getUsers())
    if (op->isProperAncestor(user) && !readsOwnElement(user))
      return "it gathers elements of the operand";
  return "";
}

/// Rows are read before they are written, if only the input comes from them.
static std::string checkRows(Operation *op, Value input, Value operand) {
  if (input == operand && llvm::count(op->getOperands(), operand) == 1)
    return "";
  return "it reads the operand in another way";
}

/// Whether `op` makes each element (or row) of its result from the same
/// element (or row) of `operand`.
static std::string checkStep(Operation *op, Value operand) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return checkGeneric(generic, operand);
  if (auto softmax = dyn_cast<linalg::SoftmaxOp>(op))
    return checkRows(op, softmax.getInput(), operand);
  if (auto norm = dyn_cast<nq::NormOp>(op))
    return checkRows(op, norm.getInput(), operand);
  // Statistics read what has been stored.
  if (isa<nq::CastOp, nq::StatisticsOp>(op))
    return "";
  return ("'" + op->getName().getStringRef() + "' is not known to allow it")
      .str();
}

/// Every op on the way from `argument` to the one result.
static std::string checkChain(func::FuncOp kernel, BlockArgument argument) {
  llvm::SetVector<Value> derived;
  derived.insert(argument);
  for (unsigned i = 0; i < derived.size(); ++i)
    for (Operation *user : derived[i].getUsers()) {
      while (user->getBlock() != &kernel.front())
        user = user->getParentOp();
      if (user->hasTrait<OpTrait::IsTerminator>())
        continue;
      if (isInitial(user))
        return "it starts from the operand";
      std::string why = checkStep(user, derived[i]);
      if (!why.empty())
        return why;
      derived.insert(user->result_begin(), user->result_end());
    }
  return "";
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

/// The update whose value the kernel returns as `result`, or null.
static nq::UpdateOp getUpdate(func::FuncOp kernel, unsigned result) {
  Operation *terminator = kernel.front().getTerminator();
  return terminator->getOperand(result).getDefiningOp<nq::UpdateOp>();
}

/// Only the update may know the old value, only the result the new one.
static std::string checkUpdate(nq::UpdateOp update, BlockArgument argument) {
  if (update.getInput() == argument && argument.hasOneUse() &&
      update->hasOneUse())
    return "";
  return "it reads the operand in another way";
}

/// Other results are made from the stored result, so that nothing reads the
/// operand again: statistics of its rows.
static std::string checkOtherResults(func::FuncOp kernel, unsigned result) {
  OperandRange values = kernel.front().getTerminator()->getOperands();
  for (auto [i, value] : llvm::enumerate(values)) {
    auto statistics = value.getDefiningOp<nq::StatisticsOp>();
    if (i != result && (!statistics || statistics.getInput() != values[result]))
      return "the kernel has several results";
  }
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
  if (kernel.isExternal())
    return "the kernel is unknown";
  BlockArgument argument = kernel.getArgument(operand);
  if (nq::UpdateOp update = getUpdate(kernel, result))
    return checkUpdate(update, argument);
  why = checkOtherResults(kernel, result);
  if (!why.empty())
    return why;
  Operation *op = getOnlyOp(kernel);
  if (auto matmul = dyn_cast_if_present<nq::MatmulOp>(op))
    return checkMatmul(matmul, argument);
  return checkChain(kernel, argument);
}

SmallVector<InPlacePair> nibble::getUpdatedOperands(func::FuncOp kernel) {
  SmallVector<InPlacePair> pairs;
  if (kernel.isExternal())
    return pairs;
  for (unsigned result = 0; result < kernel.getNumResults(); ++result)
    if (nq::UpdateOp update = getUpdate(kernel, result))
      if (auto argument = dyn_cast<BlockArgument>(update.getInput()))
        pairs.push_back({argument.getArgNumber(), result});
  return pairs;
}
