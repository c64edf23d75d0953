// fuse-attention: attention reads codes where they lie, and writes its result
// as the next product reads it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEATTENTION
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FuseAttentionPass : nibble::impl::FuseAttentionBase<FuseAttentionPass> {
  void runOnOperation() override {
    SmallVector<nq::AttentionOp> ops;
    for (auto op : getOperation().front().getOps<nq::AttentionOp>())
      ops.push_back(op);
    IRRewriter rewriter(&getContext());
    for (nq::AttentionOp op : ops)
      fuseTail(rewriter, op);
  }

  /// Transposition back to [batch, positions, heads, size], the reshape that
  /// merges heads, and conversions.
  static bool isTail(Operation *op, Value value) {
    if (fuse::isElementwise(op))
      return fuse::readsSameIndex(op, value);
    // A quantizer moves to where it has the least to do: before the merge.
    if (auto quantize = dyn_cast<nq::QuantizeOp>(op))
      return fuse::whyNotQuantizedByProducer(quantize).empty();
    return isa<linalg::TransposeOp, tensor::CollapseShapeOp>(op);
  }

  /// Scales that codes of a cache get for this attention alone: nothing to
  /// compute, but for a kernel of its own a copy of the cache.
  static SmallVector<Operation *> getAssembled(nq::AttentionOp attention) {
    SmallVector<Operation *> ops;
    for (Value value : {attention.getQ(), attention.getK(), attention.getV()})
      if (auto assemble = value.getDefiningOp<nq::AssembleOp>();
          assemble && fuse::getOnlyUser(value) == attention &&
          !llvm::is_contained(ops, assemble))
        ops.push_back(assemble);
    llvm::sort(
        ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    return ops;
  }

  static void fuseTail(IRRewriter &rewriter, nq::AttentionOp attention) {
    SmallVector<Operation *> ops = getAssembled(attention);
    size_t before = ops.size();
    ops.push_back(attention);
    while (true) {
      Value value = ops.back()->getResult(0);
      Operation *user = fuse::getOnlyUser(value);
      if (!user || !isTail(user, value))
        break;
      ops.push_back(user);
    }
    if (ops.size() == 1 || !fuse::whyNotOneRegion(ops).empty())
      return;
    nq::RegionOp region =
        fuse::makeRegion(rewriter, ops, "attention", "fuse-attention");
    if (ops.size() > before + 1)
      remarkDone(region.getLoc(), "fuse-attention")
          << RemarkArg("chosen", "stores in the order of the next reader")
          << RemarkArg("reason", "the transposition is a choice of addresses");
    if (before)
      remarkDone(region.getLoc(), "fuse-attention")
          << RemarkArg("chosen", "reads the codes of a cache where they lie")
          << RemarkArg("reason", "their scale is one factor");
  }
};
} // namespace
