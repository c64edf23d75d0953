// tcgen05: what its decoders share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_TCGEN05_H
#define NIBBLE_RT_EMULATOR_ISA_TCGEN05_H

#include "isa/Address.h"
#include "tensor/Descriptor.h"

namespace nibble {
namespace emu {
namespace tcgen05 {

/// Decodes every tcgen05 instruction.
void decode(Decoder &d);
void decodeMma(Decoder &d);

/// Takes .cta_group::1 or ::2; an error without one.
unsigned takeGroup(Decoder &d);

/// CTAs that an operation works on: this one, or its pair, the even rank first.
std::vector<Cta *> groupOf(Warp &w, unsigned group, int lane);

/// Work of the tensor core of a CTA (or pair) is done in the order of issue.
uint32_t queueOf(const std::vector<Cta *> &group);

/// A descriptor of shared memory for tcgen05 (PTX ISA, "Shared memory
/// descriptor"), in the fields of wgmma's. "" or what is wrong.
std::string parseDescriptor(uint64_t bits,
                            tensor::MatrixDescriptor &descriptor);

/// Columns that an operation will write or read, of every CTA: faults if they
/// are not allocated.
void checkColumns(Warp &w, const std::vector<Cta *> &group, uint32_t column,
                  uint32_t count, int lane);

/// An operation will write or read columns: faults if a warp has not waited for
/// its loads or stores there.
void checkUnwaited(Warp &w, const Cta &cta, uint32_t column, uint32_t count,
                   bool write, int lane);

/// The same as an access `as` (Races), which loads and stores of warps must be
/// ordered with.
void noteOperation(Warp &w, Cta &cta, uint32_t column, uint32_t count,
                   bool write, Epoch as, int lane);

} // namespace tcgen05
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_TCGEN05_H
