// Asynchronous copies: what their kinds share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_COPY_H
#define NIBBLE_RT_EMULATOR_ISA_COPY_H

#include "isa/Address.h"
#include "isa/Async.h"

namespace nibble {
namespace emu {

/// Shared memory that asynchronous work takes in hand, and gives back. Faults
/// where other work has it, where nobody has written what is read, where
/// generic writes were not fenced, and where nothing orders it behind other
/// accesses. `as`: whose access it is (Races); time 0: the warp's.
void beginWrite(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes, int lane,
                Epoch as = {});
void endWrite(Cta &cta, uint32_t offset, uint32_t bytes);
void beginRead(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes, int lane,
               Epoch as = {});
/// The same of what a reduction reads and writes: others may do so, too.
void beginReduce(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes, int lane,
                 Epoch as);
void endRead(Cta &cta, uint32_t offset, uint32_t bytes);

/// complete_tx of an operation; `where` is for the fault.
void completeBytes(MBarrier *barrier, uint32_t bytes, Epoch operation,
                   const std::string &where);
/// The moment of an operation that each mbarrier announces.
std::vector<Epoch> tickAll(Warp &w, const std::vector<MBarrier *> &barriers);
/// One arrival of asynchronous work; `where` is for the fault.
void arriveAt(MBarrier *barrier, const std::string &where);
/// Adds an operation to the group that a thread fills; its moment is one of
/// Races::tickCopies.
void addToGroup(Warp &w, unsigned lane, uint64_t number, bool bulk,
                Epoch operation);

/// Operands of bulk copies and reductions. refs[extra ..]: addresses of
/// destination, source and mbarrier (each a base and an offset), size, mask.
/// sub[1] bits 0 to 2: the base has 4 bytes.
struct BulkOperands {
  WideAddress to, from, barrier;
  Ref size, mask;
};
BulkOperands bulkOperandsOf(const Warp &w, const Inst &i);
/// What they are for a lane; a fault unless all are multiples of 16. `what`:
/// "copy".
struct BulkSizes {
  uint32_t bytes;
  uint64_t to, from;
};
BulkSizes bulkSizesOf(Warp &w, const BulkOperands &o, unsigned lane,
                      const char *what);

/// CTAs that a multicast mask names.
std::vector<Cta *> maskedCtas(Warp &w, uint16_t mask, int lane);
/// The mbarrier that each target signals: that at `where`, or with multicast
/// that at the same offset in each target.
std::vector<MBarrier *> barriersOf(Warp &w, const std::vector<Cta *> &targets,
                                   const SharedPlace &where, bool multicast,
                                   int lane);

/// Where `bytes` of global memory lie, every one in the same allocation.
uint8_t *resolveRange(Warp &w, uint64_t address, uint32_t bytes, bool write,
                      int lane);

/// cp.async.bulk.tensor, and cp.reduce.async.bulk.tensor if `reduces`.
void tensorCopy(Decoder &d, bool reduces);
/// cp.reduce.async.bulk.
void bulkReduce(Decoder &d);
/// st.async, red.async.
void storeAsync(Decoder &d);
void reduceAsync(Decoder &d);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_COPY_H
