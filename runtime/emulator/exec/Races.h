// Races on shared memory: accesses of different warps, or of asynchronous work,
// that nothing orders. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Happens-before by vector clocks (Flanagan and Freund, "FastTrack", 2009). The
// actors are the warps of a cluster; the operations that are announced through
// an mbarrier, of which a few share an actor; the copies of each warp that it
// waits for by groups; the operations of each warpgroup's wgmma, and of each
// CTA's tcgen05. An actor's clock is handed on
// where the PTX memory model says so: barriers, arrivals and waits of
// mbarriers, acquire and release, fences around strong accesses, waits for
// groups. Lanes of one warp are not told apart. For each 4 bytes the last write
// and two last reads are kept; what is forgotten or taken together makes races
// go unseen, never seen where there are none. A store of the value that is
// there already does not race with other stores.
#ifndef NIBBLE_RT_EMULATOR_EXEC_RACES_H
#define NIBBLE_RT_EMULATOR_EXEC_RACES_H

#include "exec/Clock.h"

#include <memory>
#include <string>

namespace nibble {
namespace emu {

class Cluster;
class Cta;
class Warp;

/// What is known of the shared memory of one CTA.
class AccessLog {
public:
  void resize(size_t bytes) { cells.assign((bytes + 3) / 4, Cell()); }

private:
  friend class Races;
  struct Access {
    uint32_t time = 0;
    uint16_t actor = 0;
    uint8_t mask = 0;    ///< of the 4 bytes
    bool strong = false; ///< atomic, volatile and the like
    uint32_t place = 0;  ///< PTX line and lane
    Epoch epoch() const { return {time, actor}; }
  };
  struct Cell {
    Access write, reads[2];
  };
  std::vector<Cell> cells;
};

/// The races of a cluster. Does nothing unless it is enabled.
class Races {
public:
  /// Called once the CTAs are there.
  void enable(const Cluster &cluster);
  bool isEnabled() const { return enabled; }

  //===--- Actors -----------------------------------------------------------===
  Epoch now(const Warp &warp) const;
  /// The next moment of what an mbarrier announces, of a warp's cp.async or of
  /// its bulk copies in groups, of a warpgroup's wgmma, of a CTA's tcgen05.
  Epoch tickBarrier(const void *barrier);
  Epoch tickCopies(const Warp &warp, bool bulk);
  Epoch tickWgmma(const Warp &warp);
  Epoch tickTensor(unsigned rank);
  /// The last moment of that.
  Epoch lastTensor(unsigned rank) const;

  //===--- Order ------------------------------------------------------------===
  /// `into` learns what the warp has done; what it does from now on is later.
  void release(Warp &warp, Clock &into);
  /// The same of a relaxed operation: what was done before the last fence.
  void releaseFenced(Warp &warp, Clock &into);
  void acquire(Warp &warp, const Clock &from);
  void acquire(Warp &warp, Epoch epoch);
  /// The same of a relaxed operation: known after the next fence.
  void acquireRelaxed(Warp &warp, const Clock &from);
  void fence(Warp &warp);
  /// What mbarriers are, a relaxed barrier of the cluster tells, too: CUTLASS
  /// makes some behind its last fence.mbarrier_init.
  void releaseObjects(Warp &warp, Clock &into);
  void acquireObjects(Warp &warp, const Clock &from);
  /// A strong access to memory (any space): order as in isa/Inst.h.
  void strong(Warp &warp, uint64_t address, bool reads, bool writes,
              uint8_t order);

  /// True if it has happened before what the warp does now.
  bool covers(const Warp &warp, Epoch epoch) const;

  //===--- Accesses ---------------------------------------------------------===
  /// By a warp, or (`as`) by asynchronous work that it issues. Faults if
  /// another access is not ordered with it.
  void access(Warp &warp, Cta &cta, uint32_t offset, uint32_t bytes, bool write,
              bool strong, int lane);
  void access(Warp &warp, Cta &cta, uint32_t offset, uint32_t bytes, bool write,
              Epoch as, int lane, bool strong);
  /// By an mbarrier instruction; `makes`: init and inval.
  void accessBarrier(Warp &warp, Cta &cta, uint32_t offset, bool makes,
                     int lane);

private:
  struct Request;
  void one(const Request &request, AccessLog::Cell &cell, uint32_t word,
           uint8_t mask);
  void all(const Request &request, uint32_t offset, uint32_t bytes);
  [[noreturn]] void report(const Request &request,
                           const AccessLog::Access &before, bool wrote,
                           uint32_t word) const;
  std::string describe(const AccessLog::Access &access) const;
  size_t numberOf(const Warp &warp) const;
  Epoch tick(size_t actor);

  struct WarpClocks {
    Clock clock;    ///< what has happened before
    Clock fenced;   ///< of it, what was there at the last fence
    Clock acquired; ///< by relaxed operations since the last fence
    Clock objects;  ///< what has happened before as far as mbarriers go
  };
  bool enabled = false;
  const Cluster *cluster = nullptr;
  size_t warpsPerCta = 0, groupsPerCta = 0;
  size_t firstBarrier = 0, firstCopies = 0, firstGroup = 0, firstTensor = 0;
  std::vector<uint32_t> times; ///< of all actors
  std::vector<WarpClocks> warps;
  std::vector<Clock> locations; ///< what strong accesses released, by hash
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_RACES_H
