// Stages, phases and barriers of rings, as one role sees them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rings.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

Rings::Rings(Kernel &kernel, tile::RoleOp role, bool isSingleThread)
    : kernel(kernel), code(kernel.getCode()), isSingleThread(isSingleThread) {
  for (auto &[value, layout] : kernel.shared.rings) {
    bool fills = false, reads = false;
    for (Operation *user : value.getUsers()) {
      fills |= isa<tile::AcquireOp>(user) && tile::getRole(user) == role;
      reads |= isa<tile::WaitOp>(user) && tile::getRole(user) == role;
    }
    if (!fills && !reads)
      continue;
    Ring &ring = rings[value];
    ring.layout = &layout;
    ring.stage = code.get(0);
    // A fresh barrier lets through who waits for the phase before the first.
    ring.phase = code.get(fills ? 1 : 0);
    if (reads)
      findTargets(ring);
  }
}

/// Lane i tells block i of those that load into this block's stages: all along
/// m, then the others along n.
void Rings::findTargets(Ring &ring) {
  const Threads &t = kernel.threads;
  const RingLayout &layout = *ring.layout;
  Value empties = code.at(kernel.memory, layout.empty);
  int64_t alongM = layout.multicast[0] ? kernel.getBlocks(0) : 1;
  int64_t alongN = layout.multicast[1] ? kernel.getBlocks(1) : 1;
  int64_t targets = alongM + alongN - 1;
  Int lane = isSingleThread ? Int(0) : Int(t.lane);
  ring.arrives = isSingleThread
                     ? LLVM::ConstantOp::create(code, code.getI1Type(), 1)
                     : code.less(lane, targets);
  ring.empties = empties;
  if (layout.pair)
    ring.empties =
        NVVM::MapaOp::create(code, code.pointer(7), empties, code.get(0));
  if (targets == 1)
    return;
  Int blocksM = kernel.getBlocks(0), first = kernel.getFirstOfSlice();
  Int m = alongM > 1 ? code.add(lane, code.mul(t.rankN, blocksM)) : t.rank;
  Int other = code.sub(lane, alongM);
  Value skips = code.compare(LLVM::ICmpPredicate::uge, other, t.rankN);
  other = code.add(
      other, Int(LLVM::ZExtOp::create(code, code.i32(), skips).getResult()));
  Int n = code.add(t.rankM, code.mul(other, blocksM));
  if (alongM > 1)
    m = code.add(m, first);
  n = code.add(n, first);
  Int rank = code.select(code.less(lane, alongM), m, n);
  rank = code.select(ring.arrives, rank, t.rank);
  ring.empties =
      NVVM::MapaOp::create(code, code.pointer(7), empties, code.get(rank));
}

Slot Rings::getSlot(Value ring, unsigned slot) {
  Ring &state = get(ring);
  return {&state, state.layout->begin + state.layout->slots[slot], state.stage};
}

Value Rings::getFullBarrier(Ring &ring) {
  return code.at(code.at(kernel.memory, ring.layout->full),
                 code.shl(ring.stage, 3));
}

/// As an address of shared memory of the cluster, which are addresses of one's
/// own, too.
Value Rings::getLoadBarrier(Ring &ring) {
  Value barrier = getFullBarrier(ring);
  if (!ring.layout->pair)
    return barrier;
  Value first =
      NVVM::MapaOp::create(code, code.pointer(7), barrier, code.get(0));
  Value address = LLVM::PtrToIntOp::create(code, code.i32(), first);
  return LLVM::IntToPtrOp::create(code, code.pointer(3), address);
}

Value Rings::getEmptyBarrier(Ring &ring) {
  return code.at(code.at(kernel.memory, ring.layout->empty),
                 code.shl(ring.stage, 3));
}

void Rings::waitFor(Ring &ring, int64_t barriers) {
  Value barrier =
      code.at(code.at(kernel.memory, barriers), code.shl(ring.stage, 3));
  code.spin([&]() -> Value {
    return NVVM::MBarrierTryWaitOp::create(code, code.getI1Type(), barrier,
                                           ring.phase, Value());
  });
}

void Rings::awaitEmpty(Ring &ring) { waitFor(ring, ring.layout->empty); }

/// In a pair, block 0 expects what both load.
void Rings::acquire(Ring &ring) {
  awaitEmpty(ring);
  int64_t bytes = ring.layout->loadBytes * (ring.layout->pair ? 2 : 1);
  auto expect = [&] {
    NVVM::MBarrierArriveExpectTxOp::create(
        code, Type(), getFullBarrier(ring), code.get(bytes),
        NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
  };
  if (ring.layout->pair)
    code.when(code.equal(kernel.threads.rank, 0), expect);
  else
    expect();
}

void Rings::drain(Ring &ring) {
  for (int64_t i = 0; i < ring.layout->stages; ++i) {
    awaitEmpty(ring);
    advance(ring);
  }
}

void Rings::publishByWarp(Ring &ring) {
  NVVM::SyncWarpOp::create(code, code.get(-1));
  code.when(code.equal(kernel.threads.lane, 0), [&] {
    NVVM::MBarrierArriveOp::create(code, Type(), getFullBarrier(ring), Value());
  });
  advance(ring);
}

void Rings::wait(Ring &ring) { waitFor(ring, ring.layout->full); }

void Rings::advance(Ring &ring) {
  Int next = code.add(ring.stage, 1);
  Value wraps = code.equal(next, ring.layout->stages);
  ring.stage = code.select(wraps, 0, next);
  ring.phase = code.select(wraps, code.bitXor(ring.phase, 1), ring.phase);
}

/// How often a round of `loop` waits for a stage of `ring`. The verifier has
/// seen that loops run a constant number of times.
static int64_t countStages(tile::ForTilesOp loop, Value ring) {
  int64_t count = 0;
  for (Operation *user : ring.getUsers()) {
    if (!isa<tile::WaitOp>(user) || !loop->isProperAncestor(user))
      continue;
    int64_t runs = 1;
    for (Operation *at = user->getParentOp(); at != loop;
         at = at->getParentOp())
      runs *= cast<scf::ForOp>(at).getStaticTripCount()->getSExtValue();
    count += runs;
  }
  return count;
}

void Rings::skip(tile::ForTilesOp loop, Int tiles) {
  for (auto &[value, ring] : rings) {
    int64_t count = countStages(loop, value), stages = ring.layout->stages;
    Int place = code.add(ring.stage, code.mul(tiles, count));
    ring.stage = code.get(code.rem(place, stages));
    Int wraps = code.bitAnd(code.div(place, stages), 1);
    ring.phase = code.get(code.bitXor(ring.phase, wraps));
  }
}

/// At barriers of other blocks, too, without cluster scope: that would be a
/// fence of the whole device in every K block, and what is ordered here are
/// reads of wgmma, which are done.
void Rings::arrive(Ring &ring, Value stage) {
  code.when(ring.arrives, [&] {
    NVVM::MBarrierArriveOp::create(
        code, Type(), code.at(ring.empties, code.shl(stage, 3)), Value());
  });
}

void Rings::release(Ring &ring, bool hasProducts) {
  Value stage = ring.stage;
  advance(ring);
  if (!hasProducts) {
    if (!isSingleThread)
      NVVM::SyncWarpOp::create(code, code.get(-1));
    arrive(ring, stage);
    return;
  }
  if (ring.pending) {
    NVVM::WgmmaWaitGroupSyncOp::create(code, uint64_t(ring.products));
    arrive(ring, ring.pending);
  }
  ring.pending = stage;
  ring.products = 0;
}

void Rings::settle() {
  for (auto &[value, ring] : rings) {
    if (ring.pending)
      arrive(ring, ring.pending);
    ring.pending = Value();
  }
}

bool Rings::hasPending() const {
  return llvm::any_of(
      rings, [](const auto &entry) { return bool(entry.second.pending); });
}

void Rings::countProducts(int64_t groups) {
  for (auto &[value, ring] : rings)
    ring.products += groups;
}

void Rings::forgetProducts() {
  for (auto &[value, ring] : rings)
    ring.products = 0;
}

bool Rings::isUsedIn(Operation *loop, Value ring) {
  return llvm::any_of(ring.getUsers(), [&](Operation *user) {
    return loop->isProperAncestor(user);
  });
}

SmallVector<Value *> Rings::getCells(Operation *loop) {
  SmallVector<Value *> cells;
  for (auto &[value, ring] : rings) {
    if (!isUsedIn(loop, value))
      continue;
    cells.append({&ring.stage, &ring.phase});
    if (ring.pending)
      cells.push_back(&ring.pending);
    // Rounds differ in how much was committed: wait for all of it.
    ring.products = 0;
  }
  return cells;
}

/// Whatever comes last decides: a release, or an epilogue, which waits for all.
bool Rings::leavesPending(Operation *loop, Value ring) {
  bool pending = false;
  loop->walk([&](Operation *op) {
    if (auto release = dyn_cast<tile::ReleaseOp>(op))
      pending |= release.getRing() == ring;
    if (isa<tile::EpilogueOp>(op))
      pending = false;
  });
  return pending;
}

bool Rings::needsFirstRound(Operation *loop) {
  if (isSingleThread)
    return false;
  return llvm::any_of(rings, [&](auto &entry) {
    return !entry.second.pending && leavesPending(loop, entry.first);
  });
}
