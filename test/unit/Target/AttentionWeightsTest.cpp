// Attention whose weights the graph quantizes, compared with the reference: a
// weight that lies on a border of codes has either code, and no other may
// differ.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FusedRun.h"

#include "nibble/rt/quantize.h"

using namespace nibble::test;
using std::string;

namespace {

struct Shape {
  int64_t batch, heads, kvHeads, queries, keys, depth, width;
  int64_t group() const { return heads / kvHeads; }
};

struct Text {
  Shape s;
  string element = "f16", cached = "", result = "", options = "", mask = "";
  /// 1/448, as Model Optimizer writes it.
  string weight = "0.00223214296", type = "f8E4M3FN";
  double scale = 0.125;
  bool hasLengths = false, hasCodes = false;

  string ofCache() const { return cached.empty() ? element : cached; }
  string ofResult() const { return result.empty() ? element : result; }
  string str() const {
    string q = tensor({s.batch, s.heads, s.queries, s.depth}, element),
           k = tensor({s.batch, s.kvHeads, s.keys, s.depth}, ofCache()),
           v = tensor({s.batch, s.kvHeads, s.keys, s.width}, ofCache()),
           y = tensor({s.batch, s.heads, s.queries, s.width}, ofResult()),
           coded = tensor({s.batch, s.heads, s.queries, s.width}, "!nq.fp8"),
           n = "tensor<1xi64>", end = hasCodes ? coded : y;
    return "func.func @k(%q: " + q + ", %k: " + k + ", %v: " + v +
           (mask.empty() ? "" : ", %m: " + mask) +
           (hasLengths ? ", %n: " + n : "") +
           (hasCodes ? ", %s: tensor<f32>" : "") + ") -> " + end +
           " {\n%y = nq.attention %q, %k, %v " +
           (mask.empty() ? "" : "mask(%m : " + mask + ") ") +
           (hasLengths ? "lengths(%n : " + n + ") " : "") +
           "{scale = " + std::to_string(scale) +
           " : f64, weight_type = " + type + ", weight_scale = " + weight +
           " : f32" + options + "} : (" + q + ", " + k + ", " + v + ") -> " +
           y + "\n" +
           (hasCodes ? "%c = nq.quantize %y scale(%s : tensor<f32>) : " + y +
                           " -> " + coded + "\nreturn %c : "
                     : "return %y : ") +
           end + "\n}";
  }
};

/// What an element is, and by how much a kernel may miss it.
struct Expected {
  std::vector<double> values, allowed;
  size_t borders = 0, weights = 0;
};

class WeightsRun : public FusedRun {
public:
  WeightsRun(const Text &text) : FusedRun(text.str()), text(text) {}
#ifdef NIBBLE_TEST_GPU_PRODUCTS
  WeightsRun(const Text &text, int64_t multiprocessors)
      : FusedRun(text.str(), /*onCpu=*/false, makeTarget(multiprocessors)),
        text(text) {}
#endif

  /// With as many keys as there are, or `length`.
  void check(unsigned seed, std::optional<int64_t> length = std::nullopt) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    // Random codes are up to 448: scores of a few units.
    checks.lowScale = -9, checks.highScale = -6;
    makeRandomInputs(seed);
    present = length.value_or(text.s.keys);
    if (length)
      setLength();
    auto want = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(want));
    run();
    if (testing::Test::HasFatalFailure())
      return;
    if (text.hasCodes)
      return compareNear(0, (*want)[0], 1e-2);
    Expected expected = compute();
    if (testing::Test::HasFatalFailure())
      return;
    compareAll("reference", (*want)[0].toFloats(), expected);
    auto got = nibble::ref::RefTensor::fromStorage(
        (*want)[0].getType(), outputs[0], [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    compareAll("kernel", got->toFloats(), expected);
    // Or the bound would say nothing.
    EXPECT_LE(expected.borders, expected.weights / 10 + 8);
  }

private:
#ifdef NIBBLE_TEST_GPU_PRODUCTS
  static nibble::gpu::GpuTarget makeTarget(int64_t multiprocessors) {
    nibble::gpu::GpuTarget target = getTestTarget();
    target.multiprocessors = multiprocessors;
    return target;
  }
#endif

  void run() {
#ifdef NIBBLE_TEST_GPU_PRODUCTS
    ASSERT_TRUE(device) << gpuError;
    outputs = makeGpuOutputs();
    ASSERT_EQ(device->run(inputs, outputs), "");
    checkAssemblyIfAsked();
#else
    ASSERT_TRUE(ok()) << error;
    outputs = runKernel(inputs, {0, info.extent});
    int64_t middle = int64_t(random() % (info.extent + 1));
    EXPECT_TRUE(runKernel(inputs, {0, middle, info.extent}) == outputs);
#endif
  }

  /// What lies behind the last key is NaN.
  void setLength() {
    memcpy(inputs[text.mask.empty() ? 3 : 4].data(), &present, 8);
    const Shape &s = text.s;
    int64_t bytes = text.ofCache()[0] == '!' ? 1
                    : text.element == "f32"  ? 4
                                             : 2;
    for (size_t operand : {1, 2}) {
      int64_t row = (operand == 1 ? s.depth : s.width) * bytes;
      for (int64_t head = 0; head < s.batch * s.kvHeads; ++head)
        std::fill_n(inputs[operand].begin() + (head * s.keys + present) * row,
                    (s.keys - present) * row, char(0xff));
    }
  }

  std::vector<double> decode(unsigned i) {
    auto tensor = nibble::ref::RefTensor::fromStorage(
        tensorOf(kernel.getArgumentTypes()[i]), inputs[i],
        [&] { return kernel.emitError(); });
    EXPECT_TRUE(mlir::succeeded(tensor));
    if (tensor->isInteger()) {
      std::vector<int64_t> values = tensor->toInts();
      return std::vector<double>(values.begin(), values.end());
    }
    return tensor->toFloats();
  }

  double roundWeight(double p, double scale) {
    auto format = text.type == "f8E5M2" ? nibble::rt::StorageFormat::E5M2
                                        : nibble::rt::StorageFormat::E4M3FN;
    uint64_t code = nibble::rt::staticCode(float(p), float(scale), 0, format);
    return nibble::rt::decode(format, code) * scale;
  }

  /// A mask of all rows: [S, T].
  double maskOf(int64_t row, int64_t key) const {
    const Shape &s = text.s;
    double hidden = -std::numeric_limits<double>::infinity();
    if (key >= present)
      return hidden;
    bool bottom = text.options.find("bottom_right") != string::npos;
    if (text.options.find("causal") != string::npos &&
        key > row + (bottom ? present - s.queries : 0))
      return hidden;
    if (masks.empty())
      return 0;
    double value = masks[row * s.keys + key];
    bool isBool = text.mask.find("xi1") != string::npos;
    return isBool ? value != 0 ? 0 : hidden : value;
  }

  Expected compute() {
    const Shape &s = text.s;
    q = decode(0), k = decode(1), v = decode(2);
    masks = text.mask.empty() ? std::vector<double>() : decode(3);
    Expected expected;
    for (int64_t head = 0; head < s.batch * s.heads; ++head)
      for (int64_t row = 0; row < s.queries; ++row)
        computeRow(head, row, expected);
    return expected;
  }

  /// Errors: a score is a sum of `depth` products in f32, and more roundings; a
  /// weight has that of its exponent and of the sum.
  void computeRow(int64_t head, int64_t row, Expected &expected) {
    const Shape &s = text.s;
    int64_t kv = head / s.heads * s.kvHeads + head % s.heads / s.group();
    std::vector<double> weights(s.keys), errors(s.keys);
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t t = 0; t < s.keys; ++t) {
      double score = 0, size = 0, mask = maskOf(row, t);
      for (int64_t d = 0; d < s.depth && !std::isinf(mask); ++d) {
        double product = q[(head * s.queries + row) * s.depth + d] *
                         k[(kv * s.keys + t) * s.depth + d] * text.scale;
        score += product, size += std::abs(product);
      }
      weights[t] = score + mask;
      errors[t] = size * (4 + s.depth / 16.0) + 4 * std::abs(mask);
      errors[t] = std::isinf(mask) ? 0 : errors[t] * 0x1p-24;
      top = std::max(top, weights[t]);
    }
    double ofSum = 0;
    for (int64_t t = 0; t < s.keys; ++t) {
      weights[t] = std::isinf(top) ? 0 : std::exp(weights[t] - top);
      sum += weights[t], ofSum += weights[t] * errors[t];
    }
    ofSum = ofSum / std::max(sum, 1.0) + (16 + s.keys / 16.0) * 0x1p-24;
    sumRow(kv, weights, errors, std::max(sum, 1.0), ofSum, expected);
  }

  void sumRow(int64_t kv, std::vector<double> &weights,
              const std::vector<double> &errors, double sum, double ofSum,
              Expected &expected) {
    const Shape &s = text.s;
    double scale = std::stof(text.weight);
    std::vector<double> values(s.width), allowed(s.width), sizes(s.width);
    for (int64_t t = 0; t < s.keys; ++t) {
      double p = weights[t] / sum, off = std::expm1(errors[t] + ofSum);
      double low = roundWeight(p * (1 - off), scale),
             high = roundWeight(p * (1 + off), scale),
             w = roundWeight(p, scale);
      expected.borders += low != high;
      expected.weights += p != 0;
      for (int64_t d = 0; d < s.width && w + high != 0; ++d) {
        double x = v[(kv * s.keys + t) * s.width + d];
        values[d] += w * x;
        sizes[d] += w * std::abs(x);
        allowed[d] += (high - low) * std::abs(x);
      }
    }
    double unit = text.ofResult() == "f32"   ? 0x1p-24
                  : text.ofResult() == "f16" ? 0x1p-11
                                             : 0x1p-8;
    for (int64_t d = 0; d < s.width; ++d) {
      expected.values.push_back(values[d]);
      // Two roundings of the result, of either kind; the smallest f16.
      double sums = sizes[d] * (8 + s.keys / 16.0) * 0x1p-24;
      expected.allowed.push_back(allowed[d] + sums + 0x1p-24 +
                                 (std::abs(values[d]) + allowed[d]) * 1.01 *
                                     unit);
    }
  }

  void compareAll(const char *name, const std::vector<double> &got,
                  const Expected &expected) {
    ASSERT_EQ(got.size(), expected.values.size());
    size_t wrong = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      bool isNear =
          std::abs(got[i] - expected.values[i]) <= expected.allowed[i];
      wrong += !isNear;
      if (!isNear && wrong < 4)
        ADD_FAILURE() << name << ", element " << i << ": " << got[i] << ", not "
                      << expected.values[i] << " within "
                      << expected.allowed[i];
    }
    EXPECT_EQ(wrong, 0u) << name << " of " << got.size() << " elements";
  }

  Text text;
  int64_t present = 0;
  std::vector<double> q, k, v, masks;
};

void check(const Text &text, unsigned seed) {
  SCOPED_TRACE(text.str());
  WeightsRun run(text);
  run.check(seed);
}

/// The CPU's kernel reads no codes; operands are dequantized in front of it.
std::vector<Text> getTypes() {
  std::vector<Text> types(2);
  types[1].element = "bf16";
#ifdef NIBBLE_TEST_GPU_PRODUCTS
  Text codes, cache, wide;
  codes.element = codes.cached = "!nq.fp8", codes.result = "f16";
  cache.cached = "!nq.fp8";
  wide.element = wide.cached = "!nq.fp8", wide.result = "f32";
  types.insert(types.end(), {codes, cache, wide});
#else
  Text wide;
  wide.element = "f32";
  types.push_back(wide);
#endif
  return types;
}

/// Heads of all sizes, few and many queries; grouped or not; without a mask,
/// causal, added, of bits.
TEST(AttentionWeights, AreCodes) {
  unsigned n = 0;
  std::vector<Text> types = getTypes();
  for (int64_t d : {64, 72, 128, 256})
    for (int64_t queries : {1, 7, 50, 129}) {
      Text text = types[n % types.size()];
      int64_t keys = n % 5 == 0 ? 200 : 70 + 3 * n;
      text.s = {1, 8, n % 2 ? 8 : 1, queries, keys, d, d};
      if (queries > 7)
        text.s.heads = text.s.kvHeads == 1 ? 4 : 2, text.s.kvHeads %= 7;
      if (n % 3 == 1)
        text.options = queries < keys ? ", causal, bottom_right" : ", causal";
      if (n % 3 == 2)
        text.mask = tensor({queries, keys}, n % 2 ? "f32" : "f16");
      if (n % 7 == 6)
        text.mask = tensor({queries, keys}, "i1");
      check(text, ++n);
    }
}

/// Weights above 448 scales saturate, others are numbers below the normal ones.
TEST(AttentionWeights, HaveAnyScale) {
  unsigned seed = 1;
  for (Text text : getTypes())
    for (const char *scale : {"0.0003", "0.00390625", "0.07", "3.0"}) {
      text.s = {1, 2, 2, 20, 90, 64, 64};
      text.weight = scale;
      check(text, seed++);
    }
}

TEST(AttentionWeights, AreE5M2) {
  unsigned seed = 1;
  for (Text text : getTypes()) {
    text.s = {1, 2, 1, 20, 90, 64, 64};
    text.type = "f8E5M2", text.weight = "0.0000175";
    check(text, seed++);
  }
}

/// Equal scores: one weight, a power of two, which no target may miss.
TEST(AttentionWeights, AreExactWhereTheyCanBe) {
  for (Text text : getTypes()) {
    text.s = {1, 1, 1, 4, 64, 64, 64};
    text.scale = 0;
    text.weight = "0.0009765625";
    check(text, 1);
  }
}

TEST(AttentionWeights, EndAtLengths) {
  for (Text text : getTypes()) {
    text.hasLengths = true;
    for (const char *options : {"", ", causal, bottom_right"}) {
      text.s = {1, 4, 1, 3, 200, 64, 64}, text.options = options;
      SCOPED_TRACE(text.str());
      WeightsRun run(text);
      unsigned seed = 1;
      for (int64_t length : {0, 1, 63, 129, 200})
        run.check(seed++, length);
    }
  }
}

#ifdef NIBBLE_TEST_GPU_PRODUCTS

const bool isHopper = getTestTarget().chip == "sm_90a";
/// What instructions of the kernels on tensor cores begin with.
const char *const kProduct = isHopper ? "wgmma" : "tcgen05.mma";

/// On tensor cores; the assembler keeps everything in registers.
void checkSpread(const Text &text, int64_t multiprocessors, int64_t cluster,
                 std::vector<int64_t> lengths = {}) {
  SCOPED_TRACE(text.str());
  WeightsRun run(text, multiprocessors);
  ASSERT_EQ(run.gpuKernel.launches.size(), 1u) << run.gpuError;
  EXPECT_EQ(run.gpuKernel.launches[0].cluster[0], cluster);
  EXPECT_NE(run.ptx.find(kProduct), string::npos);
  for (int64_t length : lengths)
    run.check(1, length);
  if (lengths.empty())
    run.check(1);
  run.checkAssembly();
}

/// Blocks of a cluster tell each other maxima and sums before they make codes.
TEST(AttentionWeights, AreThoseOfAllBlocks) {
  for (auto [n, text] : llvm::enumerate(getTypes())) {
    bool isCodes = text.element[0] == '!';
    text.s = {1, 8, 1, 1, 1100, 128, 128}, text.hasLengths = true;
    checkSpread(text, 132, 8, {0, 1, 129, 600, 1100});
    text.hasLengths = false;
    if (isCodes || n == 0) {
      text.s = {1, 1, 1, 130, 700, 64, 256};
      text.options = ", causal, bottom_right";
      checkSpread(text, 8, isHopper ? 4 : 2);
    }
    text.options = "", text.mask = tensor({50, 1000}, n % 2 ? "f32" : "i1");
    text.s = {1, 1, 1, 50, 1000, 80, 80};
    checkSpread(text, 132, 8);
  }
}

/// Two warpgroups, one block or several walks.
TEST(AttentionWeights, WalkOverRows) {
  int64_t sizes[] = {64, 80, 128, 256};
  for (auto [n, text] : llvm::enumerate(getTypes()))
    for (int64_t i : {0, 1}) {
      int64_t d = sizes[(n + 2 * i) % 4];
      text.s = {1, 3, 3, 150, 90, d, d};
      text.options = text.mask = "";
      checkSpread(text, 2, 1);
      text.s = {1, 1, 1, 150, 150, d, d};
      text.options = ", causal";
      checkSpread(text, 2, 1);
      text.options = "", text.mask = tensor({150, 150}, "f32");
      // Heads of 256 beside masks of queries of 16 bits spill, codes or not.
      if (d < 256 || text.element[0] == '!')
        checkSpread(text, 2, 1);
    }
}

TEST(AttentionWeights, ResultsAreCodes) {
  for (Text text : getTypes()) {
    text.s = {1, 4, 1, 70, 200, 64, 64};
    text.hasCodes = true;
    SCOPED_TRACE(text.str());
    WeightsRun run(text);
    run.check(1);
    EXPECT_EQ(run.gpuKernel.launches.size(), 1u);
  }
}

#endif

} // namespace
