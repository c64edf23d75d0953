// quantize-activations: nq.quantize before matmuls with quantized weights.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/Layers.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"
#include "nibble/rt/quantize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/Format.h"

#include <cmath>
#include <map>

namespace nibble {
#define GEN_PASS_DEF_QUANTIZEACTIVATIONS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static nq::ScaledType getActivationType(MLIRContext *context,
                                        ActivationFormat format) {
  switch (format) {
  case ActivationFormat::Nvfp4:
    return nq::ScaledType::getNvfp4(context);
  case ActivationFormat::Mxfp4:
    return nq::ScaledType::getMxfp4(context);
  case ActivationFormat::Mxfp8:
    return nq::ScaledType::getMxfp8(context);
  default:
    return nq::ScaledType::getFp8(context);
  }
}

/// What the whole tensor is divided by: the static scale of fp8, the global
/// scale of nvfp4.
static float getTensorScale(const LayerFormat &format, float amax) {
  if (format.activations == ActivationFormat::Fp8)
    return rt::symmetricScale(amax, rt::StorageFormat::E4M3FN);
  auto recipe = *rt::parseNvfp4Recipe(format.activationRecipe);
  return rt::nvfp4Multiplier(rt::nvfp4Global(amax, recipe), recipe);
}

namespace {
struct QuantizeActivationsPass
    : nibble::impl::QuantizeActivationsBase<QuantizeActivationsPass> {
  void runOnOperation() override {
    bool ok = true;
    for (const Layer &layer : collectLayers(getOperation()))
      if (auto matmul = dyn_cast<nq::MatmulOp>(layer.op))
        ok &= succeeded(quantize(matmul, layer.name));
    if (!ok)
      signalPassFailure();
  }

  LogicalResult quantize(nq::MatmulOp op, StringRef layer) {
    auto format = getPrecision(op);
    if (failed(format))
      return failure();
    if (!*format || !(*format)->isQuantized())
      return success();
    float amax = 0;
    if ((*format)->needsCalibration()) {
      auto attr = op->getAttrOfType<FloatAttr>(kAmaxAttr);
      amax = attr ? attr.getValueAsDouble() : 0;
      if (!(amax > 0) || !std::isfinite(amax))
        return refuse(op, layer, **format, attr);
    }
    if ((*format)->activations != ActivationFormat::None)
      replaceActivation(op, **format, amax);
    report(op, **format, amax);
    op->removeAttr(kPrecisionAttr);
    op->removeAttr(kAmaxAttr);
    return success();
  }

  LogicalResult refuse(nq::MatmulOp op, StringRef layer,
                       const LayerFormat &format, FloatAttr amax) {
    std::string reason = "its activations need a calibrated amax";
    llvm::raw_string_ostream os(reason);
    if (amax)
      os << llvm::format(" above 0, not %g", amax.getValueAsDouble());
    else
      os << " and there is none";
    return emitRefusal(op.getLoc(), {"quantize-activations", layer,
                                     getSpelling(format.precision), reason,
                                     "give samples with --calib DIR, or leave "
                                     "the activations alone with the option "
                                     "activations=none"});
  }

  /// Layers that read one tensor in one format share its quantization.
  void replaceActivation(nq::MatmulOp op, const LayerFormat &format,
                         float amax) {
    std::string key = getSpelling(format.activations).str() + " " +
                      format.activationRecipe + " " +
                      std::to_string(rt::floatBits(amax));
    Value &quantized = known[op.getA()][key];
    if (!quantized)
      quantized = createQuantize(op, format, amax);
    op.getAMutable().assign(quantized);
  }

  Value createQuantize(nq::MatmulOp op, const LayerFormat &format, float amax) {
    OpBuilder builder(op);
    Location loc = op.getLoc();
    auto input = cast<RankedTensorType>(op.getA().getType());
    auto type = RankedTensorType::get(
        input.getShape(), getActivationType(&getContext(), format.activations));
    Value scale;
    if (format.needsCalibration())
      scale = arith::ConstantOp::create(
          builder, loc,
          DenseElementsAttr::get(
              RankedTensorType::get({}, builder.getF32Type()),
              getTensorScale(format, amax)));
    bool isStatic = format.activations == ActivationFormat::Fp8;
    return nq::QuantizeOp::create(
        builder, loc, type, op.getA(), isStatic ? scale : Value(),
        isStatic ? Value() : scale, /*zero_point=*/Value(),
        isStatic ? StringAttr()
                 : builder.getStringAttr(format.activationRecipe),
        /*saturate=*/builder.getBoolAttr(true));
  }

  void report(nq::MatmulOp op, const LayerFormat &format, float amax) {
    bool calibrated = format.needsCalibration();
    remarkDone(op.getLoc(), "quantize-activations")
        << RemarkArg("chosen", getSpelling(format.activations))
        << RemarkArg("recipe", format.activationRecipe)
        << RemarkArg("amax", amax)
        << RemarkArg("scale", calibrated ? getTensorScale(format, amax) : 0.0f)
        << RemarkArg("reason", calibrated ? "scale from calibration"
                               : format.activations == ActivationFormat::None
                                   ? "the format has no activations"
                                   : "block scales from the data");
  }

  /// By tensor, then by format.
  llvm::DenseMap<Value, std::map<std::string, Value>> known;
};
} // namespace
