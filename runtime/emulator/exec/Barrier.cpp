// Barriers of CTAs and clusters.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Barrier.h"

using namespace nibble::emu;

static uint32_t popcount(Lanes lanes) {
  return uint32_t(__builtin_popcount(lanes));
}

/// Ends a phase when all are there. Where all warps are waited for, those that
/// have exited count as there.
static void complete(Barrier &b, const Clock &exited) {
  if (b.expected == 0 || b.arrived < b.expected)
    return;
  b.lastVotes = b.votes;
  b.lastAll = b.votes == b.voters;
  b.arrived = b.expected = b.votes = b.voters = 0;
  b.released.join(b.gathered);
  if (b.whole)
    b.released.join(exited);
  b.gathered.clear();
  b.releasedObjects.join(b.gatheredObjects);
  b.gatheredObjects.clear();
  b.whole = false;
  ++b.phase;
}

static uint32_t liveWarps(const Cta &cta) {
  uint32_t count = 0;
  for (const auto &warp : cta.warps)
    count += warp->live != 0;
  return count;
}

/// The warp has arrived once all its live lanes have.
static void arriveWarp(Warp &warp, Barrier &b, BarrierUse &use) {
  if ((use.arrived & warp.live) != warp.live)
    return;
  use.arrived = 0;
  b.arrived += kWarpSize;
  if (b.arrived > b.expected)
    warp.fault("more threads arrive at a barrier than the " +
               std::to_string(b.expected) + " that it waits for");
  complete(b, warp.cta.cluster.exited);
}

void nibble::emu::arriveAtBarrier(Warp &warp, uint32_t number, Lanes lanes,
                                  uint32_t count, Lanes votes) {
  Barrier &b = warp.cta.barriers[number];
  BarrierUse &use = warp.barriers[number];
  ++warp.cta.cluster.progress;
  uint32_t expected = count ? count : liveWarps(warp.cta) * kWarpSize;
  if (b.expected && b.expected != expected)
    warp.fault("barrier " + std::to_string(number) + " is used for " +
               std::to_string(expected) + " and for " +
               std::to_string(b.expected) + " threads at once");
  if (use.arrived & lanes)
    warp.fault("arrives at barrier " + std::to_string(number) +
               " again before the other lanes of the warp");
  b.expected = expected;
  b.whole |= count == 0;
  b.votes += popcount(votes & lanes);
  b.voters += popcount(lanes);
  use.arrived |= lanes;
  warp.cta.cluster.races.release(warp, b.gathered);
  arriveWarp(warp, b, use);
}

void nibble::emu::arriveAtCluster(Warp &warp, Lanes lanes, bool relaxed) {
  Cluster &cluster = warp.cta.cluster;
  Barrier &b = cluster.barrier;
  if (b.expected == 0)
    for (const auto &cta : cluster.ctas)
      for (const auto &other : cta->warps)
        b.expected += popcount(other->live);
  if (warp.clusterArrived & lanes)
    warp.fault("arrives at the cluster's barrier twice without waiting");
  b.whole = true;
  warp.clusterArrived |= lanes;
  warp.clusterPhase = b.phase;
  b.arrived += popcount(lanes);
  cluster.races.releaseObjects(warp, b.gatheredObjects);
  if (relaxed)
    cluster.races.releaseFenced(warp, b.gathered);
  else
    cluster.races.release(warp, b.gathered);
  complete(b, warp.cta.cluster.exited);
}

static void exitFromCluster(Warp &warp, Lanes lanes) {
  Barrier &b = warp.cta.cluster.barrier;
  Lanes arrived = warp.clusterArrived & lanes;
  warp.clusterArrived &= ~lanes;
  if (b.expected == 0)
    return;
  if (warp.clusterPhase == b.phase)
    b.arrived -= popcount(arrived);
  b.expected -= popcount(lanes);
  complete(b, warp.cta.cluster.exited);
}

void nibble::emu::exitFromBarriers(Warp &warp, Lanes lanes) {
  warp.cta.cluster.races.release(warp, warp.cta.cluster.exited);
  exitFromCluster(warp, lanes);
  for (uint32_t number = 0; number < 16; ++number) {
    Barrier &b = warp.cta.barriers[number];
    BarrierUse &use = warp.barriers[number];
    use.arrived &= ~lanes;
    if (use.arrived)
      arriveWarp(warp, b, use);
    if (warp.live || !b.expected || !b.whole)
      continue;
    b.expected -= kWarpSize;
    complete(b, warp.cta.cluster.exited);
  }
}
