// Decoder of mma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_MMA_H
#define NIBBLE_RT_EMULATOR_ISA_MMA_H

#include "isa/Decoder.h"

namespace nibble {
namespace emu {
namespace matrix {

/// mma.sync.aligned.m16n8k* of FP16, BF16, TF32, E4M3, E5M2, S8 and U8. Other
/// shapes and types, sparse and block-scaled forms are refused by name.
void mma(Decoder &d);
/// Those of f64.
void mmaDouble(Decoder &d);

} // namespace matrix
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_MMA_H
