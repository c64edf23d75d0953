// Products of which groups of K are scaled in f32, on the emulated Blackwell,
// compared with the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuTileGemm.h"
#include "GpuWeights.h"
#include "nibble/KernelSelect/LaneLayout.h"

using namespace nibble;
using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

string schedules(const string &schedule) {
  return schedule.empty() ? "" : ", nibble.schedule = \"" + schedule + "\"";
}

//===----------------------------------------------------------------------===//
// Weights that are expanded
//===----------------------------------------------------------------------===//

string lanes(int64_t n, int64_t k, const string &element, const string &a,
             bool transposed = true) {
  return weight(n, k, element, transposed,
                [&](mlir::RankedTensorType type, MatrixDims d) {
                  return getLaneLayout(type, d,
                                       activation(type.getContext(), a));
                });
}

/// Activations are `a`, or codes of it with scales `per` something.
string product(int64_t m, int64_t n, int64_t k, const string &a,
               const string &element, const string &result,
               const string &schedule = "", bool transposed = true,
               const string &per = "") {
  return expandedProduct(m, n, k, a, lanes(n, k, element, a, transposed),
                         result,
                         "{nibble.kernel_class = \"gemm.tcgen05." + a +
                             ".expand\"" + schedules(schedule) + "}",
                         transposed, per);
}

const string kMx = "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>";
const char *const kFormats[] = {
    "!nq.scaled<si4, f16 per 1x32>",  "!nq.scaled<si4, f32 per 1x64>",
    "!nq.scaled<ui4, f32 per 1x128>", "!nq.scaled<si4, bf16 per 1x128>",
    "!nq.scaled<si8, bf16 per 1x32>", "!nq.scaled<si8, f16 per 1x128>",
    "!nq.scaled<si4, f16 per 1x128>", "!nq.scaled<f8E4M3FN, f32 per 1x128>",
    "!nq.scaled<si8, f32 per 1x64>",
};
/// E8M0 scales codes next to bf16.
const char *const kMixed[] = {
    "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>",
    "!nq.mxfp8",
    "!nq.scaled<f8E5M2, f8E8M0FNU per 1x32>",
};

/// Row i of the identity times a weight is its column i: every code and scale.
TEST(GpuPromote, DecodesEveryBit) {
  std::vector<const char *> all(std::begin(kFormats), std::end(kFormats));
  all.insert(all.end(), std::begin(kMixed), std::end(kMixed));
  for (const char *element : all) {
    SCOPED_TRACE(element);
    GpuFusedRun run(product(256, 128, 256, "f16", element, "f32"),
                    /*onCpu=*/false);
    EXPECT_EQ(run.gpuError, "");
    run.checkIdentity(256);
  }
}

TEST(GpuPromote, WeightsOfAnyFormat) {
  for (const char *element : kFormats) {
    checkTileGemm(product(65, 72, 328, "f16", element, "f32"), 2e-6);
    checkTileGemm(product(33, 136, 200, "bf16", element, "f32"), 2e-6);
  }
  for (const char *element : kMixed)
    checkTileGemm(product(65, 72, 200, "f16", element, "f32"), 2e-6);
}

TEST(GpuPromote, RowsOffTheTile) {
  for (int64_t m : {1, 7, 50, 129})
    for (const char *element :
         {"!nq.scaled<si4, f16 per 1x128>", "!nq.scaled<si4, f32 per 1x32>"})
      checkTileGemm(product(m, 200, 400, "f16", element, "f16"), 1e-3,
                    unsigned(m));
}

/// One group of K, and some that reach beyond its end.
TEST(GpuPromote, GroupsThatKDoesNotFill) {
  for (int64_t k : {136, 264, 504, 520})
    checkTileGemm(
        product(20, 72, k, "f16", "!nq.scaled<si4, f16 per 1x128>", "f32"),
        2e-6, unsigned(k));
}

/// Codes of FP8 that were widened: their scales are those of the result.
TEST(GpuPromote, WidenedActivations) {
  for (const char *per : {"tensor", "1x?"})
    for (const char *element :
         {"!nq.scaled<si4, f16 per 1x128>", "!nq.scaled<si4, f32 per 1x32>"})
      checkTileGemm(product(65, 72, 392, "f16", element, "f32", "", true, per),
                    2e-6);
}

TEST(GpuPromote, Schedules) {
  for (const char *schedule :
       {"t 128x16 s2 c1x1 m2 w1 p2", "t 128x48 s3 c1x1 m1 w1 p1",
        "t 128x64 s4 c1x1 n2 w1 p2", "t 128x96 s3 c1x1 n3 w1 p2",
        "t 128x32 s3 c1x1 m2 w1 p2"})
    for (const char *element :
         {"!nq.scaled<si4, f16 per 1x128>", "!nq.scaled<si4, f32 per 1x64>",
          "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>"})
      checkTileGemm(product(130, 280, 392, "f16", element, "f16", schedule),
                    1e-3);
}

TEST(GpuPromote, EitherOrderOfTheWeight) {
  checkTileGemm(product(70, 40, 320, "f16", "!nq.scaled<si4, f32 per 128x1>",
                        "f32", "", /*transposed=*/false),
                2e-6);
}

/// A result of two products, multiplied.
string gated(const string &left, const string &right, const string &y,
             const string &type, const string &attributes) {
  string mm = " transpose_b : (" + left + ", " + right + ") -> " + y;
  return "#i = affine_map<(d0, d1) -> (d0, d1)>\nfunc.func @k(%a: " + left +
         ", %b: " + right + ", %c: " + right + ") -> " + y + " attributes {" +
         attributes + "} {\n%g = nq.matmul %a, %b" + mm +
         "\n%u = nq.matmul %a, %c" + mm + "\n%e = tensor.empty() : " + y +
         "\n%h = linalg.generic {indexing_maps = [#i, #i, #i], "
         "iterator_types = [\"parallel\", \"parallel\"]} ins(%g, %u : " +
         y + ", " + y + ") outs(%e : " + y + ") {\n^bb0(%p: " + type +
         ", %q: " + type + ", %o: " + type +
         "):\n%s = arith.mulf %p, %q : " + type +
         "\nlinalg.yield %s : " + type + "\n} -> " + y + "\nreturn %h : " + y +
         "\n}";
}

TEST(GpuPromote, GatedGroups) {
  for (const string &element :
       {string("!nq.scaled<si4, f16 per 1x128>"), kMx}) {
    for (const char *schedule : {"", "t 128x48 s3 c1x1 m2 w1 p2"})
      checkTileGemm(gated(tensor(70, 392, "f16"),
                          lanes(144, 392, element, "f16"),
                          tensor(70, 144, "f16"), "f16",
                          "nibble.kernel_class = \"gemm.tcgen05.f16.expand\"" +
                              schedules(schedule)),
                    3e-3);
  }
}

/// What is added to the result lies as the result does, the tile across it.
TEST(GpuPromote, AddsResidual) {
  string a = tensor(77, 320, "f16"),
         b = lanes(136, 320, "!nq.scaled<si4, f16 per 1x128>", "f16"),
         y = tensor(77, 136, "f32");
  checkTileGemm(
      "#i = affine_map<(d0, d1) -> (d0, d1)>\nfunc.func @k(%a: " + a +
          ", %b: " + b + ", %r: " + y + ") -> " + y +
          " attributes {nibble.kernel_class = \"gemm.tcgen05.f16.expand\"} {\n"
          "%g = nq.matmul %a, %b transpose_b : (" +
          a + ", " + b + ") -> " + y + "\n%e = tensor.empty() : " + y +
          "\n%h = linalg.generic {indexing_maps = [#i, #i, #i], "
          "iterator_types = [\"parallel\", \"parallel\"]} ins(%g, %r : " +
          y + ", " + y + ") outs(%e : " + y +
          ") {\n^bb0(%p: f32, %q: f32, %o: f32):\n"
          "%t = arith.addf %p, %q : f32\nlinalg.yield %t : f32\n} -> " +
          y + "\nreturn %h : " + y + "\n}",
      2e-6);
}

//===----------------------------------------------------------------------===//
// FP8 in blocks of 128
//===----------------------------------------------------------------------===//

/// Scales of blocks of 128x128 or of rows of the weight. The matrix unit keeps
/// fewer bits than f32 of sums of 128 k; their sums are f32.
string squares(int64_t n, int64_t k, const string &scales,
               bool transposed = true) {
  return weight(n, k, "!nq.scaled<f8E4M3FN, f32 per " + scales + ">",
                transposed, getKMajorScalesLayout);
}

string activations(int64_t m, int64_t k) {
  return tensor(m, k, "!nq.scaled<f8E4M3FN, f32 per 1x128>");
}

const char *const kBlock128 =
    "nibble.kernel_class = \"gemm.tcgen05.f8f6f4.block128\"";

string blocks(int64_t m, int64_t n, int64_t k, const string &scales,
              const string &result, const string &schedule = "",
              bool transposed = true) {
  string left = activations(m, k), right = squares(n, k, scales, transposed),
         y = tensor(m, n, result);
  return "func.func @k(%a: " + left + ", %b: " + right + ") -> " + y +
         " attributes {" + kBlock128 + schedules(schedule) +
         "} {\n%y = nq.matmul %a, %b " + (transposed ? "transpose_b " : "") +
         ": (" + left + ", " + right + ") -> " + y + "\nreturn %y : " + y +
         "\n}";
}

TEST(GpuPromoteBlocks, Squares) {
  for (int64_t m : {1, 50, 129})
    checkTileGemm(blocks(m, 200, 400, "128x128", "f32"), 2e-6, unsigned(m));
  checkTileGemm(blocks(7, 136, 144, "128x128", "f16"), 1e-3);
}

TEST(GpuPromoteBlocks, Rows) {
  for (int64_t m : {1, 50, 129})
    checkTileGemm(blocks(m, 200, 400, "1x128", "f32"), 2e-6, unsigned(m));
}

TEST(GpuPromoteBlocks, Schedules) {
  for (const char *scales : {"128x128", "1x128"})
    for (const char *schedule :
         {"128x16 s2 c1x1 m2 w1 p2", "128x64 s4 c1x1 n2 w1 p2",
          "t 128x16 s3 c1x1 m2 w1 p2", "t 128x48 s2 c1x1 n2 w1 p1",
          "t 128x64 s4 c1x1 m2 w1 p2"})
      checkTileGemm(blocks(150, 272, 528, scales, "f16", schedule), 1e-3);
  checkTileGemm(
      blocks(150, 272, 528, "128x128", "f16", "128x128 s4 c1x1 m2 w1 p2"),
      1e-3);
}

TEST(GpuPromoteBlocks, EitherOrderOfTheWeight) {
  checkTileGemm(
      blocks(70, 144, 400, "128x128", "f32", "", /*transposed=*/false), 2e-6);
  checkTileGemm(blocks(70, 144, 400, "128x1", "f32", "", /*transposed=*/false),
                2e-6);
}

TEST(GpuPromoteBlocks, Gated) {
  for (const char *scales : {"128x128", "1x128"})
    for (const char *schedule :
         {"", "128x32 s3 c1x1 m2 w1 p2", "t 128x32 s3 c1x1 m2 w1 p2"})
      checkTileGemm(gated(activations(70, 464), squares(144, 464, scales),
                          tensor(70, 144, "f32"), "f32",
                          kBlock128 + schedules(schedule)),
                    2e-6);
}

} // namespace
