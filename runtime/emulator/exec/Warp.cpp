// A warp: groups of lanes, the lowest program counter first.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// After a branch that lanes take differently, the group at the lowest address
// runs until it comes to where another group stands; there they join. Compilers
// lay code out so that this is where paths meet. As a group may wait for what
// another group does (a lock, a barrier in memory), no group runs longer than
// kTurn instructions while others stand.
#include "exec/Warp.h"

#include "exec/Cta.h"

#include <cstring>

using namespace nibble::emu;

static constexpr uint32_t kTurn = 4096;

Warp::Warp(Cta &cta, const Code &code, unsigned index, Lanes lanes)
    : cta(cta), code(code), index(index), live(lanes),
      regs(new (std::align_val_t(64)) uint8_t[code.regBytes + 64]()),
      preds(code.preds) {
  current = {0, lanes, false, 0};
}

uint64_t Warp::run(uint64_t budget) {
  uint64_t count = 0;
  state = Run::Ready;
  yielding = false;
  stalled.clear();
  while (count < budget && live && state == Run::Ready && !yielding) {
    const Inst &next = code.insts[current.pc];
    if (!others.empty() &&
        ((next.flags & Inst::Leader) || sinceSwitch > kTurn)) {
      join();
      if (code.insts.data() + current.pc != &next)
        continue;
    }
    step(next);
    ++count;
    ++sinceSwitch;
    if (state == Run::Ready)
      stalled.clear();
    else if (!others.empty())
      stall();
  }
  if (!live)
    state = Run::Done;
  return count;
}

void Warp::step(const Inst &next) {
  Lanes lanes = current.lanes;
  if (next.guard >= 0)
    lanes &=
        next.flags & Inst::Negated ? ~preds[next.guard] : preds[next.guard];
  inst = &next;
  if (!(next.flags & Inst::Ends))
    ++current.pc;
  if (lanes)
    next.run(*this, next, lanes);
  else if (next.flags & Inst::Ends)
    ++current.pc;
}

/// The running group waits. Another one may go on; if all wait, the warp does.
void Warp::stall() {
  stalled.push_back({until, state == Run::WaitsSoftly});
  if (stalled.size() <= others.size()) {
    rotate();
    state = Run::Ready;
    return;
  }
  bool softly = false;
  for (const Stall &s : stalled)
    softly |= s.softly;
  until = [all = stalled] {
    for (const Stall &s : all)
      if (s.until())
        return true;
    return false;
  };
  state = softly ? Run::WaitsSoftly : Run::Waits;
  rotate(); // the next run begins with another group
}

/// Joins groups at the current place, or goes to the lowest.
void Warp::join() {
  if (sinceSwitch > kTurn)
    return rotate();
  size_t lowest = others.size();
  for (size_t i = 0; i < others.size();) {
    if (others[i].pc == current.pc && !others[i].arrived && !current.arrived) {
      current.lanes |= others[i].lanes;
      others[i] = others.back();
      others.pop_back();
      lowest = others.size();
      i = 0;
      continue;
    }
    if (others[i].pc < current.pc &&
        (lowest >= others.size() || others[i].pc < others[lowest].pc))
      lowest = i;
    ++i;
  }
  if (lowest < others.size()) {
    std::swap(current, others[lowest]);
    sinceSwitch = 0;
  }
}

/// Another group's turn.
void Warp::rotate() {
  others.push_back(current);
  current = others.front();
  others.erase(others.begin());
  sinceSwitch = 0;
}

void Warp::branch(Lanes taken, uint32_t pc) {
  Lanes stay = current.lanes & ~taken;
  if (!stay) {
    current.pc = pc;
    return;
  }
  if (taken)
    others.push_back({pc, taken, false, 0});
  current.lanes = stay;
  ++current.pc;
  join();
}

void Warp::split(Lanes taken, uint32_t pc) {
  others.push_back({pc, taken, false, 0});
  current.lanes &= ~taken;
}

void Warp::afterSplit() {
  if (current.lanes) {
    ++current.pc; // lanes that the guard excluded
    return join();
  }
  current = others.back();
  others.pop_back();
  join();
}

bool Warp::gather(Lanes mask) {
  if (mask & ~live)
    fault("waits for lane " + std::to_string(__builtin_ctz(mask & ~live)) +
          ", which has exited");
  if (!(mask & ~current.lanes))
    return true;
  for (size_t i = 0; i < others.size(); ++i)
    if (others[i].pc == current.pc) {
      current.lanes |= others[i].lanes;
      others.erase(others.begin() + long(i));
      return false; // runs again with more lanes
    }
  if (others.empty())
    fault("waits for lanes that never come");
  wait([] { return false; }, // until other groups of this warp come here
       [mask] {
         return "lanes of its warp (mask " + std::to_string(mask) + ")";
       });
  return false;
}

bool Warp::gaveUp() {
  bool result = resumedSoftly;
  resumedSoftly = false;
  return result;
}

bool Warp::canRun() const {
  return state == Run::Ready || (state != Run::Done && until());
}

void Warp::exit(Lanes lanes) {
  live &= ~lanes;
  current.lanes &= ~lanes;
  if (current.lanes) {
    ++current.pc;
    return;
  }
  if (others.empty())
    return;
  current = others.front();
  others.erase(others.begin());
  join();
}

void Warp::wait(std::function<bool()> condition,
                std::function<std::string()> description, bool softly) {
  state = softly ? Run::WaitsSoftly : Run::Waits;
  until = std::move(condition);
  what = std::move(description);
}

std::string Warp::place(int lane) const {
  const Launch &launch = cta.cluster.launch;
  size_t at = inst - code.insts.data();
  std::string text =
      "kernel " + code.name + ", CTA (" + std::to_string(cta.id.x) + ", " +
      std::to_string(cta.id.y) + ", " + std::to_string(cta.id.z) + ")";
  if (lane >= 0) {
    uint32_t thread = index * kWarpSize + unsigned(lane);
    text += ", thread (" + std::to_string(thread % launch.block.x) + ", " +
            std::to_string(thread / launch.block.x % launch.block.y) + ", " +
            std::to_string(thread / launch.block.x / launch.block.y) + ")";
  } else {
    text += ", warp " + std::to_string(index);
  }
  text += ", PTX line " + std::to_string(inst->line);
  if (code.sources[at].file)
    text += " (source line " + std::to_string(code.sources[at].line) + ")";
  return text;
}

void Warp::fault(const std::string &message, int lane) {
  throw Fault{place(lane) + ": " + message};
}
