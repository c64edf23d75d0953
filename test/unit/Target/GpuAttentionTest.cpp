// Attention on tensor cores, on the emulated GPU, compared with the reference
// interpreter row by row.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuFusedHarness.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

struct Shape {
  int64_t batch, heads, kvHeads, queries, keys, depth, width;
};

string tensor(std::initializer_list<int64_t> shape, const string &element) {
  string text = "tensor<";
  for (int64_t extent : shape)
    text += to_string(extent) + "x";
  return text + element + ">";
}

struct Text {
  Shape s;
  string element = "f16", options = "", mask = "";
  string scale = "0.125";
  bool interleaved = false; ///< q, k and v are [b, s, h, d]
  string str() const;
};

/// `name` as [b, h, s, d], from [b, s, h, d] in memory.
string transposed(const string &name, Shape s, int64_t heads, int64_t rows,
                  int64_t width, const string &element) {
  string from = tensor({s.batch, rows, heads, width}, element),
         to = tensor({s.batch, heads, rows, width}, element);
  return "%e" + name + " = tensor.empty() : " + to + "\n%" + name +
         " = linalg.transpose ins(%" + name + "0 : " + from + ") outs(%e" +
         name + " : " + to + ") permutation = [0, 2, 1, 3]\n";
}

string Text::str() const {
  string q = tensor({s.batch, s.heads, s.queries, s.depth}, element),
         k = tensor({s.batch, s.kvHeads, s.keys, s.depth}, element),
         v = tensor({s.batch, s.kvHeads, s.keys, s.width}, element),
         y = tensor({s.batch, s.heads, s.queries, s.width}, element);
  string head = "%q: " + q + ", %k: " + k + ", %v: " + v, body;
  if (interleaved) {
    head = "%q0: " + tensor({s.batch, s.queries, s.heads, s.depth}, element) +
           ", %k0: " + tensor({s.batch, s.keys, s.kvHeads, s.depth}, element) +
           ", %v0: " + tensor({s.batch, s.keys, s.kvHeads, s.width}, element);
    body = transposed("q", s, s.heads, s.queries, s.depth, element) +
           transposed("k", s, s.kvHeads, s.keys, s.depth, element) +
           transposed("v", s, s.kvHeads, s.keys, s.width, element);
  }
  return "func.func @k(" + head + (mask.empty() ? "" : ", %m: " + mask) +
         ") -> " + y + " {\n" + body + "%y = nq.attention %q, %k, %v " +
         (mask.empty() ? "" : "mask(%m : " + mask + ") ") +
         "{scale = " + scale + " : f64" + options + "} : (" + q + ", " + k +
         ", " + v + ") -> " + y + "\nreturn %y : " + y + "\n}";
}

class AttentionRun : public GpuFusedRun {
public:
  using GpuFusedRun::GpuFusedRun;

  /// With u the relative rounding error of the type, an element differs by at
  /// most 3 u of the sum of its weights times the absolute values: weights, the
  /// result and that of the reference are rounded. All together by `limit`.
  void checkElements(double limit, unsigned seed) {
    ASSERT_NE(ptx.find("wgmma"), string::npos) << gpuError;
    checkNear(limit, seed);
    if (testing::Test::HasFatalFailure())
      return;
    auto want = runReference(inputs);
    Buffers absolute(inputs);
    for (size_t i = 1; i < absolute[2].size(); i += 2)
      absolute[2][i] &= 0x7f;
    auto sizes = runReference(absolute);
    ASSERT_TRUE(mlir::succeeded(want) && mlir::succeeded(sizes));
    auto got = nibble::ref::RefTensor::fromStorage(
        (*want)[0].getType(), outputs[0], [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    std::vector<double> x = got->toFloats(), y = (*want)[0].toFloats(),
                        size = (*sizes)[0].toFloats();
    bool isF16 = (*want)[0].getType().getElementType().isF16();
    double worst = 0, unit = isF16 ? 0x1.01p-11 : 0x1.01p-8;
    for (size_t i = 0; i < x.size(); ++i) {
      double error = std::abs(x[i] - y[i]);
      // And the smallest f16.
      EXPECT_LE(error, 3 * unit * size[i] + 0x1p-24) << "element " << i;
      worst = std::max(worst, error / (size[i] + 1e-6));
    }
    if (getenv("NIBBLE_SHOW_ERRORS"))
      fprintf(stderr, "worst error: 2^%.1f\n", std::log2(worst));
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

void check(const Text &text, unsigned seed = 1) {
  SCOPED_TRACE(text.str());
  AttentionRun run(text.str(), /*onCpu=*/false);
  run.checkElements(text.element == "f16" ? 0x1p-10 : std::exp2(-7.5), seed);
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
  nibble::gpu::GpuTarget target;
  target.multiprocessors = multiprocessors;
  AttentionRun run(text.str(), /*onCpu=*/false, target);
  ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
  const nibble::gpu::KernelLaunch &launch = run.gpuKernel.launches[0];
  EXPECT_EQ(launch.cluster[0], cluster);
  EXPECT_EQ(launch.grid[0], cluster * clusters);
  run.checkElements(text.element == "f16" ? 0x1p-10 : std::exp2(-7.5), seed);
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
  run.checkElements(0x1p-10, 5);
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
    run.checkElements(0x1p-10, 3);
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

/// What tensor cores do not take still runs.
TEST(GpuAttention, LeavesTheRestToFmaUnits) {
  for (Shape s : {Shape{1, 1, 1, 9, 20, 20, 16}, Shape{1, 1, 1, 9, 20, 16, 12},
                  Shape{1, 1, 1, 9, 20, 264, 16}}) {
    Text text{s};
    GpuFusedRun run(text.str(), /*onCpu=*/false);
    EXPECT_EQ(run.ptx.find("wgmma"), string::npos);
    run.checkNear(1e-3);
  }
}

} // namespace
