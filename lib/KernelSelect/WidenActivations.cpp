// widen-activations: codes of activations as f16 or bf16, for tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/KernelSelect/ProductClass.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"

namespace nibble {
#define GEN_PASS_DEF_WIDENACTIVATIONS
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;

static constexpr StringLiteral kPass = "widen-activations";

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static bool onFmaUnits(const KernelChoice &choice) {
  return !choice.kernel || getProductClass(choice.kernel->name).generator ==
                               ProductGenerator::Threads;
}

/// E8M0 needs the exponents of bf16; everything else is exact in f16, which is
/// cheaper to expand weights to.
static Type getWideElement(const Product &product) {
  MLIRContext *context = product.op->getContext();
  auto hasExponents = [](Format format) {
    return format == Format::Mxfp4 || format == Format::Mxfp8;
  };
  if (hasExponents(product.a) || hasExponents(product.b))
    return BFloat16Type::get(context);
  return Float16Type::get(context);
}

/// The argument that an operand is, behind reshapes.
static BlockArgument getArgument(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!fuse::isReshape(op))
      return {};
    value = op->getOperand(0);
  }
  return cast<BlockArgument>(value);
}

/// A reshape of `source` like the one that made `value`.
static Value reshapeLike(OpBuilder &builder, Operation *reshape, Value source) {
  auto type = RankedTensorType::get(tensorOf(reshape->getResult(0)).getShape(),
                                    tensorOf(source).getElementType());
  Operation *copy = builder.clone(*reshape);
  copy->setOperand(0, source);
  copy->getResult(0).setType(type);
  return copy->getResult(0);
}

namespace {

/// One region whose products would be on tensor cores with wider activations.
class Widening {
public:
  Widening(nq::RegionOp region, const Machine &machine, IRRewriter &rewriter)
      : region(region), machine(machine), rewriter(rewriter) {}

  void run() {
    SmallVector<Product> products = getProducts(region);
    if (products.empty() || !onFmaUnits(chooseKernel(region, machine)) ||
        !llvm::any_of(products, [](const Product &p) {
          return isQuantized(p.a) && isQuantized(p.b) && p.constantB;
        }))
      return;
    std::string why = findArguments(products);
    if (why.empty())
      why = tryOut();
    if (!why.empty())
      remarkMissed(region.getLoc(), kPass)
          << RemarkArg("rejected", "activations as 16-bit numbers")
          << RemarkArg("reason", why);
  }

private:
  /// Which arguments become what, or why not.
  std::string findArguments(ArrayRef<Product> products) {
    for (const Product &product : products) {
      nq::MatmulOp op = product.op;
      BlockArgument argument = getArgument(op.getA());
      if (!argument)
        return "the activation is computed in the kernel of the product";
      nq::ScaledType scaled = nq::getScaledElement(tensorOf(argument));
      if (!scaled)
        return "a product has activations that are not quantized";
      std::string why;
      auto wide = nq::WidenOp::getWidened(scaled, getWideElement(product), why);
      if (failed(wide))
        return why;
      auto [it, isNew] = wanted.try_emplace(argument.getArgNumber(), *wide);
      if (!isNew && it->second != *wide)
        return "products of one activation want it in different formats";
    }
    return "";
  }

  /// The region with wide operands in a copy, which takes its place if there
  /// is a class for it.
  std::string tryOut() {
    rewriter.setInsertionPoint(region);
    SmallVector<Value> inputs(region.getInputs());
    SmallVector<nq::WidenOp> widens;
    for (auto [number, scaled] : wanted) {
      auto type = RankedTensorType::get(
          tensorOf(region.getInputs()[number]).getShape(), scaled);
      auto widen =
          nq::WidenOp::create(rewriter, region.getLoc(), type, inputs[number]);
      widens.push_back(widen);
      inputs.push_back(widen.getResult());
    }
    auto copy = cloneWith(inputs);
    KernelChoice choice = chooseKernel(copy, machine);
    std::string why =
        onFmaUnits(choice) ? whyRejected(choice) : whyNotPermitted(choice);
    if (!why.empty()) {
      rewriter.eraseOp(copy);
      for (nq::WidenOp widen : widens)
        rewriter.eraseOp(widen);
      return why;
    }
    rewriter.replaceOp(region, copy.getResults());
    region = copy;
    // Kernels of its own are none: the one that makes the value does it.
    for (nq::WidenOp widen : widens) {
      auto type = nq::getScaledElement(widen.getType());
      Value wide = getWide(widen.getInput(), type);
      explain(choice, widen.getInput(), wide);
      rewriter.replaceOp(widen, wide);
    }
    return "";
  }

  /// Products read the arguments behind those that were there.
  nq::RegionOp cloneWith(ArrayRef<Value> inputs) {
    auto copy = nq::RegionOp::create(
        rewriter, region.getLoc(), region.getResultTypes(),
        region.getKindAttr(), inputs, region.getFusedAttr());
    copy->setDiscardableAttrs(region->getDiscardableAttrDictionary());
    IRMapping mapping;
    region.getBody().cloneInto(&copy.getBody(), mapping);
    OpBuilder::InsertionGuard guard(rewriter);
    unsigned before = region.getInputs().size();
    DenseMap<Value, Value> wideOf;
    for (Value input : inputs.drop_front(before))
      copy.getBlock().addArgument(input.getType(), input.getLoc());
    for (auto [i, entry] : llvm::enumerate(wanted))
      wideOf[copy.getBlock().getArgument(entry.first)] =
          copy.getBlock().getArgument(before + i);
    for (auto op : copy.getBlock().getOps<nq::MatmulOp>())
      op.getAMutable().assign(inRegion(op.getA(), wideOf));
    return copy;
  }

  Value inRegion(Value value, DenseMap<Value, Value> &wideOf) {
    if (Value wide = wideOf.lookup(value))
      return wide;
    Operation *reshape = value.getDefiningOp();
    Value source = inRegion(reshape->getOperand(0), wideOf);
    rewriter.setInsertionPointAfter(reshape);
    return wideOf[value] = reshapeLike(rewriter, reshape, source);
  }

  static std::string whyRejected(const KernelChoice &choice) {
    std::string why = "no class takes the product with them, either";
    for (const RejectedKernel &rejected : choice.rejected)
      if (StringRef(rejected.kernel).contains(".expand") &&
          !StringRef(rejected.kernel).contains(".simt"))
        why += "; " + rejected.kernel + ": " + rejected.reason;
    return why;
  }

  /// A permission for what the kernel on FMA units multiplies is none for this.
  std::string whyNotPermitted(const KernelChoice &choice) {
    KernelChoice narrow = chooseKernel(region, machine);
    if (choice.asRequested || isPermitted(region, choice.chosen) ||
        !narrow.kernel || !isPermitted(region, narrow.chosen))
      return "";
    return "the layer may fall to " + narrow.chosen + ", not to " +
           choice.chosen + ": permit it with --allow-fallback '" +
           getLayerName(region.getLoc()).str() + ":" + choice.chosen + "'";
  }

  //===--------------------------------------------------------------------===//
  // Producers
  //===--------------------------------------------------------------------===//

  /// The value with wide codes, stored by the kernel that makes it.
  Value getWide(Value value, nq::ScaledType element) {
    Operation *producer = value.getDefiningOp();
    if (producer && fuse::isReshape(producer)) {
      Value source = getWide(producer->getOperand(0), element);
      rewriter.setInsertionPointAfter(producer);
      return reshapeLike(rewriter, producer, source);
    }
    auto type = RankedTensorType::get(tensorOf(value).getShape(), element);
    if (auto maker = dyn_cast_if_present<nq::RegionOp>(producer))
      return addResult(maker, cast<OpResult>(value).getResultNumber(), type);
    rewriter.setInsertionPointAfterValue(value);
    return makeRegion(value, type);
  }

  /// A kernel that converts, for what no kernel makes.
  Value makeRegion(Value value, RankedTensorType type) {
    byItself = true;
    auto maker =
        nq::RegionOp::create(rewriter, region.getLoc(), TypeRange(type),
                             rewriter.getStringAttr("elementwise"), value,
                             rewriter.getStrArrayAttr({kPass}));
    OpBuilder::InsertionGuard guard(rewriter);
    Block *body = rewriter.createBlock(&maker.getBody());
    Value narrow = body->addArgument(value.getType(), value.getLoc());
    Value wide = nq::WidenOp::create(rewriter, region.getLoc(), type, narrow);
    nq::YieldOp::create(rewriter, region.getLoc(), wide);
    return maker.getResult(0);
  }

  Value addResult(nq::RegionOp maker, unsigned number, RankedTensorType type) {
    nq::YieldOp yield = maker.getYield();
    Value narrow = yield.getValues()[number];
    for (auto [i, value] : llvm::enumerate(yield.getValues())) {
      auto widen = value.getDefiningOp<nq::WidenOp>();
      if (widen && widen.getInput() == narrow && value.getType() == type)
        return maker.getResult(i);
    }
    rewriter.setInsertionPoint(yield);
    Value wide = nq::WidenOp::create(rewriter, narrow.getLoc(), type, narrow);
    nq::RegionOp wider = fuse::addResults(rewriter, maker, wide);
    fuse::noteFusion(wider, kPass);
    return wider.getResults().back();
  }

  void explain(const KernelChoice &choice, Value narrow, Value wide) {
    auto bytesOf = [](Value value) {
      return nq::getStorageRegions(tensorOf(value)).total;
    };
    std::string type;
    llvm::raw_string_ostream(type)
        << nq::getScaledElement(wide.getType()).getStorage();
    remarkDone(region.getLoc(), kPass)
        << RemarkArg("chosen", "activations as " + type + " numbers")
        << RemarkArg("kernel", choice.kernel->name)
        << RemarkArg("bytes", bytesOf(wide))
        << RemarkArg("instead", bytesOf(narrow))
        << RemarkArg("reason",
                     "no matrix instruction of the target multiplies the codes "
                     "with these weights; as " +
                         type + " they are the same numbers, " +
                         (byItself ? "converted by a kernel of its own"
                                   : "stored by the kernel that makes them"));
  }

  nq::RegionOp region;
  const Machine &machine;
  IRRewriter &rewriter;
  llvm::MapVector<unsigned, nq::ScaledType> wanted; ///< by argument
  bool byItself = false; ///< a kernel of its own converts
};

struct WidenActivationsPass
    : nibble::impl::WidenActivationsBase<WidenActivationsPass> {
  using nibble::impl::WidenActivationsBase<
      WidenActivationsPass>::WidenActivationsBase;

  void runOnOperation() override {
    std::optional<Machine> machine = getMachine(target, getOperation());
    if (!machine)
      return signalPassFailure();
    if (!machine->isGpu() || !getOperation()->hasAttr(kEntryAttr))
      return;
    IRRewriter rewriter(&getContext());
    auto regions = getOperation().front().getOps<nq::RegionOp>();
    for (nq::RegionOp region : llvm::to_vector(regions))
      Widening(region, *machine, rewriter).run();
  }
};

} // namespace
