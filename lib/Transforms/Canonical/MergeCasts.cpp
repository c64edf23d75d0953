// merge-casts: chains of conversions become the one conversion that is equal.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KnownScales.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Reference/RefTensor.h"
#include "nibble/Transforms/CastChain.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
#define GEN_PASS_DEF_MERGECASTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using remark::RemarkOpts;
using RemarkArg = remark::detail::Remark::Arg;
using rt::StorageFormat;

/// Codes times scales that are tried at most to merge a cast.
constexpr size_t maxChecks = size_t(1) << 20;

static StorageFormat formatOf(Value value) {
  return ref::getFormat(getElementTypeOrSelf(value));
}

static std::string nameOf(Value value) {
  return rt::formatName(formatOf(value));
}

static void remarkMerged(Operation *op, const std::string &chain,
                         const std::string &chosen, StringRef reason) {
  remark::passed(op->getLoc(),
                 RemarkOpts::name("merge-casts").category("nibble"))
      << RemarkArg("layer", getLayerName(op->getLoc()))
      << RemarkArg("chosen", chosen) << RemarkArg("rejected", chain)
      << RemarkArg("reason", reason);
}

/// The conversions in the body of a generic, from its input to its yield, or
/// nothing if it does more than convert.
static std::optional<SmallVector<Operation *>>
getConversions(linalg::GenericOp op) {
  SmallVector<Operation *> chain;
  Value value = op.getBody()->getTerminator()->getOperand(0);
  while (Operation *producer = value.getDefiningOp()) {
    if (auto truncate = dyn_cast<arith::TruncFOp>(producer)) {
      auto mode = truncate.getRoundingmode();
      if (mode && *mode != arith::RoundingMode::to_nearest_even)
        return std::nullopt;
    } else if (!isa<arith::ExtFOp>(producer)) {
      return std::nullopt;
    }
    chain.push_back(producer);
    value = producer->getOperand(0);
  }
  // Ops that the yield does not use have no effect.
  if (value != op.getBody()->getArgument(0))
    return std::nullopt;
  std::reverse(chain.begin(), chain.end());
  return chain;
}

static bool isWideFloat(Type type) {
  return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

namespace {

/// generic { extf, truncf ... } -> nq.cast of nq.cast ...
struct GenericToCasts : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op,
                                PatternRewriter &rewriter) const override {
    if (op.getNumDpsInputs() != 1 || op->getNumResults() != 1 ||
        !op.hasPureTensorSemantics() || op.getNumReductionLoops() != 0)
      return rewriter.notifyMatchFailure(op, "not a map of one tensor");
    if (llvm::any_of(op.getIndexingMapsArray(),
                     [](AffineMap map) { return !map.isIdentity(); }))
      return rewriter.notifyMatchFailure(op, "moves elements");
    auto chain = getConversions(op);
    if (!chain || chain->empty())
      return rewriter.notifyMatchFailure(op, "does more than convert");
    for (Operation *step : *chain)
      if (!isWideFloat(step->getOperand(0).getType()) ||
          !isWideFloat(step->getResult(0).getType()))
        return rewriter.notifyMatchFailure(
            op, "8-bit or 4-bit float: arith does not say how it overflows");
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    Value value = op.getDpsInputOperand(0)->get();
    for (Operation *step : *chain) {
      auto next = RankedTensorType::get(
          type.getShape(), step->getResult(0).getType(), type.getEncoding());
      value = CastOp::create(rewriter, op.getLoc(), next, value,
                             rewriter.getBoolAttr(true), StringAttr());
    }
    rewriter.replaceOp(op, value);
    return success();
  }
};

/// cast(cast(x)) -> cast(x) or x.
struct MergePair : OpRewritePattern<CastOp> {
  MergePair(MLIRContext *context, CastMerger &merger)
      : OpRewritePattern(context), merger(merger) {}

  LogicalResult matchAndRewrite(CastOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<CastOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "input is not a cast");
    Value input = inner.getInput();
    auto result =
        merger.merge(formatOf(input), CastStep::of(inner), CastStep::of(op));
    if (result == CastMerger::Result::Keep)
      return rewriter.notifyMatchFailure(op, "the inner cast rounds");
    Value whole = result == CastMerger::Result::Identity ? input
                  : result == CastMerger::Result::Inner  ? inner.getResult()
                                                         : Value();
    if (whole && whole.getType() != op.getResult().getType())
      return rewriter.notifyMatchFailure(op, "layouts differ");
    std::string from = nameOf(input), to = nameOf(op.getResult());
    remarkMerged(op, from + " -> " + nameOf(inner.getResult()) + " -> " + to,
                 whole == input ? from : from + " -> " + to,
                 getReason(input, inner, op));
    if (whole)
      rewriter.replaceOp(op, whole);
    else
      rewriter.replaceOpWithNewOp<CastOp>(op, op.getResult().getType(), input,
                                          op.getSaturateAttr(),
                                          op.getRoundModeAttr());
    return success();
  }

  static StringRef getReason(Value input, CastOp inner, CastOp outer) {
    if (rt::formatBits(formatOf(input)) <= 16)
      return "equal for every code of the source format";
    return inner.getResult().getType() == outer.getResult().getType()
               ? "both conversions round to the same format"
               : "the first conversion is exact";
  }

  CastMerger &merger;
};

/// cast(dequantize(q) : T) : U -> dequantize(q) : U, if no code under the
/// scales of q is rounded in T to something else than U would make of it.
struct MergeDequantize : OpRewritePattern<CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(CastOp op,
                                PatternRewriter &rewriter) const override {
    auto dequantize = op.getInput().getDefiningOp<DequantizeOp>();
    if (!dequantize)
      return rewriter.notifyMatchFailure(op, "input is not a dequantize");
    if (!isWideFloat(getElementTypeOrSelf(op.getResult())))
      return rewriter.notifyMatchFailure(op, "8-bit or 4-bit result");
    auto scales = getKnownScales(dequantize.getInput());
    if (!scales)
      return rewriter.notifyMatchFailure(op, "scales are not known");
    if (!isExact(dequantize, op, *scales))
      return rewriter.notifyMatchFailure(op, "some code is rounded twice");
    std::string to = nameOf(op.getResult());
    remarkMerged(op, "dequantize to " + nameOf(op.getInput()) + " -> " + to,
                 "dequantize to " + to,
                 "equal for every code under every scale");
    rewriter.replaceOpWithNewOp<DequantizeOp>(op, op.getResult().getType(),
                                              dequantize.getInput());
    return success();
  }

  static bool isExact(DequantizeOp dequantize, CastOp op,
                      const KnownScales &scales) {
    CastStep inner{formatOf(dequantize.getResult())}, outer = CastStep::of(op);
    auto pairs = scales.getPairs();
    auto codes = getPossibleCodes(dequantize.getInput());
    if (pairs.size() * codes.size() > maxChecks)
      return false;
    for (KnownScales::Pair pair : pairs)
      for (uint64_t code : codes) {
        double x = decodeCode(scales.type, pair, code);
        if (!isSameNumber(outer.apply(inner.apply(x)), outer.apply(x)))
          return false;
      }
    return true;
  }
};

/// quantize(cast(x)) -> quantize(x) where the cast only widens: quantize is
/// defined in f32 and widens by itself.
struct MergeQuantize : OpRewritePattern<QuantizeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(QuantizeOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<CastOp>();
    if (!inner)
      return rewriter.notifyMatchFailure(op, "input is not a cast");
    StorageFormat from = formatOf(inner.getInput()),
                  to = formatOf(inner.getResult());
    bool half = from == StorageFormat::F16 || from == StorageFormat::BF16;
    if (!(half || from == StorageFormat::F32) ||
        !(to == StorageFormat::F32 || to == StorageFormat::F64))
      return rewriter.notifyMatchFailure(op, "the cast does not only widen");
    remarkMerged(op,
                 nameOf(inner.getInput()) + " -> " + rt::formatName(to) +
                     " -> quantize",
                 nameOf(inner.getInput()) + " -> quantize",
                 "quantize computes in f32, to which its input is exact");
    rewriter.modifyOpInPlace(
        op, [&] { op.getInputMutable().assign(inner.getInput()); });
    return success();
  }
};

struct MergeCastsPass : nibble::impl::MergeCastsBase<MergeCastsPass> {
  void runOnOperation() override {
    CastMerger merger;
    RewritePatternSet patterns(&getContext());
    patterns.add<GenericToCasts, MergeDequantize, MergeQuantize>(&getContext());
    patterns.add<MergePair>(&getContext(), merger);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    getOperation()->walk(remarkKept);
  }

  /// What stays a chain, and why.
  static void remarkKept(CastOp op) {
    auto inner = op.getInput().getDefiningOp<CastOp>();
    if (!inner)
      return;
    std::string middle = nameOf(inner.getResult());
    std::string chain = nameOf(inner.getInput()) + " -> " + middle + " -> " +
                        nameOf(op.getResult());
    remark::missed(op->getLoc(),
                   RemarkOpts::name("merge-casts").category("nibble"))
        << RemarkArg("layer", getLayerName(op->getLoc()))
        << RemarkArg("chosen", chain)
        << RemarkArg("rejected",
                     nameOf(inner.getInput()) + " -> " + nameOf(op.getResult()))
        << RemarkArg("reason", "rounding to " + middle +
                                   " first gives other results for some values")
        << RemarkArg("suggestion",
                     "remove the conversion to " + middle +
                         " from the model if that rounding is not wanted");
  }
};

} // namespace
