// Reductions of arrays in memory: what bulk and tensor copies do to each
// element. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_REDUCE_H
#define NIBBLE_RT_EMULATOR_ISA_REDUCE_H

#include "isa/Combine.h"
#include "ptx/Ast.h"

namespace nibble {
namespace emu {

/// to[i] = op(to[i], from[i]) for the elements of `type` in `bytes`; each as a
/// whole, so that other host threads may do so too. `bytes` is a multiple of
/// their size. Sums are rounded to nearest even; those of f32 flush subnormal
/// numbers (PTX ISA, cp.reduce.async.bulk). False: `type` has no such
/// reduction.
bool reduceElements(AtomicOp op, ptx::Type type, uint8_t *to,
                    const uint8_t *from, uint64_t bytes);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_REDUCE_H
