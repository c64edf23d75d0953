// What the GEMM classes take: formats, alignment, layouts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmClasses.h"

#include "nibble/KernelSelect/LaneLayout.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/KernelSelect/StreamLayout.h"

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;

//===----------------------------------------------------------------------===//
// Predicates
//===----------------------------------------------------------------------===//

static std::string join(ArrayRef<Format> formats) {
  std::string text;
  for (Format format : formats)
    text += (text.empty() ? "" : " or ") + getFormatName(format).str();
  return text;
}

static std::string nameOf(const Product &product) {
  return describeOperands(product);
}

/// "" if every product has A in `a` and B in `b`.
static std::string whyNotFormats(nq::RegionOp region, ArrayRef<Format> a,
                                 ArrayRef<Format> b) {
  SmallVector<Product> products = getProducts(region);
  if (products.empty())
    return "there is no matrix product";
  for (const Product &p : products)
    if (!llvm::is_contained(a, p.a) || !llvm::is_contained(b, p.b))
      return "operands are " + nameOf(p) + ", the instruction takes " +
             join(a) + " x " + join(b);
  return "";
}

/// 4-bit and block-scaled operands come in whole blocks of K.
static std::string whyNotBlocks(nq::RegionOp region, int64_t block) {
  for (const Product &p : getProducts(region)) {
    if (p.k % block)
      return "K = " + std::to_string(p.k) + " is not a multiple of the block " +
             std::to_string(block);
    if (!p.constantB)
      return "B is computed at run time";
  }
  return "";
}

static std::string orElse(std::string why, function_ref<std::string()> next) {
  return why.empty() ? next() : why;
}

static std::string whyNotNvfp4(nq::RegionOp region) {
  return orElse(whyNotFormats(region, Format::Nvfp4, Format::Nvfp4),
                [&] { return whyNotBlocks(region, 16); });
}
static std::string whyNotMxfp4(nq::RegionOp region) {
  return orElse(whyNotFormats(region, Format::Mxfp4, Format::Mxfp4),
                [&] { return whyNotBlocks(region, 32); });
}
static std::string whyNotMxfp8(nq::RegionOp region) {
  return orElse(
      whyNotFormats(region, Format::Mxfp8, {Format::Mxfp8, Format::Mxfp4}),
      [&] { return whyNotBlocks(region, 32); });
}
static bool hasRoundedWeights(nq::RegionOp region) {
  return llvm::any_of(
      region.getBlock().getOps<nq::MatmulOp>(),
      [](nq::MatmulOp op) { return op->hasAttr(kRoundedAttr); });
}
static std::string whyNotByteFormats(nq::RegionOp region) {
  return whyNotFormats(region, {Format::Fp8Tensor, Format::Fp8Channel},
                       {Format::Fp8Tensor, Format::Fp8Channel});
}
static std::string whyNotFp8(nq::RegionOp region) {
  if (hasRoundedWeights(region))
    return "weights were rounded to fp8: that is a class of its own";
  return whyNotByteFormats(region);
}
std::string nibble::whyNotRounded(nq::RegionOp region) {
  if (!hasRoundedWeights(region))
    return "no weight was rounded to fp8 (round-weights)";
  return whyNotByteFormats(region);
}
/// With promotion of partial sums per 128 along K.
static std::string whyNotFp8Blocks(nq::RegionOp region) {
  return whyNotFormats(region, Format::Fp8Block, Format::Fp8Block);
}
static std::string whyNotF16(nq::RegionOp region) {
  return whyNotFormats(region, Format::F16, Format::F16);
}
static std::string whyNotBf16(nq::RegionOp region) {
  return whyNotFormats(region, Format::BF16, Format::BF16);
}
static std::string whyNotF32(nq::RegionOp region) {
  return whyNotFormats(region, {Format::F32, Format::F16, Format::BF16},
                       {Format::F32, Format::F16, Format::BF16});
}

/// Codes times scales in f32, on the FMA units: everything but doubles.
static std::string whyNotExpandedF32(nq::RegionOp region) {
  for (const Product &p : getProducts(region))
    if (p.a == Format::F64 || p.b == Format::F64)
      return "operands are " + nameOf(p) + ", the kernel multiplies in f32";
  return "";
}

/// Plain weights are left to the tensor cores' other classes earlier than
/// others (kStreamedRows): on an H100, at 64 rows of f16, streaming takes 1.13
/// times as long as cuBLASLt.
static constexpr int64_t kStreamedPlainRows = 16;

static MatrixDims getRightDims(nq::MatmulOp op) {
  int64_t rank = cast<RankedTensorType>(op.getB().getType()).getRank();
  return op.getTransposeB() ? MatrixDims{rank - 2, rank - 1}
                            : MatrixDims{rank - 1, rank - 2};
}

static std::string whyNotStreamed(const Product &p,
                                  ArrayRef<Format> activations) {
  if (!llvm::is_contained(activations, p.a))
    return "activations are " + getFormatName(p.a).str() + ", not " +
           join(activations);
  if (p.m > kStreamedRows)
    return "M = " + std::to_string(p.m) + " is larger than " +
           std::to_string(kStreamedRows);
  if (p.k % 32 || p.k == 0)
    return "K = " + std::to_string(p.k) + " is not a multiple of 32";
  if (!p.constantB)
    return "B is computed at run time";
  std::string why;
  nq::MatmulOp op = p.op;
  getStreamFormat(cast<RankedTensorType>(op.getB().getType()), getRightDims(op),
                  why);
  return why;
}

static std::string whyNotStreamed(nq::RegionOp region,
                                  ArrayRef<Format> activations) {
  SmallVector<Product> products = getProducts(region);
  if (products.empty())
    return "there is no matrix product";
  for (const Product &p : products)
    if (std::string why = whyNotStreamed(p, activations); !why.empty())
      return why;
  return "";
}

/// Plain weights, which other classes multiply, too: those have one kernel for
/// a product and what follows it.
static std::string whyNotStreamedPlain(nq::RegionOp region, Format format) {
  std::string why = orElse(whyNotFormats(region, format, format),
                           [&] { return whyNotStreamed(region, format); });
  if (why.empty() && getProducts(region).front().m > kStreamedPlainRows)
    return "M = " + std::to_string(getProducts(region).front().m) +
           " is larger than " + std::to_string(kStreamedPlainRows);
  auto ops = region.getBlock().without_terminator();
  if (why.empty() && !llvm::hasSingleElement(ops))
    return "more than the product is in the kernel";
  if (why.empty() && !getProducts(region).front().op.getEpilogue().empty())
    return "the product has an epilogue";
  return why;
}

static std::string whyNotStreamedF16(nq::RegionOp region) {
  return whyNotStreamedPlain(region, Format::F16);
}
static std::string whyNotStreamedBf16(nq::RegionOp region) {
  return whyNotStreamedPlain(region, Format::BF16);
}
static std::string whyNotStreamedTo(nq::RegionOp region,
                                    ArrayRef<Format> activations) {
  for (const Product &p : getProducts(region))
    if (!isQuantized(p.b))
      return "operands are " + nameOf(p) + ": nothing is to be expanded";
  return whyNotStreamed(region, activations);
}

/// Activations that are 16-bit numbers, or codes that were stored as such
/// (widen-activations).
static constexpr Format kF16Numbers[] = {Format::F16, Format::F16Codes};
static constexpr Format kBf16Numbers[] = {Format::BF16, Format::Bf16Codes};

/// FP8 in blocks of squares is that of rows before (repeat-scales), next to
/// what was of 16 bits then.
static std::string whyNotLanes(nq::RegionOp region) {
  for (const Product &p : getProducts(region)) {
    nq::MatmulOp op = p.op;
    Type element = getCodeType(cast<RankedTensorType>(op.getA().getType()));
    std::string why;
    if (p.b == Format::Fp8Block &&
        !getFragmentFormat(cast<RankedTensorType>(op.getB().getType()),
                           getRightDims(op), element, why))
      return why;
  }
  return "";
}

/// Weights of 4 or 8 bits next to 16-bit numbers; codes times block scale are
/// exact in f16 (E2M1 x E4M3 has 6 significant bits and exponents from -10 to
/// 11), and with E8M0 scales in bf16. Scales of groups of integers and of FP8
/// blocks are those of sums; those of tensors and channels wait for the
/// epilogue.
static std::string whyNotExpandedF16(nq::RegionOp region) {
  return orElse(whyNotFormats(region, kF16Numbers,
                              {Format::Nvfp4, Format::Nvfp4Wide,
                               Format::Fp8Tensor, Format::Fp8Channel,
                               Format::Fp8Block, Format::Int8, Format::Int4}),
                [&] { return whyNotLanes(region); });
}
static std::string whyNotExpandedBf16(nq::RegionOp region) {
  return orElse(
      whyNotFormats(region, kBf16Numbers,
                    {Format::Nvfp4, Format::Nvfp4Wide, Format::Mxfp4,
                     Format::Mxfp8, Format::Fp8Tensor, Format::Fp8Channel,
                     Format::Fp8Block, Format::Int8, Format::Int4}),
      [&] { return whyNotLanes(region); });
}
/// Mixed: f16 activations with E8M0 weights have no common exact 16-bit format;
/// the weight's scale is applied to partial sums of 32.
static std::string whyNotMixed(nq::RegionOp region) {
  return orElse(
      whyNotFormats(region, kF16Numbers, {Format::Mxfp4, Format::Mxfp8}),
      [&] { return whyNotBlocks(region, 32); });
}

static std::string whyNotStreamedToF16(nq::RegionOp region) {
  return whyNotStreamedTo(region, kF16Numbers);
}
static std::string whyNotStreamedToBf16(nq::RegionOp region) {
  return whyNotStreamedTo(region, kBf16Numbers);
}

/// What the copy engine moves: rows of multiples of 16 bytes.
static std::string whyNotCopied(const Product &p) {
  nq::MatmulOp op = p.op;
  auto result = cast<RankedTensorType>(op.getResult().getType());
  if (p.k * 16 % 128)
    return "K = " + std::to_string(p.k) + " is not a multiple of 8";
  int64_t bits = p.n * result.getElementTypeBitWidth();
  if (bits % 128)
    return "rows of the result are " + std::to_string(bits / 8) +
           " bytes; the copy engine wants multiples of 16";
  return "";
}

/// Codes of 4 bits that become operand A of wgmma in registers.
static std::string whyNotFragments(const Product &p,
                                   ArrayRef<Format> activations,
                                   ArrayRef<Format> weights) {
  if (!llvm::is_contained(activations, p.a) ||
      !llvm::is_contained(weights, p.b))
    return "operands are " + nameOf(p) + ", the kernel takes " +
           join(activations) + " x " + join(weights);
  if (!p.constantB)
    return "B is computed at run time";
  nq::MatmulOp op = p.op;
  Type element = getCodeType(cast<RankedTensorType>(op.getA().getType()));
  std::string why;
  if (!getFragmentFormat(cast<RankedTensorType>(op.getB().getType()),
                         getRightDims(op), element, why))
    return why;
  return whyNotCopied(p);
}

static std::string whyNotFragments(nq::RegionOp region,
                                   ArrayRef<Format> activations,
                                   ArrayRef<Format> weights) {
  SmallVector<Product> products = getProducts(region);
  if (products.empty())
    return "there is no matrix product";
  for (const Product &p : products)
    if (std::string why = whyNotFragments(p, activations, weights);
        !why.empty())
      return why;
  return "";
}

static std::string whyNotFragmentsF16(nq::RegionOp region) {
  return whyNotFragments(region, kF16Numbers,
                         {Format::Nvfp4, Format::Nvfp4Wide, Format::Int4});
}
static std::string whyNotFragmentsBf16(nq::RegionOp region) {
  return whyNotFragments(
      region, kBf16Numbers,
      {Format::Nvfp4, Format::Nvfp4Wide, Format::Mxfp4, Format::Int4});
}
/// 8-bit floats and integers are numbers of both. Scales of rows and of blocks
/// of 128 k are those of sums.
static std::string whyNotBytesF16(nq::RegionOp region) {
  return whyNotFragments(
      region, kF16Numbers,
      {Format::Fp8Tensor, Format::Fp8Channel, Format::Fp8Block, Format::Int8});
}
static std::string whyNotBytesBf16(nq::RegionOp region) {
  return whyNotFragments(region, kBf16Numbers,
                         {Format::Fp8Tensor, Format::Fp8Channel,
                          Format::Fp8Block, Format::Mxfp8, Format::Int8});
}
/// E8M0 has exponents that f16 lacks: they scale sums of 32.
static std::string whyNotFragmentsMixed(nq::RegionOp region) {
  return whyNotFragments(region, kF16Numbers, {Format::Mxfp4, Format::Mxfp8});
}

/// Blocks of 128 k: of a row of the activation, of one or 128 of the weight.
static std::string whyNotPromotedBlocks(const Product &p) {
  nq::MatmulOp op = p.op;
  for (Value operand : {op.getA(), op.getB()}) {
    auto type = cast<RankedTensorType>(operand.getType());
    nq::ScaledType scaled = nq::getScaledElement(type);
    StringRef name = operand == op.getA() ? "activation" : "weight";
    if (type.getRank() != 2)
      return ("the " + name + " has " + Twine(type.getRank()) + " dimensions")
          .str();
    if (!scaled.getScale().isF32() || scaled.getGlobal() ||
        scaled.getZeroPoint())
      return ("scales of the " + name + " are not f32, or there are others")
          .str();
    int64_t rowDim = operand == op.getA() ? 0 : getRightDims(op).row;
    if (operand == op.getA() && scaled.getBlockFor(type.getShape())[rowDim] > 1)
      return "rows of the activation share scales";
  }
  if (p.k % 16)
    return "K = " + std::to_string(p.k) + " is not a multiple of 16";
  return whyNotCopied(p);
}

static std::string whyNotPromoted(nq::RegionOp region) {
  std::string why = whyNotFp8Blocks(region);
  for (const Product &p : getProducts(region))
    why = orElse(why, [&] { return whyNotPromotedBlocks(p); });
  return why;
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

using LayoutFn = nq::LayoutAttr (*)(RankedTensorType, MatrixDims);

static void require(nq::RequiredLayouts &layouts, Value operand,
                    MatrixDims dims, LayoutFn getLayout) {
  auto argument = dyn_cast<BlockArgument>(operand);
  if (!argument)
    return;
  nq::RequiredLayout &wanted = layouts.operands[argument.getArgNumber()];
  wanted.layout = getLayout(cast<RankedTensorType>(operand.getType()), dims);
  wanted.any = false;
}

/// Matrix operands as `getLayout` says; everything else in any layout: the
/// epilogue computes addresses.
static nq::RequiredLayouts getOperandLayouts(nq::RegionOp region,
                                             LayoutFn getLayout) {
  nq::RequiredLayouts layouts;
  layouts.operands.assign(region.getInputs().size(), {{}, true});
  layouts.results.assign(region.getNumResults(), {{}, true});
  for (const Product &p : getProducts(region)) {
    nq::MatmulOp op = p.op;
    int64_t a = cast<RankedTensorType>(op.getA().getType()).getRank();
    int64_t b = cast<RankedTensorType>(op.getB().getType()).getRank();
    require(layouts, op.getA(), {a - 2, a - 1}, getLayout);
    MatrixDims dims = op.getTransposeB() ? MatrixDims{b - 2, b - 1}
                                         : MatrixDims{b - 1, b - 2};
    require(layouts, op.getB(), dims, getLayout);
  }
  return layouts;
}

static nq::LayoutAttr getFragmentsF16(RankedTensorType type, MatrixDims dims) {
  return getFragmentLayout(type, dims, Float16Type::get(type.getContext()));
}
static nq::LayoutAttr getFragmentsBf16(RankedTensorType type, MatrixDims dims) {
  return getFragmentLayout(type, dims, BFloat16Type::get(type.getContext()));
}

static nq::LayoutAttr getLanesF16(RankedTensorType type, MatrixDims dims) {
  return getLaneLayout(type, dims, Float16Type::get(type.getContext()));
}
static nq::LayoutAttr getLanesBf16(RankedTensorType type, MatrixDims dims) {
  return getLaneLayout(type, dims, BFloat16Type::get(type.getContext()));
}

static nq::LayoutAttr getStreamF16(RankedTensorType type, MatrixDims dims) {
  return getStreamLayout(type, dims, Float16Type::get(type.getContext()));
}
static nq::LayoutAttr getStreamBf16(RankedTensorType type, MatrixDims dims) {
  return getStreamLayout(type, dims, BFloat16Type::get(type.getContext()));
}

static nq::LayoutAttr getPitched(RankedTensorType type, MatrixDims dims) {
  // 16-bit matrices may be K-major or not: only the pitch counts.
  int64_t rank = type.getRank();
  return getKMajorLayout(type, {rank - 2, rank - 1});
}

static nq::RequiredLayouts getKMajorOperands(nq::RegionOp region) {
  return getOperandLayouts(region, getKMajorLayout);
}
static nq::RequiredLayouts getPitchedOperands(nq::RegionOp region) {
  return getOperandLayouts(region, getPitched);
}
/// K-major, but for the weights of products.
static nq::RequiredLayouts
getOperandsWith(nq::RegionOp region,
                llvm::function_ref<LayoutFn(const Product &)> ofWeight) {
  nq::RequiredLayouts layouts = getOperandLayouts(region, getKMajorLayout);
  for (const Product &p : getProducts(region)) {
    nq::MatmulOp op = p.op;
    require(layouts, op.getB(), getRightDims(op), ofWeight(p));
  }
  return layouts;
}
static nq::RequiredLayouts getStreamedOperands(nq::RegionOp region) {
  return getOperandsWith(region, [](const Product &p) -> LayoutFn {
    return llvm::is_contained(kBf16Numbers, p.a) ? getStreamBf16 : getStreamF16;
  });
}
static nq::RequiredLayouts getFragmentOperands(nq::RegionOp region) {
  return getOperandsWith(region, [](const Product &p) -> LayoutFn {
    return llvm::is_contained(kBf16Numbers, p.a) ? getFragmentsBf16
                                                 : getFragmentsF16;
  });
}
/// Operands that kernels do not expand yet are stored as they are.
static nq::RequiredLayouts getLaneOperands(nq::RegionOp region) {
  return getOperandsWith(region, [](const Product &p) -> LayoutFn {
    bool isBf16 = llvm::is_contained(kBf16Numbers, p.a);
    nq::MatmulOp op = p.op;
    auto type = cast<RankedTensorType>(op.getB().getType());
    if (!(isBf16 ? getLanesBf16 : getLanesF16)(type, getRightDims(op)))
      return getKMajorLayout;
    return isBf16 ? getLanesBf16 : getLanesF16;
  });
}
static nq::RequiredLayouts getPromotedOperands(nq::RegionOp region) {
  return getOperandsWith(region, [](const Product &) -> LayoutFn {
    return getKMajorScalesLayout;
  });
}
static nq::RequiredLayouts getBlockScaledOperands(nq::RegionOp region) {
  return getOperandLayouts(region, getBlockScaledLayout);
}
/// Codes of 8 bits, next to weights of 8 or 4 bits.
static nq::RequiredLayouts getMx8Operands(nq::RegionOp region) {
  nq::RequiredLayouts layouts = getOperandLayouts(region, getBlockScaledLayout);
  for (const Product &p : getProducts(region)) {
    nq::MatmulOp op = p.op;
    if (p.b == Format::Mxfp4)
      require(layouts, op.getB(), getRightDims(op), getSpreadLayout);
  }
  return layouts;
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

ArrayRef<KernelClass> nibble::getSm100Gemms() {
  constexpr TargetFamily F = TargetFamily::Sm100;
  static constexpr KernelClass kClasses[] = {
      {"gemm.tcgen05.mxf4nvf4", F, "gemm", MathFormat::FP4, Fidelity::Native,
       whyNotNvfp4, getBlockScaledOperands},
      {"gemm.tcgen05.mxf4", F, "gemm", MathFormat::FP4, Fidelity::Native,
       whyNotMxfp4, getBlockScaledOperands},
      {"gemm.tcgen05.mxf8f6f4", F, "gemm", MathFormat::FP8, Fidelity::Native,
       whyNotMxfp8, getMx8Operands},
      {"gemm.tcgen05.f8f6f4", F, "gemm", MathFormat::FP8, Fidelity::Native,
       whyNotFp8, getKMajorOperands},
      {"gemm.tcgen05.f8f6f4.block128", F, "gemm", MathFormat::FP8,
       Fidelity::Native, whyNotFp8Blocks, getPromotedOperands},
      {"gemm.tcgen05.f16", F, "gemm", MathFormat::F16, Fidelity::Native,
       whyNotF16, getKMajorOperands},
      {"gemm.tcgen05.bf16", F, "gemm", MathFormat::BF16, Fidelity::Native,
       whyNotBf16, getKMajorOperands},
      {"gemm.tcgen05.f16.expand", F, "gemm", MathFormat::F16,
       Fidelity::Expanded, whyNotExpandedF16, getLaneOperands},
      {"gemm.tcgen05.bf16.expand", F, "gemm", MathFormat::BF16,
       Fidelity::Expanded, whyNotExpandedBf16, getLaneOperands},
      {"gemm.tcgen05.f16.promote32", F, "gemm", MathFormat::F16,
       Fidelity::Expanded, whyNotMixed, getLaneOperands},
      {"gemm.tcgen05.f8f6f4.lossy", F, "gemm", MathFormat::FP8, Fidelity::Lossy,
       whyNotRounded, getKMajorOperands},
      {"gemm.simt.f32", F, "gemm", MathFormat::F32, Fidelity::Native, whyNotF32,
       getPitchedOperands},
      {"gemm.simt.expand", F, "gemm", MathFormat::F32, Fidelity::Expanded,
       whyNotExpandedF32, getPitchedOperands},
  };
  return kClasses;
}

ArrayRef<KernelClass> nibble::getSm90Gemms() {
  constexpr TargetFamily F = TargetFamily::Sm90;
  static constexpr KernelClass kClasses[] = {
      {"gemm.stream.f16", F, "gemm", MathFormat::F16, Fidelity::Native,
       whyNotStreamedF16, getStreamedOperands},
      {"gemm.stream.bf16", F, "gemm", MathFormat::BF16, Fidelity::Native,
       whyNotStreamedBf16, getStreamedOperands},
      {"gemm.stream.f16.expand", F, "gemm", MathFormat::F16, Fidelity::Expanded,
       whyNotStreamedToF16, getStreamedOperands},
      {"gemm.stream.bf16.expand", F, "gemm", MathFormat::BF16,
       Fidelity::Expanded, whyNotStreamedToBf16, getStreamedOperands},
      {"gemm.wgmma.e4m3", F, "gemm", MathFormat::FP8, Fidelity::Native,
       whyNotFp8, getKMajorOperands},
      {"gemm.wgmma.e4m3.block128", F, "gemm", MathFormat::FP8, Fidelity::Native,
       whyNotPromoted, getPromotedOperands},
      {"gemm.wgmma.f16", F, "gemm", MathFormat::F16, Fidelity::Native,
       whyNotF16, getKMajorOperands},
      {"gemm.wgmma.bf16", F, "gemm", MathFormat::BF16, Fidelity::Native,
       whyNotBf16, getKMajorOperands},
      {"gemm.wgmma.f16.expand", F, "gemm", MathFormat::F16, Fidelity::Expanded,
       whyNotFragmentsF16, getFragmentOperands},
      {"gemm.wgmma.bf16.expand", F, "gemm", MathFormat::BF16,
       Fidelity::Expanded, whyNotFragmentsBf16, getFragmentOperands},
      {"gemm.wgmma.f16.expand8", F, "gemm", MathFormat::F16, Fidelity::Expanded,
       whyNotBytesF16, getFragmentOperands},
      {"gemm.wgmma.bf16.expand8", F, "gemm", MathFormat::BF16,
       Fidelity::Expanded, whyNotBytesBf16, getFragmentOperands},
      {"gemm.wgmma.f16.promote32", F, "gemm", MathFormat::F16,
       Fidelity::Expanded, whyNotFragmentsMixed, getFragmentOperands},
      {"gemm.wgmma.e4m3.lossy", F, "gemm", MathFormat::FP8, Fidelity::Lossy,
       whyNotRounded, getKMajorOperands},
      {"gemm.simt.f32", F, "gemm", MathFormat::F32, Fidelity::Native, whyNotF32,
       getPitchedOperands},
      {"gemm.simt.expand", F, "gemm", MathFormat::F32, Fidelity::Expanded,
       whyNotExpandedF32, getPitchedOperands},
  };
  return kClasses;
}
