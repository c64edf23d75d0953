// A warp: groups of lanes, the lowest program counter first.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// After a branch that lanes take differently, the group at the lowest address
// runs until it comes to where another group stands; there they join. Compilers
// lay code out so that this is where paths meet. As a group may wait for what
// another group does (a lock, a barrier in memory), no group runs longer than
// kTurn instructions while others stand.
#include "exec/Warp.h"

#include "exec/Barrier.h"
#include "exec/Cta.h"

#include <cstdio>
#include <cstring>

using namespace nibble::emu;

static constexpr uint32_t kTurn = 4096;
/// Instructions that a group then runs, even if another one stands lower.
static constexpr uint32_t kStay = 512;

Warp::Warp(Cta &cta, const Code &code, unsigned index, Lanes lanes)
    : cta(cta), code(code), index(index), live(lanes), registers(code),
      regs(new (std::align_val_t(64)) uint8_t[code.regBytes + 64]()),
      preds(code.preds) {
  current.pc = code.start;
  current.lanes = lanes;
  if (!code.functions.empty()) {
    stacks.resize(kWarpSize);
    stackTops.assign(kWarpSize, code.frameBytes);
  }
}

uint64_t Warp::run(uint64_t budget) {
  uint64_t count = 0;
  uint64_t *classes = cta.cluster.counters.byClass;
  state = Run::Ready;
  yielding = false;
  if (resumedSoftly)
    wakeSoftly();
  while (count < budget && live && !yielding) {
    if (current.waiting || current.wanted) {
      if (!canRun(current) && !choose(/*rotate=*/false)) {
        block();
        return count;
      }
      current.waiting = nullptr;
      current.wanted = 0;
      mergeHere();
    }
    const Inst &next = code.insts[current.pc];
    if (!others.empty() &&
        ((next.flags & Inst::Leader) || sinceSwitch > kTurn)) {
      join();
      if (code.insts.data() + current.pc != &next)
        continue;
    }
    Lanes lanes = current.lanes;
    if (next.guard >= 0)
      lanes &=
          next.flags & Inst::Negated ? ~preds[next.guard] : preds[next.guard];
    inst = &next;
    if (next.flags & registers.watches())
      registers.check(*this, next, lanes);
    if (!(next.flags & Inst::Ends))
      ++current.pc;
    if (lanes)
      next.run(*this, next, lanes);
    else if (next.flags & Inst::Ends)
      ++current.pc;
    // What waits comes again.
    classes[next.kind] += !current.waiting && !current.wanted;
    ++count;
    ++sinceSwitch;
    stay -= stay > 0;
  }
  if (!live)
    state = Run::Done;
  return count;
}

bool Warp::canRun(const Group &group) const {
  if (group.waiting)
    return group.waiting->until();
  if (!group.wanted)
    return true;
  Lanes here = group.lanes;
  for (const Group &other : others)
    here |= other.pc == group.pc && !other.waiting ? other.lanes : 0;
  if (current.pc == group.pc && !current.waiting)
    here |= current.lanes;
  return !(group.wanted & live & ~here);
}

/// Takes in the groups that stand here and do not wait; true if there were any.
bool Warp::mergeHere() {
  bool any = false;
  for (size_t i = others.size(); i-- > 0;)
    if (others[i].pc == current.pc && !others[i].waiting) {
      current.lanes |= others[i].lanes;
      others.erase(others.begin() + long(i));
      any = true;
    }
  return any;
}

/// Goes to the lowest other group that can run, or to the first one; false if
/// there is none.
bool Warp::choose(bool rotate) {
  size_t chosen = others.size();
  for (size_t i = 0; i < others.size(); ++i)
    if ((chosen == others.size() ||
         (!rotate && others[i].pc < others[chosen].pc)) &&
        canRun(others[i]))
      chosen = i;
  sinceSwitch = 0;
  if (chosen == others.size())
    return false;
  Group before = std::move(current);
  current = std::move(others[chosen]);
  others.erase(others.begin() + long(chosen));
  others.push_back(std::move(before));
  return true;
}

/// Joins groups at the current place; goes on with the lowest.
void Warp::join() {
  if (sinceSwitch > kTurn) {
    choose(/*rotate=*/true);
    stay = kStay;
    return;
  }
  mergeHere();
  if (stay)
    return;
  for (const Group &other : others)
    if (other.pc < current.pc && canRun(other)) {
      choose(/*rotate=*/false);
      return;
    }
}

/// No group can run: the warp waits for what any of them waits for.
void Warp::block() {
  bool softly = false, any = false;
  auto look = [&](const Group &group) {
    any |= bool(group.waiting);
    softly |= group.waiting && group.waiting->softly;
  };
  look(current);
  for (const Group &other : others)
    look(other);
  if (!any)
    fault("lanes of the warp wait for each other at different instructions:" +
          describe());
  state = softly ? Run::WaitsSoftly : Run::Waits;
  until = [this] {
    for (const Group &other : others)
      if (canRun(other))
        return true;
    return canRun(current);
  };
  what = [this] { return describe(); };
}

std::string Warp::describe() const {
  std::string text;
  char mask[16];
  auto add = [&](const Group &group) {
    std::snprintf(mask, sizeof mask, "0x%x", group.lanes);
    if (!others.empty())
      text += "\n    lanes " + std::string(mask) + " at PTX line " +
              std::to_string(code.insts[group.pc].line) + ": ";
    std::snprintf(mask, sizeof mask, "0x%x",
                  group.wanted & live & ~group.lanes);
    text += group.waiting  ? group.waiting->what()
            : group.wanted ? std::string("wait for lanes ") + mask
                           : "can run";
  };
  add(current);
  for (const Group &other : others)
    add(other);
  return text;
}

void Warp::wakeSoftly() {
  auto wake = [](Group &group) {
    if (!group.waiting || !group.waiting->softly)
      return;
    group.waiting = nullptr;
    group.gaveUp = true;
  };
  wake(current);
  for (Group &other : others)
    wake(other);
}

void Warp::branch(Lanes taken, uint32_t pc) {
  Lanes stay = current.lanes & ~taken;
  if (!stay) {
    current.pc = pc;
    return;
  }
  if (taken)
    split(taken, pc);
  current.lanes = stay;
  ++current.pc;
  join();
}

void Warp::split(Lanes taken, uint32_t pc) {
  Group group;
  group.pc = pc;
  group.lanes = taken;
  others.push_back(std::move(group));
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
  if (!(mask & live & ~current.lanes))
    return true;
  if (!mergeHere()) // else it runs again with more lanes
    current.wanted = mask;
  return false;
}

bool Warp::gaveUp() {
  bool result = current.gaveUp;
  current.gaveUp = resumedSoftly = false;
  return result;
}

bool Warp::canRun() const {
  return state == Run::Ready || (state != Run::Done && until());
}

void Warp::exit(Lanes lanes) {
  live &= ~lanes;
  current.lanes &= ~lanes;
  if (!live && registers.isInFlight() && wgmmaIssued &&
      cta.cluster.launch.checks.waits)
    fault("ends before its wgmma.mma_async have been waited for");
  exitFromBarriers(*this, lanes);
  if (current.lanes) {
    ++current.pc;
    return;
  }
  if (others.empty())
    return;
  current = std::move(others.front());
  others.erase(others.begin());
}

void Warp::wait(std::function<bool()> condition,
                std::function<std::string()> description, bool softly) {
  current.waiting = std::make_shared<Waiting>(
      Waiting{std::move(condition), std::move(description), softly});
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

void Warp::fault(const std::string &message, int lane, FaultKind kind) {
  throw Fault{place(lane) + ": " + message, kind};
}
