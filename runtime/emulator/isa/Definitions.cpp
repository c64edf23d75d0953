// Definite assignment: which registers may be read without a value.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Forward data flow over the basic blocks of a code: a register has a value
// where it has one on every way there. The others are watched when the kernel
// runs (exec/Registers.h). Code that is so large that this would take long,
// which no compiler writes, is watched as a whole.
#include "isa/Decoder.h"

#include <deque>

using namespace nibble::emu;

namespace {

/// Bits of all sets, and instructions looked at, before it is too large.
constexpr uint64_t kMaxBits = uint64_t(1) << 31, kMaxSteps = 20'000'000;

/// A set of registers.
class Slots {
public:
  explicit Slots(size_t count, bool all = false)
      : words((count + 63) / 64, all ? ~uint64_t(0) : 0) {}
  bool has(uint32_t slot) const { return words[slot / 64] >> (slot % 64) & 1; }
  void put(uint32_t slot, bool in) {
    uint64_t bit = uint64_t(1) << (slot % 64);
    words[slot / 64] = in ? words[slot / 64] | bit : words[slot / 64] & ~bit;
  }
  /// Keeps what is in both; true if something goes.
  bool intersect(const Slots &other) {
    bool changed = false;
    for (size_t i = 0; i < words.size(); ++i) {
      uint64_t kept = words[i] & other.words[i];
      changed |= kept != words[i];
      words[i] = kept;
    }
    return changed;
  }

private:
  std::vector<uint64_t> words;
};

class Definitions {
public:
  explicit Definitions(Code &code)
      : code(code), entries(code.insts.size(), Slots(0)),
        reached(code.insts.size()) {}

  void run(const Given &given) {
    code.undefined.assign(code.registerNames.size(), false);
    code.ofWgmma.assign(code.registerNames.size(), false);
    if (!decide(given))
      code.undefined.assign(code.registerNames.size(), true);
    for (uint32_t at = 0; at < code.insts.size(); ++at)
      noteWgmma(at);
    mark();
  }

private:
  /// False if it is too large.
  bool decide(const Given &given) {
    uint64_t leaders = 0;
    for (const Inst &inst : code.insts)
      leaders += (inst.flags & Inst::Leader) != 0;
    if (leaders * code.registerNames.size() > kMaxBits)
      return false;
    for (auto &[first, slots] : given) {
      Slots known(code.registerNames.size());
      for (uint32_t slot : slots)
        known.put(slot, true);
      enter(first, known);
    }
    while (!work.empty() && steps < kMaxSteps) {
      uint32_t at = work.front();
      work.pop_front();
      walk(at, [](uint32_t, const Slots &) {});
    }
    if (!work.empty())
      return false;
    for (uint32_t at = 0; at < code.insts.size(); ++at)
      if (reached[at])
        walk(at, [&](uint32_t i, const Slots &known) { note(i, known); });
    return true;
  }

  const uint32_t *slotsOf(uint32_t i) const {
    return code.slots.data() + code.uses[i].first;
  }

  void enter(uint32_t at, const Slots &known) {
    if (at >= code.insts.size())
      return;
    if (reached[at] && !entries[at].intersect(known))
      return;
    if (!reached[at])
      entries[at] = known;
    reached[at] = true;
    work.push_back(at);
  }

  /// From the begin of a block to its end, then on to the next ones. `f` sees
  /// each instruction with what has values before it.
  template <typename F> void walk(uint32_t at, F f) {
    Slots known = entries[at];
    for (;; ++at) {
      f(at, known);
      step(at, known);
      ++steps;
      const Uses &uses = code.uses[at];
      const Inst &inst = code.insts[at];
      if (uses.flow == Flow::Branch)
        enter(inst.target, known);
      if (uses.flow == Flow::Table)
        for (uint32_t n = 0; n < inst.extras; ++n)
          enter(code.targets[inst.extra + n], known);
      if (uses.flow != Flow::Next && inst.guard < 0)
        return;
      if (at + 1 >= code.insts.size())
        return;
      if (code.insts[at + 1].flags & Inst::Leader)
        return enter(at + 1, known);
    }
  }

  bool hasResult(const Uses &uses, const uint32_t *values,
                 const Slots &known) const {
    unsigned count = 0;
    for (unsigned n = 0; n < uses.values; ++n)
      count += known.has(values[n]);
    switch (uses.rule) {
    case Rule::Any:
    case Rule::Select:
      return count == uses.values;
    case Rule::All:
    case Rule::Move:
      return count > 0 || uses.values == 0;
    default:
      return true;
    }
  }

  void step(uint32_t at, Slots &known) const {
    const Uses &uses = code.uses[at];
    const uint32_t *values = slotsOf(at) + uses.strict;
    const uint32_t *writes = values + uses.values;
    bool result = hasResult(uses, values, known);
    bool guarded = code.insts[at].guard >= 0;
    for (unsigned n = 0; n < uses.writes; ++n)
      known.put(writes[n], result && (!guarded || known.has(writes[n])));
    if (uses.rule == Rule::Wgmma) // D has values now; reading it is checked
      for (unsigned n = 0; n < uses.values; ++n)
        known.put(values[n], true);
  }

  void note(uint32_t at, const Slots &known) {
    const Uses &uses = code.uses[at];
    unsigned reads = uses.strict + uses.values;
    for (unsigned n = 0; n < reads; ++n)
      if (!known.has(slotsOf(at)[n]))
        code.undefined[slotsOf(at)[n]] = true;
  }

  void noteWgmma(uint32_t at) {
    const Uses &uses = code.uses[at];
    for (unsigned n = 0; uses.rule == Rule::Wgmma && n < uses.values; ++n)
      code.ofWgmma[slotsOf(at)[uses.strict + n]] = true;
  }

  /// Instructions that meet such registers.
  void mark() {
    for (uint32_t i = 0; i < code.insts.size(); ++i) {
      const Uses &uses = code.uses[i];
      unsigned count = uses.strict + uses.values + uses.writes;
      for (unsigned n = 0; n < count; ++n)
        if (code.undefined[slotsOf(i)[n]] || code.ofWgmma[slotsOf(i)[n]])
          code.insts[i].flags |= Inst::Tracked;
    }
  }

  Code &code;
  std::vector<Slots> entries;
  std::vector<bool> reached;
  std::deque<uint32_t> work;
  uint64_t steps = 0;
};

} // namespace

void nibble::emu::findUndefined(Code &code, const Given &given) {
  Definitions(code).run(given);
}
