// Vector clocks: what happens before what.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_CLOCK_H
#define NIBBLE_RT_EMULATOR_EXEC_CLOCK_H

#include <algorithm>
#include <cstdint>
#include <vector>

namespace nibble {
namespace emu {

/// A moment of one actor: a warp, or a kind of asynchronous work. Time 0: none.
struct Epoch {
  uint32_t time = 0;
  uint16_t actor = 0;
  bool operator==(const Epoch &other) const {
    return time == other.time && actor == other.actor;
  }
};

/// For each actor, the last moment that has happened before. An empty clock has
/// seen nothing.
class Clock {
public:
  bool covers(Epoch epoch) const {
    return epoch.actor < times.size() && epoch.time <= times[epoch.actor];
  }
  void join(const Clock &other) {
    if (times.size() < other.times.size())
      times.resize(other.times.size());
    for (size_t i = 0; i < other.times.size(); ++i)
      times[i] = std::max(times[i], other.times[i]);
  }
  void join(Epoch epoch) {
    if (!epoch.time)
      return;
    if (times.size() <= epoch.actor)
      times.resize(epoch.actor + 1u);
    times[epoch.actor] = std::max(times[epoch.actor], epoch.time);
  }
  void clear() { times.clear(); }
  bool empty() const { return times.empty(); }

private:
  std::vector<uint32_t> times;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_CLOCK_H
