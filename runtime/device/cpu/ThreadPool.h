// Persistent threads for low-latency parallel loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_CPU_THREADPOOL_H
#define NIBBLE_RT_DEVICE_CPU_THREADPOOL_H

#include "nibble/rt/engine_format.h"
#include "nibble/rt/status.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace nibble {
namespace rt {

/// A piece of a loop: `scratch` belongs to the running thread alone.
using RangeFunction = void (*)(void *context, int64_t lo, int64_t hi,
                               void *scratch);

/// `threads` - 1 workers and the caller share each loop.
///
/// The range is cut into one part per thread, in multiples of the grain. A
/// thread takes pieces of its own part (Static: the whole part) and, when done,
/// pieces of others; so a worker that wakes late costs nothing: the caller does
/// not wait for workers that never joined. Workers spin for a while after a
/// loop, because the next launch usually comes within microseconds, then sleep
/// on a futex.
class ThreadPool {
public:
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  unsigned size() const { return unsigned(slots.size()); }

  /// Calls `function` with disjoint ranges that cover [0, extent), each
  /// starting at a multiple of `grain`. Returns when all are done. Calls from
  /// several threads take turns. Fails only if scratch cannot be allocated.
  Status run(int64_t extent, int64_t grain, Split split, uint64_t scratchBytes,
             RangeFunction function, void *context);

private:
  struct alignas(64) Slot {
    std::atomic<int64_t> next{0}; ///< in units of pieces
    int64_t end = 0;              ///< in units of pieces
    int64_t first = 0;            ///< first grain of the part
    int64_t last = 0;             ///< one past its last grain
    void *scratch = nullptr;
    uint64_t scratchBytes = 0;
  };

  void publish(int64_t grains, int64_t pieces);
  void close();
  void work(unsigned self);
  void workOn(Slot &slot, void *scratch);
  void workerLoop(unsigned self);
  bool waitForJob(uint32_t seen);
  Status reserveScratch(uint64_t bytes);

  std::mutex mutex; ///< one loop at a time
  std::vector<Slot> slots;
  std::vector<std::thread> workers;

  // The loop at hand; stable while `active` workers are in it.
  RangeFunction function = nullptr;
  void *context = nullptr;
  int64_t extent = 0, grain = 1, pieceGrains = 1;

  alignas(64) std::atomic<uint32_t> epoch{0}; ///< futex: a new loop, or the end
  std::atomic<uint32_t> sleepers{0};
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<uint32_t> active{0}; ///< futex: workers in the loop
  std::atomic<bool> closed{true};
  std::atomic<bool> callerSleeps{false};
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CPU_THREADPOOL_H
