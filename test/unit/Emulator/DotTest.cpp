// Products of tensor cores against sums in quadruple precision.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Dot.h"

#include "nibble/rt/float_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace nibble;
using namespace nibble::emu::tensor;

namespace {
#if defined(__x86_64__)
__extension__ typedef __float128 Quad;
#else
using Quad = long double;
static_assert(std::numeric_limits<Quad>::digits == 113, "as on 64-bit Arm");
#endif

/// a b' + c, exact if the bits of all terms lie within 113 bits; `isExact`
/// tells.
struct QuadSum {
  Quad sum = 0;
  bool isExact = true;
  void add(Quad x) {
    Quad total = sum + x, back = total - sum;
    isExact &= (sum - (total - back)) + (x - back) == 0;
    sum = total;
  }
};

/// Neighbours of the exact value decide which float is nearest, ties to even;
/// without the conversion that the compiler has.
float nearestFloat(Quad x) {
  float guess = float(double(x));
  float best = guess;
  for (float candidate :
       {std::nextafterf(guess, -INFINITY), std::nextafterf(guess, INFINITY)}) {
    Quad now = Quad(best) - x, then = Quad(candidate) - x;
    now = now < 0 ? -now : now;
    then = then < 0 ? -then : then;
    bool isEven = !(rt::floatBits(candidate) & 1);
    if (then < now || (then == now && isEven))
      best = candidate;
  }
  return best;
}

uint32_t maskOf(Element element) {
  switch (element) {
  case Element::TF32:
    return ~0u;
  case Element::F16:
  case Element::BF16:
    return 0xFFFF;
  default:
    return 0xFF;
  }
}

constexpr Element kFloats[] = {Element::F16,  Element::BF16, Element::TF32,
                               Element::E4M3, Element::E5M2, Element::E2M3,
                               Element::E3M2, Element::E2M1};

class Dot : public ::testing::Test {
protected:
  std::mt19937 random{11};

  /// Any finite codes: subnormals, zeros and all exponents.
  void fill(Factor &factor, int exponents = 0) {
    for (unsigned r = 0; r < factor.rows; ++r)
      for (unsigned k = 0; k < factor.k; ++k)
        do {
          factor.set(r, k, code(factor.element, exponents));
        } while (!std::isfinite(factor.row(r)[k]));
    factor.seal();
  }
  /// `exponents`: codes of numbers 1 to 2^exponents; 0: of all.
  uint32_t code(Element element, int exponents) {
    if (!exponents)
      return random() & maskOf(element);
    float x = std::ldexp(1 + float(random() % 1024) / 1024,
                         int(random() % unsigned(exponents)));
    uint32_t bits = rt::floatBits(random() % 2 ? x : -x);
    return element == Element::TF32 ? bits
           : element == Element::BF16
               ? bits >> 16
               : uint32_t(rt::encodeAs<rt::StorageFormat::F16>(double(x)));
  }

  static QuadSum reference(const Factor &a, unsigned m, const Factor &b,
                           unsigned n, double c) {
    QuadSum sum;
    for (unsigned k = 0; k < a.k; ++k)
      sum.add(Quad(a.row(m)[k]) * Quad(b.row(n)[k]));
    sum.add(c);
    return sum;
  }

  /// Number of results that could be compared.
  unsigned expectExact(const Factor &a, const Factor &b, std::vector<float> c) {
    std::vector<float> d = c;
    multiplyAdd(a, b, d.data(), b.rows);
    unsigned known = 0;
    for (unsigned m = 0; m < a.rows; ++m)
      for (unsigned n = 0; n < b.rows; ++n) {
        QuadSum sum = reference(a, m, b, n, double(c[m * b.rows + n]));
        if (!sum.isExact)
          continue;
        ++known;
        float expected = nearestFloat(sum.sum), result = d[m * b.rows + n];
        EXPECT_EQ(rt::floatBits(result + 0.0f), rt::floatBits(expected + 0.0f))
            << elementName(a.element) << " " << result << " " << expected;
      }
    return known;
  }
};

TEST_F(Dot, RoundsExactSumsOnce) {
  for (Element element : kFloats)
    for (unsigned k : {8u, 32u})
      for (unsigned rows : {1u, 5u, 16u}) {
        Factor a(element, rows, k), b(element, 11, k);
        fill(a);
        fill(b);
        std::vector<float> c(rows * 11);
        for (float &x : c)
          x = std::ldexp(float(random() % 65536) - 32768,
                         int(random() % 40) - 30);
        unsigned known = expectExact(a, b, c);
        if (bytesOf(element) == 1) { // they never need more than 113 bits
          EXPECT_EQ(known, rows * 11);
        }
      }
}

/// 2^0 to 2^30 on either side: products need 75 bits, more than a double has.
TEST_F(Dot, KeepsBitsThatDoublesLose) {
  for (Element element : {Element::BF16, Element::TF32}) {
    Factor a(element, 16, 16), b(element, 24, 16);
    fill(a, 30);
    fill(b, 30);
    std::vector<float> c(16 * 24, 0x1p-20f);
    EXPECT_EQ(expectExact(a, b, c), 16u * 24);
  }
}

/// 2^2e + 1 - 2^2e + 2^-2e - 1, in any order.
TEST_F(Dot, CancelsExactly) {
  for (int e : {5, 15, 25, 30, 60}) {
    float big = std::ldexp(1.0f, e), small = std::ldexp(1.0f, -e);
    std::vector<std::pair<float, float>> terms = {
        {-big, big}, {small, small}, {1, 1}, {big, big}};
    std::sort(terms.begin(), terms.end());
    do {
      Factor a(Element::BF16, 1, 4), b(Element::BF16, 1, 4);
      for (unsigned k = 0; k < 4; ++k) {
        a.set(0, k, rt::floatBits(terms[k].first) >> 16);
        b.set(0, k, rt::floatBits(terms[k].second) >> 16);
      }
      a.seal();
      b.seal();
      float d = -1;
      multiplyAdd(a, b, &d, 1);
      EXPECT_EQ(d, std::ldexp(1.0f, -2 * e));
    } while (std::next_permutation(terms.begin(), terms.end()));
  }
}

/// 2^26 - 2^26 leaves a product whose lowest bit is 2^-42: exponents alone, 13
/// to -11 on either side, would say that 53 bits suffice.
TEST_F(Dot, CountsTheBitsOfSignificands) {
  Factor a(Element::TF32, 1, 4), b(Element::TF32, 1, 4);
  const float odd = (1 + 0x1p-10f) * 0x1p-11f;
  const float left[] = {0x1p13f, odd, -0x1p13f, 0};
  const float right[] = {0x1p13f, odd, 0x1p13f, 0};
  for (unsigned k = 0; k < 4; ++k) {
    a.set(0, k, rt::floatBits(left[k]));
    b.set(0, k, rt::floatBits(right[k]));
  }
  a.seal();
  b.seal();
  float d = 0;
  multiplyAdd(a, b, &d, 1);
  EXPECT_EQ(d, odd * odd);
}

/// Half of an ulp of FP32, and a little that lies far below decides: alone and
/// among columns that are added together, on both sides of zero.
TEST_F(Dot, BreaksTiesByTheLastBit) {
  for (double little :
       {-0x1p-100, -0x1p-56, -0x1p-30, 0.0, 0x1p-30, 0x1p-56, 0x1p-100})
    for (unsigned columns : {1u, 8u})
      for (float sign : {1.0f, -1.0f}) {
        Factor a(Element::BF16, 1, 4), b(Element::BF16, columns, 4);
        a.set(0, 0, rt::floatBits(0x1p-24f) >> 16);
        a.set(0, 1, rt::floatBits(float(little)) >> 16);
        for (unsigned n = 0; n < columns; ++n)
          for (unsigned k = 0; k < 2; ++k)
            b.set(n, k, 0x3F80, double(sign)); // 1
        a.seal();
        b.seal();
        std::vector<float> even(columns, sign);
        std::vector<float> odd(columns, sign * (1 + 0x1p-23f));
        multiplyAdd(a, b, even.data(), columns);
        multiplyAdd(a, b, odd.data(), columns);
        float evenResult = little > 0 ? 1 + 0x1p-23f : 1;
        float oddResult = little < 0 ? 1 + 0x1p-23f : 1 + 0x1p-22f;
        EXPECT_EQ(even, std::vector<float>(columns, sign * evenResult));
        EXPECT_EQ(odd, std::vector<float>(columns, sign * oddResult));
      }
}

TEST_F(Dot, RoundsToSubnormalAndOverflows) {
  Factor a(Element::BF16, 1, 1), b(Element::BF16, 1, 1);
  auto product = [&](float x, float y, float c) {
    a.set(0, 0, rt::floatBits(x) >> 16);
    b.set(0, 0, rt::floatBits(y) >> 16);
    a.seal();
    b.seal();
    multiplyAdd(a, b, &c, 1);
    return c;
  };
  EXPECT_EQ(product(0x1p-100f, 0x1.8p-50f, 0), 0x1p-149f); // 0.75 of the least
  EXPECT_EQ(product(0x1p-100f, 0x1p-50f, 0), 0);           // a tie, to even
  EXPECT_EQ(product(0x1p-100f, 0x1p-50f, 0x1p-149f), 0x1p-148f);
  EXPECT_EQ(product(0x1p100f, 0x1p100f, 1), INFINITY);
  EXPECT_EQ(product(-0x1p127f, 2, 0), -INFINITY);
}

TEST_F(Dot, PassesInfinitiesAndNans) {
  struct {
    uint32_t a, b;
    float c, expected;
  } cases[] = {{0x7C00, 0x3C00, 1, INFINITY},  // inf * 1
               {0x7C00, 0xBC00, 1, -INFINITY}, // inf * -1
               {0x7C00, 0x0000, 1, NAN},       // inf * 0
               {0x7E00, 0x0000, 1, NAN},       // NaN * 0
               {0x7C00, 0x3C00, -INFINITY, NAN},
               {0x3C00, 0x3C00, INFINITY, INFINITY},
               {0x3C00, 0x3C00, NAN, NAN}};
  for (auto &c : cases)
    for (unsigned columns : {1u, 9u}) {
      Factor a(Element::F16, 1, 8), b(Element::F16, columns, 8);
      a.set(0, 3, c.a);
      for (unsigned n = 0; n < columns; ++n)
        b.set(n, 3, c.b);
      a.seal();
      b.seal();
      std::vector<float> d(columns, c.c);
      multiplyAdd(a, b, d.data(), columns);
      for (float x : d)
        if (std::isnan(c.expected))
          EXPECT_EQ(rt::floatBits(x), 0x7FFFFFFFu);
        else
          EXPECT_EQ(x, c.expected);
    }
}

/// A NaN or infinity touches its own row and column only.
TEST_F(Dot, KeepsRowsApart) {
  Factor a(Element::F16, 6, 8), b(Element::F16, 10, 8);
  fill(a, 3);
  fill(b, 3);
  a.set(2, 1, 0x7E00);
  b.set(7, 5, 0x7C00);
  a.seal();
  b.seal();
  std::vector<float> d(60);
  multiplyAdd(a, b, d.data(), 10);
  for (unsigned m = 0; m < 6; ++m)
    for (unsigned n = 0; n < 10; ++n)
      EXPECT_EQ(std::isfinite(d[m * 10 + n]), m != 2 && n != 7);
}

TEST_F(Dot, AccumulatesInHalf) {
  Factor a(Element::F16, 1, 2), b(Element::F16, 1, 2);
  auto sum = [&](uint16_t x0, uint16_t x1, uint16_t c) {
    a.set(0, 0, x0);
    a.set(0, 1, x1);
    b.set(0, 0, 0x3C00);
    b.set(0, 1, 0x3C00);
    a.seal();
    b.seal();
    multiplyAddHalf(a, b, &c, 1);
    return c;
  };
  EXPECT_EQ(sum(0x1000, 0, 0x3C00), 0x3C00);      // 1 + half an ulp: even
  EXPECT_EQ(sum(0x1000, 0, 0x3C01), 0x3C02);      // a tie, to even
  EXPECT_EQ(sum(0x1000, 0x0001, 0x3C00), 0x3C01); // and a subnormal more
  EXPECT_EQ(sum(0x7BFF, 0x7BFF, 0), 0x7C00);      // infinity
  EXPECT_EQ(sum(0x7C00, 0xFC00, 0), 0x7FFF);      // NaN
}

TEST_F(Dot, AddsIntegers) {
  Factor a(Element::U8, 1, 32), b(Element::S8, 1, 32);
  for (unsigned k = 0; k < 32; ++k) {
    a.set(0, k, 255);
    b.set(0, k, 128);
  }
  a.seal();
  b.seal();
  int32_t c = -2147483647;
  multiplyAddInteger(a, b, &c, 1, false);
  EXPECT_EQ(c, int32_t(uint32_t(-2147483647) - 32u * 255 * 128));
  c = -2147483647;
  multiplyAddInteger(a, b, &c, 1, true);
  EXPECT_EQ(c, INT32_MIN);
}

//===----------------------------------------------------------------------===//
// Block scales
//===----------------------------------------------------------------------===//

/// NVFP4: every code of E2M1, every scale of UE4M3, blocks of 16 in K = 64.
TEST_F(Dot, MultipliesBlockScaledRows) {
  Factor a(Element::E2M1, 32, 64), b(Element::E2M1, 40, 64);
  auto scaled = [&](Factor &factor) {
    std::vector<double> scales;
    for (unsigned r = 0; r < factor.rows; ++r)
      for (unsigned k = 0; k < factor.k; ++k) {
        if (k % 16 == 0)
          scales.push_back(decodeScale(Scale::UE4M3, uint8_t(random() % 127)));
        factor.set(r, k, random() & 15, scales.back());
      }
    factor.seal();
    return scales;
  };
  std::vector<double> sa = scaled(a), sb = scaled(b);
  std::vector<float> c(32 * 40), d;
  for (float &x : c)
    x = float(int(random() % 2001) - 1000) / 7;
  d = c;
  multiplyAdd(a, b, d.data(), 40);
  for (unsigned m = 0; m < 32; ++m)
    for (unsigned n = 0; n < 40; ++n) {
      QuadSum sum;
      for (unsigned block = 0; block < 4; ++block) { // scale after the sum
        Quad dot = 0, s = Quad(sa[m * 4 + block]) * Quad(sb[n * 4 + block]);
        for (unsigned k = 16 * block; k < 16 * block + 16 && s != 0; ++k)
          dot += Quad(a.row(m)[k]) * Quad(b.row(n)[k]) / s;
        sum.add(dot * s);
      }
      sum.add(Quad(c[m * 40 + n]));
      EXPECT_EQ(d[m * 40 + n], nearestFloat(sum.sum));
    }
}

/// MXFP8 with scales at both ends: blocks that cancel to the last bit.
TEST_F(Dot, ScalesByPowersOfTwo) {
  EXPECT_EQ(decodeScale(Scale::UE8M0, 0), 0x1p-127);
  EXPECT_EQ(decodeScale(Scale::UE8M0, 254), 0x1p127);
  EXPECT_TRUE(std::isnan(decodeScale(Scale::UE8M0, 255)));
  EXPECT_EQ(decodeScale(Scale::UE4M3, 0x80 | 0x38), 1);
  EXPECT_TRUE(std::isnan(decodeScale(Scale::UE4M3, 0x7F)));
  Factor a(Element::E5M2, 1, 32), b(Element::E5M2, 1, 32);
  a.set(0, 0, 0x3C, 0x1p127); // 1
  b.set(0, 0, 0x3C, 0x1p-127);
  a.set(0, 31, 0x01, 0x1p-127); // 2^-16
  b.set(0, 31, 0x01, 0x1p127);
  a.seal();
  b.seal();
  float d = -1;
  multiplyAdd(a, b, &d, 1);
  EXPECT_EQ(d, 0x1p-32f);
}

} // namespace
