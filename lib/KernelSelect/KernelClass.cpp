// Tables of kernel classes, and the choice among them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Passes.h"

#include "GemmClasses.h"
#include "nibble/KernelSelect/Layouts.h"
#include "nibble/Transforms/Fuse/Regions.h"

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;

//===----------------------------------------------------------------------===//
// Classes without a matrix product
//===----------------------------------------------------------------------===//

/// GPU targets have no f64 kernels: their models have none but by accident.
static std::string whyNotLoops(nq::RegionOp region) {
  for (Operation &op : region.getBlock().without_terminator()) {
    if (isa<nq::MatmulOp, nq::AttentionOp>(op))
      return ("'" + op.getName().getStringRef() + "' needs a class of its own")
          .str();
    for (Type type : op.getResultTypes())
      if (auto tensor = dyn_cast<RankedTensorType>(type);
          tensor && tensor.getElementType().isF64())
        return ("'" + op.getName().getStringRef() + "' of layer '" +
                getLayerName(op.getLoc()) + "' computes in f64")
            .str();
  }
  return "";
}

static nq::AttentionOp getAttention(nq::RegionOp region) {
  auto ops = region.getBlock().getOps<nq::AttentionOp>();
  return ops.empty() ? nq::AttentionOp() : *ops.begin();
}

static std::string whyNotAttention(nq::RegionOp region,
                                   function_ref<bool(Type)> takes,
                                   StringRef names) {
  nq::AttentionOp op = getAttention(region);
  if (!op)
    return "there is no attention";
  for (Value value : {op.getQ(), op.getK(), op.getV()}) {
    Type element = cast<RankedTensorType>(value.getType()).getElementType();
    if (!takes(element)) {
      std::string text;
      llvm::raw_string_ostream(text) << element;
      return "operands are " + text + ", the kernel takes " + names.str();
    }
  }
  int64_t d = cast<RankedTensorType>(op.getQ().getType()).getDimSize(3);
  if (d > 256)
    return "head size " + std::to_string(d) + " is larger than 256";
  return "";
}
/// Codes with one scale in all.
static bool isFloat8(Type type) {
  auto scaled = dyn_cast<nq::ScaledType>(type);
  return scaled && scaled.isPerTensor() && !scaled.getGlobal() &&
         !scaled.getZeroPoint() &&
         isa<Float8E4M3FNType, Float8E5M2Type>(scaled.getStorage());
}
static bool isNarrow(Type type) { return type.isF16() || type.isBF16(); }

static std::string whyNotAttention16(nq::RegionOp region) {
  return whyNotAttention(
      region, [](Type t) { return isNarrow(t) || isFloat8(t); },
      "f16, bf16 or FP8 with one scale");
}

/// The kernel of lib/Conversion/NqToGpu/AttentionWgmma.h. Where an operand lies
/// is known when it is lowered: what it cannot copy then, a remark tells.
static std::string whyNotWgmma(nq::RegionOp region) {
  std::string why = whyNotAttention16(region);
  if (!why.empty())
    return why;
  nq::AttentionOp op = getAttention(region);
  auto typeOf = [](Value value) {
    return cast<RankedTensorType>(value.getType());
  };
  Type q = typeOf(op.getQ()).getElementType(),
       k = typeOf(op.getK()).getElementType(),
       v = typeOf(op.getV()).getElementType();
  if (!isFloat8(k) && q != k)
    return "queries and keys are of different types";
  if (isFloat8(k) && !isFloat8(q) && !isFloat8(v))
    return "keys are FP8, but neither queries nor values are";
  Type result = typeOf(op.getResult()).getElementType();
  if (!isNarrow(result) && !result.isF32())
    return "the result is neither f16, bf16 nor f32";
  int64_t depth = typeOf(op.getQ()).getDimSize(3),
          width = typeOf(op.getV()).getDimSize(3);
  if (width > 256)
    return "values of " + std::to_string(width) +
           " elements are longer than 256";
  if (depth % 8 || width % 8)
    return "head size " + std::to_string(depth % 8 ? depth : width) +
           " is no multiple of 8 (16 bytes, which the copy engine moves)";
  return "";
}
static std::string whyNotAttention32(nq::RegionOp region) {
  return whyNotAttention(
      region, [](Type t) { return t.isF32() || isNarrow(t) || isFloat8(t); },
      "f32, f16, bf16 or FP8 with one scale");
}

/// Heads begin at multiples of 16 bytes.
static nq::RequiredLayouts getAttentionLayouts(nq::RegionOp region) {
  nq::RequiredLayouts layouts;
  layouts.operands.assign(region.getInputs().size(), {{}, true});
  layouts.results.assign(region.getNumResults(), {{}, true});
  nq::AttentionOp op = getAttention(region);
  for (Value value : {op.getQ(), op.getK(), op.getV()})
    if (auto argument = dyn_cast<BlockArgument>(value))
      layouts.operands[argument.getArgNumber()] = {
          getKMajorLayout(cast<RankedTensorType>(value.getType()), {2, 3}),
          false};
  return layouts;
}

static std::string whyNever(nq::RegionOp) { return ""; }

template <TargetFamily F>
static ArrayRef<KernelClass> getSharedGpuClasses(StringLiteral) {
  static constexpr KernelClass kClasses[] = {
      {F == TargetFamily::Sm100 ? StringLiteral("attention.tcgen05")
                                : StringLiteral("attention.wgmma"),
       F, "attention", MathFormat::F16, Fidelity::Native,
       F == TargetFamily::Sm100 ? whyNotAttention16 : whyNotWgmma,
       getAttentionLayouts},
      {"attention.simt.f32", F, "attention", MathFormat::F32, Fidelity::Native,
       whyNotAttention32, getAttentionLayouts},
      {"rows.simt", F, "rowwise", MathFormat::F32, Fidelity::Native,
       whyNotLoops, nullptr},
      {"loops.simt", F, "*", MathFormat::F32, Fidelity::Native, whyNotLoops,
       nullptr},
  };
  return kClasses;
}

/// The layout of its weights decides (pack-cpu-weights): groups of 8 k.
static std::string whyNotCpuIntegers(nq::RegionOp region) {
  for (const Product &product : getProducts(region)) {
    nq::MatmulOp op = product.op;
    auto type = cast<RankedTensorType>(op.getB().getType());
    int64_t kDim = type.getRank() - (op.getTransposeB() ? 1 : 2);
    nq::LayoutAttr layout = nq::getLayout(type);
    if (!layout || layout.getTiles()[kDim].asArrayRef() != ArrayRef<int64_t>{8})
      return "not both operands are 4-bit floats with blocks of 16 or 32 along "
             "k";
  }
  return "";
}

static std::string whyNotAsIs(nq::RegionOp region) {
  return whyNotRounded(region).empty() ? "weights were rounded to fp8" : "";
}

static ArrayRef<KernelClass> getCpuClasses() {
  constexpr TargetFamily F = TargetFamily::Cpu;
  static constexpr KernelClass kClasses[] = {
      {"gemm.cpu.lossy", F, "gemm", MathFormat::FP8, Fidelity::Lossy,
       whyNotRounded, nullptr},
      {"gemm.cpu.i8", F, "gemm", MathFormat::I8, Fidelity::Native,
       whyNotCpuIntegers, nullptr},
      {"gemm.cpu", F, "gemm", MathFormat::F32, Fidelity::Native, whyNotAsIs,
       nullptr},
      {"attention.cpu", F, "attention", MathFormat::F32, Fidelity::Native,
       whyNever, nullptr},
      {"loops.cpu", F, "*", MathFormat::F32, Fidelity::Native, whyNever,
       nullptr},
  };
  return kClasses;
}

template <TargetFamily F>
static ArrayRef<KernelClass> getGpuClasses(ArrayRef<KernelClass> gemms) {
  static const SmallVector<KernelClass> all = [&] {
    SmallVector<KernelClass> classes(gemms);
    llvm::append_range(classes, getSharedGpuClasses<F>(""));
    return classes;
  }();
  return all;
}

ArrayRef<KernelClass> nibble::getKernelClasses(TargetFamily family) {
  switch (family) {
  case TargetFamily::Cpu:
    return getCpuClasses();
  case TargetFamily::Sm90:
    return getGpuClasses<TargetFamily::Sm90>(getSm90Gemms());
  case TargetFamily::Sm100:
    return getGpuClasses<TargetFamily::Sm100>(getSm100Gemms());
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

static bool coversKind(const KernelClass &kernel, StringRef kind) {
  if (kernel.regionKind == kind)
    return true;
  return kernel.regionKind == "*" && kind != "gemm" && kind != "attention";
}

/// What the model or the policy asks for.
static std::string getRequested(nq::RegionOp region,
                                ArrayRef<Product> products) {
  for (Operation &op : region.getBlock())
    if (auto requested = op.getAttrOfType<StringAttr>("nibble.requested"))
      return requested.str();
  if (!products.empty())
    return describeSources(products);
  if (nq::AttentionOp op = getAttention(region)) {
    auto nameOf = [](Value value) {
      auto type = cast<RankedTensorType>(value.getType());
      return getFormatName(classifyOperand(type, /*kDim=*/3)).str();
    };
    std::string q = nameOf(op.getQ()), k = nameOf(op.getK());
    return (q == k ? q : q + " x " + k) +
           (op.getWeightCodes() ? ", p fp8" : "");
  }
  return "";
}

/// How values are multiplied by weights that the graph quantizes.
static std::string explainWeights(const KernelClass &kernel, bool areCodes) {
  StringRef how = "and multiplied in f32";
  if (kernel.math == MathFormat::F16)
    how = !areCodes ? "and multiplied in the type of the values"
          : kernel.family == TargetFamily::Sm100
              ? "and multiplied with those of values as they are"
              : "and multiplied with values as f16, both exactly";
  return ("; weights are divided by the sum of their row and rounded to codes, "
          "as the graph says, " +
          how)
             .str() +
         (kernel.family == TargetFamily::Cpu
              ? ""
              : "; keys are read twice, first for that sum");
}

/// What an attention multiplies, if that is not what its operands are.
static std::string explainAttention(const KernelClass &kernel,
                                    nq::RegionOp region) {
  std::string text = "scores stay on chip, softmax in f32";
  nq::AttentionOp op = getAttention(region);
  if (!op)
    return text;
  if (op.getLengths())
    text += "; keys end at the length that is loaded: bytes and flops are at "
            "most these";
  auto isCode = [](Value value) {
    return isFloat8(cast<RankedTensorType>(value.getType()).getElementType());
  };
  bool areCodes = isCode(op.getV());
  std::string weights =
      op.getWeightCodes() ? explainWeights(kernel, areCodes) : "";
  if (!areCodes)
    return text + weights;
  if (!isCode(op.getQ()))
    return text + "; codes of keys and values are expanded, exactly" + weights;
  text += "; codes of queries and keys are multiplied as they are";
  return text + (weights.empty() ? ", those of values expanded, exactly, as "
                                   "weights have 16 bits"
                                 : weights);
}

/// Why a region without a product is a kernel: what its loops do, or, for a
/// reformat, why it could not be avoided.
static std::string explainLoops(const KernelClass &kernel,
                                nq::RegionOp region) {
  if (region.getKind() == "reformat")
    for (auto op : region.getBlock().getOps<nq::ReformatOp>())
      if (op.getReason())
        return op.getReason()->str();
  if (region.getKind() == "attention")
    return explainAttention(kernel, region);
  if (region.getKind() == "rowwise")
    return "one pass over rows";
  for (auto norm : region.getBlock().getOps<nq::NormOp>())
    if (!norm.getStatistics().empty())
      return "loops over its elements: a product has summed the rows";
  return "loops over its elements";
}

/// What was rounded, if that is known before there is a kernel for it.
static std::string explainRounding(ArrayRef<Product> products) {
  for (const Product &product : products) {
    nq::MatmulOp op = product.op;
    if (auto rounded = op->getAttrOfType<StringAttr>(kRoundedAttr))
      return "permitted by the user; weights are rounded" + rounded.str();
  }
  return "permitted by the user; 275 of 882 products of E2M1 and E4M3 are "
         "rounded";
}

static std::string explainCpuProduct(const KernelClass &kernel,
                                     const Product &product) {
  if (kernel.math == MathFormat::I8)
    return "codes are multiplied as integers, exactly; scales in f32";
  if (isQuantized(product.a) || isQuantized(product.b))
    return "codes are expanded as they are loaded, exactly, and multiplied in "
           "f32";
  return "the CPU multiplies in f32";
}

static std::string explainChoice(const KernelClass &kernel, nq::RegionOp region,
                                 ArrayRef<Product> products) {
  if (products.empty())
    return explainLoops(kernel, region);
  if (kernel.fidelity == Fidelity::Lossy)
    return explainRounding(products);
  if (kernel.family == TargetFamily::Cpu)
    return explainCpuProduct(kernel, products.front());
  switch (kernel.fidelity) {
  case Fidelity::Native:
    return "the matrix unit multiplies these formats";
  case Fidelity::Expanded:
    return ("no matrix instruction of this target multiplies " +
            describeOperands(products) + "; the codes are exact in " +
            getMathName(kernel.math))
        .str();
  case Fidelity::Lossy:
    break;
  }
  return "";
}

/// Four-bit products on a target that has a four-bit unit, expanded: the model
/// asks for speed that it will not get.
static bool isDowngrade(const KernelClass &kernel, const Machine &machine,
                        ArrayRef<Product> products) {
  if (kernel.fidelity == Fidelity::Lossy)
    return true;
  if (kernel.fidelity != Fidelity::Expanded || products.empty())
    return false;
  const Product &first = products.front();
  bool quantizedActivation = isQuantized(first.narrowA);
  if (!quantizedActivation)
    return false; // weights only: expanding is what the model says
  if (isFourBit(first.narrowA) && isFourBit(first.b))
    return machine.hasMath(MathFormat::FP4);
  return !isFourBit(first.narrowA) && !isFourBit(first.b);
}

/// What the user can do in the model about a region that does not get what it
/// asks for.
static std::string suggestChange(ArrayRef<Product> products) {
  if (products.empty())
    return "change the type of the layer in the model";
  const Product &first = products.front();
  int64_t block = first.narrowA == Format::Nvfp4 ? 16 : 32;
  if (first.narrowA == first.b && first.k % block && isFourBit(first.narrowA))
    return "pad K to " + std::to_string(llvm::alignTo(first.k, block)) +
           " in the model";
  if (first.narrowA == Format::F64 || first.b == Format::F64)
    return "cast to f32 in the model";
  return "quantize both operands alike, in a format that the target has";
}

/// The same, and the permission with which there is a kernel, if there is one.
static std::string suggestFix(nq::RegionOp region, const KernelChoice &choice,
                              ArrayRef<Product> products) {
  std::string fix = suggestChange(products);
  if (choice.kernel)
    fix += ", or permit it with --allow-fallback '" +
           getLayerName(region.getLoc()).str() + ":" + choice.chosen + "'";
  return fix;
}

SmallVector<StringRef> nibble::getProductLayers(nq::RegionOp region) {
  SmallVector<StringRef> layers;
  for (Product &product : getProducts(region))
    llvm::append_range(layers, fuse::getSiblingNames(product.op.getLoc()));
  if (layers.empty())
    layers.push_back(getLayerName(region.getLoc()));
  return layers;
}

bool nibble::isPermitted(nq::RegionOp region, StringRef format) {
  auto formats = region->getAttrOfType<ArrayAttr>(kPermittedAttr);
  return formats &&
         llvm::any_of(formats.getAsRange<StringAttr>(),
                      [&](StringAttr attr) { return attr == format; });
}

/// That of the class; of an attention on tensor cores, which take several
/// formats, the wider one of both products.
static MathFormat getMath(const KernelClass &kernel, nq::RegionOp region) {
  nq::AttentionOp op = getAttention(region);
  if (!op || kernel.math != MathFormat::F16)
    return kernel.math;
  auto elementOf = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType();
  };
  Type q = elementOf(op.getQ()), v = elementOf(op.getV());
  if (isFloat8(q) && isFloat8(v) && op.getWeightCodes() &&
      kernel.family == TargetFamily::Sm100)
    return MathFormat::FP8;
  bool isAnyBF16 = v.isBF16() || (isFloat8(v) && q.isBF16());
  return isAnyBF16 ? MathFormat::BF16 : MathFormat::F16;
}

/// "" if `region` can have this class.
static std::string whyNot(const KernelClass &kernel, nq::RegionOp region) {
  std::string why = kernel.whyNot(region);
  if (why.empty() && kernel.fidelity == Fidelity::Lossy &&
      !isPermitted(region, getMathName(kernel.math)))
    why = "it rounds weights, and nobody permitted that";
  return why;
}

/// The class that rounds, for a region that has the permission.
static const KernelClass *findLossy(nq::RegionOp region,
                                    const Machine &machine) {
  for (const KernelClass &kernel : getKernelClasses(machine.family))
    if (kernel.fidelity == Fidelity::Lossy &&
        coversKind(kernel, region.getKind()) && whyNot(kernel, region).empty())
      return &kernel;
  return nullptr;
}

KernelChoice nibble::chooseKernel(nq::RegionOp region, const Machine &machine) {
  KernelChoice choice;
  SmallVector<Product> products = getProducts(region);
  choice.requested = getRequested(region, products);
  const KernelClass *lossy = findLossy(region, machine);
  for (const KernelClass &kernel : getKernelClasses(machine.family)) {
    if (!coversKind(kernel, region.getKind()))
      continue;
    std::string why = whyNot(kernel, region);
    if (why.empty() && kernel.fidelity == Fidelity::Expanded && lossy)
      why = "exact, but " + getMathName(lossy->math).str() +
            " is permitted and multiplies at a higher rate";
    if (!why.empty()) {
      choice.rejected.push_back({kernel.name.str(), why});
      continue;
    }
    choice.kernel = &kernel;
    choice.chosen = getMathName(getMath(kernel, region)).str();
    choice.reason = explainChoice(kernel, region, products);
    choice.asRequested = !isDowngrade(kernel, machine, products);
    break;
  }
  if (!choice.kernel || !choice.asRequested)
    choice.suggestion = suggestFix(region, choice, products);
  return choice;
}

/// What is updated in place is stored as its state is: row-major.
static void fixUpdates(nq::RegionOp region, nq::RequiredLayouts &layouts) {
  for (auto [value, wanted] :
       llvm::zip(region.getYield().getValues(), layouts.results)) {
    auto update = value.getDefiningOp<nq::UpdateOp>();
    if (!update)
      continue;
    wanted = {};
    if (auto old = dyn_cast<BlockArgument>(update.getInput()))
      layouts.operands[old.getArgNumber()] = {};
  }
}

namespace {
/// What the class that a region would get asks for.
struct RegionLayouts
    : nq::LayoutInterface::ExternalModel<RegionLayouts, nq::RegionOp> {
  nq::RequiredLayouts getRequiredLayouts(Operation *op,
                                         StringRef target) const {
    auto region = cast<nq::RegionOp>(op);
    nq::RequiredLayouts layouts = getClassLayouts(region, target);
    fixUpdates(region, layouts);
    return layouts;
  }

  static nq::RequiredLayouts getClassLayouts(nq::RegionOp region,
                                             StringRef target) {
    std::optional<Machine> machine = getMachine(target);
    KernelChoice choice;
    if (machine)
      choice = chooseKernel(region, *machine);
    if (choice.kernel && choice.kernel->layouts)
      return choice.kernel->layouts(region);
    nq::RequiredLayouts layouts;
    bool any = machine && machine->isGpu();
    layouts.operands.assign(region.getInputs().size(), {{}, any});
    layouts.results.assign(region.getNumResults(), {{}, any});
    // CPU kernels read constants in the panels that pack-cpu-weights gave them.
    for (auto [input, wanted] : llvm::zip(region.getInputs(), layouts.operands))
      if (isa_and_present<nq::ConstantOp, arith::ConstantOp>(
              input.getDefiningOp()))
        wanted.any = true;
    return layouts;
  }
};
} // namespace

void nibble::registerKernelLayouts(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, nq::NqDialect *) {
    nq::RegionOp::attachInterface<RegionLayouts>(*context);
  });
}
