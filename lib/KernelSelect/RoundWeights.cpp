// round-weights: weights of 4 bits next to FP8 activations, as FP8.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantWeight.h"
#include "GemmClasses.h"

#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Layouts.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Reference/RefTensor.h"
#include "nibble/Transforms/Quantize/Layers.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Threading.h"

#include <cmath>

namespace nibble {
#define GEN_PASS_DEF_ROUNDWEIGHTS
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;
using rt::StorageFormat;

static constexpr StringLiteral kPass = "round-weights";

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

namespace {

/// Relative errors of what was rounded.
struct Loss {
  double worst = 0; ///< of one number
  double error = 0, norm = 0;

  bool isExact() const { return error == 0; }
  double inNorm() const { return norm > 0 ? std::sqrt(error / norm) : 0; }
  void add(double exact, double rounded) {
    double difference = rounded - exact;
    norm += exact * exact;
    if (difference == 0)
      return;
    error += difference * difference;
    worst = std::max(worst, std::abs(difference / exact));
  }
  void add(const Loss &other) {
    worst = std::max(worst, other.worst);
    error += other.error;
    norm += other.norm;
  }
};

/// A weight [rows, k] as E4M3 with one f32 scale for each row. With E4M3 or
/// E8M0 block scales, rows are scaled by the power of two that makes the
/// greatest product of code and block scale as large as E4M3 can be: others are
/// exact as long as they have four significant bits and are not too small.
/// Float scales give each row the scale that its maximum wants.
class ByteWeight {
public:
  ByteWeight(nq::ConstantOp constant, MatrixDims dims)
      : constant(constant), dims(dims), type(tensorOf(constant)),
        from(nq::getScaledElement(type)),
        byPowers(isa<Float8E4M3FNType, Float8E8M0FNUType>(from.getScale()) &&
                 (!from.getGlobal() || from.getGlobal().isF32())) {}

  /// Fails if the constant cannot be read.
  LogicalResult run() {
    auto read = ref::RefTensor::fromConstant(constant);
    if (failed(read))
      return failure();
    source = *read;
    if (byPowers && failed(takeGlobalOut()))
      return failure();
    convert();
    return success();
  }

  nq::ConstantOp create(OpBuilder &builder) {
    MLIRContext *context = type.getContext();
    SmallVector<int64_t> block(2, 1);
    block[dims.k] = ShapedType::kDynamic;
    auto scaled =
        nq::ScaledType::get(context, Float8E4M3FNType::get(context),
                            Float32Type::get(context), block, Type(), false);
    ArrayRef<char> scaleBytes(reinterpret_cast<const char *>(scales.data()),
                              scales.size() * sizeof(float));
    return nq::ConstantOp::create(
        builder, constant.getLoc(),
        RankedTensorType::get(type.getShape(), scaled),
        makeBytes(builder, codes, "fp8.codes"),
        makeBytes(builder, scaleBytes, "fp8.scales"), ElementsAttr(),
        ElementsAttr());
  }

  Loss loss;

private:
  /// Products of codes and block scales alone are exact.
  LogicalResult takeGlobalOut() {
    ref::RefTensor::ScaledParts parts = source.getScaledParts();
    global = from.getGlobal() ? parts.global : 1;
    auto products = RankedTensorType::get(
        type.getShape(),
        nq::ScaledType::get(from.getContext(), from.getStorage(),
                            from.getScale(), from.getBlock(), Type(),
                            from.getZeroPoint()));
    parts.global = 1;
    auto read = ref::RefTensor::scaled(products, parts, nullptr,
                                       [&] { return constant.emitError(); });
    if (failed(read))
      return failure();
    whole = source;
    source = *read;
    return success();
  }

  void convert() {
    int64_t rows = type.getDimSize(dims.row);
    codes.resize(type.getNumElements());
    scales.resize(rows);
    std::vector<Loss> losses(rows);
    // What lies along k is read at once; [k, rows] as a whole.
    if (dims.k == 0)
      columns = source.toFloats();
    parallelFor(type.getContext(), 0, rows,
                [&](size_t row) { losses[row] = convertRow(int64_t(row)); });
    for (const Loss &other : losses)
      loss.add(other);
    columns.clear();
  }

  Loss convertRow(int64_t row) {
    int64_t k = type.getDimSize(dims.k), rows = type.getDimSize(dims.row);
    std::vector<double> values(k);
    if (dims.k == 1)
      source.read(row * k, k, values.data());
    else
      for (int64_t i = 0; i < k; ++i)
        values[i] = columns[i * rows + row];
    double greatest = 0;
    for (double value : values)
      greatest = std::max(greatest, std::abs(value));
    constexpr double kLargest = 448;
    double scale = 1;
    if (greatest > 0)
      scale = byPowers ? std::exp2(std::ceil(std::log2(greatest / kLargest)))
                       : float(greatest / kLargest);
    scales[row] = float(scale * global);
    Loss lost;
    for (int64_t i = 0; i < k; ++i) {
      auto code = rt::encode(StorageFormat::E4M3FN, values[i] / scale);
      lost.add(values[i], scale * rt::decode(StorageFormat::E4M3FN, code));
      codes[dims.k == 1 ? row * k + i : i * rows + row] = char(code);
    }
    return lost;
  }

  nq::ConstantOp constant;
  MatrixDims dims;
  RankedTensorType type;
  nq::ScaledType from;
  bool byPowers;
  double global = 1;
  ref::RefTensor source, whole; ///< the one reads bytes of the other
  std::vector<double> columns;
  std::vector<char> codes;
  std::vector<float> scales;
};

/// The products of one region.
class Rounding {
public:
  Rounding(nq::RegionOp region, const Machine &machine, IRRewriter &rewriter)
      : region(region), machine(machine), rewriter(rewriter),
        products(getProducts(region)) {}

  LogicalResult run() {
    if (products.empty() || !llvm::all_of(products, isCandidate))
      return success();
    bool isPermitted =
        nibble::isPermitted(region, getMathName(MathFormat::FP8));
    // On the CPU there is nothing to win: only what was asked for.
    if (!isPermitted && !machine.isGpu())
      return success();
    if (std::string why = whyNotFaster(); !why.empty()) {
      if (isPermitted)
        refuse(why);
      return success();
    }
    SmallVector<std::unique_ptr<ByteWeight>> weights;
    Loss loss;
    for (const Product &product : products) {
      nq::MatmulOp op = product.op;
      weights.push_back(std::make_unique<ByteWeight>(
          getConstantWeight(op),
          op.getTransposeB() ? MatrixDims{0, 1} : MatrixDims{1, 0}));
      if (failed(weights.back()->run()))
        return failure();
      loss.add(weights.back()->loss);
    }
    if (!loss.isExact() && !isPermitted) {
      refuse("weights would be rounded" + describe(loss) +
             ", and nobody permitted that");
      return success();
    }
    replace(weights, loss);
    return success();
  }

private:
  static bool isCandidate(const Product &product) {
    nq::MatmulOp op = product.op;
    bool isByte =
        product.a == Format::Fp8Tensor || product.a == Format::Fp8Channel;
    return isByte && isFourBit(product.b) && hasConstantWeight(op) &&
           isa<Float8E4M3FNType>(getCodeType(tensorOf(op.getA())));
  }

  /// "" if FP8 on the matrix unit is faster than 16 bits, with twice the bytes
  /// of weights; on the CPU nobody asks.
  std::string whyNotFaster() {
    if (!machine.isGpu())
      return "";
    if (products.front().m <= kStreamedRows)
      return "M = " + std::to_string(products.front().m) +
             ": reading the weights takes the time, and FP8 has twice the "
             "bytes";
    Traffic traffic = getTraffic(region);
    double bytes = double(traffic.read + traffic.written), wider = bytes,
           flops = double(getFlops(region));
    for (const Product &product : products)
      wider += double(product.n) * double(product.k) / 2;
    // Activations become f16.
    bytes += double(products.front().m) * double(products.front().k);
    double now = machine.reached.getSeconds(bytes, flops, MathFormat::F16),
           then = machine.reached.getSeconds(wider, flops, MathFormat::FP8);
    if (then < now)
      return "";
    return "reading the weights takes the time, and FP8 has twice the bytes";
  }

  static std::string describe(const Loss &loss) {
    char text[96];
    snprintf(text, sizeof text, " by up to %.2g %% of one, %.2g %% in the norm",
             100 * loss.worst, 100 * loss.inNorm());
    return text;
  }

  void refuse(const std::string &why) {
    remarkMissed(region.getLoc(), kPass)
        << RemarkArg("rejected", "weights as FP8") << RemarkArg("reason", why);
  }

  void replace(ArrayRef<std::unique_ptr<ByteWeight>> weights,
               const Loss &loss) {
    auto requested = rewriter.getStringAttr(describeSources(products));
    for (auto [product, weight] : llvm::zip(products, weights)) {
      nq::MatmulOp op = product.op;
      rewriter.setInsertionPointAfter(getConstantWeight(op));
      Value bytes = weight->create(rewriter);
      setWeight(region, op, bytes);
      if (!op->hasAttr(kRequestedAttr))
        op->setAttr(kRequestedAttr, requested);
      if (!loss.isExact())
        op->setAttr(kRoundedAttr, rewriter.getStringAttr(describe(loss)));
    }
    remarkDone(region.getLoc(), kPass)
        << RemarkArg("chosen", "weights as FP8, expanded at compile time")
        << RemarkArg("worst_error", loss.worst)
        << RemarkArg("norm_error", loss.inNorm())
        << RemarkArg("reason",
                     loss.isExact()
                         ? "each code times its block scale is an E4M3 number "
                           "times a power of two of its row: nothing is rounded"
                         : "permitted by the user; weights are rounded" +
                               describe(loss));
  }

  nq::RegionOp region;
  const Machine &machine;
  IRRewriter &rewriter;
  SmallVector<Product> products;
};

struct RoundWeightsPass : nibble::impl::RoundWeightsBase<RoundWeightsPass> {
  using nibble::impl::RoundWeightsBase<RoundWeightsPass>::RoundWeightsBase;

  void runOnOperation() override {
    std::optional<Machine> machine = getMachine(target, getOperation());
    if (!machine)
      return signalPassFailure();
    if (!getOperation()->hasAttr(kEntryAttr))
      return;
    IRRewriter rewriter(&getContext());
    auto regions = getOperation().front().getOps<nq::RegionOp>();
    for (nq::RegionOp region : llvm::to_vector(regions))
      if (failed(Rounding(region, *machine, rewriter).run()))
        return signalPassFailure();
  }
};

} // namespace
