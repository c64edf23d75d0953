// What is known of the registers of a warp besides their values: which have
// none yet, and which asynchronous instructions have in hand.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Registers without a value follow the way of data: moves and arithmetic hand
// on that there is none, and it is an error where it matters: in an address, in
// a guard or branch, in what goes to shared or global memory, in an atomic, a
// collective or a product of matrices.
#ifndef NIBBLE_RT_EMULATOR_EXEC_REGISTERS_H
#define NIBBLE_RT_EMULATOR_EXEC_REGISTERS_H

#include "isa/Inst.h"

namespace nibble {
namespace emu {

class RegisterState {
public:
  explicit RegisterState(const Code &code);

  /// Called before an instruction that `watches` says runs for `lanes`.
  void check(Warp &warp, const Inst &inst, Lanes lanes);
  /// Flags of instructions that are to be checked now.
  uint8_t watches() const { return watched; }

  //===--- Registers that are loaded (tcgen05.ld) ---------------------------===
  void beginLoad(const Inst &inst);
  void endLoads();

  //===--- Registers of wgmma -----------------------------------------------===
  /// wgmma.mma_async takes its registers, of which the first `results` are D.
  /// `key`: shape and type of D; `job`: number of the operation among those of
  /// the warp, from 1; `reads`: D is added to.
  void beginWgmma(Warp &warp, const Inst &inst, unsigned results, uint32_t key,
                  uint32_t job, bool reads);
  /// Operations up to `job` have been waited for.
  void endWgmma(uint32_t job);
  void fence() { ++fences; }
  bool isInFlight() const { return !flying.empty(); }

private:
  /// What has a register in hand; job 0: nothing.
  struct Flight {
    uint32_t job = 0, inst = 0, key = 0, fence = 0;
    bool isResult = false;
  };
  void checkFlights(Warp &warp, const Uses &uses);
  void checkValues(Warp &warp, const Uses &uses, Lanes lanes);
  void requireValues(Warp &warp, const uint32_t *slots, unsigned count,
                     Lanes lanes);
  Lanes withoutValue(Warp &warp, const Uses &uses, const uint32_t *values,
                     Lanes lanes) const;
  [[noreturn]] void touches(Warp &warp, uint32_t slot, const Flight &flight);
  std::string name(uint32_t slot) const;

  const Code &code;
  uint8_t watched = Inst::Tracked;
  std::vector<Lanes> undefined;  ///< lanes without a value; or empty
  std::vector<Flight> flights;   ///< by slot; or empty
  std::vector<uint32_t> flying;  ///< slots with a flight
  std::vector<uint32_t> touched; ///< by slot: fences before the last use
  uint32_t fences = 0;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_REGISTERS_H
