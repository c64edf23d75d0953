// fuse-elementwise: chains of elementwise ops become one linalg.generic.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEELEMENTWISE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static bool isWideFloat(Type type) {
  return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

/// Converts one scalar with a single rounding.
static Value castScalar(OpBuilder &b, Location loc, Value value, Type to) {
  Type from = value.getType();
  unsigned in = from.getIntOrFloatBitWidth(), out = to.getIntOrFloatBitWidth();
  if (out > in)
    return arith::ExtFOp::create(b, loc, to, value);
  if (out < in)
    return arith::TruncFOp::create(b, loc, to, value);
  // f16 <-> bf16: through f32, which holds both.
  Value wide = arith::ExtFOp::create(b, loc, b.getF32Type(), value);
  return arith::TruncFOp::create(b, loc, to, wide);
}

namespace {
/// nq.cast between wide floats -> linalg.generic.
struct CastToGeneric : OpRewritePattern<nq::CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(nq::CastOp op,
                                PatternRewriter &rewriter) const override {
    auto in = cast<RankedTensorType>(op.getInput().getType());
    auto out = cast<RankedTensorType>(op.getResult().getType());
    if (!isWideFloat(in.getElementType()) || !isWideFloat(out.getElementType()))
      return rewriter.notifyMatchFailure(op, "8-bit or 4-bit float");
    if (in.getElementType() == out.getElementType())
      return rewriter.notifyMatchFailure(op, "not a conversion");
    Value init = tensor::EmptyOp::create(rewriter, op.getLoc(), out.getShape(),
                                         out.getElementType());
    auto map = rewriter.getMultiDimIdentityMap(out.getRank());
    SmallVector<utils::IteratorType> loops(out.getRank(),
                                           utils::IteratorType::parallel);
    auto generic = linalg::GenericOp::create(
        rewriter, op.getLoc(), out, op.getInput(), init,
        ArrayRef<AffineMap>{map, map}, loops,
        [&](OpBuilder &b, Location loc, ValueRange args) {
          linalg::YieldOp::create(
              b, loc, castScalar(b, loc, args[0], out.getElementType()));
        });
    rewriter.replaceOp(op, generic.getResults());
    return success();
  }
};

/// A body that reads other tensors by index costs more when duplicated or
/// vectorized together with arithmetic: it stays on its own.
bool gathers(Operation *op) {
  return op->walk([](tensor::ExtractOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

/// Fuse if the consumer is the producer's only user, both are plain loops.
bool shouldFuse(OpOperand *operand) {
  Operation *producer = operand->get().getDefiningOp();
  Operation *consumer = operand->getOwner();
  if (!producer || gathers(producer) || gathers(consumer))
    return false;
  auto generic = dyn_cast<linalg::GenericOp>(consumer);
  // A reduction would repeat the producer's work for every loop that the
  // producer does not have; keep those apart.
  if (!generic || (generic.getNumReductionLoops() != 0 &&
                   !generic.getMatchingIndexingMap(operand).isPermutation()))
    return false;
  // A broadcast producer would be computed once per use.
  if (!generic.getMatchingIndexingMap(operand).isPermutation())
    return false;
  return llvm::all_of(producer->getUsers(),
                      [&](Operation *user) { return user == consumer; });
}

struct FuseElementwisePass
    : nibble::impl::FuseElementwiseBase<FuseElementwisePass> {
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    {
      RewritePatternSet patterns(context);
      patterns.add<CastToGeneric>(context);
      if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
        return signalPassFailure();
    }
    RewritePatternSet patterns(context);
    linalg::populateElementwiseOpsFusionPatterns(patterns, shouldFuse);
    linalg::populateFoldReshapeOpsByExpansionPatterns(
        patterns, [](OpOperand *operand) {
          // Bring a reshape past an elementwise op only towards matmuls, where
          // it exposes the fusion of what follows.
          Operation *producer = operand->get().getDefiningOp();
          return producer && isa<linalg::GenericOp>(operand->getOwner()) &&
                 !gathers(operand->getOwner()) && producer->hasOneUse();
        });
    linalg::GenericOp::getCanonicalizationPatterns(patterns, context);
    tensor::ExpandShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::CollapseShapeOp::getCanonicalizationPatterns(patterns, context);
    tensor::EmptyOp::getCanonicalizationPatterns(patterns, context);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
