// Decoders of ldmatrix, stmatrix and movmatrix.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_MATRIXMOVE_H
#define NIBBLE_RT_EMULATOR_ISA_MATRIXMOVE_H

#include "isa/Decoder.h"

namespace nibble {
namespace emu {
namespace matrix {

/// ldmatrix: m8n8 of .b16 (with or without .trans) on all targets; m16n16.trans
/// and m8n16 of .b8, .b8x16.b6x16_p32 and .b8x16.b4x16_p64 on sm_100a and its
/// like.
void ldmatrix(Decoder &d);
/// stmatrix: m8n8 of .b16; m16n8.trans of .b8 on sm_100a and its like.
void stmatrix(Decoder &d);
void movmatrix(Decoder &d);

} // namespace matrix

/// 16 elements of 6 or 4 bits, packed from bit 0 on, to one byte each, in its
/// lowest bits (PTX ISA, "Optional Decompression"; CuTe shifts FP4 of ldmatrix
/// from there to the middle for mma).
void unpackToBytes(uint8_t *row, unsigned bits);
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_MATRIXMOVE_H
