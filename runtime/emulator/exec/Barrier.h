// Barriers of CTAs and clusters: arrivals and exits.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX ISA, "bar, barrier": a warp has arrived when all of its lanes that have
// not exited have; a barrier without a number of threads waits for all warps
// that have not ended. "barrier.cluster": for all threads of the cluster that
// have not exited.
#ifndef NIBBLE_RT_EMULATOR_EXEC_BARRIER_H
#define NIBBLE_RT_EMULATOR_EXEC_BARRIER_H

#include "exec/Cta.h"

namespace nibble {
namespace emu {

/// Lanes arrive at barrier `number` of their CTA, for `count` threads (0: all
/// warps that live), with votes of .red. A fault if that does not fit.
void arriveAtBarrier(Warp &warp, uint32_t number, Lanes lanes, uint32_t count,
                     Lanes votes);
/// Lanes arrive at the barrier of the cluster. `relaxed`: what they have done
/// since their last fence is not ordered by it.
void arriveAtCluster(Warp &warp, Lanes lanes, bool relaxed);
/// Lanes have exited (and are no longer in `live`).
void exitFromBarriers(Warp &warp, Lanes lanes);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_BARRIER_H
