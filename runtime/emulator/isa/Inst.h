// Decoded instructions: a handler, registers as offsets into a warp's register
// file, immediates as registers. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_INST_H
#define NIBBLE_RT_EMULATOR_ISA_INST_H

#include "ptx/Ast.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

class Warp;
struct Inst;

/// A set of lanes of a warp, lane 0 in bit 0.
using Lanes = uint32_t;
constexpr unsigned kWarpSize = 32;
constexpr Lanes kAllLanes = ~0u;

/// Runs an instruction for some lanes of a warp.
using Handler = void (*)(Warp &warp, const Inst &inst, Lanes lanes);

/// Where an operand lies: 32 values side by side, in the warp's registers or in
/// the constants of the kernel. Values of 1, 2, 4, 8 or 16 bytes.
class Ref {
public:
  Ref() = default;
  static Ref reg(uint32_t offset) { return Ref(offset); }
  static Ref constant(uint32_t offset) { return Ref(offset | kConstant); }
  bool isConstant() const { return raw & kConstant; }
  uint32_t offset() const { return raw & ~kConstant; }
  bool valid() const { return raw != kNone; }

private:
  explicit Ref(uint32_t raw) : raw(raw) {}
  static constexpr uint32_t kConstant = 1u << 31, kNone = ~0u;
  uint32_t raw = kNone;
};

struct Inst {
  enum Flags : uint8_t {
    Leader = 1,     ///< begins a basic block: lanes may meet here
    Ends = 2,       ///< changes the program counter itself
    Negated = 4,    ///< guard is !p
    Collective = 8, ///< all lanes of a mask must come together
    Tracked = 16,   ///< may meet registers without a value, or of wgmma
    Registers = 32, ///< names registers
  };
  Handler run = nullptr;
  int32_t guard = -1; ///< predicate register, or -1
  uint8_t flags = 0;
  uint8_t sub[3] = {}; ///< small fields that the handler knows
  Ref d, a, b, c;
  int32_t p = -1, q = -1;         ///< predicate operands of the handler
  uint32_t target = 0;            ///< index of an instruction or function
  uint32_t extra = 0, extras = 0; ///< more operands: Kernel::refs
  uint64_t imm = 0;
  uint32_t line = 0; ///< of the PTX text
  uint8_t kind = 0;  ///< InstClass
  uint8_t order = 0; ///< of an access to memory or of an arrival: Order
};

/// How accesses order others (PTX ISA, "Memory Consistency Model").
enum Order : uint8_t {
  kStrong = 1, ///< may be used at the same time by other threads
  kAcquire = 2,
  kRelease = 4
};

/// What becomes of registers without a value that an instruction reads.
enum class Rule : uint8_t {
  Strict, ///< their value matters
  Any,    ///< the result has none if one of them has none
  All,    ///< bits of several: it has none if all have none
  Move,   ///< the same, of mov, which only names values anew
  Select, ///< a, b, predicate: that of the one chosen
  Ignore, ///< values go where they are not followed
  Wgmma   ///< D and A of wgmma.mma_async, which looks itself
};
enum class Flow : uint8_t { Next, Branch, Table, End };

/// The registers of an instruction, by numbers: in Code::slots, first those
/// whose value matters (addresses, guards), then values, then results.
struct Uses {
  uint32_t first = 0;
  uint16_t strict = 0, values = 0, writes = 0;
  Rule rule = Rule::Strict;
  Flow flow = Flow::Next;
};

/// One parameter of a kernel, in the buffer that the launch passes.
struct ParamInfo {
  std::string name;
  uint32_t offset = 0, size = 0, align = 1;
};

/// Where an argument or a result of a call lies: in a register, or in local
/// memory behind a base register (absolute without one).
struct Place {
  Ref reg, base;
  uint32_t offset = 0, bytes = 0;
};

struct CallSite {
  int32_t function = -1; ///< in Code::functions; -1: by address
  Ref address;
  std::vector<Place> args, results;
};

/// A function that the kernel may call. Its registers lie beside those of the
/// kernel, for each lane of a warp; a lane that calls it while it is in it
/// already keeps the old values in its frame.
struct CalledFunction {
  std::string name;
  int64_t number = 0; ///< in the module
  bool hasBody = false;
  uint32_t start = 0; ///< its first instruction
  uint32_t frameBytes = 0;
  Ref frame; ///< register: where its frame begins
  std::vector<Place> params, results;
  std::vector<std::pair<Ref, uint8_t>> registers; ///< with their bytes
  std::vector<int32_t> preds;
};

/// A kernel that is ready to run, with all functions it may call. Functions lie
/// before their callers, so that lanes come back together.
struct Code {
  std::string name;
  bool isEntry = false;
  std::vector<Inst> insts;
  std::vector<Ref> refs;                  ///< operands beyond four
  std::vector<uint32_t> targets;          ///< of indexed branches
  std::vector<uint8_t> constants;         ///< immediates, 32 times each
  std::vector<ptx::SourceLine> sources;   ///< one per instruction
  std::vector<Uses> uses;                 ///< one per instruction
  std::vector<uint32_t> slots;            ///< registers of all uses
  std::vector<std::string> registerNames; ///< by slot
  std::vector<bool> undefined; ///< slots that may be read without a value
  std::vector<bool> ofWgmma;   ///< slots that wgmma.mma_async reads or writes
  uint32_t start = 0;          ///< first instruction of the kernel
  std::vector<CalledFunction> functions;
  std::vector<CallSite> calls;
  uint32_t regBytes = 0, preds = 0;
  uint32_t sharedEnd = 0;  ///< static shared memory; extern memory begins there
  uint32_t frameBytes = 0; ///< local memory of the kernel itself
  uint32_t localBytes = 0; ///< with that of calls
  uint32_t paramBytes = 0;
  uint32_t sharedAlign = 16;
  std::vector<ParamInfo> params;
  uint32_t maxThreads = 0, requiredThreads[3] = {}, requiredCluster[3] = {};
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_INST_H
