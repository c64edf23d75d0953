// Races on shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Races.h"

#include "exec/Cta.h"

#include <cstdio>

using namespace nibble::emu;

static constexpr size_t kBarrierActors = 16, kLocations = 256;
static constexpr unsigned kLaneBits = 6, kNoLane = 63;

void Races::enable(const Cluster &c) {
  cluster = &c;
  enabled = true;
  warpsPerCta = c.ctas[0]->warps.size();
  groupsPerCta = (warpsPerCta + 3) / 4;
  size_t count = c.ctas.size();
  firstBarrier = count * warpsPerCta;
  firstCopies = firstBarrier + kBarrierActors;
  firstGroup = firstCopies + 2 * count * warpsPerCta;
  firstTensor = firstGroup + count * groupsPerCta;
  times.assign(firstTensor + count, 0);
  warps.resize(count * warpsPerCta);
  for (size_t w = 0; w < warps.size(); ++w)
    warps[w].clock.join(tick(w));
  for (auto &cta : c.ctas)
    cta->log.resize(cta->shared.size());
}

//===----------------------------------------------------------------------===//
// Actors
//===----------------------------------------------------------------------===//

size_t Races::numberOf(const Warp &w) const {
  return w.cta.rank * warpsPerCta + w.index;
}

Epoch Races::tick(size_t actor) { return {++times[actor], uint16_t(actor)}; }

Epoch Races::now(const Warp &w) const {
  if (!enabled)
    return {};
  size_t number = numberOf(w);
  return {times[number], uint16_t(number)};
}

Epoch Races::tickBarrier(const void *barrier) {
  size_t hash = size_t(barrier) / 8;
  return enabled ? tick(firstBarrier + (hash ^ hash / 16) % kBarrierActors)
                 : Epoch();
}
Epoch Races::tickCopies(const Warp &w, bool bulk) {
  return enabled ? tick(firstCopies + 2 * numberOf(w) + bulk) : Epoch();
}
Epoch Races::tickWgmma(const Warp &w) {
  return enabled ? tick(firstGroup + w.cta.rank * groupsPerCta + w.index / 4)
                 : Epoch();
}
Epoch Races::tickTensor(unsigned rank) {
  return enabled ? tick(firstTensor + rank) : Epoch();
}
Epoch Races::lastTensor(unsigned rank) const {
  return enabled
             ? Epoch{times[firstTensor + rank], uint16_t(firstTensor + rank)}
             : Epoch();
}

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

void Races::release(Warp &w, Clock &into) {
  if (!enabled)
    return;
  size_t number = numberOf(w);
  into.join(warps[number].clock);
  warps[number].clock.join(tick(number));
}

void Races::releaseFenced(Warp &w, Clock &into) {
  if (enabled)
    into.join(warps[numberOf(w)].fenced);
}

void Races::acquire(Warp &w, const Clock &from) {
  if (enabled && !from.empty())
    warps[numberOf(w)].clock.join(from);
}

void Races::acquire(Warp &w, Epoch epoch) {
  if (enabled)
    warps[numberOf(w)].clock.join(epoch);
}

bool Races::covers(const Warp &w, Epoch epoch) const {
  return !enabled || !epoch.time || warps[numberOf(w)].clock.covers(epoch);
}

void Races::acquireRelaxed(Warp &w, const Clock &from) {
  if (enabled && !from.empty())
    warps[numberOf(w)].acquired.join(from);
}

void Races::fence(Warp &w) {
  if (!enabled)
    return;
  WarpClocks &clocks = warps[numberOf(w)];
  clocks.clock.join(clocks.acquired);
  clocks.acquired.clear();
  release(w, clocks.fenced);
}

struct Races::Request {
  Warp &warp;
  Cta &cta;
  const Clock &seen;
  AccessLog::Access access;
  bool write;
  int lane;
  uint32_t offset; ///< where it begins

  /// A store of what is there already: programs set flags so.
  bool changesNothing(uint32_t word, uint8_t mask) const {
    for (unsigned b = 0; b < 4; ++b)
      if (mask >> b & 1 &&
          warp.stored[4 * word + b - offset] != cta.shared[4 * word + b])
        return false;
    return true;
  }
};

void Races::releaseObjects(Warp &w, Clock &into) {
  if (enabled)
    into.join(warps[numberOf(w)].clock);
}
void Races::acquireObjects(Warp &w, const Clock &from) {
  if (enabled && !from.empty())
    warps[numberOf(w)].objects.join(from);
}

void Races::accessBarrier(Warp &w, Cta &cta, uint32_t offset, bool makes,
                          int lane) {
  if (!enabled)
    return;
  WarpClocks &clocks = warps[numberOf(w)];
  Clock both;
  const Clock *seen = &clocks.clock;
  if (!clocks.objects.empty()) {
    both = clocks.clock;
    both.join(clocks.objects);
    seen = &both;
  }
  Epoch as = now(w);
  uint32_t place = w.inst->line << kLaneBits | uint32_t(lane);
  all({w,
       cta,
       *seen,
       {as.time, as.actor, 0, !makes, place},
       makes,
       lane,
       offset},
      offset, 8);
}

void Races::strong(Warp &w, uint64_t address, bool reads, bool writes,
                   uint8_t order) {
  if (!enabled)
    return;
  locations.resize(kLocations);
  address &= ~kSharedWindow; // generic or not
  size_t hash = size_t(address / 4 * 0x9E3779B97F4A7C15ull >> 32);
  Clock &location = locations[hash % kLocations];
  if (reads && (order & kAcquire))
    acquire(w, location);
  else if (reads)
    acquireRelaxed(w, location);
  if (writes && (order & kRelease))
    release(w, location);
  else if (writes)
    releaseFenced(w, location);
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

void Races::access(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                   bool write, bool strong, int lane) {
  if (!enabled)
    return;
  Epoch as = now(w);
  uint32_t place =
      w.inst->line << kLaneBits | (lane < 0 ? kNoLane : uint32_t(lane));
  all({w,
       cta,
       warps[as.actor].clock,
       {as.time, as.actor, 0, strong, place},
       write,
       lane,
       offset},
      offset, bytes);
}

void Races::access(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                   bool write, Epoch as, int lane, bool strong) {
  if (!enabled)
    return;
  all({w,
       cta,
       warps[numberOf(w)].clock,
       {as.time, as.actor, 0, strong, w.inst->line << kLaneBits | kNoLane},
       write,
       lane,
       offset},
      offset, bytes);
}

void Races::all(const Request &r, uint32_t offset, uint32_t bytes) {
  AccessLog::Cell *cells = r.cta.log.cells.data();
  uint32_t end = offset + bytes;
  for (uint32_t word = offset / 4; 4 * word < end; ++word) {
    uint32_t low = std::max(offset, 4 * word) - 4 * word;
    uint32_t high = std::min(end - 4 * word, 4u);
    one(r, cells[word], word, uint8_t((1u << high) - (1u << low)));
  }
}

void Races::one(const Request &r, AccessLog::Cell &cell, uint32_t word,
                uint8_t mask) {
  using Access = AccessLog::Access;
  const Epoch as = r.access.epoch();
  auto conflicts = [&](const Access &before) {
    return before.time && (before.mask & mask) &&
           !(before.strong && r.access.strong) &&
           !r.seen.covers(before.epoch());
  };
  auto matches = [&](const Access &before) {
    return before.epoch() == as && before.strong == r.access.strong;
  };
  // The same access again: what it conflicts with has been looked at.
  Access &mine = r.write ? cell.write : cell.reads[0];
  if (matches(mine) && (mine.mask & mask) == mask &&
      (!r.write || !(cell.reads[0].time | cell.reads[1].time)))
    return;
  if (conflicts(cell.write) &&
      !(r.write && r.warp.stored && r.changesNothing(word, mask)))
    report(r, cell.write, true, word);
  for (Access &read : cell.reads) {
    if (!r.write)
      break;
    if (conflicts(read))
      report(r, read, false, word);
  }
  Access *into = &cell.write;
  if (r.write) {
    cell.reads[0].time = cell.reads[1].time = 0;
  } else {
    // In the place of a read that is over for this one, the newest first.
    into = &cell.reads[0];
    if (into->time && into->actor != as.actor && !r.seen.covers(into->epoch()))
      cell.reads[1] = *into;
    else if (cell.reads[1].actor == as.actor)
      cell.reads[1].time = 0;
  }
  uint8_t before = matches(*into) ? into->mask : 0;
  *into = r.access;
  into->mask = mask | before;
}

std::string Races::describe(const AccessLog::Access &a) const {
  std::string text;
  if (a.actor < firstBarrier) {
    const Cta &cta = *cluster->ctas[a.actor / warpsPerCta];
    uint32_t lane = a.place & ((1u << kLaneBits) - 1);
    uint32_t warp = uint32_t(a.actor % warpsPerCta);
    text = "CTA (" + std::to_string(cta.id.x) + ", " +
           std::to_string(cta.id.y) + ", " + std::to_string(cta.id.z) + "), ";
    text += lane == kNoLane
                ? "warp " + std::to_string(warp)
                : "thread " + std::to_string(warp * kWarpSize + lane);
  } else {
    text = a.actor < firstGroup    ? "an asynchronous copy"
           : a.actor < firstTensor ? "a wgmma.mma_async"
                                   : "a tcgen05 operation";
  }
  return text + ", PTX line " + std::to_string(a.place >> kLaneBits);
}

void Races::report(const Request &r, const AccessLog::Access &before,
                   bool wrote, uint32_t word) const {
  char address[24];
  std::snprintf(address, sizeof address, "0x%x",
                r.cta.rank << kRankShift | 4 * word);
  r.warp.fault(std::string("a race: ") + (r.write ? "writes" : "reads") +
                   " shared address " + address + ", which " +
                   describe(before) + (wrote ? ", writes" : ", reads") +
                   "; nothing orders the two",
               r.lane);
}
