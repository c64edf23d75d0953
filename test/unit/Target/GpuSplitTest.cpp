// Products whose K is split in clusters, with all that follows them, on the
// emulated GPU, compared with the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuTileGemm.h"

using namespace nibble;
using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

string tensor(int64_t rows, int64_t columns, const string &element) {
  return "tensor<" + to_string(rows) + "x" + to_string(columns) + "x" +
         element + ">";
}

string scheduled(const string &schedule) {
  return "{nibble.schedule = \"" + schedule + "\"}";
}

const string kMaps = "#i = affine_map<(d0, d1) -> (d0, d1)>\n"
                     "#c = affine_map<(d0, d1) -> (d1)>\n";
const string kParallel =
    ", iterator_types = [\"parallel\", \"parallel\"]} ins(";

string product(int64_t m, int64_t n, int64_t k, const string &element,
               const string &schedule) {
  string a = tensor(m, k, element), b = tensor(n, k, element),
         y = tensor(m, n, "f32");
  return "func.func @k(%a: " + a + ", %b: " + b + ") -> " + y + " attributes " +
         scheduled(schedule) + " {\n%y = nq.matmul %a, %b transpose_b : (" + a +
         ", " + b + ") -> " + y + "\nreturn %y : " + y + "\n}";
}

TEST(GpuSplit, RowsOffTheTile) {
  for (int64_t m : {1, 7, 50, 129}) {
    checkTileGemm(product(m, 136, 1104, "f16", "128x64 s3 c1x1 m2 w2 p2 k4"),
                  2e-6, unsigned(m));
    checkTileGemm(product(m, 136, 1104, "f16", "t 128x40 s3 c1x1 m2 w2 p1 k3"),
                  2e-6, unsigned(m));
  }
}

TEST(GpuSplit, FormatsOfOperands) {
  for (const char *element : {"bf16", "!nq.scaled<f8E4M3FN, f32 per tensor>",
                              "!nq.scaled<f8E4M3FN, f32 per 1x?>", "!nq.fp8"})
    for (const char *schedule :
         {"64x64 s4 c1x1 m2 w1 p2 k8", "t 128x72 s3 c1x1 n2 w2 p2 k5",
          "256x32 s3 c1x1 m2 w2 p2 k2", "64x64 s2 c2x1 m2 w1 p2 k3"})
      checkTileGemm(product(77, 208, 1040, element, schedule), 2e-6);
}

/// Bias, tanh and a residual, of rows of the result.
TEST(GpuSplit, BiasGeluResidual) {
  for (const char *schedule :
       {"128x64 s3 c1x1 m2 w2 p2 k2", "64x128 s3 c1x1 n2 w1 p2 k7"}) {
    string a = tensor(50, 656, "f16"), b = tensor(144, 656, "f16"),
           y = tensor(50, 144, "f16");
    checkTileGemm(
        kMaps + "func.func @k(%a: " + a + ", %b: " + b +
            ", %c: tensor<144xf16>, %r: " + y + ") -> " + y + " attributes " +
            scheduled(schedule) + " {\n%g = nq.matmul %a, %b transpose_b : (" +
            a + ", " + b + ") -> " + y + "\n%e = tensor.empty() : " + y +
            "\n%h = linalg.generic {indexing_maps = [#i, #c, #i, #i]" +
            kParallel + "%g, %c, %r : " + y + ", tensor<144xf16>, " + y +
            ") outs(%e : " + y +
            ") {\n^bb0(%p: f16, %q: f16, %s: f16, %o: f16):\n"
            "%1 = arith.addf %p, %q : f16\n%2 = math.tanh %1 : f16\n"
            "%3 = arith.mulf %1, %2 : f16\n%4 = arith.addf %3, %s : f16\n"
            "linalg.yield %4 : f16\n} -> " +
            y + "\nreturn %h : " + y + "\n}",
        3e-3);
  }
}

/// Gate and up, quantized; the scale is passed on, and the hidden tensor is a
/// second result.
TEST(GpuSplit, GatedToFp8WithTwoResults) {
  string element = "!nq.scaled<f8E4M3FN, f16 per tensor>",
         a = tensor(70, 1040, element), b = tensor(160, 1040, element),
         y = tensor(70, 160, "f32"), q = tensor(70, 160, element);
  string mm = " transpose_b : (" + a + ", " + b + ") -> " + y;
  for (const char *schedule :
       {"128x64 s3 c1x1 m2 w2 p2 k2", "t 64x40 s4 c1x1 m2 w1 p2 k4"})
    checkTileGemm(
        kMaps + "func.func @k(%a: " + a + ", %b: " + b + ", %c: " + b +
            ", %scale: tensor<f16>) -> (" + q + ", " + y + ") attributes " +
            scheduled(schedule) + " {\n%g = nq.matmul %a, %b" + mm +
            "\n%u = nq.matmul %a, %c" + mm + "\n%e = tensor.empty() : " + y +
            "\n%h = linalg.generic {indexing_maps = [#i, #i, #i]" + kParallel +
            "%g, %u : " + y + ", " + y + ") outs(%e : " + y +
            ") {\n^bb0(%p: f32, %r: f32, %o: f32):\n"
            "%1 = arith.mulf %p, %r : f32\nlinalg.yield %1 : f32\n} -> " +
            y + "\n%q = nq.quantize %h scale(%scale : tensor<f16>) : " + y +
            " -> " + q + "\nreturn %q, %h : " + q + ", " + y + "\n}",
        5e-2);
}

/// The order of sums is that of the blocks: equal bits in every run.
TEST(GpuSplit, EqualBitsInEveryRun) {
  GpuFusedRun run(product(50, 136, 1104, "f16", "64x80 s3 c1x1 m2 w1 p2 k7"),
                  /*onCpu=*/false, asOneKernel);
  ASSERT_EQ(run.gpuError, "");
  run.checkNear(2e-6);
  auto first = run.outputs;
  for (int i = 0; i < 3; ++i) {
    run.checkNear(2e-6);
    EXPECT_EQ(run.outputs, first);
  }
}

} // namespace
