// Decoders of floating-point arithmetic.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_FLOAT_H
#define NIBBLE_RT_EMULATOR_ISA_FLOAT_H

namespace nibble {
namespace emu {
class Decoder;
namespace floating {
void add(Decoder &), sub(Decoder &), mul(Decoder &), fma(Decoder &),
    div(Decoder &), rcp(Decoder &), sqrt(Decoder &), rsqrt(Decoder &),
    ex2(Decoder &), lg2(Decoder &), sin(Decoder &), cos(Decoder &),
    tanh(Decoder &), abs(Decoder &), neg(Decoder &), min(Decoder &),
    max(Decoder &), copysign(Decoder &), testp(Decoder &);
} // namespace floating
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_FLOAT_H
