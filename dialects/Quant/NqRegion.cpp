// nq.region: verifier and canonicalization.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

#include "dialects/Quant/NqInterfaces.cpp.inc"

YieldOp RegionOp::getYield() {
  return cast<YieldOp>(getBlock().getTerminator());
}

Operation *RegionOp::getRoot() {
  Operation *last = nullptr;
  for (Operation &op : llvm::reverse(getBlock().without_terminator())) {
    if (isa<MatmulOp, AttentionOp>(op))
      return &op;
    bool isView = isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
    if (!last && !isView)
      last = &op;
  }
  return last ? last : getOperation();
}

/// "what (types) do not match other (types)" if they differ.
static LogicalResult verifyTypes(RegionOp op, StringRef what, TypeRange have,
                                 StringRef other, TypeRange want) {
  if (llvm::equal(have, want))
    return success();
  InFlightDiagnostic diag = op.emitOpError() << what << " (";
  llvm::interleaveComma(have, diag);
  diag << ") do not match " << other << " (";
  llvm::interleaveComma(want, diag);
  return diag << ")";
}

LogicalResult RegionOp::verify() {
  if (failed(verifyTypes(*this, "block arguments",
                         getBlock().getArgumentTypes(), "the inputs",
                         getInputs().getTypes())))
    return failure();
  return verifyTypes(*this, "yielded values", getYield().getValues().getTypes(),
                     "the results", getResultTypes());
}

/// Replaces arguments of repeated inputs by the first; returns the arguments
/// that nobody reads then.
static llvm::BitVector mergeArguments(RegionOp op, PatternRewriter &rewriter) {
  Block &block = op.getBlock();
  llvm::SmallDenseMap<Value, BlockArgument> first;
  for (auto [input, argument] :
       llvm::zip(op.getInputs(), block.getArguments())) {
    auto [it, isNew] = first.try_emplace(input, argument);
    if (!isNew && !argument.use_empty())
      rewriter.replaceAllUsesWith(argument, it->second);
  }
  llvm::BitVector unused(block.getNumArguments());
  for (BlockArgument argument : block.getArguments())
    if (argument.use_empty())
      unused.set(argument.getArgNumber());
  return unused;
}

static bool hasRepeatedInput(RegionOp op) {
  llvm::SmallDenseSet<Value> seen;
  return llvm::any_of(llvm::zip(op.getInputs(), op.getBlock().getArguments()),
                      [&](auto pair) {
                        return std::get<1>(pair).use_empty() ||
                               !seen.insert(std::get<0>(pair)).second;
                      });
}

LogicalResult RegionOp::canonicalize(RegionOp op, PatternRewriter &rewriter) {
  SmallVector<unsigned> results;
  for (OpResult result : op.getResults())
    if (!result.use_empty())
      results.push_back(result.getResultNumber());
  if (results.size() == op.getNumResults() && !hasRepeatedInput(op))
    return rewriter.notifyMatchFailure(
        op, "all inputs and results are used, none is repeated");
  if (results.empty())
    return rewriter.notifyMatchFailure(op, "dead");
  llvm::BitVector unused = mergeArguments(op, rewriter);
  SmallVector<Value> inputs, yielded;
  SmallVector<Type> types;
  for (auto [i, input] : llvm::enumerate(op.getInputs()))
    if (!unused[i])
      inputs.push_back(input);
  YieldOp yield = op.getYield();
  for (unsigned i : results) {
    yielded.push_back(yield.getValues()[i]);
    types.push_back(op.getResult(i).getType());
  }
  rewriter.modifyOpInPlace(yield,
                           [&] { yield.getValuesMutable().assign(yielded); });
  rewriter.modifyOpInPlace(op, [&] { op.getBlock().eraseArguments(unused); });
  auto slim = RegionOp::create(rewriter, op.getLoc(), types, op.getKindAttr(),
                               inputs, op.getFusedAttr());
  slim->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  rewriter.inlineRegionBefore(op.getBody(), slim.getBody(),
                              slim.getBody().end());
  for (auto [from, to] : llvm::zip(results, slim.getResults()))
    rewriter.replaceAllUsesWith(op.getResult(from), to);
  rewriter.eraseOp(op);
  return success();
}
