// CTAs: addresses.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Cta.h"

#include "isa/Numbers.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace nibble::emu;

static constexpr uint8_t kPoison = 0xCB;

/// Registers that a warp knows from the start.
static uint64_t valueOf(Special which, const Cta &cta, unsigned warp,
                        unsigned lane) {
  const Launch &l = cta.cluster.launch;
  uint32_t thread = warp * kWarpSize + lane;
  Dim3 rank{cta.id.x % l.cluster.x, cta.id.y % l.cluster.y,
            cta.id.z % l.cluster.z};
  switch (which) {
  case Special::TidX:
    return thread % l.block.x;
  case Special::TidY:
    return thread / l.block.x % l.block.y;
  case Special::TidZ:
    return thread / l.block.x / l.block.y;
  case Special::NTidX:
    return l.block.x;
  case Special::NTidY:
    return l.block.y;
  case Special::NTidZ:
    return l.block.z;
  case Special::CtaIdX:
    return cta.id.x;
  case Special::CtaIdY:
    return cta.id.y;
  case Special::CtaIdZ:
    return cta.id.z;
  case Special::NCtaIdX:
    return l.grid.x;
  case Special::NCtaIdY:
    return l.grid.y;
  case Special::NCtaIdZ:
    return l.grid.z;
  case Special::LaneId:
    return lane;
  case Special::WarpId:
    return warp;
  case Special::NWarpId:
    return (l.block.count() + kWarpSize - 1) / kWarpSize;
  case Special::SmId:
    return cta.id.x; // some SM; programs may not rely on which
  case Special::NSmId:
    return 1;
  case Special::GridId:
    return l.gridId;
  case Special::ClusterIdX:
    return cta.id.x / l.cluster.x;
  case Special::ClusterIdY:
    return cta.id.y / l.cluster.y;
  case Special::ClusterIdZ:
    return cta.id.z / l.cluster.z;
  case Special::NClusterIdX:
    return l.grid.x / l.cluster.x;
  case Special::NClusterIdY:
    return l.grid.y / l.cluster.y;
  case Special::NClusterIdZ:
    return l.grid.z / l.cluster.z;
  case Special::ClusterCtaIdX:
    return rank.x;
  case Special::ClusterCtaIdY:
    return rank.y;
  case Special::ClusterCtaIdZ:
    return rank.z;
  case Special::ClusterNCtaIdX:
    return l.cluster.x;
  case Special::ClusterNCtaIdY:
    return l.cluster.y;
  case Special::ClusterNCtaIdZ:
    return l.cluster.z;
  case Special::ClusterCtaRank:
    return cta.rank;
  case Special::ClusterNCtaRank:
    return l.cluster.count();
  case Special::IsExplicitCluster:
    return l.cluster.count() > 1;
  case Special::LaneMaskEq:
    return 1u << lane;
  case Special::LaneMaskLe:
    return (2u << lane) - 1;
  case Special::LaneMaskLt:
    return (1u << lane) - 1;
  case Special::LaneMaskGe:
    return ~((1u << lane) - 1);
  case Special::LaneMaskGt:
    return ~((2u << lane) - 1);
  case Special::DynamicSharedSize:
    return l.dynamicShared;
  case Special::TotalSharedSize:
  case Special::AggrSharedSize:
    return cta.shared.size();
  case Special::SharedBase:
    return uint64_t(cta.rank) << kRankShift;
  case Special::SharedGeneric:
    return kSharedWindow | uint64_t(cta.rank) << kRankShift;
  case Special::None:
    return 0;
  }
  return 0;
}

Cta::Cta(Cluster &cluster, unsigned rank, Dim3 id)
    : cluster(cluster), rank(rank), id(id) {
  const Launch &launch = cluster.launch;
  shared.assign(launch.externShared + launch.dynamicShared, kPoison);
  state.resize(shared.size());
  threads = uint32_t(launch.block.count());
  localMemory.assign(
      uint64_t(launch.code->localBytes) * ((threads + 31) & ~31u), kPoison);
  for (uint32_t first = 0; first < threads; first += kWarpSize) {
    uint32_t count = std::min(threads - first, kWarpSize);
    Lanes lanes = count == kWarpSize ? kAllLanes : (Lanes(1) << count) - 1;
    auto warp =
        std::make_unique<Warp>(*this, *launch.code, first / kWarpSize, lanes);
    for (const SpecialUse &use : *launch.specials)
      for (unsigned l = 0; l < kWarpSize; ++l) {
        uint64_t value = valueOf(use.which, *this, warp->index, l) + use.addend;
        std::memcpy(warp->lanes<uint8_t>(Ref::reg(use.offset)) + l * use.bytes,
                    &value, use.bytes);
      }
    warps.push_back(std::move(warp));
  }
}

uint8_t *Cta::local(Warp &warp, unsigned lane) const {
  uint64_t bytes = cluster.launch.code->localBytes;
  return const_cast<uint8_t *>(localMemory.data()) +
         bytes * (warp.index * kWarpSize + lane);
}

static std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
  return text;
}

void Cta::outside(Warp &warp, Space space, uint64_t address, uint32_t bytes,
                  bool write, int lane) {
  std::string what = std::string(write ? "writes " : "reads ") +
                     std::to_string(bytes) + " bytes at " + spaceName(space) +
                     " address " + hex(address);
  if (address % bytes)
    warp.fault(what + ", which is no multiple of " + std::to_string(bytes),
               lane, FaultKind::Misaligned);
  if (space == Space::Shared || space == Space::SharedCluster)
    what += ", but this CTA has " + std::to_string(shared.size()) +
            " bytes of shared memory";
  else if (space == Space::Local)
    what += ", but a thread has " +
            std::to_string(cluster.launch.code->localBytes) +
            " bytes of local memory";
  else
    what += ", " + cluster.launch.memory->describe(address);
  warp.fault(what, lane, FaultKind::Address);
}

Cta &Cta::ownerOf(Warp &warp, Space space, uint64_t address, uint32_t bytes,
                  bool write, int lane) {
  uint64_t owner = address >> kRankShift, offset = address & kSharedOffsetMask;
  bool exists = owner < cluster.ctas.size();
  if (!exists || (space == Space::Shared && owner != rank))
    warp.fault(std::string(spaceName(space)) + " address " + hex(address) +
                   " belongs to CTA " + std::to_string(owner) +
                   " of the cluster, which " +
                   (exists ? "is another one" : "does not exist"),
               lane, FaultKind::Address);
  Cta &target = *cluster.ctas[owner];
  if (offset + bytes > target.shared.size())
    outside(warp, space, address, bytes, write, lane);
  return target;
}

uint8_t *Cta::resolve(Warp &warp, Space space, uint64_t address, uint32_t bytes,
                      bool write, int lane) {
  Space where = space;
  uint64_t at = address;
  if (space == Space::Generic) {
    where = at & kLocalWindow    ? Space::Local
            : at & kSharedWindow ? Space::SharedCluster
                                 : Space::Global;
    at &= ~(kLocalWindow | kSharedWindow);
  }
  if (address % bytes)
    outside(warp, space, address, bytes, write, lane);
  if (where == Space::Shared || where == Space::SharedCluster) {
    Cta &target = ownerOf(warp, where, at, bytes, write, lane);
    uint32_t offset = uint32_t(at) & kSharedOffsetMask;
    target.checkAccess(warp, offset, bytes, write, lane);
    return target.shared.data() + offset;
  }
  if (where == Space::Local) {
    if (at + bytes > cluster.launch.code->localBytes)
      outside(warp, space, address, bytes, write, lane);
    return local(warp, unsigned(lane)) + at;
  }
  GlobalMemory &memory = *cluster.launch.memory;
  if (!last || at < last->begin || at + bytes > last->end ||
      lastVersion != memory.version()) {
    lastVersion = memory.version();
    last = memory.find(at);
  }
  if (!last || at + bytes > last->end)
    outside(warp, space, address, bytes, write, lane);
  if (write && !last->writable)
    warp.fault("writes to " + last->name + ", which is read-only", lane,
               FaultKind::Address);
  cluster.noteTraffic(at, bytes, write);
  return reinterpret_cast<uint8_t *>(at);
}

std::string Cta::nameOf(uint32_t offset, uint32_t bytes) const {
  return std::to_string(bytes) + " bytes at shared address " +
         hex(uint64_t(rank) << kRankShift | offset);
}

void Cta::checkPending(Warp &warp, uint32_t offset, uint32_t bytes, bool write,
                       int lane) {
  uint8_t flags = state.any(offset, bytes);
  if (flags & SharedState::PendingWrite)
    warp.fault(std::string(write ? "writes " : "reads ") +
                   nameOf(offset, bytes) +
                   ", which an asynchronous copy writes that has not been "
                   "waited for",
               lane);
  if (write && (flags & SharedState::PendingRead))
    warp.fault("writes " + nameOf(offset, bytes) +
                   ", which an asynchronous operation still reads",
               lane);
}

/// An access through the generic proxy, against what asynchronous work has in
/// hand, what was written before, and what other warps do.
void Cta::checkAccess(Warp &warp, uint32_t offset, uint32_t bytes, bool write,
                      int lane) {
  const Checks &checks = cluster.launch.checks;
  if (checks.pending)
    checkPending(warp, offset, bytes, write, lane);
  if (write) {
    state.set(offset, bytes, SharedState::Written);
    state.noteGenericWrite(offset, bytes);
  } else if (checks.uninitialized && !state.allWritten(offset, bytes)) {
    warp.fault("reads " + nameOf(offset, bytes) + ", which nobody has written",
               lane);
  }
  cluster.races.access(warp, *this, offset, bytes, write,
                       warp.inst->order & kStrong, lane);
}

/// Other proxies do not read mbarriers as data, so nothing is to be fenced.
void Cta::checkBarrier(Warp &warp, uint32_t offset, bool writes, int lane) {
  if (cluster.launch.checks.pending)
    checkPending(warp, offset, 8, writes, lane);
  if (writes)
    state.set(offset, 8, SharedState::Written);
  cluster.races.accessBarrier(warp, *this, offset, writes, lane);
}
