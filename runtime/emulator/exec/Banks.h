// Bank conflicts of shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shared memory has 32 banks of 4 bytes (CUDA C++ Programming Guide, "Shared
// Memory"). An access of a warp goes in parts of 128 bytes: lanes with 4 bytes
// or less all at once, with 8 by halves, with 16 by quarters of the warp. A
// part takes as many wavefronts as different words fall into one bank; lanes
// that want the same word share it.
#ifndef NIBBLE_RT_EMULATOR_EXEC_BANKS_H
#define NIBBLE_RT_EMULATOR_EXEC_BANKS_H

#include "exec/Counters.h"
#include "isa/Inst.h"

namespace nibble {
namespace emu {

struct Wavefronts {
  unsigned all = 0, ideal = 0;
};
/// Of an access of `bytes` (1 to 32) by some lanes at their offsets.
Wavefronts countWavefronts(const uint32_t *offsets, Lanes lanes,
                           unsigned bytes);
void countBanks(Counters &counters, const uint32_t *offsets, Lanes lanes,
                unsigned bytes);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_BANKS_H
