// wgmma: decoders, and operations that can run later than they are issued.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_WGMMA_H
#define NIBBLE_RT_EMULATOR_ISA_WGMMA_H

#include "isa/WarpMatrix.h"

#include <functional>

namespace nibble {
namespace emu {

/// A wgmma.mma_async instruction, without its registers.
struct WgmmaForm {
  enum Flags : uint8_t {
    RegistersA = 1, ///< A is in registers, not in shared memory
    TransA = 2,     ///< A is M-major
    TransB = 4,     ///< B is N-major
    NegateA = 8,
    NegateB = 16,
    Saturate = 32,
    ScaleNegated = 64 ///< scale-d is !p
  };
  tensor::Element a, b;
  Accumulator d;
  uint8_t flags;
  uint16_t n;
  uint8_t k;
  uint8_t unused;
  bool has(Flags flag) const { return flags & flag; }
};

/// What one warp does of a wgmma.mma_async: 16 of the 64 rows. It holds all
/// that is known at issue; the registers and shared memory are read when it
/// runs.
struct WgmmaOperation {
  Warp *warp;
  const Inst *inst;
  WgmmaForm form;
  uint64_t descriptorA, descriptorB; ///< A: unless in registers
  bool accumulate;                   ///< false: D = A B

  unsigned accumulatorCount() const {
    return accumulatorRegisters(form.d, form.n);
  }
  /// Registers of D, accumulatorCount() of them.
  const Ref *accumulators() const { return &warp->code.refs[inst->extra]; }
  /// Four registers of A, or null.
  const Ref *registersA() const {
    return form.has(WgmmaForm::RegistersA) ? accumulators() + accumulatorCount()
                                           : nullptr;
  }
};

/// Reads A and B, adds their product to D, for the warps of a warpgroup.
/// `hopperSums`: with the precision of an H100 instead of exactly
/// (tensor::Precision). Faults name the instruction of the operation.
void executeWgmma(const std::vector<WgmmaOperation> &operations,
                  bool hopperSums);

/// Calls f(offset) for each 16 bytes of the CTA's shared memory that the warp's
/// part of A, and with `alsoB` B, lies in. Faults as executeWgmma does.
void forSharedReads(const WgmmaOperation &operation, bool alsoB,
                    const std::function<void(uint32_t)> &f);

/// All that is asynchronous about wgmma (WgmmaOrder.cpp).
enum class WgmmaOrder : uint8_t { Fence, Commit, Wait };
void submitWgmma(const WgmmaOperation &operation);
/// `pending`: groups that may be left after a wait. False: the warp waits, and
/// comes again.
bool orderWgmma(Warp &w, WgmmaOrder order, uint32_t pending);

namespace matrix {

/// wgmma.mma_async, .fence, .commit_group and .wait_group; sm_90a only.
void wgmma(Decoder &d);

} // namespace matrix
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_WGMMA_H
