// mbarrier instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Async.h"

#include "exec/Cta.h"
#include "isa/Address.h"
#include "isa/Select.h"

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

/// sub[0]: what to do. b: count or bytes; c: bytes of arrive.expect_tx.
enum Action : uint8_t {
  kArrive,
  kArriveExpect,
  kDrop,
  kDropExpect,
  kExpect,
  kComplete
};

void initialize(Warp &w, const Inst &i, Lanes lanes) {
  const uint32_t *count = w.lanes<uint32_t>(i.b);
  forLanes(lanes, [&](unsigned l) {
    SharedPlace place = findBarrierPlace(w, i, l, /*writes=*/true);
    std::string why =
        place.cta->mbarriers.create(place.at, place.offset, count[l]);
    if (!why.empty())
      w.fault(why, int(l));
  });
}

void invalidate(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    SharedPlace place = findBarrierPlace(w, i, l, /*writes=*/true);
    std::string why = place.cta->mbarriers.destroy(place.at, place.offset);
    if (!why.empty())
      w.fault(why, int(l));
  });
}

std::string act(MBarrier &barrier, Action action, uint32_t count,
                uint32_t bytes) {
  std::string why;
  switch (action) {
  case kArriveExpect:
  case kDropExpect:
    why = barrier.expect(bytes);
    if (!why.empty())
      return why;
    return action == kDropExpect ? barrier.drop(count) : barrier.arrive(count);
  case kArrive:
    return barrier.arrive(count);
  case kDrop:
    return barrier.drop(count);
  case kExpect:
    return barrier.expect(bytes);
  case kComplete:
    return barrier.complete(bytes);
  }
  return why;
}

void change(Warp &w, const Inst &i, Lanes lanes) {
  const uint32_t *count = i.b.valid() ? w.lanes<uint32_t>(i.b) : nullptr;
  const uint32_t *bytes = i.c.valid() ? w.lanes<uint32_t>(i.c) : nullptr;
  uint64_t *state = i.d.valid() ? w.lanes<uint64_t>(i.d) : nullptr;
  Races &races = w.cta.cluster.races;
  ++w.cta.cluster.progress;
  forLanes(lanes, [&](unsigned l) {
    MBarrier &barrier = findBarrier(w, i, l);
    if (state)
      state[l] = barrier.state();
    if (i.order & kRelease)
      races.release(w, barrier.gathered);
    else
      races.releaseFenced(w, barrier.gathered);
    std::string why = act(barrier, Action(i.sub[0]), count ? count[l] : 1,
                          bytes ? bytes[l] : 0);
    if (!why.empty())
      w.fault(why, int(l));
  });
}

bool hasEnded(const MBarrier &barrier, bool byParity, uint64_t word) {
  return byParity ? barrier.hasEndedParity(uint32_t(word))
                  : barrier.hasEnded(word);
}

/// A phase that has ended orders what its arrivals have released.
void learn(Warp &w, const Inst &i, const MBarrier &barrier) {
  if (i.order & kAcquire)
    w.cta.cluster.races.acquire(w, barrier.released);
  else
    w.cta.cluster.races.acquireRelaxed(w, barrier.released);
}

/// sub[0]: 1 by parity; sub[1] keeps address flags; sub[3]..: target = 1 for
/// try_wait, which may wait a while.
void test(Warp &w, const Inst &i, Lanes lanes) {
  bool byParity = i.sub[0];
  Lanes ended = 0;
  MBarrier *first = nullptr;
  const MBarrier *seen = nullptr;
  uint64_t firstWord = 0;
  forLanes(lanes, [&](unsigned l) {
    MBarrier &barrier = findBarrier(w, i, l);
    uint64_t word =
        byParity ? w.lanes<uint32_t>(i.b)[l] : w.lanes<uint64_t>(i.b)[l];
    bool done = hasEnded(barrier, byParity, word);
    ended |= Lanes(done) << l;
    if (!done && !first)
      first = &barrier, firstWord = word;
    if (done && &barrier != seen)
      learn(w, i, barrier);
    seen = done ? &barrier : seen;
  });
  bool gaveUp = w.gaveUp();
  if (first && i.target && !gaveUp) {
    auto until = [=] { return hasEnded(*first, byParity, firstWord); };
    auto what = [=] {
      return "mbarrier.try_wait" +
             (byParity ? " for parity " + std::to_string(firstWord & 1)
                       : std::string()) +
             ", the mbarrier is in " + first->describe();
    };
    return w.wait(until, what, /*softly=*/true);
  }
  if (first)
    w.yield();
  setPred(w, i.p, lanes, ended);
  w.next();
}

void pendingCount(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint64_t *state = w.lanes<uint64_t>(i.a);
  forLanes(lanes, [=](unsigned l) { d[l] = MBarrier::pendingOf(state[l]); });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

void takeScope(Decoder &d) {
  bool relaxed = d.words().takeOf({"release", "acquire", "relaxed"}) == 2;
  d.inst().order = relaxed ? 0 : kAcquire | kRelease;
  d.words().takeOf({"cta", "cluster"});
}

/// arrive, arrive_drop: with a state, without one (_ or a remote barrier).
void decodeArrive(Decoder &d, bool drop) {
  bool expect = d.words().take("expect_tx");
  bool noComplete = d.words().take("noComplete");
  takeScope(d);
  Space space = takeSharedSpace(d);
  takeType(d);
  size_t n = d.source().operands.size();
  bool hasState = d.operand(0).kind != ptx::Operand::Kind::Address;
  size_t at = hasState ? 1 : 0;
  d.expectOperands(at + 1 + (expect || noComplete), at + 2);
  Inst &inst = d.inst();
  inst.sub[0] = drop ? (expect ? kDropExpect : kDrop)
                     : (expect ? kArriveExpect : kArrive);
  setAddress(d, d.operand(at), space);
  if (n > at + 1)
    (expect ? inst.c : inst.b) = d.value(d.operand(at + 1), 4);
  if (hasState && d.operand(0).kind != ptx::Operand::Kind::Sink)
    inst.d = d.destination(0, 8);
  inst.run = change;
}

void decodeTransactions(Decoder &d, bool expect) {
  takeScope(d);
  d.inst().order = 0; // no arrival
  Space space = takeSharedSpace(d);
  takeType(d);
  d.expectOperands(2, 2);
  setAddress(d, d.operand(0), space);
  d.inst().c = d.value(d.operand(1), 4);
  d.inst().sub[0] = expect ? kExpect : kComplete;
  d.inst().run = change;
}

void decodeWait(Decoder &d, bool tries) {
  bool parity = d.words().take("parity");
  takeScope(d);
  Space space = takeSharedSpace(d);
  takeType(d);
  d.expectOperands(3, tries ? 4 : 3);
  Inst &inst = d.inst();
  inst.p = d.predicate(d.operand(0));
  setAddress(d, d.operand(1), space);
  inst.b = d.value(d.operand(2), parity ? 4 : 8);
  if (tries && d.source().operands.size() == 4)
    d.value(d.operand(3), 4); // a hint in nanoseconds
  inst.sub[0] = parity;
  inst.target = tries;
  inst.run = test;
  inst.flags |= Inst::Ends;
}

void decodeInit(Decoder &d) {
  Space space = takeSharedSpace(d);
  takeType(d);
  d.expectOperands(2, 2);
  setAddress(d, d.operand(0), space);
  d.inst().b = d.value(d.operand(1), 4);
  d.inst().run = initialize;
}

void decodeInvalidate(Decoder &d) {
  Space space = takeSharedSpace(d);
  takeType(d);
  d.expectOperands(1, 1);
  setAddress(d, d.operand(0), space);
  d.inst().run = invalidate;
}

void decodePendingCount(Decoder &d) {
  takeType(d);
  d.expectOperands(2, 2);
  d.inst().a = d.value(d.operand(1), 8);
  d.inst().d = d.destination(0, 4);
  d.inst().run = pendingCount;
}

} // namespace

void nibble::emu::async::mbarrier(Decoder &d) {
  switch (d.words().takeOf({"init", "inval", "arrive", "arrive_drop",
                            "expect_tx", "complete_tx", "test_wait", "try_wait",
                            "pending_count"})) {
  case 0:
    return decodeInit(d);
  case 1:
    return decodeInvalidate(d);
  case 2:
    return decodeArrive(d, false);
  case 3:
    return decodeArrive(d, true);
  case 4:
    return decodeTransactions(d, true);
  case 5:
    return decodeTransactions(d, false);
  case 6:
    return decodeWait(d, false);
  case 7:
    return decodeWait(d, true);
  case 8:
    return decodePendingCount(d);
  default:
    d.error("names no operation");
  }
}
