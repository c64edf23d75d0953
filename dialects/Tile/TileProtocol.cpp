// The protocol of rings, as far as it can be seen before the kernel runs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace nibble::tile;

static bool isTake(Operation &op) { return isa<AcquireOp, WaitOp>(op); }
static bool isGive(Operation &op) { return isa<PublishOp, ReleaseOp>(op); }
static StringRef getGiveName(Operation *take) {
  return isa<AcquireOp>(take) ? "tile.publish" : "tile.release";
}

/// All slots of an acquired stage are loaded, once each.
static LogicalResult verifyLoads(AcquireOp acquire) {
  for (auto [i, slot] : llvm::enumerate(acquire.getSlots())) {
    if (!isa<SlotType>(slot.getType()))
      continue;
    unsigned loads = llvm::count_if(slot.getUsers(), [&](Operation *user) {
      return isa<LoadOp>(user) && user->getBlock() == acquire->getBlock();
    });
    if (loads != 1 || !slot.hasOneUse())
      return acquire.emitOpError()
             << "slot " << i << " is loaded " << loads
             << " times beside the tile.publish; each slot is loaded once, in "
                "the same block, and not read here";
  }
  return success();
}

/// Slots are used between taking the stage and giving it back only.
static LogicalResult verifySpan(Operation *take, Operation *give) {
  SmallVector<Operation *> users(take->getUsers());
  // Codes are read where what they expand to is multiplied; sums that were
  // promoted from tensor memory are there when an epilogue reads them.
  for (Operation *user : take->getUsers()) {
    auto promote = dyn_cast<PromoteOp>(user);
    bool isSum = promote && promote.getPartial().getDefiningOp() == take;
    for (Operation *next : user->getUsers())
      if (isa<ExpandOp>(user) || (isSum && isa<EpilogueOp>(next)))
        users.push_back(next);
  }
  for (Operation *user : users) {
    Operation *inBlock = take->getBlock()->findAncestorOpInBlock(*user);
    if (!inBlock || give->isBeforeInBlock(inBlock))
      return user->emitOpError() << "uses a slot after its stage was given "
                                    "back ("
                                 << give->getName() << ")";
  }
  auto acquire = dyn_cast<AcquireOp>(take);
  return acquire ? verifyLoads(acquire) : success();
}

/// Stages are taken and given back in pairs in each block.
static LogicalResult verifyPairs(Block &block) {
  llvm::MapVector<Value, Operation *> taken;
  for (Operation &op : block) {
    if (isTake(op)) {
      auto [it, isNew] = taken.try_emplace(op.getOperand(0), &op);
      if (!isNew)
        return op.emitOpError() << "takes a second stage of the ring before a "
                                << getGiveName(it->second) << " of the first";
    }
    if (!isGive(op))
      continue;
    Operation *take = taken.lookup(op.getOperand(0));
    if (!take || getGiveName(take) != op.getName().getStringRef())
      return op.emitOpError()
             << "gives back a stage that was not taken before it in this block";
    if (failed(verifySpan(take, &op)))
      return failure();
    taken.erase(op.getOperand(0));
  }
  for (auto [ring, take] : taken)
    return take->emitOpError()
           << "no " << getGiveName(take) << " follows in this block";
  return success();
}

/// How often `op` runs, counted over all tiles of the grid.
static FailureOr<int64_t> countRuns(Operation *op) {
  int64_t count = 1;
  for (Operation *parent = op->getParentOp(); !isa<RoleOp>(parent);
       parent = parent->getParentOp()) {
    if (auto tiles = dyn_cast<ForTilesOp>(parent)) {
      count *= tiles.getTiles()[0] * tiles.getTiles()[1];
      continue;
    }
    auto loop = dyn_cast<scf::ForOp>(parent);
    std::optional<APInt> trips;
    if (loop)
      trips = loop.getStaticTripCount();
    if (!trips)
      return op->emitOpError()
             << "inside '" << parent->getName()
             << "', which does not run a constant number of times; stages that "
                "roles exchange are counted before the kernel runs";
    count *= trips->getSExtValue();
  }
  return count;
}

/// Runs of ops of type T on a ring, by role, in order.
template <typename T>
static FailureOr<llvm::MapVector<RoleOp, int64_t>> countByRole(RingOp ring) {
  llvm::MapVector<RoleOp, int64_t> counts;
  for (auto role : ring->getBlock()->getOps<RoleOp>())
    for (Operation *user : ring->getUsers()) {
      if (!isa<T>(user) || getRole(user) != role)
        continue;
      FailureOr<int64_t> runs = countRuns(user);
      if (failed(runs))
        return failure();
      counts[role] += *runs;
    }
  return counts;
}

/// Counts compare only if all of them are per block, or all over the grid.
static LogicalResult verifyAlike(RingOp ring) {
  auto isTiled = [](Operation *user) {
    return bool(user->getParentOfType<ForTilesOp>());
  };
  unsigned tiled = llvm::count_if(ring->getUsers(), isTiled);
  if (!tiled || tiled == llvm::range_size(ring->getUsers()))
    return success();
  return ring.emitOpError() << "is used inside a tile.for_tiles and outside of "
                               "one, which run differently often";
}

/// Teams share a role's stages out by tiles.
static LogicalResult verifyTurns(RoleOp role) {
  if (role.getTeams() == 1)
    return success();
  unsigned loops = llvm::range_size(role.getBody().getOps<ForTilesOp>());
  if (loops != 1)
    return role.emitOpError() << "takes turns on tiles in " << loops
                              << " tile.for_tiles; one works";
  WalkResult result = role.walk([&](Operation *op) {
    if (isa<AcquireOp, PublishOp>(op)) {
      op->emitOpError() << "in role @" << role.getSymName()
                        << ", which takes turns; such a role fills no ring";
      return WalkResult::interrupt();
    }
    if (isa<WaitOp>(op) && !op->getParentOfType<ForTilesOp>()) {
      op->emitOpError() << "outside of the tiles on which role @"
                        << role.getSymName() << " takes turns";
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

static LogicalResult verifyRing(RingOp ring) {
  if (failed(verifyAlike(ring)))
    return failure();
  auto fills = countByRole<PublishOp>(ring);
  auto reads = countByRole<WaitOp>(ring);
  if (failed(fills) || failed(reads))
    return failure();
  if (fills->empty() && !reads->empty())
    return ring.emitOpError()
           << "role @" << RoleOp(reads->front().first).getSymName()
           << " waits for this ring, and nobody publishes it";
  if (reads->empty())
    return ring.emitOpError() << "nobody waits for this ring";
  if (fills->size() > 1)
    return ring.emitOpError()
           << "is published by @"
           << RoleOp(fills->begin()[0].first).getSymName() << " and @"
           << RoleOp(fills->begin()[1].first).getSymName()
           << "; one role fills a ring";
  auto [filler, filled] = fills->front();
  for (auto [reader, read] : *reads) {
    if (RoleOp(reader) == filler)
      return ring.emitOpError() << "role @" << RoleOp(reader).getSymName()
                                << " waits for what it publishes itself";
    if (read != filled)
      return ring.emitOpError()
             << "role @" << RoleOp(filler).getSymName() << " publishes "
             << filled << " stages, role @" << RoleOp(reader).getSymName()
             << " waits for " << read << ": one of them would hang";
  }
  return success();
}

/// All roles go over the same tiles in the same order.
static LogicalResult verifyTiles(KernelOp kernel) {
  ForTilesOp first;
  WalkResult result = kernel.walk([&](ForTilesOp loop) {
    if (!first)
      first = loop;
    if (loop.getTiles() == first.getTiles() &&
        loop.getRaster() == first.getRaster())
      return WalkResult::advance();
    loop.emitOpError() << "goes over other tiles, or in another order, than "
                          "role @"
                       << getRole(first).getSymName();
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

/// All threads run what stands outside of roles.
static LogicalResult verifyShared(KernelOp kernel) {
  for (Operation &op : kernel.getBody().front())
    if (!isa<RingOp, RoleOp>(op) && !isMemoryEffectFree(&op))
      return op.emitOpError() << "has side effects and stands in no role";
  return success();
}

LogicalResult nibble::tile::verifyProtocol(KernelOp kernel) {
  if (failed(verifyShared(kernel)) || failed(verifyTiles(kernel)))
    return failure();
  WalkResult result = kernel.walk([](Block *block) {
    return failed(verifyPairs(*block)) ? WalkResult::interrupt()
                                       : WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  for (auto role : kernel.getBody().front().getOps<RoleOp>())
    if (failed(verifyTurns(role)))
      return failure();
  for (auto ring : kernel.getBody().front().getOps<RingOp>())
    if (failed(verifyRing(ring)))
      return failure();
  return success();
}
