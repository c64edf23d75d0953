// fold-qdq: Q/DQ notation becomes scaled tensors and scaled constants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantData.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace nibble {
#define GEN_PASS_DEF_FOLDQDQ
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

/// The attribute as raw bytes of type tensor<Nxi8>; resources keep their blob.
static ElementsAttr asBytes(ElementsAttr attr) {
  auto byte = IntegerType::get(attr.getContext(), 8);
  int64_t size = getPlainBytes(attr.getElementType(), attr.getNumElements());
  auto type = RankedTensorType::get({size}, byte);
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr))
    return DenseResourceElementsAttr::get(type, resource.getRawHandle());
  SmallVector<char> scratch;
  auto bytes = getRawBytes(attr, scratch);
  if (failed(bytes))
    return {};
  return DenseElementsAttr::getFromRawBuffer(type, *bytes);
}

/// The single element of a constant as a rank-0 attribute.
static ElementsAttr asScalar(ElementsAttr attr) {
  SmallVector<char> scratch;
  auto bytes = getRawBytes(attr, scratch);
  if (attr.getNumElements() != 1 || failed(bytes))
    return {};
  return DenseElementsAttr::getFromRawBuffer(
      RankedTensorType::get({}, attr.getElementType()), *bytes);
}

namespace {

/// assemble(constants) -> constant, codes and scales as they are in the file.
struct FoldConstantAssemble : OpRewritePattern<AssembleOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AssembleOp op,
                                PatternRewriter &rewriter) const override {
    ElementsAttr codes = getPlainConstant(op.getCodes());
    ElementsAttr scales = getPlainConstant(op.getScales());
    if (!codes || !scales)
      return rewriter.notifyMatchFailure(op, "codes or scales not constant");
    ElementsAttr global, zeroPoints;
    if (op.getGlobal() && !(global = getPlainConstant(op.getGlobal())))
      return rewriter.notifyMatchFailure(op, "global scale not constant");
    if (op.getZeroPoint() &&
        !(zeroPoints = getPlainConstant(op.getZeroPoint())))
      return rewriter.notifyMatchFailure(op, "zero points not constant");
    ScaledType scaled = getScaledElement(op.getResult().getType());
    if (zeroPoints && scaled.getStorageBits() == 4)
      zeroPoints = widenNibbles(zeroPoints, scaled);
    rewriter.replaceOpWithNewOp<ConstantOp>(
        op, op.getResult().getType(), asBytes(codes), asBytes(scales),
        global ? asScalar(global) : ElementsAttr(),
        zeroPoints ? asBytes(zeroPoints) : ElementsAttr());
    return success();
  }

  /// Zero points are stored one byte each, sign-extended for signed storage.
  static ElementsAttr widenNibbles(ElementsAttr attr, ScaledType scaled) {
    SmallVector<char> scratch, bytes;
    auto packed = getRawBytes(attr, scratch);
    if (failed(packed))
      return {};
    bool isSigned = cast<IntegerType>(scaled.getStorage()).isSigned();
    for (int64_t i = 0, e = attr.getNumElements(); i < e; ++i) {
      int code = ((*packed)[i / 2] >> (4 * (i % 2))) & 15;
      bytes.push_back(isSigned && code > 7 ? code - 16 : code);
    }
    auto type = RankedTensorType::get({attr.getNumElements()},
                                      IntegerType::get(attr.getContext(), 8));
    return DenseElementsAttr::getFromRawBuffer(type, bytes);
  }
};

/// assemble(codes(quantize(x, s)), s) -> quantize(x, s).
struct FoldQuantizePair : OpRewritePattern<AssembleOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AssembleOp op,
                                PatternRewriter &rewriter) const override {
    auto codes = op.getCodes().getDefiningOp<CodesOp>();
    auto quantize =
        codes ? codes.getInput().getDefiningOp<QuantizeOp>() : QuantizeOp();
    if (!quantize)
      return rewriter.notifyMatchFailure(op, "codes do not come from quantize");
    if (quantize.getResult().getType() != op.getResult().getType())
      return rewriter.notifyMatchFailure(op, "Q and DQ differ in scaled type");
    if (op.getZeroPoint() &&
        !isSameValue(op.getZeroPoint(), quantize.getZeroPoint()))
      return rewriter.notifyMatchFailure(op, "zero points differ");
    if (op.getGlobal() && !isSameValue(op.getGlobal(), quantize.getGlobal()))
      return rewriter.notifyMatchFailure(op, "global scales differ");
    auto scales = op.getScales().getDefiningOp<ScalesOp>();
    bool dynamic = scales && scales.getInput() == codes.getInput();
    if (!dynamic && !isSameValue(op.getScales(), quantize.getScale()))
      return rewriter.notifyMatchFailure(op, "scales differ");
    rewriter.replaceOp(op, quantize.getResult());
    return success();
  }
};

/// assemble(codes, dequantize(assemble(s8, g) : T)) -> assemble(codes, s8, g)
/// with `global T`: two levels of scales in one type.
struct MergeScaleLevels : OpRewritePattern<AssembleOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(AssembleOp op,
                                PatternRewriter &rewriter) const override {
    ScaledType outer = getScaledElement(op.getResult().getType());
    auto dequantize = op.getScales().getDefiningOp<DequantizeOp>();
    if (!dequantize || outer.getGlobal())
      return rewriter.notifyMatchFailure(op, "scales are not dequantized");
    Type combined = outer.getScale();
    ScaledType inner = getScaledElement(dequantize.getInput().getType());
    if (!inner.isPerTensor() || inner.getGlobal() || inner.getZeroPoint() ||
        !isa<Float8E4M3FNType>(inner.getStorage()))
      return rewriter.notifyMatchFailure(op, "block scales are not E4M3 with "
                                             "one scale per tensor");
    if (inner.getScale() != combined)
      return rewriter.notifyMatchFailure(
          op, "the global scale and the combined scale differ in type");
    Value blockScales, global;
    if (failed(getLevels(dequantize, rewriter, blockScales, global)))
      return rewriter.notifyMatchFailure(op, "block scales are not assembled");
    auto type =
        ScaledType::get(op.getContext(), outer.getStorage(), inner.getStorage(),
                        outer.getBlock(), combined, outer.getZeroPoint());
    auto result = cast<RankedTensorType>(op.getResult().getType());
    auto merged = AssembleOp::create(
        rewriter, op.getLoc(),
        RankedTensorType::get(result.getShape(), type, result.getEncoding()),
        op.getCodes(), blockScales, global, op.getZeroPoint());
    // Users see another element type with the same values.
    rewriter.replaceAllUsesWith(op.getResult(), merged.getResult());
    rewriter.eraseOp(op);
    return success();
  }

  /// The two factors of the block scales, as values.
  static LogicalResult getLevels(DequantizeOp op, PatternRewriter &rewriter,
                                 Value &blockScales, Value &global) {
    if (auto assemble = op.getInput().getDefiningOp<AssembleOp>()) {
      blockScales = assemble.getCodes();
      global = assemble.getScales();
      return success();
    }
    auto constant = op.getInput().getDefiningOp<ConstantOp>();
    if (!constant)
      return failure();
    ScaledType inner = getScaledElement(constant.getResult().getType());
    auto type = cast<RankedTensorType>(constant.getResult().getType());
    auto storage = RankedTensorType::get(type.getShape(), inner.getStorage());
    ElementsAttr codes = retype(constant.getCodes(), storage);
    ElementsAttr scale = retype(*constant.getScales(),
                                RankedTensorType::get({}, inner.getScale()));
    if (!codes || !scale)
      return failure();
    blockScales =
        ConstantOp::create(rewriter, op.getLoc(), storage, codes,
                           ElementsAttr(), ElementsAttr(), ElementsAttr());
    global =
        ConstantOp::create(rewriter, op.getLoc(), scale.getShapedType(), scale,
                           ElementsAttr(), ElementsAttr(), ElementsAttr());
    return success();
  }

  static ElementsAttr retype(ElementsAttr attr, RankedTensorType type) {
    if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr))
      return DenseResourceElementsAttr::get(type, resource.getRawHandle());
    SmallVector<char> scratch;
    auto bytes = getRawBytes(attr, scratch);
    if (failed(bytes))
      return {};
    return DenseElementsAttr::getFromRawBuffer(type, *bytes);
  }
};

/// What stands between a matmul and the scaled tensor it multiplies.
struct PeeledOperand {
  Value scaled;
  bool transposed = false;
};

/// A conversion between the types that networks compute in; one to 8 or 4 bits
/// changes values on purpose.
bool isNotation(CastOp op) {
  auto isWide = [](Value value) {
    return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(
        getElementTypeOrSelf(value));
  };
  return isWide(op.getInput()) && isWide(op.getResult());
}

/// Looks through casts and transposes of the last two dimensions down to a
/// dequantize. The casts only restate the notation: the product is exact.
PeeledOperand peel(Value value) {
  PeeledOperand peeled;
  while (Operation *op = value.getDefiningOp()) {
    if (auto cast = dyn_cast<CastOp>(op)) {
      if (!isNotation(cast))
        return {};
      value = cast.getInput();
    } else if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
      if (transpose.getPermutation() != ArrayRef<int64_t>{1, 0})
        return {};
      peeled.transposed = !peeled.transposed;
      value = transpose.getInput();
    } else if (auto dequantize = dyn_cast<DequantizeOp>(op)) {
      peeled.scaled = dequantize.getInput();
      return peeled;
    } else {
      return {};
    }
  }
  return {};
}

/// matmul(cast(dequantize(a)), transpose(dequantize(b))) -> matmul(a, b).
struct ScaledMatmulOperands : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    PeeledOperand a = peel(op.getA()), b = peel(op.getB());
    bool useA = a.scaled && !a.transposed;
    if (!useA && !b.scaled)
      return rewriter.notifyMatchFailure(op, "no operand is dequantized");
    rewriter.modifyOpInPlace(op, [&] {
      if (useA)
        op.getAMutable().assign(a.scaled);
      if (!b.scaled)
        return;
      op.getBMutable().assign(b.scaled);
      if (b.transposed)
        op.setTransposeB(!op.getTransposeB());
    });
    return success();
  }
};

/// matmul(a, transpose(b)) -> matmul(a, b) transpose_b, for plain tensors.
struct AbsorbTranspose : OpRewritePattern<MatmulOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(MatmulOp op,
                                PatternRewriter &rewriter) const override {
    auto transpose = op.getB().getDefiningOp<linalg::TransposeOp>();
    if (!transpose)
      return rewriter.notifyMatchFailure(op, "B is not transposed");
    ArrayRef<int64_t> perm = transpose.getPermutation();
    int64_t rank = perm.size();
    for (int64_t i = 0; i + 2 < rank; ++i)
      if (perm[i] != i)
        return rewriter.notifyMatchFailure(op, "batch dimensions move");
    if (rank < 2 || perm[rank - 1] != rank - 2)
      return rewriter.notifyMatchFailure(op, "not the last two dimensions");
    rewriter.modifyOpInPlace(op, [&] {
      op.getBMutable().assign(transpose.getInput());
      op.setTransposeB(!op.getTransposeB());
    });
    return success();
  }
};

/// dequantize(quantize(x)) keeps its meaning; codes(assemble(c)) -> c.
struct FoldCodesOfAssemble : OpRewritePattern<CodesOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(CodesOp op,
                                PatternRewriter &rewriter) const override {
    auto assemble = op.getInput().getDefiningOp<AssembleOp>();
    if (!assemble || assemble.getCodes().getType() != op.getResult().getType())
      return rewriter.notifyMatchFailure(op, "input is not assembled");
    rewriter.replaceOp(op, assemble.getCodes());
    return success();
  }
};

struct FoldQdqPass : nibble::impl::FoldQdqBase<FoldQdqPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<FoldConstantAssemble, FoldQuantizePair, MergeScaleLevels,
                 ScaledMatmulOperands, AbsorbTranspose, FoldCodesOfAssemble>(
        &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace
