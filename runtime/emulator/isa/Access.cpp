// Words and counters that all memory instructions share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Access.h"

#include "exec/Banks.h"

using namespace nibble::emu;

void nibble::emu::countAccess(Warp &w, const Inst &i, Lanes lanes,
                              uint32_t bytes, bool write) {
  w.cta.cluster.progress += write;
  Counters &c = w.cta.cluster.counters;
  uint64_t all = uint64_t(bytes) * unsigned(__builtin_popcount(lanes));
  Space space = Space(i.sub[2]);
  if (space == Space::Shared || space == Space::SharedCluster)
    (write ? c.sharedWritten : c.sharedRead) += all;
  else if (space == Space::Global || space == Space::Generic)
    (write ? c.globalWritten : c.globalRead) += all;
}

void nibble::emu::countBanksOf(Warp &w, const Inst &i, Lanes lanes,
                               uint32_t bytes) {
  Space space = Space(i.sub[2]);
  if (space != Space::Shared && space != Space::SharedCluster &&
      space != Space::Generic)
    return;
  uint32_t offsets[kWarpSize];
  Lanes shared = 0;
  for (Lanes rest = lanes; rest; rest &= rest - 1) {
    unsigned l = unsigned(__builtin_ctz(rest));
    uint64_t address = addressOf(w, i, l);
    if (space == Space::Generic && !(address & kSharedWindow))
      continue;
    offsets[l] = uint32_t(address) & kSharedOffsetMask;
    shared |= Lanes(1) << l;
  }
  if (shared)
    countBanks(w.cta.cluster.counters, offsets, shared, bytes);
}

Space nibble::emu::takeSpace(Decoder &d, Space otherwise) {
  switch (d.words().takeOf({"global", "const", "shared", "shared::cta",
                            "shared::cluster", "local", "param", "param::entry",
                            "param::func"})) {
  case 0:
    return Space::Global;
  case 1:
    return Space::Const;
  case 2:
  case 3:
    return Space::Shared;
  case 4:
    return Space::SharedCluster;
  case 5:
    return Space::Local;
  case 6:
  case 7:
  case 8:
    return Space::Param;
  default:
    return otherwise;
  }
}

void nibble::emu::takeHints(Decoder &d) {
  static constexpr uint8_t kOrders[] = {kStrong,
                                        kStrong | kAcquire,
                                        kStrong | kRelease,
                                        kStrong | kAcquire | kRelease,
                                        kStrong,
                                        kStrong,
                                        0};
  int order = d.words().takeOf(
      {"relaxed", "acquire", "release", "acq_rel", "volatile", "mmio", "weak"});
  d.inst().order = order < 0 ? 0 : kOrders[order];
  d.words().takeOf({"cta", "cluster", "gpu", "sys"});
  d.words().takeOf({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  d.words().take("nc");
  d.words().takeOf({"L1::evict_normal", "L1::evict_unchanged",
                    "L1::evict_first", "L1::evict_last", "L1::no_allocate"});
  d.words().takeOf({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  d.words().takeOf({"L2::64B", "L2::128B", "L2::256B"});
}

unsigned nibble::emu::takeVector(Decoder &d) {
  static constexpr unsigned kCounts[] = {2, 4, 8};
  int vector = d.words().takeOf({"v2", "v4", "v8"});
  return vector < 0 ? 1 : kCounts[vector];
}
