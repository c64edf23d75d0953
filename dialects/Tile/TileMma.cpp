// Which matrix products the targets have.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Source: PTX ISA 9.1, "wgmma: matrix shape" and "tcgen05: matrix and data
// movement shape" (cta_group::1, no .ws, dense). Both allow every N that is a
// multiple of 8 up to 256, which swizzled slots are anyway; K comes in steps of
// 32 bytes, the shortest swizzle.
#include "nibble/Dialect/Tile/TileOps.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;

static bool isFloat8(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(type);
}

/// Products without block scales that both families have.
static bool isPlainProduct(Type a, Type b) {
  return (a.isF16() && b.isF16()) || (a.isBF16() && b.isBF16()) ||
         (isFloat8(a) && isFloat8(b));
}

/// Elements along K that share a scale, or 0 if there is no such product.
static int64_t getScaleBlock(Type a, Type b, Type scale) {
  bool isFp4 = isa<Float4E2M1FNType>(a) && isa<Float4E2M1FNType>(b);
  if (isa<Float8E4M3FNType>(scale))
    return isFp4 ? 16 : 0;
  auto isSmall = [](Type type) {
    return isFloat8(type) || isa<Float4E2M1FNType>(type);
  };
  return isSmall(a) && isSmall(b) ? 32 : 0;
}

/// Next to 8 bits, elements of 4 bits take a byte.
static LogicalResult verifySpread(MmaOp op, const Target &target) {
  auto a = dyn_cast<SlotType>(op.getA().getType());
  SlotType b = op.getB().getType();
  if (!a || a.getElementBits() == b.getElementBits())
    return success();
  return op.emitOpError() << target.name << " multiplies " << a << " and " << b
                          << " where those of 4 bits are spread";
}

static InFlightDiagnostic refuse(MmaOp op, const Target &target) {
  return op.emitOpError() << target.name << " ";
}

static LogicalResult verifyElements(MmaOp op, const Target &target,
                                    StringRef hint) {
  Type a = op.getElementA(), b = op.getB().getType().getElement();
  Type acc = op.getAcc().getType().getElement();
  if (!isPlainProduct(a, b))
    return refuse(op, target) << "has no mma of " << a << " and " << b << hint;
  if (acc.isF16() && a.isBF16())
    return refuse(op, target) << "accumulates bf16 in f32 only";
  return success();
}

/// Accumulators live in the registers of the role's warps.
static LogicalResult verifyRegisters(MmaOp op, const Target &target,
                                     RoleOp role) {
  AccType acc = op.getAcc().getType();
  int64_t rows = role.getTeamWarps() / 4 * 64;
  if (acc.getShape()[0] % rows)
    return refuse(op, target)
           << "gives each warpgroup of role @" << role.getSymName()
           << " multiples of 64 rows: M = " << acc.getShape()[0]
           << " is not a multiple of " << rows;
  int64_t bits = acc.getElement().getIntOrFloatBitWidth();
  int64_t needed = acc.getShape()[0] * acc.getShape()[1] * bits / 32 /
                   (role.getTeamWarps() * 32);
  int64_t have = std::min<int64_t>(role.getRegisters().value_or(255), 255);
  if (needed < have)
    return success();
  return op.emitOpError() << "the accumulator takes " << needed << " of the "
                          << have << " registers of a thread of role @"
                          << role.getSymName()
                          << "; make the tile smaller or use more warpgroups";
}

static LogicalResult verifyWgmma(MmaOp op, const Target &target) {
  RoleOp role = getRole(op);
  if (!role.isWarpgroups())
    return refuse(op, target)
           << "multiplies in whole warpgroups: role @" << role.getSymName()
           << " has warps " << role.getFirstWarp() << " to "
           << role.getFirstWarp() + role.getWarps() - 1;
  if (!op.getScales().empty())
    return refuse(op, target) << "has no mma with block scales";
  if (failed(verifyElements(op, target, "; expand 4-bit weights first")))
    return failure();
  return verifyRegisters(op, target, role);
}

static LogicalResult verifyScales(MmaOp op, const Target &target) {
  Type a = op.getElementA(), b = op.getB().getType().getElement();
  if (op.getScales().size() != 2)
    return op.emitOpError() << "has scales for " << op.getScales().size()
                            << " operands; A and B have each their own";
  ScaleTileType types[] = {cast<ScaleTileType>(op.getScales()[0].getType()),
                           cast<ScaleTileType>(op.getScales()[1].getType())};
  int64_t block = getScaleBlock(a, b, types[0].getElement());
  if (!block || types[0].getElement() != types[1].getElement())
    return refuse(op, target)
           << "has no mma of " << a << " and " << b << " with scales of "
           << types[0].getElement() << " and " << types[1].getElement();
  if (failed(verifySpread(op, target)))
    return failure();
  Type operands[] = {op.getA().getType(), op.getB().getType()};
  ArrayRef<int64_t> shapes[] = {op.getShapeA(), op.getB().getType().getShape()};
  // Each block of a pair has the scales of all rows of B.
  int64_t shares[] = {1, getKernel(op).getPair() ? 2 : 1};
  for (auto [operand, shape, scales, share] :
       llvm::zip(operands, shapes, types, shares)) {
    int64_t rows = llvm::alignTo(shape[0] * share, 128);
    int64_t count = shape[1] / block;
    if (scales.getShape() != ArrayRef({rows, count}))
      return op.emitOpError()
             << operand << " needs " << rows << "x" << count
             << " scales (one per " << block
             << " along K, rows padded to 128), not " << scales;
  }
  if (!op.getAcc().getType().getElement().isF32())
    return refuse(op, target) << "accumulates scaled products in f32 only";
  return success();
}

/// PTX ISA: M = 256 over two blocks, N in steps of 32. Operands in tensor
/// memory would need a barrier of both blocks.
static LogicalResult verifyPair(MmaOp op, const Target &target) {
  ArrayRef<int64_t> shape = op.getAcc().getType().getShape();
  if (shape[0] != 128 || shape[1] % 32 || !isa<SlotType>(op.getA().getType()))
    return refuse(op, target) << "multiplies in a pair of blocks 2 x 128 rows "
                                 "of shared memory and "
                                 "multiples of 32 columns";
  return success();
}

static LogicalResult verifyTcgen05(MmaOp op, const Target &target) {
  bool isScaled = !op.getScales().empty();
  int64_t m = op.getAcc().getType().getShape()[0];
  if (m != 128 && (m != 64 || isScaled))
    return refuse(op, target)
           << "has no mma of " << m << " rows (M) "
           << (isScaled ? "with block scales; 128" : "here; 64 or 128");
  if (getKernel(op).getPair() && failed(verifyPair(op, target)))
    return failure();
  if (isScaled)
    return verifyScales(op, target);
  return verifyElements(op, target, "; 4-bit operands need block scales");
}

/// What holds on every target.
static LogicalResult verifyOperands(MmaOp op) {
  SlotType b = op.getB().getType();
  ArrayRef<int64_t> a = op.getShapeA(), acc = op.getAcc().getType().getShape();
  int64_t blocks = getKernel(op).getPair() ? 2 : 1;
  if (a.size() != 2 || b.getShape().size() != 2 || a[0] != acc[0] ||
      b.getShape()[0] * blocks != acc[1] || a[1] != b.getShape()[1])
    return op.emitOpError()
           << "A " << op.getA().getType() << " (M x K), B " << b
           << (blocks > 1 ? " (N / 2 x K)" : " (N x K)") << " and accumulator "
           << op.getAcc().getType() << " (M x N) do not fit each other";
  for (Value operand : {op.getA(), Value(op.getB())}) {
    if (operand.getDefiningOp<ExpandOp>())
      continue;
    auto slot = dyn_cast<SlotType>(operand.getType());
    if (slot && !slot.getSwizzle())
      return op.emitOpError()
             << slot << ": operands of an mma are stored with a swizzle";
    if (!operand.getDefiningOp<WaitOp>())
      return op.emitOpError() << "operands come from a stage that was waited "
                                 "for (tile.wait)";
  }
  if (!op.getAcc().hasOneUse())
    return op.emitOpError() << "updates its accumulator in place, and that "
                               "value has other uses";
  return success();
}

Type MmaOp::getElementA() {
  if (auto expanded = dyn_cast<ExpandedType>(getA().getType()))
    return expanded.getElement();
  if (auto operand = dyn_cast<OperandType>(getA().getType()))
    return operand.getElement();
  return cast<SlotType>(getA().getType()).getElement();
}

ArrayRef<int64_t> MmaOp::getShapeA() {
  if (auto expanded = dyn_cast<ExpandedType>(getA().getType()))
    return expanded.getShape();
  if (auto operand = dyn_cast<OperandType>(getA().getType()))
    return operand.getShape();
  return cast<SlotType>(getA().getType()).getShape();
}

LogicalResult MmaOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target || failed(verifyOperands(*this)))
    return failure();
  return target->hasTensorMemory() ? verifyTcgen05(*this, *target)
                                   : verifyWgmma(*this, *target);
}
