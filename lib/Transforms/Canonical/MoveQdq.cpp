// move-qdq: dequantize sinks past, quantize hoists over ops that move elements.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KnownScales.h"
#include "ScaledMoves.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
#define GEN_PASS_DEF_MOVEQDQ
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using remark::RemarkOpts;
using RemarkArg = remark::detail::Remark::Arg;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static RankedTensorType withElement(Value value, Type element) {
  return RankedTensorType::get(typeOf(value).getShape(), element);
}

/// The dequantize that `value` is, apart from casts.
static DequantizeOp findDequantize(Value value) {
  while (auto cast = value.getDefiningOp<CastOp>())
    value = cast.getInput();
  return value.getDefiningOp<DequantizeOp>();
}

/// The user reads codes, or will once the dequantize has sunk to it.
static bool wantsCodes(Operation *user) {
  return isMove(user) || isa<QuantizeOp, MatmulOp>(user) ||
         (isa<CastOp>(user) && llvm::all_of(user->getUsers(), wantsCodes));
}

/// Sinking repeats the conversion for every user: it pays if the value has one
/// user, or if those that stay behind are no computation.
static bool maySink(Operation *converter) {
  return converter->hasOneUse() ||
         llvm::all_of(converter->getUsers(), wantsCodes);
}

static void remarkMoved(Operation *op, Operation *move, StringRef what) {
  remark::passed(op->getLoc(), RemarkOpts::name("move-qdq").category("nibble"))
      << RemarkArg("layer", getLayerName(op->getLoc()))
      << RemarkArg("chosen", what.str() + " '" +
                                 move->getName().getStringRef().str() + "'")
      << RemarkArg("reason", "codes are fewer bytes to move, and the type "
                             "means the same on both sides");
}

namespace {

/// What is common to concat inputs: one type, and whatever all blocks share.
static std::string whyPartsDiffer(ArrayRef<Value> scaled) {
  for (Value other : scaled.drop_front()) {
    if (getScaledElement(other.getType()) !=
        getScaledElement(scaled[0].getType()))
      return "the parts differ in scaled type";
    bool same = getScaledElement(other.getType()).isPerTensor()
                    ? hasSameScales(scaled[0], other)
                    : hasSameGlobal(scaled[0], other);
    if (!same)
      return "the scales of the parts are not provably equal";
  }
  return {};
}

/// move(dequantize(q)) -> dequantize(move(q)); move(cast(x)) -> cast(move(x))
/// on the way.
struct SinkDequantize : RewritePattern {
  SinkDequantize(MLIRContext *context)
      : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *move,
                                PatternRewriter &rewriter) const override {
    if (!isMove(move))
      return rewriter.notifyMatchFailure(move, "not a move of elements");
    if (isa<linalg::BroadcastOp>(move))
      return rewriter.notifyMatchFailure(
          move, "a broadcast makes more elements to dequantize");
    SmallVector<Value> inputs(getMoved(move)), sources;
    for (Value input : inputs) {
      DequantizeOp dequantize = findDequantize(input);
      if (!dequantize || getLayout(dequantize.getInput().getType()))
        return rewriter.notifyMatchFailure(move, "input is not dequantized");
      if (!maySink(input.getDefiningOp()))
        return rewriter.notifyMatchFailure(move, "others compute with it");
      sources.push_back(dequantize.getInput());
    }
    std::string why =
        whyBlocksBreak(move, getScaledElement(sources[0].getType()));
    if (why.empty())
      why = whyPartsDiffer(sources);
    if (!why.empty())
      return rewriter.notifyMatchFailure(move, why);
    return sink(move, inputs, rewriter);
  }

  /// Moves the last converter of every input behind `move`; they are alike.
  static LogicalResult sink(Operation *move, ArrayRef<Value> inputs,
                            PatternRewriter &rewriter) {
    SmallVector<Value> before;
    Operation *first = inputs[0].getDefiningOp();
    for (Value input : inputs) {
      Operation *converter = input.getDefiningOp();
      if (converter->getName() != first->getName() ||
          converter->getAttrDictionary() != first->getAttrDictionary() ||
          getElementTypeOrSelf(converter->getOperand(0)) !=
              getElementTypeOrSelf(first->getOperand(0)))
        return rewriter.notifyMatchFailure(move, "inputs convert differently");
      before.push_back(converter->getOperand(0));
    }
    Value moved = applyMove(rewriter, move, before);
    Operation *after = rewriter.clone(*first);
    after->setOperand(0, moved);
    after->getResult(0).setType(move->getResult(0).getType());
    remarkMoved(after, move,
                isa<CastOp>(after) ? "cast behind" : "dequantize behind");
    rewriter.replaceOp(move, after->getResults());
    return success();
  }
};

/// quantize(move(x)) -> move(quantize(x)), where all that read move(x) quantize
/// it, and no more elements are quantized than before.
struct HoistQuantize : OpRewritePattern<QuantizeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(QuantizeOp op,
                                PatternRewriter &rewriter) const override {
    Operation *move = op.getInput().getDefiningOp();
    if (!move || !isMove(move))
      return rewriter.notifyMatchFailure(op, "input is not moved");
    if (auto why = whyNot(op, move); !why.empty())
      return rewriter.notifyMatchFailure(op, why);
    SmallVector<Value> quantized;
    ScaledType type = getScaledElement(op.getResult().getType());
    for (Value input : getMoved(move)) {
      auto clone = cast<QuantizeOp>(rewriter.clone(*op));
      clone.getInputMutable().assign(input);
      clone.getResult().setType(withElement(input, type));
      quantized.push_back(clone.getResult());
    }
    remarkMoved(op, move, "quantize in front of");
    rewriter.replaceOp(op, applyMove(rewriter, move, quantized));
    return success();
  }

  static std::string whyNot(QuantizeOp op, Operation *move) {
    ScaledType type = getScaledElement(op.getResult().getType());
    if (getLayout(op.getResult().getType()))
      return "the result has a layout";
    if (isa<tensor::ExtractSliceOp>(move))
      return "a slice has fewer elements to quantize";
    if (isa<tensor::ConcatOp>(move) && !meetsDequantize(move, type))
      return "no part of the concat is dequantized from this type";
    if (!llvm::all_of(move->getUsers(),
                      [](Operation *user) { return isa<QuantizeOp>(user); }))
      return "others read the moved value";
    if (op.getScale() && !type.isPerTensor())
      return "scales of blocks would have to move, too";
    return whyBlocksBreak(move, type);
  }

  static bool meetsDequantize(Operation *concat, ScaledType type) {
    return llvm::any_of(getMoved(concat), [&](Value input) {
      DequantizeOp dequantize = findDequantize(input);
      return dequantize &&
             getScaledElement(dequantize.getInput().getType()) == type;
    });
  }
};

struct MoveQdqPass : nibble::impl::MoveQdqBase<MoveQdqPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SinkDequantize, HoistQuantize>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      return signalPassFailure();
    getOperation()->walk(remarkStuck);
  }

  /// A dequantize that could not follow, and why.
  static void remarkStuck(Operation *move) {
    if (!isMove(move) || isa<linalg::BroadcastOp>(move))
      return;
    DequantizeOp dequantize = findDequantize(getMoved(move).front());
    if (!dequantize || getLayout(dequantize.getInput().getType()))
      return;
    std::string why =
        whyBlocksBreak(move, getScaledElement(dequantize.getInput().getType()));
    if (why.empty())
      return;
    remark::missed(move->getLoc(),
                   RemarkOpts::name("move-qdq").category("nibble"))
        << RemarkArg("layer", getLayerName(move->getLoc()))
        << RemarkArg("chosen", "moves the dequantized values")
        << RemarkArg("rejected", "moves codes and scales")
        << RemarkArg("reason", why)
        << RemarkArg("suggestion",
                     "put this op in front of the quantization in the model");
  }
};

} // namespace
