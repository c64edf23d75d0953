// Spin-then-futex thread pool with work stealing in pieces.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ThreadPool.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace nibble::rt;

/// Longer than the gap between two launches, shorter than anybody minds.
static constexpr auto kSpin = std::chrono::microseconds(50);
/// Pieces of a thread's part: enough to even out a noisy neighbour.
static constexpr int64_t kPiecesPerPart = 4;

static void cpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

static void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  static_assert(sizeof(word) == 4, "a futex is 32 bits");
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr,
            0);
}

static void futexWake(std::atomic<uint32_t> &word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1 << 30, nullptr, nullptr, 0);
}

/// Spins until `done` or the time is up; returns whether it is done.
template <typename Done> static bool spinUntil(Done done) {
  auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (done())
        return true;
      cpuRelax();
    }
  } while (std::chrono::steady_clock::now() - start < kSpin);
  return done();
}

ThreadPool::ThreadPool(unsigned threads) : slots(std::max(threads, 1u)) {
  for (unsigned i = 1; i < slots.size(); ++i)
    workers.emplace_back([this, i] { workerLoop(i); });
}

ThreadPool::~ThreadPool() {
  stop = true;
  epoch.fetch_add(1);
  futexWake(epoch);
  for (std::thread &worker : workers)
    worker.join();
  for (Slot &slot : slots)
    std::free(slot.scratch);
}

Status ThreadPool::reserveScratch(uint64_t bytes) {
  // Rounded up so that 64-byte stores at the end stay inside.
  bytes = (bytes + 63) / 64 * 64;
  for (Slot &slot : slots) {
    if (slot.scratchBytes >= bytes)
      continue;
    std::free(slot.scratch);
    slot.scratch = std::aligned_alloc(64, bytes);
    slot.scratchBytes = slot.scratch ? bytes : 0;
    if (!slot.scratch)
      return error(
          Code::OutOfMemory,
          "cannot allocate %llu bytes of scratch for each of %u threads",
          static_cast<unsigned long long>(bytes), size());
  }
  return Status();
}

/// Grains [0, grains) in one part per thread, each in up to `pieces` pieces.
void ThreadPool::publish(int64_t grains, int64_t pieces) {
  int64_t count = slots.size();
  int64_t part = grains / count + (grains % count != 0);
  pieceGrains = part / pieces + (part % pieces != 0);
  for (int64_t i = 0; i < count; ++i) {
    Slot &slot = slots[i];
    // part * i cannot overflow: part <= 2^62 / count + 1, i < count.
    slot.first = std::min(part * i, grains);
    slot.last = std::min(slot.first + part, grains);
    int64_t length = slot.last - slot.first;
    slot.end = length / pieceGrains + (length % pieceGrains != 0);
    slot.next.store(0, std::memory_order_relaxed);
  }
  closed.store(false);
  epoch.fetch_add(1);
  if (sleepers.load())
    futexWake(epoch);
}

/// No worker may join any more; waits for those inside.
void ThreadPool::close() {
  closed.store(true);
  if (spinUntil([&] { return active.load() == 0; }))
    return;
  callerSleeps.store(true);
  for (uint32_t now = active.load(); now != 0; now = active.load())
    futexWait(active, now);
  callerSleeps.store(false);
}

Status ThreadPool::run(int64_t newExtent, int64_t newGrain, Split split,
                       uint64_t scratchBytes, RangeFunction newFunction,
                       void *newContext) {
  if (newExtent <= 0)
    return Status();
  std::lock_guard<std::mutex> lock(mutex);
  NIBBLE_RETURN_IF_ERROR(reserveScratch(scratchBytes));
  int64_t grains = newExtent / newGrain + (newExtent % newGrain != 0);
  if (grains == 1 || slots.size() == 1) {
    newFunction(newContext, 0, newExtent, slots[0].scratch);
    return Status();
  }
  function = newFunction;
  context = newContext;
  extent = newExtent;
  grain = newGrain;
  publish(grains, split == Split::Static ? 1 : kPiecesPerPart);
  work(0);
  close();
  return Status();
}

void ThreadPool::work(unsigned self) {
  for (size_t i = 0; i < slots.size(); ++i)
    workOn(slots[(self + i) % slots.size()], slots[self].scratch);
}

void ThreadPool::workOn(Slot &slot, void *scratch) {
  while (slot.next.load(std::memory_order_relaxed) < slot.end) {
    int64_t piece = slot.next.fetch_add(1);
    if (piece >= slot.end)
      return;
    int64_t first = slot.first + piece * pieceGrains;
    int64_t last = std::min(first + pieceGrains, slot.last);
    int64_t hi = last > extent / grain ? extent : last * grain;
    function(context, first * grain, hi, scratch);
  }
}

/// Returns false when the pool ends.
bool ThreadPool::waitForJob(uint32_t seen) {
  if (!spinUntil([&] { return epoch.load() != seen; })) {
    // Counted before the kernel compares the word again, so that a publisher
    // either sees this sleeper or has changed the word already.
    sleepers.fetch_add(1);
    while (epoch.load() == seen)
      futexWait(epoch, seen);
    sleepers.fetch_sub(1);
  }
  return !stop.load();
}

void ThreadPool::workerLoop(unsigned self) {
  uint32_t seen = 0;
  while (waitForJob(seen)) {
    seen = epoch.load();
    // Either the caller sees this worker in `active`, or the worker sees that
    // the loop is closed. Joining a newer loop than `seen` does no harm.
    active.fetch_add(1);
    if (!closed.load())
      work(self);
    if (active.fetch_sub(1) == 1 && callerSleeps.load())
      futexWake(active);
  }
}
