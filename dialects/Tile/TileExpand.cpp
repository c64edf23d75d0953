// Operands that are expanded, in registers or to tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

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
  if (shape[0] != 128 || (shape[1] != 32 && shape[1] != 64))
    return emitOpError() << "makes " << getOperand().getType()
                         << "; 128 rows of 32 or 64 elements work";
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
