// Attention on the filled part of a cache, compared with the reference: what
// slots hold that are not filled does not matter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionSizes.h"
#include "FusedRun.h"

using namespace nibble::test;
using std::string;
using std::to_string;
using Lengths = std::vector<int64_t>;

namespace {

struct Text {
  AttentionSizes s;
  string element = "f16", options = "", mask = "", number = "i64";
  int64_t count = 1;  ///< of lengths
  string cached = ""; ///< keys and values, if others than queries
  string result = "";
  string str() const;

  string ofCache() const { return cached.empty() ? element : cached; }
  string ofResult() const { return result.empty() ? element : result; }
  int64_t bytesOfCache() const {
    return ofCache() == "f32" ? 4 : ofCache()[0] == '!' ? 1 : 2;
  }
};

string Text::str() const {
  string q = s.queryType(element), k = s.keyType(ofCache()),
         v = s.valueType(ofCache()), y = s.resultType(ofResult()),
         n = tensor({count}, number);
  return "func.func @k(%q: " + q + ", %k: " + k + ", %v: " + v + ", %n: " + n +
         (mask.empty() ? "" : ", %m: " + mask) + ") -> " + y +
         " {\n%y = nq.attention %q, %k, %v " +
         (mask.empty() ? "" : "mask(%m : " + mask + ") ") +
         "lengths(%n : " + n + ") {scale = 0.125 : f64" + options + "} : (" +
         q + ", " + k + ", " + v + ") -> " + y + "\nreturn %y : " + y + "\n}";
}

class LengthsRun : public FusedRun {
public:
  LengthsRun(const Text &text) : FusedRun(text.str()), text(text) {}
#ifdef NIBBLE_TEST_GPU_PRODUCTS
  LengthsRun(const Text &text, const nibble::gpu::GpuTarget &target)
      : FusedRun(text.str(), /*onCpu=*/false, target), text(text) {}
#endif

  void check(const Lengths &lengths, unsigned seed) {
    SCOPED_TRACE("length " + to_string(lengths[0]) + ", seed " +
                 to_string(seed));
    makeRandomInputs(seed);
    setLengths(lengths);
    poison(lengths);
    auto want = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(want));
    run();
    if (!testing::Test::HasFatalFailure())
      compareAll((*want)[0]);
  }

  void run() {
#ifdef NIBBLE_TEST_GPU_PRODUCTS
    ASSERT_TRUE(device) << gpuError;
    outputs = makeGpuOutputs();
    ASSERT_EQ(device->run(inputs, outputs), "");
    checkAssemblyIfAsked();
#else
    ASSERT_TRUE(ok()) << error;
    outputs = runKernel(inputs, {0, info.extent});
    // Any borders between tasks give the same bytes.
    int64_t middle = int64_t(random() % (info.extent + 1));
    EXPECT_TRUE(runKernel(inputs, {0, middle, info.extent}) == outputs);
#endif
  }

private:
  void setLengths(const Lengths &lengths) {
    size_t bytes = text.number == "i64" ? 8 : 4;
    for (size_t i = 0; i < lengths.size(); ++i)
      memcpy(inputs[3].data() + i * bytes, &lengths[i], bytes);
  }

  /// NaN behind the last key of each head; codes come first.
  void poison(const Lengths &lengths) {
    const AttentionSizes &s = text.s;
    for (size_t operand : {1, 2}) {
      int64_t row = (operand == 1 ? s.depth : s.width) * text.bytesOfCache();
      for (int64_t head = 0; head < s.batch * s.kvHeads; ++head) {
        int64_t length = lengths[lengths.size() == 1 ? 0 : head / s.kvHeads];
        int64_t first = std::clamp<int64_t>(length, 0, s.keys);
        auto begin = inputs[operand].begin() + (head * s.keys + first) * row;
        std::fill(begin, begin + (s.keys - first) * row, char(0xff));
      }
    }
  }

  /// Element by element; zeros are zeros.
  void compareAll(const nibble::ref::RefTensor &want) {
    auto got = nibble::ref::RefTensor::fromStorage(
        want.getType(), outputs[0], [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    std::vector<double> x = got->toFloats(), y = want.toFloats();
    double largest = 0;
    for (double value : y)
      largest = std::max(largest, std::abs(value));
    double limit = text.ofResult() == "f32"   ? 4e-6
                   : text.ofResult() == "f16" ? 0x1p-9
                                              : 0x1p-6;
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_TRUE(std::abs(x[i] - y[i]) <= limit * largest)
          << "element " << i << ": " << x[i] << ", not " << y[i];
  }

  Text text;
};

/// Around tiles of 64, 80 and 128 keys, panels of 16 and vectors of 8; none,
/// all, and numbers that are no lengths.
Lengths interesting(int64_t keys) {
  Lengths all;
  for (int64_t n :
       {int64_t(0), int64_t(1), int64_t(7), int64_t(16), int64_t(63),
        int64_t(64), int64_t(65), int64_t(80), int64_t(81), int64_t(127),
        int64_t(128), int64_t(129), keys - 1, keys, keys + 1, int64_t(-3),
        int64_t(INT32_MIN), int64_t(INT32_MAX)})
    if (n <= keys + 1 || n == INT32_MAX)
      all.push_back(n);
  return all;
}

void check(const Text &text, const Lengths &lengths) {
  SCOPED_TRACE(text.str());
  LengthsRun run(text);
  unsigned seed = 1;
  for (int64_t length : lengths)
    run.check(Lengths(size_t(text.count), length), seed++);
}

void check(const Text &text) { check(text, interesting(text.s.keys)); }

TEST(AttentionLengths, OneQuery) {
  for (const char *element : {"f32", "f16", "bf16"})
    check({{1, 2, 2, 1, 200, 64, 64}, element});
}

/// Numbers that do not fit into 32 bits.
TEST(AttentionLengths, AnyNumberIsALength) {
  check({{1, 2, 2, 3, 40, 64, 64}}, {INT64_MIN, INT64_MAX, int64_t(1) << 32});
  check({{1, 2, 2, 3, 40, 64, 64}, "f16", ", causal, bottom_right"},
        {INT64_MIN, INT64_MAX, (int64_t(1) << 32) + 2, 42, 43, 44, 2, 1});
  check({{1, 2, 2, 3, 40, 64, 64}, "f32", "", "", "i32"},
        {INT32_MIN, INT32_MAX, 0, 5});
}

TEST(AttentionLengths, SharedKvHeads) {
  check({{1, 8, 1, 1, 150, 64, 128}});
  check({{2, 8, 2, 1, 150, 72, 72}, "bf16"});
  check({{1, 4, 2, 3, 150, 64, 64}, "f32"});
}

/// The last query is aligned with the last key, or the first one with the
/// first.
TEST(AttentionLengths, SeveralQueries) {
  for (const char *options : {"", ", causal", ", causal, bottom_right"})
    for (const char *element : {"f32", "f16"}) {
      check({{1, 2, 1, 5, 140, 64, 64}, element, options},
            {0, 1, 3, 4, 5, 6, 64, 67, 128, 131, 140, 143, 150});
      check({{1, 2, 2, 70, 140, 40, 40}, element, options},
            {0, 1, 69, 70, 71, 139, 140, 141, 210});
    }
}

TEST(AttentionLengths, OnePerBatchEntry) {
  for (const char *element : {"f32", "f16"})
    for (const char *number : {"i32", "i64"}) {
      LengthsRun run({{3, 2, 1, 2, 140, 64, 64}, element, "", "", number, 3});
      run.check({1, 140, 64}, 1);
      run.check({0, 65, 200}, 2);
    }
}

TEST(AttentionLengths, BesideMasks) {
  for (const char *mask : {"tensor<1x1x3x90xf32>", "tensor<90xi1>"})
    for (const char *element : {"f32", "f16"})
      check({{1, 2, 2, 3, 90, 64, 64}, element, "", mask}, {1, 17, 64, 90});
  check({{1, 2, 2, 3, 90, 64, 64}, "f16", ", softcap = 2.0 : f64"},
        {1, 17, 64, 90});
}

#ifdef NIBBLE_TEST_GPU_PRODUCTS

const bool isHopper = getTestTarget().chip == "sm_90a";
const char *const kProduct = isHopper ? "wgmma" : "tcgen05.mma";

/// Splits without keys still take part in merging. Tiles of 64 and 128 keys.
TEST(AttentionLengths, Clusters) {
  struct Case {
    Text text;
    Lengths lengths;
  };
  for (const Case &c :
       {Case{{{1, 8, 1, 1, 1100, 128, 128}}, {0, 129, 600, 2000}},
        Case{{{1, 8, 2, 1, 600, 256, 256}}, {1, 64, 599}},
        Case{{{1, 1, 1, 70, 1100, 72, 72}, "bf16", ", causal, bottom_right"},
             {1, 128, 513}}}) {
    SCOPED_TRACE(c.text.str());
    LengthsRun run(c.text, getTestTarget());
    ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
    if (isHopper)
      EXPECT_GT(run.gpuKernel.launches[0].cluster[0], 2);
    EXPECT_NE(run.ptx.find(kProduct), string::npos);
    unsigned seed = 1;
    for (int64_t length : c.lengths)
      run.check({length}, seed++);
    run.checkAssembly();
  }
}

/// FP8 values are expanded before those behind the last key are cleared.
TEST(AttentionLengths, Float8) {
  auto float8 = [](AttentionSizes s, const string &element,
                   const string &options = "") {
    Text text{s, element, options};
    text.cached = "!nq.fp8";
    text.result = "f16";
    return text;
  };
  for (const Text &text : {float8({1, 8, 1, 1, 300, 64, 64}, "f16"),
                           float8({1, 8, 1, 1, 300, 128, 128}, "!nq.fp8"),
                           float8({1, 1, 1, 150, 300, 64, 64}, "!nq.fp8",
                                  ", causal, bottom_right"),
                           float8({1, 1, 1, 150, 300, 256, 256}, "f16"),
                           float8({1, 1, 1, 150, 300, 256, 256}, "!nq.fp8")}) {
    SCOPED_TRACE(text.str());
    LengthsRun run(text);
    EXPECT_NE(run.ptx.find(kProduct), string::npos) << run.gpuError;
    unsigned seed = 1;
    for (int64_t length : {0, 1, 63, 128, 200, 300})
      run.check({length}, seed++);
    run.checkAssembly();
  }
}

/// Two warpgroups share tiles of values, and clear what lies behind the last
/// key together. The assembler keeps everything in registers.
TEST(AttentionLengths, TwoWarpgroups) {
  nibble::gpu::GpuTarget target = getTestTarget();
  target.multiprocessors = 2;
  for (const Text &text :
       {Text{{2, 3, 3, 150, 300, 64, 64}}, Text{{1, 2, 1, 150, 300, 256, 256}},
        Text{{1, 2, 1, 150, 300, 256, 256}, "bf16", ", causal, bottom_right"},
        Text{{1, 2, 1, 150, 300, 128, 128}, "f16", "", "tensor<300xf32>"},
        Text{{1, 2, 1, 150, 300, 256, 256}, "f16", ", causal"}}) {
    SCOPED_TRACE(text.str());
    LengthsRun run(text, target);
    ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
    if (isHopper)
      EXPECT_EQ(run.gpuKernel.launches[0].block[0], 384);
    unsigned seed = 1;
    for (int64_t length : {0, 1, 129, 161, 300})
      run.check({length}, seed++);
    run.checkAssembly();
  }
}

#endif

} // namespace
