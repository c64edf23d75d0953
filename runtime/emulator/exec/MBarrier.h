// mbarrier objects: phases, arrivals, transactions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier".
// The 64 bits in shared memory are opaque to programs; here they hold a mark
// and the number of the object in a table, so that memory that was never
// initialized, was overwritten, or holds an invalidated object is recognized.
#ifndef NIBBLE_RT_EMULATOR_EXEC_MBARRIER_H
#define NIBBLE_RT_EMULATOR_EXEC_MBARRIER_H

#include "exec/Clock.h"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

class MBarrier {
public:
  static constexpr uint32_t kMaxCount = (1u << 20) - 1;

  explicit MBarrier(uint32_t count) : expected(count), pending(count) {}

  /// Each gives "" or what is wrong.
  std::string arrive(uint32_t count);
  std::string drop(uint32_t count); ///< arrive_drop
  std::string expect(uint32_t bytes);
  std::string complete(uint32_t bytes);
  /// One more arrival in this phase (cp.async.mbarrier.arrive without .noinc).
  void addPending() { ++pending; }

  uint64_t phase() const { return phases; }
  /// The opaque state that arrivals return: phase and pending count.
  uint64_t state() const { return phases << 32 | pending; }
  static uint32_t pendingOf(uint64_t state) { return uint32_t(state); }
  /// True if the phase that a state belongs to has ended.
  bool hasEnded(uint64_t state) const {
    return (state >> 32) != uint32_t(phases);
  }
  /// True if the last phase of this parity has ended.
  bool hasEndedParity(uint32_t parity) const {
    return (phases & 1) != (parity & 1);
  }
  std::string describe() const;

  /// What was done before the arrivals of this phase, and of all before.
  Clock gathered, released;

private:
  void finish();
  uint32_t expected, pending;
  int64_t transactions = 0; ///< bytes that are still to come
  uint64_t phases = 0;
};

/// The mbarriers of one CTA's shared memory.
class MBarriers {
public:
  /// Makes an object at `where` (8 bytes of shared memory). "" or an error.
  std::string create(uint8_t *where, uint32_t offset, uint32_t count);
  std::string destroy(uint8_t *where, uint32_t offset);
  /// The object at `where`, or null and why there is none.
  MBarrier *find(const uint8_t *where, uint32_t offset, std::string &why);

private:
  struct Entry {
    MBarrier barrier;
    uint32_t offset;
    bool valid;
  };
  std::deque<Entry> entries; ///< asynchronous work points to them
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_MBARRIER_H
