// fold-norm-weight: the gain of a norm goes into the weights of the next
// matmuls.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantData.h"
#include "GraphMatch.h"

#include "nibble/Reference/RefTensor.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Threading.h"

#include <atomic>

namespace nibble {
#define GEN_PASS_DEF_FOLDNORMWEIGHT
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

namespace {

/// A norm, the gain behind it, and the value that has it.
struct Gain {
  nq::NormOp norm;
  Value factor; ///< null if there is none
  Value scaled; ///< the norm itself, or a product behind its rounding
};

/// The gain inside of the norm, or that of the multiplication that alone reads
/// it (a norm that the model rounds before the gain).
Gain readGain(nq::NormOp norm) {
  Gain gain{norm, norm.getScale(), norm.getResult()};
  if (gain.factor || !norm.getResult().hasOneUse())
    return gain;
  Operation *user = *norm.getResult().user_begin();
  auto node =
      user->getNumResults() == 1 ? readArith(user->getResult(0)) : std::nullopt;
  if (!node || node->kind != Arith::Mul ||
      node->getType() != norm.getResult().getType())
    return gain;
  bool second = node->operands[0].value == norm.getResult();
  gain.factor = node->operands[second].value;
  gain.scaled = node->result;
  return gain;
}

std::string describe(Operation *op) {
  return ("'" + op->getName().getStringRef() + "' of layer '" +
          getLayerName(op->getLoc()) + "'")
      .str();
}

int64_t getWidth(const Gain &gain) {
  return getTensor(gain.scaled).getShape().back();
}

/// One number per element of the last dimension.
std::optional<std::vector<double>> readFactors(const Gain &gain) {
  RankedTensorType type = getTensor(gain.factor);
  if (type.getRank() == 0 || type.getNumElements() != getWidth(gain) ||
      type.getShape().back() != getWidth(gain))
    return std::nullopt;
  return getNumbers(gain.factor);
}

std::string whyNotWeight(nq::MatmulOp op, Value input) {
  std::string name = " of layer '" + getLayerName(op.getLoc()).str() + "'";
  if (op.getA() != input || op.getB() == input ||
      llvm::is_contained(op.getExtras(), input))
    return "it is more than the left operand" + name;
  RankedTensorType type = getTensor(op.getB());
  if (nq::getScaledElement(type))
    return "the weight" + name + " is quantized: its codes stay as they are";
  if (type.getRank() != 2 || !getPlainConstant(op.getB()))
    return "the weight" + name + " is no constant matrix";
  Type element = type.getElementType();
  if (!element.isF32() && !element.isF16() && !element.isBF16())
    return "the weight" + name + " is not f32, f16 or bf16";
  return "";
}

std::string whyNotFolded(Gain gain, SmallVectorImpl<nq::MatmulOp> &readers) {
  if (gain.norm.getBias())
    return "the norm has a bias";
  if (int64_t(gain.norm.getAxis()) + 1 != getTensor(gain.scaled).getRank())
    return "the norm is over several dimensions";
  for (Operation *user : gain.scaled.getUsers()) {
    auto matmul = dyn_cast<nq::MatmulOp>(user);
    if (!matmul)
      return describe(user) + " reads the norm, too: only matmuls may";
    if (std::string why = whyNotWeight(matmul, gain.scaled); !why.empty())
      return why;
    readers.push_back(matmul);
  }
  llvm::sort(readers, [](nq::MatmulOp a, nq::MatmulOp b) {
    return a->getBlock() == b->getBlock() && a->isBeforeInBlock(b);
  });
  return readers.empty() ? "nothing reads the norm" : "";
}

/// w * gain[k], rounded once to the weight's type; null if a product leaves
/// its range.
class WeightFolder {
public:
  WeightFolder(nq::MatmulOp op, ArrayRef<double> factors)
      : op(op), type(getTensor(op.getB())), factors(factors),
        data(getPlainConstant(op.getB())) {}

  ElementsAttr run() {
    auto read = nq::getRawBytes(data, scratch);
    if (failed(read))
      return {};
    bytes = *read;
    constexpr int64_t kPiece = 1 << 15;
    int64_t size = type.getNumElements();
    auto blob = HeapAsmResourceBlob::allocate(
        size * type.getElementTypeBitWidth() / 8, 64);
    char *to = blob.getMutableData().data();
    std::atomic<bool> fits{true};
    parallelFor(op.getContext(), 0, llvm::divideCeil(size, kPiece),
                [&](size_t piece) {
                  int64_t first = piece * kPiece;
                  if (!fold(first, std::min(kPiece, size - first), to))
                    fits = false;
                });
    if (!fits)
      return {};
    return DenseResourceElementsAttr::get(type, getName(), std::move(blob));
  }

private:
  bool fold(int64_t first, int64_t count, char *to) const {
    StorageFormat format = ref::getFormat(type.getElementType());
    double largest =
        APFloat::getLargest(
            cast<FloatType>(type.getElementType()).getFloatSemantics())
            .convertToDouble();
    std::vector<double> values(count);
    rt::decodeArray(format, bytes.data(), first, count, values.data());
    bool fits = true;
    for (auto [i, value] : llvm::enumerate(values)) {
      value *= factors[getK(first + i)];
      fits &= std::abs(value) <= largest;
    }
    rt::encodeArray(format, values.data(), first, count, to);
    return fits;
  }

  int64_t getK(int64_t element) const {
    int64_t columns = type.getDimSize(1);
    return transposed ? element % columns : element / columns;
  }

  std::string getName() const {
    auto resource = dyn_cast<DenseResourceElementsAttr>(data);
    return (resource ? resource.getRawHandle().getKey().str() : "weight") +
           ".gain";
  }

  nq::MatmulOp op;
  bool transposed = op.getTransposeB();
  RankedTensorType type;
  ArrayRef<double> factors;
  ElementsAttr data;
  SmallVector<char> scratch;
  ArrayRef<char> bytes;
};

struct FoldNormWeightPass
    : nibble::impl::FoldNormWeightBase<FoldNormWeightPass> {
  void runOnOperation() override {
    SmallVector<nq::NormOp> norms;
    getOperation().walk([&](nq::NormOp op) { norms.push_back(op); });
    for (nq::NormOp op : norms)
      if (Gain gain = readGain(op); gain.factor)
        fold(gain);
  }

  void refuse(const Gain &gain, const std::string &why) {
    remarkKept(gain.scaled.getLoc(), getArgument(),
               "gain in the weights behind it", why);
  }

  void fold(const Gain &gain) {
    SmallVector<nq::MatmulOp> readers;
    std::string why = whyNotFolded(gain, readers);
    if (!why.empty())
      return refuse(gain, why);
    std::optional<std::vector<double>> factors = readFactors(gain);
    if (!factors)
      return refuse(gain, "the gain is computed at run time, or not one number "
                          "per element of a row");
    SmallVector<ElementsAttr> weights;
    for (nq::MatmulOp reader : readers) {
      weights.push_back(WeightFolder(reader, *factors).run());
      if (!weights.back())
        return refuse(gain, "the products with the weight of layer '" +
                                getLayerName(reader.getLoc()).str() +
                                "' leave the range of its type");
    }
    apply(gain, readers, weights);
  }

  void apply(const Gain &gain, ArrayRef<nq::MatmulOp> readers,
             ArrayRef<ElementsAttr> weights) {
    std::string names;
    for (size_t i = 0; i < readers.size(); ++i) {
      nq::MatmulOp reader = readers[i];
      OpBuilder builder(reader);
      Value constant = nq::ConstantOp::create(
          builder, reader.getB().getLoc(), reader.getB().getType(), weights[i],
          ElementsAttr(), ElementsAttr(), ElementsAttr());
      reader.getBMutable().assign(constant);
      names +=
          (names.empty() ? "" : ", ") + getLayerName(reader.getLoc()).str();
    }
    remarkDone(gain.scaled.getLoc(), getArgument())
        << RemarkArg("chosen", "gain in the weights of " +
                                   std::to_string(readers.size()) + " matmuls")
        << RemarkArg("with", names)
        << RemarkArg("reason",
                     "allowed; weight times gain is rounded once more "
                     "to the type of the weight");
    replaceNorm(gain);
  }

  static void replaceNorm(const Gain &gain) {
    OpBuilder builder(gain.norm);
    nq::NormOp norm = gain.norm;
    auto plain = nq::NormOp::create(
        builder, gain.scaled.getLoc(), norm.getType(), norm.getKind(),
        norm.getInput(), Value(), Value(), norm.getAxis(), norm.getEpsilon());
    Operation *product = gain.scaled.getDefiningOp();
    Value(gain.scaled).replaceAllUsesWith(plain.getResult());
    if (product != norm)
      product->erase();
    norm->erase();
  }
};
} // namespace
