// f32 and f64 arithmetic in all directions of rounding, minimum and maximum,
// approximations. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rounded.h"
#include "RunHarness.h"

#include <cfenv>

using namespace nibble::emu;

namespace {

/// What the C library's environment rounds to. NaNs are those of NVIDIA GPUs.
template <typename T, typename F> T inDirection(const std::string &mode, F f) {
  static const std::map<std::string, int> kModes{{"rn", FE_TONEAREST},
                                                 {"rz", FE_TOWARDZERO},
                                                 {"rm", FE_DOWNWARD},
                                                 {"rp", FE_UPWARD}};
  std::fesetround(kModes.at(mode));
  volatile T result = f();
  std::fesetround(FE_TONEAREST);
  return result;
}
uint32_t canonical(float x) {
  return std::isnan(x) ? 0x7FFFFFFF : asBits<uint32_t>(x);
}
/// The payloads of f64 NaNs are not specified (but see LastNan).
uint64_t canonical(double x) {
  return std::isnan(x) ? 0x7FF8000000000000 : asBits<uint64_t>(x);
}
template <typename T> T flush(T x) {
  return std::fabs(x) < 0x1p-126f ? std::copysign(T(0), x) : x;
}

template <typename T> std::vector<T> few();
template <> std::vector<float> few() { return floats(20); }
template <> std::vector<double> few() { return doubles(30); }

/// Compares with volatile C++ arithmetic. Doubles: NaN for any NaN.
template <typename T, typename F>
void expectArithmetic(const std::string &op, int operands, F f) {
  using B = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  std::string type = sizeof(T) == 4 ? "f32" : "f64";
  std::string nan = sizeof(T) == 4 ? ""
                                   : " testp.notanumber.f64 %p0, %z; selp.b64 "
                                     "%z, 0x7FF8000000000000, %z, %p0;";
  for (const std::string &mode : kDirections) {
    std::string text = op + "." + mode + "." + type + " %z, %a" +
                       (operands > 1 ? ", %b" : "") +
                       (operands > 2 ? ", %c;" : ";") + nan;
    auto g = [&](T a, T b, T c) {
      volatile T x = a, y = b, z = c;
      return canonical(inDirection<T>(mode, [&] { return f(x, y, z); }));
    };
    std::vector<T> v = few<T>();
    if (operands == 1) {
      expectUnary<B>(text, [&](T a) { return g(a, a, a); }, v);
    } else if (operands == 2) {
      expectBinary<B>(text, [&](T a, T b) { return g(a, b, b); }, v, v);
    } else {
      std::vector<T> c{T(0),
                       T(-0.0),
                       T(1),
                       T(-0x1p-149),
                       std::numeric_limits<T>::infinity(),
                       v.back(),
                       v[v.size() / 2]};
      expectTernary<B>(text, g, v, v, c);
    }
  }
}

template <typename T> class Directed : public ::testing::Test {};
using Floats = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Directed, Floats);

TYPED_TEST(Directed, Arithmetic) {
  using T = TypeParam;
  expectArithmetic<T>("add", 2, [](T a, T b, T) { return a + b; });
  expectArithmetic<T>("sub", 2, [](T a, T b, T) { return a - b; });
  expectArithmetic<T>("mul", 2, [](T a, T b, T) { return a * b; });
  expectArithmetic<T>("div", 2, [](T a, T b, T) { return a / b; });
}
TYPED_TEST(Directed, Fma) {
  using T = TypeParam;
  expectArithmetic<T>("fma", 3,
                      [](T a, T b, T c) { return std::fma(a, b, c); });
}
TYPED_TEST(Directed, RootAndReciprocal) {
  using T = TypeParam;
  expectArithmetic<T>("sqrt", 1, [](T a, T, T) { return std::sqrt(a); });
  expectArithmetic<T>("rcp", 1, [](T a, T, T) { return T(1) / a; });
}

/// Values that tell directions apart, by hand.
TEST(Directed, ByHand) {
  auto one = [](const char *text, float a, float b) {
    return evaluate<float>(text, std::vector<float>{a},
                           std::vector<float>{b})[0];
  };
  EXPECT_EQ(one("add.rn.f32 %z, %a, %b;", 1, 0x1p-24f), 1);
  EXPECT_EQ(one("add.rp.f32 %z, %a, %b;", 1, 0x1p-100f), 0x1.000002p0f);
  EXPECT_EQ(one("add.rm.f32 %z, %a, %b;", 1, -0x1p-100f), 0x1.fffffep-1f);
  EXPECT_EQ(one("add.rz.f32 %z, %a, %b;", -1, 0x1p-100f), -0x1.fffffep-1f);
  EXPECT_EQ(asBits<uint32_t>(one("add.rm.f32 %z, %a, %b;", 1, -1)), 0x80000000);
  EXPECT_EQ(asBits<uint32_t>(one("add.rn.f32 %z, %a, %b;", 1, -1)), 0u);
  EXPECT_EQ(one("mul.rz.f32 %z, %a, %b;", 0x1p127f, 2),
            std::numeric_limits<float>::max());
  EXPECT_EQ(one("mul.rp.f32 %z, %a, %b;", -0x1p127f, 2),
            -std::numeric_limits<float>::max());
  EXPECT_EQ(one("mul.rp.f32 %z, %a, %b;", 0x1p-149f, 0x1p-149f), 0x1p-149f);
  EXPECT_EQ(one("div.rp.f32 %z, %a, %b;", 1, 3), 0x1.555556p-2f);
  EXPECT_EQ(one("div.rm.f32 %z, %a, %b;", 1, 3), 0x1.555554p-2f);
  EXPECT_EQ(one("div.rn.f32 %z, %a, %b;", 1, 0), INFINITY);
}

TEST(Flags, FtzAndSat) {
  auto v = floats(30);
  expectBinary<uint32_t>(
      "add.ftz.f32 %z, %a, %b;",
      [](float a, float b) { return canonical(flush(flush(a) + flush(b))); }, v,
      v);
  expectBinary<uint32_t>(
      "mul.rz.ftz.f32 %z, %a, %b;",
      [](float a, float b) {
        volatile float x = flush(a), y = flush(b);
        return canonical(
            flush(inDirection<float>("rz", [&] { return x * y; })));
      },
      v, v);
  auto sat = [](float x) {
    return canonical(x > 0 ? std::min(x, 1.0f) : 0.0f);
  };
  expectBinary<uint32_t>(
      "add.sat.f32 %z, %a, %b;", [=](float a, float b) { return sat(a + b); },
      v, v);
  expectBinary<uint32_t>(
      "fma.rn.ftz.sat.f32 %z, %a, %b, %a;",
      [=](float a, float b) {
        return sat(flush(std::fma(flush(a), flush(b), flush(a))));
      },
      v, v);
  expectUnary<uint32_t>(
      "abs.ftz.f32 %z, %a;",
      [](float a) { return canonical(std::fabs(flush(a))); }, v);
  expectUnary<uint32_t>(
      "neg.f32 %z, %a;", [](float a) { return canonical(-a); }, v);
  expectBinary<uint32_t>(
      "copysign.f32 %z, %a, %b;",
      [](float a, float b) { return asBits<uint32_t>(std::copysign(b, a)); }, v,
      v);
}

TEST(Flags, Properties) {
  auto v = floats(20);
  struct {
    const char *name;
    bool (*f)(float);
  } tests[] = {{"finite", [](float x) { return bool(std::isfinite(x)); }},
               {"infinite", [](float x) { return bool(std::isinf(x)); }},
               {"number", [](float x) { return !std::isnan(x); }},
               {"notanumber", [](float x) { return bool(std::isnan(x)); }},
               {"normal", [](float x) { return bool(std::isnormal(x)); }},
               {"subnormal",
                [](float x) { return x != 0 && std::fabs(x) < 0x1p-126f; }}};
  for (auto &t : tests)
    expectUnary<uint32_t>(std::string("testp.") + t.name +
                              ".f32 %p0, %a; selp.u32 %z, 1, 0, %p0;",
                          t.f, v);
}

/// As the PTX ISA's pseudo code, for both ends.
float extreme(bool max, bool nan, float x, float y) {
  if (std::isnan(x) && std::isnan(y))
    return NAN;
  if (nan && (std::isnan(x) || std::isnan(y)))
    return NAN;
  if (std::isnan(x))
    return y;
  if (std::isnan(y))
    return x;
  if (x == y) // -0 < +0
    return std::signbit(x) == max ? y : x;
  return max == (x < y) ? y : x;
}

TEST(MinMax, AllForms) {
  auto v = floats(6);
  for (bool max : {false, true})
    for (const char *ftz : {"", ".ftz"})
      for (const char *nan : {"", ".NaN"})
        for (const char *sign : {"", ".xorsign.abs"}) {
          std::string text = std::string(max ? "max" : "min") + ftz + nan +
                             sign + ".f32 %z, %a, %b;";
          expectBinary<uint32_t>(
              text,
              [&](float a, float b) {
                if (*ftz)
                  a = flush(a), b = flush(b);
                bool negative = std::signbit(a) != std::signbit(b);
                if (*sign)
                  a = std::fabs(a), b = std::fabs(b);
                float d = extreme(max, *nan, a, b);
                if (*sign && !std::isnan(d))
                  d = std::copysign(d, negative ? -1.0f : 1.0f);
                return canonical(d);
              },
              v, v);
        }
}

TEST(MinMax, ThreeOperands) {
  auto v = floats(2);
  std::vector<float> c{0, -0.0f, 3, -7, NAN, INFINITY};
  expectTernary<uint32_t>(
      "max.f32 %z, %a, %b, %c;",
      [](float a, float b, float x) {
        return canonical(extreme(true, false, extreme(true, false, a, b), x));
      },
      v, v, c);
  expectTernary<uint32_t>(
      "min.NaN.abs.f32 %z, %a, %b, %c;",
      [](float a, float b, float x) {
        return canonical(extreme(
            false, true, extreme(false, true, std::fabs(a), std::fabs(b)),
            std::fabs(x)));
      },
      v, v, c);
}

TEST(Pairs, OfFloats) {
  auto v = floats(10);
  std::vector<uint64_t> pairs;
  for (size_t i = 0; i + 1 < v.size(); ++i)
    pairs.push_back(uint64_t(asBits<uint32_t>(v[i])) << 32 |
                    asBits<uint32_t>(v[v.size() - 1 - i]));
  for (const std::string &mode : kDirections)
    expectBinary<uint64_t>(
        "fma." + mode + ".f32x2 %z, %a, %b, %b;",
        [&](uint64_t a, uint64_t b) {
          auto part = [&](int at) {
            volatile float x = asBits<float>(uint32_t(a >> at)),
                           y = asBits<float>(uint32_t(b >> at));
            return uint64_t(canonical(inDirection<float>(
                       mode,
                       [&] { return std::fma(float(x), float(y), float(y)); })))
                   << at;
          };
          return part(0) | part(32);
        },
        pairs, std::vector<uint64_t>(pairs.begin(), pairs.begin() + 20));
}

/// Largest relative error over positive normal numbers.
double worst(const std::string &text, double (*f)(double), float least,
             float most) {
  std::vector<float> v;
  std::mt19937 engine(3);
  for (int i = 0; i < 2000; ++i)
    v.push_back(std::uniform_real_distribution<float>(least, most)(engine));
  auto got = evaluate<float>(text, v);
  double error = 0;
  for (size_t i = 0; i < v.size(); ++i)
    error = std::max(error, std::fabs(got[i] / f(v[i]) - 1));
  return error;
}

/// The errors that the PTX ISA documents.
TEST(Approximations, WithinTheirErrors) {
  EXPECT_LT(
      worst(
          "rcp.approx.f32 %z, %a;", [](double x) { return 1 / x; }, 0.1f, 100),
      0x1p-23);
  EXPECT_LT(worst(
                "sqrt.approx.f32 %z, %a;",
                [](double x) { return std::sqrt(x); }, 0.1f, 100),
            0x1p-23);
  EXPECT_LT(worst(
                "rsqrt.approx.f32 %z, %a;",
                [](double x) { return 1 / std::sqrt(x); }, 0.1f, 100),
            0x1p-22);
  EXPECT_LT(worst(
                "ex2.approx.f32 %z, %a;", [](double x) { return std::exp2(x); },
                -20, 20),
            0x1p-22);
  EXPECT_LT(worst(
                "lg2.approx.f32 %z, %a;", [](double x) { return std::log2(x); },
                3, 100),
            0x1p-22);
  EXPECT_LT(worst(
                "sin.approx.f32 %z, %a;", [](double x) { return std::sin(x); },
                0.5, 2.5),
            0x1p-20);
  EXPECT_LT(
      worst(
          "cos.approx.f32 %z, %a;", [](double x) { return std::cos(x); }, 2, 4),
      0x1p-19);
  EXPECT_LT(worst(
                "tanh.approx.f32 %z, %a;",
                [](double x) { return std::tanh(x); }, 0.1f, 4),
            0x1p-11);
}

TEST(Approximations, SpecialValues) {
  struct {
    const char *op;
    float in, out;
  } cases[] = {{"ex2.approx.f32", -INFINITY, 0},
               {"ex2.approx.f32", INFINITY, INFINITY},
               {"ex2.approx.ftz.f32", 0x1p-140f, 1},
               {"lg2.approx.f32", 0, -INFINITY},
               {"lg2.approx.ftz.f32", 0x1p-140f, -INFINITY},
               {"rsqrt.approx.f32", 0, INFINITY},
               {"rsqrt.approx.f32", -0.0f, -INFINITY},
               {"rcp.approx.f32", -0.0f, -INFINITY},
               {"rcp.approx.ftz.f32", 0x1p-140f, INFINITY},
               {"sqrt.approx.ftz.f32", 0x1p-140f, 0},
               {"ex2.approx.f32", 10, 1024},
               {"lg2.approx.f32", 0x1p-130f, -130}};
  for (auto &c : cases)
    EXPECT_EQ(evaluate<float>(std::string(c.op) + " %z, %a;",
                              std::vector<float>{c.in})[0],
              c.out)
        << c.op << " " << c.in;
  for (const char *op :
       {"lg2.approx.f32", "rsqrt.approx.f32", "sqrt.approx.f32"})
    EXPECT_TRUE(std::isnan(evaluate<float>(std::string(op) + " %z, %a;",
                                           std::vector<float>{-1})[0]))
        << op;
}

TEST(Approximations, OfDoubles) {
  std::vector<double> v{3, -7, 1e100, 0.1, 0x1p-1022};
  auto rcp = evaluate<double>("rcp.approx.ftz.f64 %z, %a;", v);
  auto root = evaluate<double>("rsqrt.approx.ftz.f64 %z, %a;", v);
  for (size_t i = 0; i < v.size(); ++i) {
    EXPECT_LT(std::fabs(rcp[i] * v[i] - 1), 0x1p-20);
    EXPECT_EQ(uint32_t(asBits<uint64_t>(rcp[i])), 0u);
    if (v[i] > 0) {
      EXPECT_LT(std::fabs(root[i] * root[i] * v[i] - 1), 0x1p-18);
    }
  }
}

TEST(Approximations, OfHalves) {
  std::vector<uint16_t> v{0x3C00, 0xBC00, 0x4200, 0x0000, 0x7C00};
  expectUnary<uint16_t>(
      "ex2.approx.f16 %z, %a;",
      [](uint16_t a) {
        long double x =
            (a & 0x7FFF) == 0x7C00 ? INFINITY : formatF16().decode(a);
        return formatF16().encode(std::exp2(x), "rn", 0x7C00);
      },
      v);
  EXPECT_NE(refusalOf("tanh.approx.f64 %d0, %d1;"), "");
  EXPECT_NE(refusalOf("add.rz.f16 %h0, %h1, %h2;"), "");
}

/// Measured on an H200: the last operand that is NaN, quieted.
TEST(Float, F64TakesTheLastNan) {
  using Row = std::vector<uint64_t>;
  const uint64_t one = 0x3FF0000000000000, infinity = 0xFFF0000000000000;
  const uint64_t quiet = 0xFFF8ABCD00000001, other = 0x7FF8000000001234;
  const uint64_t loud = 0xFFF4000000000000;
  const Row a{quiet, other, loud, quiet, one, infinity, loud};
  const Row b{other, quiet, other, one, loud, quiet, infinity};
  const Row want{other,
                 quiet,
                 other,
                 quiet,
                 0xFFFC000000000000,
                 quiet,
                 0xFFFC000000000000};
  for (const char *text :
       {"add.f64 %z, %a, %b;", "mul.f64 %z, %a, %b;",
        "mov.b64 %z, 0x3FF0000000000000; fma.rn.f64 %z, %a, %b, %z;",
        "mov.b64 %z, 0x3FF0000000000000; fma.rn.f64 %z, %z, %a, %b;",
        "mov.b64 %z, 0x3FF0000000000000; fma.rn.f64 %z, %a, %z, %b;"})
    EXPECT_EQ(evaluate<uint64_t>(text, a, b), want) << text;
  EXPECT_EQ(evaluate<uint64_t>("fma.rn.f64 %z, %a, %b, %c;", Row{quiet},
                               Row{other}, Row{loud}),
            Row{0xFFFC000000000000});
}

} // namespace
