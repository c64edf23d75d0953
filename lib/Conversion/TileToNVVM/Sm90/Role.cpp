// One role being written: walks over its ops in order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Role.h"

#include "Store.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

Role::Role(Kernel &kernel, tile::RoleOp op)
    : RoleWriter(kernel, op), team(getTeam(code, op, warp)),
      warpgroup(getWarpgroup(code, op, warp)) {
  mma = std::make_unique<Mma>(kernel, rings, op.getTeamWarps() / 4, warpgroup);
}

LogicalResult Role::write() {
  // Named barriers: 1 and up for stores of warpgroups, 15 and down for teams.
  if (op.getTeams() > 4)
    return refuse(op) << "turns of " << op.getTeams() << " teams; 4 work";
  for (auto other : op->getBlock()->getOps<tile::RoleOp>())
    if (other != op && other.getTurns() && op.getTurns())
      return refuse(op) << "two roles that take turns";
  return RoleWriter::write();
}

LogicalResult Role::writeOp(Operation *inside) {
  return TypeSwitch<Operation *, LogicalResult>(inside)
      .Case([&](tile::ForTilesOp loop) { return writeTiles(loop); })
      .Case([&](tile::AcquireOp take) {
        rings.acquire(rings.get(take.getRing()));
        addSlots(take.getRing(), take.getSlots());
        return success();
      })
      .Case([&](tile::WaitOp take) {
        rings.wait(rings.get(take.getRing()));
        addSlots(take.getRing(), take.getSlots());
        return success();
      })
      .Case([&](tile::PublishOp give) {
        rings.publish(rings.get(give.getRing()));
        return success();
      })
      .Case([&](tile::ReleaseOp give) {
        rings.release(rings.get(give.getRing()), !isSingle);
        return success();
      })
      .Case([&](tile::ZeroOp zero) {
        accs[zero.getAcc()] = mma->getZero(zero.getAcc().getType());
        return success();
      })
      .Case([&](tile::ExpandOp expand) {
        ExpandedOperand &operand = expanded[expand.getResult()];
        operand = {expand, slots.find(expand.getCodes())->second, Slot()};
        if (expand.getScales())
          operand.scales = slots.find(expand.getScales())->second;
        return success();
      })
      .Case([&](tile::MmaOp product) { return writeMma(product); })
      .Case([&](tile::PromoteOp promote) { return writePromote(promote); })
      .Case([&](tile::SliceOp slice) {
        ints.insert_or_assign(slice.getResult(), getSlice(slice));
        return success();
      })
      .Case([&](tile::ReduceOp reduce) { return writeReduce(reduce); })
      .Case([&](tile::EpilogueOp epilogue) { return writeEpilogue(epilogue); })
      .Case([&](tile::StoreOp store) { return writeStore(store); })
      .Case([&](tile::StoreBlocksOp store) { return writeStoreBlocks(store); })
      .Case([&](scf::ForOp loop) { return writeFor(loop); })
      .Default([&](Operation *other) { return writeCommon(other); });
}

LogicalResult Role::writeMma(tile::MmaOp product) {
  if (!product.getAcc().getType().getElement().isF32())
    return refuse(product) << "sums in "
                           << product.getAcc().getType().getElement()
                           << "; f32 works";
  const Acc &acc = accs.find(product.getAcc())->second;
  const Slot &right = slots.find(product.getB())->second;
  Acc sum = product.isExpanded()
                ? mma->multiply(product, acc,
                                expanded.find(product.getA())->second, right)
                : mma->multiply(product, acc,
                                slots.find(product.getA())->second, right);
  accs[product.getResult()] = sum;
  return success();
}

/// Accumulators that are ready; products into them are waited for.
FailureOr<SmallVector<Acc>> Role::settleAccs(Operation *reader,
                                             ValueRange values) {
  SmallVector<Acc> ready;
  for (Value value : values) {
    Acc &acc = accs[value];
    if (acc.isZero)
      return refuse(reader) << "an accumulator to which no product was added";
    if (!acc.isSettled)
      acc = mma->settle(acc);
    ready.push_back(acc);
  }
  rings.settle();
  return ready;
}

LogicalResult Role::writeEpilogue(tile::EpilogueOp epilogue) {
  FailureOr<SmallVector<Acc>> ready = settleAccs(epilogue, epilogue.getAccs());
  if (failed(ready))
    return failure();
  mapOperands(epilogue);
  ArrayRef<int64_t> shape = epilogue.getAccType().getShape();
  int64_t parts = ready->front().parts.size();
  Int row = code.mul(getInt(epilogue.getM()), shape[0]);
  row = code.add(row, code.mul(warpgroup, 64 * parts));
  row = code.add(row, code.mul(code.bitAnd(warp, 3), 16));
  Int column = code.mul(getInt(epilogue.getN()), epilogue.getTileShape()[1]);
  Int first = getFirstColumn(epilogue);
  column = code.add(column, first);
  auto work = std::make_shared<Epilogue>(kernel, op, epilogue, *ready, values,
                                         warp, row, column, first);
  if (failed(work->check()))
    return failure();
  work->begin();
  for (auto [i, result] : llvm::enumerate(epilogue.getResults()))
    fragments[result] = {work, unsigned(i)};
  return success();
}

SmallVector<Int> Role::getCoords(ValueRange values) {
  return llvm::map_to_vector(values,
                             [&](Value coord) { return getInt(coord); });
}

LogicalResult Role::writeStore(tile::StoreOp store) {
  SmallVector<Int> coords = getCoords(store.getCoords());
  return Store(kernel, op, store, fragments.find(store.getValue())->second,
               warp, coords)
      .write();
}

LogicalResult Role::writeStoreBlocks(tile::StoreBlocksOp store) {
  Fragment fragment = fragments.find(store.getValue())->second;
  return fragment.work->storeBlocks(store, fragment.result);
}
