// Branches, returns, barriers, and instructions that all lanes run together.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Control.h"

#include "exec/Barrier.h"
#include "isa/Numbers.h"
#include "isa/Select.h"

#include <algorithm>
#include <cmath>

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void branch(Warp &w, const Inst &i, Lanes lanes) { w.branch(lanes, i.target); }

/// Lanes may go to different places of a list (refs hold nothing: `extra` is
/// the first of `extras` targets in Code::targets).
void branchIndexed(Warp &w, const Inst &i, Lanes lanes) {
  const uint32_t *index = w.lanes<uint32_t>(i.a);
  while (lanes) {
    uint32_t chosen = index[__builtin_ctz(lanes)];
    if (chosen >= i.extras)
      w.fault("branches to entry " + std::to_string(chosen) + " of " +
                  std::to_string(i.extras),
              __builtin_ctz(lanes));
    Lanes same = 0;
    forLanes(lanes,
             [&](unsigned l) { same |= Lanes(index[l] == chosen) << l; });
    lanes &= ~same;
    Lanes before = w.current.lanes;
    if (!lanes && same == before)
      return w.jump(w.code.targets[i.extra + chosen]);
    w.split(same, w.code.targets[i.extra + chosen]);
  }
  w.afterSplit();
}

void leave(Warp &w, const Inst &, Lanes lanes) { w.exit(lanes); }

void trap(Warp &w, const Inst &i, Lanes lanes) {
  w.fault(i.sub[0] ? "stops at a breakpoint" : "traps", __builtin_ctz(lanes));
}

void pause(Warp &w, const Inst &, Lanes) { w.yield(); }
void nothing(Warp &, const Inst &, Lanes) {}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

uint32_t barrierNumber(Warp &w, const Inst &i) {
  uint32_t number = w.lanes<uint32_t>(i.a)[__builtin_ctz(w.current.lanes)];
  if (number > 15)
    w.fault("barrier " + std::to_string(number) + ": there are 0 to 15");
  return number;
}

/// Threads that a barrier waits for: an operand, or 0 for all of the CTA.
uint32_t barrierCount(Warp &w, const Inst &i) {
  if (!i.b.valid())
    return 0;
  uint32_t all = (w.cta.threads + kWarpSize - 1) / kWarpSize * kWarpSize;
  uint32_t count = w.lanes<uint32_t>(i.b)[__builtin_ctz(w.current.lanes)];
  if (count % kWarpSize || count == 0 || count > all)
    w.fault("barrier for " + std::to_string(count) +
            " threads: must be a multiple of 32, at most " +
            std::to_string(all));
  return count;
}

/// sub[0]: 0 sync, 1 arrive, 2 popc, 3 and, 4 or.
void finishBarrier(Warp &w, const Inst &i, Lanes lanes, const Barrier &b) {
  if (i.sub[0] == 2) {
    uint32_t *d = w.lanes<uint32_t>(i.d);
    forLanes(lanes, [&](unsigned l) { d[l] = b.lastVotes; });
  } else if (i.sub[0] > 2) {
    bool result = i.sub[0] == 3 ? b.lastAll : b.lastVotes != 0;
    setPred(w, i.p, lanes, result ? kAllLanes : 0);
  }
  w.next();
}

/// False if an .aligned barrier must wait for other lanes of the warp.
bool align(Warp &w, const Inst &i, Lanes lanes) {
  if (!(i.flags & Inst::Collective))
    return true;
  if (!w.gather(w.live))
    return false;
  if (lanes != w.live)
    w.fault("not all lanes of the warp come to an .aligned barrier together");
  return true;
}

/// The lanes wait on the phase, and finish the instruction when it has ended.
void ctaBarrier(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t number = barrierNumber(w, i);
  Barrier &b = w.cta.barriers[number];
  BarrierUse &use = w.barriers[number];
  if ((use.waiting & lanes) != lanes) {
    if (!align(w, i, lanes))
      return;
    Lanes votes = i.sub[0] < 2 ? 0 : i.sub[1] ? ~w.pred(i.q) : w.pred(i.q);
    uint64_t phase = b.phase;
    arriveAtBarrier(w, number, lanes, barrierCount(w, i), votes);
    if (i.sub[0] == 1)
      return w.next();
    use.waiting |= lanes;
    use.phase = phase;
  }
  if (b.phase == use.phase)
    return w.wait([&b, phase = b.phase] { return b.phase != phase; },
                  [&b, number] {
                    return "barrier " + std::to_string(number) + ", " +
                           b.describe();
                  });
  use.waiting &= ~lanes;
  w.cta.cluster.races.acquire(w, b.released);
  finishBarrier(w, i, lanes, b);
}

/// Lanes of one warp meet.
void warpBarrier(Warp &w, const Inst &i, Lanes lanes) {
  if (w.gather(w.lanes<uint32_t>(i.a)[__builtin_ctz(lanes)]))
    w.next();
}

void clusterArrive(Warp &w, const Inst &i, Lanes lanes) {
  if (!align(w, i, lanes))
    return;
  arriveAtCluster(w, lanes, !(i.order & kRelease));
  w.next();
}

void clusterWait(Warp &w, const Inst &, Lanes lanes) {
  Barrier &b = w.cta.cluster.barrier;
  if ((w.clusterArrived & lanes) != lanes)
    w.fault("waits for the cluster's barrier without having arrived");
  if (b.phase == w.clusterPhase)
    return w.wait([&b, phase = b.phase] { return b.phase != phase; },
                  [&b] { return "barrier.cluster, " + b.describe(); });
  w.clusterArrived &= ~lanes;
  w.cta.cluster.races.acquireObjects(w, b.releasedObjects);
  w.cta.cluster.races.acquire(w, b.released);
  w.next();
}

//===----------------------------------------------------------------------===//
// Collectives of a warp
//===----------------------------------------------------------------------===//

/// Waits until the lanes of the mask stand here. False: not yet.
bool gather(Warp &w, const Inst &i, Lanes lanes, Ref mask) {
  Lanes wanted = w.lanes<uint32_t>(mask)[__builtin_ctz(lanes)];
  forLanes(lanes, [&](unsigned l) {
    if (w.lanes<uint32_t>(mask)[l] != wanted)
      w.fault("lanes come with different masks", int(l));
  });
  if (lanes & ~wanted)
    w.fault("a lane runs this that its mask does not name",
            __builtin_ctz(lanes & ~wanted));
  (void)i;
  return w.gather(wanted); // lanes that have exited are not waited for
}

/// sub[0]: 0 up, 1 down, 2 bfly, 3 idx. refs[extra]: clamp word.
void shuffle(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, w.code.refs[i.extra + 1]))
    return;
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  const uint32_t *c = w.lanes<uint32_t>(w.code.refs[i.extra]);
  uint32_t values[kWarpSize];
  std::copy(a, a + kWarpSize, values);
  Lanes inside = 0;
  forLanes(lanes, [&](unsigned l) {
    uint32_t bval = b[l] & 31, cval = c[l] & 31, segment = c[l] >> 8 & 31;
    int32_t maxLane = int32_t((l & segment) | (cval & ~segment));
    int32_t minLane = int32_t(l & segment), j;
    bool ok;
    switch (i.sub[0]) {
    case 0:
      j = int32_t(l) - int32_t(bval);
      ok = j >= maxLane;
      break;
    case 1:
      j = int32_t(l + bval);
      ok = j <= maxLane;
      break;
    case 2:
      j = int32_t(l ^ bval);
      ok = j <= maxLane;
      break;
    default:
      j = minLane | int32_t(bval & ~segment);
      ok = j <= maxLane;
    }
    if (!ok)
      j = int32_t(l);
    else if (!(lanes >> j & 1))
      w.fault("reads lane " + std::to_string(j) + ", which is not active",
              int(l));
    d[l] = values[j];
    inside |= Lanes(ok) << l;
  });
  setPred(w, i.p, lanes, inside);
  w.next();
}

/// sub[0]: 0 all, 1 any, 2 uni, 3 ballot.
void vote(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, i.b))
    return;
  Lanes votes = (i.sub[1] ? ~w.pred(i.q) : w.pred(i.q)) & lanes;
  if (i.sub[0] == 3) {
    uint32_t *d = w.lanes<uint32_t>(i.d);
    forLanes(lanes, [=](unsigned l) { d[l] = votes; });
    return w.next();
  }
  bool result = i.sub[0] == 0   ? votes == lanes
                : i.sub[0] == 1 ? votes != 0
                                : votes == 0 || votes == lanes;
  setPred(w, i.p, lanes, result ? kAllLanes : 0);
  w.next();
}

/// sub[0]: 0 any, 1 all.
template <typename T> void match(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, i.b))
    return;
  const T *a = w.lanes<T>(i.a);
  uint32_t *d = w.lanes<uint32_t>(i.d);
  T first = a[__builtin_ctz(lanes)];
  Lanes equal = 0;
  forLanes(lanes, [&](unsigned l) { equal |= Lanes(a[l] == first) << l; });
  forLanes(lanes, [&](unsigned l) {
    if (i.sub[0]) {
      d[l] = equal == lanes ? lanes : 0;
      return;
    }
    Lanes same = 0;
    forLanes(lanes, [&](unsigned k) { same |= Lanes(a[k] == a[l]) << k; });
    d[l] = same;
  });
  setPred(w, i.p, lanes, equal == lanes ? kAllLanes : 0);
  w.next();
}

/// sub[0]: 0 add, 1 min, 2 max, 3 and, 4 or, 5 xor.
template <typename T> void reduce(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, i.b))
    return;
  const T *a = w.lanes<T>(i.a);
  T *d = w.lanes<T>(i.d);
  T result = a[__builtin_ctz(lanes)];
  forLanes(lanes & (lanes - 1), [&](unsigned l) {
    switch (i.sub[0]) {
    case 0:
      result = T(uint32_t(result) + uint32_t(a[l]));
      break;
    case 1:
      result = std::min(result, a[l]);
      break;
    case 2:
      result = std::max(result, a[l]);
      break;
    case 3:
      result &= a[l];
      break;
    case 4:
      result |= a[l];
      break;
    default:
      result ^= a[l];
    }
  });
  forLanes(lanes, [&](unsigned l) { d[l] = result; });
  w.next();
}

/// sub[0]: 1 min, 2 max; sub[1] bits 0: .abs, 1: .NaN. Without .NaN, numbers
/// win over NaNs.
void reduceFloats(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, i.b))
    return;
  const float *a = w.lanes<float>(i.a);
  float result = NAN;
  bool any = false, nan = false;
  forLanes(lanes, [&](unsigned l) {
    float x = i.sub[1] & 1 ? std::fabs(a[l]) : a[l];
    if (std::isnan(x)) {
      nan = true;
      return;
    }
    bool less = x < result || (x == result && std::signbit(x));
    bool more = x > result || (x == result && !std::signbit(x));
    if (!any || (i.sub[0] == 1 ? less : more))
      result = x;
    any = true;
  });
  if (!any || (nan && i.sub[1] & 2))
    result = bitCast<float>(0x7FFFFFFFu);
  float *d = w.lanes<float>(i.d);
  forLanes(lanes, [&](unsigned l) { d[l] = result; });
  w.next();
}

void activeMask(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  forLanes(lanes, [=](unsigned l) { d[l] = lanes; });
}

/// One lane of the mask is elected: any, always the same; the lowest here.
void elect(Warp &w, const Inst &i, Lanes lanes) {
  if (!gather(w, i, lanes, i.a))
    return;
  Lanes leader = lanes & (0 - lanes);
  if (i.d.valid()) {
    uint32_t *d = w.lanes<uint32_t>(i.d);
    forLanes(lanes,
             [=](unsigned l) { d[l] = unsigned(__builtin_ctz(leader)); });
  }
  setPred(w, i.p, lanes, leader);
  w.next();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// Result and predicate of `d|p`; either may be missing.
void setPair(Decoder &d, const ptx::Operand &operand) {
  const ptx::Operand *result = &operand;
  if (operand.kind == ptx::Operand::Kind::Pair) {
    d.inst().p = d.predicate(operand.parts[1]);
    result = &operand.parts[0];
  }
  d.inst().d = result->kind == ptx::Operand::Kind::Sink ? d.scratch(4)
                                                        : d.value(*result, 4);
}

void setCollective(Decoder &d, Handler run) {
  d.inst().run = run;
  d.inst().flags |= Inst::Ends | Inst::Collective;
}

void setVote(Decoder &d, const ptx::Operand &operand) {
  d.inst().q = d.predicate(operand);
  d.inst().sub[1] = operand.negated;
}

void decodeBarrier(Decoder &d, int kind) {
  d.words().take("cta");
  bool aligned = d.words().take("aligned") || d.source().opcode == "bar";
  size_t n = d.source().operands.size();
  size_t at = kind >= 2 ? 1 : 0;
  size_t votes = kind >= 2 ? 1 : 0;
  d.expectOperands(1 + 2 * votes, 2 + 2 * votes);
  if (kind == 2)
    d.inst().d = d.destination(0, 4);
  if (kind > 2)
    d.inst().p = d.predicate(d.operand(0));
  d.inst().a = d.value(d.operand(at), 4);
  if (n - votes - at == 2)
    d.inst().b = d.value(d.operand(at + 1), 4);
  if (votes)
    setVote(d, d.operand(n - 1));
  if (kind == 1 && !d.inst().b.valid())
    d.error("arrive needs a number of threads");
  d.inst().sub[0] = uint8_t(kind);
  d.inst().run = ctaBarrier;
  d.inst().flags |= Inst::Ends | (aligned ? Inst::Collective : 0);
}

void decodeWarpBarrier(Decoder &d) {
  if (!d.words().take("sync"))
    d.error("needs .sync");
  d.expectOperands(1, 1);
  d.inst().a = d.value(d.operand(0), 4);
  setCollective(d, warpBarrier);
}

void decodeClusterBarrier(Decoder &d) {
  int kind = d.words().takeOf({"arrive", "wait"});
  bool relaxed = d.words().takeOf({"release", "acquire", "relaxed"}) == 2;
  d.inst().order = relaxed ? 0 : kAcquire | kRelease;
  bool aligned = d.words().take("aligned");
  if (kind < 0)
    d.error("needs .arrive or .wait");
  d.expectOperands(0, 0);
  d.inst().run = kind ? clusterWait : clusterArrive;
  d.inst().flags |= Inst::Ends | (aligned ? Inst::Collective : 0);
}

void needSync(Decoder &d) {
  if (!d.words().take("sync"))
    d.unsupported("the form without .sync, gone since sm_70,");
}

} // namespace

namespace nibble {
namespace emu {
namespace control {

void bra(Decoder &d) {
  d.words().take("uni");
  d.expectOperands(1, 1);
  d.inst().target = d.label(d.operand(0));
  d.inst().run = branch;
  d.inst().flags |= Inst::Ends;
}

void brx(Decoder &d) {
  if (!d.words().take("idx"))
    d.error("needs .idx");
  d.words().take("uni");
  d.expectOperands(2, 2);
  d.inst().a = d.value(d.operand(0), 4);
  std::vector<uint32_t> targets = d.branchTargets(d.operand(1));
  d.inst().extra = d.addTargets(targets);
  d.inst().extras = uint32_t(targets.size());
  d.inst().run = branchIndexed;
  d.inst().flags |= Inst::Ends;
}

void ret(Decoder &d) {
  d.words().take("uni");
  if (!d.isInKernel())
    return returnFromFunction(d);
  d.inst().run = leave;
  d.inst().flags |= Inst::Ends;
}
void exit(Decoder &d) {
  d.inst().run = leave;
  d.inst().flags |= Inst::Ends;
}
void trap(Decoder &d) { d.inst().run = ::trap; }
void brkpt(Decoder &d) {
  d.inst().sub[0] = 1;
  d.inst().run = ::trap;
}
void nanosleep(Decoder &d) {
  takeType(d);
  d.inst().run = pause;
}
/// Hints: registers are not scarce here, grids do not overlap.
void setmaxnreg(Decoder &d) {
  d.words().takeOf({"inc", "dec"});
  d.words().take("sync");
  d.words().take("aligned");
  takeType(d);
  d.inst().run = nothing;
}
void griddepcontrol(Decoder &d) {
  if (d.words().takeOf({"launch_dependents", "wait"}) < 0)
    d.error("needs .launch_dependents or .wait");
  d.inst().run = nothing;
}

void bar(Decoder &d) {
  if (d.words().take("warp"))
    return decodeWarpBarrier(d);
  if (d.words().take("cluster"))
    return decodeClusterBarrier(d);
  if (d.words().take("red")) {
    int op = d.words().takeOf({"popc", "and", "or"});
    d.words().takeOf({"u32", "pred"});
    if (op < 0)
      d.error("needs .popc, .and or .or");
    return decodeBarrier(d, 2 + op);
  }
  int kind = d.words().takeOf({"sync", "arrive"});
  if (kind < 0)
    d.error("needs .sync, .arrive or .red");
  decodeBarrier(d, kind);
}

void shfl(Decoder &d) {
  needSync(d);
  int mode = d.words().takeOf({"up", "down", "bfly", "idx"});
  if (mode < 0)
    d.error("needs .up, .down, .bfly or .idx");
  takeType(d);
  d.expectOperands(5, 5);
  setPair(d, d.operand(0));
  d.inst().sub[0] = uint8_t(mode);
  d.inst().a = d.value(d.operand(1), 4);
  d.inst().b = d.value(d.operand(2), 4);
  d.inst().extra =
      d.addRefs({d.value(d.operand(3), 4), d.value(d.operand(4), 4)});
  setCollective(d, shuffle);
}

void vote(Decoder &d) {
  needSync(d);
  int mode = d.words().takeOf({"all", "any", "uni", "ballot"});
  if (mode < 0)
    d.error("needs .all, .any, .uni or .ballot");
  takeType(d);
  d.expectOperands(3, 3);
  d.inst().sub[0] = uint8_t(mode);
  if (mode == 3)
    d.inst().d = d.destination(0, 4);
  else
    d.inst().p = d.predicate(d.operand(0));
  setVote(d, d.operand(1));
  d.inst().b = d.value(d.operand(2), 4);
  setCollective(d, ::vote);
}

void match(Decoder &d) {
  int mode = d.words().takeOf({"any", "all"});
  needSync(d);
  if (mode < 0)
    d.error("needs .any or .all");
  Type type = takeType(d);
  d.expectOperands(3, 3);
  setPair(d, d.operand(0));
  d.inst().sub[0] = uint8_t(mode);
  unsigned bytes = Decoder::bytesOf(type);
  d.inst().a = d.value(d.operand(1), bytes);
  d.inst().b = d.value(d.operand(2), 4);
  setCollective(d, bytes == 8 ? ::match<uint64_t> : ::match<uint32_t>);
}

void redux(Decoder &d) {
  needSync(d);
  int op = d.words().takeOf({"add", "min", "max", "and", "or", "xor"});
  if (op < 0)
    d.error("names no operation");
  uint8_t flags = uint8_t(d.words().take("abs") | d.words().take("NaN") << 1);
  Type type = takeType(d);
  bool isFloat = type == Type::F32;
  if (!isFloat && type != Type::U32 && type != Type::S32 && type != Type::B32)
    d.unsupported("this type");
  if (isFloat ? op != 1 && op != 2 : flags != 0)
    d.error("has no such operation on this type");
  d.expectOperands(3, 3);
  d.inst().sub[0] = uint8_t(op);
  d.inst().sub[1] = flags;
  d.inst().d = d.destination(0, 4);
  d.inst().a = d.value(d.operand(1), 4);
  d.inst().b = d.value(d.operand(2), 4);
  setCollective(d, isFloat             ? reduceFloats
                   : type == Type::S32 ? reduce<int32_t>
                                       : reduce<uint32_t>);
}

void activemask(Decoder &d) {
  takeType(d);
  d.expectOperands(1, 1);
  d.inst().d = d.destination(0, 4);
  d.inst().run = activeMask;
}

void elect(Decoder &d) {
  needSync(d);
  d.expectOperands(2, 2);
  setPair(d, d.operand(0));
  d.inst().a = d.value(d.operand(1), 4);
  setCollective(d, ::elect);
}

} // namespace control
} // namespace emu
} // namespace nibble
