// Scalar ops of linalg bodies: numbers, NaN, widths, roundings.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

/// An elementwise linalg.generic over the arguments, with this body.
static std::string elementwise(int count, ArrayRef<std::string> types,
                               const std::string &body,
                               const std::string &result) {
  auto tensor = [&](const std::string &type) {
    return "tensor<" + std::to_string(count) + "x" + type + ">";
  };
  std::string params, ins, inTypes, args, maps;
  for (auto [i, type] : llvm::enumerate(types)) {
    std::string n = std::to_string(i), comma = i ? ", " : "";
    params += comma + "%x" + n + ": " + tensor(type);
    ins += comma + "%x" + n;
    inTypes += comma + tensor(type);
    args += "%" + std::string(1, char('a' + i)) + ": " + type + ", ";
    maps += "affine_map<(d0) -> (d0)>, ";
  }
  return "func.func @main(" + params + ") -> " + tensor(result) +
         " {\n %e = tensor.empty() : " + tensor(result) +
         "\n %r = linalg.generic {indexing_maps = [" + maps +
         "affine_map<(d0) -> (d0)>], iterator_types = [\"parallel\"]} ins(" +
         ins + " : " + inTypes + ") outs(%e : " + tensor(result) +
         ") {\n^bb0(" + args + "%o: " + result + "):\n" + body +
         "\n linalg.yield %y : " + result + "\n} -> " + tensor(result) +
         "\n return %r : " + tensor(result) + "\n}";
}

TEST(ReferenceScalar, FloatCompareFollowsNanRules) {
  double nan = NAN;
  std::vector<double> a = {1, 2, 2, nan, nan}, b = {2, 2, 1, 1, nan};
  struct {
    const char *predicate;
    std::vector<int64_t> want;
  } cases[] = {{"false", {0, 0, 0, 0, 0}}, {"oeq", {0, 1, 0, 0, 0}},
               {"ogt", {0, 0, 1, 0, 0}},   {"oge", {0, 1, 1, 0, 0}},
               {"olt", {1, 0, 0, 0, 0}},   {"ole", {1, 1, 0, 0, 0}},
               {"one", {1, 0, 1, 0, 0}},   {"ord", {1, 1, 1, 0, 0}},
               {"ueq", {0, 1, 0, 1, 1}},   {"ugt", {0, 0, 1, 1, 1}},
               {"uge", {0, 1, 1, 1, 1}},   {"ult", {1, 0, 0, 1, 1}},
               {"ule", {1, 1, 0, 1, 1}},   {"une", {1, 0, 1, 1, 1}},
               {"uno", {0, 0, 0, 1, 1}},   {"true", {1, 1, 1, 1, 1}}};
  for (auto &c : cases) {
    Harness h(elementwise(5, {"f32", "f32"},
                          std::string("%y = arith.cmpf ") + c.predicate +
                              ", %a, %b : f32",
                          "i1"));
    EXPECT_EQ(h.ints({h.arg(0, a), h.arg(1, b)}), c.want) << c.predicate;
  }
}

TEST(ReferenceScalar, MinimaAndMaxima) {
  double nan = NAN;
  std::vector<double> a = {nan, 1, -0.0, 0.0}, b = {1, nan, 0.0, -0.0};
  auto run = [&](const std::string &op) {
    Harness h(
        elementwise(4, {"f32", "f32"}, "%y = " + op + " %a, %b : f32", "f32"));
    return h.floats({h.arg(0, a), h.arg(1, b)});
  };
  auto maximum = run("arith.maximumf"), minimum = run("arith.minimumf");
  EXPECT_TRUE(std::isnan(maximum[0]) && std::isnan(maximum[1]));
  EXPECT_TRUE(std::isnan(minimum[0]) && std::isnan(minimum[1]));
  EXPECT_FALSE(std::signbit(maximum[2]) || std::signbit(maximum[3]));
  EXPECT_TRUE(std::signbit(minimum[2]) && std::signbit(minimum[3]));
  auto maxnum = run("arith.maxnumf");
  EXPECT_EQ(maxnum[0], 1);
  EXPECT_EQ(maxnum[1], 1);
}

TEST(ReferenceScalar, IntegersWrapToTheirWidth) {
  auto run = [&](const std::string &op, const std::string &type,
                 std::vector<int64_t> a, std::vector<int64_t> b) {
    Harness h(elementwise(a.size(), {type, type},
                          "%y = " + op + " %a, %b : " + type, type));
    return h.ints({h.argInts(0, a), h.argInts(1, b)});
  };
  using V = std::vector<int64_t>;
  EXPECT_EQ(run("arith.addi", "i8", {127, -128}, {1, -1}), (V{-128, 127}));
  EXPECT_EQ(run("arith.muli", "i64", {INT64_MAX}, {2}), (V{-2}));
  EXPECT_EQ(run("arith.divsi", "i32", {-7, INT32_MIN, 5}, {2, -1, 0}),
            (V{-3, INT32_MIN, 0}));
  EXPECT_EQ(run("arith.remsi", "i32", {-7, 7}, {2, -4}), (V{-1, 3}));
  EXPECT_EQ(run("arith.floordivsi", "i32", {-7, 7}, {2, 2}), (V{-4, 3}));
  EXPECT_EQ(run("arith.ceildivsi", "i32", {-7, 7}, {2, 2}), (V{-3, 4}));
  EXPECT_EQ(run("arith.divui", "i8", {-1, 7}, {2, -1}), (V{127, 0}));
  EXPECT_EQ(run("arith.ceildivui", "i8", {-1}, {2}), (V{-128}));
  EXPECT_EQ(run("arith.remui", "i8", {-1}, {16}), (V{15}));
  EXPECT_EQ(run("arith.shli", "i8", {1, 3}, {7, 9}), (V{-128, 0}));
  EXPECT_EQ(run("arith.shrui", "i8", {-128}, {7}), (V{1}));
  EXPECT_EQ(run("arith.shrsi", "i8", {-128}, {7}), (V{-1}));
  EXPECT_EQ(run("arith.maxui", "i8", {-1}, {1}), (V{-1}));
  EXPECT_EQ(run("arith.maxsi", "i8", {-1}, {1}), (V{1}));
  EXPECT_EQ(run("arith.xori", "i1", {1, 0}, {1, 1}), (V{0, 1}));
  EXPECT_EQ(run("math.ipowi", "i32", {3, -2}, {4, 3}), (V{81, -8}));
}

TEST(ReferenceScalar, ConversionsBetweenIntegersAndFloats) {
  auto run = [&](const std::string &op, const std::string &from,
                 const std::string &to, std::vector<double> a) {
    Harness h(elementwise(a.size(), {from},
                          "%y = " + op + " %a : " + from + " to " + to, to));
    return h.ints({h.arg(0, a)});
  };
  using V = std::vector<int64_t>;
  EXPECT_EQ(run("arith.fptosi", "f32", "i8", {2.9, -2.9, 300, -300, NAN}),
            (V{2, -2, 127, -128, 0}));
  EXPECT_EQ(run("arith.fptoui", "f32", "i8", {200, 300, -1}), (V{-56, -1, 0}));
  // As a float, the operand is 3.
  EXPECT_EQ(run("arith.fptosi", "f32", "i32", {3 - 1e-12}), (V{3}));
  EXPECT_EQ(run("arith.fptosi", "f64", "i32", {3 - 1e-12}), (V{2}));
  EXPECT_EQ(run("arith.bitcast", "f32", "i32", {1, -0.0}),
            (V{0x3f800000, INT32_MIN}));
  Harness flags(
      elementwise(2, {"i1"}, "%y = arith.uitofp %a : i1 to f32", "f32"));
  EXPECT_EQ(flags.floats({flags.argInts(0, {1, 0})}),
            (std::vector<double>{1, 0}));
  Harness large(
      elementwise(1, {"i64"}, "%y = arith.uitofp %a : i64 to f64", "f64"));
  EXPECT_EQ(large.floats({large.argInts(0, {-1})}),
            (std::vector<double>{0x1p64}));
}

TEST(ReferenceScalar, HalfArithmeticRoundsEachOp) {
  Harness h(elementwise(1, {"f16", "f16"},
                        "%s = arith.addf %a, %b : f16\n"
                        "%y = arith.subf %s, %a : f16",
                        "f16"));
  // 2048 + 1 is a tie between 2048 and 2050.
  EXPECT_EQ(h.floats({h.arg(0, {2048}), h.arg(1, {1})}),
            (std::vector<double>{0}));
  Harness wide(elementwise(1, {"f16", "f16"},
                           "%p = arith.extf %a : f16 to f32\n"
                           "%q = arith.extf %b : f16 to f32\n"
                           "%s = arith.addf %p, %q : f32\n"
                           "%t = arith.subf %s, %p : f32\n"
                           "%y = arith.truncf %t : f32 to f16",
                           "f16"));
  EXPECT_EQ(wide.floats({wide.arg(0, {2048}), wide.arg(1, {1})}),
            (std::vector<double>{1}));
}

TEST(ReferenceScalar, FloatIsRoundedOnlyWhereTheRoundingModeIsSpelledOut) {
  for (auto [mode, want] :
       {std::pair("", 0x1.0000001p0), std::pair("to_nearest_even ", 1.0)}) {
    Harness h(elementwise(
        1, {"f64"},
        std::string("%y = arith.truncf %a ") + mode + ": f64 to f32", "f32"));
    EXPECT_EQ(h.floats({h.arg(0, {0x1.0000001p0})}), std::vector<double>{want});
  }
}

TEST(ReferenceScalar, MathFunctions) {
  struct {
    const char *name;
    double (*f)(double);
  } cases[] = {
      {"erf", std::erf},     {"exp", std::exp},        {"tanh", std::tanh},
      {"sqrt", std::sqrt},   {"cos", std::cos},        {"atan", std::atan},
      {"sinh", std::sinh},   {"floor", std::floor},    {"ceil", std::ceil},
      {"round", std::round}, {"roundeven", std::rint}, {"trunc", std::trunc},
      {"absf", std::fabs},   {"log1p", std::log1p},    {"expm1", std::expm1},
      {"cbrt", std::cbrt},   {"asinh", std::asinh},    {"erfc", std::erfc}};
  std::vector<double> x = {0.5, 1.5, 2.5, 0.125, 3};
  for (auto &c : cases) {
    Harness h(elementwise(
        5, {"f64"}, std::string("%y = math.") + c.name + " %a : f64", "f64"));
    std::vector<double> want;
    for (double v : x)
      want.push_back(c.f(v));
    EXPECT_EQ(h.floats({h.arg(0, x)}), want) << c.name;
  }
}
