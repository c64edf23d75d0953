// Attention on tensor cores, on the emulated GPU, compared with the reference
// interpreter row by row.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionSizes.h"
#include "GpuFusedHarness.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

const bool isHopper = getTestTarget().chip == "sm_90a";
/// What instructions of the kernels on tensor cores begin with.
const char *const kProduct = isHopper ? "wgmma" : "tcgen05.mma";

struct Text {
  AttentionSizes s;
  string element = "f16", options = "", mask = "";
  string scale = "0.125";
  bool interleaved = false; ///< q, k and v are [b, s, h, d]
  /// Of keys and values, and of the result, if others than those of q.
  string cached = "", result = "";
  /// The type of codes that become of the result with heads merged, if any, and
  /// of their scale.
  string codes = "", codesScale = "f32";
  string str() const;

  string ofCache() const { return cached.empty() ? element : cached; }
  string ofResult() const { return result.empty() ? element : result; }
  bool isFloat8() const { return element[0] == '!' || cached[0] == '!'; }
};

/// `name` as [b, h, s, d], from [b, s, h, d] in memory.
string transposed(const string &name, AttentionSizes s, int64_t heads,
                  int64_t rows, int64_t width, const string &element) {
  string from = tensor({s.batch, rows, heads, width}, element),
         to = tensor({s.batch, heads, rows, width}, element);
  return "%e" + name + " = tensor.empty() : " + to + "\n%" + name +
         " = linalg.transpose ins(%" + name + "0 : " + from + ") outs(%e" +
         name + " : " + to + ") permutation = [0, 2, 1, 3]\n";
}

string Text::str() const {
  string q = s.queryType(element), k = s.keyType(ofCache()),
         v = s.valueType(ofCache()), y = s.resultType(ofResult());
  string head = "%q: " + q + ", %k: " + k + ", %v: " + v, body;
  if (interleaved) {
    head =
        "%q0: " + tensor({s.batch, s.queries, s.heads, s.depth}, element) +
        ", %k0: " + tensor({s.batch, s.keys, s.kvHeads, s.depth}, ofCache()) +
        ", %v0: " + tensor({s.batch, s.keys, s.kvHeads, s.width}, ofCache());
    body = transposed("q", s, s.heads, s.queries, s.depth, element) +
           transposed("k", s, s.kvHeads, s.keys, s.depth, ofCache()) +
           transposed("v", s, s.kvHeads, s.keys, s.width, ofCache());
  }
  string end = "%y", type = y, tail;
  if (!codes.empty()) {
    string moved = tensor({s.batch, s.queries, s.heads, s.width}, ofResult()),
           merged = tensor({s.batch, s.queries, s.heads * s.width}, ofResult());
    end = "%c";
    type = tensor({s.batch, s.queries, s.heads * s.width}, codes);
    head += ", %s: tensor<" + codesScale + ">";
    tail = "%e = tensor.empty() : " + moved +
           "\n%t = linalg.transpose ins(%y : " + y + ") outs(%e : " + moved +
           ") permutation = [0, 2, 1, 3]\n%r = tensor.collapse_shape %t [[0], "
           "[1], [2, 3]] : " +
           moved + " into " + merged +
           "\n%c = nq.quantize %r scale(%s : " + "tensor<" + codesScale +
           ">) : " + merged + " -> " + type + "\n";
  }
  return "func.func @k(" + head + (mask.empty() ? "" : ", %m: " + mask) +
         ") -> " + type + " {\n" + body + "%y = nq.attention %q, %k, %v " +
         (mask.empty() ? "" : "mask(%m : " + mask + ") ") +
         "{scale = " + scale + " : f64" + options + "} : (" + q + ", " + k +
         ", " + v + ") -> " + y + "\n" + tail + "return " + end + " : " + type +
         "\n}";
}

class AttentionRun : public GpuFusedRun {
public:
  using GpuFusedRun::GpuFusedRun;

  /// With u the relative rounding error of the type of weights and results, an
  /// element differs by at most 3 u of the sum of its weights times the
  /// absolute values: weights, the result and that of the reference are
  /// rounded. All together by `limit`. Codes differ by a step more; few do.
  void checkElements(double limit, unsigned seed, bool isF16) {
    ASSERT_NE(ptx.find(kProduct), string::npos) << gpuError;
    checkNear(limit, seed);
    if (testing::Test::HasFatalFailure())
      return;
    auto want = runReference(inputs);
    auto sizes = runReference(makeAbsolute());
    ASSERT_TRUE(mlir::succeeded(want) && mlir::succeeded(sizes));
    auto got = nibble::ref::RefTensor::fromStorage(
        (*want)[0].getType(), outputs[0], [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    std::vector<double> x = got->toFloats(), y = (*want)[0].toFloats(),
                        size = (*sizes)[0].toFloats();
    bool hasCodes = (*want)[0].isScaled();
    double scale = hasCodes ? (*want)[0].getBlockScales()[0] : 0;
    double worst = 0, unit = isF16 ? 0x1.01p-11 : 0x1.01p-8;
    size_t flips = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      double error = std::abs(x[i] - y[i]);
      // A step of E4M3; sizes are rounded, and saturate, too.
      double step = std::max(std::abs(y[i]), std::abs(x[i])) / 8;
      if (hasCodes)
        step = error == 0 ? 0 : std::max(step, scale * 0x1p-9);
      // And the smallest f16.
      EXPECT_LE(error, 3 * unit * size[i] * (hasCodes ? 1.1 : 1) + 0x1p-24 +
                           (hasCodes ? step : 0))
          << "element " << i;
      flips += error != 0;
      worst = std::max(worst, error / (size[i] + 1e-6));
    }
    if (hasCodes)
      EXPECT_LE(flips, x.size() / (isF16 ? 50 : 8) + 2);
    if (getenv("NIBBLE_SHOW_ERRORS"))
      fprintf(stderr, "worst error: 2^%.1f, %zu of %zu differ\n",
              std::log2(worst), flips, x.size());
  }

  /// With another scale of k.
  void checkWithKeyScale(float factor) {
    checks.lowScale = -9, checks.highScale = -6;
    makeRandomInputs(/*seed=*/1);
    auto type = tensorOf(kernel.getArgumentTypes()[1]);
    memcpy(inputs[1].data() + nibble::nq::getStorageRegions(type).scales,
           &factor, 4);
    auto want = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(want));
    outputs = makeGpuOutputs();
    ASSERT_TRUE(device) << gpuError;
    ASSERT_EQ(device->run(inputs, outputs), "");
    compareNear(0, (*want)[0], 0x1p-10);
  }

protected:
  /// Inputs with the absolute values of v.
  Buffers makeAbsolute() {
    Buffers absolute(inputs);
    auto type = tensorOf(kernel.getArgumentTypes()[2]);
    bool isCode = bool(nibble::nq::getScaledElement(type));
    size_t end = nibble::nq::getStorageRegions(type).codeBytes;
    for (size_t i = isCode ? 0 : 1; i < end; i += isCode ? 1 : 2)
      absolute[2][i] &= 0x7f;
    return absolute;
  }
};

/// A mask of f32 with which a query sees no key behind it, and query 0 none at
/// all, in the number that exporters write for that: the lowest bf16 * 0.7.
class LargeMaskRun : public AttentionRun {
public:
  using AttentionRun::AttentionRun;

  void check(int64_t queries, int64_t keys, double limit) {
    makeRandomInputs(/*seed=*/1);
    const float lowest = -2.3819763e38f;
    for (int64_t q = 0; q < queries; ++q)
      for (int64_t k = 0; k < keys; ++k) {
        float value = q == 0 || k > q ? lowest : 0.0f;
        memcpy(inputs[3].data() + 4 * (q * keys + k), &value, 4);
      }
    auto want = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(want));
    outputs = makeGpuOutputs();
    ASSERT_EQ(device->run(inputs, outputs), "");
    compareNear(0, (*want)[0], limit);
  }
};

/// What weights are rounded to as operands; bf16 where results are.
bool isF16(const Text &text) {
  return text.element != "bf16" && text.result != "bf16";
}

double limitOf(const Text &text) {
  double limit = isF16(text) ? 0x1p-10 : std::exp2(-7.5);
  return text.codes.empty() ? limit : 1e-2;
}

void prepare(AttentionRun &run, const Text &text) {
  // Random codes are up to 448: scores of a few units.
  if (text.isFloat8())
    run.checks.lowScale = -9, run.checks.highScale = -6;
}

void check(const Text &text, unsigned seed = 1) {
  SCOPED_TRACE(text.str());
  AttentionRun run(text.str(), /*onCpu=*/false);
  prepare(run, text);
  run.checkElements(limitOf(text), seed, isF16(text));
  if (!text.codes.empty())
    EXPECT_EQ(run.gpuKernel.launches.size(), 1u);
}

TEST(GpuAttention, ComputesAllHeadSizes) {
  unsigned seed = 1;
  for (const char *element : {"f16", "bf16"})
    for (int64_t d : {64, 72, 128, 256})
      check({{1, 2, 2, 50, 129, d, d}, element}, seed++);
  check({{2, 1, 1, 7, 7, 8, 40}});
  check({{1, 1, 1, 70, 200, 200, 64}});
  check({{1, 1, 1, 70, 130, 64, 256}});
}

TEST(GpuAttention, TakesAnyLengths) {
  for (int64_t queries : {1, 7, 129})
    for (int64_t keys : {1, 50, 129, 300})
      check({{1, 1, 1, queries, keys, 64, 64}});
  check({{1, 1, 1, 970, 970, 64, 64}});
}

/// One block per row of blocks has all keys.
TEST(GpuAttention, FillsTheMachineWithRows) {
  check({{10, 8, 8, 66, 140, 64, 64}});
  check({{12, 12, 12, 3, 70, 128, 128}, "bf16"});
}

TEST(GpuAttention, SharesKeysInClusters) {
  check({{1, 8, 1, 40, 300, 256, 256}});
  check({{1, 1, 1, 130, 700, 128, 128}, "f16", ", causal"});
  check({{1, 1, 1, 130, 700, 128, 128}, "bf16", ", causal, bottom_right"});
}

/// Blocks of a cluster, and clusters, on a machine of so many multiprocessors.
/// The assembler keeps everything in registers.
void checkSpread(const Text &text, int64_t multiprocessors, int64_t cluster,
                 int64_t clusters, unsigned seed = 1) {
  SCOPED_TRACE(text.str());
  nibble::gpu::GpuTarget target = getTestTarget();
  target.multiprocessors = multiprocessors;
  AttentionRun run(text.str(), /*onCpu=*/false, target);
  ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
  const nibble::gpu::KernelLaunch &launch = run.gpuKernel.launches[0];
  if (isHopper) {
    EXPECT_EQ(launch.cluster[0], cluster);
    EXPECT_EQ(launch.grid[0], cluster * clusters);
  }
  prepare(run, text);
  run.checkElements(limitOf(text), seed, isF16(text));
  run.checkAssembly();
}

TEST(GpuAttention, FoldsHeadsOfAGroupIntoRows) {
  for (const char *options : {"", ", causal", ", causal, bottom_right"})
    for (bool interleaved : {false, true}) {
      check({{2, 4, 2, 37, 90, 64, 64},
             "f16",
             options,
             "",
             "0.125",
             interleaved});
      check({{1, 8, 1, 21, 90, 72, 72},
             "bf16",
             options,
             "",
             "0.125",
             interleaved});
    }
  check({{2, 8, 1, 1, 90, 128, 128}});
}

/// Each split merges some of the columns: of 9 chunks of 8, four or five, or
/// one or two. Sums of others take the place of Q, or of more.
TEST(GpuAttention, MergesColumnsInClusters) {
  for (const char *mask : {"", "tensor<130x2000xf32>", "tensor<2000xi1>"})
    checkSpread({{1, 1, 1, 130, 2000, 72, 72}, "f16", "", mask}, 4, 2, 2);
  checkSpread({{1, 1, 1, 50, 1000, 72, 72}, "bf16", ", causal"}, 132, 8, 1);
  checkSpread({{1, 1, 1, 130, 700, 64, 256}}, 8, 4, 2);
  checkSpread({{1, 8, 1, 40, 500, 256, 256}}, 6, 2, 3);
}

/// Blocks walk over rows of several heads and batches, while the copies of the
/// next ones begin.
TEST(GpuAttention, WalksOverRows) {
  for (const char *element : {"f16", "bf16"})
    for (int64_t d : {64, 72, 128, 256})
      checkSpread({{2, 3, 3, 150, 77, d, d}, element}, 2, 1, 2);
}

TEST(GpuAttention, MasksTheFuture) {
  for (const char *options : {", causal", ", causal, bottom_right"})
    for (auto [queries, keys] :
         {std::pair<int64_t, int64_t>{130, 130}, {9, 141}, {141, 9}, {200, 70}})
      check({{1, 2, 2, queries, keys, 64, 64}, "f16", options});
}

TEST(GpuAttention, AddsMasksOfAnyBroadcast) {
  for (const char *mask :
       {"tensor<2x4x11x71xf32>", "tensor<2x1x1x71xf16>", "tensor<11x71xbf16>",
        "tensor<4x1x1xf32>", "tensor<71xi1>", "tensor<2x4x11x71xi1>",
        "tensor<2x1x11x1xi1>"})
    check({{2, 4, 2, 11, 71, 64, 64}, "f16", "", mask});
  check({{2, 4, 2, 11, 71, 64, 64}, "bf16", ", causal", "tensor<11x71xf32>"});
}

TEST(GpuAttention, TakesLargeFiniteMasks) {
  for (const char *element : {"f16", "bf16"})
    for (int64_t d : {64, 256}) {
      Text text{{1, 2, 1, 200, 200, d, d}, element, "", "tensor<200x200xf32>"};
      SCOPED_TRACE(text.str());
      LargeMaskRun run(text.str(), /*onCpu=*/false);
      run.check(200, 200, text.element == "f16" ? 0x1p-10 : std::exp2(-7.5));
    }
}

/// Transposes and reshapes behind the attention are strides of its result.
TEST(GpuAttention, StoresWhereTheResultIsMovedTo) {
  AttentionRun run(R"(
func.func @k(%q: tensor<2x4x37x64xf16>, %k: tensor<2x2x90x64xf16>, %v: tensor<2x2x90x72xf16>) -> tensor<74x288xf16> {
  %y = nq.attention %q, %k, %v {scale = 0.125 : f64} : (tensor<2x4x37x64xf16>, tensor<2x2x90x64xf16>, tensor<2x2x90x72xf16>) -> tensor<2x4x37x72xf16>
  %e = tensor.empty() : tensor<2x37x4x72xf16>
  %t = linalg.transpose ins(%y : tensor<2x4x37x72xf16>) outs(%e : tensor<2x37x4x72xf16>) permutation = [0, 2, 1, 3]
  %r = tensor.collapse_shape %t [[0, 1], [2, 3]] : tensor<2x37x4x72xf16> into tensor<74x288xf16>
  return %r : tensor<74x288xf16>
})",
                   /*onCpu=*/false);
  run.checkElements(0x1p-10, 5, /*isF16=*/true);
  EXPECT_EQ(run.gpuKernel.launches.size(), 1u);
}

TEST(GpuAttention, CapsAndScales) {
  check({{1, 2, 1, 11, 72, 64, 64}, "f16", ", softcap = 2.0 : f64, causal"});
  for (const char *scale : {"-0.2", "0.0", "1.0"})
    check({{1, 2, 1, 11, 72, 64, 64}, "f16", "", "", scale});
}

TEST(GpuAttention, GivesZerosWhereNothingIsSeen) {
  for (const char *mask : {"", "tensor<130x1xi1>"}) {
    Text text{
        {1, 2, 2, 130, 70, 64, 64}, "f16", ", causal, bottom_right", mask};
    SCOPED_TRACE(text.str());
    AttentionRun run(text.str(), /*onCpu=*/false);
    run.checkElements(0x1p-10, 3, /*isF16=*/true);
    ASSERT_EQ(run.outputs.size(), 1u);
    // Queries 0 .. 59 of a head come before the first key.
    for (int64_t head = 0; head < 2; ++head)
      for (int64_t i = 0; i < 60 * 64 * 2; ++i)
        ASSERT_EQ(run.outputs[0][head * 130 * 64 * 2 + i], 0);
  }
}

TEST(GpuAttention, KeepsSmallWeightsOfLargeValues) {
  for (unsigned seed : {5, 6, 7}) {
    check({{1, 1, 1, 50, 129, 64, 64}, "f16", "", "", "1.0"}, seed);
    check({{1, 1, 1, 50, 129, 128, 128}, "bf16", "", "", "1.0"}, seed);
  }
}

/// Few rows: blocks of a cluster share the keys, on any chip.
TEST(GpuAttention, SharesKeysOfFewRows) {
  Text coded{{1, 4, 1, 13, 900, 72, 72}};
  coded.codes = "!nq.fp8";
  unsigned seed = 1;
  for (const Text &text :
       {Text{{1, 8, 1, 1, 1000, 128, 128}}, Text{{2, 8, 2, 5, 500, 256, 256}},
        Text{{1, 1, 1, 150, 700, 72, 72}, "bf16", ", causal, bottom_right"},
        Text{{1, 2, 1, 50, 400, 64, 40}, "f16", "", "tensor<50x400xf32>"},
        coded}) {
    SCOPED_TRACE(text.str());
    AttentionRun run(text.str(), /*onCpu=*/false);
    ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
    EXPECT_GT(run.gpuKernel.launches[0].cluster[0], 1);
    run.checkElements(limitOf(text), seed++, isF16(text));
    run.checkAssembly();
  }
}

//===----------------------------------------------------------------------===//
// FP8 operands
//===----------------------------------------------------------------------===//

Text float8(AttentionSizes s, const string &q, const string &cached = "!nq.fp8",
            const string &result = "f16") {
  Text text{s, q};
  text.cached = cached, text.result = result;
  return text;
}

/// The scores of codes; values are expanded.
TEST(GpuAttention, MultipliesCodes) {
  unsigned seed = 1;
  for (int64_t d : {16, 64, 80, 128, 208, 256})
    check(float8({1, 2, 2, 50, 129, d, d}, "!nq.fp8"), seed++);
  check(float8({1, 2, 1, 70, 200, 48, 256}, "!nq.fp8"), seed++);
  check(float8({1, 1, 1, 130, 300, 256, 64}, "!nq.fp8", "!nq.fp8", "bf16"));
  check(float8({1, 1, 1, 130, 300, 64, 64}, "!nq.fp8", "!nq.fp8", "f32"));
  string e5m2 = "!nq.scaled<f8E5M2, f32 per tensor>";
  check(float8({1, 2, 2, 50, 129, 64, 64}, "!nq.fp8", e5m2));
}

/// As a cache of codes is read.
TEST(GpuAttention, ExpandsKeysAndValues) {
  unsigned seed = 1;
  for (const char *element : {"f16", "bf16"})
    for (int64_t d : {16, 64, 128, 208, 256})
      check(float8({1, 2, 2, 50, 129, d, d}, element, "!nq.fp8", element),
            seed++);
  check(float8({2, 8, 2, 1, 300, 128, 128}, "f16"));
  check(float8({1, 2, 1, 70, 200, 48, 256}, "f16"));
  check(float8({1, 2, 1, 70, 200, 256, 32}, "bf16", "!nq.fp8", "bf16"));
  string e5m2 = "!nq.scaled<f8E5M2, f16 per tensor>";
  for (const char *element : {"f16", "bf16"})
    check(float8({1, 2, 2, 50, 129, 64, 64}, element, e5m2, element));
}

TEST(GpuAttention, TakesCodesOfAnyLength) {
  for (const char *q : {"f16", "!nq.fp8"}) {
    for (int64_t queries : {1, 129})
      for (int64_t keys : {1, 50, 129, 300})
        check(float8({1, 1, 1, queries, keys, 64, 64}, q));
    check(float8({10, 8, 8, 66, 140, 64, 64}, q));
    checkSpread(float8({2, 3, 3, 150, 77, 128, 128}, q), 2, 1, 2);
  }
}

TEST(GpuAttention, SharesCodesInClusters) {
  for (const char *q : {"f16", "!nq.fp8"}) {
    checkSpread(float8({1, 1, 1, 50, 1000, 80, 80}, q), 132, 8, 1);
    checkSpread(float8({1, 1, 1, 130, 2000, 64, 64}, q), 4, 2, 2);
    checkSpread(float8({1, 8, 1, 12, 500, 256, 256}, q), 132, 8, 2);
    Text text = float8({1, 8, 1, 1, 1000, 128, 128}, q);
    text.codes = "!nq.fp8";
    checkSpread(text, 132, 8, 1);
  }
}

TEST(GpuAttention, AdjustsScoresOfCodes) {
  for (const char *q : {"f16", "!nq.fp8"})
    for (const char *options : {"", ", causal", ", softcap = 2.0 : f64"})
      for (const char *mask : {"", "tensor<37x90xf32>", "tensor<90xi1>"}) {
        Text text = float8({2, 4, 2, 37, 90, 64, 64}, q);
        text.options = options, text.mask = mask;
        check(text);
        text.interleaved = true;
        check(text);
      }
}

/// What comes with a scale of the wrong sign is not what anybody means, but
/// has a value.
TEST(GpuAttention, ObeysScalesOfAnySign) {
  for (float factor : {-0.01f, 0.0f}) {
    Text text = float8({1, 1, 1, 20, 200, 64, 64}, "!nq.fp8");
    AttentionRun run(text.str(), /*onCpu=*/false);
    run.checkWithKeyScale(factor);
  }
}

/// One step of the copy engine is 16 codes; several scales are no factor.
TEST(GpuAttention, LeavesOtherCodesToFmaUnits) {
  string rows = "!nq.scaled<f8E4M3FN, f32 per 1x16>";
  for (Text text : {float8({1, 2, 2, 9, 20, 72, 72}, "!nq.fp8"),
                    float8({1, 2, 2, 9, 20, 64, 64}, "f16", rows),
                    float8({1, 2, 2, 9, 20, 64, 64}, "!nq.fp8", "f16")}) {
    SCOPED_TRACE(text.str());
    AttentionRun run(text.str(), /*onCpu=*/false);
    prepare(run, text);
    EXPECT_EQ(run.ptx.find(kProduct), string::npos);
    run.checkNear(1e-3);
  }
}

//===----------------------------------------------------------------------===//
// Results as codes
//===----------------------------------------------------------------------===//

Text quantized(AttentionSizes s, const string &element,
               const string &codes = "!nq.fp8",
               const string &codesScale = "f32") {
  Text text{s, element};
  text.codes = codes, text.codesScale = codesScale;
  return text;
}

/// Rows of all alignments; groups of eight chunks, and what is left of them.
TEST(GpuAttention, QuantizesItsResult) {
  for (const char *element : {"f16", "bf16"})
    for (int64_t d : {8, 64, 72, 128, 200, 256})
      check(quantized({2, 2, 1, 37, 90, d, d}, element));
  check(quantized({1, 3, 3, 70, 130, 64, 80}, "f16"));
  check(quantized({1, 2, 2, 50, 90, 64, 64}, "f16",
                  "!nq.scaled<f8E4M3FN, f16 per tensor>", "f16"));
}

TEST(GpuAttention, QuantizesInClusters) {
  for (int64_t d : {64, 72, 256})
    checkSpread(quantized({1, 1, 1, 50, 1000, d, d}, "f16"), 132, 8, 1);
  checkSpread(quantized({1, 8, 1, 40, 500, 256, 256}, "bf16"), 6, 2, 3);
  checkSpread(quantized({2, 3, 3, 150, 77, 128, 128}, "f16"), 2, 1, 2);
}

/// What tensor cores do not take still runs.
TEST(GpuAttention, LeavesTheRestToFmaUnits) {
  for (AttentionSizes s : {AttentionSizes{1, 1, 1, 9, 20, 20, 16},
                           AttentionSizes{1, 1, 1, 9, 20, 16, 12},
                           AttentionSizes{1, 1, 1, 9, 20, 264, 16}}) {
    Text text{s};
    GpuFusedRun run(text.str(), /*onCpu=*/false);
    EXPECT_EQ(run.ptx.find(kProduct), string::npos);
    run.checkNear(1e-3);
  }
}

} // namespace
