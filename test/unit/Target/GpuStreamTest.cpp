// Products that stream their weights, on the emulated GPU, compared with the
// reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuFusedHarness.h"
#include "GpuWeights.h"
#include "nibble/KernelSelect/StreamLayout.h"

using namespace nibble;
using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

string product(int64_t m, int64_t n, int64_t k, const string &a,
               const string &element, const string &result,
               bool transposed = true) {
  string left = tensor(m, k, a),
         right = weight(n, k, element, transposed, getStreamLayout),
         y = tensor(m, n, result);
  return "func.func @k(%a: " + left + ", %b: " + right + ") -> " + y +
         " attributes {nibble.kernel_class = \"gemm.stream.f16.expand\"} {\n"
         "%y = nq.matmul %a, %b " +
         (transposed ? "transpose_b " : "") + ": (" + left + ", " + right +
         ") -> " + y + "\nreturn %y : " + y + "\n}";
}

/// Launches, and blocks of a cluster.
struct Spread {
  size_t launches;
  int64_t cluster;
};

void check(const string &text, double limit = 2e-6,
           std::optional<Spread> want = {}, const gpu::GpuTarget &target = {}) {
  SCOPED_TRACE(text);
  GpuFusedRun run(text, /*onCpu=*/false, target);
  run.checks.scale = 0.25;
  run.checks.lowScale = -6;
  run.checks.highScale = -3;
  run.checkNear(limit);
  ASSERT_FALSE(run.gpuKernel.launches.empty());
  EXPECT_NE(run.gpuKernel.launches[0].symbol.find("_stream"), string::npos);
  if (!want)
    return;
  EXPECT_EQ(run.gpuKernel.launches.size(), want->launches);
  EXPECT_EQ(run.gpuKernel.launches[0].cluster[0], want->cluster);
}

const char *const kFormats[] = {
    "f16",
    "!nq.nvfp4",
    "!nq.mxfp4",
    "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f32>",
    "!nq.scaled<si4, f16 per 1x32>",
    "!nq.scaled<si4, f32 per 1x64>",
    "!nq.scaled<ui4, f32 per 1x128>",
    "!nq.scaled<si4, f32 per 1x?>",
    "!nq.fp8",
    "!nq.scaled<f8E5M2, f32 per 1x?>",
};

TEST(GpuStream, WeightsOfAnyFormat) {
  for (const char *element : kFormats)
    for (int64_t m : {1, 50})
      check(product(m, 72, 416, "f16", element, "f32"));
}

TEST(GpuStream, ActivationsInBf16) {
  for (string element : kFormats)
    check(product(7, 40, 288, "bf16", element == "f16" ? "bf16" : element,
                  "f32"));
}

TEST(GpuStream, RowsOfAnyNumber) {
  for (int64_t m : {1, 7, 16, 50, 64})
    for (const char *element : {"!nq.nvfp4", "!nq.mxfp4"})
      check(product(m, 201, 160, "f16", element, "f16"), 1e-3);
}

/// K in one block, in blocks with a second launch; K off every tile.
TEST(GpuStream, PlansOfAllKinds) {
  check(product(3, 2200, 32, "f16", "!nq.nvfp4", "f32"), 2e-6, Spread{1, 1});
  check(product(17, 800, 1536, "f16", "!nq.nvfp4", "f32"), 2e-6, Spread{2, 1});
  check(product(5, 48, 4128, "f16", "!nq.nvfp4", "f32"), 2e-6, Spread{2, 1});
  check(product(20, 300, 2080, "f16", "!nq.mxfp4", "f32"), 2e-6, Spread{2, 1});
  check(product(33, 17, 2080, "bf16", "bf16", "f32"), 2e-6, Spread{2, 1});
}

/// K in a cluster of two, which small products take where there are few
/// multiprocessors: one cluster, two; with wgmma (the first three) and without.
TEST(GpuStream, PlansWithClusters) {
  auto checkCluster = [](const string &text, int64_t multiprocessors) {
    gpu::GpuTarget target;
    target.multiprocessors = multiprocessors;
    check(text, 2e-6, Spread{1, 2}, target);
  };
  checkCluster(product(17, 40, 1056, "f16", "f16", "f32"), 2);
  checkCluster(product(17, 72, 512, "f16", "f16", "f32"), 4);
  checkCluster(product(33, 16, 1056, "f16", "!nq.nvfp4", "f32"), 2);
  checkCluster(product(33, 16, 1056, "f16", "!nq.mxfp4", "f32"), 2);
  checkCluster(product(16, 264, 2080, "f16", "!nq.nvfp4", "f32"), 2);
}

TEST(GpuStream, EitherOrderOfTheWeight) {
  for (const char *element :
       {"f16", "!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>",
        "!nq.scaled<f4E2M1FN, f8E4M3FN per 16x1, global f32>",
        "!nq.scaled<si4, f32 per 32x1>", "!nq.fp8"})
    check(product(9, 40, 160, "f16", element, "f32", /*transposed=*/false));
}

/// What stands in front of the product and behind it is computed by loops.
TEST(GpuStream, BetweenOtherOps) {
  string x = "tensor<2x5x64xf16>", a = tensor(10, 64, "f16"),
         b = weight(48, 64, "!nq.nvfp4", true, getStreamLayout),
         y = tensor(10, 48, "f16");
  string text =
      "func.func @k(%x: " + x + ", %b: " + b + ", %r: " + y + ") -> " + y +
      " attributes {nibble.kernel_class = \"gemm.stream.f16.expand\"} {\n"
      "%a = tensor.collapse_shape %x [[0, 1], [2]] : " +
      x + " into " + a +
      "\n%y = nq.matmul %a, %b transpose_b epilogue(%r : " + y +
      ") {\n^bb0(%s: f32, %p: f32):\n%0 = arith.addf %s, %p : f32\n"
      "nq.yield %0 : f32\n} : (" +
      a + ", " + b + ") -> " + y + "\nreturn %y : " + y + "\n}";
  SCOPED_TRACE(text);
  GpuFusedRun run(text, /*onCpu=*/false);
  run.checkNear(1e-3);
  ASSERT_EQ(run.gpuKernel.launches.size(), 2u);
  EXPECT_NE(run.gpuKernel.launches[0].symbol.find("_stream"), string::npos);
}

/// Row i of the identity times a weight is its column i: every code and scale.
TEST(GpuStream, DecodesEveryBit) {
  for (const char *element : kFormats) {
    if (string(element) == "f16")
      continue;
    GpuFusedRun run(product(32, 256, 32, "f16", element, "f32"),
                    /*onCpu=*/false);
    run.checkIdentity(32);
  }
}

} // namespace
