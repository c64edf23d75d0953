// Calls: which functions a kernel reaches, frames, arguments and results.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Cta.h"
#include "isa/Control.h"
#include "isa/Select.h"

#include <algorithm>
#include <cstring>
#include <set>

using namespace nibble::emu;

/// Local memory of a thread for calls that may nest without a known end.
static constexpr uint32_t kOpenStack = 16 * 1024;
static constexpr uint32_t kFrameAlign = 16;

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

namespace {

uint8_t *locate(Warp &w, const Place &place, unsigned lane) {
  if (place.reg.valid())
    return w.lanes<uint8_t>(place.reg) +
           (place.reg.isConstant() ? 0 : lane * place.bytes);
  uint64_t base = place.base.valid() ? w.lanes<uint64_t>(place.base)[lane] : 0;
  return w.cta.local(w, lane) + base + place.offset;
}

/// Values at some places, one behind the other.
std::vector<uint8_t> take(Warp &w, const std::vector<Place> &places,
                          unsigned lane) {
  std::vector<uint8_t> bytes;
  for (const Place &place : places) {
    const uint8_t *at = locate(w, place, lane);
    bytes.insert(bytes.end(), at, at + place.bytes);
  }
  return bytes;
}
void put(Warp &w, const std::vector<Place> &places, unsigned lane,
         const std::vector<uint8_t> &bytes) {
  size_t at = 0;
  for (const Place &place : places) {
    std::copy_n(bytes.data() + at, place.bytes, locate(w, place, lane));
    at += place.bytes;
  }
}

std::vector<uint8_t> saveRegisters(Warp &w, const CalledFunction &f,
                                   unsigned lane) {
  std::vector<uint8_t> saved;
  for (auto [ref, bytes] : f.registers) {
    const uint8_t *at = w.lanes<uint8_t>(ref) + lane * bytes;
    saved.insert(saved.end(), at, at + bytes);
  }
  for (int32_t pred : f.preds)
    saved.push_back(w.pred(pred) >> lane & 1);
  return saved;
}
void restoreRegisters(Warp &w, const CalledFunction &f, unsigned lane,
                      const std::vector<uint8_t> &saved) {
  const uint8_t *from = saved.data();
  for (auto [ref, bytes] : f.registers) {
    std::copy_n(from, bytes, w.lanes<uint8_t>(ref) + lane * bytes);
    from += bytes;
  }
  for (int32_t pred : f.preds)
    setPred(w, pred, Lanes(1) << lane, Lanes(*from++) << lane);
}

/// The text at a generic address, as far as it can be read.
std::string readText(Warp &w, uint64_t address) {
  std::string text;
  for (auto found = w.cta.cluster.launch.memory->find(address);
       found && address < found->end && text.size() < 500; ++address) {
    char c = *reinterpret_cast<const char *>(address);
    if (!c)
      break;
    text += c;
  }
  return text;
}

/// A function that somebody else would have to bring; assert() is known.
[[noreturn]] void callMissing(Warp &w, const CallSite &site,
                              const CalledFunction &f, unsigned lane) {
  std::vector<uint8_t> args = take(w, site.args, lane);
  if (f.name == "__assertfail" && args.size() >= 28) {
    uint64_t message, file;
    uint32_t line;
    std::memcpy(&message, &args[0], 8);
    std::memcpy(&file, &args[8], 8);
    std::memcpy(&line, &args[16], 4);
    w.fault("assertion failed: " + readText(w, message) + " (" +
                readText(w, file) + ":" + std::to_string(line) + ")",
            int(lane), FaultKind::Assert);
  }
  w.fault("calls '" + f.name + "', which has no body here", int(lane));
}

void checkArguments(Warp &w, const CallSite &site, const CalledFunction &f,
                    unsigned lane) {
  auto same = [](const std::vector<Place> &a, const std::vector<Place> &b) {
    return std::equal(
        a.begin(), a.end(), b.begin(), b.end(),
        [](const Place &x, const Place &y) { return x.bytes == y.bytes; });
  };
  if (!same(site.args, f.params) || !same(site.results, f.results))
    w.fault("calls '" + f.name + "' with other parameters than it has",
            int(lane));
}

void enter(Warp &w, const Inst &i, unsigned lane, uint32_t function) {
  const CallSite &site = w.code.calls[i.extra];
  const CalledFunction &f = w.code.functions[function];
  if (!f.hasBody)
    callMissing(w, site, f, lane);
  checkArguments(w, site, f, lane);
  std::vector<uint8_t> args = take(w, site.args, lane);
  std::vector<Frame> &frames = w.frames(lane);
  Frame frame;
  frame.caller = uint32_t(&i - w.code.insts.data());
  frame.function = function;
  frame.top = w.stackTop(lane);
  for (const Frame &outer : frames)
    if (outer.function == function) {
      frame.saved = saveRegisters(w, f, lane);
      break;
    }
  uint64_t base = (frame.top + kFrameAlign - 1) / kFrameAlign * kFrameAlign;
  if (base + f.frameBytes > w.code.localBytes)
    w.fault("calls nest too deep: their frames need more than " +
                std::to_string(w.code.localBytes) + " bytes",
            int(lane));
  w.stackTop(lane) = base + f.frameBytes;
  w.lanes<uint64_t>(f.frame)[lane] = base;
  put(w, f.params, lane, args);
  frames.push_back(std::move(frame));
}

void leave(Warp &w, unsigned lane) {
  Frame frame = std::move(w.frames(lane).back());
  w.frames(lane).pop_back();
  const CalledFunction &f = w.code.functions[frame.function];
  std::vector<uint8_t> results = take(w, f.results, lane);
  if (!frame.saved.empty())
    restoreRegisters(w, f, lane, frame.saved);
  w.stackTop(lane) = frame.top;
  put(w, w.code.calls[w.code.insts[frame.caller].extra].results, lane, results);
}

/// Moves `same` lanes of the running group to `pc`; `rest` are still to be
/// moved. True if that ends the instruction.
bool move(Warp &w, Lanes same, Lanes rest, uint32_t pc) {
  if (!rest && same == w.current.lanes) {
    w.jump(pc);
    return true;
  }
  w.split(same, pc);
  return false;
}

int32_t functionAt(Warp &w, uint64_t address, unsigned lane) {
  for (size_t f = 0; f < w.code.functions.size(); ++f)
    if (codeAddress(w.code.functions[f].number) == address)
      return int32_t(f);
  w.fault("calls an address that is no function's", int(lane));
}

void call(Warp &w, const Inst &i, Lanes lanes) {
  const CallSite &site = w.code.calls[i.extra];
  while (lanes) {
    unsigned first = unsigned(__builtin_ctz(lanes));
    Lanes same = lanes;
    int32_t function = site.function;
    if (function < 0) {
      const uint64_t *address = w.lanes<uint64_t>(site.address);
      function = functionAt(w, address[first], first);
      same = 0;
      forLanes(lanes, [&](unsigned l) {
        same |= Lanes(address[l] == address[first]) << l;
      });
    }
    lanes &= ~same;
    forLanes(same, [&](unsigned l) { enter(w, i, l, uint32_t(function)); });
    if (move(w, same, lanes, w.code.functions[size_t(function)].start))
      return;
  }
  w.afterSplit();
}

/// Lanes go back behind their calls.
void giveBack(Warp &w, const Inst &, Lanes lanes) {
  while (lanes) {
    uint32_t caller = w.frames(unsigned(__builtin_ctz(lanes))).back().caller;
    Lanes same = 0;
    forLanes(lanes, [&](unsigned l) {
      same |= Lanes(w.frames(l).back().caller == caller) << l;
    });
    lanes &= ~same;
    forLanes(same, [&](unsigned l) { leave(w, l); });
    if (move(w, same, lanes, caller + 1))
      return;
  }
  w.afterSplit();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

using Kind = ptx::Operand::Kind;

/// Operand number of what is called: behind the list of results.
size_t targetOf(const ptx::Instruction &source) {
  return !source.operands.empty() && source.operands[0].kind == Kind::Vector;
}

/// Functions that a body may call: by name, and whether also by address.
struct Callees {
  std::vector<const ptx::Function *> named;
  bool any = false;
};
Callees calleesOf(const ptx::Function &f, const ptx::Module &module,
                  const Symbols &symbols) {
  Callees result;
  for (const ptx::Instruction &source : f.body) {
    size_t at = targetOf(source);
    if (source.opcode != "call" || at >= source.operands.size())
      continue;
    int64_t number = symbols.functionOf(source.operands[at].text);
    if (number >= 0)
      result.named.push_back(&module.functions[size_t(number)]);
    else
      result.any = true;
  }
  return result;
}

std::vector<Place> placesOf(Decoder &d, const ptx::Operand &list) {
  std::vector<Place> places;
  for (const ptx::Operand &part : list.parts)
    places.push_back(d.place(part));
  return places;
}

} // namespace

/// The functions that a kernel reaches, callees first, the kernel last.
std::vector<const ptx::Function *>
Decoder::reachable(const ptx::Function &kernel) {
  std::vector<const ptx::Function *> order;
  std::set<const ptx::Function *> seen;
  std::vector<std::pair<const ptx::Function *, bool>> work{{&kernel, false}};
  while (!work.empty()) {
    auto [f, leaves] = work.back();
    work.pop_back();
    if (leaves) {
      order.push_back(f);
      continue;
    }
    if (!seen.insert(f).second)
      continue;
    work.push_back({f, true});
    Callees callees = calleesOf(*f, module, symbols);
    if (callees.any)
      for (const ptx::Function &other : module.functions)
        if (!other.isEntry)
          callees.named.push_back(&other);
    for (const ptx::Function *callee : callees.named)
      work.push_back({callee, false});
  }
  for (const ptx::Function *f : order)
    if (f != &kernel) {
      CalledFunction callee;
      callee.name = std::string(f->name);
      callee.number = symbols.functionOf(f->name);
      callee.hasBody = f->hasBody;
      code->functions.push_back(std::move(callee));
    }
  return order;
}

int32_t Decoder::calledFunction(std::string_view name) const {
  int64_t number = symbols.functionOf(name);
  for (size_t i = 0; number >= 0 && i < code->functions.size(); ++i)
    if (code->functions[i].number == number)
      return int32_t(i);
  return -1;
}

uint32_t Decoder::addCall(CallSite site) {
  code->calls.push_back(std::move(site));
  return uint32_t(code->calls.size() - 1);
}

/// A parameter or result of the function that is decoded.
Place Decoder::declarePlace(const ptx::Variable &v) {
  Place place;
  layOut(v);
  if (v.space == ptx::Space::Reg) {
    const Register *reg = find(v.name);
    place.reg = reg->ref;
    place.bytes = std::max(2u, ptx::bitsOf(v.type) / 8);
    return place;
  }
  place.base = called->frame;
  place.offset = uint32_t(locals[v.name]);
  place.bytes = uint32_t(v.byteSize());
  return place;
}

Place Decoder::place(const Operand &operand) {
  Place place;
  if (int64_t offset = localOffset(operand.text); offset >= 0) {
    place.base = frame();
    place.offset = uint32_t(offset);
    for (const auto *list :
         {&function->variables, &function->parameters, &function->results})
      for (const ptx::Variable &v : *list)
        if (v.name == operand.text)
          place.bytes = uint32_t(v.byteSize());
    return place;
  }
  place.bytes = isRegister(operand) ? registerBytes(operand) : 4;
  if (!isRegister(operand) && operand.isDouble)
    place.bytes = 8;
  place.reg = value(operand, place.bytes);
  return place;
}

/// What a lane keeps of an activation when it enters the function again.
void Decoder::keepRegisters(CalledFunction &callee) {
  callee.frameBytes = frameBytes;
  callee.registers.push_back({callee.frame, 8});
  for (auto &[name, reg] : registers)
    if (reg.pred >= 0)
      callee.preds.push_back(reg.pred);
    else
      callee.registers.push_back(
          {reg.ref, uint8_t(std::max(2u, ptx::bitsOf(reg.type) / 8))});
}

/// True if the call goes to its own function or to one behind it.
bool Decoder::leadsBack(uint32_t call) const {
  int32_t target = code->calls[code->insts[call].extra].function;
  if (target < 0)
    return true;
  uint32_t own = 0; // start of the function around the call
  for (const CalledFunction &f : code->functions)
    if (f.hasBody && f.start <= call)
      own = std::max(own, f.start);
  if (call >= code->start)
    own = code->start;
  const CalledFunction &callee = code->functions[size_t(target)];
  return callee.hasBody && callee.start >= own;
}

/// Local memory for calls: all frames at once, more if calls may recur.
uint32_t Decoder::stackBytes() const {
  uint32_t bytes = 0;
  bool open = false;
  for (const CalledFunction &f : code->functions)
    bytes += (f.frameBytes + kFrameAlign - 1) / kFrameAlign * kFrameAlign;
  // Callees lie before their callers, except where calls lead back.
  for (size_t i = 0; i < code->insts.size(); ++i)
    if (code->insts[i].run == ::call)
      open |= leadsBack(uint32_t(i));
  return code->functions.empty() ? 0
         : open                  ? std::max(bytes + kFrameAlign, kOpenStack)
                                 : bytes + kFrameAlign;
}

namespace nibble {
namespace emu {
namespace control {

void call(Decoder &d) {
  d.words().take("uni");
  const std::vector<ptx::Operand> &operands = d.source().operands;
  size_t at = targetOf(d.source());
  d.expectOperands(at + 1, at + 3);
  CallSite site;
  site.function = d.calledFunction(operands[at].text);
  if (site.function < 0)
    site.address = d.value(operands[at], 8);
  if (at == 1)
    site.results = placesOf(d, operands[0]);
  if (operands.size() > at + 1 && operands[at + 1].kind == Kind::Vector)
    site.args = placesOf(d, operands[at + 1]);
  d.inst().extra = d.addCall(std::move(site));
  d.inst().run = ::call;
  d.inst().flags |= Inst::Ends;
}

void returnFromFunction(Decoder &d) {
  d.inst().run = giveBack;
  d.inst().flags |= Inst::Ends;
}

} // namespace control
} // namespace emu
} // namespace nibble
