// What a launch moves between the L2 cache and memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Traffic.h"

#include <algorithm>
#include <list>
#include <unordered_map>

using namespace nibble::emu;

static constexpr uint64_t kLine = 128, kSector = 32;
/// Bytes that an SM moves before the next one has its turn.
static constexpr uint64_t kTurn = 2048;
/// Runs of lanes are joined up to so many bytes.
static constexpr uint32_t kLongestRun = 1 << 16;

void TrafficTrace::note(uint64_t address, uint32_t bytes, bool write) {
  if (!bytes)
    return;
  if (!runs.empty()) {
    TrafficRun &last = runs.back();
    if (last.write == write && last.address + last.bytes == address &&
        last.bytes + bytes <= kLongestRun) {
      last.bytes += bytes;
      return;
    }
  }
  runs.push_back({address, bytes, write});
}

namespace {

/// Sectors of a line that bytes [begin, end) of it touch, a bit for each.
uint8_t sectorsOf(uint64_t begin, uint64_t end) {
  uint8_t mask = 0;
  for (uint64_t s = begin / kSector; s <= (end - 1) / kSector; ++s)
    mask |= uint8_t(1 << s);
  return mask;
}

uint64_t bytesOf(uint8_t mask) {
  return kSector * uint64_t(__builtin_popcount(mask));
}

class Cache {
public:
  Cache(uint64_t bytes, DramBytes &dram)
      : lines(std::max<uint64_t>(bytes / kLine, 1)), dram(dram) {}

  void access(uint64_t number, uint8_t mask, bool write) {
    uint8_t &seen = (write ? written : read)[number];
    (write ? dram.writtenOnce : dram.readOnce) +=
        bytesOf(uint8_t(mask & ~seen));
    seen |= mask;
    Line &line = touch(number);
    if (write)
      line.dirty |= mask;
    else
      dram.read += bytesOf(uint8_t(mask & ~line.valid));
    line.valid |= mask;
  }

  void flush() {
    for (const Line &line : order)
      dram.written += bytesOf(line.dirty);
  }

private:
  struct Line {
    uint64_t number;
    uint8_t valid = 0, dirty = 0;
  };

  /// The line, as the one that was used last.
  Line &touch(uint64_t number) {
    auto found = places.find(number);
    if (found != places.end()) {
      order.splice(order.begin(), order, found->second);
      return order.front();
    }
    if (order.size() == lines) {
      dram.written += bytesOf(order.back().dirty);
      places.erase(order.back().number);
      order.pop_back();
    }
    order.push_front({number});
    places[number] = order.begin();
    return order.front();
  }

  uint64_t lines;
  DramBytes &dram;
  std::list<Line> order; ///< last used first
  std::unordered_map<uint64_t, std::list<Line>::iterator> places;
  std::unordered_map<uint64_t, uint8_t> read, written; ///< sectors, ever
};

/// A cluster that runs.
struct Slot {
  const std::vector<TrafficRun> *runs = nullptr;
  size_t next = 0;
  uint64_t done = 0; ///< bytes of that run

  bool ended() const { return !runs || next == runs->size(); }

  void turn(Cache &cache) {
    for (uint64_t left = kTurn; left && !ended();) {
      const TrafficRun &run = (*runs)[next];
      uint64_t at = run.address + done, end = at / kLine * kLine + kLine;
      end = std::min(end, run.address + run.bytes);
      cache.access(at / kLine, sectorsOf(at % kLine, at % kLine + (end - at)),
                   run.write);
      left -= std::min(left, end - at);
      done += end - at;
      if (done == run.bytes) {
        ++next;
        done = 0;
      }
    }
  }
};

} // namespace

DramBytes Traffic::replay(unsigned slots, uint64_t cacheBytes) const {
  DramBytes dram;
  Cache cache(cacheBytes, dram);
  std::vector<Slot> running(std::max(slots, 1u));
  auto next = clusters.begin();
  for (bool any = true; any;) {
    any = false;
    for (Slot &slot : running) {
      if (slot.ended() && next != clusters.end())
        slot = {&(next++)->second};
      any |= !slot.ended();
      slot.turn(cache);
    }
    any |= next != clusters.end();
  }
  cache.flush();
  return dram;
}
