// Integer and bit instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Integer.h"

#include "isa/Select.h"

#include <algorithm>
#include <limits>
#include <type_traits>

using namespace nibble::emu;
using ptx::Type;

namespace {

template <typename T> using Unsigned = std::make_unsigned_t<T>;
template <typename T> constexpr unsigned kBits = 8 * sizeof(T);

// Arithmetic wraps: in unsigned numbers of at least 32 bits.
template <typename T> auto wide(T x) {
  return std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>(x);
}

struct Add {
  template <class T> static T apply(T a, T b) { return T(wide(a) + wide(b)); }
};
struct AddSat {
  template <class T> static T apply(T a, T b) {
    int64_t sum = int64_t(a) + int64_t(b);
    return T(std::clamp<int64_t>(sum, std::numeric_limits<T>::min(),
                                 std::numeric_limits<T>::max()));
  }
};
struct Sub {
  template <class T> static T apply(T a, T b) { return T(wide(a) - wide(b)); }
};
struct SubSat {
  template <class T> static T apply(T a, T b) {
    int64_t difference = int64_t(a) - int64_t(b);
    return T(std::clamp<int64_t>(difference, std::numeric_limits<T>::min(),
                                 std::numeric_limits<T>::max()));
  }
};
struct MulLo {
  template <class T> static T apply(T a, T b) { return T(wide(a) * wide(b)); }
};
struct MulHi {
  template <class T> static T apply(T a, T b) {
    using W = std::conditional_t<std::is_signed<T>::value, __int128,
                                 unsigned __int128>;
    return T((W(a) * W(b)) >> kBits<T>);
  }
};
/// Twice as wide as the operands.
struct MulWide {
  template <class D, class T> static D apply(T a, T b) { return D(a) * D(b); }
};
struct MadLo {
  template <class T> static T apply(T a, T b, T c) {
    return T(wide(a) * wide(b) + wide(c));
  }
};
struct MadHi {
  template <class T> static T apply(T a, T b, T c) {
    return T(wide(MulHi::apply<T>(a, b)) + wide(c));
  }
};
struct MadHiSat {
  template <class T> static T apply(T a, T b, T c) {
    return AddSat::apply<T>(MulHi::apply<T>(a, b), c);
  }
};
struct MadWide {
  template <class D, class T> static D apply(T a, T b, D c) {
    using U = Unsigned<D>;
    return D(U(D(a) * D(b)) + U(c));
  }
};
/// Division by zero gives all ones; the least number by -1 wraps.
struct Div {
  template <class T> static T apply(T a, T b) {
    if (b == 0)
      return T(-1);
    if (std::is_signed<T>::value && b == T(-1))
      return T(0 - wide(a));
    return T(a / b);
  }
};
struct Rem {
  template <class T> static T apply(T a, T b) {
    if (b == 0)
      return a;
    if (std::is_signed<T>::value && b == T(-1))
      return 0;
    return T(a % b);
  }
};
struct Abs {
  template <class T> static T apply(T a) { return a < 0 ? T(0 - wide(a)) : a; }
};
struct Neg {
  template <class T> static T apply(T a) { return T(0 - wide(a)); }
};
struct Min {
  template <class T> static T apply(T a, T b) { return b < a ? b : a; }
};
struct Max {
  template <class T> static T apply(T a, T b) { return a < b ? b : a; }
};
struct MinRelu {
  template <class T> static T apply(T a, T b) {
    return std::max<T>(b < a ? b : a, 0);
  }
};
struct MaxRelu {
  template <class T> static T apply(T a, T b) {
    return std::max<T>(a < b ? b : a, 0);
  }
};
struct Sad {
  template <class T> static T apply(T a, T b, T c) {
    auto difference = a < b ? wide(b) - wide(a) : wide(a) - wide(b);
    return T(wide(c) + difference);
  }
};
struct And {
  template <class T> static T apply(T a, T b) { return a & b; }
};
struct Or {
  template <class T> static T apply(T a, T b) { return a | b; }
};
struct Xor {
  template <class T> static T apply(T a, T b) { return a ^ b; }
};
struct Not {
  template <class T> static T apply(T a) { return T(~a); }
};
struct CNot {
  template <class T> static T apply(T a) { return a == 0; }
};
/// Amounts beyond the width shift everything out.
struct Shl {
  template <class T> static T apply(T a, uint32_t n) {
    return n >= kBits<T> ? T(0) : T(wide(Unsigned<T>(a)) << n);
  }
};
struct Shr {
  template <class T> static T apply(T a, uint32_t n) {
    if (n >= kBits<T>)
      return std::is_signed<T>::value && a < 0 ? T(-1) : T(0);
    return T(a >> n);
  }
};
struct PopC {
  template <class D, class T> static D apply(T a) {
    return D(__builtin_popcountll(Unsigned<T>(a)));
  }
};
struct Clz {
  template <class D, class T> static D apply(T a) {
    return a == 0 ? kBits<T>
                  : D(__builtin_clzll(uint64_t(a)) - (64 - kBits<T>));
  }
};
/// Position of the most significant bit that is not a sign bit; all ones if
/// there is none.
struct BFind {
  template <class D, class T> static D apply(T a) {
    Unsigned<T> x = a < 0 ? Unsigned<T>(~a) : Unsigned<T>(a);
    return x == 0 ? D(-1) : D(63 - __builtin_clzll(uint64_t(x)));
  }
};
struct BFindShift {
  template <class D, class T> static D apply(T a) {
    D found = BFind::apply<D>(a);
    return found == D(-1) ? found : D(kBits<T> - 1 - found);
  }
};
struct BRev {
  template <class T> static T apply(T a) {
    T result = 0;
    for (unsigned i = 0; i < kBits<T>; ++i)
      result |= T(a >> i & 1) << (kBits<T> - 1 - i);
    return result;
  }
};
/// Field of `length` bits from `position`, both modulo 256; beyond the width
/// zeros, or the sign bit of the field.
struct Bfe {
  template <class T> static T apply(T a, uint32_t position, uint32_t length) {
    position &= 255;
    length &= 255;
    using U = Unsigned<T>;
    unsigned msb = std::min(position + length, kBits<T>) - 1;
    bool sign = std::is_signed<T>::value && length != 0 &&
                (U(a) >> std::min(msb, kBits<T> - 1) & 1);
    U field = position >= kBits<T> ? 0 : U(a) >> position;
    if (length >= kBits<T>)
      return T(position >= kBits<T> ? (sign ? ~U(0) : 0)
                                    : fill(field, kBits<T> - position, sign));
    U mask = U((U(1) << length) - 1);
    unsigned have =
        position >= kBits<T> ? 0 : std::min(length, kBits<T> - position);
    return T(fill(U(field & mask), have, sign));
  }
  /// Sign bits from bit `have` on.
  template <class U> static U fill(U field, unsigned have, bool sign) {
    if (!sign || have >= kBits<U>)
      return field;
    return U(field | U(uint64_t(~uint64_t(0)) << have));
  }
};
struct Shf {
  /// The high (left) or low (right) word of a pair shifted by n.
  static uint32_t left(uint32_t low, uint32_t high, uint32_t n) {
    return n == 0 ? high : n >= 32 ? low : high << n | low >> (32 - n);
  }
  static uint32_t right(uint32_t low, uint32_t high, uint32_t n) {
    return n == 0 ? low : n >= 32 ? high : high << (32 - n) | low >> n;
  }
};
struct ShfLeftWrap {
  template <class T> static T apply(T a, T b, T n) {
    return Shf::left(a, b, n & 31);
  }
};
struct ShfLeftClamp {
  template <class T> static T apply(T a, T b, T n) {
    return Shf::left(a, b, std::min<T>(n, 32));
  }
};
struct ShfRightWrap {
  template <class T> static T apply(T a, T b, T n) {
    return Shf::right(a, b, n & 31);
  }
};
struct ShfRightClamp {
  template <class T> static T apply(T a, T b, T n) {
    return Shf::right(a, b, std::min<T>(n, 32));
  }
};

/// Bits of f placed into b, as `bfi d, f, b, position, length`.
template <typename T> void bfi(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *f = w.lanes<T>(i.a), *b = w.lanes<T>(i.b);
  const uint32_t *position = w.lanes<uint32_t>(i.c);
  const uint32_t *length = w.lanes<uint32_t>(w.code.refs[i.extra]);
  forLanes(lanes, [=](unsigned l) {
    unsigned p = position[l] & 255, n = length[l] & 255;
    if (p >= kBits<T> || n == 0) {
      d[l] = b[l];
      return;
    }
    n = std::min(n, kBits<T> - p);
    T mask = (n == kBits<T> ? ~T(0) : (T(1) << n) - 1) << p;
    d[l] = (b[l] & ~mask) | (f[l] << p & mask);
  });
}

void lop3(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  const uint32_t *c = w.lanes<uint32_t>(i.c);
  const uint32_t table = uint32_t(i.imm);
  Lanes nonzero = 0;
  forLanes(lanes, [&](unsigned l) {
    uint32_t result = 0;
    for (unsigned row = 0; row < 8; ++row)
      if (table >> row & 1)
        result |= (row & 4 ? a[l] : ~a[l]) & (row & 2 ? b[l] : ~b[l]) &
                  (row & 1 ? c[l] : ~c[l]);
    d[l] = result;
    nonzero |= Lanes(result != 0) << l;
  });
  if (i.p < 0)
    return;
  Lanes q = w.pred(i.q);
  setPred(w, i.p, lanes, i.sub[0] ? nonzero & q : nonzero | q);
}

/// One byte of {b, a} that a selector of 4 bits names; bit 3 repeats its sign.
uint32_t pickByte(uint64_t pair, uint32_t selector) {
  uint32_t byte = pair >> (8 * (selector & 7)) & 255;
  return selector & 8 ? (byte & 128 ? 255 : 0) : byte;
}

uint32_t permute(uint32_t a, uint32_t b, uint32_t c, unsigned mode) {
  static constexpr uint16_t kModes[6][4] = {
      {0x3210, 0x4321, 0x5432, 0x6543}, // f4e
      {0x5670, 0x6701, 0x7012, 0x0123}, // b4e
      {0x0000, 0x1111, 0x2222, 0x3333}, // rc8
      {0x3210, 0x3211, 0x3222, 0x3333}, // ecl
      {0x0000, 0x1110, 0x2210, 0x3210}, // ecr
      {0x1010, 0x3232, 0x1010, 0x3232}, // rc16
  };
  uint32_t selectors = mode == 0 ? c : kModes[mode - 1][c & 3];
  uint64_t pair = uint64_t(b) << 32 | a;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i)
    result |= pickByte(pair, selectors >> (4 * i) & 15) << (8 * i);
  return result;
}

void prmt(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  const uint32_t *c = w.lanes<uint32_t>(i.c);
  unsigned mode = i.sub[0];
  forLanes(lanes, [=](unsigned l) { d[l] = permute(a[l], b[l], c[l], mode); });
}

/// add.cc, addc, sub.cc, subc, mad.cc, madc: `sub` says carry in, carry out.
template <typename T, bool Subtract>
void withCarry(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *a = w.lanes<T>(i.a), *b = w.lanes<T>(i.b);
  Lanes in = i.sub[0] ? w.carry : 0, out = w.carry;
  forLanes(lanes, [&](unsigned l) {
    unsigned __int128 x = a[l], y = Subtract ? T(~b[l]) : b[l];
    // A borrow is a missing carry: a - b = a + ~b + 1.
    unsigned carry = in >> l & 1;
    unsigned extra = Subtract ? (i.sub[0] ? 1 - carry : 1) : carry;
    unsigned __int128 sum = x + y + extra;
    d[l] = T(sum);
    bool over = sum >> kBits<T> & 1;
    bool flag = Subtract ? !over : over;
    out = (out & ~(Lanes(1) << l)) | Lanes(flag) << l;
  });
  if (i.sub[1])
    w.carry = out;
}

template <typename T, bool High>
void madWithCarry(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *a = w.lanes<T>(i.a), *b = w.lanes<T>(i.b), *c = w.lanes<T>(i.c);
  Lanes in = i.sub[0] ? w.carry : 0, out = w.carry;
  forLanes(lanes, [&](unsigned l) {
    T part = High ? MulHi::apply<T>(a[l], b[l]) : MulLo::apply<T>(a[l], b[l]);
    using U = Unsigned<T>;
    unsigned __int128 sum =
        (unsigned __int128)(U(part)) + U(c[l]) + (in >> l & 1);
    d[l] = T(sum);
    out = (out & ~(Lanes(1) << l)) | Lanes(sum >> kBits<T> & 1) << l;
  });
  if (i.sub[1])
    w.carry = out;
}

/// Four products of bytes, or two of halves and bytes, and a sum.
template <typename A, typename B>
void dp4a(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  const uint32_t *c = w.lanes<uint32_t>(i.c);
  forLanes(lanes, [=](unsigned l) {
    uint32_t sum = c[l];
    for (unsigned k = 0; k < 4; ++k)
      sum +=
          uint32_t(int32_t(A(a[l] >> (8 * k))) * int32_t(B(b[l] >> (8 * k))));
    d[l] = sum;
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// The type that carry chains compute in: their flags are those of unsigned
/// numbers.
template <typename F> Handler byWidth(Type type, F f) {
  return Decoder::bytesOf(type) == 8 ? f(uint64_t()) : f(uint32_t());
}

/// u16x2 and s16x2: two numbers in a register.
template <typename Op, typename T>
void pairOf16(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  forLanes(lanes, [=](unsigned l) {
    uint16_t low = uint16_t(Op::template apply<T>(T(a[l]), T(b[l])));
    uint16_t high =
        uint16_t(Op::template apply<T>(T(a[l] >> 16), T(b[l] >> 16)));
    d[l] = uint32_t(high) << 16 | low;
  });
}

/// Decodes the instruction if it is one on pairs.
template <typename Op> bool decodePair(Decoder &d) {
  int kind = d.words().takeOf({"u16x2", "s16x2"});
  if (kind >= 0)
    setBinary(d, Type::B32,
              kind ? pairOf16<Op, int16_t> : pairOf16<Op, uint16_t>);
  return kind >= 0;
}

void addOrSub(Decoder &d, bool subtract, bool carryIn) {
  if (!subtract && !carryIn && decodePair<Add>(d))
    return;
  bool carryOut = d.words().take("cc");
  if (!carryIn && !carryOut) {
    bool saturate = d.words().take("sat");
    Type type = takeType(d);
    if (saturate && type != Type::S32)
      d.error(".sat is for s32 only");
    if (saturate)
      return setBinary(d, type,
                       subtract ? integerBinary<SubSat>(type)
                                : integerBinary<AddSat>(type));
    return setBinary(d, type,
                     subtract ? integerBinary<Sub>(type)
                              : integerBinary<Add>(type));
  }
  Type type = takeType(d);
  d.inst().sub[0] = carryIn;
  d.inst().sub[1] = carryOut;
  setBinary(d, type, byWidth(type, [&](auto t) -> Handler {
              using T = decltype(t);
              return subtract ? withCarry<T, true> : withCarry<T, false>;
            }));
}

bool isSigned(Type type) {
  return type == Type::S16 || type == Type::S32 || type == Type::S64;
}

Type doubled(Decoder &d, Type type) {
  switch (type) {
  case Type::U16:
    return Type::U32;
  case Type::S16:
    return Type::S32;
  case Type::U32:
    return Type::U64;
  case Type::S32:
    return Type::S64;
  default:
    d.error(".wide takes 16 and 32 bits");
  }
}

template <typename F> Handler byNarrow(Type type, F f) {
  switch (type) {
  case Type::U16:
    return f(uint16_t(), uint32_t());
  case Type::S16:
    return f(int16_t(), int32_t());
  case Type::U32:
    return f(uint32_t(), uint64_t());
  default:
    return f(int32_t(), int64_t());
  }
}

void wideProduct(Decoder &d, bool add) {
  Type type = takeType(d), result = doubled(d, type);
  d.expectOperands(add ? 4 : 3, add ? 4 : 3);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  if (add)
    d.inst().c = d.value(3, result);
  d.inst().d = d.destination(0, Decoder::bytesOf(result));
  d.inst().run = byNarrow(type, [&](auto narrow, auto wide) -> Handler {
    using N = decltype(narrow);
    using W = decltype(wide);
    return add ? Handler(ternary<MadWide, W, N, N, W>)
               : Handler(binary<MulWide, W, N, N>);
  });
}

void product(Decoder &d, bool add, bool carryIn) {
  int part = d.words().takeOf({"lo", "hi", "wide"});
  if (part < 0)
    d.error("needs .lo, .hi or .wide");
  bool carryOut = d.words().take("cc"), saturate = d.words().take("sat");
  if (carryOut && (!add || part == 2))
    d.error("has no .cc");
  if (part == 2)
    return wideProduct(d, add);
  Type type = takeType(d);
  if (saturate &&
      !(add && part == 1 && type == Type::S32 && !carryIn && !carryOut))
    d.error(".sat is for mad.hi.s32 only");
  if (saturate)
    return setTernary(d, type, integerTernary<MadHiSat>(type));
  if (!add)
    return setBinary(d, type,
                     part ? integerBinary<MulHi>(type)
                          : integerBinary<MulLo>(type));
  if (!carryIn && !carryOut)
    return setTernary(d, type,
                      part ? integerTernary<MadHi>(type)
                           : integerTernary<MadLo>(type));
  d.inst().sub[0] = carryIn;
  d.inst().sub[1] = carryOut;
  setTernary(d, type, byInteger(type, [&](auto t) -> Handler {
               using T = decltype(t);
               return part ? madWithCarry<T, true> : madWithCarry<T, false>;
             }));
}

void minOrMax(Decoder &d, bool max) {
  bool relu = d.words().take("relu");
  if (relu && d.words().has("u16x2"))
    d.error(".relu is for s32 and s16x2");
  if (max ? (relu ? decodePair<MaxRelu>(d) : decodePair<Max>(d))
          : (relu ? decodePair<MinRelu>(d) : decodePair<Min>(d)))
    return;
  Type type = takeType(d);
  if (relu && type != Type::S32)
    d.error(".relu is for s32 and s16x2");
  if (relu)
    return setBinary(d, type,
                     max ? integerBinary<MaxRelu>(type)
                         : integerBinary<MinRelu>(type));
  setBinary(d, type, max ? integerBinary<Max>(type) : integerBinary<Min>(type));
}

/// and, or, xor, not of predicates.
template <int Kind> void predicateLogic(Warp &w, const Inst &i, Lanes lanes) {
  Lanes a = i.p < 0 ? Lanes(0 - (i.imm & 1)) : w.pred(i.p);
  Lanes b = i.q < 0 ? Lanes(0 - (i.imm >> 1 & 1)) : w.pred(i.q);
  if (i.sub[0])
    a = ~a;
  if (i.sub[1])
    b = ~b;
  Lanes result = Kind == 0 ? a & b : Kind == 1 ? a | b : Kind == 2 ? a ^ b : ~a;
  setPred(w, int32_t(i.target), lanes, result);
}

int32_t predicateInput(Decoder &d, size_t i, unsigned bit) {
  const ptx::Operand &operand = d.operand(i);
  if (operand.kind == ptx::Operand::Kind::Integer) {
    d.inst().imm |= uint64_t(operand.bits != 0) << bit;
    return -1;
  }
  d.inst().sub[bit] = operand.negated;
  return d.predicate(operand);
}

void logicOfPredicates(Decoder &d, int kind) {
  d.expectOperands(kind == 3 ? 2 : 3, kind == 3 ? 2 : 3);
  d.inst().target = uint32_t(d.predicate(d.operand(0)));
  d.inst().p = predicateInput(d, 1, 0);
  if (kind != 3)
    d.inst().q = predicateInput(d, 2, 1);
  static constexpr Handler kHandlers[] = {predicateLogic<0>, predicateLogic<1>,
                                          predicateLogic<2>, predicateLogic<3>};
  d.inst().run = kHandlers[kind];
}

void logic(Decoder &d, int kind) {
  Type type = takeType(d);
  if (type == Type::Pred)
    return logicOfPredicates(d, kind);
  if (kind == 3)
    return setUnary(d, type, integerUnary<Not>(type));
  setBinary(d, type,
            kind == 0   ? integerBinary<And>(type)
            : kind == 1 ? integerBinary<Or>(type)
                        : integerBinary<Xor>(type));
}

void shift(Decoder &d, bool left) {
  Type type = takeType(d);
  d.expectOperands(3, 3);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(d.operand(2), 4);
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
  d.inst().run = left ? integerShift<Shl>(type) : integerShift<Shr>(type);
}

void funnel(Decoder &d) {
  int direction = d.words().takeOf({"l", "r"});
  int mode = d.words().takeOf({"wrap", "clamp"});
  Type type = takeType(d);
  if (direction < 0 || mode < 0 || type != Type::B32)
    d.error("needs .l or .r, .wrap or .clamp, and .b32");
  static constexpr Handler kHandlers[2][2] = {
      {ternary<ShfLeftWrap, uint32_t, uint32_t, uint32_t, uint32_t>,
       ternary<ShfLeftClamp, uint32_t, uint32_t, uint32_t, uint32_t>},
      {ternary<ShfRightWrap, uint32_t, uint32_t, uint32_t, uint32_t>,
       ternary<ShfRightClamp, uint32_t, uint32_t, uint32_t, uint32_t>}};
  setTernary(d, type, kHandlers[direction][mode]);
}

/// popc, clz, bfind: the result has 32 bits.
template <typename Op> void count(Decoder &d) {
  Type type = takeType(d);
  d.expectOperands(2, 2);
  d.inst().a = d.value(1, type);
  d.inst().d = d.destination(0, 4);
  d.inst().run = byInteger(
      type, [](auto t) -> Handler { return unary<Op, uint32_t, decltype(t)>; });
}

void extract(Decoder &d) {
  Type type = takeType(d);
  d.expectOperands(4, 4);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(d.operand(2), 4);
  d.inst().c = d.value(d.operand(3), 4);
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
  d.inst().run = byInteger(type, [](auto t) -> Handler {
    using T = decltype(t);
    return ternary<Bfe, T, T, uint32_t, uint32_t>;
  });
}

void insert(Decoder &d) {
  Type type = takeType(d);
  d.expectOperands(5, 5);
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  d.inst().c = d.value(d.operand(3), 4);
  d.inst().extra = d.addRefs({d.value(d.operand(4), 4)});
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
  d.inst().run = type == Type::B64 ? bfi<uint64_t> : bfi<uint32_t>;
}

void lookUp(Decoder &d) {
  int logic = d.words().takeOf({"or", "and"});
  takeType(d);
  bool paired = logic >= 0;
  d.expectOperands(paired ? 6 : 5, paired ? 6 : 5);
  const ptx::Operand *result = &d.operand(0);
  if (paired) {
    if (result->kind != ptx::Operand::Kind::Pair)
      d.error("with .or or .and writes a pair d|p");
    d.inst().p = d.predicate(result->parts[1]);
    d.inst().q = d.predicate(d.operand(5));
    d.inst().sub[0] = logic == 1;
    result = &result->parts[0];
  }
  d.inst().a = d.value(1, Type::B32);
  d.inst().b = d.value(2, Type::B32);
  d.inst().c = d.value(3, Type::B32);
  if (d.operand(4).kind != ptx::Operand::Kind::Integer)
    d.error("the look-up table must be an immediate");
  d.inst().imm = d.operand(4).bits & 255;
  d.inst().d = result->kind == ptx::Operand::Kind::Sink ? d.scratch(4)
                                                        : d.value(*result, 4);
  d.inst().run = lop3;
}

void permuteBytes(Decoder &d) {
  takeType(d);
  d.inst().sub[0] = uint8_t(
      d.words().takeOf({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}) + 1);
  setTernary(d, Type::B32, prmt);
}

void dotBytes(Decoder &d) {
  Type a = takeType(d), b = a;
  d.words().takeType(b);
  bool sa = a == Type::S32, sb = b == Type::S32;
  setTernary(d, Type::B32,
             sa ? (sb ? dp4a<int8_t, int8_t> : dp4a<int8_t, uint8_t>)
                : (sb ? dp4a<uint8_t, int8_t> : dp4a<uint8_t, uint8_t>));
}

} // namespace

namespace nibble {
namespace emu {
namespace integer {
void add(Decoder &d) { addOrSub(d, false, false); }
void addc(Decoder &d) { addOrSub(d, false, true); }
void sub(Decoder &d) { addOrSub(d, true, false); }
void subc(Decoder &d) { addOrSub(d, true, true); }
void mul(Decoder &d) { product(d, false, false); }
void mad(Decoder &d) { product(d, true, false); }
void madc(Decoder &d) { product(d, true, true); }
void div(Decoder &d) {
  Type type = takeType(d);
  setBinary(d, type, integerBinary<Div>(type));
}
void rem(Decoder &d) {
  Type type = takeType(d);
  setBinary(d, type, integerBinary<Rem>(type));
}
void abs(Decoder &d) {
  Type type = takeType(d);
  if (!isSigned(type))
    d.error("takes signed types");
  setUnary(d, type, integerUnary<Abs>(type));
}
void neg(Decoder &d) {
  Type type = takeType(d);
  setUnary(d, type, integerUnary<Neg>(type));
}
void min(Decoder &d) { minOrMax(d, false); }
void max(Decoder &d) { minOrMax(d, true); }
void sad(Decoder &d) {
  Type type = takeType(d);
  setTernary(d, type, integerTernary<Sad>(type));
}
void and_(Decoder &d) { logic(d, 0); }
void or_(Decoder &d) { logic(d, 1); }
void xor_(Decoder &d) { logic(d, 2); }
void not_(Decoder &d) { logic(d, 3); }
void cnot(Decoder &d) {
  Type type = takeType(d);
  setUnary(d, type, integerUnary<CNot>(type));
}
void shl(Decoder &d) { shift(d, true); }
void shr(Decoder &d) { shift(d, false); }
void shf(Decoder &d) { funnel(d); }
void popc(Decoder &d) { count<PopC>(d); }
void clz(Decoder &d) { count<Clz>(d); }
void bfind(Decoder &d) {
  d.words().take("shiftamt") ? count<BFindShift>(d) : count<BFind>(d);
}
void brev(Decoder &d) {
  Type type = takeType(d);
  setUnary(d, type, integerUnary<BRev>(type));
}
void bfe(Decoder &d) { extract(d); }
void bfi(Decoder &d) { insert(d); }
void lop3(Decoder &d) { lookUp(d); }
void prmt(Decoder &d) { permuteBytes(d); }
void dp4a(Decoder &d) { dotBytes(d); }
} // namespace integer
} // namespace emu
} // namespace nibble
