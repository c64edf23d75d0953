// Decoder: a parsed function becomes code that runs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_DECODER_H
#define NIBBLE_RT_EMULATOR_ISA_DECODER_H

#include "isa/Inst.h"
#include "isa/Targets.h"

#include <map>
#include <unordered_map>

namespace nibble {
namespace emu {

/// What the decoder needs to know of the rest of the module.
class Symbols {
public:
  virtual ~Symbols() = default;
  /// Address of a variable in global or constant memory, or 0.
  virtual uint64_t addressOf(std::string_view variable) const = 0;
  /// Offset of a shared variable of the module; kExternShared: behind all
  /// static ones; -1: there is no such variable.
  virtual int64_t sharedOffsetOf(std::string_view variable) const = 0;
  static constexpr int64_t kExternShared = -2;
  /// End of the shared variables of the module.
  virtual int64_t sharedEnd() const = 0;
  /// Number of a function, or -1.
  virtual int64_t functionOf(std::string_view name) const = 0;
};

/// Values that a warp knows when it starts.
enum class Special : uint8_t {
  TidX,
  TidY,
  TidZ,
  NTidX,
  NTidY,
  NTidZ,
  CtaIdX,
  CtaIdY,
  CtaIdZ,
  NCtaIdX,
  NCtaIdY,
  NCtaIdZ,
  LaneId,
  WarpId,
  NWarpId,
  SmId,
  NSmId,
  GridId,
  ClusterIdX,
  ClusterIdY,
  ClusterIdZ,
  NClusterIdX,
  NClusterIdY,
  NClusterIdZ,
  ClusterCtaIdX,
  ClusterCtaIdY,
  ClusterCtaIdZ,
  ClusterNCtaIdX,
  ClusterNCtaIdY,
  ClusterNCtaIdZ,
  ClusterCtaRank,
  ClusterNCtaRank,
  IsExplicitCluster,
  LaneMaskEq,
  LaneMaskLe,
  LaneMaskLt,
  LaneMaskGe,
  LaneMaskGt,
  DynamicSharedSize,
  TotalSharedSize,
  AggrSharedSize,
  SharedBase,    ///< shared::cta address of this CTA, plus an addend
  SharedGeneric, ///< its generic address
  None
};
/// "%tid.x" and the like; None for others.
Special parseSpecial(std::string_view text);

/// A register that is set when a warp starts.
struct SpecialUse {
  Special which;
  uint64_t addend;
  uint32_t offset; ///< in the registers
  uint8_t bytes;
};

/// Addresses of functions: their number in the module behind this window.
constexpr uint64_t kCodeWindow = uint64_t(1) << 50;
inline uint64_t codeAddress(int64_t number) {
  return kCodeWindow | uint64_t(number + 1) << 4;
}

/// Words of an instruction behind its opcode, taken one by one; what is left at
/// the end is an error.
class Words {
public:
  explicit Words(const std::vector<std::string_view> &words) : words(words) {}
  bool take(std::string_view word);
  /// Number of the first of `choices` that is there, or -1.
  int takeOf(std::initializer_list<std::string_view> choices);
  /// The next word if it is a type.
  bool takeType(ptx::Type &type);
  /// First word left, or empty.
  std::string_view rest() const;
  bool has(std::string_view word) const;

private:
  const std::vector<std::string_view> &words;
  uint64_t taken = 0; ///< bit per word
  static_assert(sizeof(uint64_t) == 8, "");
};

class Decoder {
public:
  Decoder(const ptx::Module &module, const Symbols &symbols)
      : module(module), symbols(symbols), target(parseTarget(module.target)) {}

  ptx::Error decode(const ptx::Function &function, Code &code,
                    std::vector<SpecialUse> &specials);

  //===--- For the decoders of instructions ---------------------------------===
  using Operand = ptx::Operand;
  using Type = ptx::Type;
  struct Stop {}; ///< thrown inside of the decoder after an error is noted

  const ptx::Instruction &source() const { return *instruction; }
  Words &words() { return *currentWords; }
  Inst &inst() { return *current; }
  [[noreturn]] void error(std::string message);
  [[noreturn]] void unsupported(std::string what);
  void expectOperands(size_t least, size_t most);
  const Operand &operand(size_t i);
  /// Operand as values of `bytes` (2, 4, 8, 16); registers must have that size
  /// or, if `wider`, more.
  Ref value(const Operand &operand, unsigned bytes, bool wider = false);
  Ref value(size_t i, Type type) { return value(operand(i), bytesOf(type)); }
  /// The same, immediates rounded to a float type.
  Ref floatValue(size_t i, Type type);
  Ref destination(size_t i, unsigned bytes);
  /// Predicate register; immediates are not.
  int32_t predicate(const Operand &operand);
  Ref constant(uint64_t value, unsigned bytes);
  Ref scratch(unsigned bytes);
  /// mov of the address of a parameter of the kernel.
  void setParamAddress(int64_t offset, unsigned bytes);
  uint32_t addRefs(const std::vector<Ref> &refs);
  uint32_t label(const Operand &operand);
  /// Instructions that a .branchtargets list names.
  std::vector<uint32_t> branchTargets(const Operand &operand);
  uint32_t addTargets(const std::vector<uint32_t> &targets);
  bool isPredicate(const Operand &operand) const;
  bool isRegister(const Operand &operand) const;
  unsigned registerBytes(const Operand &operand);
  static unsigned bytesOf(Type type) {
    return type == Type::Pred ? 4 : ptx::bitsOf(type) / 8;
  }
  /// Address operand: base register or constant (8 or 4 bytes) and offset.
  struct Address {
    Ref base; ///< invalid: absolute
    unsigned bytes = 8;
    int64_t offset = 0;
    std::string_view symbol; ///< of a parameter or local variable
  };
  Address address(const Operand &operand);
  /// Byte offset of a local variable or parameter of the function, or -1.
  int64_t localOffset(std::string_view name) const;
  /// Where the frame of the function begins; invalid: at 0, in kernels.
  Ref frame() const { return called ? called->frame : Ref(); }
  bool isInKernel() const { return !called; }
  /// Index in Code::functions of a function that may be called, or -1.
  int32_t calledFunction(std::string_view name) const;
  uint32_t addCall(CallSite site);
  /// An argument or result of a call: a register or a variable in .param.
  Place place(const Operand &operand);
  int64_t paramOffset(std::string_view name) const;
  uint32_t paramBytes() const { return code->paramBytes; }
  const ptx::Module &getModule() const { return module; }
  const Symbols &getSymbols() const { return symbols; }

private:
  struct Register {
    Type type;
    Ref ref;
    int32_t pred = -1;
    uint32_t slot = 0; ///< its number among all registers of the code
  };
  std::vector<const ptx::Function *> reachable(const ptx::Function &kernel);
  void begin(const ptx::Function &function);
  void declare(const ptx::Function &function);
  void declareKernel(const ptx::Function &function);
  Place declarePlace(const ptx::Variable &parameter);
  void decodeBody(const ptx::Function &function);
  void keepRegisters(CalledFunction &callee);
  void layOut(const ptx::Variable &variable);
  const Register *find(std::string_view name);
  Register allocate(Type type, std::string_view name = {});
  void noteUses(const ptx::Instruction &instruction);
  void collect(const Operand &operand, std::vector<uint32_t> &slots);
  std::vector<uint32_t> givenRegisters(const ptx::Function &function);
  Ref special(Special which, uint64_t addend, unsigned bytes);
  void decodeOne(const ptx::Instruction &instruction, Inst &inst);

  const ptx::Module &module;
  const Symbols &symbols;
  const TargetName target;
  const ptx::Function *function = nullptr;
  Code *code = nullptr;
  std::vector<SpecialUse> *specials = nullptr;
  const ptx::Instruction *instruction = nullptr;
  Words *currentWords = nullptr;
  Inst *current = nullptr;
  CalledFunction *called = nullptr; ///< that is decoded now
  uint32_t frameBytes = 0;
  ptx::Error failure;
  std::unordered_map<std::string_view, Register> registers;
  std::unordered_map<std::string_view, const ptx::Variable *> sets;
  std::unordered_map<std::string_view, uint32_t> labels;
  std::map<std::pair<uint64_t, unsigned>, Ref> constants;
  std::map<std::string_view, int64_t> locals, params;
  int64_t sharedEnd = 0, externShared = -1;
  uint32_t stackBytes() const;
  bool leadsBack(uint32_t call) const;
  std::map<std::string_view, int64_t> shared;
};

/// Finds the registers that may be read without a value, `Code::undefined`, and
/// marks the instructions that use them. `given`: for the first instruction of
/// each function, the registers that have values there.
using Given = std::vector<std::pair<uint32_t, std::vector<uint32_t>>>;
void findUndefined(Code &code, const Given &given);

/// Decodes one instruction of an opcode.
using DecodeFn = void (*)(Decoder &decoder);
/// The decoder of an opcode, or null.
DecodeFn findDecoder(std::string_view opcode);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_DECODER_H
