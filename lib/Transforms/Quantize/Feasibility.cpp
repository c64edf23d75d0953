// Whether a layer can get a format, and why not.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Feasibility.h"

#include "WeightSource.h"

#include "nibble/rt/recipes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/Format.h"

#include <cmath>

using namespace mlir;
using namespace nibble;

static Type getElement(Value value) {
  return getElementTypeOrSelf(value.getType());
}

template <typename T> static std::string print(T &&value) {
  std::string text;
  llvm::raw_string_ostream(text) << value;
  return text;
}

//===----------------------------------------------------------------------===//
// Quantized formats
//===----------------------------------------------------------------------===//

/// The scaled type of the weight in terms of formats, or none that has a name.
static std::optional<Precision> nameOf(nq::ScaledType b, nq::ScaledType a) {
  MLIRContext *context = b.getContext();
  if (b == nq::ScaledType::getNvfp4(context))
    return a == b ? Precision::Nvfp4
                  : (a ? std::optional<Precision>() : Precision::W4a16);
  if (b == nq::ScaledType::getMxfp4(context) && a == b)
    return Precision::Mxfp4;
  if (b == nq::ScaledType::getMxfp8(context) && a == b)
    return Precision::Mxfp8;
  auto isFp8 = [](nq::ScaledType type) {
    return type && isa<Float8E4M3FNType>(type.getStorage()) &&
           type.isPerTensor();
  };
  if (isFp8(b) && isFp8(a))
    return Precision::Fp8;
  return std::nullopt;
}

/// Layers that come quantized are obeyed as they are.
static Verdict judgeQuantized(nq::MatmulOp op, const LayerFormat &format) {
  auto a = nq::getScaledElement(op.getA().getType());
  auto b = nq::getScaledElement(op.getB().getType());
  auto present = b ? nameOf(b, a) : std::nullopt;
  if (present == format.precision &&
      format.str() == LayerFormat::get(format.precision).str())
    return {Verdict::Satisfied, "the model comes so"};
  std::string types = b ? "weights " + print(b) : "";
  if (a)
    types += (b ? ", activations " : "activations ") + print(a);
  return {Verdict::Impossible,
          "it comes quantized (" + types +
              "), and models that come quantized are obeyed as they are",
          0, "keep"};
}

/// Where in the weight, as the file has it, an element lies.
static std::string describePlace(RankedTensorType type, int64_t index) {
  std::string text = "]";
  for (int64_t extent : llvm::reverse(type.getShape())) {
    text = std::to_string(index % extent) + (text == "]" ? "" : ", ") + text;
    index /= extent;
  }
  return "[" + text;
}

static std::string checkValues(const WeightSource &weight, float amax) {
  if (!std::isfinite(amax))
    return "its weight has a NaN or infinity at " +
           describePlace(weight.getType(),
                         weight.getConstant().findNonFinite());
  if (amax == 0)
    return "its weight is all zero";
  return "";
}

std::string nibble::whyNotQuantizable(nq::MatmulOp op,
                                      const LayerFormat &format,
                                      float &weightAmax) {
  std::string why;
  WeightSource weight = WeightSource::get(op, why);
  if (!weight)
    return why;
  for (Value value : {op.getA(), op.getResult()})
    if (Type element = getElement(value);
        !element.isF32() && !element.isF16() && !element.isBF16())
      return "its activations are " + print(element) + ", not f32, f16 or bf16";
  for (int64_t block : {format.block, format.getActivationBlock()})
    if (block && weight.getK() % block)
      return "K = " + std::to_string(weight.getK()) +
             " is not a multiple of the block of " + std::to_string(block);
  weightAmax = weight.getConstant().getAmax(op.getContext());
  return checkValues(weight, weightAmax);
}

//===----------------------------------------------------------------------===//
// Plain formats
//===----------------------------------------------------------------------===//

/// All arithmetic on floats is in f32 or wider. Ops of nq and softmax compute
/// in f32 by their definition.
static bool computesInF32(Operation *op) {
  auto generic = dyn_cast<linalg::LinalgOp>(op);
  if (!generic)
    return true;
  bool wide = true;
  op->walk([&](Operation *inner) {
    bool arithmetic =
        isa<arith::ArithDialect, math::MathDialect>(inner->getDialect()) &&
        !isa<arith::ConstantOp, arith::TruncFOp, arith::ExtFOp, arith::SelectOp,
             arith::BitcastOp>(inner);
    if (arithmetic)
      for (Type type : inner->getResultTypes())
        wide &= !isa<FloatType>(type) || type.getIntOrFloatBitWidth() >= 32;
  });
  return wide;
}

static Type getNarrowType(MLIRContext *context, Precision precision) {
  if (precision == Precision::F16)
    return Float16Type::get(context);
  return BFloat16Type::get(context);
}

static bool haveType(ValueRange values, Type element) {
  return llvm::all_of(
      values, [&](Value value) { return getElement(value) == element; });
}

/// f16 ends at 65504; bf16 reaches as far as f32.
static std::string checkRange(ConstantSource source, const LayerFormat &format,
                              MLIRContext *context) {
  if (!source || format.precision != Precision::F16)
    return "";
  float amax = source.getAmax(context);
  if (!std::isfinite(amax))
    return "its weight has a NaN or infinity";
  if (amax < 65520) // what rounds to infinity
    return "";
  std::string text;
  llvm::raw_string_ostream(text)
      << llvm::format("its weight reaches %g, beyond the 65504 of f16", amax);
  return text;
}

static SmallVector<Value> getOperands(Operation *op) {
  if (auto matmul = dyn_cast<nq::MatmulOp>(op))
    return {matmul.getA(), matmul.getB()};
  auto attention = cast<nq::AttentionOp>(op);
  return {attention.getQ(), attention.getK(), attention.getV()};
}

static Verdict judgePlainProduct(const Layer &layer,
                                 const LayerFormat &format) {
  SmallVector<Value> operands = getOperands(layer.op);
  MLIRContext *context = layer.op->getContext();
  if (haveType(operands, Float64Type::get(context)))
    return {Verdict::Impossible, "it computes in f64"};
  if (!format.isNarrow())
    return {Verdict::Satisfied, "products are exact and summed in f32"};
  Type type = getNarrowType(context, format.precision);
  if (haveType(operands, type))
    return {Verdict::Satisfied, "its operands are " + print(type)};
  std::string why;
  if (auto matmul = dyn_cast<nq::MatmulOp>(layer.op))
    why = checkRange(WeightSource::get(matmul, why).getConstant(), format,
                     context);
  else
    why.clear();
  return why.empty() ? Verdict{Verdict::Apply, ""}
                     : Verdict{Verdict::Impossible, why};
}

static Verdict judgePlain(const Layer &layer, const LayerFormat &format) {
  MLIRContext *context = layer.op->getContext();
  Type narrow = getNarrowType(context, format.precision);
  if (format.isNarrow() && haveType(layer.op->getResults(), narrow))
    return {Verdict::Satisfied, "it gives " + print(narrow)};
  if (layer.kind == LayerKind::Embedding && format.isNarrow()) {
    ConstantSource table =
        ConstantSource::get(getTableRead(layer.op).getTensor());
    if (!table)
      return {Verdict::Impossible, "its table is not f32, f16 or bf16"};
    std::string why = checkRange(table, format, context);
    return why.empty() ? Verdict{Verdict::Apply, ""}
                       : Verdict{Verdict::Impossible, why};
  }
  if (!format.isNarrow()) {
    if (computesInF32(layer.op))
      return {Verdict::Satisfied, "it computes in f32"};
    return {Verdict::Impossible, "it computes in the narrow type of its data"};
  }
  if (layer.kind == LayerKind::Other)
    return {Verdict::NoFormat, ""};
  return {Verdict::Impossible, getSpelling(layer.kind).str() +
                                   " layers compute in f32 and keep the "
                                   "model's type; only matmuls, attention "
                                   "and embeddings can be given f16 or "
                                   "bf16"};
}

//===----------------------------------------------------------------------===//
// All
//===----------------------------------------------------------------------===//

static Verdict judgeWeights(const Layer &layer, const LayerFormat &format) {
  if (layer.kind == LayerKind::Convolution)
    return {Verdict::Impossible,
            "it is a grouped or very large convolution, which has no quantized "
            "form"};
  if (layer.kind != LayerKind::Linear)
    return {Verdict::NoFormat, ""};
  Verdict verdict{Verdict::Apply, "", 0};
  verdict.reason = whyNotQuantizable(cast<nq::MatmulOp>(layer.op), format,
                                     verdict.weightAmax);
  if (!verdict.reason.empty())
    verdict.kind = Verdict::Impossible;
  return verdict;
}

static Verdict judgeFormat(const Layer &layer, const LayerFormat &format) {
  if (format.precision == Precision::Keep)
    return {Verdict::Satisfied, "the policy leaves it as the model has it"};
  if (auto matmul = dyn_cast<nq::MatmulOp>(layer.op))
    if (nq::getScaledElement(matmul.getA().getType()) ||
        nq::getScaledElement(matmul.getB().getType()))
      return judgeQuantized(matmul, format);
  if (format.isQuantized())
    return judgeWeights(layer, format);
  if (isa<nq::MatmulOp, nq::AttentionOp>(layer.op))
    return judgePlainProduct(layer, format);
  return judgePlain(layer, format);
}

Verdict nibble::judge(const Layer &layer, const LayerFormat &format) {
  Verdict verdict = judgeFormat(layer, format);
  if (!verdict.alternative)
    verdict.alternative = format.isNarrow() ? "f32" : "bf16";
  return verdict;
}
