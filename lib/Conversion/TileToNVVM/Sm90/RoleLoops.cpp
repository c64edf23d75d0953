// Loops of a role: over tiles, and over K with its first round before it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Role.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

/// Waits for products whose stages a loop could not carry.
void Role::settleBefore(Operation *loop) {
  if (!rings.hasPending())
    return;
  if (loop) {
    bool carries = true;
    for (auto ring : kernel.op.getBody().front().getOps<tile::RingOp>())
      carries &= rings.leavesPending(loop, ring.getRing());
    if (carries)
      return;
  }
  NVVM::WgmmaWaitGroupSyncOp::create(code, uint64_t(0));
  rings.settle();
}

/// The op of the body after which no stage is waited for.
static Operation *getLastWait(tile::ForTilesOp loop) {
  Operation *last = nullptr;
  for (Operation &inside : loop.getBody().front())
    inside.walk([&](tile::WaitOp) { last = &inside; });
  return last;
}

/// Teams take stages one after the other: a parity says which round of a ring a
/// barrier is in only to who has seen all rounds before it, or knows who has.
/// So each team lets the next one go when it has waited for its last stage,
/// which is when its last products are on their way. Named barriers 15, 14, ...
/// are the teams'; the first tile of a block waits for nobody, the last tells
/// nobody.
LogicalResult Role::writeTurn(tile::ForTilesOp loop, Int index,
                              int64_t clusters, int64_t count) {
  Block &body = loop.getBody().front();
  if (op.getTeams() == 1)
    return writeBlock(body);
  Value threads = code.get(2 * 32 * op.getTeamWarps());
  Operation *last = getLastWait(loop);
  code.when(code.compare(LLVM::ICmpPredicate::uge, index, clusters), [&] {
    NVVM::BarrierOp::create(code, Type(), code.get(code.sub(15, team)), threads,
                            NVVM::BarrierReductionAttr(), Value());
  });
  for (Operation &inside : body) {
    code.setLoc(inside.getLoc());
    if (failed(writeOp(&inside)))
      return failure();
    if (&inside != last)
      continue;
    Int next = code.rem(code.add(team, 1), op.getTeams());
    code.when(code.less(code.add(index, clusters), count), [&] {
      NVVM::BarrierArriveOp::create(code, code.get(code.sub(15, next)),
                                    threads);
    });
  }
  return success();
}

LogicalResult Role::writeTiles(tile::ForTilesOp loop) {
  int64_t tiles = loop.getTiles()[0] * loop.getTiles()[1];
  int64_t count = tiles / kernel.getClusterTiles();
  int64_t clusters = kernel.op.getGrid() / kernel.getClusterSize();
  int64_t teams = op.getTeams();
  settleBefore(nullptr);
  Value index =
      code.get(code.add(kernel.threads.cluster, code.mul(team, clusters)));
  if (teams > 1)
    rings.skip(loop, team);
  LogicalResult result = success();
  auto write = [&] {
    // One tile, where K is split: what comes behind is not computed before.
    if (kernel.getBlocks(2) > 1) {
      bindTile(loop, index);
      result = writeTurn(loop, index, clusters, count);
      settleBefore(nullptr);
      return;
    }
    SmallVector<Value *> cells = rings.getCells(loop);
    cells.push_back(&index);
    code.loop(cells, [&] {
      bindTile(loop, index);
      result = writeTurn(loop, index, clusters, count);
      settleBefore(nullptr);
      if (teams > 1)
        rings.skip(loop, teams - 1);
      index = code.get(code.add(index, clusters * teams));
      return code.less(index, count);
    });
  };
  if (clusters * teams <= count)
    write();
  else
    code.when(code.less(index, count), write);
  return result;
}

void Role::copyValue(Value from, Value to) {
  if (isa<tile::AccType>(from.getType()))
    accs[to] = Acc(accs.find(from)->second);
  else if (auto it = ints.find(from); it != ints.end())
    ints.insert_or_assign(to, Int(it->second));
  else
    values.map(to, values.lookup(from));
}

LogicalResult Role::writeRound(scf::ForOp loop, Int index) {
  ints.insert_or_assign(loop.getInductionVar(), index);
  if (failed(writeBlock(*loop.getBody())))
    return failure();
  auto yields = loop.getYieldedValues();
  SmallVector<std::pair<Value, Acc>> next;
  for (auto [yield, argument] : llvm::zip(yields, loop.getRegionIterArgs()))
    next.push_back({argument, accs.find(yield)->second});
  for (auto &[argument, acc] : next)
    accs[argument] = acc;
  return success();
}

LogicalResult Role::writeRounds(scf::ForOp loop, int64_t done, int64_t trips,
                                int64_t lower, int64_t step) {
  LogicalResult result = success();
  SmallVector<Value *> cells = rings.getCells(loop);
  // Cells live in the map of accumulators, which grows: carry copies.
  SmallVector<SmallVector<Value>> parts;
  for (Value argument : loop.getRegionIterArgs())
    parts.push_back(accs.find(argument)->second.parts);
  for (auto &list : parts)
    for (Value &part : list)
      cells.push_back(&part);
  Value index = code.get(lower + done * step);
  cells.push_back(&index);
  code.loop(cells, [&] {
    for (auto [argument, list] : llvm::zip(loop.getRegionIterArgs(), parts))
      accs[argument].parts = list;
    result = writeRound(loop, index);
    for (auto [argument, list] : llvm::zip(loop.getRegionIterArgs(), parts))
      list = accs[argument].parts;
    index = code.get(code.add(index, step));
    return code.less(index, lower + trips * step);
  });
  return result;
}

/// Loops without ops of tile are cloned. Others carry accumulators and rings;
/// the first round stands before the loop where it overwrites accumulators, or
/// has no stage to give back.
LogicalResult Role::writeFor(scf::ForOp loop) {
  if (!hasTileOps(loop))
    return writeCommon(loop);
  auto trips = loop.getStaticTripCount();
  auto lower = getConstantIntValue(loop.getLowerBound());
  auto step = getConstantIntValue(loop.getStep());
  if (!trips || !lower || !step || *lower < 0)
    return refuse(loop) << "a loop over ops of tile whose bounds are not "
                           "constants of at least 0";
  bool overwrites = false;
  for (auto [init, argument] :
       llvm::zip(loop.getInitArgs(), loop.getRegionIterArgs())) {
    if (!isa<tile::AccType>(init.getType()))
      return refuse(loop) << "a loop over ops of tile that carries "
                          << init.getType() << "; accumulators work";
    copyValue(init, argument);
    overwrites |= accs[argument].isZero;
  }
  int64_t count = trips->getSExtValue();
  settleBefore(loop);
  auto isLate = [](tile::PromoteOp promote) { return promote.getLate(); };
  if (count &&
      llvm::any_of(loop.getBody()->getOps<tile::PromoteOp>(), isLate)) {
    if (failed(writeLateRounds(loop, count, *lower, *step)))
      return failure();
    count = 0;
  }
  int64_t first = count && (overwrites || rings.needsFirstRound(loop));
  if (first && failed(writeRound(loop, *lower)))
    return failure();
  for (Value argument : loop.getRegionIterArgs())
    if (count > 1 && accs[argument].isZero)
      return refuse(loop) << "a loop that adds nothing to an accumulator of "
                             "zeros in its first round";
  if (count > first && failed(writeRounds(loop, first, count, *lower, *step)))
    return failure();
  for (auto [argument, result] :
       llvm::zip(loop.getRegionIterArgs(), loop.getResults()))
    copyValue(argument, result);
  return success();
}
