// Registers without a value, and in the hands of asynchronous instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Registers.h"

#include "exec/Cta.h"

#include <algorithm>

using namespace nibble::emu;

/// Job of registers that tcgen05.ld fills.
static constexpr uint32_t kLoad = ~0u;

RegisterState::RegisterState(const Code &code) : code(code) {
  auto any = [](const std::vector<bool> &v) {
    return std::find(v.begin(), v.end(), true) != v.end();
  };
  if (any(code.undefined)) {
    undefined.assign(code.undefined.size(), 0);
    for (size_t s = 0; s < undefined.size(); ++s)
      undefined[s] = code.undefined[s] ? kAllLanes : 0;
  }
  if (any(code.ofWgmma))
    touched.assign(code.ofWgmma.size(), 0);
}

std::string RegisterState::name(uint32_t slot) const {
  return "register " + code.registerNames[slot];
}

void RegisterState::check(Warp &w, const Inst &inst, Lanes lanes) {
  const Uses &uses = code.uses[size_t(&inst - code.insts.data())];
  if (!lanes) { // nobody but the guard is read
    if (!undefined.empty() && w.cta.cluster.launch.checks.registers)
      requireValues(w, &code.slots[uses.first + uses.strict - 1], 1,
                    w.current.lanes);
    return;
  }
  if (!flying.empty())
    checkFlights(w, uses);
  if (!touched.empty() && uses.rule != Rule::Wgmma)
    for (unsigned n = 0, end = uses.strict + uses.values + uses.writes; n < end;
         ++n)
      touched[code.slots[uses.first + n]] = fences + 1;
  if (!undefined.empty() && w.cta.cluster.launch.checks.registers)
    checkValues(w, uses, lanes);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

void RegisterState::requireValues(Warp &w, const uint32_t *slots,
                                  unsigned count, Lanes lanes) {
  for (unsigned n = 0; n < count; ++n)
    if (Lanes without = undefined[slots[n]] & lanes)
      w.fault("uses " + name(slots[n]) + ", which has no value",
              __builtin_ctz(without));
}

/// Lanes whose result has no value.
Lanes RegisterState::withoutValue(Warp &w, const Uses &uses,
                                  const uint32_t *values, Lanes lanes) const {
  Lanes any = 0, all = uses.values ? kAllLanes : 0;
  for (unsigned n = 0; n < uses.values; ++n) {
    any |= undefined[values[n]];
    all &= undefined[values[n]];
  }
  if (uses.rule == Rule::All || uses.rule == Rule::Move)
    return all & lanes;
  if (uses.rule != Rule::Select)
    return uses.rule == Rule::Any ? any & lanes : 0;
  // a and b are values unless they are immediates.
  const Inst &i = *w.inst;
  unsigned n = 0;
  Lanes a = i.a.isConstant() ? 0 : undefined[values[n++]];
  Lanes b = i.b.isConstant() || n + 1 >= uses.values ? 0 : undefined[values[n]];
  Lanes p = i.sub[0] ? ~w.pred(i.p) : w.pred(i.p);
  return (undefined[values[uses.values - 1]] | (a & p) | (b & ~p)) & lanes;
}

void RegisterState::checkValues(Warp &w, const Uses &uses, Lanes lanes) {
  const uint32_t *slots = code.slots.data() + uses.first;
  const uint32_t *values = slots + uses.strict;
  unsigned guards = w.inst->guard >= 0; // the last of the strict ones
  requireValues(w, slots, uses.strict - guards, lanes);
  if (guards)
    requireValues(w, values - 1, 1, w.current.lanes);
  Lanes without = withoutValue(w, uses, values, lanes);
  for (unsigned n = 0; n < uses.writes; ++n) {
    uint32_t slot = values[uses.values + n];
    undefined[slot] =
        (undefined[slot] & ~lanes) | (code.undefined[slot] ? without : 0);
  }
}

//===----------------------------------------------------------------------===//
// Registers in hand
//===----------------------------------------------------------------------===//

void RegisterState::touches(Warp &w, uint32_t slot, const Flight &flight) {
  uint32_t line = code.insts[flight.inst].line;
  if (flight.job == kLoad)
    w.fault("uses " + name(slot) + ", which the tcgen05.ld of PTX line " +
            std::to_string(line) + " writes, before a tcgen05.wait::ld");
  w.fault("uses " + name(slot) + ", which the wgmma.mma_async of PTX line " +
          std::to_string(line) + (flight.isResult ? " writes" : " reads") +
          ", before a wgmma.wait_group that covers it" +
          (flight.job > w.wgmmaCommitted
               ? " (no wgmma.commit_group has followed it yet)"
               : ""));
}

void RegisterState::checkFlights(Warp &w, const Uses &uses) {
  // The data of wgmma is looked at by itself.
  unsigned count = uses.strict + uses.values + uses.writes;
  if (uses.rule == Rule::Wgmma)
    count = uses.strict;
  const uint32_t *slots = code.slots.data() + uses.first;
  Flight moved;
  for (unsigned n = 0; n < count; ++n) {
    const Flight &flight = flights[slots[n]];
    const Checks &checks = w.cta.cluster.launch.checks;
    if (!flight.job ||
        !(flight.job == kLoad ? checks.tensorWaits : checks.waits))
      continue;
    bool isMoved = uses.rule == Rule::Move && flight.job == kLoad &&
                   n >= uses.strict && n < uses.strict + uses.values;
    if (!isMoved)
      touches(w, slots[n], flight);
    moved = flight;
  }
  // Compilers move loaded registers before the wait: the results are what is
  // to be waited for then.
  for (unsigned n = 0; moved.job && n < uses.writes; ++n) {
    uint32_t slot = slots[uses.strict + uses.values + n];
    flights[slot] = moved;
    flying.push_back(slot);
  }
}

void RegisterState::beginLoad(const Inst &inst) {
  flights.resize(code.registerNames.size());
  uint32_t at = uint32_t(&inst - code.insts.data());
  const Uses &uses = code.uses[at];
  for (unsigned n = 0; n < uses.writes; ++n) {
    uint32_t slot = code.slots[uses.first + uses.strict + uses.values + n];
    flights[slot].job = kLoad;
    flights[slot].inst = at;
    flying.push_back(slot);
  }
  watched = Inst::Tracked | Inst::Registers;
}

void RegisterState::endLoads() { endWgmma(kLoad); }

void RegisterState::endWgmma(uint32_t job) {
  bool loads = job == kLoad;
  auto isDone = [&](uint32_t slot) {
    Flight &flight = flights[slot];
    bool done = loads ? flight.job == kLoad : flight.job <= job;
    if (done)
      flight.job = 0;
    return done;
  };
  flying.erase(std::remove_if(flying.begin(), flying.end(), isDone),
               flying.end());
  if (flying.empty())
    watched = Inst::Tracked;
}

void RegisterState::beginWgmma(Warp &w, const Inst &inst, unsigned results,
                               uint32_t key, uint32_t job, bool reads) {
  flights.resize(code.registerNames.size());
  uint32_t at = uint32_t(&inst - code.insts.data());
  const Uses &uses = code.uses[at];
  const Checks &checks = w.cta.cluster.launch.checks;
  const uint32_t *slots = code.slots.data() + uses.first + uses.strict;
  if (checks.waits && fences == 0)
    w.fault("wgmma.mma_async before any wgmma.fence of the warp");
  for (unsigned n = 0; n < uses.values; ++n) {
    uint32_t slot = slots[n];
    bool isResult = n < results;
    Flight &flight = flights[slot];
    if (checks.waits && touched[slot] == fences + 1)
      w.fault("wgmma.mma_async uses " + name(slot) +
              ", which another instruction has used since the last "
              "wgmma.fence");
    bool chained = isResult && flight.isResult &&
                   (flight.key == key || flight.fence != fences);
    if (checks.waits && flight.job && !chained && (isResult || flight.isResult))
      touches(w, slot, flight);
    if (checks.registers && !undefined.empty()) {
      if (!isResult || reads)
        requireValues(w, &slot, 1, kAllLanes);
      undefined[slot] = isResult ? 0 : undefined[slot];
    }
    if (!flight.job)
      flying.push_back(slot);
    flight = {job, at, key, fences, isResult};
  }
  watched = Inst::Tracked | Inst::Registers;
}
