// linalg ops: reductions, convolutions, gathers, irregular maps.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

TEST(ReferenceLinalg, SumsOverAnyLoop) {
  // A sum over everything, over the last and over the first dimension: lanes
  // over the reduction, over rows, over columns.
  for (auto [rows, columns] : {std::pair{3, 5}, {2, 700}, {700, 2}, {300, 300}})
    for (std::string keep : {"", "d0", "d1"}) {
      std::string shape = keep.empty()   ? ""
                          : keep == "d0" ? std::to_string(rows) + "x"
                                         : std::to_string(columns) + "x";
      std::string in = "tensor<" + std::to_string(rows) + "x" +
                       std::to_string(columns) + "xf32>";
      std::string out = "tensor<" + shape + "f32>";
      auto kind = [&](const char *d) {
        return keep == d ? "\"parallel\"" : "\"reduction\"";
      };
      Harness h(
          "func.func @main(%x: " + in + ") -> " + out +
          " {\n%c = arith.constant dense<10.0> : " + out +
          "\n%r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> "
          "(d0, d1)>, affine_map<(d0, d1) -> (" +
          keep + ")>], iterator_types = [" + kind("d0") + ", " + kind("d1") +
          "]} ins(%x : " + in + ") outs(%c : " + out +
          ") {\n^bb0(%a: f32, %o: f32):\n%q = arith.mulf %a, %a : f32\n"
          "%s = arith.addf %o, %q : f32\nlinalg.yield %s : f32\n} -> " +
          out + "\nreturn %r : " + out + "\n}");
      std::vector<double> x = randoms(rows * columns, 3);
      std::vector<double> want(keep.empty()   ? 1
                               : keep == "d0" ? rows
                                              : columns,
                               10);
      for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j)
          want[keep.empty()   ? 0
               : keep == "d0" ? i
                              : j] += x[i * columns + j] * x[i * columns + j];
      SCOPED_TRACE(in + keep);
      expectNear(h.floats({h.arg(0, x)}), want, 1e-9);
    }
}

TEST(ReferenceLinalg, ArgMaxKeepsTheFirst) {
  Harness h(R"(
    func.func @main(%x: tensor<2x100xf32>) -> (tensor<2xf32>, tensor<2xi64>) {
      %m = arith.constant dense<0xFF800000> : tensor<2xf32>
      %z = arith.constant dense<0> : tensor<2xi64>
      %r:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>],
          iterator_types = ["parallel", "reduction"]} ins(%x : tensor<2x100xf32>) outs(%m, %z : tensor<2xf32>, tensor<2xi64>) {
      ^bb0(%a: f32, %best: f32, %at: i64):
        %j = linalg.index 1 : index
        %k = arith.index_cast %j : index to i64
        %more = arith.cmpf ogt, %a, %best : f32
        %v = arith.select %more, %a, %best : f32
        %w = arith.select %more, %k, %at : i64
        linalg.yield %v, %w : f32, i64
      } -> (tensor<2xf32>, tensor<2xi64>)
      return %r#0, %r#1 : tensor<2xf32>, tensor<2xi64>
    })");
  std::vector<double> x(200, 1);
  x[40] = x[60] = 5;
  x[199] = 2;
  auto results = h.run({h.arg(0, x)});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toFloats(), (std::vector<double>{5, 2}));
  EXPECT_EQ((*results)[1].toInts(), (std::vector<int64_t>{40, 99}));
}

TEST(ReferenceLinalg, StridedDilatedConvolution) {
  // 2 images of 3x9x8, 4 filters of 3x2x3, stride 2x1, dilation 1x2.
  Harness h(R"(
    func.func @main(%x: tensor<2x3x9x8xf32>, %w: tensor<4x3x2x3xf32>) -> tensor<2x4x4x4xf32> {
      %c = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<2x4x4x4xf32>
      %z = linalg.fill ins(%c : f32) outs(%e : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
      %r = linalg.generic {indexing_maps = [
            affine_map<(n, o, y, x, c, i, j) -> (n, c, y * 2 + i, x + j * 2)>,
            affine_map<(n, o, y, x, c, i, j) -> (o, c, i, j)>,
            affine_map<(n, o, y, x, c, i, j) -> (n, o, y, x)>],
          iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
          ins(%x, %w : tensor<2x3x9x8xf32>, tensor<4x3x2x3xf32>) outs(%z : tensor<2x4x4x4xf32>) {
      ^bb0(%a: f32, %b: f32, %o: f32):
        %p = arith.mulf %a, %b : f32
        %s = arith.addf %o, %p : f32
        linalg.yield %s : f32
      } -> tensor<2x4x4x4xf32>
      return %r : tensor<2x4x4x4xf32>
    })");
  std::vector<double> x = randoms(432, 1), w = randoms(72, 2), want(128);
  for (int n = 0; n < 2; ++n)
    for (int o = 0; o < 4; ++o)
      for (int y = 0; y < 4; ++y)
        for (int u = 0; u < 4; ++u)
          for (int c = 0; c < 3; ++c)
            for (int i = 0; i < 2; ++i)
              for (int j = 0; j < 3; ++j)
                want[((n * 4 + o) * 4 + y) * 4 + u] +=
                    x[((n * 3 + c) * 9 + y * 2 + i) * 8 + u + 2 * j] *
                    w[((o * 3 + c) * 2 + i) * 3 + j];
  expectNear(h.floats({h.arg(0, x), h.arg(1, w)}), want, 1e-12);
}

TEST(ReferenceLinalg, GathersRowsOfAConstant) {
  Harness h(R"(
    func.func @main(%i: tensor<3xi64>) -> tensor<3x2xf16> {
      %t = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf16>
      %e = tensor.empty() : tensor<3x2xf16>
      %r = linalg.generic {indexing_maps = [affine_map<(r, c) -> (r)>, affine_map<(r, c) -> (r, c)>], iterator_types = ["parallel", "parallel"]}
          ins(%i : tensor<3xi64>) outs(%e : tensor<3x2xf16>) {
      ^bb0(%a: i64, %o: f16):
        %row = arith.index_cast %a : i64 to index
        %col = linalg.index 1 : index
        %v = tensor.extract %t[%row, %col] : tensor<3x2xf16>
        linalg.yield %v : f16
      } -> tensor<3x2xf16>
      return %r : tensor<3x2xf16>
    })");
  EXPECT_EQ(h.floats({h.argInts(0, {2, 0, 2})}),
            (std::vector<double>{5, 6, 1, 2, 5, 6}));
  EXPECT_TRUE(failed(h.run({h.argInts(0, {0, 3, 1})})));
  EXPECT_NE(h.errors.find("index 3 of dimension 0"), std::string::npos)
      << h.errors;
}

TEST(ReferenceLinalg, IrregularMapsAndPermutedResults) {
  // in[(i + 2j) floordiv 2] and a result stored transposed.
  Harness h(R"(
    func.func @main(%x: tensor<4xi32>) -> tensor<3x2xi32> {
      %e = tensor.empty() : tensor<3x2xi32>
      %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> ((i + j * 2) floordiv 2)>, affine_map<(i, j) -> (j, i)>],
          iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4xi32>) outs(%e : tensor<3x2xi32>) {
      ^bb0(%a: i32, %o: i32):
        %i = linalg.index 0 : index
        %k = arith.index_cast %i : index to i32
        %s = arith.addi %a, %k : i32
        linalg.yield %s : i32
      } -> tensor<3x2xi32>
      return %r : tensor<3x2xi32>
    })");
  EXPECT_EQ(h.ints({h.argInts(0, {10, 20, 30, 40})}),
            (std::vector<int64_t>{10, 11, 20, 21, 30, 31}));
}

TEST(ReferenceLinalg, ResultsIndexedByAReductionRunInOrder) {
  Harness h(R"(
    func.func @main(%x: tensor<3x2xf32>, %z: tensor<3xf32>) -> tensor<3xf32> {
      %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
          iterator_types = ["reduction", "reduction"]} ins(%x : tensor<3x2xf32>) outs(%z : tensor<3xf32>) {
      ^bb0(%a: f32, %o: f32):
        %s = arith.addf %a, %o : f32
        linalg.yield %s : f32
      } -> tensor<3xf32>
      return %r : tensor<3xf32>
    })");
  EXPECT_EQ(h.floats({h.arg(0, {1, 2, 3, 4, 5, 6}), h.arg(1, {100, 0, 0})}),
            (std::vector<double>{103, 7, 11}));
}

TEST(ReferenceLinalg, NamedOps) {
  Harness h(R"(
    func.func @main(%x: tensor<2x3xf32>) -> tensor<3x4x2xf32> {
      %e = tensor.empty() : tensor<3x2xf32>
      %t = linalg.transpose ins(%x : tensor<2x3xf32>) outs(%e : tensor<3x2xf32>) permutation = [1, 0]
      %f = tensor.empty() : tensor<3x4x2xf32>
      %b = linalg.broadcast ins(%t : tensor<3x2xf32>) outs(%f : tensor<3x4x2xf32>) dimensions = [1]
      return %b : tensor<3x4x2xf32>
    })");
  std::vector<double> want;
  for (int i = 0; i < 3; ++i)
    for (int r = 0; r < 4; ++r)
      for (int j = 0; j < 2; ++j)
        want.push_back(j * 3 + i);
  EXPECT_EQ(h.floats({h.arg(0, {0, 1, 2, 3, 4, 5})}), want);
}

TEST(ReferenceLinalg, SoftmaxOverEitherDimension) {
  for (int dim : {0, 1}) {
    Harness h("func.func @main(%x: tensor<3x4xf16>) -> tensor<3x4xf16> {\n"
              "%e = tensor.empty() : tensor<3x4xf16>\n"
              "%r = linalg.softmax dimension(" +
              std::to_string(dim) +
              ") ins(%x : tensor<3x4xf16>) outs(%e : tensor<3x4xf16>) -> "
              "tensor<3x4xf16>\nreturn %r : tensor<3x4xf16>\n}");
    RefTensor x = h.arg(0, randoms(12, 5, 3));
    std::vector<double> want(12);
    for (int line = 0; line < (dim ? 3 : 4); ++line) {
      auto at = [&](int i) { return dim ? line * 4 + i : i * 4 + line; };
      double sum = 0;
      for (int i = 0; i < (dim ? 4 : 3); ++i)
        sum += std::exp(x.floatAt(at(i)));
      for (int i = 0; i < (dim ? 4 : 3); ++i)
        want[at(i)] = std::exp(x.floatAt(at(i))) / sum;
    }
    expectNear(h.floats({x}), want, 0x1p-12);
  }
}

TEST(ReferenceLinalg, EmptyLoopsAndRankZero) {
  Harness h(R"(
    func.func @main(%x: tensor<0x3xf32>, %s: tensor<f32>) -> (tensor<3xf32>, tensor<f32>) {
      %z = arith.constant dense<7.0> : tensor<3xf32>
      %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>], iterator_types = ["reduction", "parallel"]}
          ins(%x : tensor<0x3xf32>) outs(%z : tensor<3xf32>) {
      ^bb0(%a: f32, %o: f32):
        %t = arith.addf %a, %o : f32
        linalg.yield %t : f32
      } -> tensor<3xf32>
      %e = tensor.empty() : tensor<f32>
      %q = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
          ins(%s : tensor<f32>) outs(%e : tensor<f32>) {
      ^bb0(%a: f32, %o: f32):
        %t = arith.addf %a, %a : f32
        linalg.yield %t : f32
      } -> tensor<f32>
      return %r, %q : tensor<3xf32>, tensor<f32>
    })");
  auto results = h.run({h.arg(0, {}), h.arg(1, {4})});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toFloats(), (std::vector<double>{7, 7, 7}));
  EXPECT_EQ((*results)[1].toFloats(), (std::vector<double>{8}));
}
