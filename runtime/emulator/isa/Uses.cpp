// Which registers an instruction reads and writes, from its text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// In PTX the result comes first, unless the first operand is an address or the
// opcode has none; all other registers are read.
#include "exec/Counters.h"
#include "isa/Decoder.h"

#include <algorithm>

using namespace nibble::emu;
using Kind = ptx::Operand::Kind;

static bool isOneOf(std::string_view word,
                    std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

static bool has(const ptx::Instruction &i, std::string_view word) {
  return std::find(i.modifiers.begin(), i.modifiers.end(), word) !=
         i.modifiers.end();
}

static bool isWgmma(const ptx::Instruction &i) {
  return i.opcode == "wgmma" && has(i, "mma_async");
}

/// Operands that are results: the first, unless it is an address.
static unsigned resultsOf(const ptx::Instruction &i) {
  if (i.operands.empty() || i.operands[0].kind == Kind::Address)
    return false;
  if (i.opcode == "call")
    return i.operands[0].kind == Kind::Vector;
  if (isOneOf(i.opcode, {"bar", "barrier"}))
    return has(i, "red");
  if (i.opcode == "tcgen05")
    return !has(i, "ld") ? 0 : has(i, "red") ? 2 : 1;
  return !isOneOf(i.opcode, {"bra", "brx", "wgmma", "nanosleep", "setmaxnreg",
                             "st", "red"});
}

static Rule ruleOf(const ptx::Instruction &i) {
  if (isWgmma(i))
    return Rule::Wgmma;
  if (i.opcode == "selp")
    return Rule::Select;
  if (isOneOf(i.opcode, {"and", "or", "xor", "lop3", "not", "prmt", "shf",
                         "shl", "shr", "bfi", "bfe"}))
    return Rule::All;
  if (i.opcode == "mov")
    return Rule::Move;
  if (isOneOf(i.opcode,
              {"add",   "sub",        "mul",     "mad",   "div",   "abs",
               "neg",   "min",        "max",     "addc",  "subc",  "madc",
               "rem",   "sad",        "cnot",    "popc",  "clz",   "bfind",
               "brev",  "dp4a",       "dp2a",    "mul24", "mad24", "fns",
               "szext", "bmsk",       "fma",     "rcp",   "sqrt",  "rsqrt",
               "ex2",   "lg2",        "sin",     "cos",   "tanh",  "set",
               "setp",  "copysign",   "testp",   "slct",  "cvt",   "cvta",
               "mapa",  "getctarank", "isspacep"}))
    return Rule::Any;
  // Copies to local memory and to parameters of calls are not followed.
  if (i.opcode == "call" || i.opcode == "shfl" ||
      (i.opcode == "st" &&
       (has(i, "local") || has(i, "param") || has(i, "param::func"))))
    return Rule::Ignore;
  return Rule::Strict;
}

static Flow flowOf(const ptx::Instruction &i) {
  return i.opcode == "bra"                            ? Flow::Branch
         : i.opcode == "brx"                          ? Flow::Table
         : isOneOf(i.opcode, {"ret", "exit", "trap"}) ? Flow::End
                                                      : Flow::Next;
}

static InstClass spaceOf(const ptx::Instruction &i) {
  if (has(i, "global"))
    return InstClass::Global;
  if (has(i, "local"))
    return InstClass::Local;
  for (std::string_view word : {"shared", "shared::cta", "shared::cluster"})
    if (has(i, word))
      return InstClass::Shared;
  for (std::string_view word :
       {"param", "param::entry", "param::func", "const"})
    if (has(i, word))
      return InstClass::Param;
  return InstClass::Generic;
}

static InstClass classOf(const ptx::Instruction &i) {
  if (isOneOf(i.opcode, {"ld", "ldu", "st", "atom", "red"}))
    return spaceOf(i);
  if (isOneOf(i.opcode,
              {"mma", "wgmma", "tcgen05", "ldmatrix", "stmatrix", "movmatrix"}))
    return InstClass::Tensor;
  if (i.opcode == "cp")
    return InstClass::Copy;
  if (isOneOf(i.opcode, {"bra", "brx", "call", "ret", "exit", "trap"}))
    return InstClass::Control;
  if (isOneOf(i.opcode, {"bar", "barrier", "mbarrier", "fence", "membar"}))
    return InstClass::Barrier;
  if (isOneOf(i.opcode, {"shfl", "vote", "match", "redux", "elect"}))
    return InstClass::Warp;
  if (isOneOf(i.opcode, {"mov", "selp", "slct", "prmt", "cvta", "mapa"}))
    return InstClass::Move;
  if (i.opcode == "cvt")
    return InstClass::Conversion;
  for (std::string_view word :
       {"f32", "f64", "f16", "f16x2", "bf16", "bf16x2", "f32x2"})
    if (has(i, word))
      return InstClass::Float;
  return ruleOf(i) == Rule::Strict ? InstClass::Other : InstClass::Integer;
}

void Decoder::collect(const Operand &operand, std::vector<uint32_t> &slots) {
  if (operand.kind == Kind::Symbol)
    if (const Register *reg = find(operand.text))
      slots.push_back(reg->slot);
  for (const Operand &part : operand.parts)
    collect(part, slots);
}

void Decoder::noteUses(const ptx::Instruction &source) {
  Uses uses;
  current->kind = uint8_t(classOf(source));
  uses.rule = ruleOf(source);
  uses.flow = flowOf(source);
  std::vector<uint32_t> strict, values, writes;
  unsigned results = resultsOf(source);
  for (size_t n = 0; n < source.operands.size(); ++n) {
    const Operand &operand = source.operands[n];
    bool isData = uses.rule == Rule::Wgmma
                      ? n == 0 || (n == 1 && operand.kind == Kind::Vector)
                      : operand.kind != Kind::Address;
    collect(operand, n < results                            ? writes
                     : uses.rule == Rule::Strict || !isData ? strict
                                                            : values);
  }
  if (!source.guard.empty())
    strict.push_back(find(source.guard)->slot);
  uses.first = uint32_t(code->slots.size());
  uses.strict = uint16_t(strict.size());
  uses.values = uint16_t(values.size());
  uses.writes = uint16_t(writes.size());
  for (const auto *list : {&strict, &values, &writes})
    code->slots.insert(code->slots.end(), list->begin(), list->end());
  if (code->slots.size() > uses.first)
    current->flags |= Inst::Registers;
  code->uses.push_back(uses);
}

/// Parameters and results of functions that are registers.
std::vector<uint32_t> Decoder::givenRegisters(const ptx::Function &f) {
  std::vector<uint32_t> slots;
  for (const ptx::Variable &v : f.parameters)
    if (const Register *reg = find(v.name); v.space == ptx::Space::Reg && reg)
      slots.push_back(reg->slot);
  return slots;
}
