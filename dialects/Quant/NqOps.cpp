// Verifiers, folders and canonicalizations of the ops of `nq`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpImplementation.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

#define GET_OP_CLASSES
#include "dialects/Quant/NqOps.cpp.inc"

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Storage type as it appears in plain tensors: integers lose their sign.
static Type getPlainStorage(ScaledType scaled) {
  if (auto integer = dyn_cast<IntegerType>(scaled.getStorage()))
    return IntegerType::get(scaled.getContext(), integer.getWidth());
  return scaled.getStorage();
}

static LogicalResult verifySameShape(Operation *op, RankedTensorType a,
                                     RankedTensorType b) {
  if (a.getShape() == b.getShape())
    return success();
  return op->emitOpError() << "input and result shapes differ: " << a << " and "
                           << b;
}

/// A scale operand covers the grid exactly, or is one element per tensor.
static LogicalResult verifyGrid(Operation *op, StringRef what,
                                ArrayRef<int64_t> got, ScaledType scaled,
                                ArrayRef<int64_t> shape) {
  SmallVector<int64_t> grid = scaled.getScaleGrid(shape);
  bool one = ShapedType::getNumElements(grid) == 1 &&
             ShapedType::getNumElements(got) == 1;
  if (one || ArrayRef<int64_t>(grid) == got)
    return success();
  auto diag = op->emitOpError() << what << " has shape [";
  llvm::interleaveComma(got, diag);
  diag << "] but the grid of scales of " << scaled << " over [";
  llvm::interleaveComma(shape, diag);
  diag << "] is [";
  llvm::interleaveComma(grid, diag);
  return diag << "]";
}

/// The optional global scale is there exactly if the type has one, as a scalar
/// of that type.
static LogicalResult verifyGlobal(Operation *op, ScaledType scaled,
                                  Type operand) {
  if (bool(operand) != bool(scaled.getGlobal()))
    return op->emitOpError()
           << (operand ? "has a global scale but its type " : "type ") << scaled
           << (operand ? " has none" : " needs a global scale operand");
  if (!operand)
    return success();
  auto type = cast<ShapedType>(operand);
  if (type.getNumElements() != 1 || type.getElementType() != scaled.getGlobal())
    return op->emitOpError() << "global scale must be one "
                             << scaled.getGlobal() << ", got " << operand;
  return success();
}

static LogicalResult verifyRank(Operation *op, ScaledType scaled,
                                RankedTensorType type) {
  if (static_cast<int64_t>(scaled.getBlock().size()) > type.getRank())
    return op->emitOpError() << "block shape of " << scaled
                             << " has more dimensions than " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// ConstantOp
//===----------------------------------------------------------------------===//

static LogicalResult verifyByteCount(ConstantOp op, StringRef what,
                                     ElementsAttr attr, int64_t want) {
  int64_t got = getPlainBytes(attr.getElementType(), attr.getNumElements());
  if (got == want)
    return success();
  return op.emitOpError() << what << " hold " << got
                          << " bytes, the type needs " << want;
}

LogicalResult ConstantOp::verify() {
  auto type = cast<RankedTensorType>(getResult().getType());
  ScaledType scaled = getScaledElement(type);
  if (!scaled) {
    if (getScales() || getGlobal() || getZeroPoints())
      return emitOpError() << "scales given for a plain result " << type;
    if (getCodes().getElementType() != type.getElementType() ||
        cast<ShapedType>(getCodes().getType()).getShape() != type.getShape())
      return emitOpError() << "data of type " << getCodes().getType()
                           << " does not match the result " << type;
    return success();
  }
  if (failed(verifyRank(*this, scaled, type)))
    return failure();
  if (!getScales())
    return emitOpError() << "scaled result " << type << " has no scales";
  if (bool(getGlobal()) != bool(scaled.getGlobal()))
    return emitOpError() << "global scale does not match " << scaled;
  if (bool(getZeroPoints()) != scaled.getZeroPoint())
    return emitOpError() << "zero points do not match " << scaled;
  int64_t scales =
      ShapedType::getNumElements(scaled.getScaleGrid(type.getShape()));
  if (failed(verifyByteCount(*this, "codes", getCodes(),
                             scaled.getCodeBytes(type.getShape()))) ||
      failed(verifyByteCount(*this, "scales", *getScales(),
                             scaled.getScaleBytes(type.getShape()))))
    return failure();
  if (getGlobal() && (getGlobal()->getNumElements() != 1 ||
                      getGlobal()->getElementType() != scaled.getGlobal()))
    return emitOpError() << "global scale must be one " << scaled.getGlobal();
  if (getZeroPoints())
    return verifyByteCount(*this, "zero points", *getZeroPoints(), scales);
  return success();
}

//===----------------------------------------------------------------------===//
// Quantize, dequantize, assemble, codes, scales
//===----------------------------------------------------------------------===//

LogicalResult QuantizeOp::verify() {
  auto input = tensorOf(getInput()), result = tensorOf(getResult());
  if (failed(verifySameShape(*this, input, result)))
    return failure();
  ScaledType scaled = getScaledElement(result);
  if (!scaled)
    return emitOpError() << "result " << result << " is not a scaled tensor";
  if (failed(verifyRank(*this, scaled, result)) ||
      failed(verifyGlobal(*this, scaled,
                          getGlobal() ? getGlobal().getType() : Type())))
    return failure();
  if (bool(getScale()) == getRecipe().has_value())
    return emitOpError()
           << "needs either a scale (static) or a recipe (dynamic)";
  if (bool(getZeroPoint()) != scaled.getZeroPoint())
    return emitOpError() << "zero point operand does not match " << scaled;
  if (getScale())
    return verifyGrid(*this, "scale", tensorOf(getScale()).getShape(), scaled,
                      result.getShape());
  return success();
}

LogicalResult DequantizeOp::verify() {
  if (failed(
          verifySameShape(*this, tensorOf(getInput()), tensorOf(getResult()))))
    return failure();
  if (!getScaledElement(getInput().getType()))
    return emitOpError() << "input " << getInput().getType()
                         << " is not a scaled tensor";
  return success();
}

bool WidenOp::takesScales(ScaledType type) {
  return isa<Float8E4M3FNType, Float8E8M0FNUType>(type.getScale());
}

FailureOr<ScaledType> WidenOp::getWidened(ScaledType type, Type element,
                                          std::string &why) {
  auto no = [&](const Twine &reason) {
    why = reason.str();
    return failure();
  };
  MLIRContext *context = type.getContext();
  if (!element.isF16() && !element.isBF16())
    return no("codes are widened to f16 or bf16");
  if (type.getStorageBits() > 8)
    return no("codes are wide already");
  if (!takesScales(type)) {
    if (type.getGlobal())
      return no("scales of two levels are rounded before they are multiplied");
    return ScaledType::get(context, element, type.getScale(), type.getBlock(),
                           Type(), false);
  }
  if (type.getGlobal() && !type.getGlobal().isF32())
    return no("combined scales are rounded to 16 bits");
  bool isE4M3 = isa<Float8E4M3FNType>(type.getScale());
  if (isE4M3 && !isa<Float4E2M1FNType>(type.getStorage()))
    return no("codes times E4M3 scales are exact for E2M1 codes only");
  if (!isE4M3 && (!element.isBF16() || isa<IntegerType>(type.getStorage())))
    return no("codes times E8M0 scales are exact for floats in bf16 only");
  return ScaledType::get(context, element, Float32Type::get(context), {},
                         Type(), false);
}

LogicalResult WidenOp::verify() {
  auto input = tensorOf(getInput()), result = tensorOf(getResult());
  if (failed(verifySameShape(*this, input, result)))
    return failure();
  ScaledType from = getScaledElement(input), to = getScaledElement(result);
  if (!from || !to)
    return emitOpError() << "widens scaled tensors, not " << input << " to "
                         << result;
  std::string why;
  FailureOr<ScaledType> want = getWidened(from, to.getStorage(), why);
  if (failed(want))
    return emitOpError() << "cannot widen " << from << " to " << to.getStorage()
                         << ": " << why;
  if (*want != to)
    return emitOpError() << "widens " << from << " to " << *want << ", not "
                         << to;
  return success();
}

/// dequantize then a widening cast is one dequantize only if the first
/// rounding lost nothing, which types alone cannot tell: nothing to do here.
/// dequantize(reformat(x)) = dequantize(x): values do not depend on layout.
LogicalResult DequantizeOp::canonicalize(DequantizeOp op,
                                         PatternRewriter &rewriter) {
  auto reformat = op.getInput().getDefiningOp<ReformatOp>();
  if (!reformat || getLayout(op.getResult().getType()))
    return rewriter.notifyMatchFailure(op, "input is not a reformat");
  rewriter.modifyOpInPlace(
      op, [&] { op.getInputMutable().assign(reformat.getInput()); });
  return success();
}

LogicalResult AssembleOp::verify() {
  auto codes = tensorOf(getCodes()), result = tensorOf(getResult());
  ScaledType scaled = getScaledElement(result);
  if (!scaled)
    return emitOpError() << "result " << result << " is not a scaled tensor";
  if (failed(verifySameShape(*this, codes, result)) ||
      failed(verifyRank(*this, scaled, result)))
    return failure();
  if (codes.getElementType() != getPlainStorage(scaled))
    return emitOpError() << "codes of type " << codes.getElementType()
                         << " cannot be stored as " << scaled.getStorage();
  auto scales = tensorOf(getScales());
  bool bits = isa<Float8E8M0FNUType>(scaled.getScale()) &&
              scales.getElementType().isInteger(8);
  if (scales.getElementType() != scaled.getScale() && !bits)
    return emitOpError() << "scales of type " << scales.getElementType()
                         << " do not match " << scaled;
  if (bool(getZeroPoint()) != scaled.getZeroPoint())
    return emitOpError() << "zero point operand does not match " << scaled;
  if (failed(verifyGlobal(*this, scaled,
                          getGlobal() ? getGlobal().getType() : Type())))
    return failure();
  return verifyGrid(*this, "scales", scales.getShape(), scaled,
                    result.getShape());
}

LogicalResult CodesOp::verify() {
  ScaledType scaled = getScaledElement(getInput().getType());
  if (!scaled)
    return emitOpError() << "input " << getInput().getType()
                         << " is not a scaled tensor";
  auto result = tensorOf(getResult());
  if (result.getElementType() != getPlainStorage(scaled))
    return emitOpError() << "codes of " << scaled << " are "
                         << getPlainStorage(scaled) << ", not "
                         << result.getElementType();
  return verifySameShape(*this, tensorOf(getInput()), result);
}

LogicalResult ScalesOp::verify() {
  ScaledType scaled = getScaledElement(getInput().getType());
  if (!scaled)
    return emitOpError() << "input " << getInput().getType()
                         << " is not a scaled tensor";
  auto result = tensorOf(getResult());
  bool bits = isa<Float8E8M0FNUType>(scaled.getScale()) &&
              result.getElementType().isInteger(8);
  if (result.getElementType() != scaled.getScale() && !bits)
    return emitOpError() << "scales of " << scaled << " are "
                         << scaled.getScale() << ", not "
                         << result.getElementType();
  return verifyGrid(*this, "result", result.getShape(), scaled,
                    tensorOf(getInput()).getShape());
}

//===----------------------------------------------------------------------===//
// Cast, reformat
//===----------------------------------------------------------------------===//

LogicalResult CastOp::verify() {
  if (getRoundMode() &&
      !llvm::is_contained({"up", "down", "nearest"}, *getRoundMode()))
    return emitOpError() << "round_mode '" << *getRoundMode()
                         << "' is not up, down or nearest";
  return verifySameShape(*this, tensorOf(getInput()), tensorOf(getResult()));
}

/// E5M2 to E5M2 with `saturate` is no identity: it makes infinities finite.
OpFoldResult CastOp::fold(FoldAdaptor) {
  bool clamps = getSaturate() &&
                isa<Float8E5M2Type>(tensorOf(getInput()).getElementType());
  return getInput().getType() == getResult().getType() && !clamps
             ? OpFoldResult(getInput())
             : OpFoldResult();
}

/// True if every value of `from` is a value of `to`.
static bool isExactWidening(Type from, Type to) {
  if (from == to)
    return true;
  if (to.isF64())
    return true;
  if (to.isF32())
    return !from.isF64();
  // f16 has 11 significant bits down to 2^-24: it holds E4M3, E5M2, their FNUZ
  // forms, E2M1 (not E8M0); bf16 has 8 bits and the exponents of f32: it holds
  // all of them except E8M0's 2^-127, which is a bf16 subnormal and so held as
  // well.
  if (to.isF16())
    return isa<Float8E4M3FNType, Float8E5M2Type, Float8E4M3FNUZType,
               Float8E5M2FNUZType, Float4E2M1FNType>(from);
  if (to.isBF16())
    return isa<Float8E4M3FNType, Float8E5M2Type, Float8E4M3FNUZType,
               Float8E5M2FNUZType, Float4E2M1FNType, Float8E8M0FNUType>(from);
  return false;
}

/// cast(cast(x)) -> cast(x) when the inner cast loses nothing.
LogicalResult CastOp::canonicalize(CastOp op, PatternRewriter &rewriter) {
  auto inner = op.getInput().getDefiningOp<CastOp>();
  if (!inner)
    return rewriter.notifyMatchFailure(op, "input is not a cast");
  Type source = tensorOf(inner.getInput()).getElementType();
  if (!isExactWidening(source, tensorOf(inner.getResult()).getElementType()))
    return rewriter.notifyMatchFailure(op, "the inner cast rounds");
  rewriter.replaceOpWithNewOp<CastOp>(op, op.getResult().getType(),
                                      inner.getInput(), op.getSaturateAttr(),
                                      op.getRoundModeAttr());
  return success();
}

LogicalResult ReformatOp::verify() {
  auto input = tensorOf(getInput()), result = tensorOf(getResult());
  if (input.getElementType() != result.getElementType())
    return emitOpError() << "changes the element type from "
                         << input.getElementType() << " to "
                         << result.getElementType()
                         << "; a reformat only changes the layout";
  for (LayoutAttr layout : {getLayout(input), getLayout(result)})
    if (layout && layout.getRank() != input.getRank())
      return emitOpError() << "layout of rank " << layout.getRank()
                           << " on a tensor of rank " << input.getRank();
  return verifySameShape(*this, input, result);
}

OpFoldResult ReformatOp::fold(FoldAdaptor) {
  if (getInput().getType() == getResult().getType())
    return getInput();
  if (auto inner = getInput().getDefiningOp<ReformatOp>())
    if (inner.getInput().getType() == getResult().getType())
      return inner.getInput();
  return {};
}

//===----------------------------------------------------------------------===//
// MatmulOp
//===----------------------------------------------------------------------===//

void MatmulOp::build(OpBuilder &builder, OperationState &state, Type result,
                     Value a, Value b, bool transposeB) {
  state.addOperands({a, b});
  state.addTypes(result);
  state.addRegion();
  if (transposeB)
    state.getOrAddProperties<Properties>().transpose_b = builder.getUnitAttr();
}

int64_t MatmulOp::getM() { return tensorOf(getResult()).getShape().end()[-2]; }
int64_t MatmulOp::getN() { return tensorOf(getResult()).getShape().back(); }
int64_t MatmulOp::getK() { return tensorOf(getA()).getShape().back(); }

FailureOr<SmallVector<int64_t>> MatmulOp::inferShape(ArrayRef<int64_t> a,
                                                     ArrayRef<int64_t> b,
                                                     bool transposeB) {
  if (a.size() < 2 || b.size() < 2)
    return failure();
  int64_t k = transposeB ? b.back() : b.end()[-2];
  int64_t n = transposeB ? b.end()[-2] : b.back();
  if (a.back() != k)
    return failure();
  size_t rank = std::max(a.size(), b.size());
  SmallVector<int64_t> shape(rank);
  for (size_t i = 0; i + 2 < rank; ++i) {
    size_t fromEnd = rank - i;
    int64_t x = fromEnd <= a.size() ? a[a.size() - fromEnd] : 1;
    int64_t y = fromEnd <= b.size() ? b[b.size() - fromEnd] : 1;
    if (x != y && x != 1 && y != 1)
      return failure();
    shape[i] = x == 1 ? y : x;
  }
  shape[rank - 2] = a.end()[-2];
  shape[rank - 1] = n;
  return shape;
}

LogicalResult MatmulOp::verify() {
  auto a = tensorOf(getA()), b = tensorOf(getB()),
       result = tensorOf(getResult());
  auto shape = inferShape(a.getShape(), b.getShape(), getTransposeB());
  if (failed(shape))
    return emitOpError() << "operand shapes do not multiply: " << a << " and "
                         << b << (getTransposeB() ? " transposed" : "");
  if (ArrayRef<int64_t>(*shape) != result.getShape()) {
    auto diag = emitOpError() << "result " << result << " should have shape [";
    llvm::interleaveComma(*shape, diag);
    return diag << "]";
  }
  for (RankedTensorType type : {a, b})
    if (!isa<FloatType, ScaledType>(type.getElementType()))
      return emitOpError() << "operand " << type
                           << " is neither a float nor a scaled tensor";
  if (getEpilogue().empty())
    return getExtras().empty()
               ? success()
               : LogicalResult(emitOpError() << "extras without an epilogue");
  Block &body = getEpilogue().front();
  if (body.getNumArguments() != getExtras().size() + 1 ||
      llvm::any_of(body.getArgumentTypes(), [](Type t) { return !t.isF32(); }))
    return emitOpError() << "epilogue must take one f32 per accumulator and "
                            "extra";
  auto yield = dyn_cast_if_present<YieldOp>(body.getTerminator());
  if (!yield || yield.getValues().size() != 1 ||
      !yield.getValues()[0].getType().isF32())
    return emitOpError() << "epilogue must end in nq.yield of an f32";
  return success();
}

//===----------------------------------------------------------------------===//
// Attention, norm, rope, state
//===----------------------------------------------------------------------===//

static LogicalResult verifyLengths(AttentionOp op) {
  if (!op.getLengths())
    return success();
  auto type = tensorOf(op.getLengths());
  int64_t batch = tensorOf(op.getQ()).getDimSize(0);
  Type element = type.getElementType();
  if (!element.isSignlessInteger(32) && !element.isSignlessInteger(64))
    return op.emitOpError() << "lengths are i32 or i64, not " << element;
  if (type.getRank() != 1 ||
      (type.getDimSize(0) != 1 && type.getDimSize(0) != batch))
    return op.emitOpError() << "lengths " << type << " are not one per batch "
                            << "entry (" << batch << "), or one for all";
  return success();
}

std::optional<AttentionOp::WeightCodes> AttentionOp::getWeightCodes() {
  if (!getWeightType())
    return std::nullopt;
  return WeightCodes{*getWeightType(), getWeightScale()->convertToFloat()};
}

std::string AttentionOp::whyNoWeightCodes(Type type, const APFloat &scale) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  if (!isa<Float8E4M3FNType, Float8E5M2Type>(type))
    stream << "weights are quantized to f8E4M3FN or f8E5M2, not " << type;
  else if (!scale.isNormal() || scale.isNegative())
    stream << "the scale of weights, " << scale.convertToDouble()
           << ", is no positive normal number";
  return text;
}

static LogicalResult verifyWeights(AttentionOp op) {
  if (op.getWeightType().has_value() != op.getWeightScale().has_value())
    return op.emitOpError()
           << "has a type or a scale of its weights, but not both";
  if (!op.getWeightType())
    return success();
  std::string why =
      AttentionOp::whyNoWeightCodes(*op.getWeightType(), *op.getWeightScale());
  return why.empty() ? success() : op.emitOpError() << why;
}

LogicalResult AttentionOp::verify() {
  auto q = tensorOf(getQ()), k = tensorOf(getK()), v = tensorOf(getV());
  for (RankedTensorType type : {q, k, v, tensorOf(getResult())})
    if (type.getRank() != 4)
      return emitOpError() << "needs rank 4 [batch, heads, positions, size], "
                              "got "
                           << type;
  if (q.getDimSize(0) != k.getDimSize(0) || q.getDimSize(3) != k.getDimSize(3))
    return emitOpError() << "q " << q << " and k " << k
                         << " differ in batch or head size";
  if (k.getDimSize(1) != v.getDimSize(1) ||
      k.getDimSize(2) != v.getDimSize(2) || k.getDimSize(0) != v.getDimSize(0))
    return emitOpError() << "k " << k << " and v " << v
                         << " differ in batch, heads or positions";
  if (k.getDimSize(1) == 0 || q.getDimSize(1) % k.getDimSize(1) != 0)
    return emitOpError() << q.getDimSize(1)
                         << " query heads are not a multiple of "
                         << k.getDimSize(1) << " kv heads";
  SmallVector<int64_t> want = {q.getDimSize(0), q.getDimSize(1),
                               q.getDimSize(2), v.getDimSize(3)};
  if (tensorOf(getResult()).getShape() != ArrayRef<int64_t>(want))
    return emitOpError() << "result " << getResult().getType()
                         << " does not fit q " << q << " and v " << v;
  if (getMask()) {
    auto mask = tensorOf(getMask());
    SmallVector<int64_t> scores = {q.getDimSize(0), q.getDimSize(1),
                                   q.getDimSize(2), k.getDimSize(2)};
    for (int64_t i = 1; i <= mask.getRank(); ++i)
      if (i > 4 || (mask.getDimSize(mask.getRank() - i) != 1 &&
                    mask.getDimSize(mask.getRank() - i) != scores[4 - i]))
        return emitOpError()
               << "mask " << mask << " does not broadcast to the scores";
  }
  if (failed(verifyWeights(*this)))
    return failure();
  return verifyLengths(*this);
}

/// True if `from` broadcasts to `to` as in numpy.
static bool broadcastsTo(ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
  if (from.size() > to.size())
    return false;
  for (auto [x, y] : llvm::zip(llvm::reverse(from), llvm::reverse(to)))
    if (x != 1 && x != y)
      return false;
  return true;
}

unsigned StatisticsOp::getCount(NormKind kind) {
  return kind == NormKind::layer ? 2 : 1;
}

RankedTensorType StatisticsOp::getType(RankedTensorType input, int64_t tile) {
  SmallVector<int64_t> shape(input.getShape());
  shape.back() = llvm::divideCeil(shape.back(), tile);
  Type f32 = Float32Type::get(input.getContext());
  return RankedTensorType::get(
      shape, input.getElementType().isF64() ? input.getElementType() : f32);
}

int64_t StatisticsOp::getFlops() {
  return 2 * getCount(getKind()) * tensorOf(getInput()).getNumElements();
}

/// `sums` are what nq.statistics makes of rows like those of `input`.
static LogicalResult verifySums(Operation *op, NormKind kind,
                                RankedTensorType input, int64_t tile,
                                ValueRange sums) {
  if (input.getRank() == 0)
    return op->emitOpError() << "a tensor of rank 0 has no rows";
  if (sums.size() != StatisticsOp::getCount(kind))
    return op->emitOpError()
           << "statistics of a " << stringifyNormKind(kind) << " norm are "
           << StatisticsOp::getCount(kind) << " tensors, not " << sums.size();
  RankedTensorType want = StatisticsOp::getType(input, tile);
  for (Value value : sums)
    if (value.getType() != want)
      return op->emitOpError()
             << "statistics " << value.getType() << " should be " << want
             << ": tiles of " << tile << " in rows of " << input;
  return success();
}

LogicalResult StatisticsOp::verify() {
  return verifySums(*this, getKind(), tensorOf(getInput()), getTile(),
                    getSums());
}

LogicalResult NormOp::verify() {
  auto input = tensorOf(getInput());
  if (failed(verifySameShape(*this, input, tensorOf(getResult()))))
    return failure();
  int64_t axis = getAxis();
  if (axis < 0 || axis >= input.getRank())
    return emitOpError() << "axis " << axis << " is outside of " << input;
  for (Value value : {getScale(), getBias()})
    if (value && !broadcastsTo(tensorOf(value).getShape(), input.getShape()))
      return emitOpError() << value.getType() << " does not broadcast to "
                           << input;
  if (getStatistics().empty())
    return getTile() ? LogicalResult(emitOpError() << "tile without statistics")
                     : success();
  if (axis != input.getRank() - 1)
    return emitOpError() << "statistics are of the last dimension, axis is "
                         << axis;
  if (!getTile())
    return emitOpError() << "statistics without a tile";
  return verifySums(*this, getKind(), input, *getTile(), getStatistics());
}

LogicalResult RopeOp::verify() {
  auto input = tensorOf(getInput()), cos = tensorOf(getCos());
  if (input.getRank() != 4 || cos.getRank() != 3)
    return emitOpError() << "needs input [B, H, S, D] and cos, sin [B, S, R/2]";
  if (cos.getShape() != tensorOf(getSin()).getShape())
    return emitOpError() << "cos " << cos << " and sin " << getSin().getType()
                         << " differ in shape";
  if (cos.getDimSize(1) != input.getDimSize(2) ||
      (cos.getDimSize(0) != 1 && cos.getDimSize(0) != input.getDimSize(0)) ||
      cos.getDimSize(2) * 2 > input.getDimSize(3))
    return emitOpError() << "cos " << cos << " does not fit input " << input;
  return verifySameShape(*this, input, tensorOf(getResult()));
}

LogicalResult UpdateOp::verify() {
  auto input = tensorOf(getInput()), rows = tensorOf(getRows());
  auto position = tensorOf(getPosition());
  int64_t axis = getAxis();
  if (axis < 0 || axis >= input.getRank())
    return emitOpError() << "axis " << axis << " is outside of " << input;
  SmallVector<int64_t> want(input.getShape());
  if (rows.getRank() == input.getRank())
    want[axis] = std::min(want[axis], rows.getDimSize(axis));
  if (rows.getShape() != ArrayRef<int64_t>(want) ||
      rows.getElementType() != input.getElementType())
    return emitOpError() << "rows " << rows << " do not fit " << input
                         << ": only axis " << axis << " may be shorter";
  if (position.getNumElements() != 1 ||
      !(position.getElementType().isInteger(64) ||
        position.getElementType().isInteger(32)))
    return emitOpError() << "position " << position
                         << " is not one element of type i64 or i32";
  Type element = input.getElementType();
  if (!element.isIntOrFloat() || element.getIntOrFloatBitWidth() % 8 ||
      getLayout(input) || getLayout(rows))
    return emitOpError() << "cannot update " << input
                         << ": elements must be plain, row-major, of whole "
                            "bytes";
  return success();
}

LogicalResult StateOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType());
  if (!type || !type.hasStaticShape())
    return emitOpError() << "type " << getType()
                         << " is not a tensor of static shape";
  return success();
}

/// `state` exists, and a value of `type` is what it holds.
static LogicalResult verifyState(Operation *op, SymbolTableCollection &symbols,
                                 FlatSymbolRefAttr name, Type type) {
  auto state = symbols.lookupNearestSymbolFrom<StateOp>(op, name);
  if (!state)
    return op->emitOpError() << name << " is not a state of this module";
  if (state.getType() != type)
    return op->emitOpError() << "state " << name << " holds " << state.getType()
                             << ", not " << type;
  return success();
}

LogicalResult StateReadOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyState(*this, symbols, getStateAttr(), getResult().getType());
}

LogicalResult StateWriteOp::verifySymbolUses(SymbolTableCollection &symbols) {
  return verifyState(*this, symbols, getStateAttr(), getValue().getType());
}
