// One role of a kernel for Blackwell: loads, products, or results.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Role.h"

#include "Expand.h"
#include "Results.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

LogicalResult Role::write() {
  if (op.getTeams() > 1)
    return refuse(op) << "roles that take turns";
  if (!isSingle && op.getWarps() != 4)
    return refuse(op) << "results of " << op.getWarps() << " warps; 4 work";
  return RoleWriter::write();
}

LogicalResult Role::writeOp(Operation *inside) {
  return TypeSwitch<Operation *, LogicalResult>(inside)
      .Case([&](tile::ForTilesOp loop) { return writeTiles(loop); })
      .Case([&](scf::ForOp loop) { return writeFor(loop); })
      .Case([&](tile::AcquireOp take) { return acquire(take), success(); })
      .Case([&](tile::WaitOp take) { return wait(take), success(); })
      .Case([&](tile::PublishOp give) { return publish(give), success(); })
      .Case([&](tile::ReleaseOp give) { return release(give), success(); })
      .Case([&](tile::ClearOp clear) {
        accs[clear.getResult()] = {accs.find(clear.getAcc())->second.column,
                                   code.constant(code.getI1Type(), 0)};
        return success();
      })
      .Case([&](tile::ZeroOp zero) { return writeZero(zero), success(); })
      .Case([&](tile::PromoteOp promote) { return writePromote(promote); })
      .Case([&](tile::ScalesOp copy) { return writeScales(copy); })
      .Case([&](tile::MmaOp product) { return writeMma(product); })
      .Case([&](tile::ExpandIntoOp expand) {
        return writeExpand(expand), success();
      })
      // Evaluated where the last of its results is stored.
      .Case([&](tile::EpilogueOp) { return success(); })
      .Case<tile::StoreOp, tile::StoreBlocksOp>(
          [&](Operation *store) { return writeStore(store); })
      .Case<tile::SliceOp, tile::ReduceOp>(
          [&](Operation *split) { return refuse(split) << "slices of K"; })
      .Default([&](Operation *other) { return writeCommon(other); });
}

/// Block 0 of a pair multiplies for both.
bool Role::isOfFirstBlock() {
  bool multiplies = false;
  op.walk([&](tile::MmaOp) { multiplies = true; });
  return kernel.isPair() && multiplies;
}

/// The products of block 0 of a pair read this block's stages, and say so
/// here: not behind the end of the block.
void Role::writeEnd() {
  if (!kernel.isPair())
    return;
  for (auto ring : kernel.op.getBody().front().getOps<tile::RingOp>())
    for (Operation *user : ring->getUsers())
      if (isa<tile::AcquireOp>(user) && tile::getRole(user) == op &&
          !isTensorMemory(ring.getRing()))
        rings.drain(rings.get(ring.getRing()));
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

bool Role::isTensorMemory(Value ring) {
  return cast<tile::RingType>(ring.getType()).isTensorMemory();
}

/// The accumulators or operands of the stage that was taken.
void Role::addAccs(Value ring, ValueRange results) {
  auto type = cast<tile::RingType>(ring.getType());
  Int column = code.add(
      kernel.tensor.rings.lookup(ring),
      code.mul(rings.get(ring).stage, type.getColumns() / type.getStages()));
  for (Value result : results) {
    if (auto operand = dyn_cast<tile::OperandType>(result.getType())) {
      operands.insert_or_assign(result, column);
      column = code.add(column, operand.getColumns());
      continue;
    }
    accs[result] = {column, Value()};
    column =
        code.add(column, cast<tile::AccType>(result.getType()).getShape()[1]);
  }
}

void Role::acquire(tile::AcquireOp take) {
  Ring &ring = rings.get(take.getRing());
  if (!isTensorMemory(take.getRing())) {
    rings.acquire(ring);
    return addSlots(take.getRing(), take.getSlots());
  }
  rings.awaitEmpty(ring);
  fence(code, /*after=*/true);
  addAccs(take.getRing(), take.getSlots());
}

void Role::wait(tile::WaitOp take) {
  rings.wait(rings.get(take.getRing()));
  fence(code, /*after=*/true);
  isTensorMemory(take.getRing()) ? addAccs(take.getRing(), take.getSlots())
                                 : addSlots(take.getRing(), take.getSlots());
}

void Role::publish(tile::PublishOp give) {
  Ring &ring = rings.get(give.getRing());
  if (cast<tile::RingType>(give.getRing().getType()).isOperands()) {
    fence(code, /*after=*/false);
    return rings.publishByWarp(ring);
  }
  if (isTensorMemory(give.getRing()))
    commit(code, rings.getFullBarrier(ring), kernel.isPair());
  rings.publish(ring);
}

/// Stages that products read are given back by the tensor core; accumulators by
/// the warps, when their stores have read them.
void Role::release(tile::ReleaseOp give) {
  Ring &ring = rings.get(give.getRing());
  if (isSingle) {
    commit(code, rings.getEmptyBarrier(ring), kernel.isPair());
    return rings.publish(ring);
  }
  if (!isTensorMemory(give.getRing()))
    return rings.release(ring, /*hasProducts=*/false);
  pending.push_back(give.getRing());
  for (Operation *user : give.getRing().getUsers())
    for (Operation *reader : user->getUsers())
      for (Operation *store : reader->getUsers())
        if (isa<tile::StoreOp>(store) &&
            store->getBlock() == give->getBlock() &&
            give->isBeforeInBlock(store))
          return;
  releasePending();
}

void Role::releasePending() {
  if (pending.empty())
    return;
  fence(code, /*after=*/false);
  for (Value ring : pending)
    rings.release(rings.get(ring), /*hasProducts=*/false);
  pending.clear();
}

//===----------------------------------------------------------------------===//
// Products and results
//===----------------------------------------------------------------------===//

LogicalResult Role::writeScales(tile::ScalesOp copy) {
  SmallVector<Slot> from;
  for (Value slot : copy.getSlots())
    from.push_back(slots.find(slot)->second);
  Int row = copy.getFrom() ? getInt(copy.getFrom()) : Int(0);
  scales[copy.getResult()] = mma.copyScales(copy, from, row);
  return success();
}

Product Role::getProduct(tile::MmaOp op) {
  Product product;
  product.op = op;
  product.acc = accs.find(op.getAcc())->second;
  product.b = slots.find(op.getB())->second;
  if (auto it = operands.find(op.getA()); it != operands.end())
    product.columnOfA = it->second;
  else
    product.a = slots.find(op.getA())->second;
  for (Value operand : op.getScales())
    product.scales.push_back(scales.find(operand)->second);
  return product;
}

/// With all that follow and have the same A.
LogicalResult Role::writeMma(tile::MmaOp first) {
  if (accs.contains(first.getResult()))
    return success(); // written with the one before it
  SmallVector<Product> products;
  for (auto op = first; op && op.getA() == first.getA();
       op = dyn_cast<tile::MmaOp>(op->getNextNode())) {
    if (failed(mma.check(op)))
      return failure();
    products.push_back(getProduct(op));
  }
  for (auto [product, sum] : llvm::zip(products, mma.multiply(products)))
    accs[product.op.getResult()] = sum;
  return success();
}

void Role::writeExpand(tile::ExpandIntoOp expand) {
  Slot scales;
  if (expand.getScales())
    scales = slots.find(expand.getScales())->second;
  expandInto(kernel, expand, slots.find(expand.getCodes())->second, scales,
             operands.find(expand.getOperand())->second, warp);
}

/// No other result of the same epilogue is stored behind it.
static bool isLastStore(Operation *store) {
  for (Operation *next = store->getNextNode(); next; next = next->getNextNode())
    if (isa<tile::StoreOp, tile::StoreBlocksOp>(next) &&
        next->getOperand(0).getDefiningOp() ==
            store->getOperand(0).getDefiningOp())
      return false;
  return true;
}

LogicalResult Role::writeStore(Operation *store) {
  if (!isLastStore(store))
    return success();
  auto epilogue = store->getOperand(0).getDefiningOp<tile::EpilogueOp>();
  mapOperands(epilogue);
  Results results(kernel, op, epilogue, warp, values);
  results.m = getInt(epilogue.getM());
  results.n = getInt(epilogue.getN());
  for (Value acc : epilogue.getAccs())
    results.columns.push_back(accs.find(acc)->second.column);
  for (Operation *user : epilogue->getUsers()) {
    if (user->getBlock() != store->getBlock())
      return refuse(user) << "a store elsewhere than others of its epilogue";
    if (auto blocks = dyn_cast<tile::StoreBlocksOp>(user)) {
      results.blocks.push_back(blocks);
      continue;
    }
    auto each = cast<tile::StoreOp>(user);
    SmallVector<Int> coords;
    for (Value coord : each.getCoords())
      coords.push_back(getInt(coord));
    results.stores.push_back({each, coords});
  }
  if (results.stores.empty())
    return refuse(epilogue) << "blocks alone; something is stored by panels";
  return results.write([&] { releasePending(); });
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

LogicalResult Role::writeTiles(tile::ForTilesOp loop) {
  int64_t tiles = loop.getTiles()[0] * loop.getTiles()[1];
  int64_t count = tiles / kernel.getClusterTiles();
  int64_t clusters = kernel.op.getGrid() / kernel.getClusterSize();
  Value index = code.get(kernel.threads.cluster);
  LogicalResult result = success();
  auto write = [&] {
    SmallVector<Value *> cells = rings.getCells(loop);
    cells.push_back(&index);
    code.loop(cells, [&] {
      bindTile(loop, index);
      result = writeBlock(loop.getBody().front());
      index = code.get(code.add(index, clusters));
      return code.less(index, count);
    });
  };
  if (clusters <= count)
    write();
  else
    code.when(code.less(index, count), write);
  return result;
}

/// Loops without ops of tile are cloned. Others carry rings, and whether
/// accumulators have something.
LogicalResult Role::writeFor(scf::ForOp loop) {
  if (!hasTileOps(loop))
    return writeCommon(loop);
  auto trips = loop.getStaticTripCount();
  auto lower = getConstantIntValue(loop.getLowerBound());
  auto step = getConstantIntValue(loop.getStep());
  if (!trips || trips->isZero() || !lower || !step || *lower < 0)
    return refuse(loop) << "a loop over ops of tile whose bounds are not "
                           "constants of at least 0, or that does not run";
  if (carriesSums(loop))
    return writeSums(loop, *lower, *lower + (trips->getSExtValue() - 1) * *step,
                     *step);
  SmallVector<Value> adds;
  for (auto [init, argument] :
       llvm::zip(loop.getInitArgs(), loop.getRegionIterArgs())) {
    if (!isa<tile::AccType>(init.getType()))
      return refuse(loop) << "a loop over ops of tile that carries "
                          << init.getType() << "; accumulators work";
    Acc acc = accs.find(init)->second;
    accs[argument] = acc;
    adds.push_back(acc.adds);
  }
  LogicalResult result = success();
  SmallVector<Value *> cells = rings.getCells(loop);
  for (Value &flag : adds)
    cells.push_back(&flag);
  Value index = code.get(*lower);
  cells.push_back(&index);
  code.loop(cells, [&] {
    for (auto [argument, flag] : llvm::zip(loop.getRegionIterArgs(), adds))
      accs[argument].adds = flag;
    ints.insert_or_assign(loop.getInductionVar(), index);
    result = writeBlock(*loop.getBody());
    for (auto [yield, flag] : llvm::zip(loop.getYieldedValues(), adds))
      flag = accs.find(yield)->second.adds;
    index = code.get(code.add(index, *step));
    return code.less(index, *lower + trips->getSExtValue() * *step);
  });
  for (auto [argument, carried, flag] :
       llvm::zip(loop.getRegionIterArgs(), loop.getResults(), adds))
    accs[carried] = {accs.find(argument)->second.column, flag};
  return result;
}
