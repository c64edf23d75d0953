// atom and red.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each element is replaced by compare-and-swap on the host's memory, so that
// clusters on other host threads see it as a whole. Lanes go in order.
#include "isa/Access.h"
#include "isa/Combine.h"
#include "isa/Copy.h"
#include "isa/Half.h"
#include "isa/Memory.h"
#include "isa/Select.h"

#include <cmath>

using namespace nibble::emu;
using ptx::Type;

namespace {

/// f32 and f64 add; f32 flushes subnormals in global memory.
template <typename T, typename B> struct OfFloats {
  using Bits = B;
  static T flush(T x) {
    return std::fabs(x) < T(0x1p-126) ? std::copysign(T(0), x) : x;
  }
  static Bits combine(AtomicOp, Bits old, Bits b, Bits, bool global) {
    T x = bitCast<T>(old), y = bitCast<T>(b);
    bool flushes = global && sizeof(T) == 4;
    T sum = flushes ? flush(flush(x) + flush(y)) : x + y;
    if (std::isnan(sum) && sizeof(T) == 4)
      return Bits(kFloatNan);
    return bitCast<Bits>(sum);
  }
};

struct F16 {
  static double read(uint16_t x) { return halfToFloat(x); }
  static uint16_t write(double x) { return toHalf(x); }
};
struct BF16 {
  static double read(uint16_t x) { return bfloatToFloat(x); }
  static uint16_t write(double x) { return toBFloat(x); }
};

/// 16-bit floats: add, min, max; numbers win over NaNs; -0 < +0.
template <typename Value> struct OfHalves {
  using Bits = uint16_t;
  static Bits combine(AtomicOp op, Bits old, Bits b, Bits, bool) {
    double x = Value::read(old), y = Value::read(b);
    if (op == kAdd)
      return Value::write(x + y);
    if (std::isnan(x) || std::isnan(y))
      return std::isnan(x) ? (std::isnan(y) ? kHalfNan : b) : old;
    bool less = x < y || (x == y && std::signbit(x));
    return less == (op == kMin) ? old : b;
  }
};
template <typename Value> struct OfPairs {
  using Bits = uint32_t;
  static Bits combine(AtomicOp op, Bits old, Bits b, Bits, bool) {
    using One = OfHalves<Value>;
    uint32_t low = One::combine(op, uint16_t(old), uint16_t(b), 0, false);
    uint32_t high =
        One::combine(op, uint16_t(old >> 16), uint16_t(b >> 16), 0, false);
    return high << 16 | low;
  }
};

template <typename Kind, typename Bits>
Bits replace(uint8_t *where, AtomicOp op, Bits b, Bits c, bool global) {
  auto *at = reinterpret_cast<Bits *>(where);
  Bits seen = __atomic_load_n(at, __ATOMIC_SEQ_CST), wanted;
  do
    wanted = Kind::combine(op, seen, b, c, global);
  while (!__atomic_compare_exchange_n(at, &seen, wanted, false,
                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return seen;
}

bool isGlobal(Space space, uint64_t address) {
  return space == Space::Global ||
         (space == Space::Generic &&
          !(address & (kSharedWindow | kLocalWindow)));
}

/// sub[0]: operation. refs[extra]: `extras` operands b, then as many results if
/// `target`; c: what .cas writes.
template <typename Kind> void atomic(Warp &w, const Inst &i, Lanes lanes) {
  using Bits = typename Kind::Bits;
  const Ref *refs = &w.code.refs[i.extra];
  const Bits *c = i.c.valid() ? w.lanes<Bits>(i.c) : nullptr;
  const uint32_t bytes = sizeof(Bits) * i.extras;
  countAccess(w, i, lanes, bytes, true);
  countBanksOf(w, i, lanes, bytes);
  forLanes(lanes, [&](unsigned l) {
    uint64_t address = addressOf(w, i, l);
    Space space = Space(i.sub[2]);
    uint8_t *at = w.cta.resolve(w, space, address, bytes, true, int(l));
    w.cta.cluster.races.strong(w, address, true, true, i.order);
    bool global = isGlobal(space, address);
    for (uint32_t n = 0; n < i.extras; ++n) {
      Bits old = replace<Kind, Bits>(at + n * sizeof(Bits), AtomicOp(i.sub[0]),
                                     w.lanes<Bits>(refs[n])[l],
                                     c ? c[l] : Bits(0), global);
      if (i.target)
        w.lanes<Bits>(refs[i.extras + n])[l] = old;
    }
  });
}

/// .exch and .cas of 128 bits.
void atomic128(Warp &w, const Inst &i, Lanes lanes) {
  using Bits = unsigned __int128;
  const Ref *refs = &w.code.refs[i.extra];
  const Bits *b = w.lanes<Bits>(refs[0]), *c = nullptr;
  if (i.c.valid())
    c = w.lanes<Bits>(i.c);
  countAccess(w, i, lanes, sizeof(Bits), true);
  forLanes(lanes, [&](unsigned l) {
    uint64_t address = addressOf(w, i, l);
    auto *at = reinterpret_cast<Bits *>(
        w.cta.resolve(w, Space(i.sub[2]), address, sizeof(Bits), true, int(l)));
    w.cta.cluster.races.strong(w, address, true, true, i.order);
    Bits old = __sync_val_compare_and_swap(at, 0, 0), seen;
    do {
      seen = old;
      old = __sync_val_compare_and_swap(at, seen,
                                        !c             ? b[l]
                                        : seen == b[l] ? c[l]
                                                       : seen);
    } while (old != seen);
    if (i.target)
      w.lanes<Bits>(refs[1])[l] = seen;
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// Which operations a type has, one bit each.
constexpr uint32_t bit(AtomicOp op) { return 1u << op; }
constexpr uint32_t kLogic = bit(kAnd) | bit(kOr) | bit(kXor);
constexpr uint32_t kSwap = bit(kExch) | bit(kCas);
constexpr uint32_t kOrder = bit(kMin) | bit(kMax);

struct Choice {
  Handler run;
  uint32_t operations;
};
Choice choose(Decoder &d, Type type, bool isVector) {
  switch (type) {
  case Type::S32:
    return {atomic<OfIntegers<int32_t>>, bit(kAdd) | kOrder};
  case Type::S64:
    return {atomic<OfIntegers<int64_t>>, bit(kAdd) | kOrder};
  case Type::U32:
    return {atomic<OfIntegers<uint32_t>>,
            bit(kAdd) | kOrder | bit(kInc) | bit(kDec)};
  case Type::U64:
    return {atomic<OfIntegers<uint64_t>>, bit(kAdd) | kOrder};
  case Type::B16:
    return {atomic<OfIntegers<uint16_t>>, bit(kCas)};
  case Type::B32:
    return {atomic<OfIntegers<uint32_t>>, kLogic | kSwap};
  case Type::B64:
    return {atomic<OfIntegers<uint64_t>>, kLogic | kSwap};
  case Type::B128:
    return {atomic128, kSwap};
  case Type::F32:
    return {atomic<OfFloats<float, uint32_t>>, bit(kAdd)};
  case Type::F64:
    return {atomic<OfFloats<double, uint64_t>>, bit(kAdd)};
  case Type::F16:
    return {atomic<OfHalves<F16>>, bit(kAdd) | (isVector ? kOrder : 0)};
  case Type::BF16:
    return {atomic<OfHalves<BF16>>, bit(kAdd) | (isVector ? kOrder : 0)};
  case Type::F16x2:
    return {atomic<OfPairs<F16>>, bit(kAdd) | (isVector ? kOrder : 0)};
  case Type::BF16x2:
    return {atomic<OfPairs<BF16>>, bit(kAdd) | (isVector ? kOrder : 0)};
  default:
    d.unsupported("an atomic of this type");
  }
}

bool isHalf(Type type) {
  return type == Type::F16 || type == Type::BF16 || type == Type::F16x2 ||
         type == Type::BF16x2;
}

/// Vectors are of 16-bit floats up to .v8, of 32 bits up to .v4, in global
/// memory.
void checkVector(Decoder &d, Type type, unsigned count, Space space) {
  if (count == 1)
    return;
  if (type != Type::F32 && !isHalf(type))
    d.error("has no vectors of this type");
  if (count == 8 && Decoder::bytesOf(type) == 4)
    d.error(".v8 is for f16 and bf16");
  if (space != Space::Global && space != Space::Generic)
    d.error("has vectors in global memory only");
}

/// Appends the registers of a scalar or vector operand.
void addOperands(Decoder &d, std::vector<Ref> &refs,
                 const ptx::Operand &operand, unsigned count, unsigned bytes) {
  bool isVector = operand.kind == ptx::Operand::Kind::Vector;
  if (isVector ? operand.parts.size() != count : count != 1)
    d.error("needs " + std::to_string(count) + " registers");
  for (unsigned n = 0; n < count; ++n) {
    const ptx::Operand &part = isVector ? operand.parts[n] : operand;
    refs.push_back(part.kind == ptx::Operand::Kind::Sink
                       ? d.scratch(bytes)
                       : d.value(part, bytes));
  }
}

void decodeAtomic(Decoder &d, bool returns) {
  takeHints(d);
  d.inst().order |= kStrong;
  Space space = takeSpace(d);
  int op = d.words().takeOf(
      {"add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas"});
  if (op < 0)
    d.error("names no operation");
  bool noftz = d.words().take("noftz");
  bool policy = d.words().take("L2::cache_hint");
  unsigned count = takeVector(d);
  Type type = takeType(d);
  checkVector(d, type, count, space);
  if (noftz != isHalf(type))
    d.error(noftz ? ".noftz is for 16-bit floats" : "needs .noftz");
  Choice choice = choose(d, type, count > 1);
  if (!(choice.operations >> op & 1))
    d.error("has no such operation on this type");
  size_t first = returns ? 1 : 0, n = first + 2 + (op == kCas) + policy;
  d.expectOperands(n, n);
  Inst &inst = d.inst();
  unsigned bytes = Decoder::bytesOf(type);
  setAddress(d, d.operand(first), space);
  std::vector<Ref> refs;
  addOperands(d, refs, d.operand(first + 1), count, bytes);
  if (returns)
    addOperands(d, refs, d.operand(0), count, bytes);
  if (op == kCas)
    inst.c = d.value(d.operand(first + 2), bytes);
  inst.sub[0] = uint8_t(op);
  inst.extra = d.addRefs(refs);
  inst.extras = count;
  inst.target = returns;
  inst.run = choice.run;
}

} // namespace

void nibble::emu::memory::atom(Decoder &d) { decodeAtomic(d, true); }

void nibble::emu::memory::red(Decoder &d) {
  if (d.words().has("async"))
    return reduceAsync(d);
  decodeAtomic(d, false);
}
