// The CPU target: ABI, self-containedness, errors, vectorization, math.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelHarness.h"

#include "gtest/gtest.h"

#include <cmath>
#include <random>

using namespace nibble;
using namespace nibble::test;

namespace {

/// A kernel that applies `body` (which maps %x to %y) to [lo, hi).
std::string elementwise(const std::string &type, const std::string &body,
                        const std::string &resultType = "") {
  std::string out = resultType.empty() ? type : resultType;
  return "func.func @k(%a: memref<4096x" + type + ">, %c: memref<4096x" + out +
         ">, %lo: index, %hi: index, %scratch: memref<?xi8>) attributes "
         "{nibble.kernel} {\n %one = arith.constant 1 : index\n"
         " scf.for %i = %lo to %hi step %one {\n"
         "  %x = memref.load %a[%i] : memref<4096x" +
         type + ">\n" + body + "\n  memref.store %y, %c[%i] : memref<4096x" +
         out + ">\n }\n return\n}\n";
}

struct Compiled {
  std::string assembly, error;
  std::unique_ptr<LoadedCode> code;
  Kernel kernel = nullptr;

  explicit Compiled(const std::string &text, unsigned optLevel = 3) {
    cpu::CpuTargetOptions options;
    options.optLevel = optLevel;
    options.asmText = &assembly;
    std::string bytes = compileText(text, options, error);
    if (bytes.empty())
      return;
    code = std::make_unique<LoadedCode>(bytes);
    kernel = code->kernel("k");
  }
};

template <typename T>
void expectFunction(const std::string &type, const std::string &body,
                    double (*reference)(double), double low, double high,
                    double tolerance, std::vector<T> extra = {}) {
  Compiled compiled(elementwise(type, body));
  ASSERT_TRUE(compiled.kernel) << compiled.error;
  alignas(64) T in[4096], out[4096];
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(low, high);
  for (T &x : in)
    x = T(uniform(random));
  std::copy(extra.begin(), extra.end(), in);
  void *args[] = {in, out};
  compiled.kernel(args, 0, 4096, nullptr);
  for (int i = 0; i < 4096; ++i) {
    double want = reference(double(in[i]));
    T rounded = T(want);
    if (std::isnan(rounded)) {
      EXPECT_TRUE(std::isnan(out[i])) << body << " at " << in[i];
    } else if (std::isinf(rounded) || rounded == 0) {
      EXPECT_EQ(out[i], rounded) << body << " at " << in[i];
    } else {
      double ulp =
          std::nextafter(std::fabs(rounded), T(INFINITY)) - std::fabs(rounded);
      EXPECT_LE(std::fabs(double(out[i]) - want), tolerance * ulp)
          << body << " at " << in[i] << " got " << out[i] << " want " << want;
    }
  }
}

std::string mathOp(const char *name, const char *type) {
  return std::string("  %y = math.") + name + " %x : " + type;
}

double rsqrt(double x) { return 1 / std::sqrt(x); }

struct MathCase {
  const char *name;
  double (*reference)(double);
  double low, high;
};
const MathCase kCases[] = {
    {"exp", std::exp, -110, 95},      {"exp", std::exp, -1, 1},
    {"exp2", std::exp2, -155, 130},   {"tanh", std::tanh, -12, 12},
    {"tanh", std::tanh, -1, 1},       {"erf", std::erf, -5, 5},
    {"erfc", std::erfc, -5, 12},      {"expm1", std::expm1, -3, 3},
    {"log", std::log, 0, 10},         {"log2", std::log2, 0, 1e6},
    {"log10", std::log10, 0, 2},      {"log1p", std::log1p, -0.99, 3},
    {"sin", std::sin, -1e5, 1e5},     {"cos", std::cos, -100, 100},
    {"tan", std::tan, -10, 10},       {"asin", std::asin, -1, 1},
    {"acos", std::acos, -1, 1},       {"atan", std::atan, -30, 30},
    {"sinh", std::sinh, -5, 5},       {"cosh", std::cosh, -90, 90},
    {"asinh", std::asinh, -100, 100}, {"acosh", std::acosh, 1, 50},
    {"atanh", std::atanh, -1, 1},     {"cbrt", std::cbrt, -100, 100},
    {"rsqrt", rsqrt, 0, 100},         {"sqrt", std::sqrt, 0, 100},
    {"floor", std::floor, -9, 9},     {"roundeven", std::nearbyint, -9, 9},
    {"round", std::round, -9, 9},     {"ceil", std::ceil, -9, 9},
};

const std::vector<float> kSpecial32 = {
    0.0f,    -0.0f,  INFINITY, -INFINITY, NAN,  1.0f, -1.0f,  1e-30f,
    -1e-30f, 1e-42f, 3e38f,    -3e38f,    0.5f, 2.0f, 88.72f, -103.9f};

TEST(CpuMath, F32WithinTwoUlp) {
  for (const MathCase &c : kCases) {
    std::vector<float> special = kSpecial32;
    std::string name = c.name;
    // Reduction of huge angles is not promised.
    if (name == "sin" || name == "cos" || name == "tan")
      special = {0.0f, INFINITY, -INFINITY, NAN, 1e-30f, 1e-42f, 3.1415927f};
    expectFunction<float>("f32", mathOp(c.name, "f32"), c.reference, c.low,
                          c.high, 2.5, special);
  }
}

TEST(CpuMath, F64WithinFewUlp) {
  for (const MathCase &c : kCases)
    expectFunction<double>("f64", mathOp(c.name, "f64"), c.reference, c.low,
                           c.high, 16);
}

TEST(CpuMath, F16AndBf16RoundOnce) {
  for (std::string type : {"f16", "bf16"}) {
    std::string body =
        "  %z = math.exp %x : " + type + "\n  %y = arith.addf %z, %x : " + type;
    Compiled compiled(elementwise(type, body));
    ASSERT_TRUE(compiled.kernel) << compiled.error;
    EXPECT_EQ(compiled.assembly.find("call"), std::string::npos);
  }
}

float powReference(float x, float y) { return float(std::pow(double(x), y)); }
float modReference(float x, float y) { return std::fmod(x, y); }
float atan2Reference(float x, float y) {
  return float(std::atan2(double(x), y));
}

void expectBinary(const char *op, float (*reference)(float, float)) {
  std::string text =
      "func.func @k(%a: memref<64xf32>, %b: memref<64xf32>, %c: "
      "memref<64x64xf32>,"
      " %lo: index, %hi: index, %s: memref<?xi8>) attributes {nibble.kernel} "
      "{\n"
      " %zero = arith.constant 0 : index\n %one = arith.constant 1 : index\n"
      " %end = arith.constant 64 : index\n"
      " scf.for %i = %lo to %hi step %one {\n"
      "  %x = memref.load %a[%i] : memref<64xf32>\n"
      "  scf.for %j = %zero to %end step %one {\n"
      "   %y = memref.load %b[%j] : memref<64xf32>\n"
      "   %z = " +
      std::string(op) +
      " %x, %y : f32\n   memref.store %z, %c[%i, %j] : memref<64x64xf32>\n"
      "  }\n }\n return\n}\n";
  Compiled compiled(text);
  ASSERT_TRUE(compiled.kernel) << compiled.error;
  alignas(64) float a[64], out[64][64];
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-20, 20);
  for (float &x : a)
    x = uniform(random);
  float special[] = {0.0f,  -0.0f,    1.0f,      -1.0f,  2.0f,  -2.0f,
                     3.0f,  INFINITY, -INFINITY, NAN,    0.5f,  -0.5f,
                     1e30f, 1e-30f,   -3.0f,     1e-42f, 127.0f};
  std::copy(std::begin(special), std::end(special), a);
  void *args[] = {a, a, out};
  compiled.kernel(args, 0, 64, nullptr);
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 64; ++j) {
      float want = reference(a[i], a[j]);
      if (std::isnan(want))
        EXPECT_TRUE(std::isnan(out[i][j])) << op << " " << a[i] << " " << a[j];
      else
        EXPECT_FLOAT_EQ(out[i][j], want) << op << " " << a[i] << " " << a[j];
      if (want == 0)
        EXPECT_EQ(std::signbit(out[i][j]), std::signbit(want))
            << op << " " << a[i] << " " << a[j];
    }
}

TEST(CpuMath, BinaryFunctionsAndTheirSpecialCases) {
  expectBinary("math.powf", powReference);
  expectBinary("math.atan2", atan2Reference);
  expectBinary("arith.remf", modReference);
}

TEST(CpuTarget, LoopsBecomeVectorCode) {
  const char *gelu = R"(
  %h = arith.constant 0.5 : f32
  %one_f = arith.constant 1.0 : f32
  %k0 = arith.constant 0.7978845608 : f32
  %k1 = arith.constant 0.044715 : f32
  %x2 = arith.mulf %x, %x : f32
  %x3 = arith.mulf %x2, %x : f32
  %p = math.fma %x3, %k1, %x : f32
  %q = arith.mulf %p, %k0 : f32
  %t = math.tanh %q : f32
  %u = arith.addf %t, %one_f : f32
  %v = arith.mulf %u, %h : f32
  %y = arith.mulf %v, %x : f32)";
  const char *saxpy = "  %k = arith.constant 3.0 : f32\n"
                      "  %y = math.fma %x, %k, %k : f32";
  for (std::string body : {std::string(saxpy), std::string(gelu),
                           mathOp("exp", "f32"), mathOp("erf", "f32")}) {
    Compiled compiled(elementwise("f32", body));
    ASSERT_TRUE(compiled.kernel) << compiled.error;
    EXPECT_NE(compiled.assembly.find("%ymm"), std::string::npos) << body;
    EXPECT_NE(compiled.assembly.find("vfm"), std::string::npos) << body;
    EXPECT_EQ(compiled.assembly.find("@PLT"), std::string::npos) << body;
  }
}

TEST(CpuTarget, ReassociatedSumIsVectorized) {
  std::string text = R"(
func.func @k(%a: memref<8x4096xf32>, %c: memref<8xf32>, %lo: index, %hi: index,
             %s: memref<?xi8>) attributes {nibble.kernel} {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %end = arith.constant 4096 : index
  %init = arith.constant 0.0 : f32
  scf.for %i = %lo to %hi step %one {
    %sum = scf.for %j = %zero to %end step %one iter_args(%acc = %init) -> f32 {
      %x = memref.load %a[%i, %j] : memref<8x4096xf32>
      %next = arith.addf %acc, %x fastmath<reassoc> : f32
      scf.yield %next : f32
    }
    memref.store %sum, %c[%i] : memref<8xf32>
  }
  return
})";
  Compiled compiled(text);
  ASSERT_TRUE(compiled.kernel) << compiled.error;
  EXPECT_NE(compiled.assembly.find("vaddps"), std::string::npos);
  std::vector<float> a(8 * 4096, 0.5f), c(8, -1.0f);
  void *args[] = {a.data(), c.data()};
  compiled.kernel(args, 2, 5, nullptr);
  EXPECT_EQ(c, (std::vector<float>{-1, -1, 2048, 2048, 2048, -1, -1, -1}));
}

TEST(CpuTarget, ScratchCanBeViewedAndBuffersMayAlias) {
  std::string text = R"(
func.func @k(%a: memref<16xi8> {nibble.may_alias}, %c: memref<4xf32> {nibble.may_alias},
             %lo: index, %hi: index, %s: memref<?xi8>) attributes {nibble.kernel} {
  %at = arith.constant 64 : index
  %zero = arith.constant 0 : index
  %view = memref.view %s[%at][] : memref<?xi8> to memref<4xf32>
  %in = memref.view %a[%zero][] : memref<16xi8> to memref<4xf32>
  %v = vector.load %in[%zero] : memref<4xf32>, vector<4xf32>
  vector.store %v, %view[%zero] : memref<4xf32>, vector<4xf32>
  %w = vector.load %view[%zero] : memref<4xf32>, vector<4xf32>
  %x = arith.addf %w, %w : vector<4xf32>
  vector.store %x, %c[%zero] : memref<4xf32>, vector<4xf32>
  return
})";
  Compiled compiled(text);
  ASSERT_TRUE(compiled.kernel) << compiled.error;
  alignas(64) float data[4] = {1, 2, 3, 4}, scratch[20] = {};
  void *args[] = {data, data};
  compiled.kernel(args, 0, 1, scratch);
  EXPECT_EQ(data[3], 8);
  EXPECT_EQ(scratch[19], 4);
}

TEST(CpuTarget, CopiesNeedNoLibrary) {
  std::string text = R"(
func.func @k(%a: memref<4096xf32>, %c: memref<4096xf32>, %lo: index, %hi: index,
             %s: memref<?xi8>) attributes {nibble.kernel} {
  memref.copy %a, %c : memref<4096xf32> to memref<4096xf32>
  return
})";
  Compiled compiled(text);
  ASSERT_TRUE(compiled.kernel) << compiled.error;
  std::vector<float> a(4096, 7.0f), c(4097, -1.0f);
  void *args[] = {a.data(), c.data()};
  compiled.kernel(args, 0, 1, nullptr);
  EXPECT_EQ(c[4095], 7);
  EXPECT_EQ(c[4096], -1);
}

TEST(CpuTarget, ErrorsNameWhatIsWrong) {
  std::string body = "  %y = func.call @helper(%x) : (f32) -> f32";
  Compiled undefined("func.func private @helper(f32) -> f32\n" +
                     elementwise("f32", body));
  EXPECT_NE(undefined.error.find("'helper'"), std::string::npos)
      << undefined.error;
  Compiled dynamic("func.func @k(%a: memref<?xf32>, %lo: index, %hi: index, "
                   "%s: memref<?xi8>) attributes {nibble.kernel} { return }");
  EXPECT_NE(dynamic.error.find("kernel 'k': argument 0"), std::string::npos)
      << dynamic.error;
  Compiled ending("func.func @k(%a: memref<4xf32>) attributes "
                  "{nibble.kernel} { return }");
  EXPECT_NE(ending.error.find("must end in"), std::string::npos);
  cpu::CpuTargetOptions options;
  options.cpu = "pentium9";
  std::string error;
  compileText("", options, error);
  EXPECT_NE(error.find("unknown CPU 'pentium9'"), std::string::npos) << error;
  options.cpu = "x86-64-v2";
  compileText("", options, error);
  EXPECT_NE(error.find("no AVX2"), std::string::npos) << error;
}

TEST(CpuTarget, SameInputSameBytes) {
  std::string error, text = elementwise("f32", mathOp("tanh", "f32"));
  std::string first = compileText(text, {}, error);
  EXPECT_EQ(first, compileText(text, {}, error));
  EXPECT_LT(first.size(), 16384u);
}

} // namespace
