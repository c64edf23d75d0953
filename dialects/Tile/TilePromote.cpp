// Sums of blocks of K that are scaled and added to others.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace nibble::tile;

/// Scales that are stored for a group of columns, or transposed of rows.
static LogicalResult verifyGroup(PromoteOp op) {
  bool ofRows = op.getTransposed();
  int64_t group = op.getGroup(), extent = op.getAccShape()[ofRows ? 0 : 1];
  if (group == 1 ||
      ((ofRows ? op.getRows() : op.getCols()) && group % extent == 0))
    return success();
  StringRef what = ofRows ? "rows" : "columns";
  return op.emitOpError() << "has a scale for " << group << " " << what
                          << "; tiles of " << extent << " " << what
                          << " have one if it divides that";
}

static LogicalResult verifyPlaces(PromoteOp op) {
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
  if (failed(verifyGroup(op)))
    return failure();
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

/// One scale of each row, as the lowering of the target reads them.
static LogicalResult verifyPacked(PromoteOp op, bool tensorMemory) {
  SlotType slot = op.getPacked().getType();
  Type element = slot.getElement();
  if (!element.isF32() && !element.isF16() && !element.isBF16() &&
      !isa<Float8E4M3FNType, Float8E8M0FNUType>(element))
    return op.emitOpError() << "packed scales are f32, f16, bf16, f8E4M3FN or "
                               "f8E8M0FNU, not "
                            << element;
  if (!op.getPacked().getDefiningOp<WaitOp>())
    return op.emitOpError()
           << "reads scales that were not waited for (tile.wait)";
  int64_t rows = op.getAccShape()[0];
  std::array<int64_t, 3> shape = tensorMemory
                                     ? std::array<int64_t, 3>{1, 1, rows}
                                     : std::array<int64_t, 3>{rows / 16, 1, 16};
  if (slot.getShape() == ArrayRef(shape) && !slot.getSwizzle())
    return success();
  return op.emitOpError() << "scales come from a slot of " << shape[0] << "x"
                          << shape[1] << "x" << shape[2]
                          << " without swizzle, not " << slot;
}

/// A thread has a row: sums of it that are more than half of its registers
/// leave too few for what is added.
static LogicalResult verifyTensorMemory(PromoteOp op) {
  constexpr int64_t kMostColumns = 128;
  if (op.getLate())
    return op.emitOpError() << "is late; with tensor memory products of other "
                               "stages are under way anyway";
  RoleOp role = getRole(op);
  if (!role.isWarpgroups() || role.getWarps() != 4)
    return op.emitOpError() << "is the work of four warps, beginning at a "
                               "multiple of 4; role @"
                            << role.getSymName() << " has " << role.getWarps();
  if (!op.getPartial().getDefiningOp<WaitOp>())
    return op.emitOpError() << "adds products that were not waited for "
                               "(tile.wait)";
  Operation *source = op.getAcc().getDefiningOp();
  if (source && !isa<ZeroOp, PromoteOp, scf::ForOp>(source))
    return op.emitOpError() << "adds to sums that are in tensor memory; those "
                               "of a tile.zero are in registers";
  ArrayRef<int64_t> shape = op.getAccShape();
  if (shape[0] == 128 && shape[1] <= kMostColumns)
    return success();
  return op.emitOpError() << "keeps " << op.getAcc().getType()
                          << " in registers; 128 rows of up to " << kMostColumns
                          << " columns work";
}

static LogicalResult verifyRegisters(PromoteOp op) {
  if (op.getTransposed())
    return op.emitOpError()
           << "has scales of exchanged operands; " << getTargetOf(op)->name
           << " takes those of rows and columns";
  return op.getLate() ? verifyLate(op) : success();
}

LogicalResult PromoteOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  AccType type = getAcc().getType();
  if (getPartial().getType() != type || !type.getElement().isF32())
    return emitOpError() << "adds " << getPartial().getType() << " to " << type
                         << "; equal accumulators of f32 work";
  if (!getAcc().hasOneUse() || !getPartial().hasOneUse())
    return emitOpError() << "updates its accumulators in place, and one has "
                            "other uses";
  if (!getPacked() && !getRows() && !getCols())
    return emitOpError() << "has no scales";
  if (getPacked() && failed(verifyPacked(*this, target->hasTensorMemory())))
    return failure();
  if (failed(target->hasTensorMemory() ? verifyTensorMemory(*this)
                                       : verifyRegisters(*this)))
    return failure();
  return verifyPlaces(*this);
}
