// Sums of a block of K times their scales.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Role.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

/// `count` f32 from element `index` of a matrix in global memory on.
static Value loadFloats(Kernel &kernel, Value memref, Int index,
                        int64_t count) {
  Code &code = kernel.getCode();
  Value address = code.at(kernel.params.getPointer(memref), code.mul(index, 4));
  Type type = code.getF32Type();
  if (count > 1)
    type = VectorType::get(count, type);
  return LLVM::LoadOp::create(code, type, address, 4 * count, false, false,
                              /*isInvariant=*/!kernel.params.isWritten(memref));
}

/// The last slice of K may reach beyond the end, where sums are zero.
Int Role::getBlockOfK(tile::PromoteOp op) {
  if (op.getCoords().empty())
    return 0;
  Int block = getInt(op.getCoords()[2]);
  auto slice = op.getCoords()[2].getDefiningOp<tile::SliceOp>();
  bool isInside = !slice || slice.getBlocks() % kernel.getBlocks(2) == 0;
  return isInside ? block : code.min(block, slice.getBlocks() - 1);
}

/// Of rows g and g + 8 of each part; tiles may reach beyond the end.
Role::RowScales Role::loadRowScales(tile::PromoteOp op, int64_t parts,
                                    Int block) {
  RowScales rows;
  if (!op.getPacked() && !op.getRows())
    return rows;
  for (int64_t i = 0; i < parts; ++i) {
    Int tile = mma->getRowTile(parts, i);
    if (op.getPacked()) {
      const Slot &slot = slots.find(op.getPacked())->second;
      rows.push_back(loadPackedScales(
          kernel, slot, op.getPacked().getType().getElement(), tile));
      continue;
    }
    auto type = cast<MemRefType>(op.getRows().getType());
    Int row = code.mul(getInt(op.getCoords()[0]), op.getAccShape()[0]);
    row = code.add(row, code.mul(tile, 16));
    row = code.add(row, code.shr(kernel.threads.lane, 2));
    SmallVector<Value, 2> pair;
    for (int64_t r : {0, 8}) {
      Int inside = code.min(code.add(row, r), type.getDimSize(0) - 1);
      Int index = code.add(code.mul(inside, type.getDimSize(1)), block);
      pair.push_back(loadFloats(kernel, op.getRows(), index, 1));
    }
    rows.push_back(pair);
  }
  return rows;
}

/// One for the whole tile, or one for each register of a row: columns 8 j + 2 t
/// and the next.
SmallVector<Value> Role::loadColumnScales(tile::PromoteOp op, Int block) {
  SmallVector<Value> columns;
  if (!op.getCols())
    return columns;
  auto type = cast<MemRefType>(op.getCols().getType());
  int64_t extent = type.getDimSize(1), width = op.getAccShape()[1];
  Int begin = code.mul(block, extent);
  Int first = code.mul(getInt(op.getCoords()[1]), width);
  if (op.getGroup() > 1) {
    Int number = code.min(code.div(first, op.getGroup()), extent - 1);
    return {loadFloats(kernel, op.getCols(), code.add(begin, number), 1)};
  }
  first = code.add(first, code.shl(code.bitAnd(kernel.threads.lane, 3), 1));
  for (int64_t j = 0; j < width / 8; ++j) {
    Int column = code.min(code.add(first, 8 * j), extent - 2);
    Value pair = loadFloats(kernel, op.getCols(), code.add(begin, column), 2);
    for (int64_t e : {0, 1})
      columns.push_back(LLVM::ExtractElementOp::create(
          code, pair, code.constant(code.i32(), e)));
  }
  return columns;
}

/// Sums of all promotions to come in this block: ptxas takes reading some,
/// while it thinks that others are under way, for a reason to serialize.
void Role::settlePartials(Block &block) {
  for (auto other : block.getOps<tile::PromoteOp>()) {
    auto found = accs.find(other.getPartial());
    if (found == accs.end() || found->second.isZero || found->second.isSettled)
      continue;
    Acc settled = mma->settle(found->second);
    accs[other.getPartial()] = settled;
  }
  rings.forgetProducts();
}

/// Scales are loaded while the products are under way.
LogicalResult Role::writePromote(tile::PromoteOp op) {
  Acc acc = accs.find(op.getAcc())->second;
  if (accs.find(op.getPartial())->second.isZero)
    return refuse(op) << "sums to which no product was added";
  if (op.getCols() && op.getGroup() == 1 &&
      cast<MemRefType>(op.getCols().getType()).getDimSize(1) % 2)
    return refuse(op) << "scales of an odd number of columns";
  if (op.getLate())
    return writeLate(op);
  Int block = getBlockOfK(op);
  auto rows = loadRowScales(op, int64_t(acc.parts.size()), block);
  SmallVector<Value> columns = loadColumnScales(op, block);
  settlePartials(*op->getBlock());
  Acc sum =
      mma->promote(acc, accs.find(op.getPartial())->second, rows, columns);
  accs[op.getResult()] = sum;
  return success();
}
