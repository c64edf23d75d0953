// flatten-matmul: the batch of A becomes part of M.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
#define GEN_PASS_DEF_FLATTENMATMUL
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

/// [[0 .. rank-2], [rank-1]]: all but the last dimension in one.
static SmallVector<ReassociationIndices> mergeLeading(int64_t rank) {
  SmallVector<ReassociationIndices> groups(2);
  for (int64_t i = 0; i + 1 < rank; ++i)
    groups[0].push_back(i);
  groups[1].push_back(rank - 1);
  return groups;
}

namespace {
struct FlattenPattern : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    auto a = cast<RankedTensorType>(op.getA().getType());
    auto b = cast<RankedTensorType>(op.getB().getType());
    if (a.getRank() < 3 || b.getRank() != 2)
      return rewriter.notifyMatchFailure(op, "A has no batch or B has one");
    if (getScaledElement(a) || getLayout(a))
      return rewriter.notifyMatchFailure(op, "A is scaled or not row-major");
    for (Value extra : op.getExtras())
      if (cast<RankedTensorType>(extra.getType()).getRank() > 1)
        return rewriter.notifyMatchFailure(op, "an extra depends on the batch");
    auto result = cast<RankedTensorType>(op.getResult().getType());
    int64_t k = a.getShape().back(), n = result.getShape().back();
    int64_t m = 1;
    for (int64_t dim : a.getShape().drop_back())
      m *= dim;
    auto groups = mergeLeading(a.getRank());
    Value flat = tensor::CollapseShapeOp::create(
        rewriter, op.getLoc(),
        RankedTensorType::get({m, k}, a.getElementType()), op.getA(), groups);
    auto flatType = RankedTensorType::get({m, n}, result.getElementType());
    auto product = cast<MatmulOp>(rewriter.clone(*op));
    product.getAMutable().assign(flat);
    product.getResult().setType(flatType);
    rewriter.replaceOpWithNewOp<tensor::ExpandShapeOp>(
        op, result, product.getResult(), groups);
    return success();
  }
};

struct FlattenMatmulPass : nibble::impl::FlattenMatmulBase<FlattenMatmulPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FlattenPattern>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
