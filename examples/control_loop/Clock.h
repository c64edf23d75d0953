// A clock with a fixed rate, and percentiles of what it measures.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_EXAMPLES_CONTROL_LOOP_CLOCK_H
#define NIBBLE_EXAMPLES_CONTROL_LOOP_CLOCK_H

#include <cstdint>
#include <string>
#include <vector>

/// Seconds of a clock that never jumps.
double now();

/// Ticks at begin + i / rate. Times are absolute: a late tick delays no other.
class FixedRateClock {
public:
  explicit FixedRateClock(double hertz);
  void start();
  /// Sleeps until the next tick and returns by how much it is late, in seconds.
  double waitForTick();
  /// Tells that the work of a tick is done. If the next tick should have begun
  /// already, this one has missed its deadline, and the ticks that went by are
  /// skipped.
  void finishTick();

  double period() const { return step; }
  uint64_t missed() const { return missedTicks; }
  uint64_t skipped() const { return skippedTicks; }
  /// When the present tick should have begun.
  double tickTime() const { return begin + step * double(index); }

private:
  double step, begin = 0;
  uint64_t index = 0, missedTicks = 0, skippedTicks = 0;
};

/// Times in seconds; memory for `expected` of them is taken at the beginning.
class Latencies {
public:
  explicit Latencies(size_t expected) { times.reserve(expected); }
  void add(double seconds) { times.push_back(seconds); }
  /// "name   p50 p90 p95 p99 max" in milliseconds, or "-" if there are none.
  std::string row(const std::string &name) const;

private:
  std::vector<double> times;
};

/// SCHED_FIFO and memory that is not paged out. "" or what was refused.
std::string becomeRealtime();

#endif // NIBBLE_EXAMPLES_CONTROL_LOOP_CLOCK_H
