// What a region multiplies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/Product.h"

#include "nibble/Transforms/Fuse/Regions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <algorithm>

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;

StringRef nibble::getFormatName(Format format) {
  static constexpr StringLiteral kNames[] = {
      "f64",           "f32",       "f16",
      "bf16",          "fp8",       "fp8 per channel",
      "fp8 per block", "nvfp4",     "nvfp4 per 32",
      "mxfp4",         "mxfp8",     "int4",
      "int8",          "f16 codes", "bf16 codes",
      "other"};
  return kNames[int(format)];
}

bool nibble::isFourBit(Format format) {
  return format == Format::Nvfp4 || format == Format::Nvfp4Wide ||
         format == Format::Mxfp4 || format == Format::Int4;
}

bool nibble::isQuantized(Format format) { return format >= Format::Fp8Tensor; }

static Format classifyPlain(Type type) {
  if (type.isF64())
    return Format::F64;
  if (type.isF32())
    return Format::F32;
  if (type.isF16())
    return Format::F16;
  return type.isBF16() ? Format::BF16 : Format::Other;
}

/// True if blocks have `extent` along K and 1 elsewhere.
static bool isAlongK(ArrayRef<int64_t> block, int64_t kDim, int64_t extent) {
  for (auto [d, size] : llvm::enumerate(block))
    if (size != (int64_t(d) == kDim ? extent : 1))
      return false;
  return true;
}

static Format classifyFp8(nq::ScaledType scaled, RankedTensorType type,
                          int64_t kDim) {
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  if (isa<Float8E8M0FNUType>(scaled.getScale()))
    return isAlongK(block, kDim, 32) ? Format::Mxfp8 : Format::Other;
  if (scaled.isPerTensor())
    return Format::Fp8Tensor;
  if (isAlongK(block, kDim, type.getDimSize(kDim)))
    return Format::Fp8Channel;
  bool rows = isAlongK(block, kDim, 128);
  bool square = llvm::all_of(block, [](int64_t b) { return b == 128; });
  return rows || square ? Format::Fp8Block : Format::Other;
}

Type nibble::getCodeType(RankedTensorType type) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  return scaled ? scaled.getStorage() : type.getElementType();
}

/// Codes that were widened: with the same scale for all of k.
static Format classifyWide(nq::ScaledType scaled, RankedTensorType type,
                           int64_t kDim) {
  if (scaled.getGlobal() ||
      scaled.getBlockFor(type.getShape())[kDim] < type.getDimSize(kDim))
    return Format::Other;
  return scaled.getStorage().isF16() ? Format::F16Codes : Format::Bf16Codes;
}

Format nibble::classifyOperand(RankedTensorType type, int64_t kDim) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled)
    return classifyPlain(type.getElementType());
  if (auto integer = dyn_cast<IntegerType>(scaled.getStorage()))
    return integer.getWidth() == 4 ? Format::Int4 : Format::Int8;
  if (scaled.getStorageBits() == 16)
    return classifyWide(scaled, type, kDim);
  if (scaled.getStorageBits() == 8)
    return classifyFp8(scaled, type, kDim);
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  if (isa<Float8E8M0FNUType>(scaled.getScale()))
    return isAlongK(block, kDim, 32) ? Format::Mxfp4 : Format::Other;
  if (!isa<Float8E4M3FNType>(scaled.getScale()))
    return Format::Other;
  if (isAlongK(block, kDim, 16))
    return Format::Nvfp4;
  return isAlongK(block, kDim, 32) ? Format::Nvfp4Wide : Format::Other;
}

static bool isConstant(Value value) {
  Operation *producer = fuse::getSource(value).getDefiningOp();
  return isa_and_present<nq::ConstantOp, arith::ConstantOp>(producer);
}

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Dimension of B along K, or of A.
static int64_t getKDim(nq::MatmulOp op, bool isB) {
  int64_t rank = tensorOf(isB ? op.getB() : op.getA()).getRank();
  return isB && !op.getTransposeB() ? rank - 2 : rank - 1;
}

/// "nvfp4", or "scaled<f4E2M1FN, f16 per 1x16>" for what has no name.
static std::string describeType(RankedTensorType type, int64_t kDim) {
  Format format = classifyOperand(type, kDim);
  if (format != Format::Other)
    return getFormatName(format).str();
  std::string text;
  llvm::raw_string_ostream(text) << type.getElementType();
  return StringRef(text).starts_with("!nq.") ? text.substr(4) : text;
}

static std::string describePair(nq::MatmulOp op,
                                function_ref<RankedTensorType(Value)> typeOf) {
  std::string a = describeType(typeOf(op.getA()), getKDim(op, false));
  std::string b = describeType(typeOf(op.getB()), getKDim(op, true));
  return a == b ? a : a + " x " + b;
}

/// What makes a value, in this region or in that of its producer; reshapes and
/// changes of layout keep what it is.
static Value getMaker(Value value) {
  while (true) {
    Value source = fuse::getSource(value);
    Operation *op = source.getDefiningOp();
    if (auto region = dyn_cast_if_present<nq::RegionOp>(op))
      source = region.getYield()
                   .getValues()[cast<OpResult>(source).getResultNumber()];
    else if (isa_and_present<nq::ReformatOp, tensor::ExpandShapeOp,
                             tensor::CollapseShapeOp>(op))
      source = op->getOperand(0);
    if (source == value)
      return value;
    value = source;
  }
}

/// Type of a value before its codes were widened.
static RankedTensorType getNarrowType(Value value) {
  RankedTensorType type = tensorOf(value);
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled || scaled.getStorageBits() != 16)
    return type;
  auto widen = getMaker(value).getDefiningOp<nq::WidenOp>();
  if (!widen)
    return type;
  // Blocks count from the last dimension.
  return RankedTensorType::get(type.getShape(),
                               tensorOf(widen.getInput()).getElementType());
}

static Product describe(nq::MatmulOp op) {
  auto a = cast<RankedTensorType>(op.getA().getType());
  auto b = cast<RankedTensorType>(op.getB().getType());
  int64_t rows = ShapedType::getNumElements(
      cast<RankedTensorType>(op.getResult().getType()).getShape().drop_back());
  Product product{
      op,
      classifyOperand(a, a.getRank() - 1),
      classifyOperand(b, b.getRank() - (op.getTransposeB() ? 1 : 2)),
      classifyOperand(getNarrowType(op.getA()), a.getRank() - 1),
      isConstant(op.getB()),
      rows,
      op.getN(),
      op.getK(),
      1};
  if (b.getRank() > 2) {
    product.m = op.getM();
    product.batch = product.m ? rows / product.m : 0;
  }
  return product;
}

SmallVector<Product> nibble::getProducts(nq::RegionOp region) {
  SmallVector<Product> products;
  for (auto op : region.getBlock().getOps<nq::MatmulOp>())
    products.push_back(describe(op));
  return products;
}

std::string nibble::describeOperands(ArrayRef<Product> products) {
  return products.empty() ? ""
                          : describePair(products.front().op, getNarrowType);
}

/// Type of a value before it was dequantized, in this region or in that of its
/// producer.
static RankedTensorType getSourceType(Value value) {
  Value source = fuse::getSource(value);
  if (auto region = source.getDefiningOp<nq::RegionOp>())
    source =
        region.getYield().getValues()[cast<OpResult>(source).getResultNumber()];
  if (auto dequantize = source.getDefiningOp<nq::DequantizeOp>())
    return tensorOf(dequantize.getInput());
  return getNarrowType(value);
}

std::string nibble::describeSources(ArrayRef<Product> products) {
  return products.empty() ? ""
                          : describePair(products.front().op, getSourceType);
}

int64_t nibble::getFlops(nq::RegionOp region) {
  int64_t flops = 0;
  for (const Product &p : getProducts(region))
    flops += 2 * p.batch * p.m * p.n * p.k;
  for (auto op : region.getBlock().getOps<nq::AttentionOp>()) {
    auto q = cast<RankedTensorType>(op.getQ().getType());
    auto v = cast<RankedTensorType>(op.getV().getType());
    int64_t scores =
        q.getDimSize(0) * q.getDimSize(1) * q.getDimSize(2) * v.getDimSize(2);
    flops += 2 * scores * (q.getDimSize(3) + v.getDimSize(3));
  }
  for (auto op : region.getBlock().getOps<nq::StatisticsOp>())
    flops += op.getFlops();
  return flops;
}

static int64_t getBytes(Value value) {
  return nq::getStorageRegions(cast<RankedTensorType>(value.getType())).total;
}

/// Elements that a use reads, or -1: all of them.
static int64_t getElementsRead(OpOperand &use) {
  Operation *user = use.getOwner();
  // Made in place: what is not replaced stays where it is.
  if (auto update = dyn_cast<nq::UpdateOp>(user);
      update && &use == &update.getInputMutable())
    return 0;
  if (isa<tensor::ExtractSliceOp>(user))
    return tensorOf(user->getResult(0)).getNumElements();
  // A look-up reads one element per point of the loops around it.
  auto generic = user->getParentOfType<linalg::GenericOp>();
  if (!isa<tensor::ExtractOp>(user) || !generic)
    return -1;
  int64_t points = 1;
  for (int64_t extent : generic.getStaticLoopRanges())
    points *= extent;
  return points;
}

static int64_t getBytesRead(BlockArgument argument) {
  RankedTensorType type = tensorOf(argument);
  int64_t all = getBytes(argument), elements = 0;
  if (nq::getScaledElement(type))
    return all;
  for (OpOperand &use : argument.getUses()) {
    int64_t read = getElementsRead(use);
    if (read < 0)
      return all;
    elements += read;
  }
  return std::min(all, nq::getPlainBytes(type.getElementType(), elements));
}

/// Of an update in place, the new rows.
static int64_t getBytesWritten(Value yielded) {
  if (auto update = yielded.getDefiningOp<nq::UpdateOp>();
      update && isa<BlockArgument>(update.getInput()))
    return getBytes(update.getRows());
  return getBytes(yielded);
}

Traffic nibble::getTraffic(nq::RegionOp region) {
  Traffic traffic;
  for (BlockArgument argument : region.getBlock().getArguments())
    traffic.read += getBytesRead(argument);
  for (Value value : region.getYield().getValues())
    traffic.written += getBytesWritten(value);
  return traffic;
}
