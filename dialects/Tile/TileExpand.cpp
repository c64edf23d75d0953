// Operands that are expanded in registers, and sums that are scaled.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace nibble::tile;

//===----------------------------------------------------------------------===//
// tile.expand
//===----------------------------------------------------------------------===//

/// E2M1 moved to the exponent and mantissa of f16 is 2^-14 of its value; times
/// 2^7 of an E4M3 scale the product has bits down to 2^-17 and is below 2^5. In
/// bf16 2^-126, times 2^118 of the scale. Codes times 2^126 and E8M0 scales are
/// exact in bf16. Integers and 8-bit floats are numbers of both.
std::optional<int64_t> ExpandOp::getExactExponent(Type format, Type scale,
                                                  Type element) {
  bool isBf16 = element.isBF16();
  if (format.isInteger())
    return scale ? std::nullopt : std::optional<int64_t>(0);
  if (isa<Float8E4M3FNType, Float8E5M2Type>(format)) {
    bool isExact = !scale || (isa<Float8E8M0FNUType>(scale) && isBf16);
    return isExact ? std::optional<int64_t>(0) : std::nullopt;
  }
  if (!isa<Float4E2M1FNType>(format))
    return std::nullopt;
  if (!scale)
    return isBf16 ? 0 : -14;
  if (isa<Float8E4M3FNType>(scale))
    return isBf16 ? -8 : -7;
  if (isa<Float8E8M0FNUType>(scale) && isBf16)
    return 0;
  return std::nullopt;
}

/// A slot of a stage that was waited for, of this shape.
static LogicalResult verifySlot(Operation *op, Value value, StringRef what,
                                ArrayRef<int64_t> shape) {
  auto slot = cast<SlotType>(value.getType());
  if (!value.getDefiningOp<WaitOp>())
    return op->emitOpError()
           << "reads " << what << " that were not waited for (tile.wait)";
  if (slot.getShape() == shape && !slot.getSwizzle())
    return success();
  return op->emitOpError() << what << " come from a slot of " << shape[0] << "x"
                           << shape[1] << "x" << shape[2]
                           << " without swizzle, not " << slot;
}

static LogicalResult verifyExpandScales(ExpandOp op, ArrayRef<int64_t> shape) {
  int64_t per = op.getPer().value_or(0);
  if (per != 16 && per != 32)
    return op.emitOpError()
           << "has a scale per " << per << " elements of K; 16 and 32 work";
  return verifySlot(op, op.getScales(), "scales",
                    {shape[0] / 16, 1, 16 * shape[1] / per});
}

LogicalResult ExpandOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (target->hasTensorMemory())
    return emitOpError() << target->name
                         << " takes no operand of an mma from registers";
  ExpandedType type = getResult().getType();
  ArrayRef<int64_t> shape = type.getShape();
  if (shape[0] % 64 || (shape[1] != 32 && shape[1] != 64))
    return emitOpError() << "makes " << type
                         << "; multiples of 64 rows of 32 or 64 elements work";
  Type scale;
  if (getScales())
    scale = getScales().getType().getElement();
  auto exponent = getExactExponent(getFormat(), scale, type.getElement());
  if (!exponent) {
    InFlightDiagnostic diag = emitOpError()
                              << getFormat() << " with scales of ";
    (scale ? diag << scale : diag << "nothing")
        << " is not exact in " << type.getElement();
    return diag;
  }
  if (*exponent != int64_t(getExponent()))
    return emitOpError() << "is exact times 2^" << *exponent << ", not times 2^"
                         << int64_t(getExponent());
  if (!getCodes().getType().getElement().isInteger(32))
    return emitOpError() << "codes lie in elements of i32, not "
                         << getCodes().getType();
  if (failed(
          verifySlot(*this, getCodes(), "codes",
                     {shape[0] / 16, 1,
                      shape[1] * getFormat().getIntOrFloatBitWidth() / 2})) ||
      (scale && failed(verifyExpandScales(*this, shape))))
    return failure();
  for (OpOperand &use : getResult().getUses())
    if (!isa<MmaOp>(use.getOwner()) || use.getOperandNumber() != 0)
      return emitOpError() << "is operand A of tile.mma, nothing else";
  return success();
}

//===----------------------------------------------------------------------===//
// tile.expand_into
//===----------------------------------------------------------------------===//

static LogicalResult verifyExponent(ExpandIntoOp op) {
  Type scale = op.getScales() ? op.getScales().getType().getElement() : Type();
  if (scale && scale.isInteger(32))
    return op.emitOpError() << "scales lie in elements of their own type";
  auto exponent = ExpandOp::getExactExponent(
      op.getFormat(), scale, op.getOperand().getType().getElement());
  if (exponent && *exponent == int64_t(op.getExponent()))
    return success();
  return op.emitOpError() << op.getFormat() << " is not exact in "
                          << op.getOperand().getType() << " times 2^"
                          << int64_t(op.getExponent());
}

/// A slot that was waited for, of so many bytes.
static LogicalResult verifyPacked(ExpandIntoOp op, Value value, StringRef what,
                                  int64_t bytes) {
  auto slot = cast<SlotType>(value.getType());
  if (!value.getDefiningOp<WaitOp>())
    return op.emitOpError()
           << "reads " << what << " that were not waited for (tile.wait)";
  if (slot.getBytes() == bytes && !slot.getSwizzle())
    return success();
  return op.emitOpError() << what << " are " << bytes
                          << " bytes without swizzle, not " << slot;
}

LogicalResult ExpandIntoOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (!target->hasTensorMemory())
    return emitOpError() << target->name
                         << " has no tensor memory; use tile.expand";
  RoleOp role = getRole(*this);
  if (!role.isWarpgroups() || role.getWarps() != 4)
    return emitOpError() << "is the work of four warps, beginning at a "
                            "multiple of 4; role @"
                         << role.getSymName() << " has " << role.getWarps();
  if (!getOperand().getDefiningOp<AcquireOp>())
    return emitOpError() << "writes an operand that was not acquired";
  ArrayRef<int64_t> shape = getOperand().getType().getShape();
  if (shape[0] != 128 || shape[1] != 64)
    return emitOpError() << "makes " << getOperand().getType()
                         << "; 128 rows of 64 elements work";
  if (failed(verifyExponent(*this)) ||
      failed(verifyPacked(*this, getCodes(), "codes",
                          shape[0] * shape[1] *
                              getFormat().getIntOrFloatBitWidth() / 8)))
    return failure();
  if (!getScales())
    return success();
  int64_t per = getPer().value_or(0);
  if (per != 16 && per != 32)
    return emitOpError() << "has a scale per " << per
                         << " elements of K; 16 and 32 work";
  return verifyPacked(*this, getScales(), "scales", shape[0] * shape[1] / per);
}

//===----------------------------------------------------------------------===//
// tile.promote
//===----------------------------------------------------------------------===//

static LogicalResult verifyPlaces(PromoteOp op, ArrayRef<int64_t> shape) {
  bool readsMemory = op.getRows() || op.getCols();
  if (op.getCoords().size() != (readsMemory ? 3 : 0))
    return op.emitOpError() << "has " << op.getCoords().size()
                            << " coordinates; scales in memory are at [m, n, "
                               "block of K], others at none";
  for (Value scales : {op.getRows(), op.getCols()}) {
    auto type = scales ? cast<MemRefType>(scales.getType()) : MemRefType();
    if (type && (type.getRank() != 2 || !type.getElementType().isF32()))
      return op.emitOpError()
             << "scales of " << type << "; matrices of f32 work";
  }
  if (op.getGroup() != 1 && (!op.getCols() || op.getGroup() % shape[1]))
    return op.emitOpError()
           << "has a scale for " << op.getGroup() << " columns; tiles of "
           << shape[1] << " columns have one if it divides that";
  return readsMemory ? verifySliced(op, op.getCoords()) : success();
}

/// Two rounds of a loop at once: nothing of a stage is read behind its release,
/// and a thread has three accumulators.
static LogicalResult verifyLate(PromoteOp op) {
  auto loop = dyn_cast<scf::ForOp>(op->getParentOp());
  auto acc = dyn_cast<BlockArgument>(op.getAcc());
  if (!loop || !acc || acc.getOwner() != loop.getBody() ||
      loop.getTiedLoopYieldedValue(acc)->get() != op.getResult())
    return op.emitOpError() << "is late, which takes an accumulator that a "
                               "loop carries, and yields";
  auto product = op.getPartial().getDefiningOp<MmaOp>();
  if (op.getPacked() || !product || product.isExpanded() ||
      !product.getAcc().getDefiningOp<ZeroOp>())
    return op.emitOpError() << "is late, which works for products of this "
                               "round of operands in shared memory, with "
                               "scales in global memory";
  for (auto other : loop.getBody()->getOps<PromoteOp>())
    if (!other.getLate())
      return op.emitOpError() << "is late, and another one beside it is not";
  RoleOp role = getRole(op);
  ArrayRef<int64_t> shape = op.getAccShape();
  int64_t needed = 3 * shape[0] * shape[1] / (role.getTeamWarps() * 32);
  int64_t have = std::min<int64_t>(role.getRegisters().value_or(255), 255);
  if (needed < have)
    return success();
  return op.emitOpError() << "is late, and three accumulators take " << needed
                          << " of the " << have
                          << " registers of a thread of role @"
                          << role.getSymName();
}

LogicalResult PromoteOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (target->hasTensorMemory())
    return emitOpError() << target->name
                         << " accumulates in tensor memory, which this op "
                            "does not add up";
  AccType type = getAcc().getType();
  if (getPartial().getType() != type || !type.getElement().isF32())
    return emitOpError() << "adds " << getPartial().getType() << " to " << type
                         << "; equal accumulators of f32 work";
  if (!getAcc().hasOneUse() || !getPartial().hasOneUse())
    return emitOpError() << "updates its accumulators in place, and one has "
                            "other uses";
  if (!getPacked() && !getRows() && !getCols())
    return emitOpError() << "has no scales";
  Type packed;
  if (getPacked())
    packed = getPacked().getType().getElement();
  if (packed && !packed.isF32() && !packed.isF16() && !packed.isBF16() &&
      !isa<Float8E4M3FNType, Float8E8M0FNUType>(packed))
    return emitOpError() << "packed scales are f32, f16, bf16, f8E4M3FN or "
                            "f8E8M0FNU, not "
                         << packed;
  if (packed && failed(verifySlot(*this, getPacked(), "scales",
                                  {type.getShape()[0] / 16, 1, 16})))
    return failure();
  if (getLate() && failed(verifyLate(*this)))
    return failure();
  return verifyPlaces(*this, type.getShape());
}
