// Products whose weights are expanded to operands of wgmma, on the emulated
// GPU, compared with the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuTileGemm.h"
#include "GpuWeights.h"
#include "nibble/KernelSelect/FragmentLayout.h"

using namespace nibble;
using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

/// As the kernels want it stored next to activations of type `a`.
string weight(int64_t n, int64_t k, const string &element, const string &a,
              bool transposed = true) {
  return test::weight(n, k, element, transposed,
                      [&](mlir::RankedTensorType type, MatrixDims dims) {
                        return getFragmentLayout(
                            type, dims, activation(type.getContext(), a));
                      });
}

string attributes(const string &a, const string &element,
                  const string &schedule) {
  bool isMixed = a == "f16" && (element.find("E8M0") != string::npos ||
                                element.find("mx") != string::npos);
  string text = "{nibble.kernel_class = \"gemm.wgmma." + a +
                (isMixed ? ".promote32\"" : ".expand\"");
  return text +
         (schedule.empty() ? "" : ", nibble.schedule = \"" + schedule + "\"") +
         "}";
}

/// `a` is what is multiplied; activations are that, or codes of it with scales
/// `per` something.
string product(int64_t m, int64_t n, int64_t k, const string &a,
               const string &element, const string &result,
               const string &schedule = "", bool transposed = true,
               const string &per = "") {
  return expandedProduct(m, n, k, a, weight(n, k, element, a, transposed),
                         result, attributes(a, element, schedule), transposed,
                         per);
}

void check(const string &text, double limit = 2e-6, unsigned seed = 1) {
  checkTileGemm(text, limit, seed);
}

const string kMx = "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>";
const char *const kFormats[] = {
    "!nq.nvfp4",
    "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>",
    "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f32>",
    "!nq.scaled<si4, f16 per 1x32>",
    "!nq.scaled<si4, f32 per 1x64>",
    "!nq.scaled<ui4, f32 per 1x128>",
    "!nq.scaled<si4, bf16 per 1x128>",
    "!nq.scaled<si4, f32 per 1x?>",
    "!nq.fp8",
    "!nq.scaled<f8E4M3FN, f32 per 1x?>",
    "!nq.scaled<f8E5M2, f16 per 1x?>",
    "!nq.mxfp8",
    "!nq.scaled<f8E5M2, f8E8M0FNU per 1x32>",
    "!nq.scaled<f8E4M3FN, f32 per 1x128>",
    "!nq.scaled<si8, f32 per 1x?>",
    "!nq.scaled<ui8, f16 per tensor>",
    "!nq.scaled<si8, bf16 per 1x32>",
    "!nq.scaled<si8, f16 per 1x128>",
};

/// Row i of the identity times a weight is its column i: every code and scale.
TEST(GpuExpand, DecodesEveryBit) {
  for (const char *element : kFormats) {
    SCOPED_TRACE(element);
    GpuFusedRun run(product(128, 256, 128, "f16", element, "f32"),
                    /*onCpu=*/false);
    EXPECT_EQ(run.gpuError, "");
    run.checkIdentity(128);
  }
}

TEST(GpuExpand, WeightsOfAnyFormat) {
  for (const char *element : kFormats)
    check(product(65, 72, 200, "f16", element, "f32"));
}

TEST(GpuExpand, ActivationsInBf16) {
  for (const char *element : kFormats)
    check(product(129, 40, 264, "bf16", element, "f32"));
}

/// Codes of FP8 that were widened: their scales are those of the sums.
TEST(GpuExpand, WidenedActivations) {
  for (const char *element : kFormats)
    for (const char *per : {"tensor", "1x?"}) {
      check(product(65, 72, 200, "f16", element, "f32", "", true, per));
      check(product(129, 40, 264, "bf16", element, "f32", "", true, per));
    }
}

TEST(GpuExpand, RowsOffTheTile) {
  for (int64_t m : {65, 129})
    for (unsigned seed : {1, 2, 3})
      check(product(m, 136, 160, "f16", "!nq.nvfp4", "f16"), 1e-3, seed);
}

TEST(GpuExpand, ManyRows) {
  check(product(970, 144, 72, "f16", "!nq.nvfp4", "f16"), 1e-3);
}

/// Two and one warpgroups, in turns, with two parts each, in clusters.
TEST(GpuExpand, Schedules) {
  for (const char *schedule :
       {"t 64x72 s3 c1x1 m2 w1 p2", "t 128x72 s4 c1x1 m2 w2 p2",
        "t 128x144 s3 c2x1 n2 w2 p1", "t 64x64 s4 c1x1 m2 w2 p2 pp",
        "t 128x64 s4 c1x1 n2 w2 p2 pp", "t 256x64 s3 c1x1 m2 w2 p2"})
    for (const string &element :
         {string("!nq.nvfp4"), kMx, string("!nq.fp8")}) {
      // One scale of 8 bits for 32 k: a slot needs 128 rows of them.
      bool isWide = schedule[2] != '6';
      if (element == kMx && !isWide)
        continue;
      check(product(130, 280, 328, "f16", element, "f16", schedule), 1e-3);
    }
}

/// K in slices: stages that do not come out even, scales of two stages, scales
/// of sums, gate and up.
TEST(GpuExpand, Splits) {
  for (auto [m, schedule] : {std::make_pair(7, "t 128x40 s3 c1x1 m2 w2 p2 k4"),
                             {50, "t 256x32 s3 c1x1 m2 w2 p2 k3"},
                             {129, "t 128x80 s3 c2x1 n2 w2 p2 k2"}})
    for (const char *element :
         {"!nq.nvfp4", "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>",
          "!nq.scaled<si4, bf16 per 1x128>", "!nq.scaled<ui4, f32 per 1x64>"})
      check(product(m, 280, 600, "f16", element, "f16", schedule), 1e-3,
            unsigned(m));
}

TEST(GpuExpand, EitherOrderOfTheWeight) {
  for (const char *element :
       {"!nq.scaled<f4E2M1FN, f8E4M3FN per 16x1, global f32>",
        "!nq.scaled<si4, f32 per 64x1>", "!nq.scaled<f8E4M3FN, f32 per ?x1>"})
    check(product(70, 40, 160, "f16", element, "f32", "",
                  /*transposed=*/false));
}

/// Gate and up in one stage, and what follows.
TEST(GpuExpand, GatedWithBias) {
  for (const string &element : {string("!nq.nvfp4"), kMx, string("!nq.fp8")}) {
    string a = tensor(70, 96, "f16"), b = weight(80, 96, element, "f16"),
           y = tensor(70, 80, "f16");
    string mm = " transpose_b : (" + a + ", " + b + ") -> " + y;
    check(
        "#i = affine_map<(d0, d1) -> (d0, d1)>\n"
        "#c = affine_map<(d0, d1) -> (d1)>\n"
        "func.func @k(%a: " +
            a + ", %b: " + b + ", %c: " + b + ", %d: tensor<80xf16>) -> " + y +
            " attributes " +
            attributes("f16", element == kMx ? "E8M0" : "", "") +
            " {\n%g = nq.matmul %a, %b" + mm + "\n%u = nq.matmul %a, %c" + mm +
            "\n%e = tensor.empty() : " + y +
            "\n%h = linalg.generic {indexing_maps = [#i, #i, #c, #i], "
            "iterator_types = [\"parallel\", \"parallel\"]} ins(%g, %u, %d : " +
            y + ", " + y + ", tensor<80xf16>) outs(%e : " + y +
            ") {\n^bb0(%p: f16, %q: f16, %r: f16, %o: f16):\n"
            "%s = arith.mulf %p, %q : f16\n%t = arith.addf %s, %r : f16\n"
            "linalg.yield %t : f16\n} -> " +
            y + "\nreturn %h : " + y + "\n}",
        3e-3);
  }
}

/// FP8 with scales per 128 k: of rows of the activation, and of blocks of
/// 128x128 or of rows of the weight. Sums of 128 k are f32 in the matrix unit,
/// which keeps fewer bits of them; their sums are f32.
string blocks(int64_t m, int64_t n, int64_t k, const string &scales,
              const string &result, const string &schedule = "",
              bool transposed = true) {
  string element = "!nq.scaled<f8E4M3FN, f32 per " + scales + ">",
         left = tensor(m, k, "!nq.scaled<f8E4M3FN, f32 per 1x128>"),
         y = tensor(m, n, result), right;
  mlir::MLIRContext context;
  context.loadDialect<nq::NqDialect>();
  auto type = llvm::cast<mlir::RankedTensorType>(mlir::parseType(
      transposed ? tensor(n, k, element) : tensor(k, n, element), &context));
  llvm::raw_string_ostream(right) << mlir::RankedTensorType::get(
      type.getShape(), type.getElementType(),
      getKMajorScalesLayout(type,
                            transposed ? MatrixDims{0, 1} : MatrixDims{1, 0}));
  return "func.func @k(%a: " + left + ", %b: " + right + ") -> " + y +
         " attributes {nibble.kernel_class = \"gemm.wgmma.e4m3.block128\"" +
         (schedule.empty() ? "" : ", nibble.schedule = \"" + schedule + "\"") +
         "} {\n%y = nq.matmul %a, %b " + (transposed ? "transpose_b " : "") +
         ": (" + left + ", " + right + ") -> " + y + "\nreturn %y : " + y +
         "\n}";
}

TEST(GpuPromote, SquareBlocks) {
  for (int64_t m : {65, 129})
    check(blocks(m, 200, 400, "128x128", "f32"), 2e-6, unsigned(m));
  check(blocks(7, 136, 144, "128x128", "f16"), 1e-3);
  check(blocks(970, 144, 272, "128x128", "f16"), 1e-3);
}

TEST(GpuPromote, BlocksAlongK) {
  for (int64_t m : {65, 129})
    check(blocks(m, 200, 400, "1x128", "f32"), 2e-6, unsigned(m));
}

/// Two products of one activation, side by side.
TEST(GpuPromote, Gated) {
  for (const char *scales : {"128x128", "1x128"}) {
    string one = blocks(70, 144, 464, scales, "f32");
    string a = tensor(70, 464, "!nq.scaled<f8E4M3FN, f32 per 1x128>"),
           y = tensor(70, 144, "f32");
    size_t begin = one.find("%b: ") + 4;
    string b = one.substr(begin, one.find(") -> ") - begin);
    string mm = " transpose_b : (" + a + ", " + b + ") -> " + y;
    check("#i = affine_map<(d0, d1) -> (d0, d1)>\n"
          "func.func @k(%a: " +
              a + ", %b: " + b + ", %c: " + b + ") -> " + y +
              " attributes {nibble.kernel_class = "
              "\"gemm.wgmma.e4m3.block128\"" +
              (scales[1] == '2' ? ", nibble.schedule = \"128x32 s3 c1x1 m2 w2 "
                                  "p2 late\""
                                : string()) +
              "} {\n%g = nq.matmul %a, %b" + mm + "\n%u = nq.matmul %a, %c" +
              mm + "\n%e = tensor.empty() : " + y +
              "\n%h = linalg.generic {indexing_maps = [#i, #i, #i], "
              "iterator_types = [\"parallel\", \"parallel\"]} ins(%g, %u : " +
              y + ", " + y + ") outs(%e : " + y +
              ") {\n^bb0(%p: f32, %q: f32, %o: f32):\n"
              "%s = arith.mulf %p, %q : f32\nlinalg.yield %s : f32\n} -> " +
              y + "\nreturn %h : " + y + "\n}",
          2e-6);
  }
}

TEST(GpuPromote, EitherOrderOfTheWeight) {
  check(blocks(70, 144, 400, "128x128", "f32", "", /*transposed=*/false));
  check(blocks(70, 144, 400, "128x1", "f32", "", /*transposed=*/false));
}

TEST(GpuPromote, Schedules) {
  for (const char *schedule :
       {"64x128 s3 c1x1 m2 w1 p2", "128x128 s4 c1x1 m2 w2 p2",
        "128x64 s4 c2x1 n2 w2 p1", "64x128 s4 c1x1 m2 w2 p2 pp",
        "256x64 s3 c1x2 m2 w2 p2"})
    for (const char *scales : {"128x128", "1x128"})
      check(blocks(300, 272, 528, scales, "f16", schedule), 1e-3);
}

/// Sums that are added in the next round: groups of all sizes, teams, slices
/// of K.
TEST(GpuPromote, Late) {
  for (int64_t k : {512, 720, 1024, 1104, 1280})
    check(blocks(65, 144, k, "128x128", "f32", "128x64 s3 c1x1 m2 w2 p2 late"),
          2e-6, unsigned(k));
  for (const char *schedule :
       {"128x128 s4 c1x1 m2 w2 p2 late", "64x128 s4 c1x1 m2 w2 p2 pp late",
        "64x64 s3 c2x1 n2 w1 p1 late", "128x64 s3 c1x1 m2 w2 p2 late k2"})
    check(blocks(300, 272, 1520, "128x128", "f16", schedule), 1e-3);
}

/// The last slice reaches beyond the scales.
TEST(GpuPromote, Splits) {
  for (auto [m, schedule] : {std::make_pair(1, "128x64 s3 c1x1 m2 w2 p2 k4"),
                             {50, "64x128 s3 c1x1 m2 w1 p2 k2"},
                             {129, "128x32 s3 c2x1 m2 w2 p2 k2"}})
    for (const char *scales : {"128x128", "1x128"})
      check(blocks(m, 272, 848, scales, "f32", schedule), 2e-6, unsigned(m));
}

/// What is added to the result lies as the result does, the tile across it.
TEST(GpuExpand, AddsResidual) {
  for (const char *residual : {"f16", "f32", "bf16"}) {
    string a = tensor(77, 96, "f16"), b = weight(136, 96, "!nq.nvfp4", "f16"),
           y = tensor(77, 136, "f32"), r = tensor(77, 136, residual);
    check("#i = affine_map<(d0, d1) -> (d0, d1)>\n"
          "func.func @k(%a: " +
          a + ", %b: " + b + ", %r: " + r + ") -> " + y + " attributes " +
          attributes("f16", "",
                     residual[1] == '3' ? "t 128x72 s3 c1x1 m2 w2 p2 k2"
                                        : "t 128x72 s3 c1x1 m2 w2 p2") +
          " {\n%g = nq.matmul %a, %b transpose_b : (" + a + ", " + b + ") -> " +
          y + "\n%e = tensor.empty() : " + y +
          "\n%h = linalg.generic {indexing_maps = [#i, #i, #i], "
          "iterator_types = [\"parallel\", \"parallel\"]} ins(%g, %r : " +
          y + ", " + r + ") outs(%e : " + y +
          ") {\n^bb0(%p: f32, %q: " + residual + ", %o: f32):\n" +
          (string(residual) == "f32"
               ? "%t = arith.addf %p, %q : f32\n"
               : "%w = arith.extf %q : " + string(residual) +
                     " to f32\n%t = arith.addf %p, %w : f32\n") +
          "linalg.yield %t : f32\n} -> " + y + "\nreturn %h : " + y + "\n}");
  }
}

/// Rows of the result that the copy engine does not move: FMA units, and a
/// warning that says why.
TEST(GpuExpand, FallsBack) {
  GpuFusedRun run(product(70, 41, 64, "f16", "!nq.nvfp4", "f16"),
                  /*onCpu=*/false);
  EXPECT_NE(run.gpuError.find("runs on FMA units: rows of a result are 82 "
                              "bytes; the copy engine wants multiples of 16"),
            string::npos)
      << run.gpuError;
  run.checkNear(1e-3);
}

} // namespace
