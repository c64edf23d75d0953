// Sums of products in less precision than FP32: what an H100 does.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Dot.h"

#include "nibble/rt/float_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

using namespace nibble;
using namespace nibble::emu::tensor;

namespace {

TEST(Precision, TruncatesWhatIsSmallBesideTheLargest) {
  Factor a(Element::E4M3, 1, 4), b(Element::E4M3, 1, 4);
  auto set = [&](unsigned k, double x) {
    a.set(0, k, uint32_t(rt::encodeAs<rt::StorageFormat::E4M3FN>(x)));
    b.set(0, k, 0x38); // 1
  };
  set(0, 256);
  set(1, 0x1p-5); // 2^-13 of it: kept
  set(2, 0x1p-6); // 2^-14 of it: lost, twice
  set(3, 0x1p-6);
  a.seal();
  b.seal();
  float d = 0, exact = 0;
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  multiplyAdd(a, b, &exact, 1);
  EXPECT_EQ(d, 256 + 0x1p-5f);
  EXPECT_EQ(exact, 256 + 0x1p-4f);
}

/// Subnormal factors keep the exponent of the least normal number, products are
/// not normalized: 1.5 * 1.5 has exponent 0, though it is 2.25.
TEST(Precision, AlignsToTheSumOfTheExponents) {
  Factor a(Element::E4M3, 1, 2), b(Element::E4M3, 1, 2);
  a.set(0, 0, 0x3C); // 1.5
  b.set(0, 0, 0x3C);
  a.set(0, 1, 0x01); // 2^-9, exponent -6
  b.set(0, 1, 0x18); // 2^-4
  a.seal();
  b.seal();
  float d = 0;
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(d, 2.25f); // 2^-13 is kept, but the result has 2^-12
  d = -2;
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(d, 0.25f); // -2 has exponent 1: 2^-13 is lost
  d = -1.5f;
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(d, 0.75f + 0x1p-13f);
  uint16_t half = 0;
  multiplyAddHalf(a, b, &half, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(half, 0x4080); // 2.25, to nearest
}

TEST(Precision, TruncatesFullPrecisionTo25Bits) {
  Factor a(Element::BF16, 1, 3), b(Element::BF16, 1, 3);
  const float values[] = {1, 0x1p-25f, 0x1.8p-26f};
  for (unsigned k = 0; k < 3; ++k) {
    a.set(0, k, rt::floatBits(values[k]) >> 16);
    b.set(0, k, 0x3F80);
  }
  a.seal();
  b.seal();
  float d = 0x1p-23f - 0x1p-25f; // with 2^-25 it makes an ulp; 2^-26 is lost
  multiplyAdd(a, b, &d, 1, Precision::truncated());
  EXPECT_EQ(d, 1 + 0x1p-23f);
  d = 0x1p-23f - 0x1p-24f;
  multiplyAdd(a, b, &d, 1, Precision::truncated());
  EXPECT_EQ(d, 1);
}

TEST(Precision, TruncatesTowardsZero) {
  Factor a(Element::E4M3, 1, 2), b(Element::E4M3, 1, 2);
  a.set(0, 0, 0xB8); // -1
  b.set(0, 0, 0x38);
  a.seal();
  b.seal();
  float d = -0x1p-14f; // half of the last place, negative
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(d, -1);
  d = 3 + 0x1p-13f; // c has 14 bits behind its first
  multiplyAdd(a, b, &d, 1, Precision::hopper(Element::E4M3));
  EXPECT_EQ(d, 2);
}

} // namespace
