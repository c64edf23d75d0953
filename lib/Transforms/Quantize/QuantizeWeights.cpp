// quantize-weights: constant weights become codes and scales.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Feasibility.h"
#include "WeightSource.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"
#include "nibble/rt/quantize.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Threading.h"

namespace nibble {
#define GEN_PASS_DEF_QUANTIZEWEIGHTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

/// Rows of the weight that a thread quantizes at a time: even, so that no two
/// threads share a byte of 4-bit codes.
static constexpr int64_t kRows = 32;

/// The scaled type of a weight [.., N, K].
static nq::ScaledType getWeightType(MLIRContext *context,
                                    const LayerFormat &format) {
  Type f4 = Float4E2M1FNType::get(context), f32 = Float32Type::get(context);
  Type e4m3 = Float8E4M3FNType::get(context);
  Type e8m0 = Float8E8M0FNUType::get(context);
  SmallVector<int64_t> block = {1, format.block};
  switch (format.precision) {
  case Precision::Mxfp4:
    return nq::ScaledType::get(context, f4, e8m0, block, Type(), false);
  case Precision::Mxfp8:
    return nq::ScaledType::get(context, e4m3, e8m0, block, Type(), false);
  case Precision::Int4:
    return nq::ScaledType::get(
        context, IntegerType::get(context, 4, IntegerType::Signed), f32, block,
        Type(), false);
  case Precision::Fp8:
    if (!format.perChannel)
      return nq::ScaledType::getFp8(context);
    block[1] = ShapedType::kDynamic;
    return nq::ScaledType::get(context, e4m3, f32, block, Type(), false);
  default:
    return nq::ScaledType::get(context, f4, e4m3, block, f32, false);
  }
}

namespace {

/// Codes and scales of one weight, written by rows into resources.
class WeightQuantizer {
public:
  WeightQuantizer(const WeightSource &weight, const LayerFormat &format,
                  float amax, MLIRContext *context)
      : weight(weight), format(format), amax(amax), context(context),
        scaled(getWeightType(context, format)),
        type(RankedTensorType::get(weight.getShapeNK(), scaled)),
        codes(HeapAsmResourceBlob::allocate(
            scaled.getCodeBytes(type.getShape()), 64)),
        scales(HeapAsmResourceBlob::allocate(
            scaled.getScaleBytes(type.getShape()), 64)),
        codeData(reinterpret_cast<uint8_t *>(codes.getMutableData().data())),
        scaleData(reinterpret_cast<uint8_t *>(scales.getMutableData().data())) {
  }

  nq::ConstantOp run(OpBuilder &builder, Location loc) {
    prepare();
    // No range of rows crosses a matrix of a batch.
    int64_t n = weight.getN();
    int64_t pieces = llvm::divideCeil(n, kRows);
    parallelFor(context, 0, weight.getBatch() * pieces, [&](size_t i) {
      int64_t first = int64_t(i) % pieces * kRows;
      quantizeRows(int64_t(i) / pieces * n + first, std::min(kRows, n - first));
    });
    std::string name = weight.getConstant().getName();
    ElementsAttr globalAttr;
    if (scaled.getGlobal())
      globalAttr = DenseElementsAttr::get(
          RankedTensorType::get({}, scaled.getGlobal()), multiplier);
    auto resource = [&](AsmResourceBlob blob, const char *part) {
      auto bytes = RankedTensorType::get({int64_t(blob.getData().size())},
                                         builder.getI8Type());
      return DenseResourceElementsAttr::get(bytes, name + part,
                                            std::move(blob));
    };
    ElementsAttr codesAttr = resource(std::move(codes), ".codes");
    ElementsAttr scalesAttr = resource(std::move(scales), ".scales");
    return nq::ConstantOp::create(builder, loc, type, codesAttr, scalesAttr,
                                  globalAttr, ElementsAttr());
  }

  /// The scale of the whole tensor: what block scales or codes are multiplied
  /// by; 0 if there is none.
  float getTensorScale() const { return multiplier; }

private:
  bool isNvfp4() const { return bool(scaled.getGlobal()); }

  /// Scales of the whole tensor.
  void prepare() {
    if (isNvfp4()) {
      recipe = *rt::parseNvfp4Recipe(format.recipe);
      float divisor = format.precision == Precision::W4a8 ? 448 : 2688;
      global = rt::nvfp4Global(amax, recipe, divisor);
      multiplier = rt::nvfp4Multiplier(global, recipe);
    } else if (scaled.isPerTensor()) {
      multiplier = rt::symmetricScale(amax, StorageFormat::E4M3FN);
      memcpy(scaleData, &multiplier, sizeof(multiplier));
    }
  }

  void quantizeRows(int64_t row, int64_t count) {
    int64_t k = weight.getK();
    std::vector<float> values(count * k);
    weight.readRows(row, count, values.data());
    uint8_t *to = codeData + row * k * scaled.getStorageBits() / 8;
    if (isNvfp4())
      return rt::quantizeNvfp4(values.data(), count, k, format.block, global,
                               recipe, to,
                               scaleData + row * (k / format.block));
    if (isa<Float8E8M0FNUType>(scaled.getScale()))
      return rt::quantizeMx(values.data(), count, k, format.block,
                            format.precision == Precision::Mxfp4
                                ? StorageFormat::E2M1
                                : StorageFormat::E4M3FN,
                            *rt::parseMxRecipe(format.recipe), to,
                            scaleData + row * (k / format.block));
    quantizeWithFloatScales(values.data(), row, count, to);
  }

  /// fp8 and int4: f32 scales of the tensor, of rows, or of blocks.
  void quantizeWithFloatScales(const float *values, int64_t row, int64_t count,
                               uint8_t *to) {
    int64_t k = weight.getK();
    if (scaled.isPerTensor()) {
      rt::ScaleGrid grid{count, k, count, k};
      return rt::quantizeStatic(values, grid, &multiplier, nullptr,
                                StorageFormat::E4M3FN, to);
    }
    bool isInt4 = format.precision == Precision::Int4;
    rt::ScaleGrid grid{count, k, 1, isInt4 ? format.block : k};
    std::vector<float> blockScales(grid.size());
    rt::blockAmax(values, grid, blockScales.data());
    for (float &scale : blockScales)
      scale = isInt4 ? rt::modeloptInt4Scale(scale)
                     : rt::symmetricScale(scale, StorageFormat::E4M3FN);
    memcpy(scaleData + row * grid.gridCols() * sizeof(float),
           blockScales.data(), blockScales.size() * sizeof(float));
    rt::quantizeStatic(values, grid, blockScales.data(), nullptr,
                       isInt4 ? StorageFormat::I4 : StorageFormat::E4M3FN, to);
  }

  const WeightSource &weight;
  const LayerFormat &format;
  float amax;
  MLIRContext *context;
  nq::ScaledType scaled;
  RankedTensorType type;
  AsmResourceBlob codes, scales;
  uint8_t *codeData, *scaleData;
  rt::Nvfp4Recipe recipe = rt::Nvfp4Recipe::ModeloptTorch;
  float global = 0, multiplier = 0;
};

struct QuantizeWeightsPass
    : nibble::impl::QuantizeWeightsBase<QuantizeWeightsPass> {
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
    std::string why;
    float amax = 0;
    if (auto checked = op->getAttrOfType<FloatAttr>(kWeightAmaxAttr))
      amax = checked.getValueAsDouble();
    else
      why = whyNotQuantizable(op, **format, amax);
    if (!why.empty())
      return emitRefusal(op.getLoc(), {"quantize-weights", layer,
                                       getSpelling((*format)->precision), why,
                                       "give the layer another format"});
    op->removeAttr(kWeightAmaxAttr);
    replaceWeight(op, **format, amax);
    return success();
  }

  void replaceWeight(nq::MatmulOp op, const LayerFormat &format, float amax) {
    std::string why;
    WeightSource weight = WeightSource::get(op, why);
    Operation *old = op.getB().getDefiningOp();
    // Layers that share a weight share its codes.
    std::string key = format.str() + (weight.isTransposed() ? " KN" : " NK");
    auto [it, isNew] = known[weight.getConstant().getData()].try_emplace(key);
    if (isNew) {
      OpBuilder builder(op);
      WeightQuantizer quantizer(weight, format, amax, &getContext());
      it->second.first = quantizer.run(builder, op.getLoc());
      it->second.second = quantizer.getTensorScale();
    }
    op.getBMutable().assign(it->second.first);
    op.setTransposeB(true);
    eraseDead(old);
    report(op, format, amax, it->second.second, isNew);
  }

  /// The weight and the casts and transposes behind it, once nobody reads them.
  static void eraseDead(Operation *op) {
    while (op && op->use_empty() && isPure(op)) {
      Value next = op->getNumOperands() ? op->getOperand(0) : Value();
      op->erase();
      op = next ? next.getDefiningOp() : nullptr;
    }
  }

  void report(nq::MatmulOp op, const LayerFormat &format, float amax,
              float scale, bool isNew) {
    StringRef requested = getSpelling(format.precision);
    if (auto attr = op->getAttrOfType<StringAttr>(kRequestedAttr))
      requested = attr.getValue();
    std::string type;
    llvm::raw_string_ostream(type) << op.getB().getType();
    remarkDone(op.getLoc(), "quantize-weights")
        << RemarkArg("requested", requested)
        << RemarkArg("chosen", getSpelling(format.precision))
        << RemarkArg("type", type) << RemarkArg("recipe", format.recipe)
        << RemarkArg("amax", amax) << RemarkArg("scale", scale)
        << RemarkArg("reason", isNew ? "the policy asks for it"
                                     : "shares its weight with another layer");
  }

  /// By data, then by format: the constant and its tensor scale.
  llvm::DenseMap<Attribute,
                 std::map<std::string, std::pair<nq::ConstantOp, float>>>
      known;
};

} // namespace
