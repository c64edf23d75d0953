// Logic and bit instructions, bit by bit as the PTX ISA states them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using U = uint32_t;
using L = uint64_t;

template <typename T> class Bits : public ::testing::Test {
protected:
  static constexpr int n = 8 * sizeof(T);
  std::string b = "b" + std::to_string(n);
  std::vector<T> v = integers<T>(20);
};
using Widths = ::testing::Types<uint16_t, uint32_t, uint64_t>;
TYPED_TEST_SUITE(Bits, Widths);

TYPED_TEST(Bits, Logic) {
  using T = TypeParam;
  expectBinary<T>(
      "and." + this->b + " %z, %a, %b;", [](T a, T b) { return a & b; },
      this->v, this->v);
  expectBinary<T>(
      "or." + this->b + " %z, %a, %b;", [](T a, T b) { return a | b; }, this->v,
      this->v);
  expectBinary<T>(
      "xor." + this->b + " %z, %a, %b;", [](T a, T b) { return a ^ b; },
      this->v, this->v);
  expectUnary<T>(
      "not." + this->b + " %z, %a;", [](T a) { return ~a; }, this->v);
  expectUnary<T>(
      "cnot." + this->b + " %z, %a;", [](T a) { return a == 0 ? 1 : 0; },
      this->v);
}

template <typename T> class Wide : public Bits<T> {};
using Wides = ::testing::Types<uint32_t, uint64_t>;
TYPED_TEST_SUITE(Wide, Wides);

TYPED_TEST(Wide, Counts) {
  using T = TypeParam;
  constexpr int n = 8 * sizeof(T);
  std::vector<T> v = this->v;
  for (int i = 0; i < n; ++i)
    v.insert(v.end(),
             {T(T(1) << i), T(~(T(1) << i)), T(T(-1) >> i), T(T(-1) << i)});
  auto first = [](T a) {
    for (int i = n - 1; i >= 0; --i)
      if (a >> i & 1)
        return i;
    return -1;
  };
  auto sign = [=](T a) { return first(a >> (n - 1) ? T(~a) : a); };
  expectUnary<U>(
      "popc." + this->b + " %z, %a;",
      [](T a) {
        int count = 0;
        for (int i = 0; i < n; ++i)
          count += a >> i & 1;
        return count;
      },
      v);
  expectUnary<U>(
      "clz." + this->b + " %z, %a;", [=](T a) { return n - 1 - first(a); }, v);
  std::string bits = std::to_string(n);
  expectUnary<U>("bfind.u" + bits + " %z, %a;", first, v);
  expectUnary<U>("bfind.s" + bits + " %z, %a;", sign, v);
  auto amount = [](int at) { return at < 0 ? -1 : n - 1 - at; };
  expectUnary<U>(
      "bfind.shiftamt.u" + bits + " %z, %a;",
      [=](T a) { return amount(first(a)); }, v);
  expectUnary<U>(
      "bfind.shiftamt.s" + bits + " %z, %a;",
      [=](T a) { return amount(sign(a)); }, v);
  expectUnary<T>(
      "brev." + this->b + " %z, %a;",
      [](T a) {
        T r = 0;
        for (int i = 0; i < n; ++i)
          r |= T(a >> (n - 1 - i) & 1) << i;
        return r;
      },
      v);
}

const std::vector<U> kPlaces{0,  1,  7,  8,   30,  31,  32,  33,    62,
                             63, 64, 65, 254, 255, 256, 257, 0x1FF, ~0u};

TYPED_TEST(Wide, ExtractInsert) {
  using T = TypeParam;
  constexpr int msb = 8 * sizeof(T) - 1;
  for (bool isSigned : {false, true})
    expectTernary<T>(
        (isSigned ? "bfe.s" : "bfe.u") + std::to_string(msb + 1) +
            " %z, %a, %b, %c;",
        [=](T a, U b, U c) {
          int pos = b & 0xFF, len = c & 0xFF;
          bool sbit =
              isSigned && len != 0 && (a >> std::min(pos + len - 1, msb) & 1);
          T d = 0;
          for (int i = 0; i <= msb; ++i)
            d |= T(i < len && pos + i <= msb ? a >> (pos + i) & 1 : sbit) << i;
          return d;
        },
        this->v, kPlaces, kPlaces);
  std::vector<T> a, b;
  std::vector<U> c, e;
  for (T x : integers<T>(2))
    for (U pos : kPlaces)
      for (U len : kPlaces)
        a.push_back(x), b.push_back(T(0x5A5A5A5AC3C3C3C3)), c.push_back(pos),
            e.push_back(len);
  expectRows<T>(
      "bfi." + this->b + " %z, %a, %b, %c, %e;",
      [](T x, T y, U p, U n) {
        int pos = p & 0xFF, len = n & 0xFF;
        for (int i = 0; i < len && pos + i <= msb; ++i)
          y = (y & ~(T(1) << (pos + i))) | (x >> i & 1) << (pos + i);
        return y;
      },
      a, b, c, e);
}

TEST(Bits32, FunnelShifts) {
  auto v = integers<U>(6);
  for (bool clamp : {false, true}) {
    auto amount = [=](U c) { return clamp ? std::min(c, 32u) : c & 31; };
    std::string mode = clamp ? "clamp" : "wrap";
    expectTernary<U>(
        "shf.l." + mode + ".b32 %z, %a, %b, %c;",
        [=](U a, U b, U c) { return U(((L(b) << 32 | a) << amount(c)) >> 32); },
        v, v, kPlaces);
    expectTernary<U>(
        "shf.r." + mode + ".b32 %z, %a, %b, %c;",
        [=](U a, U b, U c) { return U((L(b) << 32 | a) >> amount(c)); }, v, v,
        kPlaces);
  }
}

TEST(Bits32, AllTablesOfLop3) {
  std::vector<U> a{0xF0F0F0F0, 0x12345678}, b{0xCCCCCCCC, 0x9ABCDEF0},
      c{0xAAAAAAAA, 0x0F1E2D3C};
  for (U table = 0; table < 256; ++table)
    expectRows<U>(
        "lop3.b32 %z, %a, %b, %c, " + std::to_string(table) + ";",
        [=](U x, U y, U z) {
          U d = 0;
          for (int i = 0; i < 32; ++i)
            d |=
                (table >> ((x >> i & 1) * 4 + (y >> i & 1) * 2 + (z >> i & 1)) &
                 1)
                << i;
          return d;
        },
        a, b, c);
}

TEST(Bits32, Lop3WithPredicate) {
  std::vector<U> a{0, 1}, b{0, 1};
  auto text = [](const char *op) {
    return std::string("setp.ne.u32 %p0, %b, 0; lop3.") + op +
           ".b32 %s0|%p1, %a, 0, 0, 0xF0, %p0; selp.u32 %z, 2, 0, %p1; or.b32 "
           "%z, %z, %s0;";
  };
  expectBinary<U>(
      text("or"), [](U x, U y) { return x | (x || y ? 2 : 0); }, a, b);
  expectBinary<U>(
      text("and"), [](U x, U y) { return x | (x && y ? 2 : 0); }, a, b);
}

U pick(U a, U b, U selector) {
  U byte = (L(b) << 32 | a) >> (8 * (selector & 7)) & 0xFF;
  return selector & 8 ? (byte & 0x80 ? 0xFF : 0) : byte;
}

TEST(Bits32, Permute) {
  std::vector<U> a{0x83020100, 0x7F80FF01}, b{0x07860504, 0xFEDCBA98},
      c{0x3210, 0x7654, 0xFEDC, 0xBA98, 0x0123, 0xF0F71234, 0x8081};
  expectTernary<U>(
      "prmt.b32 %z, %a, %b, %c;",
      [](U x, U y, U s) {
        U d = 0;
        for (int i = 0; i < 4; ++i)
          d |= pick(x, y, s >> (4 * i) & 15) << (8 * i);
        return d;
      },
      a, b, c);
  // Bytes 3 to 0 of the result for c = 0 .. 3, as the tables of the PTX ISA
  // say.
  struct {
    const char *mode;
    int bytes[4][4];
  } modes[] = {
      {"f4e", {{3, 2, 1, 0}, {4, 3, 2, 1}, {5, 4, 3, 2}, {6, 5, 4, 3}}},
      {"b4e", {{5, 6, 7, 0}, {6, 7, 0, 1}, {7, 0, 1, 2}, {0, 1, 2, 3}}},
      {"rc8", {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}}},
      {"ecl", {{3, 2, 1, 0}, {3, 2, 1, 1}, {3, 2, 2, 2}, {3, 3, 3, 3}}},
      {"ecr", {{0, 0, 0, 0}, {1, 1, 1, 0}, {2, 2, 1, 0}, {3, 2, 1, 0}}},
      {"rc16", {{1, 0, 1, 0}, {3, 2, 3, 2}, {1, 0, 1, 0}, {3, 2, 3, 2}}}};
  for (auto &m : modes)
    expectTernary<U>(
        std::string("prmt.b32.") + m.mode + " %z, %a, %b, %c;",
        [&](U x, U y, U s) {
          U d = 0;
          for (int i = 0; i < 4; ++i)
            d = d << 8 | pick(x, y, U(m.bytes[s & 3][i]));
          return d;
        },
        a, b, std::vector<U>{0, 1, 2, 3, 4, 0xFFFFFFFD});
}

TEST(Bits32, FindNthSet) {
  auto v = integers<U>(10);
  std::vector<U> bases{0, 1, 5, 16, 31};
  std::vector<int32_t> offsets{0,  1,  2,  3,   9,         32,       33,
                               -1, -2, -7, -32, INT32_MAX, INT32_MIN};
  expectTernary<U>(
      "fns.b32 %z, %a, %b, %c;",
      [](U mask, U base, int32_t offset) {
        if (offset == 0)
          return mask >> base & 1 ? base : ~0u;
        int64_t count = std::abs(int64_t(offset)) - 1;
        for (int pos = int(base); pos >= 0 && pos < 32;
             pos += offset > 0 ? 1 : -1)
          if ((mask >> pos & 1) && count-- == 0)
            return U(pos);
        return ~0u;
      },
      v, bases, offsets);
}

TEST(Bits32, ExtendAndMask) {
  auto v = integers<U>(8);
  for (bool clamp : {false, true}) {
    std::string mode = clamp ? "clamp" : "wrap";
    for (bool isSigned : {false, true})
      expectBinary<U>(
          "szext." + mode + (isSigned ? ".s32" : ".u32") + " %z, %a, %b;",
          [=](U a, U b) {
            U b1 = b & 31;
            bool tooLarge = b >= 32 && clamp;
            U mask = tooLarge ? 0 : ~0u << b1;
            bool sign =
                isSigned && b1 != 0 && !tooLarge && (a >> ((b1 - 1) & 31) & 1);
            return (a & ~mask) | (sign ? mask : 0);
          },
          v, kPlaces);
    expectBinary<U>(
        "bmsk." + mode + ".b32 %z, %a, %b;",
        [=](U a, U b) {
          U a1 = a & 31, b1 = b & 31, mask0 = ~0u << a1, sum = a1 + b1;
          U mask1 = sum >= 32 ? 0 : ~0u << sum;
          bool over = sum >= 32;
          if (clamp && a >= 32)
            over = true, mask0 = 0;
          if (clamp && b >= 32)
            over = true;
          if (over)
            mask1 = 0;
          else if (b1 == 0)
            mask1 = ~0u;
          return mask0 & ~mask1;
        },
        kPlaces, kPlaces);
  }
}

TEST(Predicates, Logic) {
  std::vector<U> v{0, 1};
  std::string in = "setp.ne.u32 %p0, %a, 0; setp.ne.u32 %p1, %b, 0;";
  std::string out = "selp.u32 %z, 1, 0, %p2;";
  expectBinary<U>(
      in + "and.pred %p2, %p0, %p1;" + out, [](U a, U b) { return a & b; }, v,
      v);
  expectBinary<U>(
      in + "or.pred %p2, %p0, !%p1;" + out, [](U a, U b) { return a | !b; }, v,
      v);
  expectBinary<U>(
      in + "xor.pred %p2, %p0, %p1;" + out, [](U a, U b) { return a ^ b; }, v,
      v);
  expectBinary<U>(
      in + "not.pred %p2, %p1;" + out, [](U, U b) { return !b; }, v, v);
  expectBinary<U>(
      in + "mov.pred %p2, %p0;" + out, [](U a, U) { return a; }, v, v);
}

} // namespace
