// Recognized ops have the value of what they replace: equal in f32 but for the
// order of operations, within the bounds of Passes.td in f16.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RecognizeHarness.h"

using namespace nibble;
using namespace nibble::onnx;

namespace {

constexpr double exact = 1e-12;
/// Half a unit in the last place of f16, relative; and of its subnormals.
constexpr double u = 0x1p-11, tiny = 0x1p-24;
constexpr double infinity = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Norm
//===----------------------------------------------------------------------===//

Tensor inverseRoot(Net &n, Tensor variance, int64_t form) {
  Tensor root = n.sqrt(variance), one = n.scalar(1, variance.type);
  return form == 0 ? n.div(one, root) : n.sqrt(n.div(one, variance));
}

/// A random normalization of `x`, without gain and bias.
Tensor normalize(Net &n, Tensor x, llvm::ArrayRef<int64_t> dims, bool layer) {
  if (layer)
    x = n.sub(x, n.mean(x, dims));
  Tensor variance = n.add(n.mean(n.mul(x, x), dims), n.scalar(1e-6f, x.type));
  int64_t form = n.pick(0, 2);
  return form == 2 ? n.div(x, n.sqrt(variance))
                   : n.mul(x, inverseRoot(n, variance, form));
}

TEST(RecognizeNorm, KeepsValuesOfF32) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    Net n(seed);
    llvm::SmallVector<int64_t> shape;
    for (int64_t i = 0, rank = n.pick(1, 4); i < rank; ++i)
      shape.push_back(n.pick(1, 9));
    auto dims = llvm::to_vector(
        llvm::seq<int64_t>(n.pick(0, shape.size() - 1), shape.size()));
    bool layer = n.flip(), gain = n.flip(), bias = n.flip();
    Tensor y = normalize(n, n.arg(shape, ElemType::Float, 3), dims, layer);
    int64_t width = shape.back();
    if (gain)
      y = n.mul(n.constant(width, ElemType::Float, n.numbers(width)), y);
    if (bias)
      y = n.add(y, n.arg(width, ElemType::Float));
    n.finish(y);
    auto before = n.evaluate({"recognize-norm"});
    EXPECT_EQ(n.count("nq.norm"), 0);
    EXPECT_LE(relativeDifference(n.evaluate({}), before), exact);
    EXPECT_EQ(n.count("nq.norm"), 1) << "seed " << seed;
    EXPECT_EQ(n.count("linalg.generic"), 0) << "seed " << seed;
  }
}

TEST(RecognizeNorm, KeepsTheRoundingBeforeTheGain) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Net n(seed);
    int64_t rows = n.pick(1, 5), width = n.pick(1, 40);
    bool gainInF32 = n.flip();
    Tensor x = n.arg({rows, width}, ElemType::Float16, 30);
    Tensor y = normalize(n, n.build.cast(x, ElemType::Float), 1, n.flip());
    Tensor gain = n.constant(width, ElemType::Float16, n.numbers(width));
    if (gainInF32)
      y = n.mul(y, n.build.cast(gain, ElemType::Float));
    y = n.build.cast(y, ElemType::Float16);
    n.finish(gainInF32 ? y : n.mul(gain, y));
    auto before = n.evaluate({"recognize-norm"});
    EXPECT_EQ(n.evaluate({}), before);
    EXPECT_EQ(n.count("nq.norm"), 1);
    EXPECT_EQ(n.count("nq.cast"), 0);
    EXPECT_EQ(n.count("linalg.generic"), gainInF32 ? 0 : 1);
  }
}

/// Squares, mean, root, quotient, product and gain, each rounded to f16.
TEST(RecognizeNorm, StaysWithinItsBoundInF16IfAllowed) {
  double used = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    Net n(seed);
    int64_t rows = n.pick(1, 5), width = n.pick(2, 40);
    Tensor x = n.arg({rows, width}, ElemType::Float16, 5);
    Tensor y = normalize(n, x, 1, false);
    if (n.flip())
      y = n.mul(y, n.constant(width, ElemType::Float16, n.numbers(width)));
    n.finish(y);
    auto before = n.evaluate({});
    EXPECT_EQ(n.count("nq.norm"), 0);
    auto after = n.evaluate({}, {"allow-less-rounding"});
    EXPECT_EQ(n.count("nq.norm"), 1) << "seed " << seed;
    // Squares, their mean and the sum with epsilon: d = 3 u.
    for (size_t i = 0; i < before.size(); ++i)
      used = std::fmax(used, std::abs(after[i] - before[i]) /
                                 (6.5 * u * std::abs(after[i]) + 4 * tiny));
  }
  EXPECT_LE(used, 1 + 20 * u);
  EXPECT_GT(used, 0.1) << "the bound says little";
  std::printf("norm in f16: %.2f of the bound\n", used);
}

//===----------------------------------------------------------------------===//
// Gains in weights
//===----------------------------------------------------------------------===//

/// x / sqrt(mean(x^2) + 1e-6) of each row.
std::vector<double> normalizeRows(std::vector<double> x, int64_t width) {
  for (size_t row = 0; row < x.size(); row += width) {
    double sum = 0;
    for (int64_t k = 0; k < width; ++k)
      sum += x[row + k] * x[row + k];
    for (int64_t k = 0; k < width; ++k)
      x[row + k] /= std::sqrt(sum / width + double(1e-6f));
  }
  return x;
}

struct GainCase {
  int64_t rows, width, columns;
  std::vector<double> gain, weight;
  bool transposed; ///< the weight is [columns, width]
  double at(int64_t k, int64_t n) const {
    return weight[transposed ? n * width + k : k * columns + n];
  }
  /// sum |x g w| of one element of the result.
  double magnitude(const std::vector<double> &x, int64_t element) const {
    double sum = 0;
    for (int64_t k = 0, row = element / columns * width; k < width; ++k)
      sum += std::abs(x[row + k] * gain[k] * at(k, element % columns));
    return sum;
  }
};

/// Gemma's 1 + w, in the norm or behind its rounding.
Tensor writeGain(Net &n, Tensor x, const GainCase &c, bool inside,
                 ElemType type) {
  std::vector<double> w = c.gain;
  for (double &value : w)
    value -= 1;
  Tensor gain = n.add(n.constant(c.width, ElemType::Float, w),
                      n.scalar(1, ElemType::Float));
  Tensor y = normalize(n, n.build.cast(x, ElemType::Float), 1, false);
  if (inside)
    return n.build.cast(n.mul(y, gain), type);
  return n.mul(n.build.cast(y, type), n.build.cast(gain, type));
}

TEST(FoldNormWeight, StaysWithinItsBoundAndIsOffByDefault) {
  int64_t changed = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    Net n(seed);
    bool half = n.flip();
    ElemType type = half ? ElemType::Float16 : ElemType::Float;
    GainCase c{n.pick(1, 5), n.pick(2, 40), n.pick(1, 9), {}, {}, n.flip()};
    // Eighths: 1 + w and its f16 form are exact.
    for (int64_t k = 0; k < c.width; ++k)
      c.gain.push_back(double(n.pick(1, 24)) / 8);
    Tensor x = n.arg({c.rows, c.width}, type, 30);
    Tensor y = writeGain(n, x, c, n.flip(), type);
    llvm::SmallVector<int64_t> shape{c.width, c.columns};
    if (c.transposed)
      std::swap(shape[0], shape[1]);
    c.weight = n.numbers(c.width * c.columns);
    Tensor w = n.constant(shape, type, c.weight);
    n.finish(n.build.matmul(y, w, type, c.transposed));
    auto before = n.evaluate({});
    EXPECT_EQ(n.evaluate({}), before);
    EXPECT_EQ(n.countGains(), 1) << "seed " << seed;
    auto after = n.evaluate({}, {"fold-norm-weight"});
    EXPECT_EQ(n.countGains(), 0) << "seed " << seed;
    auto normal = normalizeRows(n.argFloats(0), c.width);
    double unit = half ? u : 0x1p-24, subnormal = half ? tiny : 0;
    for (size_t i = 0; i < before.size(); ++i) {
      double bound = 3 * unit * c.magnitude(normal, i) +
                     2 * unit * std::abs(before[i]) +
                     subnormal * (c.width + 1) * 3;
      EXPECT_LE(std::abs(after[i] - before[i]), bound * (1 + 4 * unit))
          << "seed " << seed << ", element " << i;
      changed += after[i] != before[i];
    }
  }
  EXPECT_GT(changed, 100);
}

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

struct RopeCase {
  llvm::SmallVector<int64_t> shape;
  bool interleaved, whole;
  int64_t half() const { return shape.back() / 2; }
  /// Column of the table for element i of a row.
  int64_t pair(int64_t i) const { return interleaved ? i / 2 : i % half(); }
  bool isSecond(int64_t i) const { return interleaved ? i % 2 : i >= half(); }
  int64_t partner(int64_t i) const {
    int64_t distance = interleaved ? 1 : half();
    return isSecond(i) ? i - distance : i + distance;
  }
};

Tensor takePart(Net &n, Tensor x, const RopeCase &c, int64_t part) {
  Shape starts(4, 0), sizes(c.shape), strides(4, 1);
  starts[3] = part * (c.interleaved ? 1 : c.half());
  sizes[3] = c.half();
  strides[3] = c.interleaved ? 2 : 1;
  return n.build.slice(x, starts, sizes, strides);
}

Tensor assemble(Net &n, Tensor a, Tensor b, const RopeCase &c) {
  if (!c.interleaved)
    return n.build.concat({a, b}, 3);
  Shape wide(a.shape());
  wide.push_back(1);
  Tensor both =
      n.build.concat({n.build.reshape(a, wide), n.build.reshape(b, wide)}, 4);
  return n.build.reshape(both, c.shape);
}

/// One number per pair and position, or per element.
Tensor makeTable(Net &n, const RopeCase &c, ElemType type,
                 std::vector<double> &angles, double (*f)(double)) {
  int64_t width = c.whole ? c.shape[3] : c.half();
  std::vector<double> values;
  for (int64_t s = 0; s < c.shape[2]; ++s)
    for (int64_t i = 0; i < width; ++i)
      values.push_back(f(angles[s * c.half() + (c.whole ? c.pair(i) : i)]));
  return n.constant({c.shape[2], width}, type, values);
}

Tensor rotate(Net &n, Tensor x, const RopeCase &c, Tensor cos, Tensor sin) {
  Tensor a = takePart(n, x, c, 0), b = takePart(n, x, c, 1);
  if (c.whole)
    return n.add(n.mul(x, cos), n.mul(assemble(n, n.neg(b), a, c), sin));
  return assemble(n, n.sub(n.mul(a, cos), n.mul(b, sin)),
                  n.add(n.mul(b, cos), n.mul(a, sin)), c);
}

/// |x1 cos| + |x2 sin| of element `at`.
double ropeMagnitude(const RopeCase &c, llvm::ArrayRef<double> x,
                     llvm::ArrayRef<double> angles, int64_t at) {
  int64_t size = c.shape[3], i = at % size, s = at / size % c.shape[2];
  double angle = angles[s * c.half() + c.pair(i)];
  return std::abs(x[at] * std::cos(angle)) +
         std::abs(x[at - i + c.partner(i)] * std::sin(angle));
}

/// Largest share of the bound of Passes.td that is used.
double checkRope(ElemType type, unsigned seed) {
  Net n(seed);
  RopeCase c{{n.pick(1, 2), n.pick(1, 3), n.pick(1, 5), 2 * n.pick(1, 8)},
             n.flip(),
             n.flip()};
  std::vector<double> angles = n.numbers(c.shape[2] * c.half(), 3);
  Tensor x = n.arg(c.shape, type);
  Tensor cos = makeTable(n, c, type, angles, std::cos);
  Tensor sin = makeTable(n, c, type, angles, std::sin);
  n.finish(rotate(n, x, c, cos, sin));
  auto before = n.evaluate({"recognize-rope"}), after = n.evaluate({});
  EXPECT_EQ(n.count("nq.rope"), 1) << "seed " << seed;
  if (type == ElemType::Float) {
    EXPECT_LE(relativeDifference(after, before), exact) << "seed " << seed;
    return 0;
  }
  auto input = n.argFloats(0);
  double used = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    // Tables are rounded to f16 before either form reads them.
    double bound = u * ropeMagnitude(c, input, angles, i) * (1 + 2 * u) +
                   2 * u * std::abs(after[i]) + tiny;
    used = std::fmax(used, std::abs(after[i] - before[i]) / bound);
  }
  return used;
}

TEST(RecognizeRope, KeepsValuesOfF32) {
  for (unsigned seed = 0; seed < 40; ++seed)
    checkRope(ElemType::Float, seed);
}

TEST(RecognizeRope, StaysWithinItsBoundInF16) {
  double used = 0;
  for (unsigned seed = 0; seed < 60; ++seed)
    used = std::fmax(used, checkRope(ElemType::Float16, seed));
  EXPECT_LE(used, 1);
  EXPECT_GT(used, 0.1) << "the bound says little";
  std::printf("rope in f16: %.2f of the bound\n", used);
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

struct AttentionCase {
  int64_t batch, heads, kvHeads, queries, keys, depth;
  enum Mask { none, added, causal, guarded } mask;
  /// 0: Mul on scores, 1: Div on scores, 2: on q, 3: root on q and k.
  int64_t scaling;
  double scale, softcap = 0;
  double codes = 0; ///< scale of the weights' codes, if they have any

  AttentionCase(Net &n)
      : batch(n.pick(1, 2)), kvHeads(n.pick(1, 3)), queries(n.pick(1, 6)),
        keys(n.pick(1, 7)), depth(n.pick(1, 9)), mask(Mask(n.pick(0, 3))),
        scaling(n.pick(0, 3)), scale(float(1 / std::sqrt(double(depth)))) {
    heads = kvHeads * n.pick(1, 3);
    if (mask == causal)
      keys = queries;
    softcap = n.flip() ? 2 : 0;
  }
};

/// Key and value heads repeated for their query heads.
Tensor repeatHeads(Net &n, Tensor x, const AttentionCase &c) {
  int64_t group = c.heads / c.kvHeads;
  if (group == 1)
    return x;
  Tensor y = n.build.reshape(x, {c.batch, c.kvHeads, 1, c.keys, x.dim(3)});
  y = n.build.broadcastTo(y, {c.batch, c.kvHeads, group, c.keys, x.dim(3)});
  return n.build.reshape(y, {c.batch, c.heads, c.keys, x.dim(3)});
}

Tensor makeScores(Net &n, Tensor q, Tensor k, const AttentionCase &c) {
  ElemType type = q.type;
  k = n.build.transpose(k, {0, 1, 3, 2});
  if (c.scaling >= 2)
    q = n.mul(q, n.scalar(c.scaling == 2 ? c.scale : std::sqrt(c.scale), type));
  if (c.scaling == 3)
    k = n.mul(k, n.scalar(std::sqrt(c.scale), type));
  Tensor s = n.build.matmul(q, k, type);
  if (c.scaling == 0)
    s = n.mul(s, n.scalar(c.scale, type));
  if (c.scaling == 1)
    s = n.div(s, n.scalar(1 / c.scale, type));
  if (c.softcap != 0) {
    Tensor cap = n.scalar(c.softcap, type);
    s = n.mul(n.tanh(n.div(s, cap)), cap);
  }
  return s;
}

Tensor applyMask(Net &n, Tensor s, const AttentionCase &c) {
  if (c.mask == AttentionCase::added)
    return n.add(n.arg({c.batch, 1, c.queries, c.keys}, s.type), s);
  std::vector<double> values;
  std::vector<int64_t> visible;
  for (int64_t i = 0; i < c.queries; ++i)
    for (int64_t t = 0; t < c.keys; ++t) {
      values.push_back(t > i ? -infinity : 0);
      // The first row sees nothing.
      visible.push_back(i != 0 && n.flip());
    }
  if (c.mask == AttentionCase::causal)
    return n.add(s, n.constant({1, 1, c.queries, c.keys}, s.type, values));
  if (c.mask == AttentionCase::guarded)
    return n.add(s, n.where(n.boolArg({c.queries, c.keys}, visible),
                            n.scalar(0, s.type), n.scalar(-infinity, s.type)));
  return s;
}

/// Arguments 0 to 2 are q, k, v; 3 the mask, if there is one.
Tensor attend(Net &n, const AttentionCase &c, ElemType type) {
  Tensor q = n.arg({c.batch, c.heads, c.queries, c.depth}, type);
  Tensor k = n.arg({c.batch, c.kvHeads, c.keys, c.depth}, type);
  Tensor v = n.arg({c.batch, c.kvHeads, c.keys, 3}, type);
  Tensor s = applyMask(n, makeScores(n, q, repeatHeads(n, k, c), c), c);
  Tensor p = n.softmax(n.build.cast(s, ElemType::Float));
  if (c.mask == AttentionCase::guarded)
    p = n.where(n.isNan(p), n.scalar(0, p.type), p);
  if (c.codes != 0)
    p = n.coded(p, c.codes);
  return n.build.matmul(n.build.cast(p, type), repeatHeads(n, v, c), type);
}

TEST(RecognizeAttention, KeepsValuesOfF32) {
  for (unsigned seed = 0; seed < 80; ++seed) {
    Net n(seed);
    AttentionCase c(n);
    n.finish(attend(n, c, ElemType::Float));
    auto before = n.evaluate({"recognize-attention"}), after = n.evaluate({});
    EXPECT_LE(relativeDifference(after, before), exact) << "seed " << seed;
    EXPECT_EQ(n.count("nq.attention"), 1) << "seed " << seed;
    EXPECT_EQ(n.count("nq.matmul"), 0);
    EXPECT_EQ(n.count("linalg.broadcast"), 0) << "heads stay repeated";
  }
}

/// The reference makes codes of the same weights.
TEST(RecognizeAttention, KeepsCodesOfWeights) {
  for (unsigned seed = 0; seed < 80; ++seed) {
    Net n(seed);
    AttentionCase c(n);
    c.codes = n.flip() ? 1 / 448.0 : 0.0003;
    n.finish(attend(n, c, ElemType::Float));
    auto before = n.evaluate({"recognize-attention"}), after = n.evaluate({});
    EXPECT_LE(relativeDifference(after, before), exact) << "seed " << seed;
    EXPECT_EQ(n.countWeightCodes(), 1) << "seed " << seed;
    EXPECT_EQ(n.count("nq.quantize"), 0);
  }
}

/// One row of attention in f64, for the bound.
struct Row {
  double largest = 0;  ///< max(|s|, |s + mask|)
  double products = 0; ///< largest scale * sum |q k|
  std::vector<double> weights;
};
Row computeRow(const AttentionCase &c, llvm::ArrayRef<double> q,
               llvm::ArrayRef<double> k, llvm::ArrayRef<double> mask) {
  Row row;
  double sum = 0;
  for (int64_t t = 0; t < c.keys; ++t) {
    double s = 0, magnitude = 0;
    for (int64_t d = 0; d < c.depth; ++d) {
      s += q[d] * k[t * c.depth + d];
      magnitude += std::abs(q[d] * k[t * c.depth + d]);
    }
    s *= c.scale;
    double m = mask.empty() ? 0 : mask[t];
    row.largest =
        std::fmax(row.largest, std::fmax(std::abs(s), std::abs(s + m)));
    row.products = std::fmax(row.products, c.scale * magnitude);
    row.weights.push_back(std::exp(s + m));
    sum += row.weights.back();
  }
  for (double &w : row.weights)
    w /= sum;
  return row;
}

/// Largest share of the bound of Passes.td that is used.
double checkAttentionF16(unsigned seed) {
  Net n(seed);
  AttentionCase c(n);
  c.mask = n.flip() ? AttentionCase::added : AttentionCase::none;
  c.softcap = 0;
  // A scale that f16 has, so that both forms multiply by the same number.
  c.scale = 0.25;
  n.finish(attend(n, c, ElemType::Float16));
  auto before = n.evaluate({"recognize-attention"}), after = n.evaluate({});
  EXPECT_EQ(n.count("nq.attention"), 1) << "seed " << seed;
  auto q = n.argFloats(0), k = n.argFloats(1), v = n.argFloats(2);
  auto mask =
      c.mask == AttentionCase::none ? std::vector<double>() : n.argFloats(3);
  double used = 0;
  int64_t width = 3, rows = c.batch * c.heads * c.queries;
  for (int64_t r = 0; r < rows; ++r) {
    int64_t head = r / c.queries, b = head / c.heads;
    int64_t kv = b * c.kvHeads + head % c.heads / (c.heads / c.kvHeads);
    auto own = [](llvm::ArrayRef<double> x, int64_t at, int64_t size) {
      return x.slice(at * size, size);
    };
    Row row = computeRow(
        c, own(q, r, c.depth), own(k, kv, c.keys * c.depth),
        mask.empty() ? llvm::ArrayRef<double>()
                     : own(mask, b * c.queries + r % c.queries, c.keys));
    double d = u * (3 * row.largest + 2 * row.products);
    for (int64_t i = 0; i < width; ++i) {
      double magnitude = 0;
      for (int64_t t = 0; t < c.keys; ++t)
        magnitude +=
            row.weights[t] * std::abs(v[(kv * c.keys + t) * width + i]);
      size_t at = r * width + i;
      double bound = (std::exp(2 * d) - 1 + 2 * u) * magnitude +
                     2 * u * std::abs(after[at]) + tiny;
      used = std::fmax(used, std::abs(after[at] - before[at]) / bound);
    }
  }
  return used;
}

TEST(RecognizeAttention, StaysWithinItsBoundInF16) {
  double used = 0;
  for (unsigned seed = 0; seed < 60; ++seed)
    used = std::fmax(used, checkAttentionF16(seed));
  EXPECT_LE(used, 1);
  EXPECT_GT(used, 0.02) << "the bound says little";
  std::printf("attention in f16: %.2f of the bound\n", used);
}

/// Masks of -1e4: weights of e^-9900 are none; rows that see nothing are zero.
TEST(RecognizeAttention, TrustsLargeMasksIfAllowed) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    Net n(seed);
    int64_t keys = n.pick(2, 9), queries = n.pick(2, 5);
    Tensor q = n.arg({1, 2, queries, 4}, ElemType::Float);
    Tensor k = n.arg({1, 2, 4, keys}, ElemType::Float);
    Tensor v = n.arg({1, 2, keys, 3}, ElemType::Float);
    // The first row sees nothing, the others the first key at least.
    std::vector<int64_t> visible;
    for (int64_t i = 0; i < queries * keys; ++i)
      visible.push_back(i >= keys && (i % keys == 0 || n.flip()));
    Tensor s = n.where(n.boolArg({queries, keys}, visible),
                       n.build.matmul(q, k, ElemType::Float),
                       n.scalar(-1e4, ElemType::Float));
    n.finish(n.build.matmul(n.softmax(s), v, ElemType::Float));
    auto before = n.evaluate({});
    EXPECT_EQ(n.count("nq.attention"), 0);
    auto after = n.evaluate({}, {"trust-large-masks"});
    EXPECT_EQ(n.count("nq.attention"), 1) << "seed " << seed;
    for (size_t i = 0; i < before.size(); ++i) {
      bool seesNothing = int64_t(i) / 3 % queries == 0;
      EXPECT_NEAR(after[i], seesNothing ? 0 : before[i], exact)
          << "seed " << seed << ", element " << i;
      EXPECT_NE(before[i], 0);
    }
  }
}

//===----------------------------------------------------------------------===//
// Lengths
//===----------------------------------------------------------------------===//

/// Slots, positions of queries, and the mask that compares them: four
/// comparisons, positions of one batch entry or each, rows that follow them.
Tensor makeVisible(Net &n, int64_t batch, int64_t queries, int64_t keys,
                   bool follows) {
  ElemType type = n.flip() ? ElemType::Int64 : ElemType::Int32;
  std::vector<int64_t> slots, rows, positions;
  for (int64_t t = 0; t < keys; ++t)
    slots.push_back(t);
  for (int64_t s = 0; s < queries; ++s)
    rows.push_back(s);
  int64_t count = n.flip() ? batch : 1;
  int64_t most = type == ElemType::Int64 ? INT64_MAX : INT32_MAX;
  for (int64_t b = 0; b < count; ++b)
    positions.push_back(n.pick(0, 9) == 0 && !follows
                            ? (n.flip() ? most : -most - 1)
                            : n.pick(-2 - queries, keys + 2));
  Tensor slot = n.build.constantInts(type, keys, slots);
  Tensor position =
      n.build.reshape(n.intArg(count, type, positions), {count, 1, 1, 1});
  if (follows)
    position = n.add(position, n.build.constantInts(type, {queries, 1}, rows));
  int64_t form = n.pick(0, 3);
  auto compare = [&](Tensor a, Tensor b, auto op) {
    return n.build.elementwise({a, b}, ElemType::Bool,
                               [&](ScalarBuilder &s, mlir::ValueRange v) {
                                 return op(s, v[0], v[1]);
                               });
  };
  using S = ScalarBuilder;
  auto less = [](S &s, auto a, auto b) { return s.lt(a, b); };
  auto lessEqual = [](S &s, auto a, auto b) { return s.le(a, b); };
  if (form == 0)
    return compare(slot, position, less);
  if (form == 1)
    return compare(slot, position, lessEqual);
  // Not hidden.
  Tensor hidden = form == 2 ? compare(position, slot, less)
                            : compare(position, slot, lessEqual);
  return n.build.elementwise(
      {hidden}, ElemType::Bool, [](S &s, mlir::ValueRange v) {
        return s.bitXor(v[0], s.constantInt(1, v[0].getType()));
      });
}

/// For all positions, those far outside of the cache included.
TEST(RecognizeLengths, KeepsValues) {
  int recognized = 0;
  for (unsigned seed = 0; seed < 120; ++seed) {
    Net n(seed);
    AttentionCase c(n);
    c.mask = AttentionCase::none;
    Tensor q = n.arg({c.batch, c.heads, c.queries, c.depth}, ElemType::Float);
    Tensor k = n.arg({c.batch, c.kvHeads, c.keys, c.depth}, ElemType::Float);
    Tensor v = n.arg({c.batch, c.kvHeads, c.keys, 3}, ElemType::Float);
    Tensor visible =
        makeVisible(n, c.batch, c.queries, c.keys, n.flip() && c.queries > 1);
    bool isBool = n.flip();
    if (n.flip() && isBool) {
      std::vector<int64_t> others;
      for (int64_t i = 0; i < c.queries * c.keys; ++i)
        others.push_back(n.flip());
      visible = n.build.elementwise(
          {visible, n.boolArg({c.queries, c.keys}, others)}, ElemType::Bool,
          [](ScalarBuilder &s, mlir::ValueRange v) {
            return s.bitAnd(v[0], v[1]);
          });
    }
    Tensor s = makeScores(n, q, repeatHeads(n, k, c), c);
    Tensor hidden = n.scalar(-infinity, s.type);
    s = isBool ? n.where(visible, s, hidden)
               : n.add(s, n.where(visible, n.scalar(0, s.type), hidden));
    Tensor p = n.softmax(s);
    p = n.where(n.isNan(p), n.scalar(0, p.type), p);
    n.finish(n.build.matmul(p, repeatHeads(n, v, c), s.type));
    auto before = n.evaluate({"recognize-lengths"}), after = n.evaluate({});
    EXPECT_LE(relativeDifference(after, before), exact) << "seed " << seed;
    EXPECT_EQ(n.count("nq.attention"), 1) << "seed " << seed;
    EXPECT_EQ(n.countLengths(), c.keys > 1) << "seed " << seed;
    recognized += n.countLengths();
  }
  EXPECT_GT(recognized, 80);
}

} // namespace
