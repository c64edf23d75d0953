// Decoders of mbarriers, asynchronous copies and their groups.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_ASYNC_H
#define NIBBLE_RT_EMULATOR_ISA_ASYNC_H

namespace nibble {
namespace emu {
class Decoder;
namespace async {
void mbarrier(Decoder &), cp(Decoder &);
} // namespace async
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_ASYNC_H
