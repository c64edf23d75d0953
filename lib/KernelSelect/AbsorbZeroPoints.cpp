// absorb-zero-points: codes of integer weights less their zero points.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantWeight.h"

#include "nibble/KernelSelect/FragmentLayout.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Reference/RefTensor.h"
#include "nibble/Transforms/Quantize/Layers.h"
#include "nibble/Transforms/Remarks.h"

namespace nibble {
#define GEN_PASS_DEF_ABSORBZEROPOINTS
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

static constexpr StringLiteral kPass = "absorb-zero-points";

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Codes less zero points, row-major; nothing if there is no data.
static FailureOr<std::vector<double>> readDifferences(nq::ConstantOp constant) {
  auto whole = ref::RefTensor::fromConstant(constant);
  if (failed(whole))
    return failure();
  RankedTensorType type = tensorOf(constant);
  nq::ScaledType scaled = nq::getScaledElement(type);
  MLIRContext *context = type.getContext();
  ref::RefTensor::ScaledParts parts = whole->getScaledParts();
  std::vector<float> ones(
      ShapedType::getNumElements(scaled.getScaleGrid(type.getShape())), 1);
  parts.scales = {reinterpret_cast<const char *>(ones.data()),
                  ones.size() * sizeof(float)};
  parts.global = 1;
  auto element = nq::ScaledType::get(context, scaled.getStorage(),
                                     Float32Type::get(context),
                                     scaled.getBlock(), Type(), true);
  auto differences = ref::RefTensor::scaled(
      RankedTensorType::get(type.getShape(), element), parts, nullptr,
      [&] { return constant.emitError(); });
  if (failed(differences))
    return failure();
  return differences->toFloats();
}

namespace {
struct AbsorbZeroPointsPass
    : nibble::impl::AbsorbZeroPointsBase<AbsorbZeroPointsPass> {
  using nibble::impl::AbsorbZeroPointsBase<
      AbsorbZeroPointsPass>::AbsorbZeroPointsBase;

  void runOnOperation() override {
    if (failed(replaceGpuWeights(
            getOperation(), target, isCandidate,
            [&](auto region, auto op) { return replace(region, op); })))
      signalPassFailure();
  }

  static bool isCandidate(const Product &product) {
    nq::MatmulOp op = product.op;
    nq::ScaledType scaled = nq::getScaledElement(op.getB().getType());
    return scaled && scaled.getZeroPoint();
  }

  static void refuse(nq::MatmulOp op, const Twine &why) {
    remarkMissed(op.getLoc(), kPass)
        << RemarkArg("rejected", "codes without zero points")
        << RemarkArg("reason", why.str());
  }

  LogicalResult replace(nq::RegionOp region, nq::MatmulOp op) {
    nq::ConstantOp constant = getConstantWeight(op);
    auto differences = readDifferences(constant);
    if (failed(differences))
      return failure();
    double low = 0, high = 0;
    for (double x : *differences) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
    if (low < -128 || high > 127) {
      refuse(op, "codes less zero points are from " + Twine(int64_t(low)) +
                     " to " + Twine(int64_t(high)) + ": no 8-bit integers");
      return success();
    }
    RankedTensorType type = getType(constant, low >= -8 && high <= 7 ? 4 : 8);
    std::string why;
    MatrixDims dims = op.getTransposeB() ? MatrixDims{0, 1} : MatrixDims{1, 0};
    if (!getFragmentFormat(type, dims, Float16Type::get(&getContext()), why)) {
      refuse(op, "no kernel would take them, either: " + why);
      return success();
    }
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(constant);
    if (!op->hasAttr(kRequestedAttr))
      op->setAttr(kRequestedAttr,
                  builder.getStringAttr(describeSources(getProducts(region))));
    setWeight(region, op, create(builder, constant, type, *differences));
    explain(op, constant, type);
    return success();
  }

  static RankedTensorType getType(nq::ConstantOp constant, unsigned bits) {
    RankedTensorType type = tensorOf(constant);
    nq::ScaledType scaled = nq::getScaledElement(type);
    MLIRContext *context = type.getContext();
    auto storage = IntegerType::get(context, bits, IntegerType::Signed);
    return RankedTensorType::get(
        type.getShape(),
        nq::ScaledType::get(context, storage, scaled.getScale(),
                            scaled.getBlock(), scaled.getGlobal(), false));
  }

  static nq::ConstantOp create(OpBuilder &builder, nq::ConstantOp constant,
                               RankedTensorType type,
                               ArrayRef<double> differences) {
    nq::ScaledType scaled = nq::getScaledElement(type);
    auto format = ref::getFormat(scaled.getStorage());
    std::vector<char> codes(scaled.getCodeBytes(type.getShape()));
    for (auto [i, x] : llvm::enumerate(differences))
      rt::storeCode(format, codes.data(), i, uint64_t(int64_t(x)));
    return nq::ConstantOp::create(builder, constant.getLoc(), type,
                                  makeBytes(builder, codes, "centered.codes"),
                                  *constant.getScales(),
                                  constant.getGlobalAttr(), ElementsAttr());
  }

  static void explain(nq::MatmulOp op, nq::ConstantOp constant,
                      RankedTensorType type) {
    std::string text;
    llvm::raw_string_ostream(text)
        << nq::getScaledElement(type).getStorage() << " without zero points";
    remarkDone(op.getLoc(), kPass)
        << RemarkArg("chosen", text)
        << RemarkArg("bytes", nq::getStorageRegions(type).total)
        << RemarkArg("instead", nq::getStorageRegions(tensorOf(constant)).total)
        << RemarkArg("reason", "codes less zero points are the same numbers "
                               "times the same scales");
  }
};
} // namespace
