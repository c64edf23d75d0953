// Blocks of neighbours in epilogues: maxima, and what is stored once for each.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;

/// Rows of the tile that a warp has.
static constexpr int64_t kWarpRows = 16;

/// True if `op` of an epilogue's body is computed from a maximum.
static bool followsMaximum(Operation *op) {
  llvm::DenseSet<Operation *> from;
  auto follows = [&](Operation *before) {
    return llvm::any_of(before->getOperands(), [&](Value operand) {
      return from.contains(operand.getDefiningOp());
    });
  };
  for (Operation &before : *op->getBlock()) {
    if (&before == op)
      return follows(op);
    if (isa<BlockMaxOp>(before) || follows(&before))
      from.insert(&before);
  }
  return false;
}

LogicalResult BlockMaxOp::verify() {
  auto epilogue = cast<EpilogueOp>((*this)->getParentOp());
  unsigned axis = unsigned(getAxis());
  int64_t block = getBlock(), whole = epilogue.getTileShape()[axis],
          part = epilogue.getAccType().getShape()[axis];
  if (!llvm::isPowerOf2_64(block) || block < 8)
    return emitOpError() << "blocks of " << block
                         << "; powers of 2 from 8 on work";
  if (whole % block || part % block)
    return emitOpError() << "blocks of " << block
                         << " do not make up the epilogue's " << part << " of "
                         << whole << (axis ? " columns" : " rows");
  if (followsMaximum(*this))
    return emitOpError() << "takes the maximum of what follows from one";
  for (auto other : epilogue.getBody().getOps<BlockMaxOp>())
    if (other.getBlock() != getBlock() || other.getAxis() != getAxis())
      return emitOpError() << "has other blocks than another maximum of the "
                              "epilogue; one kind works";
  return success();
}

int64_t EpilogueOp::getStagingBytes() {
  int64_t numbers = 0;
  for (auto op : getBody().getOps<BlockMaxOp>()) {
    if (op.getAxis() != Axis::m || int64_t(op.getBlock()) <= kWarpRows)
      continue;
    // Two columns of a thread are one word, or two.
    Type element = op.getValue().getType().getElementType();
    numbers += element.getIntOrFloatBitWidth() / 16;
  }
  // 64 columns of 16 rows are one of each of a warp's threads.
  ArrayRef<int64_t> shape = getAccType().getShape();
  int64_t groups = llvm::divideCeil(shape[1], 64) * (shape[0] / kWarpRows);
  return numbers * 4 * 32 * groups * getRole(*this).getTeams();
}

LogicalResult StoreBlocksOp::verify() {
  if (!getTargetOf(*this))
    return failure();
  FragmentType type = getValue().getType();
  MemRefType dest = getDest().getType();
  auto epilogue = getValue().getDefiningOp<EpilogueOp>();
  if (!epilogue || type.getShape() != epilogue.getAccType().getShape())
    return emitOpError() << "stores an element for each of an epilogue's "
                            "accumulator, not "
                         << type;
  bool inTiles = dest.getRank() == 4 && !getTransposed() &&
                 dest.getShape().take_back(2) == ArrayRef<int64_t>({2, 256});
  if ((dest.getRank() != 2 && !inTiles) ||
      dest.getElementType() != type.getElement())
    return emitOpError() << "stores " << type.getElement() << " into a matrix, "
                         << "not into " << dest;
  int64_t block = getBlock();
  int64_t extent = type.getShape()[getTransposed() ? 0 : 1];
  if (block % 8 || extent % block)
    return emitOpError() << "blocks of " << block << " do not make up the "
                         << extent << (getTransposed() ? " rows" : " columns")
                         << "; multiples of 8 work";
  return success();
}
