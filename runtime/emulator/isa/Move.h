// Decoders of moves, selection and comparison.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_MOVE_H
#define NIBBLE_RT_EMULATOR_ISA_MOVE_H

namespace nibble {
namespace emu {
class Decoder;
namespace move {
void mov(Decoder &), setp(Decoder &), set(Decoder &), selp(Decoder &),
    slct(Decoder &), cvt(Decoder &);
} // namespace move
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_MOVE_H
