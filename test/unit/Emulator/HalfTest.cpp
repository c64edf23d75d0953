// f16 and bf16 arithmetic: one rounding of exact results in integers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rounded.h"
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using H = uint16_t;
using Exact = __int128;

struct Format {
  const SmallFormat &format;
  const char *name;
  int fraction; ///< numbers are multiples of 2^-fraction
  std::vector<H> values;
  bool isNan(H x) const { return (x & 0x7FFF) > infinity(); }
  bool isInf(H x) const { return (x & 0x7FFF) == infinity(); }
  unsigned infinity() const { return format.largest() + 1; }
  Exact exact(H x) const {
    return Exact(std::ldexp(format.decode(x), fraction));
  }
};

/// All kinds of f16; of bf16 those whose products fit the integers.
Format half() {
  Format f{formatF16(), "f16", 24, {}};
  for (unsigned x : {0u, 1u, 2u, 0x3FFu, 0x400u, 0x401u, 0x3C00u, 0x3C01u,
                     0x3BFFu, 0x7BFFu, 0x7C00u, 0x7E00u, 0x7C01u})
    f.values.push_back(H(x)), f.values.push_back(H(x | 0x8000));
  std::mt19937 engine(4);
  for (int i = 0; i < 60; ++i)
    f.values.push_back(H(engine()));
  return f;
}
Format bfloat() {
  Format f{formatBF16(), "bf16", 27, {}};
  std::mt19937 engine(5);
  for (unsigned x : {0u, 0x3F80u, 0x3F81u, 0x7F80u, 0x7FC0u})
    f.values.push_back(H(x)), f.values.push_back(H(x | 0x8000));
  for (int i = 0; i < 70; ++i)
    f.values.push_back(
        H((127 - 20 + engine() % 40) << 7 | (engine() & 0x807F)));
  return f;
}

/// a * b + c as if with unlimited precision, then rounded to nearest even.
H fused(const Format &f, H a, H b, H c) {
  if (f.isNan(a) || f.isNan(b) || f.isNan(c))
    return 0x7FFF;
  bool zeroA = !(a & 0x7FFF), zeroB = !(b & 0x7FFF);
  H sign = (a ^ b) & 0x8000;
  if (f.isInf(a) || f.isInf(b)) {
    if (zeroA || zeroB || (f.isInf(c) && (c & 0x8000) != sign))
      return 0x7FFF;
    return H(sign | f.infinity());
  }
  if (f.isInf(c))
    return c;
  Exact sum = f.exact(a) * f.exact(b) + (f.exact(c) << f.fraction);
  if (sum == 0) // -0 if both parts are
    return (zeroA || zeroB) && !(c & 0x7FFF) ? H(sign & c & 0x8000) : H(0);
  // Magnitudes of at most 64 significant bits are exact in a long double; the
  // rest only matters as not being zero.
  unsigned __int128 magnitude = sum < 0 ? -(unsigned __int128)sum : sum;
  int shift = 0;
  for (; magnitude >> 62; ++shift)
    magnitude = magnitude >> 1 | (magnitude & 1);
  long double x =
      std::ldexp((long double)(uint64_t)magnitude, shift - 2 * f.fraction);
  return H(f.format.encode(sum < 0 ? -x : x, "rn", f.infinity()));
}

H one(const Format &f) { return f.fraction == 24 ? 0x3C00 : 0x3F80; }

class Halves : public ::testing::TestWithParam<int> {
protected:
  Format f = GetParam() ? bfloat() : half();
  std::string type = f.name;
};

TEST_P(Halves, Arithmetic) {
  auto &v = f.values;
  expectBinary<H>(
      "add." + type + " %z, %a, %b;",
      [&](H a, H b) { return fused(f, a, one(f), b); }, v, v);
  expectBinary<H>(
      "sub." + type + " %z, %a, %b;",
      [&](H a, H b) { return fused(f, a, one(f), b ^ 0x8000); }, v, v);
  expectBinary<H>(
      "mul." + type + " %z, %a, %b;",
      [&](H a, H b) { return fused(f, a, b, (a ^ b) & 0x8000); }, v, v);
  std::vector<H> c(v.begin(), v.begin() + 40);
  expectTernary<H>(
      "fma.rn." + type + " %z, %a, %b, %c;",
      [&](H a, H b, H x) { return fused(f, a, b, x); }, v, v, c);
  expectBinary<H>(
      "fma.rn.relu." + type + " %z, %a, %b, %b;",
      [&](H a, H b) {
        H d = fused(f, a, b, b);
        return f.isNan(d) || d < 0x8000 ? d : 0;
      },
      v, v);
}

TEST_P(Halves, Pairs) {
  auto &v = f.values;
  std::vector<uint32_t> pairs;
  for (size_t i = 0; i < v.size(); ++i)
    pairs.push_back(uint32_t(v[i]) << 16 | v[(i * 7 + 3) % v.size()]);
  expectBinary<uint32_t>(
      "fma.rn." + type + "x2 %z, %a, %b, %b;",
      [&](uint32_t a, uint32_t b) {
        return uint32_t(fused(f, H(a >> 16), H(b >> 16), H(b >> 16))) << 16 |
               fused(f, H(a), H(b), H(b));
      },
      pairs, pairs);
  expectUnary<uint32_t>(
      "neg." + type + "x2 %z, %a;", [](uint32_t a) { return a ^ 0x80008000; },
      pairs);
  expectUnary<uint32_t>(
      "abs." + type + "x2 %z, %a;", [](uint32_t a) { return a & 0x7FFF7FFF; },
      pairs);
}

TEST_P(Halves, MinMax) {
  auto key = [](H x) { return x & 0x8000 ? -int(x & 0x7FFF) - 1 : int(x); };
  for (bool max : {false, true})
    for (bool nan : {false, true})
      expectBinary<H>(
          std::string(max ? "max" : "min") + (nan ? ".NaN." : ".") + type +
              " %z, %a, %b;",
          [&](H a, H b) {
            if ((nan && (f.isNan(a) || f.isNan(b))) ||
                (f.isNan(a) && f.isNan(b)))
              return H(0x7FFF);
            if (f.isNan(a) || f.isNan(b))
              return f.isNan(a) ? b : a;
            return (key(a) < key(b)) == max ? b : a;
          },
          f.values, f.values);
}
INSTANTIATE_TEST_SUITE_P(Formats, Halves, ::testing::Values(0, 1));

TEST(Half, FlushAndSaturate) {
  Format f = half();
  auto flush = [](H x) { return (x & 0x7C00) == 0 ? H(x & 0x8000) : x; };
  auto &v = f.values;
  expectBinary<H>(
      "add.ftz.f16 %z, %a, %b;",
      [&](H a, H b) { return flush(fused(f, flush(a), 0x3C00, flush(b))); }, v,
      v);
  expectBinary<H>(
      "mul.sat.f16 %z, %a, %b;",
      [&](H a, H b) {
        H d = fused(f, a, b, (a ^ b) & 0x8000);
        return f.isNan(d) || d & 0x8000 ? H(0) : std::min<H>(d, 0x3C00);
      },
      v, v);
  expectUnary<H>(
      "abs.ftz.f16 %z, %a;", [&](H a) { return flush(a & 0x7FFF); }, v);
  expectUnary<H>("neg.f16 %z, %a;", [](H a) { return a ^ 0x8000; }, v);
}

TEST(Half, MixedPrecision) {
  Format f = half();
  std::vector<float> c{0, 1, 0x1p-24f, -3.5f, 0x1.fffffep127f};
  expectBinary<uint32_t>(
      "add.f32.f16 %z, %a, %b;",
      [&](H a, float b) {
        float x = f.isNan(a)   ? NAN
                  : f.isInf(a) ? (a & 0x8000 ? -INFINITY : INFINITY)
                               : float(f.format.decode(a));
        float sum = x + b;
        return std::isnan(sum) ? 0x7FFFFFFF : asBits<uint32_t>(sum);
      },
      f.values, c);
  expectTernary<uint32_t>(
      "fma.rz.f32.f16 %z, %a, %b, %c;",
      [&](H a, H b, float x) {
        // Exact: 22 bits and 24 bits, 40 apart at most.
        long double sum =
            f.format.decode(a) * f.format.decode(b) + (long double)x;
        float near = float(sum);
        if (std::fabs((long double)near) > std::fabs(sum))
          near = std::nextafter(near, 0.0f);
        return asBits<uint32_t>(near);
      },
      std::vector<H>{0x3C01, 0x3555, 0xB555}, std::vector<H>{0x3C01, 0x2E66},
      std::vector<float>{1, -2, 0x1p-10f});
}

} // namespace
