// What a launch moves between the L2 cache and memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Clusters note which bytes of global memory they access. Afterwards these are
// replayed as a machine would run them: clusters are dealt out to its SMs in
// order, SMs go on at the same speed, and all go through one cache of lines of
// 128 bytes (sectors of 32) that forgets what was not used for the longest
// time. It is cold at the beginning, and written back at the end.
#ifndef NIBBLE_RT_EMULATOR_EXEC_TRAFFIC_H
#define NIBBLE_RT_EMULATOR_EXEC_TRAFFIC_H

#include <cstdint>
#include <map>
#include <vector>

namespace nibble {
namespace emu {

/// Neighbouring bytes that are read or written at once.
struct TrafficRun {
  uint64_t address = 0;
  uint32_t bytes = 0;
  bool write = false;
};

/// Accesses of a cluster, in order; runs that touch become one.
class TrafficTrace {
public:
  void note(uint64_t address, uint32_t bytes, bool write);
  std::vector<TrafficRun> runs;
};

/// Bytes, in whole sectors.
struct DramBytes {
  uint64_t read = 0, written = 0;         ///< through the cache
  uint64_t readOnce = 0, writtenOnce = 0; ///< with each sector counted once
};

class Traffic {
public:
  /// `cluster`: its number in the grid.
  void add(uint64_t cluster, TrafficTrace trace) {
    clusters[cluster] = std::move(trace.runs);
  }
  /// `slots`: clusters at once.
  DramBytes replay(unsigned slots, uint64_t cacheBytes) const;

private:
  std::map<uint64_t, std::vector<TrafficRun>> clusters;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_TRAFFIC_H
