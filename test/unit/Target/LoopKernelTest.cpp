// Kernels without matrix products: each graph op, compiled and compared with
// the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopRun.h"

using namespace nibble::test;

namespace {

/// func.func @k with `body`; `signature` is "(%a: .., ..) -> (..)".
std::string kernel(const std::string &signature, const std::string &body) {
  return "func.func @k" + signature + " {\n" + body + "\n}\n";
}

void check(const std::string &signature, const std::string &body,
           Checks checks = {}) {
  LoopRun run(kernel(signature, body));
  run.check(checks);
  if (testing::Test::HasFailure())
    fprintf(stderr, "%s\n%s\n", kernel(signature, body).c_str(),
            getenv("NIBBLE_SHOW_LOOPS") ? run.loops.c_str() : "");
}

Checks half() {
  Checks checks;
  checks.relative = 1e-3;
  checks.absolute = 1e-4;
  return checks;
}

/// A unary elementwise kernel: `ops` map %x to %y.
void checkMap(const std::string &shape, const std::string &from,
              const std::string &to, const std::string &ops,
              Checks checks = {}) {
  std::string in = "tensor<" + shape + from + ">",
              out = "tensor<" + shape + to + ">";
  int rank = std::count(shape.begin(), shape.end(), 'x');
  std::string dims, iterators;
  for (int i = 0; i < rank; ++i) {
    dims += (i ? ", d" : "d") + std::to_string(i);
    iterators += i ? ", \"parallel\"" : "\"parallel\"";
  }
  std::string map = "affine_map<(" + dims + ") -> (" + dims + ")>";
  check("(%a: " + in + ") -> " + out,
        "%e = tensor.empty() : " + out +
            "\n%r = linalg.generic {indexing_maps = [" + map + ", " + map +
            "], iterator_types = [" + iterators + "]} ins(%a : " + in +
            ") outs(%e : " + out + ") {\n^bb0(%x: " + from + ", %o: " + to +
            "):\n" + ops + "\nlinalg.yield %y : " + to + "\n} -> " + out +
            "\nreturn %r : " + out,
        checks);
}

TEST(LoopKernel, ElementwiseOfAnyShapeAndType) {
  std::string twice = "%y = arith.addf %x, %x : f32";
  for (std::string shape :
       {"", "1x", "7x", "16x", "1000x", "3x5x7x", "2x1x33x"})
    checkMap(shape, "f32", "f32", twice);
  checkMap("0x", "f32", "f32", twice);
  checkMap("33x", "f64", "f64", "%y = math.exp %x : f64");
  checkMap("67x", "f16", "f16", "%y = arith.mulf %x, %x : f16", half());
  Checks bf16 = half();
  bf16.relative = 1e-2;
  checkMap("67x", "bf16", "bf16", "%y = math.tanh %x : bf16", bf16);
  checkMap("67x", "i64", "i64", "%y = arith.muli %x, %x : i64");
  checkMap("67x", "i8", "i8", "%y = arith.addi %x, %x : i8");
  checkMap("67x", "i1", "i1",
           "%t = arith.constant true\n%y = arith.xori %x, %t : i1");
  checkMap("67x", "f32", "i1",
           "%c = arith.constant 0.5 : f32\n"
           "%y = arith.cmpf ogt, %x, %c : f32");
  checkMap("67x", "i32", "f32", "%y = arith.sitofp %x : i32 to f32");
  checkMap("67x", "f32", "i64", "%y = arith.fptosi %x : f32 to i64");
  checkMap("67x", "i8", "f16", "%y = arith.uitofp %x : i8 to f16", half());
}

TEST(LoopKernel, GeluOnOddSizes) {
  std::string gelu = "%half = arith.constant 0.5 : f32\n"
                     "%root = arith.constant 0.707106781 : f32\n"
                     "%one = arith.constant 1.0 : f32\n"
                     "%s = arith.mulf %x, %root : f32\n"
                     "%erf = math.erf %s : f32\n"
                     "%p = arith.addf %erf, %one : f32\n"
                     "%m = arith.mulf %x, %half : f32\n"
                     "%y = arith.mulf %m, %p : f32";
  checkMap("13x77x", "f32", "f32", gelu);
  checkMap("5x", "f32", "f32", gelu);
}

constexpr char kBroadcastBody[] = R"(
%e = tensor.empty() : tensor<3x5x37xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>,
  affine_map<(a, b, c) -> (c)>, affine_map<(a, b, c) -> (a, 0, c)>,
  affine_map<(a, b, c) -> (b)>, affine_map<(a, b, c) -> (a, b, c)>],
  iterator_types = ["parallel", "parallel", "parallel"]}
  ins(%a, %b, %c, %d : tensor<3x5x37xf32>, tensor<37xf32>, tensor<3x1x37xf32>, tensor<5xf32>)
  outs(%e : tensor<3x5x37xf32>) {
^bb0(%x: f32, %y: f32, %z: f32, %w: f32, %o: f32):
  %0 = arith.mulf %x, %y : f32
  %1 = arith.addf %0, %z : f32
  %2 = arith.divf %1, %w : f32
  linalg.yield %2 : f32
} -> tensor<3x5x37xf32>
return %r : tensor<3x5x37xf32>)";

TEST(LoopKernel, Broadcasts) {
  check("(%a: tensor<3x5x37xf32>, %b: tensor<37xf32>, %c: tensor<3x1x37xf32>, "
        "%d: tensor<5xf32>) -> tensor<3x5x37xf32>",
        kBroadcastBody, half());
  check("(%a: tensor<37xf16>) -> tensor<2x37x3xf16>",
        "%e = tensor.empty() : tensor<2x37x3xf16>\n"
        "%r = linalg.broadcast ins(%a : tensor<37xf16>) outs(%e : "
        "tensor<2x37x3xf16>) dimensions = [0, 2]\nreturn %r : "
        "tensor<2x37x3xf16>");
}

void checkTranspose(const std::string &from, const std::string &to,
                    const std::string &permutation) {
  check("(%a: tensor<" + from + ">) -> tensor<" + to + ">",
        "%e = tensor.empty() : tensor<" + to +
            ">\n%r = linalg.transpose ins(%a : tensor<" + from +
            ">) outs(%e : tensor<" + to + ">) permutation = [" + permutation +
            "]\nreturn %r : tensor<" + to + ">");
}

TEST(LoopKernel, Transposes) {
  checkTranspose("33x65xf32", "65x33xf32", "1, 0");
  checkTranspose("3x9x4x32xf16", "3x4x9x32xf16", "0, 2, 1, 3");
  checkTranspose("5x6x7xi64", "7x5x6xi64", "2, 0, 1");
  checkTranspose("5x6x7xf8E4M3FN", "7x6x5xf8E4M3FN", "2, 1, 0");
  checkTranspose("6x8xi1", "8x6xi1", "1, 0");
  checkTranspose("6x7xf4E2M1FN", "7x6xf4E2M1FN", "1, 0");
}

std::string reduction(const std::string &in, const std::string &out,
                      const std::string &dims, const std::string &outDims,
                      const std::string &iterators, const std::string &type,
                      const std::string &init, const std::string &op) {
  return "%c = arith.constant " + init + " : " + type +
         "\n%e = tensor.empty() : tensor<" + out +
         ">\n%f = linalg.fill ins(%c : " + type + ") outs(%e : tensor<" + out +
         ">) -> tensor<" + out +
         ">\n%r = linalg.generic {indexing_maps = [affine_map<(" + dims +
         ") -> (" + dims + ")>, affine_map<(" + dims + ") -> (" + outDims +
         ")>], iterator_types = [" + iterators + "]} ins(%a : tensor<" + in +
         ">) outs(%f : tensor<" + out + ">) {\n^bb0(%x: " + type +
         ", %o: " + type + "):\n%y = " + op + " %o, %x : " + type +
         "\nlinalg.yield %y : " + type + "\n} -> tensor<" + out +
         ">\nreturn %r : tensor<" + out + ">";
}

void checkReduction(const std::string &in, const std::string &out,
                    const std::string &dims, const std::string &outDims,
                    const std::string &iterators, const std::string &type,
                    const std::string &init, const std::string &op,
                    Checks checks = {}) {
  check("(%a: tensor<" + in + ">) -> tensor<" + out + ">",
        reduction(in, out, dims, outDims, iterators, type, init, op), checks);
}

TEST(LoopKernel, Reductions) {
  Checks sum;
  sum.absolute = 1e-4;
  const char *inner = "\"parallel\", \"reduction\"";
  const char *outer = "\"reduction\", \"parallel\"";
  checkReduction("9x1000xf32", "9xf32", "a, b", "a", inner, "f32", "0.0",
                 "arith.addf", sum);
  checkReduction("9x13xf32", "9xf32", "a, b", "a", inner, "f32", "0.0",
                 "arith.addf", sum);
  checkReduction("77x130xf32", "130xf32", "a, b", "b", outer, "f32", "1.0",
                 "arith.addf", sum);
  checkReduction("300x3xf64", "3xf64", "a, b", "b", outer, "f64", "0.0",
                 "arith.addf");
  checkReduction("9x100xf32", "9xf32", "a, b", "a", inner, "f32", "0xFF800000",
                 "arith.maximumf");
  checkReduction("9x100xf32", "9xf32", "a, b", "a", inner, "f32", "0x7F800000",
                 "arith.minnumf");
  checkReduction("9x100xi64", "9xi64", "a, b", "a", inner, "i64", "0",
                 "arith.addi");
  checkReduction("9x100xi8", "9xi8", "a, b", "a", inner, "i8", "-128",
                 "arith.maxsi");
  checkReduction("9x100xi1", "9xi1", "a, b", "a", inner, "i1", "0",
                 "arith.ori");
  // The reference rounds every sum to f16, kernels the last one.
  Checks rough;
  rough.relative = rough.absolute = 0.1;
  checkReduction("9x33xf16", "9xf16", "a, b", "a", inner, "f16", "0.0",
                 "arith.addf", rough);
  checkReduction("9x40xf32", "f32", "a, b", "", "\"reduction\", \"reduction\"",
                 "f32", "0.0", "arith.addf", sum);
  checkReduction("4x5x6x7xf32", "5x7xf32", "a, b, c, d", "b, d",
                 "\"reduction\", \"parallel\", \"reduction\", \"parallel\"",
                 "f32", "0.0", "arith.addf", sum);
}

TEST(LoopKernel, ArgmaxAndCumulativeSum) {
  check("(%a: tensor<5x77xf32>) -> (tensor<5xf32>, tensor<5xi64>)", R"(
%c = arith.constant 0xFF800000 : f32
%z = arith.constant 0 : i64
%e = tensor.empty() : tensor<5xf32>
%ei = tensor.empty() : tensor<5xi64>
%f = linalg.fill ins(%c : f32) outs(%e : tensor<5xf32>) -> tensor<5xf32>
%fi = linalg.fill ins(%z : i64) outs(%ei : tensor<5xi64>) -> tensor<5xi64>
%r:2 = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>,
  affine_map<(a, b) -> (a)>, affine_map<(a, b) -> (a)>],
  iterator_types = ["parallel", "reduction"]} ins(%a : tensor<5x77xf32>)
  outs(%f, %fi : tensor<5xf32>, tensor<5xi64>) {
^bb0(%x: f32, %m: f32, %i: i64):
  %j = linalg.index 1 : index
  %k = arith.index_cast %j : index to i64
  %g = arith.cmpf ogt, %x, %m : f32
  %nm = arith.select %g, %x, %m : f32
  %ni = arith.select %g, %k, %i : i64
  linalg.yield %nm, %ni : f32, i64
} -> (tensor<5xf32>, tensor<5xi64>)
return %r#0, %r#1 : tensor<5xf32>, tensor<5xi64>)");
  Checks sum;
  sum.absolute = 1e-4;
  check("(%a: tensor<3x29xf32>) -> tensor<3x29xf32>", R"(
%c = arith.constant 0.0 : f32
%e = tensor.empty() : tensor<3x29xf32>
%f = linalg.fill ins(%c : f32) outs(%e : tensor<3x29xf32>) -> tensor<3x29xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a, b, k) -> (a, k)>,
  affine_map<(a, b, k) -> (a, b)>],
  iterator_types = ["parallel", "parallel", "reduction"]} ins(%a : tensor<3x29xf32>)
  outs(%f : tensor<3x29xf32>) {
^bb0(%x: f32, %s: f32):
  %i = linalg.index 1 : index
  %k = linalg.index 2 : index
  %g = arith.cmpi sle, %k, %i : index
  %t = arith.select %g, %x, %c : f32
  %n = arith.addf %s, %t : f32
  linalg.yield %n : f32
} -> tensor<3x29xf32>
return %r : tensor<3x29xf32>)",
        sum);
}

TEST(LoopKernel, ConvolutionWindows) {
  Checks sum;
  sum.absolute = 1e-4;
  check("(%a: tensor<2x3x20x21xf32>, %w: tensor<4x3x3x3xf32>) -> "
        "tensor<2x4x9x19xf32>",
        R"(
%c = arith.constant 0.0 : f32
%e = tensor.empty() : tensor<2x4x9x19xf32>
%f = linalg.fill ins(%c : f32) outs(%e : tensor<2x4x9x19xf32>) -> tensor<2x4x9x19xf32>
%r = linalg.generic {indexing_maps = [
  affine_map<(n, o, y, x, c, i, j) -> (n, c, y * 2 + i, x + j)>,
  affine_map<(n, o, y, x, c, i, j) -> (o, c, i, j)>,
  affine_map<(n, o, y, x, c, i, j) -> (n, o, y, x)>],
  iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
  ins(%a, %w : tensor<2x3x20x21xf32>, tensor<4x3x3x3xf32>) outs(%f : tensor<2x4x9x19xf32>) {
^bb0(%x: f32, %y: f32, %o: f32):
  %m = arith.mulf %x, %y : f32
  %s = arith.addf %o, %m : f32
  linalg.yield %s : f32
} -> tensor<2x4x9x19xf32>
return %r : tensor<2x4x9x19xf32>)",
        sum);
}

TEST(LoopKernel, ReductionStartsAndReadsPerLane) {
  // The start and one factor do not depend on the folded dimension: they are
  // loaded outside of its loop, a vector of lanes at a time.
  Checks sum;
  sum.absolute = 1e-3;
  check("(%a: tensor<31x70xf32>, %b: tensor<70xf32>, %s: tensor<70xf32>, %i: "
        "tensor<70xi64>, %t: tensor<21x3xf32>) -> tensor<70xf32>",
        R"(
%r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>,
  affine_map<(a, b) -> (b)>, affine_map<(a, b) -> (b)>], iterator_types = ["reduction", "parallel"]}
  ins(%a, %b, %i : tensor<31x70xf32>, tensor<70xf32>, tensor<70xi64>) outs(%s : tensor<70xf32>) {
^bb0(%x: f32, %y: f32, %k: i64, %o: f32):
  %one = arith.constant 1 : index
  %j = arith.index_cast %k : i64 to index
  %g = tensor.extract %t[%j, %one] : tensor<21x3xf32>
  %m = arith.mulf %x, %y : f32
  %n = arith.mulf %m, %g : f32
  %v = arith.addf %o, %n : f32
  linalg.yield %v : f32
} -> tensor<70xf32>
return %r : tensor<70xf32>)",
        [&] {
          sum.low = 0;
          return sum;
        }());
}

TEST(LoopKernel, SeveralElementwiseResults) {
  check("(%a: tensor<9x35xf32>, %b: tensor<35xf32>) -> (tensor<9x35xf32>, "
        "tensor<9x35xf16>, tensor<35x9xf32>)",
        R"(
%e = tensor.empty() : tensor<9x35xf32>
%h = tensor.empty() : tensor<9x35xf16>
%r:2 = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>,
  affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
  ins(%a, %b : tensor<9x35xf32>, tensor<35xf32>) outs(%e, %h : tensor<9x35xf32>, tensor<9x35xf16>) {
^bb0(%x: f32, %y: f32, %o: f32, %p: f16):
  %0 = arith.addf %x, %y : f32
  %1 = math.tanh %0 : f32
  %2 = arith.truncf %0 : f32 to f16
  linalg.yield %1, %2 : f32, f16
} -> (tensor<9x35xf32>, tensor<9x35xf16>)
%te = tensor.empty() : tensor<35x9xf32>
%t = linalg.transpose ins(%r#0 : tensor<9x35xf32>) outs(%te : tensor<35x9xf32>) permutation = [1, 0]
return %r#0, %r#1, %t : tensor<9x35xf32>, tensor<9x35xf16>, tensor<35x9xf32>)",
        half());
}

TEST(LoopKernel, GathersStayInsideTheBuffer) {
  std::string body = R"(
%e = tensor.empty() : tensor<4x6x50xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b)>, affine_map<(a, b, c) -> (a, b, c)>],
  iterator_types = ["parallel", "parallel", "parallel"]} ins(%i : tensor<4x6xi64>)
  outs(%e : tensor<4x6x50xf32>) {
^bb0(%x: i64, %o: f32):
  %j = arith.index_cast %x : i64 to index
  %c = linalg.index 2 : index
  %v = tensor.extract %t[%j, %c] : tensor<21x50xf32>
  linalg.yield %v : f32
} -> tensor<4x6x50xf32>
return %r : tensor<4x6x50xf32>)";
  Checks inside;
  inside.low = 0;
  check("(%t: tensor<21x50xf32>, %i: tensor<4x6xi64>) -> tensor<4x6x50xf32>",
        body, inside);
  // Gather along the last axis: one address per lane.
  check("(%t: tensor<8x40xf16>, %i: tensor<8x33xi32>) -> tensor<8x33xf16>", R"(
%e = tensor.empty() : tensor<8x33xf16>
%r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
  iterator_types = ["parallel", "parallel"]} ins(%i : tensor<8x33xi32>)
  outs(%e : tensor<8x33xf16>) {
^bb0(%x: i32, %o: f16):
  %j = arith.index_cast %x : i32 to index
  %c = linalg.index 0 : index
  %v = tensor.extract %t[%c, %j] : tensor<8x40xf16>
  linalg.yield %v : f16
} -> tensor<8x33xf16>
return %r : tensor<8x33xf16>)",
        inside);
}

TEST(LoopKernel, OutOfRangeIndicesReadTheNearestElement) {
  LoopRun run(
      kernel("(%t: tensor<4xf32>, %i: tensor<3xi64>) -> tensor<3xf32>", R"(
%e = tensor.empty() : tensor<3xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>],
  iterator_types = ["parallel"]} ins(%i : tensor<3xi64>) outs(%e : tensor<3xf32>) {
^bb0(%x: i64, %o: f32):
  %j = arith.index_cast %x : i64 to index
  %v = tensor.extract %t[%j] : tensor<4xf32>
  linalg.yield %v : f32
} -> tensor<3xf32>
return %r : tensor<3xf32>)"));
  ASSERT_TRUE(run.ok()) << run.error;
  float table[4] = {1, 2, 3, 4}, out[3];
  int64_t indices[3] = {-7, 2, INT64_MAX};
  void *args[] = {table, indices, out};
  run.call(args, 0, run.info.extent);
  EXPECT_EQ(out[0], 1);
  EXPECT_EQ(out[1], 3);
  EXPECT_EQ(out[2], 4);
}

TEST(LoopKernel, ReversalAndStrides) {
  check("(%a: tensor<3x41xf32>) -> tensor<3x41xf32>", R"(
%e = tensor.empty() : tensor<3x41xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>],
  iterator_types = ["parallel", "parallel"]} outs(%e : tensor<3x41xf32>) {
^bb0(%o: f32):
  %i = linalg.index 0 : index
  %j = linalg.index 1 : index
  %n = arith.constant 40 : index
  %k = arith.subi %n, %j : index
  %v = tensor.extract %a[%i, %k] : tensor<3x41xf32>
  linalg.yield %v : f32
} -> tensor<3x41xf32>
return %r : tensor<3x41xf32>)");
  check("(%a: tensor<9x41xf16>) -> tensor<4x13xf16>",
        "%r = tensor.extract_slice %a[1, 2] [4, 13] [2, 3] : tensor<9x41xf16> "
        "to tensor<4x13xf16>\nreturn %r : tensor<4x13xf16>");
}

TEST(LoopKernel, PadConcatSliceInsertReshape) {
  check("(%a: tensor<3x5x9xf32>) -> tensor<3x8x14xf32>", R"(
%c = arith.constant 2.5 : f32
%r = tensor.pad %a low[0, 1, 2] high[0, 2, 3] {
^bb0(%i: index, %j: index, %k: index):
  tensor.yield %c : f32
} : tensor<3x5x9xf32> to tensor<3x8x14xf32>
return %r : tensor<3x8x14xf32>)");
  check("(%a: tensor<2x3x8xf16>, %b: tensor<2x5x8xf16>) -> tensor<2x8x8xf16>",
        "%r = tensor.concat dim(1) %a, %b : (tensor<2x3x8xf16>, "
        "tensor<2x5x8xf16>) -> tensor<2x8x8xf16>\nreturn %r : "
        "tensor<2x8x8xf16>");
  check("(%a: tensor<2x3x8xi64>, %b: tensor<2x3x5xi64>) -> tensor<2x3x13xi64>",
        "%r = tensor.concat dim(2) %a, %b : (tensor<2x3x8xi64>, "
        "tensor<2x3x5xi64>) -> tensor<2x3x13xi64>\nreturn %r : "
        "tensor<2x3x13xi64>");
  check("(%a: tensor<4x20xf32>, %b: tensor<2x7xf32>) -> tensor<4x20xf32>",
        "%r = tensor.insert_slice %b into %a[1, 5] [2, 7] [1, 1] : "
        "tensor<2x7xf32> into tensor<4x20xf32>\nreturn %r : tensor<4x20xf32>");
  check("(%a: tensor<6x35xf32>) -> tensor<5x42xf32>",
        "%0 = tensor.collapse_shape %a [[0, 1]] : tensor<6x35xf32> into "
        "tensor<210xf32>\n%r = tensor.expand_shape %0 [[0, 1]] output_shape "
        "[5, 42] : tensor<210xf32> into tensor<5x42xf32>\nreturn %r : "
        "tensor<5x42xf32>");
  // A reshape between a transpose and its use: heads of attention.
  check("(%a: tensor<7x4x8xf16>) -> tensor<7x32xf16>",
        "%e = tensor.empty() : tensor<7x8x4xf16>\n%t = linalg.transpose ins(%a "
        ": tensor<7x4x8xf16>) outs(%e : tensor<7x8x4xf16>) permutation = [0, "
        "2, 1]\n%r = tensor.collapse_shape %t [[0], [1, 2]] : "
        "tensor<7x8x4xf16> into tensor<7x32xf16>\nreturn %r : "
        "tensor<7x32xf16>");
}

TEST(LoopKernel, ShapesInTheMiddleOfAChain) {
  check("(%a: tensor<3x5xf32>, %b: tensor<3x4xf32>) -> tensor<11x3xf32>", R"(
%c = arith.constant 1.5 : f32
%0 = tensor.concat dim(1) %a, %b : (tensor<3x5xf32>, tensor<3x4xf32>) -> tensor<3x9xf32>
%1 = tensor.pad %0 low[0, 1] high[0, 1] {
^bb0(%i: index, %j: index):
  tensor.yield %c : f32
} : tensor<3x9xf32> to tensor<3x11xf32>
%e = tensor.empty() : tensor<11x3xf32>
%r = linalg.transpose ins(%1 : tensor<3x11xf32>) outs(%e : tensor<11x3xf32>) permutation = [1, 0]
return %r : tensor<11x3xf32>)");
}

std::string softmax(const std::string &type, int dim) {
  return "%e = tensor.empty() : tensor<" + type +
         ">\n%r = linalg.softmax dimension(" + std::to_string(dim) +
         ") ins(%a : tensor<" + type + ">) outs(%e : tensor<" + type +
         ">) -> tensor<" + type + ">\nreturn %r : tensor<" + type + ">";
}

TEST(LoopKernel, Softmax) {
  for (std::string type : {"3x4x128xf32", "5x77xf32", "3x1xf32", "2x7x9xf64"})
    check("(%a: tensor<" + type + ">) -> tensor<" + type + ">",
          softmax(type, std::count(type.begin(), type.end(), 'x') - 1));
  check("(%a: tensor<5x77xf16>) -> tensor<5x77xf16>", softmax("5x77xf16", 1),
        half());
  check("(%a: tensor<5x40x33xf32>) -> tensor<5x40x33xf32>",
        softmax("5x40x33xf32", 1));
  check("(%a: tensor<6x50xf32>) -> tensor<6x50xf32>", softmax("6x50xf32", 0));
}

TEST(LoopKernel, SoftmaxOfMaskedScores) {
  check("(%a: tensor<2x9x70xf32>, %m: tensor<9x70xi1>) -> tensor<2x9x70xf32>",
        R"(
%e = tensor.empty() : tensor<2x9x70xf32>
%s = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>,
  affine_map<(a, b, c) -> (b, c)>, affine_map<(a, b, c) -> (a, b, c)>],
  iterator_types = ["parallel", "parallel", "parallel"]}
  ins(%a, %m : tensor<2x9x70xf32>, tensor<9x70xi1>) outs(%e : tensor<2x9x70xf32>) {
^bb0(%x: f32, %k: i1, %o: f32):
  %n = arith.constant 0xFF800000 : f32
  %v = arith.select %k, %x, %n : f32
  linalg.yield %v : f32
} -> tensor<2x9x70xf32>
%r = linalg.softmax dimension(2) ins(%s : tensor<2x9x70xf32>) outs(%e : tensor<2x9x70xf32>) -> tensor<2x9x70xf32>
return %r : tensor<2x9x70xf32>)");
}

TEST(LoopKernel, Norms) {
  Checks checks;
  checks.relative = checks.absolute = 1e-5;
  check("(%a: tensor<2x5x100xf32>, %s: tensor<100xf32>, %b: tensor<100xf32>) "
        "-> tensor<2x5x100xf32>",
        "%r = nq.norm layer %a scale(%s : tensor<100xf32>) bias(%b : "
        "tensor<100xf32>) {axis = 2 : i64, epsilon = 1.0e-5 : f64} : "
        "tensor<2x5x100xf32> -> tensor<2x5x100xf32>\nreturn %r : "
        "tensor<2x5x100xf32>",
        checks);
  check("(%a: tensor<7x64xf16>, %s: tensor<64xf32>) -> tensor<7x64xf16>",
        "%r = nq.norm rms %a scale(%s : tensor<64xf32>) {axis = 1 : i64, "
        "epsilon = 1.0e-6 : f64} : tensor<7x64xf16> -> "
        "tensor<7x64xf16>\nreturn %r : tensor<7x64xf16>",
        half());
  check("(%a: tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>",
        "%r = nq.norm layer %a {axis = 2 : i64, epsilon = 1.0e-5 : f64} : "
        "tensor<2x3x4x5xf32> -> tensor<2x3x4x5xf32>\nreturn %r : "
        "tensor<2x3x4x5xf32>",
        checks);
}

/// Statistics of `width` elements in tiles, and the norm that reads them.
static void checkStatistics(const std::string &kind, const std::string &element,
                            int64_t width, int64_t tile) {
  std::string tiles = std::to_string((width + tile - 1) / tile);
  std::string x = "tensor<2x5x" + std::to_string(width) + "x" + element + ">",
              s = "tensor<2x5x" + tiles + "xf32>";
  bool layer = kind == "layer";
  std::string pair = layer ? s + ", " + s : s;
  std::string at = " tile " + std::to_string(tile) + " ";
  Checks checks = element == "f32" ? Checks() : half();
  // Sums of about `tile` numbers of either sign.
  checks.relative = std::max(checks.relative, 1e-5);
  checks.absolute = std::max(checks.absolute, 1e-4);
  check("(%a: " + x + ") -> (" + pair + ", " + x + ")",
        std::string(layer ? "%s:2" : "%s") + " = nq.statistics " + kind +
            " %a" + at + ": (" + x + ") -> " +
            (layer ? "(" + pair + ")" : pair) + "\n%r = nq.norm " + kind +
            " %a statistics(" + (layer ? "%s#0, %s#1" : "%s") + " : " + pair +
            ")" + at + "{axis = 2 : i64, epsilon = 1.0e-5 : f64} : " + x +
            " -> " + x + "\nreturn " + (layer ? "%s#0, %s#1" : "%s") +
            ", %r : " + pair + ", " + x,
        checks);
}

TEST(LoopKernel, NormsWithStatistics) {
  for (std::string kind : {"rms", "layer"})
    for (int64_t width : {1, 100, 128, 333, 640})
      for (int64_t tile : {16, 128, 200}) {
        checkStatistics(kind, "f32", width, tile);
        checkStatistics(kind, "bf16", width, tile);
      }
}

TEST(LoopKernel, ResidualAndNorm) {
  Checks checks;
  checks.relative = checks.absolute = 1e-5;
  check("(%a: tensor<9x96xf32>, %b: tensor<9x96xf32>, %s: tensor<96xf32>) -> "
        "(tensor<9x96xf32>, tensor<9x96xf32>)",
        R"(
%e = tensor.empty() : tensor<9x96xf32>
%x = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
  iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<9x96xf32>, tensor<9x96xf32>) outs(%e : tensor<9x96xf32>) {
^bb0(%p: f32, %q: f32, %o: f32):
  %v = arith.addf %p, %q : f32
  linalg.yield %v : f32
} -> tensor<9x96xf32>
%n = nq.norm rms %x scale(%s : tensor<96xf32>) {axis = 1 : i64, epsilon = 1.0e-5 : f64} : tensor<9x96xf32> -> tensor<9x96xf32>
return %x, %n : tensor<9x96xf32>, tensor<9x96xf32>)",
        checks);
}

TEST(LoopKernel, MeanOverRowsThenUse) {
  // Rows depend on each other: the whole kernel is one task.
  Checks sum;
  sum.absolute = 1e-4;
  check("(%a: tensor<21x40xf32>) -> tensor<21x40xf32>", R"(
%c = arith.constant 0.0 : f32
%e = tensor.empty() : tensor<40xf32>
%f = linalg.fill ins(%c : f32) outs(%e : tensor<40xf32>) -> tensor<40xf32>
%s = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>],
  iterator_types = ["reduction", "parallel"]} ins(%a : tensor<21x40xf32>) outs(%f : tensor<40xf32>) {
^bb0(%x: f32, %o: f32):
  %v = arith.addf %x, %o : f32
  linalg.yield %v : f32
} -> tensor<40xf32>
%e2 = tensor.empty() : tensor<21x40xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>, affine_map<(a, b) -> (a, b)>],
  iterator_types = ["parallel", "parallel"]} ins(%a, %s : tensor<21x40xf32>, tensor<40xf32>) outs(%e2 : tensor<21x40xf32>) {
^bb0(%x: f32, %y: f32, %o: f32):
  %v = arith.subf %x, %y : f32
  linalg.yield %v : f32
} -> tensor<21x40xf32>
return %r : tensor<21x40xf32>)",
        sum);
}

TEST(LoopKernel, Rope) {
  for (std::string mode : {"", "{interleaved} "})
    for (std::string table : {"1x6x8", "2x6x8"})
      check("(%a: tensor<2x3x6x20xf32>, %c: tensor<" + table +
                "xf32>, %s: tensor<" + table + "xf32>) -> tensor<2x3x6x20xf32>",
            "%r = nq.rope %a, %c, %s " + mode +
                ": (tensor<2x3x6x20xf32>, "
                "tensor<" +
                table + "xf32>, tensor<" + table +
                "xf32>) -> tensor<2x3x6x20xf32>\nreturn %r : "
                "tensor<2x3x6x20xf32>");
}

void checkStatic(const std::string &shape, const std::string &from,
                 const std::string &scaled, const std::string &scale,
                 const std::string &attributes = "",
                 const std::string &zero = "") {
  std::string in = "tensor<" + shape + "x" + from + ">",
              out = "tensor<" + shape + "x" + scaled + ">";
  std::string parameter = zero.empty() ? "" : ", %z: " + zero;
  std::string operand = zero.empty() ? "" : "zero_point(%z : " + zero + ") ";
  Checks checks;
  checks.scale = 3;
  checks.low = 0;
  checks.high = 4;
  check("(%a: " + in + ", %s: " + scale + parameter + ") -> " + out,
        "%r = nq.quantize %a scale(%s : " + scale + ") " + operand +
            attributes + " : " + in + " -> " + out + "\nreturn %r : " + out,
        checks);
}

TEST(LoopKernel, StaticQuantize) {
  checkStatic("5x77", "f32", "!nq.fp8", "tensor<f32>");
  checkStatic("5x77", "f32", "!nq.fp8", "tensor<f32>", "{saturate = false}");
  checkStatic("5x77", "f16", "!nq.fp8", "tensor<1xf16>");
  checkStatic("6x70", "f32", "!nq.scaled<f8E5M2, f32 per 1x?>",
              "tensor<6x1xf32>");
  checkStatic("200x300", "f32", "!nq.scaled<f8E4M3FN, f32 per 128x128>",
              "tensor<2x3xf32>");
  checkStatic("6x70", "f32", "!nq.scaled<si8, f32 per tensor>", "tensor<f32>");
  checkStatic("6x70", "f32", "!nq.scaled<ui8, f32 per ?x1, zero_point>",
              "tensor<1x70xf32>", "", "tensor<1x70xi8>");
  checkStatic("6x64", "f32", "!nq.scaled<si4, f16 per 1x16>",
              "tensor<6x4xf16>");
  checkStatic("7x9", "f32", "!nq.scaled<si4, f32 per 1x4>", "tensor<7x3xf32>");
  checkStatic("6x40", "f32", "!nq.scaled<ui4, f32 per 1x16, zero_point>",
              "tensor<6x3xf32>", "", "tensor<6x3xi4>");
  checkStatic("6x64", "f32", "!nq.scaled<f4E2M1FN, f32 per 1x16>",
              "tensor<6x4xf32>");
}

void checkDynamic(const std::string &shape, const std::string &from,
                  const std::string &scaled, const std::string &recipe,
                  bool global, double tiny = 0) {
  std::string in = "tensor<" + shape + "x" + from + ">",
              out = "tensor<" + shape + "x" + scaled + ">";
  std::string parameter = global ? ", %g: tensor<f32>" : "";
  std::string operand = global ? "global(%g : tensor<f32>) " : "";
  SCOPED_TRACE(recipe + " " + scaled);
  LoopRun run(kernel("(%a: " + in + parameter + ") -> " + out,
                     "%r = nq.quantize %a recipe(\"" + recipe + "\") " +
                         operand + ": " + in + " -> " + out +
                         "\nreturn %r : " + out));
  Checks checks;
  run.check(checks);
  checks.special = true;
  run.check(checks, 2);
  checks.special = false;
  if ((checks.scale = tiny))
    run.check(checks, 3);
}

TEST(LoopKernel, DynamicNvfp4) {
  for (std::string recipe :
       {"trt-dynamic", "modelopt-torch", "modelopt-onnx", "compressed-tensors",
        "transformer-engine", "torchao"}) {
    checkDynamic("6x64", "f32", "!nq.nvfp4", recipe, true, 1e-30);
  }
  checkDynamic("2x5x272", "f16", "!nq.nvfp4", "trt-dynamic", true);
  checkDynamic("5x40", "f32", "!nq.nvfp4", "trt-dynamic", true);
  checkDynamic("3x7", "f32", "!nq.nvfp4", "trt-dynamic", true);
  checkDynamic("5x48", "bf16", "!nq.nvfp4", "modelopt-torch", true);
}

TEST(LoopKernel, DynamicMx) {
  for (std::string recipe :
       {"modelopt", "trt-dynamic", "transformer-engine", "ocp", "torchao-ceil",
        "torchao-even", "torchao-rceil", "compressed-tensors"}) {
    for (std::string type :
         {"!nq.mxfp8", "!nq.mxfp4", "!nq.scaled<f8E5M2, f8E8M0FNU per 1x32>"}) {
      checkDynamic("6x64", "f32", type, recipe, false, 1e-37);
    }
  }
  checkDynamic("3x100", "f16", "!nq.mxfp8", "modelopt", false);
}

TEST(LoopKernel, QuantizeAfterProducer) {
  check("(%a: tensor<5x64xf32>, %g: tensor<f32>) -> tensor<5x64x!nq.nvfp4>", R"(
%e = tensor.empty() : tensor<5x64xf32>
%x = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
  iterator_types = ["parallel", "parallel"]} ins(%a : tensor<5x64xf32>) outs(%e : tensor<5x64xf32>) {
^bb0(%p: f32, %o: f32):
  %c = arith.constant 0.0 : f32
  %v = arith.maximumf %p, %c : f32
  linalg.yield %v : f32
} -> tensor<5x64xf32>
%r = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<5x64xf32> -> tensor<5x64x!nq.nvfp4>
return %r : tensor<5x64x!nq.nvfp4>)");
}

void checkDequantize(const std::string &shape, const std::string &scaled,
                     const std::string &to) {
  std::string in = "tensor<" + shape + "x" + scaled + ">",
              out = "tensor<" + shape + "x" + to + ">";
  Checks checks;
  checks.relative = to == "f32" ? 1e-7 : 0;
  checks.absolute = 0;
  check("(%a: " + in + ") -> " + out,
        "%r = nq.dequantize %a : " + in + " -> " + out + "\nreturn %r : " + out,
        checks);
}

TEST(LoopKernel, Dequantize) {
  for (std::string to : {"f32", "f16", "bf16"}) {
    checkDequantize("6x64", "!nq.nvfp4", to);
    checkDequantize("6x64", "!nq.mxfp8", to);
    checkDequantize("6x64", "!nq.mxfp4", to);
    checkDequantize("5x77", "!nq.fp8", to);
    checkDequantize("6x64",
                    "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>", to);
    checkDequantize("9x33", "!nq.scaled<si4, f16 per 1x8>", to);
    checkDequantize("10x34", "!nq.scaled<ui4, f32 per ?x1, zero_point>", to);
    checkDequantize("130x140", "!nq.scaled<f8E4M3FN, f32 per 128x128>", to);
    checkDequantize("6x64", "!nq.scaled<si8, bf16 per 1x?>", to);
  }
}

void checkCast(const std::string &from, const std::string &to,
               const std::vector<double> &scales,
               const std::string &attributes = "") {
  SCOPED_TRACE(from + " to " + to + attributes);
  LoopRun run(kernel("(%a: tensor<333x" + from + ">) -> tensor<333x" + to + ">",
                     "%r = nq.cast %a " + attributes + " : tensor<333x" + from +
                         "> -> tensor<333x" + to +
                         ">\nreturn %r : tensor<333x" + to + ">"));
  Checks checks;
  checks.special = true;
  checks.relative = checks.absolute = 0;
  for (double scale : scales) {
    checks.scale = scale;
    run.check(checks);
  }
}

TEST(LoopKernel, CastsBetweenAllFloatTypes) {
  const char *types[] = {"f64",        "f32",       "f16",      "bf16",
                         "f8E4M3FN",   "f8E5M2",    "f4E2M1FN", "f8E8M0FNU",
                         "f8E4M3FNUZ", "f8E5M2FNUZ"};
  for (const char *from : types)
    for (const char *to : types)
      // Results in f32 stay unrounded in the reference.
      if (std::string(from) != to && std::string(to) != "f32")
        checkCast(from, to, {1.0, 1e-6, 1e4});
}

TEST(LoopKernel, CastsThatOverflow) {
  for (const char *to :
       {"f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ", "f8E8M0FNU"})
    checkCast("f32", to, {1.0, 300.0, 1e5}, "{saturate = false}");
  for (const char *mode : {"up", "down", "nearest"})
    for (const char *saturate : {"true", "false"})
      checkCast("f32", "f8E8M0FNU", {1.0, 1e-38, 1e38},
                std::string("{round_mode = \"") + mode +
                    "\", saturate = " + saturate + "}");
}

TEST(LoopKernel, CodesScalesAssemble) {
  check("(%a: tensor<6x64x!nq.nvfp4>) -> (tensor<6x64xf4E2M1FN>, "
        "tensor<6x4xf8E4M3FN>)",
        "%c = nq.codes %a : tensor<6x64x!nq.nvfp4> -> tensor<6x64xf4E2M1FN>\n"
        "%s = nq.scales %a : tensor<6x64x!nq.nvfp4> -> tensor<6x4xf8E4M3FN>\n"
        "return %c, %s : tensor<6x64xf4E2M1FN>, tensor<6x4xf8E4M3FN>");
  check("(%c: tensor<6x64xf8E4M3FN>, %s: tensor<6x2xi8>) -> "
        "tensor<6x64x!nq.mxfp8>",
        "%r = nq.assemble %c scales(%s : tensor<6x2xi8>) : "
        "tensor<6x64xf8E4M3FN> -> tensor<6x64x!nq.mxfp8>\nreturn %r : "
        "tensor<6x64x!nq.mxfp8>");
  check("(%c: tensor<5x7xi8>, %s: tensor<f32>, %z: tensor<i8>) -> "
        "tensor<5x7xf32>",
        "%q = nq.assemble %c scales(%s : tensor<f32>) zero_point(%z : "
        "tensor<i8>) : tensor<5x7xi8> -> tensor<5x7x!nq.scaled<ui8, f32 per "
        "tensor, zero_point>>\n%r = nq.dequantize %q : tensor<5x7x!nq.scaled<"
        "ui8, f32 per tensor, zero_point>> -> tensor<5x7xf32>\nreturn %r : "
        "tensor<5x7xf32>");
}

TEST(LoopKernel, Reformat) {
  check("(%a: tensor<130x9xf32>) -> tensor<130x9xf32, #nq.layout<tiles [[4, "
        "32], [4]] order [0, 3, 2, 1, 4]>>",
        "%r = nq.reformat %a : tensor<130x9xf32> -> tensor<130x9xf32, "
        "#nq.layout<tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>\nreturn %r : "
        "tensor<130x9xf32, #nq.layout<tiles [[4, 32], [4]] order [0, 3, 2, 1, "
        "4]>>");
  check("(%a: tensor<33x10xf16, #nq.layout<tiles [[8], [4]] order [2, 0, 3, "
        "1]>>) -> tensor<33x10xf16>",
        "%r = nq.reformat %a : tensor<33x10xf16, #nq.layout<tiles [[8], [4]] "
        "order [2, 0, 3, 1]>> -> tensor<33x10xf16>\nreturn %r : "
        "tensor<33x10xf16>");
  check("(%a: tensor<130x64x!nq.nvfp4>) -> tensor<130x64x!nq.nvfp4, "
        "#nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, "
        "32], [4]] order [0, 3, 2, 1, 4]>>>",
        "%r = nq.reformat %a : tensor<130x64x!nq.nvfp4> -> "
        "tensor<130x64x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] "
        "scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, "
        "4]>>>\nreturn %r : tensor<130x64x!nq.nvfp4, #nq.layout<tiles [[], []] "
        "order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, "
        "1, 4]>>>");
}

TEST(LoopKernel, ConstantsAndSharedResults) {
  check("(%a: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)",
        R"(
%c = arith.constant dense<[1.0, -2.0, 0.5, 3.0]> : tensor<4xf32>
%e = tensor.empty() : tensor<4xf32>
%r = linalg.generic {indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>, affine_map<(a) -> (a)>],
  iterator_types = ["parallel"]} ins(%a, %c : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) {
^bb0(%x: f32, %y: f32, %o: f32):
  %v = arith.mulf %x, %y : f32
  linalg.yield %v : f32
} -> tensor<4xf32>
return %r, %r, %a : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)");
}

/// Codes move as elements, scales and zero points as elements of the grid.
TEST(LoopKernel, MovesOfScaledTensors) {
  auto one = [](const std::string &from, const std::string &to,
                const std::string &op) {
    check("(%a: " + from + ") -> " + to, op + "\nreturn %r : " + to);
  };
  auto transpose = [&](const std::string &from, const std::string &to,
                       const std::string &perm) {
    one(from, to,
        "%e = tensor.empty() : " + to + "\n%r = linalg.transpose ins(%a : " +
            from + ") outs(%e : " + to + ") permutation = [" + perm + "]");
  };
  transpose("tensor<7x33x!nq.fp8>", "tensor<33x7x!nq.fp8>", "1, 0");
  transpose("tensor<5x3x40x!nq.nvfp4>", "tensor<3x5x40x!nq.nvfp4>", "1, 0, 2");
  transpose("tensor<5x3x7x!nq.scaled<si4, f16 per tensor, zero_point>>",
            "tensor<7x5x3x!nq.scaled<si4, f16 per tensor, zero_point>>",
            "2, 0, 1");
  one("tensor<6x40x!nq.mxfp8>", "tensor<2x3x40x!nq.mxfp8>",
      "%r = tensor.expand_shape %a [[0, 1], [2]] output_shape [2, 3, 40] : "
      "tensor<6x40x!nq.mxfp8> into tensor<2x3x40x!nq.mxfp8>");
  one("tensor<2x3x32x!nq.nvfp4>", "tensor<6x32x!nq.nvfp4>",
      "%r = tensor.collapse_shape %a [[0, 1], [2]] : tensor<2x3x32x!nq.nvfp4> "
      "into tensor<6x32x!nq.nvfp4>");
  // 4-bit rows of odd length, from a block border on.
  one("tensor<9x40x!nq.nvfp4>", "tensor<3x21x!nq.nvfp4>",
      "%r = tensor.extract_slice %a[1, 16] [3, 21] [2, 1] : "
      "tensor<9x40x!nq.nvfp4> to tensor<3x21x!nq.nvfp4>");
  std::string channels = "!nq.scaled<ui8, f32 per 1x?, zero_point>";
  one("tensor<5x8x" + channels + ">", "tensor<2x3x" + channels + ">",
      "%r = tensor.extract_slice %a[2, 1] [2, 3] [1, 2] : tensor<5x8x" +
          channels + "> to tensor<2x3x" + channels + ">");
  one("tensor<5x32x!nq.nvfp4>", "tensor<3x5x32x!nq.nvfp4>",
      "%e = tensor.empty() : tensor<3x5x32x!nq.nvfp4>\n%r = linalg.broadcast "
      "ins(%a : tensor<5x32x!nq.nvfp4>) outs(%e : tensor<3x5x32x!nq.nvfp4>) "
      "dimensions = [0]");
  one("tensor<3x32x!nq.mxfp4>", "tensor<3x64x!nq.mxfp4>",
      "%r = tensor.concat dim(1) %a, %a : (tensor<3x32x!nq.mxfp4>, "
      "tensor<3x32x!nq.mxfp4>) -> tensor<3x64x!nq.mxfp4>");
  one("tensor<3x5x!nq.fp8>", "tensor<6x5x!nq.fp8>",
      "%r = tensor.concat dim(0) %a, %a : (tensor<3x5x!nq.fp8>, "
      "tensor<3x5x!nq.fp8>) -> tensor<6x5x!nq.fp8>");
  check("(%a: tensor<3x32x!nq.mxfp4>, %b: tensor<2x32x!nq.mxfp4>) -> "
        "tensor<5x32x!nq.mxfp4>",
        "%r = tensor.concat dim(0) %a, %b : (tensor<3x32x!nq.mxfp4>, "
        "tensor<2x32x!nq.mxfp4>) -> tensor<5x32x!nq.mxfp4>\nreturn %r : "
        "tensor<5x32x!nq.mxfp4>");
}

TEST(LoopKernel, UnknownOpsAreReported) {
  LoopRun run(
      kernel("(%a: tensor<4x4xf32>, %b: tensor<1x4xf32>, %p: tensor<i64>) -> "
             "tensor<4x4xf32>",
             "%r = nq.update %a[%p] with %b axis 0 : tensor<4x4xf32>, "
             "tensor<i64>, tensor<1x4xf32>\nreturn %r : tensor<4x4xf32>"));
  EXPECT_FALSE(run.ok());
  EXPECT_NE(run.error.find("'nq.update' cannot be part of a loop kernel"),
            std::string::npos)
      << run.error;
}

} // namespace
