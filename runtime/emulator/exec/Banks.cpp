// Bank conflicts of shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Banks.h"

#include <algorithm>

using namespace nibble::emu;

static constexpr unsigned kBanks = 32, kPartBytes = 128;

/// Wavefronts of lanes that go together.
static unsigned countPart(const uint32_t *offsets, Lanes lanes,
                          unsigned bytes) {
  uint32_t words[kBanks][kWarpSize];
  uint8_t used[kBanks] = {};
  unsigned most = 1;
  for (; lanes; lanes &= lanes - 1) {
    uint32_t offset = offsets[__builtin_ctz(lanes)];
    for (uint32_t word = offset / 4; 4 * word < offset + bytes; ++word) {
      uint32_t *of = words[word % kBanks];
      uint8_t &count = used[word % kBanks];
      if (std::find(of, of + count, word) != of + count)
        continue;
      of[count++] = word;
      most = std::max(most, unsigned(count));
    }
  }
  return most;
}

Wavefronts nibble::emu::countWavefronts(const uint32_t *offsets, Lanes lanes,
                                        unsigned bytes) {
  Wavefronts result;
  unsigned together = std::min(kWarpSize, kPartBytes / std::max(bytes, 4u));
  for (unsigned first = 0; first < kWarpSize; first += together) {
    Lanes part = together == kWarpSize
                     ? lanes
                     : lanes & ((Lanes(1) << together) - 1) << first;
    if (!part)
      continue;
    ++result.ideal;
    result.all += countPart(offsets, part, bytes);
  }
  return result;
}

void nibble::emu::countBanks(Counters &counters, const uint32_t *offsets,
                             Lanes lanes, unsigned bytes) {
  Wavefronts waves = countWavefronts(offsets, lanes, bytes);
  ++counters.sharedAccesses;
  counters.wavefronts += waves.all;
  counters.conflicts += waves.all - waves.ideal;
}
