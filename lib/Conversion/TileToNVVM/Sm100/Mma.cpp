// Products of matrices in shared memory, into tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mma.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;
using NVVM::MMABlockScaleKind;

/// Bytes of 128 x 4 scales.
static constexpr int64_t kScaleTileBytes = 512;

static Type getElementB(tile::MmaOp op) {
  return op.getB().getType().getElement();
}

/// Both operands have two elements in a byte.
static bool isPacked(tile::MmaOp op) {
  return op.getB().getType().getElementBits() == 4;
}

/// Along K, of one instruction.
static int64_t getScalesPerStep(tile::MmaOp op) {
  auto scales = cast<tile::ScaleTileType>(op.getScales()[0].getType());
  int64_t stepK = kStepBytes * 8 / op.getB().getType().getElementBits();
  return scales.getShape()[1] * stepK / op.getShapeA()[1];
}

static uint32_t getPlainDescriptor(tile::MmaOp op, bool pair) {
  ArrayRef<int64_t> shape = op.getAcc().getType().getShape();
  return getProductForm(op.getElementA(), getElementB(op),
                        shape[0] * (pair ? 2 : 1), shape[1]);
}

/// Kinds with block scales; `id` is the first of the 4 scales of a column that
/// the instruction uses.
static uint32_t getScaledDescriptor(tile::MmaOp op, uint32_t id, bool pair) {
  ArrayRef<int64_t> shape = op.getAcc().getType().getShape();
  auto scales = cast<tile::ScaleTileType>(op.getScales()[0].getType());
  bool isE8M0 = isa<Float8E8M0FNUType>(scales.getElement());
  bool packed = isPacked(op);
  uint32_t a = packed ? 1 : getTypeCode(op.getElementA());
  uint32_t b = packed ? 1 : getTypeCode(getElementB(op));
  return id << 4 | a << 7 | b << 10 | uint32_t(shape[1] >> 3) << 17 |
         uint32_t(isE8M0) << 23 | uint32_t(shape[0] >> 7) << (pair ? 28 : 27) |
         id << 29;
}

LogicalResult Mma::check(tile::MmaOp op) {
  tile::AccType acc = op.getAcc().getType();
  if (op.isExpanded())
    return refuse(op) << "operand A from codes";
  if (!acc.getElement().isF32())
    return refuse(op) << "sums in " << acc.getElement() << "; f32 works";
  if (acc.getShape()[0] != 128)
    return refuse(op) << "tiles of " << acc.getShape()[0] << " rows; 128 work";
  return success();
}

/// Descriptors of a stage differ by what is added to their first one: one
/// instruction, as text, since LLVM would put address and form together anew
/// for each, or write a sum where tcgen05.mma takes a register.
Value Mma::getDescriptor(const Slot &slot, uint64_t form, int64_t bytes) {
  Value memory = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int stage =
      code.add(code.shr(memory, 4),
               code.mul(slot.stage, slot.ring->layout->stageBytes >> 4));
  Value first = LLVM::OrOp::create(code, code.extend64(stage),
                                   code.constant(code.i64(), int64_t(form)));
  std::string more = std::to_string((slot.offset + bytes) >> 4);
  return code.emitAsm("add.s64 $0, $1, " + more + ";", "=l,l", {code.i64()},
                      {first}, /*hasEffects=*/false)[0];
}

/// Rows of the swizzle's bytes, 8 of them one behind the other; K is
/// contiguous.
Value Mma::getMatrix(const Slot &slot, tile::SlotType type, int64_t bytes) {
  int64_t swizzle = type.getSwizzle();
  return getDescriptor(slot, getMatrixForm(swizzle, 8 * swizzle), bytes);
}

Value Mma::getScale(const Scales &scales, int64_t group) {
  return kernel.getAddress(code.add(scales.column, group * 4 * scales.tiles));
}

void Mma::multiplyScaled(const Product &product, int64_t bytes, Value left,
                         Value right, Value adds, Collector keep) {
  MLIRContext *context = code.getContext();
  int64_t perStep = getScalesPerStep(product.op),
          first = bytes / kStepBytes * perStep;
  auto kind = !isPacked(product.op) ? MMABlockScaleKind::MXF8F6F4
              : perStep == 4        ? MMABlockScaleKind::MXF4NVF4
                                    : MMABlockScaleKind::MXF4;
  auto block = perStep == 4 ? NVVM::Tcgen05MMABlockScale::BLOCK16
                            : NVVM::Tcgen05MMABlockScale::BLOCK32;
  uint32_t form = getScaledDescriptor(product.op, first % 4, kernel.isPair());
  NVVM::Tcgen05MMABlockScaleOp::create(
      code, NVVM::MMABlockScaleKindAttr::get(context, kind),
      getGroup(code, kernel.isPair()),
      NVVM::Tcgen05MMABlockScaleAttr::get(context, block),
      NVVM::Tcgen05MMACollectorOpAttr::get(context, keep),
      kernel.getAddress(product.acc.column), left, right,
      code.get(int32_t(form)), adds, getScale(product.scales[0], first / 4),
      getScale(product.scales[1], first / 4));
}

/// 32 bytes of K, which are 8 columns where A is in tensor memory.
void Mma::multiplyStep(const Product &product, int64_t bytes, Value adds,
                       Collector keep) {
  tile::MmaOp op = product.op;
  auto typeA = dyn_cast<tile::SlotType>(op.getA().getType());
  Value left = typeA
                   ? getMatrix(product.a, typeA, bytes)
                   : kernel.getAddress(code.add(product.columnOfA, bytes / 4));
  Value right = getMatrix(product.b, op.getB().getType(), bytes);
  if (!product.scales.empty())
    return multiplyScaled(product, bytes, left, right, adds, keep);
  sm100::multiply(code, op.getElementA(), kernel.getAddress(product.acc.column),
                  left, right, getPlainDescriptor(op, kernel.isPair()), adds,
                  kernel.isPair(), keep);
}

SmallVector<Acc> Mma::multiply(ArrayRef<Product> products) {
  auto getKeep = [&](size_t i) {
    return products.size() == 1       ? Collector::DISCARD
           : i == 0                   ? Collector::FILL
           : i + 1 == products.size() ? Collector::LASTUSE
                                      : Collector::USE;
  };
  Value always = code.constant(code.getI1Type(), 1);
  tile::MmaOp op = products[0].op;
  int64_t rowBytes = op.getB().getType().getRowBytes();
  for (int64_t bytes = 0; bytes < rowBytes; bytes += kStepBytes)
    for (auto [i, product] : llvm::enumerate(products))
      multiplyStep(product, bytes, bytes ? always : product.acc.adds,
                   getKeep(i));
  return llvm::map_to_vector(products, [&](const Product &product) {
    return Acc{product.acc.column, always};
  });
}

/// Tiles of 128 x 4, each a descriptor without swizzle: 8 rows of 16 bytes are
/// 128 bytes apart. Tiles of rows are side by side in tensor memory.
Scales Mma::copyScales(tile::ScalesOp op, ArrayRef<Slot> slots, Int from) {
  MLIRContext *context = code.getContext();
  const uint64_t form = getMatrixForm(/*swizzle=*/16, 128);
  Int begin = kernel.tensor.scales.lookup(op);
  int64_t tiles = op.getRowTiles(),
          along = op.getResult().getType().getShape()[1] / 4, row = 0;
  for (auto [value, slot] : llvm::zip(op.getSlots(), slots)) {
    int64_t rows = cast<tile::SlotType>(value.getType()).getShape()[0];
    for (int64_t r = 0; r < rows; ++r, ++row)
      for (int64_t k = 0; k < along; ++k) {
        Value descriptor =
            getDescriptor(slot, form, (r * along + k) * kScaleTileBytes);
        NVVM::Tcgen05CpOp::create(
            code,
            NVVM::Tcgen05CpShapeAttr::get(context,
                                          NVVM::Tcgen05CpShape::SHAPE_32x128b),
            getGroup(code, kernel.isPair()),
            NVVM::Tcgen05CpMulticastAttr::get(context,
                                              NVVM::Tcgen05CpMulticast::WARPX4),
            NVVM::Tcgen05CpSrcFormatAttr(),
            kernel.getAddress(code.add(begin, 4 * (k * tiles + row))),
            descriptor);
      }
  }
  return {code.add(begin, code.shr(from, 5)), tiles};
}
