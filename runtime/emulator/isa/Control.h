// Decoders of control flow, barriers and collectives of a warp.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_CONTROL_H
#define NIBBLE_RT_EMULATOR_ISA_CONTROL_H

namespace nibble {
namespace emu {
class Decoder;
namespace control {
void bra(Decoder &), brx(Decoder &), ret(Decoder &), exit(Decoder &),
    trap(Decoder &), brkpt(Decoder &), nanosleep(Decoder &),
    setmaxnreg(Decoder &), griddepcontrol(Decoder &), bar(Decoder &),
    shfl(Decoder &), vote(Decoder &), match(Decoder &), redux(Decoder &),
    activemask(Decoder &), elect(Decoder &), call(Decoder &),
    returnFromFunction(Decoder &), clusterLaunchControl(Decoder &);
} // namespace control
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_CONTROL_H
