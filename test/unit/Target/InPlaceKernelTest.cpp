// Kernels whose result lies where an operand lies: what
// nibble/Analysis/InPlace.h allows, compiled and run so; and what it must not
// allow. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopRun.h"
#include "nibble/Analysis/InPlace.h"

using namespace nibble;
using namespace nibble::test;

namespace {

std::string kernel(const std::string &signature, const std::string &body) {
  return "func.func @k" + signature + " {\n" + body + "\n}\n";
}

/// The kernel may run in place on operand `operand`, and does so correctly in
/// any partition of its range.
void check(const std::string &signature, const std::string &body, int operand,
           Checks checks = {}) {
  std::string text = kernel(signature, body);
  LoopRun run(text, operand);
  ASSERT_TRUE(run.ok()) << run.error << text;
  EXPECT_EQ(whyNotInPlace(run.getKernel(), operand, 0), "") << text;
  run.check(checks);
  if (testing::Test::HasFailure())
    fprintf(stderr, "%s\n", text.c_str());
}

std::string why(const std::string &signature, const std::string &body,
                int operand = 0) {
  LoopRun run(kernel(signature, body));
  EXPECT_TRUE(run.ok()) << run.error;
  return run.ok() ? whyNotInPlace(run.getKernel(), operand, 0) : "";
}

const char *const kId = "affine_map<(d0, d1) -> (d0, d1)>";
const char *const kTr = "affine_map<(d0, d1) -> (d1, d0)>";

/// %result = op(%a, %b) on matrices of type `t`, `a` through `map`.
std::string binary(const std::string &t, const std::string &element,
                   const std::string &map, const std::string &op,
                   const std::string &a = "%a", const std::string &b = "%b",
                   const std::string &result = "%r") {
  return result + "e = tensor.empty() : " + t + "\n" + result +
         " = linalg.generic {indexing_maps = [" + map + ", " + kId + ", " +
         kId + "], iterator_types = [\"parallel\", \"parallel\"]} ins(" + a +
         ", " + b + " : " + t + ", " + t + ") outs(" + result + "e : " + t +
         ") {\n^bb0(%x: " + element + ", %y: " + element + ", %o: " + element +
         "):\n%z = " + op + " %x, %y : " + element +
         "\nlinalg.yield %z : " + element + "\n} -> " + t + "\n";
}

TEST(InPlaceKernel, ElementwiseOfAnyShapeAndType) {
  Checks half;
  half.relative = 1e-2;
  half.absolute = 1e-3;
  for (std::string shape : {"1x1", "3x5", "7x33", "16x64", "129x67", "1x1000"})
    for (std::string element : {"f32", "f16", "bf16", "i64", "i8", "i1"}) {
      bool isFloat = element[0] == 'f' || element[0] == 'b';
      std::string op = element == "i1" ? "arith.xori"
                       : isFloat       ? "arith.subf"
                                       : "arith.subi";
      std::string t = "tensor<" + shape + "x" + element + ">";
      std::string text = binary(t, element, kId, op) + "return %r : " + t;
      for (int operand : {0, 1})
        check("(%a: " + t + ", %b: " + t + ") -> " + t, text, operand,
              element == "f32" ? Checks() : half);
    }
}

TEST(InPlaceKernel, BesideATransposedOperand) {
  for (std::string n : {"5", "24", "67"}) {
    std::string t = "tensor<" + n + "x" + n + "xf32>";
    std::string text = binary(t, "f32", kTr, "arith.subf") + "return %r : " + t;
    check("(%a: " + t + ", %b: " + t + ") -> " + t, text, 1);
    EXPECT_EQ(why("(%a: " + t + ", %b: " + t + ") -> " + t, text),
              "it reads elements of the operand in another order");
  }
}

TEST(InPlaceKernel, OwnElementsByExtract) {
  std::string t = "tensor<13x40xf32>";
  auto text = [&](const std::string &at) {
    return "%e = tensor.empty() : " + t +
           "\n%r = linalg.generic {indexing_maps = [" + std::string(kId) +
           "], iterator_types = [\"parallel\", \"parallel\"]} outs(%e : " + t +
           ") {\n^bb0(%o: f32):\n%i = linalg.index 0 : index\n"
           "%j = linalg.index 1 : index\n%c = arith.constant 3 : index\n"
           "%x = tensor.extract %a[" +
           at + "] : " + t +
           "\n%y = math.tanh %x : f32\nlinalg.yield %y : f32\n} -> " + t +
           "\nreturn %r : " + t;
  };
  check("(%a: " + t + ") -> " + t, text("%i, %j"), 0);
  EXPECT_EQ(why("(%a: " + t + ") -> " + t, text("%c, %j")),
            "it gathers elements of the operand");
}

std::string softmax(const std::string &t, const std::string &dim,
                    const std::string &from, const std::string &to) {
  return to + "e = tensor.empty() : " + t + "\n" + to +
         " = linalg.softmax dimension(" + dim + ") ins(" + from + " : " + t +
         ") outs(" + to + "e : " + t + ") -> " + t + "\n";
}

TEST(InPlaceKernel, Softmax) {
  for (std::string t : {"tensor<9x37xf32>", "tensor<40x64xf32>",
                        "tensor<1x5xf32>", "tensor<300x3xf32>"})
    for (std::string dim : {"0", "1"})
      check("(%a: " + t + ") -> " + t,
            softmax(t, dim, "%a", "%r") + "return %r : " + t, 0);
  std::string t = "tensor<2x3x11x17xf32>";
  for (std::string dim : {"0", "1", "2", "3"})
    check("(%a: " + t + ") -> " + t,
          softmax(t, dim, "%a", "%r") + "return %r : " + t, 0);
}

std::string norm(const std::string &kind, const std::string &t,
                 const std::string &axis, const std::string &from,
                 const std::string &to, const std::string &scale = "") {
  return to + " = nq.norm " + kind + " " + from + " " + scale +
         " {axis = " + axis + " : i64, epsilon = 1.0e-6 : f64} : " + t +
         " -> " + t + "\n";
}

TEST(InPlaceKernel, Norms) {
  Checks loose;
  loose.relative = loose.absolute = 1e-4;
  for (std::string kind : {"rms", "layer"})
    for (std::string t :
         {"tensor<9x37xf32>", "tensor<64x256xf32>", "tensor<200x3xf32>"})
      for (std::string axis : {"0", "1"})
        check("(%a: " + t + ") -> " + t,
              norm(kind, t, axis, "%a", "%r") + "return %r : " + t, 0, loose);
  std::string t = "tensor<8x32xf32>";
  std::string scaled =
      norm("rms", t, "1", "%a", "%r", "scale(%a : " + t + ")") +
      "return %r : " + t;
  EXPECT_EQ(why("(%a: " + t + ") -> " + t, scaled),
            "it reads the operand in another way");
}

/// Several ops of one kernel, as regions have them.
TEST(InPlaceKernel, ChainsOfRows) {
  Checks loose;
  loose.relative = loose.absolute = 1e-4;
  for (std::string t : {"tensor<9x37xf32>", "tensor<33x64xf32>"}) {
    std::string two = "(%a: " + t + ", %b: " + t + ") -> " + t;
    std::string sum = binary(t, "f32", kId, "arith.addf", "%a", "%b", "%s");
    std::string end = "return %r : " + t;
    for (int operand : {0, 1}) {
      check(two, sum + softmax(t, "1", "%s", "%r") + end, operand, loose);
      check(two, sum + softmax(t, "0", "%s", "%r") + end, operand, loose);
      check(two, sum + norm("layer", t, "1", "%s", "%r") + end, operand, loose);
      // The sum is read again behind the norm.
      check(two,
            sum + norm("rms", t, "1", "%s", "%n") +
                binary(t, "f32", kId, "arith.mulf", "%n", "%s") + end,
            operand, loose);
      // Rows along one axis, then along the other.
      check(two,
            sum + softmax(t, "0", "%s", "%n") +
                norm("rms", t, "1", "%n", "%r") + end,
            operand, loose);
    }
  }
}

std::string statistics(const std::string &t, const std::string &of,
                       const std::string &sums) {
  return "%t:2 = nq.statistics layer " + of + " tile 128 : (" + t + ") -> (" +
         sums + ", " + sums + ")\n";
}

/// Statistics of the result are made from what is stored.
TEST(InPlaceKernel, ResultsWithStatistics) {
  Checks loose;
  loose.relative = 1e-4, loose.absolute = 1e-3;
  std::string t = "tensor<19x300xf32>", s = "tensor<19x3xf32>";
  std::string all = t + ", " + s + ", " + s;
  std::string end = statistics(t, "%r", s) + "return %r, %t#0, %t#1 : " + all;
  std::string sum = binary(t, "f32", kId, "arith.addf", "%a", "%b", "%r");
  for (int operand : {0, 1})
    check("(%a: " + t + ", %b: " + t + ") -> (" + all + ")", sum + end, operand,
          loose);
  check("(%p: tensor<19x64xf32>, %q: tensor<300x64xf32>, %a: " + t + ") -> (" +
            all + ")",
        "%b = nq.matmul %p, %q transpose_b : (tensor<19x64xf32>, "
        "tensor<300x64xf32>) -> " +
            t + "\n" + sum + end,
        2, loose);
  EXPECT_EQ(
      why("(%a: " + t + ", %b: " + t + ") -> (" + all + ")",
          sum + statistics(t, "%a", s) + "return %r, %t#0, %t#1 : " + all),
      "the kernel has several results");
}

TEST(InPlaceKernel, WhatIsNotSafe) {
  std::string t = "tensor<8x8xf32>", one = "(%a: " + t + ") -> " + t;
  std::string turned = binary(t, "f32", kTr, "arith.addf", "%s", "%s");
  EXPECT_EQ(
      why(one, norm("rms", t, "1", "%a", "%s") + turned + "return %r : " + t),
      "it reads elements of the operand in another order");
  EXPECT_EQ(why("(%a: tensor<8x8xf32>) -> tensor<8x8xf16>",
                "%r = nq.cast %a : tensor<8x8xf32> -> tensor<8x8xf16>\n"
                "return %r : tensor<8x8xf16>"),
            "operand and result have different types");
  EXPECT_EQ(why("(%a: " + t + ") -> (" + t + ", " + t + ")",
                norm("rms", t, "1", "%a", "%r") +
                    norm("rms", t, "1", "%r", "%s") + "return %r, %s : " + t +
                    ", " + t),
            "the kernel has several results");
  EXPECT_EQ(
      why("(%a: " + t + ") -> " + t,
          "%r = tensor.pad %a low[0, 0] high[0, 0] {\n^bb0(%i: index, %j: "
          "index):\n%c = arith.constant 0.0 : f32\ntensor.yield %c : f32\n} "
          ": " +
              t + " to " + t + "\nreturn %r : " + t),
      "'tensor.pad' is not known to allow it");
}

} // namespace
