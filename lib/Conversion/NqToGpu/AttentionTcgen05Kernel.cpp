// Attention on Blackwell's tensor cores: the function, barriers, the thread
// that copies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "Kernel.h"
#include "Sm100/Tcgen05.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using Schedule = AttentionTcgen05Schedule;

AttentionTcgen05Kernel::AttentionTcgen05Kernel(
    const AttentionShape &shape, const Schedule &plan, const tile::Target &chip,
    Location loc, mlir::gpu::GPUModuleOp target, const Twine &symbol)
    : AttentionKernel(shape, plan, loc, target, symbol), plan(plan),
      chip(chip) {
  function->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                    code.getDenseI32ArrayAttr(int32_t(plan.blockThreads())));
}

KernelLaunch AttentionTcgen05Kernel::write() {
  launch.grid = {plan.items(shape) * plan.splits, 1, 1};
  launch.block = {plan.blockThreads(), 1, 1};
  launch.cluster = {plan.splits, 1, 1};
  launch.sharedBytes = plan.bytes();
  memory = LLVM::AddressOfOp::create(code, sm90::getDynamicMemory(function));
  findThread();
  // On its way while barriers are written.
  Value loaded = loadLength();
  setUp();
  if (shape.codes)
    storeScale();
  findLength(loaded);
  findPlace(cluster);
  findTiles();
  code.when(code.equal(thread, Schedule::kCopier), [&] { writeCopies(); });
  code.when(code.equal(thread, Schedule::kMultiplier),
            [&] { writeProducts(); });
  if (plan.expands())
    code.when(
        code.compare(LLVM::ICmpPredicate::uge, warp, Schedule::kExpanders / 32),
        [&] { writeExpanders(); });
  code.when(code.less(warp, Schedule::kRowWarps), [&] { writeRows(); });
  if (plan.splits > 1)
    merge();
  finish();
  LLVM::ReturnOp::create(code, ValueRange());
  return launch;
}

void AttentionTcgen05Kernel::initializeBarriers() {
  auto initialize = [&](int64_t address, int64_t arrivals) {
    NVVM::MBarrierInitOp::create(code, at(address), code.get(arrivals),
                                 Value());
  };
  for (unsigned i : {1, 0, 2})
    NVVM::PrefetchOp::create(
        code, NVVM::PrefetchCacheLevelAttr(), NVVM::CacheEvictionPriorityAttr(),
        function.getArgument(i), Value(), code.getUnitAttr());
  int64_t arrivals[Schedule::kBarriers] = {
      1, 1, 1, Schedule::kRowWarps, 1, Schedule::kRowWarps, Schedule::kRowWarps,
      1};
  for (auto [i, count] : llvm::enumerate(arrivals))
    initialize(plan.barrierBegin() + 8 * int64_t(i), count);
  for (int64_t i = 0; i < 2 * (plan.slots + plan.rawSlots); ++i)
    initialize(plan.fullBegin() + 8 * i, 1);
  if (plan.receivedBytes())
    expect(code.at(memory, totalsBarrier()), plan.receivedBytes());
  NVVM::FenceMbarrierInitOp::create(code);
  NVVM::FenceProxyOp::create(
      code, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(code.getContext(),
                                 NVVM::SharedSpace::shared_cta));
}

/// Barriers and tensor memory, until all threads know them.
void AttentionTcgen05Kernel::setUp() {
  code.when(code.equal(thread, Schedule::kCopier),
            [&] { initializeBarriers(); });
  Value slot = at(plan.tensorAddress());
  code.when(code.equal(warp, 0),
            [&] { sm100::allocate(code, slot, plan.tensorColumns()); });
  sm100::fence(code, /*after=*/false);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  // Others of the cluster send totals.
  if (plan.receivedBytes())
    NVVM::ClusterArriveOp::create(code, UnitAttr()), clusterWait();
  else
    NVVM::Barrier0Op::create(code);
  sm100::fence(code, /*after=*/true);
  tensorBase = Value(LLVM::LoadOp::create(code, code.i32(), slot));
  lanesBase = code.add(tensorBase, code.shl(warp, 21));
}

/// Threads that did a role alone meet their warps first.
void AttentionTcgen05Kernel::finish() {
  sm100::fence(code, /*after=*/false);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  NVVM::Barrier0Op::create(code);
  sm100::fence(code, /*after=*/true);
  code.when(code.equal(warp, 0),
            [&] { sm100::release(code, tensorBase, plan.tensorColumns()); });
}

Value AttentionTcgen05Kernel::scoresBarrier(Int buffer) {
  return code.at(at(plan.barrierBegin() + 8), code.shl(buffer, 3));
}

Value AttentionTcgen05Kernel::readBarrier(Int buffer) {
  return code.at(at(plan.barrierBegin() + 40), code.shl(buffer, 3));
}

void AttentionTcgen05Kernel::await(Value barrier, Int phase) {
  waitFor(barrier, code.get(phase));
  sm100::fence(code, /*after=*/true);
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

void AttentionTcgen05Kernel::forPieces(bool isKey, AttentionRing &ring,
                                       function_ref<void(int64_t, Int)> body) {
  for (int64_t piece = 0; piece < plan.pieces(isKey); ++piece) {
    body(piece,
         code.add(code.mul(ring.stage, plan.pieceBytes()), plan.slotBegin()));
    advance(ring, plan.slots);
  }
}

/// What lies behind the end of a tensor comes as zeros. Who expands codes takes
/// the slot.
void AttentionTcgen05Kernel::copyPieces(bool isKey, Int tile,
                                        AttentionRing &ring,
                                        AttentionRing &raw) {
  int64_t elements = 128 / (isKey ? shape.k : shape.v).bytes();
  Value map = function.getArgument(isKey ? 1 : 2);
  Int row = code.mul(tile, plan.keys);
  forPieces(isKey, ring, [&](int64_t piece, Int slot) {
    if (isRaw(isKey)) {
      Value full = barrierAt(plan.codesFull(), raw.stage);
      waitFor(barrierAt(plan.codesEmpty(), raw.stage), raw.phase);
      expect(full, (isKey ? plan.rawKeys : plan.rawValues) * plan.keys);
      copy(map,
           code.add(code.mul(raw.stage, plan.rawBytes()), plan.codesBegin()),
           {piece * Schedule::kPiecePanels * 64, row, kvHead, batch}, full,
           Value());
      return advance(raw, plan.rawSlots);
    }
    int64_t panels = plan.panels(isKey, piece);
    Value full = fullBarrier(ring.stage);
    waitFor(emptyBarrier(ring.stage), ring.phase);
    expect(full, panels * plan.panelBytes());
    for (int64_t p = 0; p < panels; ++p)
      copy(
          map, code.add(slot, p * plan.panelBytes()),
          {elements * (piece * Schedule::kPiecePanels + p), row, kvHead, batch},
          full, Value());
  });
}

/// In boxes of some rows (AttentionKernel::addMaps); those of a panel follow
/// each other.
void AttentionTcgen05Kernel::copyRows() {
  expect(queriesBarrier(), plan.qBytes());
  for (int64_t p = 0; p < plan.panelsQK; ++p)
    for (int64_t row = 0; row < plan.rows(); row += 64 / plan.splits)
      copy(function.getArgument(0), (p * plan.rows() + row) * 128,
           {128 / shape.q.bytes() * p, code.add(firstRow, row), matrix, batch},
           queriesBarrier(), Value());
}

void AttentionTcgen05Kernel::forFirstWalk(AttentionRing &ring,
                                          AttentionRing &raw,
                                          function_ref<void(bool, Int)> body) {
  Value tile = code.get(lastTile), left = code.get(tiles);
  code.loop({&ring.stage, &ring.phase, &raw.stage, &raw.phase, &tile, &left},
            [&]() -> Value {
              body(true, tile);
              tile = code.get(code.sub(tile, 1));
              left = code.get(code.sub(left, 1));
              return code.compare(LLVM::ICmpPredicate::ne, left, 0);
            });
}

void AttentionTcgen05Kernel::forTiles(AttentionRing &ring, AttentionRing &raw,
                                      function_ref<void(bool, Int)> body) {
  if (plan.walksTwice)
    forFirstWalk(ring, raw, body);
  body(true, lastTile);
  Value tile = code.get(lastTile), left = code.get(code.sub(tiles, 1));
  whileLoop(
      {&ring.stage, &ring.phase, &raw.stage, &raw.phase, &tile, &left},
      [&] { return code.compare(LLVM::ICmpPredicate::ne, left, 0); },
      [&] {
        body(true, code.sub(tile, 1));
        body(false, tile);
        tile = code.get(code.sub(tile, 1));
        left = code.get(code.sub(left, 1));
      });
  body(false, tile);
}

void AttentionTcgen05Kernel::writeCopies() {
  // A fresh barrier lets through who waits for the phase before the first.
  AttentionRing ring{code.get(0), code.get(1)}, raw = ring;
  copyRows();
  forTiles(ring, raw,
           [&](bool isKey, Int tile) { copyPieces(isKey, tile, ring, raw); });
}

} // namespace gpu
} // namespace nibble
