// Addresses of memory instructions, shared by their decoders and handlers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_ADDRESS_H
#define NIBBLE_RT_EMULATOR_ISA_ADDRESS_H

#include "exec/Cta.h"
#include "isa/Decoder.h"

namespace nibble {
namespace emu {

/// Flags in Inst::sub[1] of instructions with an address. sub[2]: Space.
constexpr uint8_t kSigned = 1, kNarrowAddress = 2;

/// Address of a lane: base in `a`, offset in `imm`.
uint64_t addressOf(Warp &w, const Inst &i, unsigned lane);
/// The same of another base register.
uint64_t addressAt(Warp &w, Ref base, bool narrow, int64_t offset,
                   unsigned lane);

/// An address beyond the one in `a`: base (4 or 8 bytes) and a constant offset.
struct WideAddress {
  Ref base, offset;
  bool narrow;
  uint64_t of(Warp &w, unsigned lane) const {
    return addressAt(w, base, narrow, w.lanes<int64_t>(offset)[0], lane);
  }
};
/// Appends base and offset of an address operand; true if the base has 4 bytes.
bool addWideAddress(Decoder &d, const ptx::Operand &operand, bool isShared,
                    std::vector<Ref> &refs);

/// A place in the shared memory of some CTA of the cluster.
struct SharedPlace {
  Cta *cta;
  uint32_t offset;
  uint8_t *at;
};
/// What the address of a lane names, for asynchronous work, which does its own
/// checks: it must lie in shared memory, nothing counts as written.
SharedPlace findSharedForRead(Warp &w, uint64_t address, int lane);
/// Where the mbarrier of a copy lies; generic addresses are taken, too.
SharedPlace findBarrierPlace(Warp &w, uint64_t address, int lane);
/// Where that of an mbarrier instruction lies; `writes`: it is made or ended.
SharedPlace findBarrierPlace(Warp &w, const Inst &i, unsigned lane,
                             bool writes = false);
/// The mbarrier that the address of a lane names.
MBarrier &findBarrier(Warp &w, const Inst &i, unsigned lane);

/// .shared, .shared::cta, .shared::cluster, or generic.
Space takeSharedSpace(Decoder &d);
/// Base and offset of an address operand.
void setAddress(Decoder &d, const ptx::Operand &operand, Space space);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_ADDRESS_H
