// Decoders of integer and bit instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_INTEGER_H
#define NIBBLE_RT_EMULATOR_ISA_INTEGER_H

namespace nibble {
namespace emu {
class Decoder;
namespace integer {
void add(Decoder &), addc(Decoder &), sub(Decoder &), subc(Decoder &),
    mul(Decoder &), mad(Decoder &), madc(Decoder &), div(Decoder &),
    rem(Decoder &), abs(Decoder &), neg(Decoder &), min(Decoder &),
    max(Decoder &), sad(Decoder &), and_(Decoder &), or_(Decoder &),
    xor_(Decoder &), not_(Decoder &), cnot(Decoder &), shl(Decoder &),
    shr(Decoder &), shf(Decoder &), popc(Decoder &), clz(Decoder &),
    bfind(Decoder &), brev(Decoder &), bfe(Decoder &), bfi(Decoder &),
    lop3(Decoder &), prmt(Decoder &), dp4a(Decoder &), mul24(Decoder &),
    mad24(Decoder &), dp2a(Decoder &), fns(Decoder &), szext(Decoder &),
    bmsk(Decoder &);
} // namespace integer
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_INTEGER_H
