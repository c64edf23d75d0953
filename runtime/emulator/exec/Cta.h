// CTAs and clusters: shared memory, barriers, and the order in which warps run.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_CTA_H
#define NIBBLE_RT_EMULATOR_EXEC_CTA_H

#include "exec/Async.h"
#include "exec/Checks.h"
#include "exec/Counters.h"
#include "exec/MBarrier.h"
#include "exec/Memory.h"
#include "exec/Races.h"
#include "exec/SharedState.h"
#include "exec/TensorMemory.h"
#include "exec/Traffic.h"
#include "exec/Warp.h"
#include "isa/Decoder.h"

#include <atomic>
#include <random>

namespace nibble {
namespace emu {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

/// What a launch asks for, and what its kernel is.
struct Launch {
  const Code *code = nullptr;
  const std::vector<SpecialUse> *specials = nullptr;
  const std::vector<Code> *functions = nullptr; ///< that calls may reach
  Dim3 grid, block, cluster;
  uint32_t dynamicShared = 0;
  uint64_t externShared = 0;       ///< offset of extern shared memory
  const uint8_t *params = nullptr; ///< code->paramBytes, an allocation
  GlobalMemory *memory = nullptr;
  uint64_t seed = 1; ///< orders of warps and of asynchronous work
  bool eager = true; ///< asynchronous work may also be done early
  Checks checks;
  uint64_t gridId = 0;
  uint64_t maxInstructions = 0; ///< of a cluster's warps; 0: any number
  /// Tensor cores add as those of an H100 do, not exactly (tensor/Dot.h).
  bool hopperSums = false;
  Traffic *traffic = nullptr; ///< where accesses to global memory are noted
};

class Cluster;

/// Clusters of a grid that have not started. Thread-safe.
class ClusterQueue {
public:
  explicit ClusterQueue(Dim3 clusters) : clusters(clusters) {}
  /// The next one, or false.
  bool take(Dim3 &id);

private:
  const Dim3 clusters;
  std::atomic<uint64_t> next{0};
};

/// A named barrier of a CTA.
struct Barrier {
  uint32_t expected = 0; ///< threads; 0: nobody waits
  uint32_t arrived = 0;
  uint64_t phase = 0;
  uint32_t votes = 0;     ///< lanes whose predicate holds
  uint32_t voters = 0;    ///< lanes that voted
  bool whole = false;     ///< waits for all warps that live
  uint32_t lastVotes = 0; ///< of the phase before
  bool lastAll = false;   ///< in it, all predicates held
  /// What the threads have done that arrived in this phase, and before.
  Clock gathered, released;
  Clock gatheredObjects, releasedObjects; ///< as far as mbarriers go
  std::string describe() const;
};

struct WarpGroup; ///< isa/WgmmaOrder.cpp

class Cta {
public:
  Cta(Cluster &cluster, unsigned rank, Dim3 id);

  /// Host address of `bytes` at an address, or a fault: outside, misaligned,
  /// read-only.
  uint8_t *resolve(Warp &warp, Space space, uint64_t address, uint32_t bytes,
                   bool write, int lane);
  /// The CTA of the cluster whose shared memory an address (not a generic one)
  /// names, or a fault.
  Cta &ownerOf(Warp &warp, Space space, uint64_t address, uint32_t bytes,
               bool write, int lane);
  /// An mbarrier instruction uses the object at an offset; `writes`: makes it
  /// or ends it.
  void checkBarrier(Warp &warp, uint32_t offset, bool writes, int lane);
  /// Generic address to what it names.
  uint8_t *local(Warp &warp, unsigned lane) const;

  Cluster &cluster;
  const unsigned rank; ///< in the cluster
  const Dim3 id;       ///< in the grid
  std::vector<uint8_t> shared;
  SharedState state; ///< of each byte of it
  AccessLog log;     ///< for races
  std::vector<uint8_t> localMemory;
  Barrier barriers[16];
  MBarriers mbarriers;
  TensorMemory tensor;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<std::shared_ptr<WarpGroup>> warpgroups; ///< made when needed
  uint32_t threads = 0, exited = 0;
  bool sawNoCluster = false; ///< of a clusterlaunchcontrol request

private:
  void checkAccess(Warp &warp, uint32_t offset, uint32_t bytes, bool write,
                   int lane);
  void checkPending(Warp &warp, uint32_t offset, uint32_t bytes, bool write,
                    int lane);
  std::string nameOf(uint32_t offset, uint32_t bytes) const;
  [[noreturn]] void outside(Warp &warp, Space space, uint64_t address,
                            uint32_t bytes, bool write, int lane);
  std::shared_ptr<const Allocation> last;
  uint64_t lastVersion = 0;
};

/// CTAs that run together, on one host thread.
class Cluster {
public:
  Cluster(const Launch &launch, Dim3 id, ClusterQueue &queue);
  ~Cluster();

  /// Runs warps until all are done or nothing can run; true when done. Faults
  /// are thrown.
  bool run(uint64_t budget);
  /// What each warp waits for, for the report of a deadlock.
  std::string describeWaits() const;

  const Launch &launch;
  const Dim3 id;       ///< in the grid of clusters
  ClusterQueue &queue; ///< those that have not started
  std::vector<std::unique_ptr<Cta>> ctas;
  Barrier barrier; ///< barrier.cluster
  Counters counters;
  /// Accesses to global memory, if the launch wants them.
  void noteTraffic(uint64_t address, uint32_t bytes, bool write) {
    if (launch.traffic)
      trace.note(address, bytes, write);
  }
  TrafficTrace trace;
  /// Counts what others may wait for: stores, arrivals, completions.
  uint64_t progress = 0;
  uint64_t clockReads = 0;
  AsyncWork async;
  Races races;
  Clock exited; ///< what warps have done that are no more
  std::mt19937_64 random;

private:
  bool resumeSoftly();
  void finish();
  void count();
  uint64_t executed = 0;   ///< instructions, those that wait again and again
  uint32_t softRounds = 0; ///< without anything that others could wait for
  uint64_t progressSeen = 0;
};

/// Runs a grid on `threads` host threads. "" or the report of the fault; `kind`
/// says what a device would call it.
std::string runGrid(const Launch &launch, unsigned threads, Counters &counters,
                    FaultKind *kind = nullptr);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_CTA_H
