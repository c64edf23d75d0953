// Decoder: registers, constants, labels and addresses.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Decoder.h"

#include "isa/Numbers.h"

#include <algorithm>
#include <cstring>

using namespace nibble::emu;
using ptx::Type;

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

bool Words::take(std::string_view word) {
  for (size_t i = 0; i < words.size(); ++i)
    if (!(taken >> i & 1) && words[i] == word) {
      taken |= uint64_t(1) << i;
      return true;
    }
  return false;
}

int Words::takeOf(std::initializer_list<std::string_view> choices) {
  int number = 0;
  for (std::string_view choice : choices) {
    if (take(choice))
      return number;
    ++number;
  }
  return -1;
}

bool Words::takeType(Type &type) {
  for (size_t i = 0; i < words.size(); ++i)
    if (!(taken >> i & 1) && ptx::parseType(words[i], type)) {
      taken |= uint64_t(1) << i;
      return true;
    }
  return false;
}

std::string_view Words::rest() const {
  for (size_t i = 0; i < words.size(); ++i)
    if (!(taken >> i & 1))
      return words[i];
  return {};
}

bool Words::has(std::string_view word) const {
  for (size_t i = 0; i < words.size(); ++i)
    if (!(taken >> i & 1) && words[i] == word)
      return true;
  return false;
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void Decoder::error(std::string message) {
  failure = {instruction->line, std::string(instruction->opcode)};
  for (std::string_view word : instruction->modifiers)
    failure.message += "." + std::string(word);
  failure.message += ": " + message;
  throw Stop();
}

void Decoder::unsupported(std::string what) {
  error(what + " is not emulated");
}

void Decoder::expectOperands(size_t least, size_t most) {
  size_t n = instruction->operands.size();
  if (n < least || n > most)
    error("takes " + std::to_string(least) +
          (most == least ? "" : " to " + std::to_string(most)) +
          " operands, not " + std::to_string(n));
}

const ptx::Operand &Decoder::operand(size_t i) {
  if (i >= instruction->operands.size())
    error("operand " + std::to_string(i + 1) + " is missing");
  return instruction->operands[i];
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

/// Extern shared memory begins behind all static variables, aligned as a device
/// does it.
static constexpr uint64_t kExternAlign = 1024;

static uint32_t alignTo(uint64_t value, uint64_t align) {
  return uint32_t((value + align - 1) / align * align);
}

Decoder::Register Decoder::allocate(Type type, std::string_view name) {
  Register reg;
  reg.type = type;
  reg.slot = uint32_t(code->registerNames.size());
  if (!name.empty())
    code->registerNames.emplace_back(name);
  if (type == Type::Pred) {
    reg.pred = int32_t(code->preds++);
    return reg;
  }
  unsigned bytes = std::max(2u, ptx::bitsOf(type) / 8);
  reg.ref = Ref::reg(code->regBytes);
  code->regBytes += alignTo(bytes * kWarpSize, 64);
  return reg;
}

/// `%r12` belongs to the set `%r<83>`: the name without its last digits, any
/// number of them.
const Decoder::Register *Decoder::find(std::string_view name) {
  if (auto found = registers.find(name); found != registers.end())
    return &found->second;
  size_t digits = 0;
  while (digits < name.size() && digits < 10 &&
         isdigit(name[name.size() - 1 - digits]))
    ++digits;
  for (size_t n = digits; n > 0; --n) {
    auto set = sets.find(name.substr(0, name.size() - n));
    if (set == sets.end())
      continue;
    std::string_view number = name.substr(name.size() - n);
    if (number.size() > 1 && number[0] == '0')
      continue;
    if (std::stoull(std::string(number)) < set->second->count)
      return &(registers[name] = allocate(set->second->type, name));
  }
  return nullptr;
}

bool Decoder::isPredicate(const Operand &operand) const {
  auto *self = const_cast<Decoder *>(this);
  const Register *reg = operand.kind == Operand::Kind::Symbol
                            ? self->find(operand.text)
                            : nullptr;
  return reg && reg->pred >= 0;
}

bool Decoder::isRegister(const Operand &operand) const {
  auto *self = const_cast<Decoder *>(this);
  return operand.kind == Operand::Kind::Symbol && self->find(operand.text);
}

unsigned Decoder::registerBytes(const Operand &operand) {
  const Register *reg = find(operand.text);
  return reg ? std::max(2u, ptx::bitsOf(reg->type) / 8) : 0;
}

int32_t Decoder::predicate(const Operand &operand) {
  if (operand.kind == Operand::Kind::Sink)
    return -1;
  const Register *reg =
      operand.kind == Operand::Kind::Symbol ? find(operand.text) : nullptr;
  if (!reg || reg->pred < 0)
    error("'" + std::string(operand.text) + "' is not a predicate");
  return reg->pred;
}

Ref Decoder::constant(uint64_t value, unsigned bytes) {
  if (bytes < 8)
    value &= (uint64_t(1) << (8 * bytes)) - 1;
  auto [found, isNew] = constants.try_emplace({value, bytes});
  if (!isNew)
    return found->second;
  std::vector<uint8_t> &pool = code->constants;
  size_t at = alignTo(pool.size(), 64);
  pool.resize(at + bytes * kWarpSize);
  for (unsigned l = 0; l < kWarpSize; ++l)
    std::memcpy(&pool[at + l * bytes], &value, std::min(bytes, 8u));
  return found->second = Ref::constant(uint32_t(at));
}

Ref Decoder::scratch(unsigned bytes) {
  return allocate(bytes == 16  ? Type::B128
                  : bytes == 8 ? Type::B64
                  : bytes == 4 ? Type::B32
                               : Type::B16)
      .ref;
}

Ref Decoder::special(Special which, uint64_t addend, unsigned bytes) {
  for (const SpecialUse &use : *specials)
    if (use.which == which && use.addend == addend && use.bytes == bytes)
      return Ref::reg(use.offset);
  Ref ref = scratch(bytes);
  specials->push_back({which, addend, ref.offset(), uint8_t(bytes)});
  return ref;
}

uint32_t Decoder::addRefs(const std::vector<Ref> &refs) {
  uint32_t first = uint32_t(code->refs.size());
  code->refs.insert(code->refs.end(), refs.begin(), refs.end());
  return first;
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Ref Decoder::value(const Operand &operand, unsigned bytes, bool wider) {
  switch (operand.kind) {
  case Operand::Kind::Integer:
    return constant(operand.bits, bytes);
  case Operand::Kind::Float: {
    if (operand.isDouble && bytes == 8)
      return constant(operand.bits, 8);
    double number = operand.isDouble ? bitCast<double>(operand.bits)
                                     : bitCast<float>(uint32_t(operand.bits));
    if (bytes == 4)
      return constant(operand.isDouble ? bitCast<uint32_t>(float(number))
                                       : operand.bits,
                      4);
    if (bytes == 8)
      return constant(bitCast<uint64_t>(number), 8);
    error("a floating-point immediate of 16 bits");
  }
  case Operand::Kind::Symbol:
    break;
  default:
    error("expected a register or an immediate");
  }
  const Register *reg = find(operand.text);
  Special which = reg ? Special::None : parseSpecial(operand.text);
  // ptxas reads some; what it makes of them is not documented.
  if (operand.offset && (reg || which != Special::None))
    error("adds " + std::to_string(operand.offset) + " to register " +
          std::string(operand.text) +
          " where a value stands; only addresses in brackets may");
  if (reg) {
    unsigned have = std::max(2u, ptx::bitsOf(reg->type) / 8);
    if (reg->pred >= 0 || have < bytes || (have > bytes && !wider))
      error("register " + std::string(operand.text) + " has " +
            std::to_string(ptx::bitsOf(reg->type)) + " bits, not " +
            std::to_string(8 * bytes));
    return reg->ref;
  }
  if (which != Special::None)
    return special(which, 0, bytes);
  if (int64_t offset = localOffset(operand.text); offset >= 0) {
    if (frame().valid())
      error("takes the address of a variable of a function, which only mov "
            "does here");
    return constant(uint64_t(offset + operand.offset), bytes);
  }
  auto own = shared.find(operand.text);
  int64_t at =
      own != shared.end() ? own->second : symbols.sharedOffsetOf(operand.text);
  if (at == Symbols::kExternShared)
    at = called ? externShared : sharedEnd; // all variables are declared
  if (at >= 0)
    return special(Special::SharedBase, uint64_t(at + operand.offset), bytes);
  if (uint64_t address = symbols.addressOf(operand.text))
    return constant(address + uint64_t(operand.offset), bytes);
  error("'" + std::string(operand.text) + "' is not declared");
}

Ref Decoder::floatValue(size_t i, Type type) {
  const Operand &op = operand(i);
  if (op.kind != Operand::Kind::Float && op.kind != Operand::Kind::Integer)
    return value(op, bytesOf(type));
  return value(op, bytesOf(type));
}

Ref Decoder::destination(size_t i, unsigned bytes) {
  const Operand &op = operand(i);
  if (op.kind == Operand::Kind::Sink)
    return scratch(bytes);
  const Register *reg =
      op.kind == Operand::Kind::Symbol ? find(op.text) : nullptr;
  if (!reg || reg->pred >= 0)
    error("operand " + std::to_string(i + 1) + " is not a register");
  return value(op, bytes);
}

uint32_t Decoder::label(const Operand &operand) {
  auto found = labels.find(operand.text);
  if (found == labels.end())
    error("there is no label '" + std::string(operand.text) + "'");
  return found->second;
}

std::vector<uint32_t> Decoder::branchTargets(const Operand &operand) {
  for (const ptx::Function::Targets &list : function->targets) {
    if (list.name != operand.text)
      continue;
    std::vector<uint32_t> indices;
    for (std::string_view symbol : list.symbols) {
      Operand name;
      name.kind = Operand::Kind::Symbol;
      name.text = symbol;
      indices.push_back(label(name));
    }
    return indices;
  }
  error("there is no list of targets '" + std::string(operand.text) + "'");
}

uint32_t Decoder::addTargets(const std::vector<uint32_t> &targets) {
  uint32_t first = uint32_t(code->targets.size());
  code->targets.insert(code->targets.end(), targets.begin(), targets.end());
  return first;
}

Decoder::Address Decoder::address(const Operand &operand) {
  if (operand.kind != Operand::Kind::Address || operand.parts.empty())
    error("expected an address in brackets");
  const Operand &base = operand.parts[0];
  Address result;
  result.offset = base.offset;
  if (base.kind == Operand::Kind::Integer) {
    result.base = constant(base.bits, 8);
    return result;
  }
  if (const Register *reg = find(base.text)) {
    result.bytes = ptx::bitsOf(reg->type) / 8;
    if (reg->pred >= 0 || result.bytes < 4)
      error("register " + std::string(base.text) + " holds no address");
    result.base = reg->ref;
    return result;
  }
  result.symbol = base.text;
  return result;
}

int64_t Decoder::localOffset(std::string_view name) const {
  auto found = locals.find(name);
  return found == locals.end() ? -1 : found->second;
}

int64_t Decoder::paramOffset(std::string_view name) const {
  auto found = params.find(name);
  return found == params.end() ? -1 : found->second;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Registers by name, variables of the function by offset.
void Decoder::layOut(const ptx::Variable &v) {
  uint64_t align = v.align ? v.align : std::max(1u, ptx::bitsOf(v.type) / 8);
  switch (v.space) {
  case ptx::Space::Reg:
    if (v.count)
      sets[v.name] = &v;
    else
      registers[v.name] = allocate(v.type, v.name);
    return;
  case ptx::Space::Shared:
    if (v.isExtern || v.unsized) {
      shared[v.name] = Symbols::kExternShared;
      return;
    }
    sharedEnd = alignTo(sharedEnd, align);
    shared[v.name] = sharedEnd;
    sharedEnd += v.byteSize();
    code->sharedAlign = std::max(code->sharedAlign, uint32_t(align));
    return;
  case ptx::Space::Local:
  case ptx::Space::Param:
    frameBytes = alignTo(frameBytes, align);
    locals[v.name] = frameBytes;
    frameBytes += uint32_t(v.byteSize());
    return;
  default:
    return; // global and const variables of a body belong to the module
  }
}

/// Parameters of the launch, limits.
void Decoder::declareKernel(const ptx::Function &f) {
  uint64_t at = 0;
  for (const ptx::Variable &v : f.parameters) {
    uint64_t align = v.align ? v.align : std::max(1u, ptx::bitsOf(v.type) / 8);
    at = alignTo(at, align);
    params[v.name] = int64_t(at);
    code->params.push_back({std::string(v.name), uint32_t(at),
                            uint32_t(v.byteSize()), uint32_t(align)});
    at += v.byteSize();
  }
  code->paramBytes = uint32_t(at);
  for (const ptx::Directive &d : f.directives) {
    if (d.name == "maxntid" || d.name == "reqntid") {
      uint64_t product = 1;
      for (uint64_t v : d.values)
        product *= v;
      code->maxThreads = uint32_t(product);
    }
    uint32_t *into = d.name == "reqntid"             ? code->requiredThreads
                     : d.name == "reqnctapercluster" ? code->requiredCluster
                                                     : nullptr;
    for (size_t i = 0; into && i < d.values.size() && i < 3; ++i)
      into[i] = uint32_t(d.values[i]);
  }
}

/// Registers and variables of a function, its labels.
void Decoder::declare(const ptx::Function &f) {
  if (called) {
    called->frame = scratch(8);
    for (const ptx::Variable &v : f.parameters)
      called->params.push_back(declarePlace(v));
    for (const ptx::Variable &v : f.results)
      called->results.push_back(declarePlace(v));
  } else {
    declareKernel(f);
  }
  for (const ptx::Variable &v : f.variables)
    layOut(v);
  for (const ptx::Function::Label &label : f.labels)
    labels[label.name] = uint32_t(code->insts.size()) + label.index;
}

void Decoder::decodeOne(const ptx::Instruction &source, Inst &inst) {
  instruction = &source;
  current = &inst;
  if (source.modifiers.size() > 60)
    error("has too many modifiers");
  Words words(source.modifiers);
  currentWords = &words;
  inst.line = source.line;
  if (!source.guard.empty()) {
    Operand guard;
    guard.kind = Operand::Kind::Symbol;
    guard.text = source.guard;
    inst.guard = predicate(guard);
    inst.flags |= source.guardNegated ? Inst::Negated : 0;
  }
  DecodeFn decode = findDecoder(source.opcode);
  if (!decode)
    error("this instruction is not emulated");
  decode(*this);
  if (std::string_view rest = words.rest(); !rest.empty())
    error("modifier ." + std::string(rest) + " is not emulated here");
  if (std::string missing = missingOn(target, source); !missing.empty())
    error(missing + "; the target is " + std::string(module.target));
  noteUses(source);
}

void Decoder::begin(const ptx::Function &f) {
  function = &f;
  registers.clear();
  sets.clear();
  labels.clear();
  locals.clear();
  params.clear();
  shared.clear();
  frameBytes = 0;
}

/// Instructions of a function behind those that are there.
void Decoder::decodeBody(const ptx::Function &f) {
  size_t first = code->insts.size();
  for (const ptx::Instruction &source : f.body) {
    Inst inst;
    decodeOne(source, inst);
    code->insts.push_back(inst);
    code->sources.push_back(source.source);
  }
  static const ptx::Instruction kEnd{"ret", {}, {}, false, {}, 0, {}};
  Inst end;
  decodeOne(kEnd, end);
  end.line = f.body.empty() ? f.line : f.body.back().line;
  code->insts.push_back(end);
  code->sources.push_back({});
  code->insts[first].flags |= Inst::Leader;
  for (const ptx::Function::Label &label : f.labels)
    code->insts[first + label.index].flags |= Inst::Leader;
  for (size_t i = first; i + 1 < code->insts.size(); ++i)
    if (code->insts[i].flags & Inst::Ends)
      code->insts[i + 1].flags |= Inst::Leader;
}

/// Offset of extern shared memory: behind the variables of the kernel and of
/// all functions it may call, whose offsets go on from one to the next.
ptx::Error Decoder::decode(const ptx::Function &f, Code &result,
                           std::vector<SpecialUse> &uses) {
  code = &result;
  specials = &uses;
  code->name = std::string(f.name);
  code->isEntry = f.isEntry;
  std::vector<const ptx::Function *> order = reachable(f);
  sharedEnd = symbols.sharedEnd();
  for (const ptx::Function *each : order)
    for (const ptx::Variable &v : each->variables)
      if (v.space == ptx::Space::Shared && !v.isExtern && !v.unsized)
        sharedEnd += int64_t(v.byteSize()) + v.align + 16; // room for alignment
  externShared = order.size() == 1
                     ? -1
                     : int64_t(alignTo(uint64_t(sharedEnd), kExternAlign));
  sharedEnd = symbols.sharedEnd();
  // Without extern memory, what lies behind the variables is out of bounds.
  auto isExtern = [](const ptx::Variable &v) {
    return v.space == ptx::Space::Shared && (v.isExtern || v.unsized);
  };
  auto anyExtern = [&](const std::vector<ptx::Variable> &variables) {
    return std::any_of(variables.begin(), variables.end(), isExtern);
  };
  bool pads = anyExtern(module.variables);
  for (const ptx::Function *each : order)
    pads |= anyExtern(each->variables);
  Given given;
  try {
    size_t next = 0;
    for (const ptx::Function *each : order) {
      begin(*each);
      called = each->isEntry ? nullptr : &code->functions[next++];
      if (called && !called->hasBody)
        continue;
      (called ? called->start : code->start) = uint32_t(code->insts.size());
      declare(*each);
      if (!called && pads)
        sharedEnd = externShared >= 0
                        ? externShared
                        : int64_t(alignTo(uint64_t(sharedEnd), kExternAlign));
      given.push_back({uint32_t(code->insts.size()), givenRegisters(*each)});
      decodeBody(*each);
      if (called)
        keepRegisters(*called);
      else
        code->frameBytes = frameBytes;
    }
  } catch (const Stop &) {
    return failure;
  }
  code->localBytes = code->frameBytes + stackBytes();
  code->sharedEnd = uint32_t(sharedEnd);
  findUndefined(*code, given);
  return {};
}

Special nibble::emu::parseSpecial(std::string_view text) {
  static const std::unordered_map<std::string_view, Special> kNames = {
      {"%tid.x", Special::TidX},
      {"%tid.y", Special::TidY},
      {"%tid.z", Special::TidZ},
      {"%ntid.x", Special::NTidX},
      {"%ntid.y", Special::NTidY},
      {"%ntid.z", Special::NTidZ},
      {"%ctaid.x", Special::CtaIdX},
      {"%ctaid.y", Special::CtaIdY},
      {"%ctaid.z", Special::CtaIdZ},
      {"%nctaid.x", Special::NCtaIdX},
      {"%nctaid.y", Special::NCtaIdY},
      {"%nctaid.z", Special::NCtaIdZ},
      {"%laneid", Special::LaneId},
      {"%warpid", Special::WarpId},
      {"%nwarpid", Special::NWarpId},
      {"%smid", Special::SmId},
      {"%nsmid", Special::NSmId},
      {"%gridid", Special::GridId},
      {"%clusterid.x", Special::ClusterIdX},
      {"%clusterid.y", Special::ClusterIdY},
      {"%clusterid.z", Special::ClusterIdZ},
      {"%nclusterid.x", Special::NClusterIdX},
      {"%nclusterid.y", Special::NClusterIdY},
      {"%nclusterid.z", Special::NClusterIdZ},
      {"%cluster_ctaid.x", Special::ClusterCtaIdX},
      {"%cluster_ctaid.y", Special::ClusterCtaIdY},
      {"%cluster_ctaid.z", Special::ClusterCtaIdZ},
      {"%cluster_nctaid.x", Special::ClusterNCtaIdX},
      {"%cluster_nctaid.y", Special::ClusterNCtaIdY},
      {"%cluster_nctaid.z", Special::ClusterNCtaIdZ},
      {"%cluster_ctarank", Special::ClusterCtaRank},
      {"%cluster_nctarank", Special::ClusterNCtaRank},
      {"%is_explicit_cluster", Special::IsExplicitCluster},
      {"%lanemask_eq", Special::LaneMaskEq},
      {"%lanemask_le", Special::LaneMaskLe},
      {"%lanemask_lt", Special::LaneMaskLt},
      {"%lanemask_ge", Special::LaneMaskGe},
      {"%lanemask_gt", Special::LaneMaskGt},
      {"%dynamic_smem_size", Special::DynamicSharedSize},
      {"%total_smem_size", Special::TotalSharedSize},
      {"%aggr_smem_size", Special::AggrSharedSize},
  };
  auto found = kNames.find(text);
  return found == kNames.end() ? Special::None : found->second;
}
