// Integer arithmetic against its definitions in wide integers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using Wide = __int128;

template <typename T> T low(Wide x) {
  return T(std::make_unsigned_t<T>((unsigned __int128)x));
}
template <typename T> T high(Wide x) { return low<T>(x >> (8 * sizeof(T))); }
template <typename T> T clamp(Wide x) {
  using L = std::numeric_limits<T>;
  return x < L::min() ? L::min() : x > L::max() ? L::max() : T(x);
}
/// Unsigned products of 64 bits do not fit __int128.
template <typename T> T highProduct(T a, T b) {
  if (std::is_same<T, uint64_t>::value)
    return T(((unsigned __int128)a * b) >> 64);
  return high<T>(Wide(a) * b);
}

template <typename T> struct Name;
template <> struct Name<uint16_t> {
  static constexpr const char *text = "u16";
};
template <> struct Name<int16_t> {
  static constexpr const char *text = "s16";
};
template <> struct Name<uint32_t> {
  static constexpr const char *text = "u32";
};
template <> struct Name<int32_t> {
  static constexpr const char *text = "s32";
};
template <> struct Name<uint64_t> {
  static constexpr const char *text = "u64";
};
template <> struct Name<int64_t> {
  static constexpr const char *text = "s64";
};

template <typename T> class Integers : public ::testing::Test {
protected:
  std::string type = Name<T>::text;
  std::vector<T> v = integers<T>();
  template <typename F> void binary(const std::string &op, F f) {
    expectBinary<T>(op + "." + type + " %z, %a, %b;", f, v, v);
  }
  template <typename F> void ternary(const std::string &op, F f) {
    expectTernary<T>(op + "." + type + " %z, %a, %b, %c;", f, v, v, v);
  }
};
using Types =
    ::testing::Types<uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t>;
TYPED_TEST_SUITE(Integers, Types);

TYPED_TEST(Integers, AddSub) {
  using T = TypeParam;
  this->binary("add", [](T a, T b) { return low<T>(Wide(a) + b); });
  this->binary("sub", [](T a, T b) { return low<T>(Wide(a) - b); });
}

TYPED_TEST(Integers, MulMad) {
  using T = TypeParam;
  auto product = [](T a, T b) {
    return T(
        std::make_unsigned_t<T>((unsigned __int128)a * (unsigned __int128)b));
  };
  this->binary("mul.lo", product);
  this->binary("mul.hi", highProduct<T>);
  this->ternary("mad.lo",
                [=](T a, T b, T c) { return low<T>(Wide(product(a, b)) + c); });
  this->ternary("mad.hi", [](T a, T b, T c) {
    return low<T>(Wide(highProduct(a, b)) + c);
  });
}

TYPED_TEST(Integers, DivRem) {
  using T = TypeParam;
  std::vector<T> divisors = this->v;
  divisors.erase(std::remove(divisors.begin(), divisors.end(), T(0)),
                 divisors.end());
  expectBinary<T>(
      "div." + this->type + " %z, %a, %b;",
      [](T a, T b) { return low<T>(Wide(a) / b); }, this->v, divisors);
  expectBinary<T>(
      "rem." + this->type + " %z, %a, %b;",
      [](T a, T b) { return low<T>(Wide(a) % b); }, this->v, divisors);
}

TYPED_TEST(Integers, MinMaxSad) {
  using T = TypeParam;
  this->binary("min", [](T a, T b) { return std::min(a, b); });
  this->binary("max", [](T a, T b) { return std::max(a, b); });
  this->ternary("sad", [](T a, T b, T c) {
    return low<T>(Wide(c) + (a < b ? Wide(b) - a : Wide(a) - b));
  });
}

TYPED_TEST(Integers, Shifts) {
  using T = TypeParam;
  constexpr unsigned bits = 8 * sizeof(T);
  std::vector<uint32_t> amounts{0,  1,  5,  15, 16,  17,  31,       32,
                                33, 63, 64, 65, 255, 256, 1u << 31, ~0u};
  expectBinary<T>(
      "shr." + this->type + " %z, %a, %b;",
      [](T a, uint32_t n) { return T(Wide(a) >> std::min<uint32_t>(n, 64)); },
      this->v, amounts);
  expectBinary<T>(
      "shl.b" + std::to_string(bits) + " %z, %a, %b;",
      [](T a, uint32_t n) { return n >= bits ? T(0) : low<T>(Wide(a) << n); },
      this->v, amounts);
}

template <typename T> class Narrow : public ::testing::Test {};
using NarrowTypes = ::testing::Types<uint16_t, int16_t, uint32_t, int32_t>;
TYPED_TEST_SUITE(Narrow, NarrowTypes);

TYPED_TEST(Narrow, Wide) {
  using T = TypeParam;
  using U = std::conditional_t<sizeof(T) == 2, uint32_t, uint64_t>;
  using D =
      std::conditional_t<std::is_signed<T>::value, std::make_signed_t<U>, U>;
  std::string type = Name<T>::text;
  std::vector<T> v = integers<T>();
  expectBinary<D>(
      "mul.wide." + type + " %z, %a, %b;",
      [](T a, T b) { return low<D>(Wide(a) * b); }, v, v);
  expectTernary<D>(
      "mad.wide." + type + " %z, %a, %b, %c;",
      [](T a, T b, D c) { return low<D>(Wide(a) * b + c); }, v, v,
      integers<D>());
}

template <typename T> class Signed : public ::testing::Test {};
using SignedTypes = ::testing::Types<int16_t, int32_t, int64_t>;
TYPED_TEST_SUITE(Signed, SignedTypes);

TYPED_TEST(Signed, AbsNeg) {
  using T = TypeParam;
  std::string type = Name<T>::text;
  expectUnary<T>(
      "abs." + type + " %z, %a;",
      [](T a) { return low<T>(a < 0 ? -Wide(a) : Wide(a)); }, integers<T>());
  expectUnary<T>(
      "neg." + type + " %z, %a;", [](T a) { return low<T>(-Wide(a)); },
      integers<T>());
}

TEST(Integer, Saturating) {
  auto v = integers<int32_t>(16);
  using S = int32_t;
  expectBinary<S>(
      "add.sat.s32 %z, %a, %b;", [](S a, S b) { return clamp<S>(Wide(a) + b); },
      v, v);
  expectBinary<S>(
      "sub.sat.s32 %z, %a, %b;", [](S a, S b) { return clamp<S>(Wide(a) - b); },
      v, v);
  expectTernary<S>(
      "mad.hi.sat.s32 %z, %a, %b, %c;",
      [](S a, S b, S c) { return clamp<S>(Wide(high<S>(Wide(a) * b)) + c); }, v,
      v, v);
  expectBinary<S>(
      "min.relu.s32 %z, %a, %b;",
      [](S a, S b) { return std::max(std::min(a, b), 0); }, v, v);
  expectBinary<S>(
      "max.relu.s32 %z, %a, %b;",
      [](S a, S b) { return std::max(std::max(a, b), 0); }, v, v);
  EXPECT_NE(refusalOf("add.sat.u32 %r0, %r1, %r2;"), "");
  EXPECT_NE(refusalOf("mad.lo.sat.s32 %r0, %r1, %r2, %r3;"), "");
  EXPECT_NE(refusalOf("mul.lo.cc.u32 %r0, %r1, %r2;"), "");
}

/// Numbers of 64 words: chains of carries as compilers write them.
TEST(Integer, CarryChains) {
  auto v = integers<uint32_t>();
  std::vector<uint64_t> a;
  for (uint32_t x : v)
    for (uint32_t y : {0u, 1u, ~0u, 0x80000000u})
      a.push_back(uint64_t(x) << 32 | y);
  std::string split = ".reg .b32 %al, %ah, %bl, %bh, %l, %h;\n"
                      "mov.b64 {%al, %ah}, %a; mov.b64 {%bl, %bh}, %b;\n";
  std::string join = "mov.b64 %z, {%l, %h};";
  using U = uint64_t;
  expectBinary<U>(
      split + "add.cc.u32 %l, %al, %bl; addc.u32 %h, %ah, %bh;" + join,
      [](U x, U y) { return x + y; }, a, a);
  expectBinary<U>(
      split + "sub.cc.u32 %l, %al, %bl; subc.u32 %h, %ah, %bh;" + join,
      [](U x, U y) { return x - y; }, a, a);
  // The carry of the upper word, after it used the one of the lower.
  expectBinary<U>(
      "add.cc.u64 %z, %a, %b; addc.cc.u64 %z, %a, %b; addc.u64 %z, 0, 0;",
      [](U x, U y) {
        return U(((unsigned __int128)x + y + (x + y < x)) >> 64);
      },
      a, a);
  expectBinary<U>(
      "sub.cc.u64 %z, %a, %b; subc.cc.u64 %z, %a, %b; subc.u64 %z, 0, 0;",
      [](U x, U y) { return x < (unsigned __int128)y + (x < y) ? ~U(0) : 0; },
      a, a);
  std::string type[] = {"u64", "s64"};
  for (const std::string &t : type)
    expectTernary<U>(
        "mad.lo.cc." + t + " %z, %a, %b, %c; madc.hi." + t + " %z, %a, %b, 0;",
        [&](U x, U y, U c) {
          U lowPart = x * y;
          U carry = lowPart + c < lowPart;
          U top = t == "u64" ? U(((unsigned __int128)x * y) >> 64)
                             : U((Wide(int64_t(x)) * int64_t(y)) >> 64);
          return top + carry;
        },
        a, a, integers<U>(2));
}

TEST(Integer, Mul24) {
  auto v = integers<uint32_t>(12);
  v.insert(v.end(), {0x7FFFFF, 0x800000, 0xFFFFFF, 0xFF800000, 0x01000001});
  auto s = [](uint32_t x) { return Wide(int32_t(x << 8) >> 8); };
  auto u = [](uint32_t x) { return Wide(x & 0xFFFFFF); };
  using U = uint32_t;
  expectBinary<U>(
      "mul24.lo.u32 %z, %a, %b;", [=](U a, U b) { return low<U>(u(a) * u(b)); },
      v, v);
  expectBinary<U>(
      "mul24.hi.u32 %z, %a, %b;",
      [=](U a, U b) { return low<U>(u(a) * u(b) >> 16); }, v, v);
  expectBinary<U>(
      "mul24.lo.s32 %z, %a, %b;", [=](U a, U b) { return low<U>(s(a) * s(b)); },
      v, v);
  expectBinary<U>(
      "mul24.hi.s32 %z, %a, %b;",
      [=](U a, U b) { return low<U>(s(a) * s(b) >> 16); }, v, v);
  expectTernary<U>(
      "mad24.lo.s32 %z, %a, %b, %c;",
      [=](U a, U b, U c) { return low<U>(s(a) * s(b) + c); }, v, v, v);
  expectTernary<U>(
      "mad24.hi.u32 %z, %a, %b, %c;",
      [=](U a, U b, U c) { return low<U>((u(a) * u(b) >> 16) + c); }, v, v, v);
  expectTernary<U>(
      "mad24.hi.sat.s32 %z, %a, %b, %c;",
      [=](U a, U b, U c) {
        return U(
            clamp<int32_t>(Wide(low<int32_t>(s(a) * s(b) >> 16)) + int32_t(c)));
      },
      v, v, v);
}

TEST(Integer, DotProducts) {
  auto v = integers<uint32_t>(20);
  v.insert(v.end(), {0x80808080, 0x7F7F7F7F, 0xFF00FF00, 0x80007FFF});
  auto part = [](uint32_t x, int at, int bits, bool isSigned) {
    Wide y = x >> at & ((1u << bits) - 1);
    return isSigned && y >> (bits - 1) & 1 ? y - (Wide(1) << bits) : y;
  };
  for (bool sa : {false, true})
    for (bool sb : {false, true}) {
      std::string types =
          std::string(sa ? ".s32" : ".u32") + (sb ? ".s32" : ".u32");
      std::vector<uint32_t> c{0, 1, 0x7FFFFFFF, 0xFFFFFFFF};
      expectTernary<uint32_t>(
          "dp4a" + types + " %z, %a, %b, %c;",
          [&](uint32_t a, uint32_t b, uint32_t z) {
            Wide sum = z;
            for (int k = 0; k < 32; k += 8)
              sum += part(a, k, 8, sa) * part(b, k, 8, sb);
            return low<uint32_t>(sum);
          },
          v, v, c);
      for (int hi : {0, 1})
        expectTernary<uint32_t>(
            "dp2a" + std::string(hi ? ".hi" : ".lo") + types +
                " %z, %a, %b, %c;",
            [&](uint32_t a, uint32_t b, uint32_t z) {
              return low<uint32_t>(
                  Wide(z) + part(a, 0, 16, sa) * part(b, 16 * hi, 8, sb) +
                  part(a, 16, 16, sa) * part(b, 16 * hi + 8, 8, sb));
            },
            v, v, c);
    }
}

template <typename T, typename F>
uint32_t inHalves(uint32_t a, uint32_t b, F f) {
  return uint32_t(uint16_t(f(T(a >> 16), T(b >> 16)))) << 16 |
         uint16_t(f(T(a), T(b)));
}

TEST(Integer, PairsOf16) {
  auto v = integers<uint32_t>(30);
  v.insert(v.end(), {0x80007FFF, 0x7FFF8000, 0xFFFF0001});
  using U = uint32_t;
  for (const char *t : {"u16x2", "s16x2"})
    expectBinary<U>(
        std::string("add.") + t + " %z, %a, %b;",
        [](U a, U b) {
          return inHalves<uint16_t>(a, b, [](int x, int y) { return x + y; });
        },
        v, v);
  expectBinary<U>(
      "min.u16x2 %z, %a, %b;",
      [](U a, U b) {
        return inHalves<uint16_t>(a, b,
                                  [](int x, int y) { return std::min(x, y); });
      },
      v, v);
  expectBinary<U>(
      "max.u16x2 %z, %a, %b;",
      [](U a, U b) {
        return inHalves<uint16_t>(a, b,
                                  [](int x, int y) { return std::max(x, y); });
      },
      v, v);
  expectBinary<U>(
      "min.s16x2 %z, %a, %b;",
      [](U a, U b) {
        return inHalves<int16_t>(a, b,
                                 [](int x, int y) { return std::min(x, y); });
      },
      v, v);
  expectBinary<U>(
      "max.relu.s16x2 %z, %a, %b;",
      [](U a, U b) {
        return inHalves<int16_t>(
            a, b, [](int x, int y) { return std::max(std::max(x, y), 0); });
      },
      v, v);
  expectBinary<U>(
      "min.relu.s16x2 %z, %a, %b;",
      [](U a, U b) {
        return inHalves<int16_t>(
            a, b, [](int x, int y) { return std::max(std::min(x, y), 0); });
      },
      v, v);
}

} // namespace
