// decompose-for-cpu: attention and scaled activations in terms of CPU kernels.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/AttentionKernel.h"
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <limits>

namespace nibble {
#define GEN_PASS_DEF_DECOMPOSEFORCPU
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static Value constantF32(OpBuilder &b, Location loc, float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}

/// Elementwise map over tensors of rank 4 that broadcast to `type` (dimensions
/// aligned at the end, extent 1 repeated).
static Value
mapElements(OpBuilder &b, Location loc, RankedTensorType type,
            ValueRange inputs,
            function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  int64_t rank = type.getRank();
  SmallVector<AffineMap> maps;
  for (Value input : inputs) {
    RankedTensorType in = tensorOf(input);
    SmallVector<AffineExpr> exprs;
    for (int64_t i = 0; i < in.getRank(); ++i) {
      int64_t dim = rank - in.getRank() + i;
      bool repeat = in.getDimSize(i) == 1 && type.getDimSize(dim) != 1;
      exprs.push_back(repeat ? b.getAffineConstantExpr(0)
                             : b.getAffineDimExpr(dim));
    }
    maps.push_back(AffineMap::get(rank, 0, exprs, b.getContext()));
  }
  maps.push_back(b.getMultiDimIdentityMap(rank));
  Value init =
      tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, type, inputs, init, maps, loops,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, body(b, loc, args.drop_back()));
             })
      .getResult(0);
}

/// Any float or i1 element as f32.
static Value toF32(OpBuilder &b, Location loc, Value value) {
  Type type = value.getType();
  if (type.isF32())
    return value;
  if (type.getIntOrFloatBitWidth() > 32)
    return arith::TruncFOp::create(b, loc, b.getF32Type(), value);
  return arith::ExtFOp::create(b, loc, b.getF32Type(), value);
}

namespace {

/// True for the floats that the GEMM family multiplies.
bool isGemmFloat(Type type) {
  return type.isF32() || type.isF16() || type.isBF16();
}

/// matmul(scaled a, b) -> matmul(dequantize(a) : f32, b) where no GEMM reads
/// the codes themselves.
struct DequantizeActivations : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    bool changed = dequantize(op, op.getAMutable(), whyNotA(op), rewriter);
    changed |= dequantize(op, op.getBMutable(), whyNotB(op), rewriter);
    return changed ? success()
                   : rewriter.notifyMatchFailure(
                         op, "GEMMs read the operands as they are");
  }

private:
  static std::string whyNotA(MatmulOp op) {
    if (!isGemmFloat(tensorOf(op.getResult()).getElementType()))
      return "GEMMs write f32, f16 and bf16 only";
    if (tensorOf(op.getB()).getElementType().isF64())
      return "the right operand is f64";
    return cpu::whyNoScaledActivation(op);
  }

  static std::string whyNotB(MatmulOp op) {
    // A scaled B that is computed, not stored, is an activation as well.
    if (!fuse::getSource(op.getB()).getDefiningOp<ConstantOp>())
      return "the right operand is not constant";
    if (tensorOf(op.getA()).getElementType().isF64())
      return "the left operand is f64";
    if (!isGemmFloat(tensorOf(op.getResult()).getElementType()))
      return "GEMMs write f32, f16 and bf16 only";
    return cpu::whyNoScaledWeight(op);
  }

  /// Nothing to do if `why` is empty.
  static bool dequantize(MatmulOp op, OpOperand &operand,
                         const std::string &why, PatternRewriter &rewriter) {
    RankedTensorType type = tensorOf(operand.get());
    if (!getScaledElement(type) || why.empty())
      return false;
    remark::missed(
        op.getLoc(),
        remark::RemarkOpts::name("decompose-for-cpu").category("nibble"))
        << remark::metric("layer", getLayerName(op.getLoc()))
        << remark::metric("chosen", "dequantized to f32")
        << remark::metric("rejected", "codes read by the GEMM")
        << remark::metric("reason", why);
    Value wide = DequantizeOp::create(
        rewriter, op.getLoc(),
        RankedTensorType::get(type.getShape(), rewriter.getF32Type()),
        operand.get());
    rewriter.modifyOpInPlace(op, [&] { operand.set(wide); });
    return true;
  }
};

/// Plain 8-bit and 4-bit floats are converted first: exactly, they all are f32
/// numbers.
struct WidenSmallFloats : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    bool changed = false;
    for (OpOperand *operand : {&op.getAMutable(), &op.getBMutable()}) {
      RankedTensorType type = tensorOf(operand->get());
      if (getScaledElement(type) || type.getElementTypeBitWidth() > 8)
        continue;
      Value wide = CastOp::create(
          rewriter, op.getLoc(),
          RankedTensorType::get(type.getShape(), rewriter.getF32Type()),
          operand->get(), /*saturate=*/true, StringAttr());
      rewriter.modifyOpInPlace(op, [&] { operand->set(wide); });
      changed = true;
    }
    return success(changed);
  }
};

/// Matmuls with an f64 operand or a result that the GEMM family does not write
/// become loops; nothing but f64 models and tests has them.
struct MatmulToLoops : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    RankedTensorType a = tensorOf(op.getA()), b = tensorOf(op.getB());
    RankedTensorType result = tensorOf(op.getResult());
    bool wide = a.getElementType().isF64() || b.getElementType().isF64();
    if (!wide && isGemmFloat(result.getElementType()))
      return rewriter.notifyMatchFailure(op, "the GEMM family has it");
    if (getScaledElement(a) || getScaledElement(b) || !op.getExtras().empty())
      return rewriter.notifyMatchFailure(op, "scaled operand or epilogue");
    Location loc = op.getLoc();
    Type sumType = wide ? Type(rewriter.getF64Type()) : rewriter.getF32Type();
    auto type = RankedTensorType::get(result.getShape(), sumType);
    Value zero = arith::ConstantOp::create(rewriter, loc,
                                           rewriter.getFloatAttr(sumType, 0));
    Value init =
        tensor::EmptyOp::create(rewriter, loc, type.getShape(), sumType);
    init = linalg::FillOp::create(rewriter, loc, zero, init).getResult(0);
    int64_t rank = result.getRank();
    SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
    loops.push_back(utils::IteratorType::reduction);
    auto maps = getMaps(op, rewriter);
    Value sum =
        linalg::GenericOp::create(
            rewriter, loc, type, ValueRange{op.getA(), op.getB()}, init, maps,
            loops,
            [&](OpBuilder &b, Location loc, ValueRange args) {
              Value x = widen(b, loc, args[0], sumType);
              Value y = widen(b, loc, args[1], sumType);
              Value product = arith::MulFOp::create(b, loc, x, y);
              linalg::YieldOp::create(
                  b, loc,
                  Value(arith::AddFOp::create(b, loc, args[2], product)));
            })
            .getResult(0);
    if (sumType == result.getElementType())
      rewriter.replaceOp(op, sum);
    else
      rewriter.replaceOpWithNewOp<CastOp>(op, result, sum, true, StringAttr());
    return success();
  }

  static Value widen(OpBuilder &b, Location loc, Value value, Type type) {
    return value.getType() == type
               ? value
               : Value(arith::ExtFOp::create(b, loc, type, value));
  }

  /// Loops: batch.., m, n, k.
  static SmallVector<AffineMap> getMaps(MatmulOp op, OpBuilder &builder) {
    RankedTensorType result = tensorOf(op.getResult());
    int64_t rank = result.getRank();
    AffineExpr m = builder.getAffineDimExpr(rank - 2);
    AffineExpr n = builder.getAffineDimExpr(rank - 1);
    AffineExpr k = builder.getAffineDimExpr(rank);
    auto map = [&](Value operand, AffineExpr row, AffineExpr column) {
      RankedTensorType type = tensorOf(operand);
      SmallVector<AffineExpr> exprs;
      for (int64_t i = 0; i + 2 < type.getRank(); ++i) {
        int64_t dim = rank - type.getRank() + i;
        // Every loop must index something: only a broadcast has no loop.
        bool repeat = type.getDimSize(i) == 1 && result.getDimSize(dim) != 1;
        exprs.push_back(repeat ? builder.getAffineConstantExpr(0)
                               : builder.getAffineDimExpr(dim));
      }
      exprs.append({row, column});
      return AffineMap::get(rank + 1, 0, exprs, builder.getContext());
    };
    return {map(op.getA(), m, k),
            op.getTransposeB() ? map(op.getB(), n, k) : map(op.getB(), k, n),
            map(op.getResult(), m, n)};
  }
};

/// Attention in steps. Query heads of one kv head are rows of one product.
struct AttentionSteps {
  OpBuilder &b;
  AttentionOp op;
  Location loc;
  int64_t batch, heads, kvHeads, rows, keys;

  AttentionSteps(OpBuilder &b, AttentionOp op)
      : b(b), op(op), loc(op.getLoc()) {
    RankedTensorType q = tensorOf(op.getQ()), k = tensorOf(op.getK());
    batch = q.getDimSize(0), heads = q.getDimSize(1), rows = q.getDimSize(2);
    kvHeads = k.getDimSize(1), keys = k.getDimSize(2);
  }

  /// [B, Hq, S, D] <-> [B, Hkv, Hq/Hkv * S, D]: the same bytes.
  Value regroup(Value value, int64_t toHeads, int64_t toRows) {
    RankedTensorType type = tensorOf(value);
    if (type.getDimSize(1) == toHeads)
      return value;
    int64_t group = heads / kvHeads;
    auto wide =
        RankedTensorType::get({batch, kvHeads, group, rows, type.getDimSize(3)},
                              type.getElementType());
    auto to = RankedTensorType::get(
        {batch, toHeads, toRows, type.getDimSize(3)}, type.getElementType());
    SmallVector<ReassociationIndices> splitHeads = {{0}, {1, 2}, {3}, {4}};
    SmallVector<ReassociationIndices> splitRows = {{0}, {1}, {2, 3}, {4}};
    bool merging = toHeads == kvHeads;
    Value middle = tensor::ExpandShapeOp::create(
        b, loc, wide, value, merging ? splitHeads : splitRows);
    return tensor::CollapseShapeOp::create(b, loc, to, middle,
                                           merging ? splitRows : splitHeads);
  }

  Value scores() {
    Value q = regroup(op.getQ(), kvHeads, heads / kvHeads * rows);
    auto type = RankedTensorType::get(
        {batch, kvHeads, tensorOf(q).getDimSize(2), keys}, b.getF32Type());
    Value product = MatmulOp::create(b, loc, type, q, op.getK(), true);
    return regroup(product, heads, rows);
  }

  /// [B, 1, 1, 1], or 1 for B.
  Value lengths() {
    RankedTensorType type = tensorOf(op.getLengths());
    auto to = RankedTensorType::get({type.getDimSize(0), 1, 1, 1},
                                    type.getElementType());
    SmallVector<ReassociationIndices> groups = {{0, 1, 2, 3}};
    return tensor::ExpandShapeOp::create(b, loc, to, op.getLengths(), groups);
  }

  static Value index(OpBuilder &b, Location loc, int64_t dim, Type type) {
    return arith::IndexCastOp::create(b, loc, type,
                                      linalg::IndexOp::create(b, loc, dim));
  }

  /// Values behind the last key, whatever they are, are zeros.
  Value values() {
    Value v = op.getV();
    if (!op.getLengths())
      return v;
    auto wide = RankedTensorType::get(tensorOf(v).getShape(), b.getF32Type());
    if (getScaledElement(tensorOf(v)))
      v = DequantizeOp::create(b, loc, wide, v);
    else if (!isGemmFloat(tensorOf(v).getElementType()))
      v = CastOp::create(b, loc, wide, v, /*saturate=*/true, StringAttr());
    return mapElements(
        b, loc, tensorOf(v), {v, lengths()},
        [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          Value zero = arith::ConstantOp::create(
              b, loc, b.getZeroAttr(args[0].getType()));
          Value isThere = arith::CmpIOp::create(
              b, loc, arith::CmpIPredicate::slt,
              index(b, loc, 2, args[1].getType()), args[1]);
          return arith::SelectOp::create(b, loc, isThere, args[0], zero);
        });
  }

  /// Unless the key is one of `length` and, with `bottom_right`, seen.
  Value hideBeyond(OpBuilder &b, Value score, Value length) {
    Type type = length.getType();
    Value t = index(b, loc, 3, type);
    if (op.getCausal() && op.getBottomRight()) {
      // t < length - S + 1 + s, whatever the length, as no side overflows.
      Value last =
          arith::ConstantOp::create(b, loc, b.getIntegerAttr(type, rows - 1));
      Value later = arith::SubIOp::create(b, loc, last, index(b, loc, 2, type));
      t = arith::AddIOp::create(b, loc, t, later);
    }
    Value isThere =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, t, length);
    return arith::SelectOp::create(
        b, loc, isThere, score,
        constantF32(b, loc, -std::numeric_limits<float>::infinity()));
  }

  /// Scale, softcap, masks and lengths on one score.
  Value adjust(OpBuilder &b, Value score, ValueRange args) {
    Value length;
    if (op.getLengths())
      length = args.back(), args = args.drop_back();
    ValueRange mask = args;
    score = arith::MulFOp::create(
        b, loc, score, constantF32(b, loc, op.getScale().convertToDouble()));
    if (double cap = op.getSoftcap().convertToDouble(); cap != 0) {
      Value c = constantF32(b, loc, cap);
      Value t =
          math::TanhOp::create(b, loc, arith::DivFOp::create(b, loc, score, c));
      score = arith::MulFOp::create(b, loc, t, c);
    }
    Value minusInf =
        constantF32(b, loc, -std::numeric_limits<float>::infinity());
    if (!mask.empty()) {
      if (mask[0].getType().isInteger(1))
        score = arith::SelectOp::create(b, loc, mask[0], score, minusInf);
      else
        score = arith::AddFOp::create(b, loc, score, toF32(b, loc, mask[0]));
    }
    if (length)
      score = hideBeyond(b, score, length);
    if (!op.getCausal() || (length && op.getBottomRight()))
      return score;
    Value s = linalg::IndexOp::create(b, loc, 2),
          t = linalg::IndexOp::create(b, loc, 3);
    if (op.getBottomRight()) {
      Value shift = arith::ConstantIndexOp::create(b, loc, keys - rows);
      s = arith::AddIOp::create(b, loc, s, shift);
    }
    Value future =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sgt, t, s);
    return arith::SelectOp::create(b, loc, future, minusInf, score);
  }

  Value softmax(Value scores) {
    RankedTensorType type = tensorOf(scores);
    Value init =
        tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
    return linalg::SoftmaxOp::create(b, loc, TypeRange{type}, scores, init,
                                     b.getI64IntegerAttr(3))
        .getResult()
        .front();
  }

  /// Rows with every position masked give zeros, not NaN.
  Value zeroMaskedRows(Value weights) {
    return mapElements(
        b, loc, tensorOf(weights), weights,
        [](OpBuilder &b, Location loc, ValueRange args) -> Value {
          Value nan = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO,
                                            args[0], args[0]);
          return arith::SelectOp::create(b, loc, nan, constantF32(b, loc, 0),
                                         args[0]);
        });
  }

  /// Through codes, if the graph quantizes them.
  Value quantize(Value weights) {
    auto codes = op.getWeightCodes();
    if (!codes)
      return weights;
    RankedTensorType type = tensorOf(weights);
    auto element = ScaledType::get(b.getContext(), codes->type, b.getF32Type(),
                                   {}, Type(), /*zeroPoint=*/false);
    auto one = RankedTensorType::get({}, b.getF32Type());
    Value scale = arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(one, codes->scale));
    Value coded = QuantizeOp::create(
        b, loc, RankedTensorType::get(type.getShape(), element), weights, scale,
        Value(), Value(), StringAttr(), b.getBoolAttr(true));
    return DequantizeOp::create(b, loc, type, coded);
  }

  Value run() {
    SmallVector<Value> inputs = {scores()};
    if (op.getMask())
      inputs.push_back(op.getMask());
    if (op.getLengths())
      inputs.push_back(lengths());
    Value adjusted = mapElements(b, loc, tensorOf(inputs[0]), inputs,
                                 [&](OpBuilder &b, Location, ValueRange args) {
                                   return adjust(b, args[0], args.drop_front());
                                 });
    Value weights = softmax(adjusted);
    if (op.getMask() || op.getCausal() || op.getLengths())
      weights = zeroMaskedRows(weights);
    weights = quantize(weights);
    weights = regroup(weights, kvHeads, heads / kvHeads * rows);
    RankedTensorType result = tensorOf(op.getResult());
    auto type = RankedTensorType::get(
        {batch, kvHeads, heads / kvHeads * rows, result.getDimSize(3)},
        result.getElementType());
    Value product = MatmulOp::create(b, loc, type, weights, values(), false);
    return regroup(product, heads, rows);
  }
};

/// attention(scaled q, k, v) -> attention(dequantize(q) : f32, ..).
struct DequantizeAttention : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    bool changed = false;
    for (OpOperand *operand :
         {&op.getQMutable(), &op.getKMutable(), &op.getVMutable()}) {
      RankedTensorType type = tensorOf(operand->get());
      if (!getScaledElement(type))
        continue;
      Value wide = DequantizeOp::create(
          rewriter, op.getLoc(),
          RankedTensorType::get(type.getShape(), rewriter.getF32Type()),
          operand->get());
      rewriter.modifyOpInPlace(op, [&] { operand->set(wide); });
      changed = true;
    }
    if (!changed)
      return rewriter.notifyMatchFailure(op, "no operand is scaled");
    remark::missed(
        op.getLoc(),
        remark::RemarkOpts::name("decompose-for-cpu").category("nibble"))
        << remark::metric("layer", getLayerName(op.getLoc()))
        << remark::metric("chosen", "dequantized to f32")
        << remark::metric("rejected", "codes read by the attention")
        << remark::metric("reason", "the CPU's kernel reads f32, f16 or bf16");
    return success();
  }
};

struct DecomposeAttention : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AttentionOp op,
                                PatternRewriter &rewriter) const override {
    if (llvm::any_of(ValueRange{op.getQ(), op.getK(), op.getV()},
                     [](Value value) {
                       return bool(getScaledElement(value.getType()));
                     }))
      return rewriter.notifyMatchFailure(op, "operands are dequantized first");
    std::string why = cpu::whyNoAttention(op);
    if (why.empty())
      return rewriter.notifyMatchFailure(op, "it is one kernel");
    remark::missed(
        op.getLoc(),
        remark::RemarkOpts::name("decompose-for-cpu").category("nibble"))
        << remark::metric("layer", getLayerName(op.getLoc()))
        << remark::metric("chosen", "products and softmax one by one")
        << remark::metric("rejected", "one kernel")
        << remark::metric("reason", why);
    rewriter.replaceOp(op, AttentionSteps(rewriter, op).run());
    return success();
  }
};

struct DecomposeForCpuPass
    : nibble::impl::DecomposeForCpuBase<DecomposeForCpuPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<DequantizeActivations, DequantizeAttention, DecomposeAttention,
                 WidenSmallFloats, MatmulToLoops>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
