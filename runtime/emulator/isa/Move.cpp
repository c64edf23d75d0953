// Moves, packing, selection and comparison.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Move.h"

#include "exec/Cta.h"
#include "isa/Half.h"
#include "isa/Numbers.h"
#include "isa/Select.h"

#include <cmath>
#include <cstring>

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Moves
//===----------------------------------------------------------------------===//

struct Same {
  template <class T> static T apply(T a) { return a; }
};

struct Bits128 {
  uint64_t low, high;
};

Handler moveOf(unsigned bytes) {
  switch (bytes) {
  case 2:
    return unary<Same, uint16_t, uint16_t>;
  case 4:
    return unary<Same, uint32_t, uint32_t>;
  case 8:
    return unary<Same, uint64_t, uint64_t>;
  default:
    return unary<Same, Bits128, Bits128>;
  }
}

void moveSpecialPred(Warp &w, const Inst &i, Lanes lanes) {
  const uint32_t *a = w.lanes<uint32_t>(i.a);
  Lanes value = 0;
  forLanes(lanes, [&](unsigned l) { value |= Lanes(a[l] != 0) << l; });
  setPred(w, i.p, lanes, value);
}

void movePred(Warp &w, const Inst &i, Lanes lanes) {
  Lanes value = i.q < 0 ? Lanes(0 - i.imm) : w.pred(i.q);
  setPred(w, i.p, lanes, i.sub[0] ? ~value : value);
}

/// extras parts of sub[0] bytes become one register, or the reverse.
void pack(Warp &w, const Inst &i, Lanes lanes) {
  uint8_t *d = w.lanes<uint8_t>(i.d);
  unsigned part = i.sub[0], all = part * i.extras;
  for (unsigned n = 0; n < i.extras; ++n) {
    const uint8_t *from = w.lanes<uint8_t>(w.code.refs[i.extra + n]);
    unsigned step = i.sub[1];
    forLanes(lanes, [=](unsigned l) {
      std::memcpy(d + l * all + n * part, from + l * step, part);
    });
  }
}
void unpack(Warp &w, const Inst &i, Lanes lanes) {
  unsigned part = i.sub[0], all = part * i.extras, step = i.sub[1];
  std::vector<uint8_t> source(w.lanes<uint8_t>(i.a),
                              w.lanes<uint8_t>(i.a) + all * kWarpSize);
  for (unsigned n = 0; n < i.extras; ++n) {
    uint8_t *to = w.lanes<uint8_t>(w.code.refs[i.extra + n]);
    forLanes(lanes, [&](unsigned l) {
      uint64_t value = 0;
      std::memcpy(&value, &source[l * all + n * part], part);
      std::memcpy(to + l * step, &value, step);
    });
  }
}

void movVector(Decoder &d, Type type, bool packs) {
  const ptx::Operand &vector = d.operand(packs ? 1 : 0);
  unsigned bytes = Decoder::bytesOf(type),
           count = unsigned(vector.parts.size());
  if (count == 0 || bytes % count)
    d.error("has " + std::to_string(count) + " parts of " +
            std::to_string(bytes) + " bytes");
  unsigned part = bytes / count, step = std::max(part, 2u);
  for (const ptx::Operand &operand : vector.parts)
    if (d.isRegister(operand))
      step = std::max(step, d.registerBytes(operand));
  std::vector<Ref> refs;
  for (const ptx::Operand &operand : vector.parts)
    refs.push_back(operand.kind == ptx::Operand::Kind::Sink
                       ? d.scratch(step)
                       : d.value(operand, step));
  Inst &inst = d.inst();
  inst.sub[0] = uint8_t(part);
  inst.sub[1] = uint8_t(step);
  inst.extra = d.addRefs(refs);
  inst.extras = count;
  if (packs)
    inst.d = d.destination(0, bytes);
  else
    inst.a = d.value(d.operand(1), bytes);
  inst.run = packs ? pack : unpack;
}

/// d = a + imm: a variable in the frame of a function.
template <typename T> void frameAddress(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const uint64_t *a = w.lanes<uint64_t>(i.a);
  forLanes(lanes, [=](unsigned l) { d[l] = T(a[l] + i.imm); });
}
void movFrameAddress(Decoder &d, unsigned bytes) {
  d.inst().a = d.frame();
  d.inst().imm =
      uint64_t(d.localOffset(d.operand(1).text) + d.operand(1).offset);
  d.inst().d = d.destination(0, bytes);
  d.inst().run = bytes == 8 ? frameAddress<uint64_t> : frameAddress<uint32_t>;
}

/// Clocks count instructions of the cluster, and reads of themselves, so that
/// a loop that waits for one ends. imm: bits to shift right.
template <typename T> void readClock(Warp &w, const Inst &i, Lanes lanes) {
  Counters &c = w.cta.cluster.counters;
  uint64_t now = c.instructions + 64 * ++w.cta.cluster.clockReads;
  T *d = w.lanes<T>(i.d);
  forLanes(lanes, [=](unsigned l) { d[l] = T(now >> i.imm); });
}
bool takeClock(Decoder &d, unsigned bytes) {
  std::string_view name = d.operand(1).text;
  bool high = name == "%clock_hi" || name == "%globaltimer_hi";
  if (!high && name != "%clock" && name != "%clock64" &&
      name != "%globaltimer" && name != "%globaltimer_lo")
    return false;
  d.inst().imm = high ? 32 : 0;
  d.inst().d = d.destination(0, bytes);
  d.inst().run = bytes == 8 ? readClock<uint64_t> : readClock<uint32_t>;
  return true;
}

/// The address of a variable: of shared and local memory in its own space.
void movAddress(Decoder &d, unsigned bytes) {
  d.inst().a = d.value(d.operand(1), bytes);
  d.inst().run = moveOf(bytes);
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

enum Compare : uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kLo,
  kLs,
  kHi,
  kHs,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan
};

template <typename T> bool compareOrdered(Compare op, T a, T b) {
  switch (op) {
  case kEq:
    return a == b;
  case kNe:
    return a != b;
  case kLt:
  case kLo:
    return a < b;
  case kLe:
  case kLs:
    return a <= b;
  case kGt:
  case kHi:
    return a > b;
  default:
    return a >= b;
  }
}

/// Ordered comparisons of floats are false with a NaN, unordered ones true.
template <typename T> bool compareFloats(Compare op, T a, T b) {
  bool unordered = std::isnan(a) || std::isnan(b);
  if (op == kNum)
    return !unordered;
  if (op == kNan)
    return unordered;
  if (op >= kEqu)
    return unordered || compareOrdered(Compare(op - kEqu), a, b);
  return !unordered && compareOrdered(op, a, b);
}

float flushBelow(float x, float least) {
  return std::fabs(x) < least ? std::copysign(0.0f, x) : x;
}

template <typename T> struct Plain {
  using Stored = T;
  static T read(T bits) { return bits; }
  static T flush(T x) { return x; }
};
struct SingleValue : Plain<float> {
  static float flush(float x) { return flushBelow(x, 0x1p-126f); }
};
struct HalfValue {
  using Stored = uint16_t;
  static float read(uint16_t bits) { return halfToFloat(bits); }
  static float flush(float x) { return flushBelow(x, 0x1p-14f); }
};
struct BFloatValue {
  using Stored = uint16_t;
  static float read(uint16_t bits) { return bfloatToFloat(bits); }
  static float flush(float x) { return x; } // there is no .ftz
};

/// The lanes for which a comparison holds. sub[0]: comparison; sub[2] bit 0:
/// .ftz.
template <typename Value>
Lanes compareLanes(Warp &w, const Inst &i, Lanes lanes) {
  using Stored = typename Value::Stored;
  const Stored *a = w.lanes<Stored>(i.a), *b = w.lanes<Stored>(i.b);
  Lanes result = 0;
  bool ftz = i.sub[2] & 1;
  forLanes(lanes, [&](unsigned l) {
    auto x = Value::read(a[l]), y = Value::read(b[l]);
    if (ftz)
      x = Value::flush(x), y = Value::flush(y);
    bool holds;
    if constexpr (std::is_floating_point<decltype(x)>::value)
      holds = compareFloats(Compare(i.sub[0]), x, y);
    else
      holds = compareOrdered(Compare(i.sub[0]), x, y);
    result |= Lanes(holds) << l;
  });
  return result;
}

/// Combined with a third predicate. sub[1]: 0 none, 1 and, 2 or, 3 xor; bit 4:
/// it is negated.
Lanes withPredicate(Warp &w, const Inst &i, Lanes value) {
  if (!(i.sub[1] & 3))
    return value;
  Lanes other = w.pred(int32_t(i.extra));
  if (i.sub[1] & 16)
    other = ~other;
  switch (i.sub[1] & 3) {
  case 1:
    return value & other;
  case 2:
    return value | other;
  default:
    return value ^ other;
  }
}

/// p = (a op b) bool c; q = !(a op b) bool c.
template <typename Value>
void setPredicates(Warp &w, const Inst &i, Lanes lanes) {
  Lanes holds = compareLanes<Value>(w, i, lanes);
  Lanes p = withPredicate(w, i, holds), q = withPredicate(w, i, ~holds);
  setPred(w, i.p, lanes, p);
  setPred(w, i.q, lanes, q);
}

/// set: what says yes (imm: all ones or 1.0) in a register; zero says no.
template <typename Value>
void setRegister(Warp &w, const Inst &i, Lanes lanes) {
  Lanes holds = withPredicate(w, i, compareLanes<Value>(w, i, lanes));
  if (i.sub[2] & 2) { // 16 bits
    uint16_t *d = w.lanes<uint16_t>(i.d);
    return forLanes(lanes, [=, yes = uint16_t(i.imm)](unsigned l) {
      d[l] = holds >> l & 1 ? yes : 0;
    });
  }
  uint32_t *d = w.lanes<uint32_t>(i.d);
  forLanes(lanes, [=, yes = uint32_t(i.imm)](unsigned l) {
    d[l] = holds >> l & 1 ? yes : 0;
  });
}

/// Pairs of 16-bit floats: the lanes whose lower (0) or upper half compares so.
template <typename Value>
Lanes compareHalf(Warp &w, const Inst &i, Lanes lanes, unsigned half) {
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  Lanes result = 0;
  forLanes(lanes, [&](unsigned l) {
    float x = Value::read(uint16_t(a[l] >> (16 * half)));
    float y = Value::read(uint16_t(b[l] >> (16 * half)));
    if (i.sub[2] & 1)
      x = Value::flush(x), y = Value::flush(y);
    result |= Lanes(compareFloats(Compare(i.sub[0]), x, y)) << l;
  });
  return withPredicate(w, i, result);
}
template <typename Value>
void setPairPredicates(Warp &w, const Inst &i, Lanes lanes) {
  Lanes low = compareHalf<Value>(w, i, lanes, 0);
  Lanes high = compareHalf<Value>(w, i, lanes, 1);
  setPred(w, i.p, lanes, low);
  setPred(w, i.q, lanes, high);
}
template <typename Value>
void setPairRegister(Warp &w, const Inst &i, Lanes lanes) {
  Lanes low = compareHalf<Value>(w, i, lanes, 0);
  Lanes high = compareHalf<Value>(w, i, lanes, 1);
  uint32_t *d = w.lanes<uint32_t>(i.d), yes = uint32_t(i.imm);
  forLanes(lanes, [=](unsigned l) {
    d[l] = (low >> l & 1 ? yes : 0) | (high >> l & 1 ? yes << 16 : 0);
  });
}

template <template <typename> class Run> Handler byCompared(Type type) {
  switch (type) {
  case Type::B16:
  case Type::U16:
    return Run<Plain<uint16_t>>::handler;
  case Type::S16:
    return Run<Plain<int16_t>>::handler;
  case Type::B32:
  case Type::U32:
    return Run<Plain<uint32_t>>::handler;
  case Type::S32:
    return Run<Plain<int32_t>>::handler;
  case Type::B64:
  case Type::U64:
    return Run<Plain<uint64_t>>::handler;
  case Type::S64:
    return Run<Plain<int64_t>>::handler;
  case Type::F32:
    return Run<SingleValue>::handler;
  case Type::F64:
    return Run<Plain<double>>::handler;
  case Type::F16:
    return Run<HalfValue>::handler;
  case Type::BF16:
    return Run<BFloatValue>::handler;
  default:
    return nullptr;
  }
}
template <typename Value> struct ToPredicates {
  static void handler(Warp &w, const Inst &i, Lanes lanes) {
    setPredicates<Value>(w, i, lanes);
  }
};
template <typename Value> struct ToRegister {
  static void handler(Warp &w, const Inst &i, Lanes lanes) {
    setRegister<Value>(w, i, lanes);
  }
};

bool isPair(Type type) { return type == Type::F16x2 || type == Type::BF16x2; }

bool isFloat(Type type) {
  return type == Type::F32 || type == Type::F64 || type == Type::F16 ||
         type == Type::BF16 || isPair(type);
}

/// What set writes where a comparison of `type` holds.
uint64_t yesOf(Decoder &d, Type result, Type type) {
  if (isPair(type) && (result == Type::U32 || result == Type::S32))
    return 0xFFFF;
  switch (result) {
  case Type::U16:
  case Type::S16:
    return 0xFFFF;
  case Type::U32:
  case Type::S32:
    return 0xFFFFFFFF;
  case Type::F32:
    return bitCast<uint32_t>(1.0f);
  case Type::F16:
  case Type::F16x2:
    return toHalf(1);
  case Type::BF16:
  case Type::BF16x2:
    return toBFloat(1);
  default:
    d.unsupported("a result of this type");
  }
}

void takeComparison(Decoder &d) {
  int op = d.words().takeOf({"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls",
                             "hi", "hs", "equ", "neu", "ltu", "leu", "gtu",
                             "geu", "num", "nan"});
  if (op < 0)
    d.error("names no comparison");
  d.inst().sub[0] = uint8_t(op);
  d.inst().sub[1] = uint8_t(d.words().takeOf({"and", "or", "xor"}) + 1);
  d.inst().sub[2] = d.words().take("ftz");
}

void takeThird(Decoder &d, size_t i) {
  if (!(d.inst().sub[1] & 3))
    return;
  const ptx::Operand &operand = d.operand(i);
  d.inst().extra = uint32_t(d.predicate(operand));
  d.inst().sub[1] |= operand.negated ? 16 : 0;
}

void checkComparison(Decoder &d, Type type) {
  if (d.inst().sub[0] >= kEqu && !isFloat(type))
    d.error("compares integers with a comparison of floats");
}

//===----------------------------------------------------------------------===//
// Selection
//===----------------------------------------------------------------------===//

template <typename T> void select(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *a = w.lanes<T>(i.a), *b = w.lanes<T>(i.b);
  Lanes p = i.sub[0] ? ~w.pred(i.p) : w.pred(i.p);
  forLanes(lanes, [=](unsigned l) { d[l] = p >> l & 1 ? a[l] : b[l]; });
}

/// d = c >= 0 ? a : b.
template <typename T, typename C>
void selectBySign(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *a = w.lanes<T>(i.a), *b = w.lanes<T>(i.b);
  const C *c = w.lanes<C>(i.c);
  const C least = i.sub[2] ? C(-0x1p-126f) : C(0); // .ftz: subnormals are zero
  forLanes(lanes,
           [=](unsigned l) { d[l] = c[l] >= 0 || c[l] > least ? a[l] : b[l]; });
}

Handler selectOf(unsigned bytes) {
  return bytes == 2   ? select<uint16_t>
         : bytes == 4 ? select<uint32_t>
                      : select<uint64_t>;
}

} // namespace

namespace nibble {
namespace emu {
namespace move {

void mov(Decoder &d) {
  Type type = takeType(d);
  d.expectOperands(2, 2);
  if (type == Type::Pred) {
    const ptx::Operand &from = d.operand(1);
    d.inst().p = d.predicate(d.operand(0));
    if (from.text == "%is_explicit_cluster") { // the one that is a predicate
      d.inst().a = d.value(from, 4);
      d.inst().run = moveSpecialPred;
      return;
    }
    if (from.kind == ptx::Operand::Kind::Integer)
      d.inst().imm = from.bits != 0;
    else
      d.inst().q = d.predicate(from);
    d.inst().sub[0] = from.negated;
    d.inst().run = movePred;
    return;
  }
  if (d.operand(1).kind == ptx::Operand::Kind::Vector)
    return movVector(d, type, true);
  if (d.operand(0).kind == ptx::Operand::Kind::Vector)
    return movVector(d, type, false);
  unsigned bytes = Decoder::bytesOf(type);
  if (int64_t param = d.operand(1).kind == ptx::Operand::Kind::Symbol
                          ? d.paramOffset(d.operand(1).text)
                          : -1;
      param >= 0)
    return d.setParamAddress(param + d.operand(1).offset, bytes);
  if (d.frame().valid() && d.localOffset(d.operand(1).text) >= 0)
    return movFrameAddress(d, bytes);
  if (takeClock(d, bytes))
    return;
  movAddress(d, bytes);
  d.inst().d = d.destination(0, bytes);
}

void setp(Decoder &d) {
  takeComparison(d);
  Type type = takeType(d);
  checkComparison(d, type);
  bool third = d.inst().sub[1] & 3;
  d.expectOperands(third ? 4 : 3, third ? 4 : 3);
  const ptx::Operand &result = d.operand(0);
  bool pair = result.kind == ptx::Operand::Kind::Pair;
  d.inst().p = d.predicate(pair ? result.parts[0] : result);
  d.inst().q = pair ? d.predicate(result.parts[1]) : -1;
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  takeThird(d, 3);
  d.inst().run = type == Type::F16x2    ? setPairPredicates<HalfValue>
                 : type == Type::BF16x2 ? setPairPredicates<BFloatValue>
                                        : byCompared<ToPredicates>(type);
  if (!d.inst().run)
    d.unsupported("a comparison of this type");
}

void set(Decoder &d) {
  takeComparison(d);
  Type result = takeType(d), type = takeType(d);
  checkComparison(d, type);
  bool third = d.inst().sub[1] & 3;
  d.expectOperands(third ? 4 : 3, third ? 4 : 3);
  d.inst().imm = yesOf(d, result, type);
  unsigned bytes = Decoder::bytesOf(result);
  d.inst().sub[2] |= bytes == 2 ? 2 : 0;
  if (isPair(result) && result != type)
    d.error("compares other pairs than it writes");
  d.inst().d = d.destination(0, bytes);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  takeThird(d, 3);
  d.inst().run = type == Type::F16x2    ? setPairRegister<HalfValue>
                 : type == Type::BF16x2 ? setPairRegister<BFloatValue>
                                        : byCompared<ToRegister>(type);
  if (!d.inst().run)
    d.unsupported("a comparison of this type");
}

void selp(Decoder &d) {
  Type type = takeType(d);
  d.expectOperands(4, 4);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  d.inst().p = d.predicate(d.operand(3));
  d.inst().sub[0] = d.operand(3).negated;
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
  d.inst().run = selectOf(Decoder::bytesOf(type));
}

void slct(Decoder &d) {
  d.inst().sub[2] = d.words().take("ftz");
  Type type = takeType(d), by = takeType(d);
  d.expectOperands(4, 4);
  unsigned bytes = Decoder::bytesOf(type);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  d.inst().c = d.value(3, by);
  d.inst().d = d.destination(0, bytes);
  bool isF32 = by == Type::F32;
  d.inst().run = bytes == 2   ? (isF32 ? selectBySign<uint16_t, float>
                                       : selectBySign<uint16_t, int32_t>)
                 : bytes == 4 ? (isF32 ? selectBySign<uint32_t, float>
                                       : selectBySign<uint32_t, int32_t>)
                              : (isF32 ? selectBySign<uint64_t, float>
                                       : selectBySign<uint64_t, int32_t>);
}

} // namespace move
} // namespace emu
} // namespace nibble
