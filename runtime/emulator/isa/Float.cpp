// Floating-point arithmetic: f32, f64, f16, bf16, and packed pairs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Results are those of one IEEE rounding. f16 and bf16 are computed in double:
// sums and products of them are exact there, and for fma the sum of an exact
// product and a number is rounded to odd first, so that the second rounding
// cannot differ (53 >= 2 * 11 + 2 bits).
#include "isa/Float.h"

#include "isa/Half.h"
#include "isa/Rounding.h"
#include "isa/Select.h"

#include <limits>

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// sub[0]: rounding; sub[1]: flags.
constexpr uint8_t kFtz = 1, kSat = 2, kNanResult = 4, kRelu = 8, kAbs = 16,
                  kXorSign = 32;

template <typename T> T flushBelow(T x, T least) {
  return std::fabs(x) < least ? std::copysign(T(0), x) : x;
}

struct Single {
  using Stored = float;
  using Math = float;
  static float read(float x) { return x; }
  static float write(float x) {
    return std::isnan(x) ? bitCast<float>(kFloatNan) : x;
  }
  static float flush(float x) { return flushBelow(x, 0x1p-126f); }
};
struct Double {
  using Stored = double;
  using Math = double;
  static double read(double x) { return x; }
  static double write(double x) { return x; }
  static double flush(double x) { return x; } // f64 has no .ftz
};
struct Half {
  using Stored = uint16_t;
  using Math = double;
  static double read(uint16_t x) { return halfToFloat(x); }
  static uint16_t write(double x) { return toHalf(x); }
  static double flush(double x) { return flushBelow(x, 0x1p-14); }
};
struct BFloat {
  using Stored = uint16_t;
  using Math = double;
  static double read(uint16_t x) { return bfloatToFloat(x); }
  static uint16_t write(double x) { return toBFloat(x); }
  static double flush(double x) { return flushBelow(x, 0x1p-126); }
};
/// Two of them in a register.
template <typename Value> struct PairOf {
  using One = Value;
  using Stored = std::conditional_t<sizeof(typename Value::Stored) == 2,
                                    uint32_t, uint64_t>;
};

template <typename T> T saturate(T x) {
  return x > 0 ? (x < 1 ? x : T(1)) : T(0); // NaN gives 0
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

/// a + b and its error, exactly (Knuth).
template <typename T> struct TwoSum {
  T sum, error;
  TwoSum(T a, T b) {
    sum = a + b;
    T c = sum - a;
    error = (a - (sum - c)) + (b - c);
  }
};

/// The result of f64 add, mul and fma where operands are NaN: the last of
/// these, quieted. (Measured on an H200: the PTX ISA leaves it open. Processors
/// of hosts take the first one, and compilers change their order.) Other
/// formats have one NaN.
template <typename T, typename... Rest>
T lastNan(T result, T first, Rest... rest) {
  if (!std::is_same_v<T, double> || !std::isnan(result))
    return result;
  for (T x : {first, rest...})
    if (std::isnan(x))
      result = T(bitCast<double>(bitCast<uint64_t>(double(x)) | 1ull << 51));
  return result;
}

struct Add {
  static constexpr int operands = 2;
  template <class T> static T nearest(T a, T b, T) {
    return lastNan(a + b, a, b);
  }
};
struct Sub {
  static constexpr int operands = 2;
  template <class T> static T nearest(T a, T b, T) { return a - b; }
};
struct Mul {
  static constexpr int operands = 2;
  template <class T> static T nearest(T a, T b, T) {
    return lastNan(a * b, a, b);
  }
};
struct Fma {
  static constexpr int operands = 3;
  template <class T> static T nearest(T a, T b, T c) {
    return lastNan(std::fma(a, b, c), a, b, c);
  }
};
struct Div {
  static constexpr int operands = 2;
  template <class T> static T nearest(T a, T b, T) { return a / b; }
};
struct Rcp {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) { return T(1) / a; }
};
struct Sqrt {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) { return std::sqrt(a); }
};
/// f16 and bf16 fma: exact product in double, sum rounded to odd.
struct HalfFma {
  static constexpr int operands = 3;
  static double nearest(double a, double b, double c) {
    TwoSum<double> s(a * b, c);
    return s.error != 0 && std::isfinite(s.error) ? odd(s.sum, s.error) : s.sum;
  }
  /// Rounded to odd: an inexact result ends in a one.
  static double odd(double x, double error) {
    uint64_t bits = bitCast<uint64_t>(x);
    if (!(bits & 1)) {
      bool away = (error > 0) == (x > 0);
      bits = away ? bits + 1 : bits - 1;
    }
    return bitCast<double>(bits);
  }
};

// Functions that the hardware approximates: here to the nearest float. Their
// documented errors are 1 to 2 units in the last place, or 2^-21 absolute.
struct Rsqrt {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(1 / std::sqrt(double(a)));
  }
};
/// rcp and rsqrt.approx.ftz.f64 know the upper half of a double.
inline double upperHalf(double x) {
  return bitCast<double>(bitCast<uint64_t>(x) & ~uint64_t(0xFFFFFFFF));
}
inline double flushDouble(double x) {
  return flushBelow(x, std::numeric_limits<double>::min());
}
struct RcpGross {
  static constexpr int operands = 1;
  static double nearest(double a, double, double) {
    return upperHalf(flushDouble(1 / flushDouble(a)));
  }
};
struct RsqrtGross {
  static constexpr int operands = 1;
  static double nearest(double a, double, double) {
    return upperHalf(1 / std::sqrt(flushDouble(a)));
  }
};
struct Ex2 {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(std::exp2(double(a)));
  }
};
struct Lg2 {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(std::log2(double(a)));
  }
};
struct Sin {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(std::sin(double(a)));
  }
};
struct Cos {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(std::cos(double(a)));
  }
};
struct Tanh {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) {
    return T(std::tanh(double(a)));
  }
};
struct Abs {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) { return std::fabs(a); }
};
struct Neg {
  static constexpr int operands = 1;
  template <class T> static T nearest(T a, T, T) { return -a; }
};

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

template <typename Op, typename Value>
typename Value::Stored computeOne(typename Value::Stored a,
                                  typename Value::Stored b,
                                  typename Value::Stored c, uint8_t flags) {
  using M = typename Value::Math;
  M x = M(Value::read(a)), y = M(Value::read(b)), z = M(Value::read(c));
  if (flags & kFtz)
    x = Value::flush(x), y = Value::flush(y), z = Value::flush(z);
  M result = Op::nearest(x, y, z);
  if (flags & kFtz)
    result = Value::flush(result);
  if (flags & kSat)
    result = saturate(result);
  if (flags & kRelu)
    result = result <= 0 ? M(0) : result; // +0 for -0 too
  return Value::write(result);
}

template <typename Op, typename Value>
void compute(Warp &w, const Inst &i, Lanes lanes) {
  using S = typename Value::Stored;
  S *d = w.lanes<S>(i.d);
  const S *a = w.lanes<S>(i.a);
  const S *b = Op::operands > 1 ? w.lanes<S>(i.b) : a;
  const S *c = Op::operands > 2 ? w.lanes<S>(i.c) : a;
  const uint8_t flags = i.sub[1];
  if (flags == 0)
    forLanes(lanes, [=](unsigned l) {
      d[l] = computeOne<Op, Value>(a[l], b[l], c[l], 0);
    });
  else
    forLanes(lanes, [=](unsigned l) {
      d[l] = computeOne<Op, Value>(a[l], b[l], c[l], flags);
    });
}

/// An operation that stays within the reach of a Direction.
template <typename Op> struct Kept {
  static constexpr int operands = Op::operands;
  template <class T> static T nearest(T a, T b, T c) {
    return keep(Op::nearest(keep(a), keep(b), keep(c)));
  }
};

/// A handler in another direction of rounding.
template <Handler Run> void directed(Warp &w, const Inst &i, Lanes lanes) {
  Direction direction(Round(i.sub[0]));
  Run(w, i, lanes);
}

/// a, b: 16-bit floats, c and d: f32, of add, sub (two operands) and fma.
template <typename Op, typename Value>
void computeMixed(Warp &w, const Inst &i, Lanes lanes) {
  Direction direction(Round(i.sub[0]));
  float *d = w.lanes<float>(i.d);
  const uint16_t *a = w.lanes<uint16_t>(i.a);
  const uint16_t *b = Op::operands > 2 ? w.lanes<uint16_t>(i.b) : a;
  const float *c = w.lanes<float>(i.c);
  forLanes(lanes, [=, flags = i.sub[1]](unsigned l) {
    float x = float(Value::read(a[l])), y = float(Value::read(b[l]));
    d[l] = computeOne<Kept<Op>, Single>(x, Op::operands > 2 ? y : c[l], c[l],
                                        flags);
  });
}

/// Pairs, one register each.
template <typename Op, typename Value>
void computePair(Warp &w, const Inst &i, Lanes lanes) {
  using S = typename Value::Stored;
  using P = typename PairOf<Value>::Stored;
  constexpr unsigned kBits = 8 * sizeof(S);
  P *d = w.lanes<P>(i.d);
  const P *a = w.lanes<P>(i.a);
  const P *b = Op::operands > 1 ? w.lanes<P>(i.b) : a;
  const P *c = Op::operands > 2 ? w.lanes<P>(i.c) : a;
  const uint8_t flags = i.sub[1];
  using U = std::conditional_t<sizeof(S) == 2, uint16_t, uint32_t>;
  auto part = [](P pair, unsigned n) {
    return bitCast<S>(U(pair >> (n * kBits)));
  };
  forLanes(lanes, [=](unsigned l) {
    P result = 0;
    for (unsigned n = 0; n < 2; ++n)
      result |= P(bitCast<U>(computeOne<Op, Value>(part(a[l], n), part(b[l], n),
                                                   part(c[l], n), flags)))
                << (n * kBits);
    d[l] = result;
  });
}

/// The larger or smaller; a number wins over NaN unless .NaN; -0 < +0.
template <bool Max, typename T> T pick(T a, T b, uint8_t flags) {
  T sign =
      flags & kXorSign ? std::copysign(T(1), a) * std::copysign(T(1), b) : T(0);
  if (flags & kAbs)
    a = std::fabs(a), b = std::fabs(b);
  T result;
  if (std::isnan(a) || std::isnan(b))
    result = flags & kNanResult ? std::numeric_limits<T>::quiet_NaN()
             : std::isnan(a)    ? b
                                : a;
  else if (a == b)
    result = Max == std::signbit(a) ? b : a;
  else
    result = Max == (a < b) ? b : a;
  return sign != 0 && !std::isnan(result) ? std::copysign(result, sign)
                                          : result;
}

template <bool Max, typename Value>
typename Value::Stored pickStored(typename Value::Stored a,
                                  typename Value::Stored b, uint8_t flags) {
  auto x = Value::read(a), y = Value::read(b);
  if (flags & kFtz) {
    x = decltype(x)(Value::flush(x));
    y = decltype(y)(Value::flush(y));
  }
  return Value::write(pick<Max>(x, y, flags));
}

template <bool Max, typename Value>
void minMax(Warp &w, const Inst &i, Lanes lanes) {
  using S = typename Value::Stored;
  S *d = w.lanes<S>(i.d);
  const S *a = w.lanes<S>(i.a), *b = w.lanes<S>(i.b);
  const S *c = i.c.valid() ? w.lanes<S>(i.c) : nullptr;
  forLanes(lanes, [=, flags = i.sub[1]](unsigned l) {
    S result = pickStored<Max, Value>(a[l], b[l], flags);
    d[l] = c ? pickStored<Max, Value>(result, c[l], flags) : result;
  });
}

template <bool Max, typename Value>
void minMaxPair(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  forLanes(lanes, [=, flags = i.sub[1]](unsigned l) {
    uint32_t low =
        pickStored<Max, Value>(uint16_t(a[l]), uint16_t(b[l]), flags);
    uint32_t high = pickStored<Max, Value>(uint16_t(a[l] >> 16),
                                           uint16_t(b[l] >> 16), flags);
    d[l] = high << 16 | low;
  });
}

/// |b| with the sign of a.
template <typename T, typename U>
void copySign(Warp &w, const Inst &i, Lanes lanes) {
  U *d = w.lanes<U>(i.d);
  const U *a = w.lanes<U>(i.a), *b = w.lanes<U>(i.b);
  constexpr U kSign = U(1) << (8 * sizeof(U) - 1);
  forLanes(lanes, [=](unsigned l) { d[l] = (b[l] & ~kSign) | (a[l] & kSign); });
}

/// f16 without its mantissa where the exponent is zero, in each half.
template <typename U> U flushHalves(U x) {
  for (unsigned at = 0; at < 8 * sizeof(U); at += 16)
    if (!(x >> at & 0x7C00))
      x &= U(~(U(0x7FFF) << at));
  return x;
}

/// Sign bits of 16-bit floats and pairs: abs and neg keep NaN payloads.
template <typename U, bool Negate>
void signBits(Warp &w, const Inst &i, Lanes lanes) {
  U *d = w.lanes<U>(i.d);
  const U *a = w.lanes<U>(i.a);
  const U mask = U(0x80008000u);
  forLanes(lanes, [=, flush = i.sub[1] & kFtz](unsigned l) {
    U x = flush ? flushHalves(a[l]) : a[l];
    d[l] = Negate ? x ^ mask : x & U(~mask);
  });
}

/// sub[0]: 0 finite, 1 infinite, 2 number, 3 notanumber, 4 normal, 5 subnormal.
template <typename T> void testProperty(Warp &w, const Inst &i, Lanes lanes) {
  const T *a = w.lanes<T>(i.a);
  Lanes result = 0;
  forLanes(lanes, [&](unsigned l) {
    int kind = std::fpclassify(a[l]);
    bool holds[] = {kind != FP_INFINITE && kind != FP_NAN,
                    kind == FP_INFINITE,
                    kind != FP_NAN,
                    kind == FP_NAN,
                    kind == FP_NORMAL,
                    kind == FP_SUBNORMAL};
    result |= Lanes(holds[i.sub[0]]) << l;
  });
  setPred(w, i.p, lanes, result);
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// Takes rounding and flags.
Round takeRounding(Decoder &d) {
  int mode = d.words().takeOf({"rn", "rz", "rm", "rp"});
  d.inst().sub[1] |= d.words().take("ftz") ? kFtz : 0;
  d.inst().sub[1] |= d.words().take("sat") ? kSat : 0;
  d.inst().sub[1] |= d.words().take("relu") ? kRelu : 0;
  Round round = mode < 0 ? Round::Nearest : Round(mode);
  d.inst().sub[0] = uint8_t(round);
  return round;
}

/// The pair types that are written as words: f32x2.
bool takePairOfFloats(Decoder &d) { return d.words().take("f32x2"); }

void setOperands(Decoder &d, int count, unsigned bytes) {
  d.expectOperands(size_t(count) + 1, size_t(count) + 1);
  Inst &inst = d.inst();
  inst.a = d.value(d.operand(1), bytes);
  if (count > 1)
    inst.b = d.value(d.operand(2), bytes);
  if (count > 2)
    inst.c = d.value(d.operand(3), bytes);
  inst.d = d.destination(0, bytes);
}

template <typename Op> Handler singleOrDouble(Type type, Round round) {
  bool nearest = round == Round::Nearest;
  if (type == Type::F32)
    return nearest ? compute<Op, Single> : directed<compute<Kept<Op>, Single>>;
  if (type == Type::F64)
    return nearest ? compute<Op, Double> : directed<compute<Kept<Op>, Double>>;
  return nullptr;
}
template <typename Op> Handler halves(Type type) {
  switch (type) {
  case Type::F16:
    return compute<Op, Half>;
  case Type::BF16:
    return compute<Op, BFloat>;
  case Type::F16x2:
    return computePair<Op, Half>;
  case Type::BF16x2:
    return computePair<Op, BFloat>;
  default:
    return nullptr;
  }
}

/// add.f32.f16 and the like: the last operand and the result are f32.
template <typename Op> void mixed(Decoder &d, Type narrow) {
  constexpr size_t count = Op::operands;
  d.expectOperands(count + 1, count + 1);
  d.inst().a = d.value(1, narrow);
  if (count > 2)
    d.inst().b = d.value(2, narrow);
  d.inst().c = d.value(count, Type::F32);
  d.inst().d = d.destination(0, 4);
  d.inst().run =
      narrow == Type::F16 ? computeMixed<Op, Half> : computeMixed<Op, BFloat>;
}

template <typename Op, typename OfHalves = Op> void arithmetic(Decoder &d) {
  Round round = takeRounding(d);
  if (takePairOfFloats(d)) {
    d.inst().run = round == Round::Nearest
                       ? computePair<Op, Single>
                       : directed<computePair<Kept<Op>, Single>>;
    return setOperands(d, Op::operands, 8);
  }
  Type type = takeType(d), narrow;
  if (type == Type::F32 && d.words().takeType(narrow)) {
    if (std::is_same<Op, Mul>::value ||
        (narrow != Type::F16 && narrow != Type::BF16))
      d.unsupported("this pair of types");
    return mixed<Op>(d, narrow);
  }
  d.inst().run = singleOrDouble<Op>(type, round);
  if (!d.inst().run && round == Round::Nearest)
    d.inst().run = halves<OfHalves>(type);
  if (!d.inst().run)
    d.unsupported("this type with this rounding");
  setOperands(d, Op::operands, Decoder::bytesOf(type));
}

/// Approximations of f32, and of f16 and bf16 where they exist.
template <typename Op> void approximation(Decoder &d) {
  d.words().take("approx");
  takeRounding(d);
  Type type = takeType(d);
  d.inst().run = type == Type::F32 ? compute<Op, Single> : halves<Op>(type);
  if (type == Type::F64 && std::is_same<Op, Rsqrt>::value)
    d.inst().run = compute<RsqrtGross, Double>;
  if (!d.inst().run)
    d.unsupported("this type");
  setOperands(d, 1, Decoder::bytesOf(type));
}

template <typename Op> void exactOrApproximate(Decoder &d) {
  bool approximate = d.words().takeOf({"approx", "full"}) >= 0;
  Round round = takeRounding(d);
  Type type = takeType(d);
  d.inst().run = singleOrDouble<Op>(type, round);
  if (approximate && type == Type::F64)
    d.inst().run =
        std::is_same<Op, Rcp>::value ? compute<RcpGross, Double> : nullptr;
  if (!d.inst().run)
    d.unsupported("this type");
  setOperands(d, Op::operands, Decoder::bytesOf(type));
}

template <bool Negate, typename Op> void signs(Decoder &d) {
  d.inst().sub[1] |= d.words().take("ftz") ? kFtz : 0;
  Type type = takeType(d);
  unsigned bytes = Decoder::bytesOf(type);
  switch (type) {
  case Type::F32:
    d.inst().run = compute<Op, Single>;
    break;
  case Type::F64:
    d.inst().run = compute<Op, Double>;
    break;
  case Type::F16:
  case Type::BF16:
    d.inst().run = signBits<uint16_t, Negate>;
    break;
  case Type::F16x2:
  case Type::BF16x2:
    d.inst().run = signBits<uint32_t, Negate>;
    break;
  default:
    d.unsupported("this type");
  }
  setOperands(d, 1, bytes);
}

template <bool Max> void minOrMax(Decoder &d) {
  uint8_t &flags = d.inst().sub[1];
  flags |= d.words().take("ftz") ? kFtz : 0;
  flags |= d.words().take("NaN") ? kNanResult : 0;
  flags |= d.words().take("xorsign") ? kXorSign : 0;
  flags |= d.words().take("abs") ? kAbs : 0;
  if (flags & kXorSign && !(flags & kAbs))
    d.error(".xorsign needs .abs");
  Type type = takeType(d);
  switch (type) {
  case Type::F32:
    d.inst().run = minMax<Max, Single>;
    break;
  case Type::F64:
    d.inst().run = minMax<Max, Double>;
    break;
  case Type::F16:
    d.inst().run = minMax<Max, Half>;
    break;
  case Type::BF16:
    d.inst().run = minMax<Max, BFloat>;
    break;
  case Type::F16x2:
    d.inst().run = minMaxPair<Max, Half>;
    break;
  case Type::BF16x2:
    d.inst().run = minMaxPair<Max, BFloat>;
    break;
  default:
    d.unsupported("this type");
  }
  bool three = type == Type::F32 && d.source().operands.size() == 4;
  setOperands(d, three ? 3 : 2, Decoder::bytesOf(type));
}

} // namespace

namespace nibble {
namespace emu {
namespace floating {
void add(Decoder &d) { arithmetic<Add>(d); }
void sub(Decoder &d) { arithmetic<Sub>(d); }
void mul(Decoder &d) { arithmetic<Mul>(d); }
void fma(Decoder &d) { arithmetic<Fma, HalfFma>(d); }
void div(Decoder &d) { exactOrApproximate<Div>(d); }
void rcp(Decoder &d) { exactOrApproximate<Rcp>(d); }
void sqrt(Decoder &d) { exactOrApproximate<Sqrt>(d); }
void rsqrt(Decoder &d) { approximation<Rsqrt>(d); }
void ex2(Decoder &d) { approximation<Ex2>(d); }
void lg2(Decoder &d) { approximation<Lg2>(d); }
void sin(Decoder &d) { approximation<Sin>(d); }
void cos(Decoder &d) { approximation<Cos>(d); }
void tanh(Decoder &d) { approximation<Tanh>(d); }
void abs(Decoder &d) { signs<false, Abs>(d); }
void neg(Decoder &d) { signs<true, Neg>(d); }
void min(Decoder &d) { minOrMax<false>(d); }
void max(Decoder &d) { minOrMax<true>(d); }
void copysign(Decoder &d) {
  Type type = takeType(d);
  d.inst().run = type == Type::F64 ? copySign<double, uint64_t>
                                   : copySign<float, uint32_t>;
  setOperands(d, 2, Decoder::bytesOf(type));
}
void testp(Decoder &d) {
  int property = d.words().takeOf(
      {"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  if (property < 0)
    d.error("names no property");
  Type type = takeType(d);
  d.expectOperands(2, 2);
  d.inst().sub[0] = uint8_t(property);
  d.inst().p = d.predicate(d.operand(0));
  d.inst().a = d.value(1, type);
  d.inst().run = type == Type::F64 ? testProperty<double> : testProperty<float>;
}
} // namespace floating
} // namespace emu
} // namespace nibble
