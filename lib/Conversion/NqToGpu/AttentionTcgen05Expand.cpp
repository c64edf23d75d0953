// Attention on Blackwell's tensor cores: FP8 pieces of keys and values as the
// products take them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// As on Hopper (AttentionExpand.cpp): codes come row by row without gaps, and
// become panels of f16 or bf16, swizzled, exactly. A slot is full either way.
#include "AttentionTcgen05Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using Schedule = AttentionTcgen05Schedule;

/// Codes that a warp takes at once, 8 for each thread, and how many times so
/// many are on their way together.
static constexpr int64_t kCodes = 256, kAtOnce = 4;
/// Beside 0, where all threads begin and end.
static constexpr int64_t kBarrier = 1;

void AttentionTcgen05Kernel::writeExpanders() {
  AttentionRing ring{code.get(0), code.get(1)}, raw{code.get(0), code.get(0)};
  forTiles(ring, raw, [&](bool isKey, Int) {
    forPieces(isKey, ring, [&](int64_t, Int slot) {
      if (!isRaw(isKey))
        return;
      expandPiece(isKey, slot, ring, raw);
      advance(raw, plan.rawSlots);
    });
  });
}

/// One thread answers for all, when what they wrote is there for products and
/// all codes have been read.
void AttentionTcgen05Kernel::expandPiece(bool isKey, Int slot,
                                         const AttentionRing &ring,
                                         const AttentionRing &raw) {
  waitFor(barrierAt(plan.codesFull(), raw.stage), raw.phase);
  waitFor(emptyBarrier(ring.stage), ring.phase);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  Value from = code.at(memory, code.add(code.mul(raw.stage, plan.rawBytes()),
                                        plan.codesBegin()));
  Value to = code.at(memory, slot);
  int64_t all = (isKey ? plan.rawKeys : plan.rawValues) * plan.keys / kCodes;
  int64_t count = all % kAtOnce ? 1 : kAtOnce;
  Value group = code.get(code.sub(warp, Schedule::kExpanders / 32));
  whileLoop(
      {&group}, [&] { return code.less(group, all / count); },
      [&] {
        expandPieces(isKey, code.mul(group, count), count, from, to);
        group = code.get(code.add(group, Schedule::kExpandingWarps));
      });
  NVVM::FenceProxyOp::create(
      code, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(code.getContext(),
                                 NVVM::SharedSpace::shared_cta));
  syncThreads("sync", kBarrier, 32 * Schedule::kExpandingWarps);
  code.when(code.equal(thread, Schedule::kExpanders), [&] {
    arrive(fullBarrier(ring.stage));
    arrive(barrierAt(plan.codesEmpty(), raw.stage));
  });
}

} // namespace gpu
} // namespace nibble
