// Rarer integer instructions: 24-bit products, dp2a, fns, szext, bmsk.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Integer.h"

#include "isa/Select.h"

#include <algorithm>

using namespace nibble::emu;
using ptx::Type;

namespace {

/// Product of the lower 24 bits of two numbers.
template <typename T> int64_t product24(T a, T b) {
  auto narrow = [](T x) { return int64_t(T(uint32_t(x) << 8) >> 8); };
  return narrow(a) * narrow(b);
}
struct Mul24Lo {
  template <class T> static T apply(T a, T b) { return T(product24(a, b)); }
};
struct Mul24Hi {
  template <class T> static T apply(T a, T b) {
    return T(product24(a, b) >> 16);
  }
};
template <class Mul> struct Mad24 {
  template <class T> static T apply(T a, T b, T c) {
    return T(uint32_t(Mul::template apply<T>(a, b)) + uint32_t(c));
  }
};
struct Mad24HiSat {
  template <class T> static T apply(T a, T b, T c) {
    int64_t sum = int64_t(Mul24Hi::apply<T>(a, b)) + c;
    return T(std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX));
  }
};

/// Position of the offset-th set bit from `base`, up or down; all ones if there
/// is none.
struct Fns {
  template <class T> static T apply(T mask, T base, T offset) {
    int32_t n = int32_t(offset);
    int step = n < 0 ? -1 : 1;
    uint32_t skip = n == 0 ? 0 : uint32_t(n < 0 ? -int64_t(n) : n) - 1;
    for (int64_t at = base; at >= 0 && at < 32; at += step) {
      if ((mask >> at & 1) && skip-- == 0)
        return T(at);
      if (n == 0)
        break;
    }
    return ~T(0);
  }
};

/// The lower n bits of a, its sign or zeros above.
template <typename T, bool Clamp> struct Szext {
  template <class D> static D apply(T a, uint32_t n) {
    if (Clamp && n >= 32)
      return D(a);
    unsigned width = n & 31;
    return width == 0 ? D(0)
                      : D(T(uint32_t(a) << (32 - width)) >> (32 - width));
  }
};

/// n ones from a position on.
template <bool Clamp> struct Bmsk {
  template <class T> static T apply(T at, T n) {
    if (Clamp && at >= 32)
      return 0;
    uint64_t width = Clamp ? std::min<T>(n, 32) : n & 31;
    return T(((uint64_t(1) << width) - 1) << (at & 31));
  }
};

/// Two products of 16-bit and 8-bit numbers, and a sum. sub[0]: upper bytes.
template <typename A, typename B>
void dp2a(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const uint32_t *a = w.lanes<uint32_t>(i.a), *b = w.lanes<uint32_t>(i.b);
  const uint32_t *c = w.lanes<uint32_t>(i.c);
  forLanes(lanes, [=, shift = i.sub[0] ? 16u : 0u](unsigned l) {
    uint32_t sum = c[l];
    for (unsigned k = 0; k < 2; ++k)
      sum += uint32_t(int32_t(A(a[l] >> (16 * k))) *
                      int32_t(B(b[l] >> (shift + 8 * k))));
    d[l] = sum;
  });
}

Type takeWord(Decoder &d) {
  Type type = takeType(d);
  if (type != Type::U32 && type != Type::S32)
    d.error("takes u32 and s32");
  return type;
}

bool takeClamp(Decoder &d) {
  int mode = d.words().takeOf({"wrap", "clamp"});
  if (mode < 0)
    d.error("needs .wrap or .clamp");
  return mode == 1;
}

bool takeHigh(Decoder &d) {
  int part = d.words().takeOf({"lo", "hi"});
  if (part < 0)
    d.error("needs .lo or .hi");
  return part == 1;
}

} // namespace

namespace nibble {
namespace emu {
namespace integer {

void mul24(Decoder &d) {
  bool high = takeHigh(d);
  Type type = takeWord(d);
  setBinary(d, type,
            high ? integerBinary<Mul24Hi>(type) : integerBinary<Mul24Lo>(type));
}

void mad24(Decoder &d) {
  bool high = takeHigh(d), saturate = d.words().take("sat");
  Type type = takeWord(d);
  if (saturate && (!high || type != Type::S32))
    d.error(".sat is for .hi.s32 only");
  setTernary(d, type,
             saturate ? integerTernary<Mad24HiSat>(type)
             : high   ? integerTernary<Mad24<Mul24Hi>>(type)
                      : integerTernary<Mad24<Mul24Lo>>(type));
}

void dp2a(Decoder &d) {
  d.inst().sub[0] = takeHigh(d);
  Type a = takeWord(d), b = takeWord(d);
  bool sa = a == Type::S32, sb = b == Type::S32;
  setTernary(d, Type::B32,
             sa ? (sb ? ::dp2a<int16_t, int8_t> : ::dp2a<int16_t, uint8_t>)
                : (sb ? ::dp2a<uint16_t, int8_t> : ::dp2a<uint16_t, uint8_t>));
}

void fns(Decoder &d) {
  takeType(d);
  setTernary(d, Type::B32, integerTernary<Fns>(Type::B32));
}

void szext(Decoder &d) {
  bool clamp = takeClamp(d), isSigned = takeWord(d) == Type::S32;
  using S = int32_t;
  using U = uint32_t;
  setBinary(d, Type::B32,
            isSigned ? (clamp ? binary<Szext<S, true>, S, S, U>
                              : binary<Szext<S, false>, S, S, U>)
                     : (clamp ? binary<Szext<U, true>, U, U, U>
                              : binary<Szext<U, false>, U, U, U>));
}

void bmsk(Decoder &d) {
  bool clamp = takeClamp(d);
  takeType(d);
  setBinary(d, Type::B32,
            clamp ? integerBinary<Bmsk<true>>(Type::B32)
                  : integerBinary<Bmsk<false>>(Type::B32));
}

} // namespace integer
} // namespace emu
} // namespace nibble
