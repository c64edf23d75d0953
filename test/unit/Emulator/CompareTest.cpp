// setp, set, selp, slct: every comparison, with NaNs and third predicates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rounded.h"
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using U = uint32_t;

template <typename T> bool ordered(const std::string &op, T a, T b) {
  if (op == "eq")
    return a == b;
  if (op == "ne")
    return a != b && a == a && b == b;
  if (op == "lt" || op == "lo")
    return a < b;
  if (op == "le" || op == "ls")
    return a <= b;
  if (op == "gt" || op == "hi")
    return a > b;
  return a >= b;
}
template <typename T> bool compare(const std::string &op, T a, T b) {
  bool nan = a != a || b != b;
  if (op == "num")
    return !nan;
  if (op == "nan")
    return nan;
  if (op.size() == 3) // equ: true if unordered
    return nan || ordered(op.substr(0, 2), a, b);
  return ordered(op, a, b);
}
const std::vector<std::string> kOrdered{"eq", "ne", "lt", "le", "gt", "ge"};
const std::vector<std::string> kFloating{"eq",  "ne",  "lt",  "le",  "gt",
                                         "ge",  "equ", "neu", "ltu", "leu",
                                         "gtu", "geu", "num", "nan"};

/// p|q = (a op b), !(a op b), as bits 0 and 1.
template <typename T>
void expectComparison(const std::string &type,
                      const std::vector<std::string> &ops,
                      const std::vector<T> &v) {
  for (const std::string &op : ops)
    expectBinary<U>(
        "setp." + op + "." + type +
            " %p0|%p1, %a, %b; selp.u32 %z, 1, 0, %p0; selp.u32 %s0, 2, 0, "
            "%p1; or.b32 %z, %z, %s0;",
        [&](T a, T b) { return compare(op, a, b) ? 1 : 2; }, v, v);
}

TEST(Setp, Integers) {
  expectComparison("u16", kOrdered, integers<uint16_t>());
  expectComparison("s16", kOrdered, integers<int16_t>());
  expectComparison("u32",
                   {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"},
                   integers<uint32_t>());
  expectComparison("s32", kOrdered, integers<int32_t>());
  expectComparison("u64", kOrdered, integers<uint64_t>());
  expectComparison("s64", kOrdered, integers<int64_t>());
  expectComparison("b32", {"eq", "ne"}, integers<uint32_t>());
  EXPECT_NE(refusalOf("setp.equ.s32 %p0, %r0, %r1;"), "");
}

TEST(Setp, Floats) {
  expectComparison("f32", kFloating, floats(10));
  expectComparison("f64", kFloating, doubles(20));
}

float half(uint16_t h) {
  unsigned m = h & 0x7FFF;
  float x = m > 0x7C00    ? NAN
            : m == 0x7C00 ? INFINITY
                          : float(formatF16().decode(m));
  return h & 0x8000 ? -x : x;
}
const std::vector<uint16_t> kHalves{
    0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xBC00, 0x7C00, 0xFC00, 0x7E00};

TEST(Setp, Halves) {
  for (const std::string &op : kFloating) {
    expectBinary<U>(
        "setp." + op + ".f16 %p0, %a, %b; selp.u32 %z, 1, 0, %p0;",
        [&](uint16_t a, uint16_t b) { return compare(op, half(a), half(b)); },
        kHalves, kHalves);
    auto flush = [](float x) { return std::fabs(x) < 0x1p-14f ? 0.0f : x; };
    expectBinary<U>(
        "setp." + op + ".ftz.f16 %p0, %a, %b; selp.u32 %z, 1, 0, %p0;",
        [&](uint16_t a, uint16_t b) {
          return compare(op, flush(half(a)), flush(half(b)));
        },
        kHalves, kHalves);
  }
}

TEST(Setp, PairsOfHalves) {
  std::vector<U> v;
  for (uint16_t a : kHalves)
    for (uint16_t b : {0x3C00, 0x0001, 0xBC00, 0x7E00})
      v.push_back(U(a) << 16 | b);
  for (const std::string &op : kFloating) {
    auto both = [&](U a, U b) {
      return U(compare(op, half(uint16_t(a)), half(uint16_t(b)))) |
             U(compare(op, half(uint16_t(a >> 16)), half(uint16_t(b >> 16))))
                 << 1;
    };
    expectBinary<U>("setp." + op +
                        ".f16x2 %p0|%p1, %a, %b; selp.u32 %z, 1, 0, %p0; "
                        "selp.u32 %s0, 2, 0, %p1; or.b32 %z, %z, %s0;",
                    both, v, v);
    expectBinary<U>(
        "set." + op + ".f16x2.f16x2 %z, %a, %b;",
        [&](U a, U b) {
          return (both(a, b) & 1 ? 0x3C00u : 0) |
                 (both(a, b) & 2 ? 0x3C000000u : 0);
        },
        v, v);
    expectBinary<U>(
        "set." + op + ".u32.f16x2 %z, %a, %b;",
        [&](U a, U b) {
          return (both(a, b) & 1 ? 0xFFFFu : 0) |
                 (both(a, b) & 2 ? 0xFFFF0000u : 0);
        },
        v, v);
  }
}

TEST(Setp, ThirdPredicate) {
  std::vector<U> v{0, 1, 2};
  for (int negated : {0, 1})
    for (const std::string op : {"and", "or", "xor"}) {
      auto with = [&](bool t, bool c) {
        c ^= negated;
        return op == "and" ? t && c : op == "or" ? t || c : t != c;
      };
      std::string text = "setp.ne.u32 %p2, %c, 0; setp.lt." + op +
                         ".u32 %p0|%p1, %a, %b, " + (negated ? "!" : "") +
                         "%p2; selp.u32 %z, 1, 0, %p0; selp.u32 %s0, 2, 0, "
                         "%p1; or.b32 %z, %z, %s0;";
      expectTernary<U>(
          text,
          [&](U a, U b, U c) {
            return U(with(a < b, c)) | U(with(!(a < b), c)) << 1;
          },
          v, v, v);
      expectTernary<U>(
          "setp.ne.u32 %p2, %c, 0; set.lt." + op + ".u32.u32 %z, %a, %b, " +
              (negated ? "!" : "") + "%p2;",
          [&](U a, U b, U c) { return with(a < b, c) ? ~0u : 0; }, v, v, v);
    }
}

TEST(Set, Results) {
  auto v = floats(4);
  expectBinary<float>(
      "set.gt.f32.f32 %z, %a, %b;",
      [](float a, float b) { return a > b ? 1.0f : 0.0f; }, v, v);
  expectBinary<U>(
      "set.leu.s32.f32 %z, %a, %b;",
      [](float a, float b) { return !(a > b) ? ~0u : 0; }, v, v);
  expectBinary<uint16_t>(
      "set.gt.f16.s32 %z, %a, %b;",
      [](int a, int b) { return a > b ? 0x3C00 : 0; }, integers<int32_t>(),
      integers<int32_t>());
  expectBinary<uint16_t>(
      "set.eq.u16.f16 %z, %a, %b;",
      [](uint16_t a, uint16_t b) { return half(a) == half(b) ? 0xFFFF : 0; },
      kHalves, kHalves);
}

TEST(Select, ByPredicateAndSign) {
  std::vector<uint64_t> v{0, 1, ~0ull, 0x123456789ABCDEF0};
  std::vector<U> p{0, 1};
  expectTernary<uint64_t>(
      "setp.ne.u32 %p0, %c, 0; selp.b64 %z, %a, %b, !%p0;",
      [](uint64_t a, uint64_t b, U c) { return c ? b : a; }, v, v, p);
  std::vector<uint16_t> h{1, 0xFFFF};
  expectTernary<uint16_t>(
      "setp.ne.u32 %p0, %c, 0; selp.b16 %z, %a, %b, %p0;",
      [](uint16_t a, uint16_t b, U c) { return c ? a : b; }, h, h, p);
  expectTernary<U>(
      "slct.u32.s32 %z, %a, %b, %c;",
      [](U a, U b, int32_t c) { return c >= 0 ? a : b; }, std::vector<U>{7},
      std::vector<U>{9}, integers<int32_t>());
  expectTernary<uint64_t>(
      "slct.f64.f32 %z, %a, %b, %c;",
      [](uint64_t a, uint64_t b, float c) { return c >= 0 ? a : b; }, v, v,
      floats(4));
  expectTernary<U>(
      "slct.ftz.b32.f32 %z, %a, %b, %c;",
      [](U a, U b, float c) {
        return c >= 0 || std::fabs(c) < 0x1p-126f ? a : b;
      },
      std::vector<U>{7}, std::vector<U>{9}, floats(4));
}

TEST(Move, PacksAndUnpacks) {
  std::vector<uint64_t> v{0x0123456789ABCDEF, 0xFEDCBA9876543210};
  expectUnary<uint64_t>(
      ".reg .b32 %l, %h; mov.b64 {%l, %h}, %a; mov.b64 %z, {%h, %l};",
      [](uint64_t a) { return a << 32 | a >> 32; }, v);
  expectUnary<uint64_t>(
      ".reg .b16 %w<4>; mov.b64 {%w0, %w1, %w2, %w3}, %a; mov.b64 %z, {%w3, "
      "%w0, %w1, %w2};",
      [](uint64_t a) { return a << 16 | a >> 48; }, v);
  expectUnary<U>(
      ".reg .b8 %c<4>; .reg .b32 %x; cvt.u32.u64 %x, %a; mov.b32 {%c0, %c1, "
      "%c2, %c3}, %x; mov.b32 %z, {%c3, %c2, %c1, %c0};",
      [](uint64_t a) { return __builtin_bswap32(U(a)); }, v);
  expectUnary<U>(
      ".reg .b32 %l; mov.b64 {%l, _}, %a; mov.b32 %z, %l;",
      [](uint64_t a) { return U(a); }, v);
  expectBinary<uint64_t>(
      ".reg .b128 %q; .reg .b64 %l, %h; mov.b128 %q, {%a, %b}; mov.b128 {%l, "
      "%h}, %q; sub.u64 %z, %h, %l;",
      [](uint64_t a, uint64_t b) { return b - a; }, v, v);
  EXPECT_EQ(evaluate<float>("mov.f32 %z, 0f3FC00000;", std::vector<U>{0})[0],
            1.5f);
  EXPECT_EQ(evaluate<double>("mov.f64 %z, 1.5;", std::vector<U>{0})[0], 1.5);
  EXPECT_EQ(evaluate<float>("add.f32 %z, %a, -2.5;", std::vector<float>{1})[0],
            -1.5f);
}

} // namespace
