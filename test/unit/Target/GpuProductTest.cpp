// Products of all formats, shapes and places on the emulated GPU, compared with
// the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuFusedHarness.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

string kernel(const string &arguments, const string &result,
              const string &body) {
  return "func.func @k(" + arguments + ") -> " + result + " {\n" + body +
         "\nreturn %y : " + result + "\n}";
}

string product(const string &a, const string &b, const string &result,
               const string &how = "") {
  return kernel("%a: " + a + ", %b: " + b, result,
                "%y = nq.matmul %a, %b " + how + " : (" + a + ", " + b +
                    ") -> " + result);
}

/// f32 sums of `k` products, rounded to f32 or f16.
void check(const string &text, const string &result = "f32") {
  SCOPED_TRACE(text);
  GpuFusedRun run(text, /*onCpu=*/false);
  run.checks.scale = 0.25;
  run.checks.lowScale = -6;
  run.checks.highScale = -3;
  run.checkNear(result == "f32" ? 2e-6 : result == "f16" ? 1e-3 : 6e-3);
}

const char *const kFormats[] = {
    "f32",
    "f16",
    "bf16",
    "!nq.fp8",
    "!nq.scaled<f8E5M2, f16 per tensor>",
    "!nq.scaled<f8E4M3FN, f32 per ?x1>",
    "!nq.scaled<f8E4M3FN, f32 per 1x?>",
    "!nq.scaled<f8E4M3FN, f32 per 128x128>",
    "!nq.nvfp4",
    "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>",
    "!nq.mxfp4",
    "!nq.mxfp8",
    "!nq.scaled<si8, f32 per 1x?>",
    "!nq.scaled<ui8, f32 per 1x?, zero_point>",
    "!nq.scaled<si4, f16 per 1x32>",
    "!nq.scaled<ui4, f32 per 1x32, zero_point>",
};

TEST(GpuProduct, WeightsOfAnyFormat) {
  for (const char *element : kFormats)
    for (int64_t m : {1, 50})
      check(product(tensor({m, 160}, "f16"), tensor({72, 160}, element),
                    tensor({m, 72}, "f32"), "transpose_b"));
}

TEST(GpuProduct, ActivationsOfAnyFormat) {
  for (const char *element : kFormats)
    check(product(tensor({7, 160}, element), tensor({40, 160}, "!nq.nvfp4"),
                  tensor({7, 40}, "f32"), "transpose_b"));
}

TEST(GpuProduct, RowsOfAnyNumber) {
  for (int64_t m : {1, 7, 50, 129})
    for (const char *element : {"f16", "!nq.nvfp4"})
      check(product(tensor({m, 96}, element), tensor({201, 96}, element),
                    tensor({m, 201}, "f16"), "transpose_b"),
            "f16");
}

/// Tiles of all kinds: more tiles than multiprocessors, or parts of K.
TEST(GpuProduct, TilesOfAnyShape) {
  check(product(tensor({1600, 24}, "f16"), tensor({1600, 24}, "f16"),
                tensor({1600, 1600}, "f16"), "transpose_b"),
        "f16");
  check(product(tensor({520, 40}, "bf16"), tensor({1000, 40}, "!nq.fp8"),
                tensor({520, 1000}, "bf16"), "transpose_b"),
        "bf16");
  check(product(tensor({33, 2000}, "f32"), tensor({65, 2000}, "f32"),
                tensor({33, 65}, "f32"), "transpose_b"));
}

TEST(GpuProduct, DepthOffTheStep) {
  for (int64_t k : {1, 3, 15, 17, 33, 130})
    for (const char *element : {"f32", "f16", "!nq.fp8"})
      check(product(tensor({5, k}, element), tensor({9, k}, "f16"),
                    tensor({5, 9}, "f32"), "transpose_b"));
  check(product(tensor({5, 45}, "!nq.nvfp4"), tensor({9, 45}, "!nq.nvfp4"),
                tensor({5, 9}, "f32"), "transpose_b"));
}

TEST(GpuProduct, EitherOrderOfTheRightOperand) {
  for (int64_t n : {8, 30, 67, 129})
    for (const char *element :
         {"f32", "f16", "!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>",
          "!nq.scaled<si4, f32 per 16x1>",
          "!nq.scaled<f8E4M3FN, f32 per 128x128>"})
      check(product(tensor({50, 96}, "f16"), tensor({96, n}, element),
                    tensor({50, n}, "f32")));
}

TEST(GpuProduct, BatchesBroadcast) {
  check(product(tensor({3, 2, 9, 20}, "f16"), tensor({3, 2, 20, 13}, "f16"),
                tensor({3, 2, 9, 13}, "f32")));
  check(product(tensor({2, 9, 20}, "f16"), tensor({3, 1, 20, 12}, "f32"),
                tensor({3, 2, 9, 12}, "f32")));
  check(product(tensor({2, 3, 9, 20}, "bf16"), tensor({20, 12}, "!nq.fp8"),
                tensor({2, 3, 9, 12}, "f16")),
        "f16");
  check(product(tensor({9, 64}, "f16"), tensor({4, 16, 64}, "!nq.mxfp8"),
                tensor({4, 9, 16}, "f32"), "transpose_b"));
}

TEST(GpuProduct, NothingToSumOrToStore) {
  GpuFusedRun empty(product(tensor({0, 20}, "f16"), tensor({20, 12}, "f16"),
                            tensor({0, 12}, "f16")),
                    /*onCpu=*/false);
  EXPECT_TRUE(empty.gpuError.empty()) << empty.gpuError;
  EXPECT_TRUE(empty.gpuKernel.launches.empty());
  GpuFusedRun zeros(product(tensor({3, 0}, "f16"), tensor({0, 8}, "f16"),
                            tensor({3, 8}, "f16")),
                    /*onCpu=*/false);
  zeros.checkNear(0);
  ASSERT_EQ(zeros.outputs.size(), 1u);
  EXPECT_EQ(zeros.outputs[0], std::vector<char>(48, 0));
}

TEST(GpuProduct, OperandsInLayouts) {
  // Rows at a pitch of 16 bytes; blocks of scales in tiles of 128 x 4.
  string pitched = ", #nq.layout<tiles [[], [8]] order [0, 1, 2]>";
  check(product(tensor({50, 43}, "f16" + pitched),
                tensor({43, 30}, "f16" + pitched), tensor({50, 30}, "f32")));
  string tiled = "!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales "
                 "<tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>";
  check(product(tensor({50, 128}, tiled), tensor({200, 128}, tiled),
                tensor({50, 200}, "f32"), "transpose_b"));
}

TEST(GpuProduct, Epilogues) {
  string a = tensor({2, 9, 24}, "f16"), b = tensor({24, 20}, "f16");
  for (const char *result : {"f32", "f16", "bf16"}) {
    string y = tensor({2, 9, 20}, result);
    check(kernel("%a: " + a + ", %b: " + b +
                     ", %u: tensor<20xf16>, %v: tensor<2x1x20xf32>, %w: "
                     "tensor<9x1xbf16>",
                 y,
                 "%two = arith.constant 2.0 : f32\n"
                 "%y = nq.matmul %a, %b epilogue(%u, %v, %w : tensor<20xf16>, "
                 "tensor<2x1x20xf32>, tensor<9x1xbf16>) {\n"
                 "^bb0(%s: f32, %p: f32, %q: f32, %r: f32):\n"
                 "%0 = arith.addf %s, %p : f32\n"
                 "%1 = arith.mulf %q, %two : f32\n"
                 "%2 = arith.addf %0, %1 : f32\n"
                 "%3 = arith.addf %2, %r : f32\n"
                 "nq.yield %3 : f32\n} : (" +
                     a + ", " + b + ") -> " + y),
          result);
  }
}

/// What the kernel computes in front of a product, cheap or not.
TEST(GpuProduct, OperandsOfTheKernelItself) {
  string a = tensor({2, 20, 64}, "!nq.fp8"), flat = tensor({40, 64}, "f16"),
         wide = tensor({2, 20, 64}, "f16"), b = tensor({64, 24}, "f16"),
         y = tensor({40, 24}, "f32");
  check(kernel("%a: " + a + ", %b: " + b, y,
               "%d = nq.dequantize %a : " + a + " -> " + wide +
                   "\n%f = tensor.collapse_shape %d [[0, 1], [2]] : " + wide +
                   " into " + flat + "\n%y = nq.matmul %f, %b : (" + flat +
                   ", " + b + ") -> " + y));
  string norm = tensor({40, 64}, "f16");
  check(kernel("%a: " + norm + ", %b: " + b, y,
               "%n = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6 : f64} "
               ": " +
                   norm + " -> " + norm + "\n%y = nq.matmul %n, %b : (" + norm +
                   ", " + b + ") -> " + y));
}

/// Products of products, rows behind them, and results that are returned twice.
TEST(GpuProduct, ChainsOfProducts) {
  string a = tensor({9, 32}, "f16"), b = tensor({32, 24}, "f16"),
         s = tensor({9, 24}, "f32"), c = tensor({24, 12}, "f16"),
         y = tensor({9, 12}, "f32");
  string body = "%s = nq.matmul %a, %b : (" + a + ", " + b + ") -> " + s +
                "\n%e = tensor.empty() : " + s +
                "\n%p = linalg.softmax dimension(1) ins(%s : " + s +
                ") outs(%e : " + s + ") -> " + s +
                "\n%y = nq.matmul %p, %c : (" + s + ", " + c + ") -> " + y;
  check(kernel("%a: " + a + ", %b: " + b + ", %c: " + c, y, body));
  string all = "(" + y + ", " + s + ", " + y + ", " + a + ")";
  check("func.func @k(%a: " + a + ", %b: " + b + ", %c: " + c + ") -> " + all +
        " {\n" + body + "\nreturn %y, %s, %y, %a : " + y + ", " + s + ", " + y +
        ", " + a + "\n}");
}

TEST(GpuProduct, AttentionBetweenProducts) {
  string x = tensor({1, 1, 13, 32}, "f16"), w = tensor({32, 16}, "f16"),
         h = tensor({1, 1, 13, 16}, "f16");
  string to = " : (" + x + ", " + w + ") -> " + h;
  check(kernel("%x: " + x + ", %u: " + w + ", %v: " + w, h,
               "%q = nq.matmul %x, %u" + to + "\n%k = nq.matmul %x, %v" + to +
                   "\n%y = nq.attention %q, %k, %k {scale = 0.25 : f64, "
                   "causal} : (" +
                   h + ", " + h + ", " + h + ") -> " + h),
        "f16");
}

TEST(GpuProduct, AttentionOnScaledOperands) {
  string q = tensor({1, 4, 9, 64}, "f16"),
         k = tensor({1, 2, 77, 64}, "!nq.fp8"),
         y = tensor({1, 4, 9, 64}, "f16");
  check(kernel("%q: " + q + ", %k: " + k + ", %v: " + k, y,
               "%y = nq.attention %q, %k, %v {scale = 0.125 : f64} : (" + q +
                   ", " + k + ", " + k + ") -> " + y),
        "f16");
}

TEST(GpuProduct, AttentionOnLongHeads) {
  for (int64_t width : {200, 256, 300, 1000}) {
    string q = tensor({1, 2, 40, 80}, "f16"), k = tensor({1, 1, 70, 80}, "f16"),
           v = tensor({1, 1, 70, width}, "f16"),
           y = tensor({1, 2, 40, width}, "f32");
    check(kernel("%q: " + q + ", %k: " + k + ", %v: " + v, y,
                 "%y = nq.attention %q, %k, %v {scale = 0.125 : f64} : (" + q +
                     ", " + k + ", " + v + ") -> " + y));
  }
}

} // namespace
