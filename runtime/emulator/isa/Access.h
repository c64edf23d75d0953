// Words and counters that all memory instructions share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_ACCESS_H
#define NIBBLE_RT_EMULATOR_ISA_ACCESS_H

#include "isa/Address.h"

namespace nibble {
namespace emu {

/// Adds to the counters of the cluster what some lanes access.
void countAccess(Warp &w, const Inst &i, Lanes lanes, uint32_t bytes,
                 bool write);
/// The same for banks of shared memory, if the text says that it is that.
void countBanksOf(Warp &w, const Inst &i, Lanes lanes, uint32_t bytes);
/// A state space, or `otherwise`.
Space takeSpace(Decoder &d, Space otherwise = Space::Generic);
/// Order words go to Inst::order; scope and cache words change nothing here.
void takeHints(Decoder &d);
/// Elements: 1, or those of .v2, .v4, .v8.
unsigned takeVector(Decoder &d);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_ACCESS_H
