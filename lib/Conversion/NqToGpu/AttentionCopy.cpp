// Attention on Hopper's tensor cores: the thread that copies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using Predicate = LLVM::ICmpPredicate;

void AttentionKernel::expect(Value barrier, Int bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(code, Type(), barrier, code.get(bytes),
                                         NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
}

void AttentionKernel::copy(Value map, Int target, ArrayRef<Int> coords,
                           Value barrier, Value blocks) {
  SmallVector<Value> place;
  for (Int coord : coords)
    place.push_back(code.get(coord));
  Value address = LLVM::AddrSpaceCastOp::create(code, code.pointer(7),
                                                code.at(memory, target));
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      code, address, map, place, barrier, ValueRange(), blocks, Value(),
      NVVM::TMALoadMode::TILE, false, NVVM::CTAGroupKindAttr(), Value());
}

/// What lies behind the end of a tensor comes as zeros. A tile that is expanded
/// goes to a ring of its own; who expands it takes the slot.
void AttentionKernel::copyTile(bool isKey, Int tile, const AttentionRing &ring,
                               const AttentionRing &raw) {
  if (isKey ? schedule.rawKeys : schedule.rawValues)
    return copyRaw(isKey, tile, raw);
  copyPanels(isKey, tile, ring);
}

void AttentionKernel::copyPanels(bool isKey, Int tile,
                                 const AttentionRing &ring) {
  const AttentionSchedule &s = schedule;
  int64_t panels = isKey ? s.panelsQK : s.panelsV;
  int64_t elements = 128 / (isKey ? shape.k : shape.v).bytes();
  Value full = barrierAt(fullBegin(), ring.stage);
  waitFor(barrierAt(emptyBegin(), ring.stage), ring.phase);
  expect(full, panels * s.keys * 128);
  Int begin = code.add(code.mul(ring.stage, s.slotBytes()), s.qBytes());
  for (int64_t p = 0; p < panels; ++p)
    copy(function.getArgument(isKey ? 1 : 2), code.add(begin, p * s.keys * 128),
         {elements * p, code.mul(tile, s.keys), kvHead, batch}, full, Value());
}

void AttentionKernel::copyRaw(bool isKey, Int tile, const AttentionRing &raw) {
  const AttentionSchedule &s = schedule;
  Value full = barrierAt(rawFull(), raw.stage);
  waitFor(barrierAt(rawEmpty(), raw.stage), raw.phase);
  expect(full, (isKey ? s.rawKeys : s.rawValues) * s.keys);
  copy(function.getArgument(isKey ? 1 : 2),
       code.add(code.mul(raw.stage, s.rawBytes()), s.rawBegin()),
       {0, code.mul(tile, s.keys), kvHead, batch}, full, Value());
}

/// The first warpgroup begins while those of the second one come. A split
/// brings some of the rows for all.
void AttentionKernel::copyQueries(Value phase) {
  const AttentionSchedule &s = schedule;
  int64_t part = 64 / s.splits;
  Value blocks;
  if (s.splits > 1)
    blocks = code.constant(code.i16(), (int64_t(1) << s.splits) - 1);
  for (int64_t g = 0; g < s.warpgroups; ++g) {
    Value full = at(queriesFull() + 8 * g);
    if (s.walkers)
      waitFor(at(queriesEmpty() + 8 * g), phase);
    expect(full, s.panelsQK * 64 * 128);
    Int mine = code.add(code.mul(split, part), 64 * g);
    for (int64_t p = 0; p < s.panelsQK; ++p)
      copy(function.getArgument(0),
           code.add(code.mul(mine, 128), p * s.rows() * 128),
           {128 / shape.q.bytes() * p, code.add(firstRow, mine), matrix, batch},
           full, blocks);
  }
}

/// All key tiles but the first one, which was copied, and that once more: it is
/// the first one of the second pass.
void AttentionKernel::copyFirstPass(AttentionRing &ring, AttentionRing &raw) {
  sm90::Code &c = code;
  Value number = c.get(0), yes = c.constant(c.getI1Type(), 1);
  SmallVector<Value *> cells{&number, &ring.stage, &ring.phase};
  if (schedule.expands())
    cells.append({&raw.stage, &raw.phase});
  c.loop(cells, [&]() -> Value {
    number = c.get(c.add(number, 1));
    Value isLast = c.equal(number, tiles);
    Int tile = c.select(isLast, lastTile, c.sub(lastTile, number));
    copyTile(true, tile, ring, raw);
    advance(ring), advanceRaw(raw, yes);
    return c.less(number, tiles);
  });
}

/// In the order in which consumers take them: key tile 0, then key tile i and
/// value tile i - 1, at last the values of the last one. Before, if there are
/// two passes, all key tiles.
void AttentionKernel::writeProducer() {
  sm90::Code &c = code;
  // A fresh barrier lets through who waits for the phase before the first.
  AttentionRing ring{c.get(0), c.get(1)}, raw = ring;
  Value queriesPhase = c.get(1);
  SmallVector<Value *> cells{&ring.stage, &ring.phase};
  if (schedule.expands())
    cells.append({&raw.stage, &raw.phase});
  SmallVector<Value *> ofItem(cells), ofTile(cells);
  ofItem.push_back(&queriesPhase);
  forItems(ofItem, [&] {
    Value yes = c.constant(c.getI1Type(), 1);
    copyTile(true, lastTile, ring, raw);
    advance(ring), advanceRaw(raw, yes);
    // The others' barriers are initialized, too.
    if (isCluster())
      clusterWait();
    copyQueries(queriesPhase);
    queriesPhase = c.get(c.bitXor(queriesPhase, 1));
    if (shape.weightCodes)
      copyFirstPass(ring, raw);
    Value number = c.get(1);
    Int last = c.sub(c.mul(tiles, 2), 1);
    ofTile.assign(cells);
    ofTile.push_back(&number);
    c.loop(ofTile, [&]() -> Value {
      Value isOdd = c.equal(c.bitAnd(number, 1), 1);
      Value isLast = c.equal(number, last);
      Value isKey = c.selectAny(isLast, c.constant(c.getI1Type(), 0), isOdd);
      c.when(isKey, [&] {
        copyTile(true, c.sub(lastTile, c.shr(c.add(number, 1), 1)), ring, raw);
      });
      c.when(LLVM::XOrOp::create(c, isKey, yes), [&] {
        copyTile(false, c.sub(lastTile, c.shr(c.sub(number, 1), 1)), ring, raw);
      });
      advance(ring), advanceRaw(raw, isKey);
      number = c.get(c.add(number, 1));
      return c.compare(Predicate::ule, number, last);
    });
  });
}

} // namespace gpu
} // namespace nibble
