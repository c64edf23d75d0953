// Decoders of loads, stores, atomics and address conversions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_MEMORY_H
#define NIBBLE_RT_EMULATOR_ISA_MEMORY_H

namespace nibble {
namespace emu {
class Decoder;
namespace memory {
void ld(Decoder &), ldu(Decoder &), st(Decoder &), cvta(Decoder &),
    isspacep(Decoder &), mapa(Decoder &), getctarank(Decoder &),
    atom(Decoder &), red(Decoder &), membar(Decoder &), prefetch(Decoder &);
} // namespace memory
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_MEMORY_H
