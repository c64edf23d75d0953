// A warp: registers, predicates, and groups of lanes that stand at one place
// each. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_WARP_H
#define NIBBLE_RT_EMULATOR_EXEC_WARP_H

#include "exec/Clock.h"
#include "exec/Registers.h"
#include "isa/Inst.h"

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

class Cta;

/// Asynchronous copies of one thread, by groups that it waits for.
struct CopyGroups {
  std::vector<uint64_t> open;                   ///< since the last commit
  std::vector<std::vector<uint64_t>> committed; ///< oldest first
  Epoch newest;              ///< the last operation, for races
  std::vector<Epoch> epochs; ///< that of each group
};

/// What a device would call a fault of the program.
enum class FaultKind : uint8_t {
  None,
  Address, ///< outside of memory, or not to be written
  Misaligned,
  IllegalInstruction, ///< operands that the hardware does not take
  Assert,
  Deadlock,   ///< a device would run until somebody ends it
  TensorLeak, ///< tensor memory that was not released
  Other
};

/// A fault of the program: what happened, where. Ends the grid.
struct Fault {
  std::string message;
  FaultKind kind = FaultKind::Other;
};

/// What a group waits for.
struct Waiting {
  std::function<bool()> until;
  std::function<std::string()> what;
  bool softly = false;
};

/// Lanes that stand at the same instruction.
struct Group {
  uint32_t pc = 0;
  Lanes lanes = 0;
  Lanes wanted = 0; ///< lanes that must come here before these go on
  std::shared_ptr<const Waiting> waiting;
  bool gaveUp = false; ///< a soft wait has ended in vain
};

/// How the lanes of a warp stand to a barrier of the CTA.
struct BarrierUse {
  Lanes arrived = 0; ///< before all live lanes of the warp have
  Lanes waiting = 0;
  uint64_t phase = 0; ///< that they wait for
};

/// A call that a lane is in.
struct Frame {
  uint32_t caller = 0;        ///< instruction of the call
  uint32_t function = 0;      ///< index in Code::functions
  uint64_t top = 0;           ///< local memory in use before
  std::vector<uint8_t> saved; ///< registers of an activation that is suspended
};

/// Whether a warp runs. One that waits softly goes on after a while even if
/// what it waits for has not come (mbarrier.try_wait).
enum class Run : uint8_t { Ready, Waits, WaitsSoftly, Done };

class Warp {
public:
  Warp(Cta &cta, const Code &code, unsigned index, Lanes lanes);

  /// Runs until the warp waits, ends, or has run `budget` instructions. Returns
  /// the number run.
  uint64_t run(uint64_t budget);

  /// The 32 values of an operand.
  template <typename T> T *lanes(Ref ref) {
    const uint8_t *base = ref.isConstant() ? code.constants.data() : regs.get();
    return reinterpret_cast<T *>(const_cast<uint8_t *>(base) + ref.offset());
  }
  Lanes &pred(int32_t index) { return preds[index]; }

  /// Ends the program with a message about lanes at the current instruction.
  [[noreturn]] void fault(const std::string &message, int lane = -1,
                          FaultKind kind = FaultKind::Other);
  /// "kernel k, CTA (0, 0, 0), thread (5, 0, 0), PTX line 12".
  std::string place(int lane = -1) const;

  /// For handlers that end their instruction themselves: where the running
  /// group goes next.
  void jump(uint32_t pc) { current.pc = pc; }
  /// Splits the running group: `taken` goes to `pc`, the others go on.
  void branch(Lanes taken, uint32_t pc);
  /// The same for one of several targets, the running group being what is
  /// left; afterSplit() goes on.
  void split(Lanes taken, uint32_t pc);
  void afterSplit();
  void exit(Lanes lanes);
  /// Calls that a lane is in, the innermost last, and its local memory in use.
  std::vector<Frame> &frames(unsigned lane) { return stacks[lane]; }
  uint64_t &stackTop(unsigned lane) { return stackTops[lane]; }
  void next() { ++current.pc; }
  /// True if all live lanes of `mask` stand at the current instruction, in the
  /// running group. Otherwise the group waits for the others.
  bool gather(Lanes mask);
  /// Runs the current instruction again once `until` holds. `what` is for the
  /// report of a deadlock.
  void wait(std::function<bool()> until, std::function<std::string()> what,
            bool softly = false);
  /// True, once, if a soft wait has ended without what it waited for.
  bool gaveUp();
  bool canRun() const;
  /// Gives other groups and warps a turn after this instruction.
  void yield() { yielding = true; }

  Cta &cta;
  const Code &code;
  const unsigned index; ///< in the CTA
  Lanes live;           ///< lanes that have not exited
  Group current;
  Lanes carry = 0;            ///< of add.cc and the like
  const Inst *inst = nullptr; ///< that runs
  Run state = Run::Ready;
  std::function<bool()> until;
  std::function<std::string()> what;
  bool resumedSoftly = false;
  CopyGroups copies[kWarpSize];     ///< cp.async
  CopyGroups bulkCopies[kWarpSize]; ///< cp.async.bulk
  BarrierUse barriers[16];
  Lanes clusterArrived = 0;        ///< at the cluster's barrier, not yet waited
  uint64_t clusterPhase = 0;       ///< at the arrival
  const uint8_t *stored = nullptr; ///< while a store runs: what it writes
  RegisterState registers;
  /// wgmma.mma_async instructions of this warp, and those in groups; the last
  /// one of each group that has not been waited for.
  uint32_t wgmmaIssued = 0, wgmmaCommitted = 0;
  uint32_t wgmmaDone = 0; ///< waited for up to this one
  std::vector<uint32_t> wgmmaGroups;

private:
  bool canRun(const Group &group) const;
  bool mergeHere();
  void join();
  bool choose(bool rotate);
  void block();
  void wakeSoftly();
  std::string describe() const;

  struct Release {
    void operator()(uint8_t *p) const {
      ::operator delete[](p, std::align_val_t(64));
    }
  };
  std::unique_ptr<uint8_t[], Release> regs;
  std::vector<Lanes> preds;
  std::vector<Group> others; ///< groups that do not run now
  bool yielding = false;
  uint32_t sinceSwitch = 0;
  uint32_t stay = 0; ///< instructions before a lower group goes on
  std::vector<std::vector<Frame>> stacks; ///< per lane, if there are calls
  std::vector<uint64_t> stackTops;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_WARP_H
