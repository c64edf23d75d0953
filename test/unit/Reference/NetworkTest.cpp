// matmul in every format, attention, norm, rope.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

/// Random codes and small scales of a scaled type.
static RefTensor randomScaled(RankedTensorType type, unsigned seed) {
  auto scaled = nq::getScaledElement(type);
  struct Bytes {
    std::vector<char> codes, scales, zeros;
  };
  auto bytes = std::make_shared<Bytes>();
  std::mt19937 engine(seed);
  bytes->codes.resize(scaled.getCodeBytes(type.getShape()));
  for (char &code : bytes->codes)
    // 0x6e, 0x0e: no NaN in FP8.
    code = static_cast<char>(engine() & 0x6e);
  rt::StorageFormat format = getFormat(scaled.getScale());
  int64_t count =
      ShapedType::getNumElements(scaled.getScaleGrid(type.getShape()));
  bytes->scales.resize(scaled.getScaleBytes(type.getShape()));
  for (int64_t i = 0; i < count; ++i) {
    double scale = std::ldexp(1 + engine() % 8 / 8.0, -int(engine() % 4));
    rt::encodeArray(format, &scale, i, 1, bytes->scales.data());
  }
  if (scaled.getZeroPoint())
    for (int64_t i = 0; i < count; ++i)
      bytes->zeros.push_back(engine() % 8);
  auto tensor = RefTensor::scaled(
      type, {bytes->codes, bytes->scales, bytes->zeros, 0.1f}, bytes, {});
  EXPECT_TRUE(succeeded(tensor));
  return *tensor;
}

static RefTensor randomArgument(Harness &h, unsigned i) {
  auto type = h.argType(i);
  if (nq::getScaledElement(type))
    return randomScaled(type, 17 + i);
  return h.arg(i, randoms(type.getNumElements(), 17 + i));
}

/// Three loops over the dequantized values.
static std::vector<double> multiply(const RefTensor &a, const RefTensor &b,
                                    int64_t m, int64_t n, int64_t k,
                                    bool transposeB) {
  std::vector<double> x = a.toFloats(), y = b.toFloats(), c(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < k; ++l)
        c[i * n + j] +=
            x[i * k + l] * (transposeB ? y[j * k + l] : y[l * n + j]);
  return c;
}

TEST(ReferenceMatmul, EveryFormatAgainstThreeLoops) {
  struct {
    const char *a, *b;
    bool transposeB;
  } cases[] = {
      {"f32", "f32", false},
      {"f16", "!nq.nvfp4", true},
      {"!nq.nvfp4", "!nq.nvfp4", true},
      {"!nq.mxfp8", "!nq.mxfp8", true},
      {"!nq.mxfp8", "!nq.mxfp4", true},
      {"!nq.fp8", "!nq.fp8", false},
      {"f32", "!nq.scaled<f8E4M3FN, f32 per ?x1>", false},
      {"f32", "!nq.scaled<f8E5M2, f32 per 128x128>", true},
      {"bf16", "!nq.scaled<si4, f16 per 32x1>", false},
      {"f32", "!nq.scaled<ui4, f32 per 1x32, zero_point>", true},
      {"f32", "!nq.scaled<si8, f32 per 1x?>", true},
      {"!nq.fp8", "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f16>", true},
  };
  // Odd sizes; K spans more than one block of the product, N more than a tile.
  int64_t m = 5, n = 39, k = 321;
  for (auto &c : cases) {
    std::string a = "tensor<5x321x" + std::string(c.a) + ">";
    std::string b = (c.transposeB ? "tensor<39x321x" : "tensor<321x39x") +
                    std::string(c.b) + ">";
    SCOPED_TRACE(a + " x " + b);
    Harness h("func.func @main(%a: " + a + ", %b: " + b +
              ") -> tensor<5x39xf32> {\n%c = nq.matmul %a, %b " +
              (c.transposeB ? "transpose_b " : "") + ": (" + a + ", " + b +
              ") -> tensor<5x39xf32>\nreturn %c : tensor<5x39xf32>\n}");
    ASSERT_TRUE(h.module);
    RefTensor x = randomArgument(h, 0), y = randomArgument(h, 1);
    std::vector<double> want = multiply(x, y, m, n, k, c.transposeB);
    double largest = 0;
    for (double v : want)
      largest = std::max(largest, std::fabs(v));
    expectNear(h.floats({x, y}), want, largest * 1e-12);
  }
}

TEST(ReferenceMatmul, BatchBroadcastAndHalfResult) {
  Harness h(R"(
    func.func @main(%a: tensor<2x1x3x4xf16>, %b: tensor<5x4x6xf16>) -> tensor<2x5x3x6xf16> {
      %c = nq.matmul %a, %b : (tensor<2x1x3x4xf16>, tensor<5x4x6xf16>) -> tensor<2x5x3x6xf16>
      return %c : tensor<2x5x3x6xf16>
    })");
  RefTensor a = randomArgument(h, 0), b = randomArgument(h, 1);
  std::vector<double> got = h.floats({a, b});
  ASSERT_EQ(got.size(), 180u);
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 5; ++j)
      for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 6; ++c) {
          double sum = 0;
          for (int l = 0; l < 4; ++l)
            sum +=
                a.floatAt((i * 3 + r) * 4 + l) * b.floatAt((j * 4 + l) * 6 + c);
          EXPECT_EQ(got[((i * 5 + j) * 3 + r) * 6 + c],
                    rt::roundTo(rt::StorageFormat::F16, sum));
        }
}

TEST(ReferenceMatmul, EpilogueBroadcastsExtras) {
  Harness h(R"(
    func.func @main(%a: tensor<2x3x4xf32>, %b: tensor<4x5xf32>, %bias: tensor<5xf16>, %res: tensor<2x1x5xf32>) -> tensor<2x3x5xbf16> {
      %c = nq.matmul %a, %b epilogue(%bias, %res : tensor<5xf16>, tensor<2x1x5xf32>) {
      ^bb0(%acc: f32, %x: f32, %y: f32):
        %zero = arith.constant 0.0 : f32
        %s = arith.addf %acc, %x : f32
        %r = arith.maximumf %s, %zero : f32
        %t = arith.addf %r, %y : f32
        nq.yield %t : f32
      } : (tensor<2x3x4xf32>, tensor<4x5xf32>) -> tensor<2x3x5xbf16>
      return %c : tensor<2x3x5xbf16>
    })");
  ASSERT_TRUE(h.module);
  RefTensor a = randomArgument(h, 0), b = randomArgument(h, 1),
            bias = randomArgument(h, 2), residual = randomArgument(h, 3);
  std::vector<double> sums = multiply(a, b, 6, 5, 4, false);
  std::vector<double> got = h.floats({a, b, bias, residual});
  ASSERT_EQ(got.size(), 30u);
  for (int i = 0; i < 30; ++i) {
    double want = std::max(sums[i] + bias.floatAt(i % 5), 0.0) +
                  residual.floatAt(i / 15 * 5 + i % 5);
    EXPECT_EQ(got[i], rt::roundTo(rt::StorageFormat::BF16, want)) << i;
  }
}

/// Attention by its definition, one score at a time.
static std::vector<double> attend(const RefTensor &q, const RefTensor &k,
                                  const RefTensor &v, double scale,
                                  double softcap, bool causal,
                                  const std::function<double(int, int)> &mask) {
  auto dims = q.getShape();
  int64_t keys = k.getShape()[2], kvHeads = k.getShape()[1],
          width = v.getShape()[3];
  std::vector<double> out(dims[0] * dims[1] * dims[2] * width);
  for (int64_t b = 0; b < dims[0]; ++b)
    for (int64_t head = 0; head < dims[1]; ++head)
      for (int64_t s = 0; s < dims[2]; ++s) {
        int64_t kv = b * kvHeads + head / (dims[1] / kvHeads);
        int64_t row = (b * dims[1] + head) * dims[2] + s;
        std::vector<double> p(keys);
        double sum = 0;
        for (int64_t t = 0; t < keys; ++t) {
          double score = 0;
          for (int64_t d = 0; d < dims[3]; ++d)
            score += q.floatAt(row * dims[3] + d) *
                     k.floatAt((kv * keys + t) * dims[3] + d);
          score *= scale;
          if (softcap)
            score = softcap * std::tanh(score / softcap);
          bool hidden = causal && t > s + (keys - dims[2]);
          p[t] = hidden ? 0 : std::exp(score + mask(s, t));
          sum += p[t];
        }
        for (int64_t t = 0; t < keys; ++t)
          for (int64_t d = 0; d < width; ++d)
            out[row * width + d] +=
                sum == 0 ? 0
                         : p[t] / sum * v.floatAt((kv * keys + t) * width + d);
      }
  return out;
}

TEST(ReferenceAttention, GroupedCausalSoftcap) {
  Harness h(R"(
    func.func @main(%q: tensor<2x4x3x8xf32>, %k: tensor<2x2x5x8xf32>, %v: tensor<2x2x5x6xf32>) -> tensor<2x4x3x6xf32> {
      %o = nq.attention %q, %k, %v {scale = 0.35 : f64, softcap = 2.0 : f64, causal, bottom_right}
         : (tensor<2x4x3x8xf32>, tensor<2x2x5x8xf32>, tensor<2x2x5x6xf32>) -> tensor<2x4x3x6xf32>
      return %o : tensor<2x4x3x6xf32>
    })");
  ASSERT_TRUE(h.module);
  RefTensor q = randomArgument(h, 0), k = randomArgument(h, 1),
            v = randomArgument(h, 2);
  expectNear(h.floats({q, k, v}),
             attend(q, k, v, 0.35, 2, true, [](int, int) { return 0.0; }),
             1e-13);
}

TEST(ReferenceAttention, BooleanMaskMayHideARow) {
  Harness h(R"(
    func.func @main(%q: tensor<1x1x2x4xf16>, %k: tensor<1x1x3x4xf16>, %v: tensor<1x1x3x4xf16>, %m: tensor<2x3xi1>) -> tensor<1x1x2x4xf32> {
      %o = nq.attention %q, %k, %v mask(%m : tensor<2x3xi1>) {scale = 0.5 : f64}
         : (tensor<1x1x2x4xf16>, tensor<1x1x3x4xf16>, tensor<1x1x3x4xf16>) -> tensor<1x1x2x4xf32>
      return %o : tensor<1x1x2x4xf32>
    })");
  ASSERT_TRUE(h.module);
  RefTensor q = randomArgument(h, 0), k = randomArgument(h, 1),
            v = randomArgument(h, 2);
  auto mask = [](int s, int t) { return s == 1 || t == 1 ? -INFINITY : 0.0; };
  std::vector<double> got =
      h.floats({q, k, v, h.argInts(3, {1, 0, 1, 0, 0, 0})});
  expectNear(got, attend(q, k, v, 0.5, 0, false, mask), 1e-13);
  for (int d = 4; d < 8; ++d)
    EXPECT_EQ(got[d], 0);
}

/// Slots behind the length hold NaN.
TEST(ReferenceAttention, LengthsEndTheKeys) {
  for (std::string options : {"", ", causal", ", causal, bottom_right"}) {
    Harness h("func.func @main(%q: tensor<1x2x3x4xf32>, %k: "
              "tensor<1x1x5x4xf32>, %n: tensor<1xi64>) -> tensor<1x2x3x4xf32> "
              "{\n%o = nq.attention %q, %k, %k lengths(%n : tensor<1xi64>) "
              "{scale = 0.5 : f64" +
              options +
              "} : (tensor<1x2x3x4xf32>, tensor<1x1x5x4xf32>, "
              "tensor<1x1x5x4xf32>) -> tensor<1x2x3x4xf32>\nreturn %o : "
              "tensor<1x2x3x4xf32>\n}");
    ASSERT_TRUE(h.module);
    RefTensor q = randomArgument(h, 0), k = randomArgument(h, 1);
    for (int64_t n :
         {INT64_MIN, int64_t(-1), int64_t(0), int64_t(1), int64_t(2),
          int64_t(4), int64_t(5), int64_t(6), int64_t(7), INT64_MAX}) {
      int64_t there = std::clamp<int64_t>(n, 0, 5);
      std::vector<double> slots = k.toFloats();
      for (size_t i = size_t(there) * 4; i < slots.size(); ++i)
        slots[i] = NAN;
      // Query s of 3 sees n - 2 + s keys, or s + 1, or n.
      auto mask = [&](int s, int t) {
        bool hidden = t >= there;
        if (options == ", causal")
          hidden |= t > s;
        else if (!options.empty())
          hidden |= t >= std::clamp<int64_t>(n, 0, 8) - 2 + s;
        return hidden ? -INFINITY : 0.0;
      };
      SCOPED_TRACE(options + " " + std::to_string(n));
      expectNear(h.floats({q, h.arg(1, slots), h.argInts(2, {n})}),
                 attend(q, k, k, 0.5, 0, false, mask), 1e-13);
    }
  }
}

TEST(ReferenceNorm, LayerAndRms) {
  for (std::string kind : {"layer", "rms"}) {
    Harness h("func.func @main(%x: tensor<2x3x4xf32>, %s: tensor<4xf32>, %b: "
              "tensor<3x1xf32>) -> tensor<2x3x4xf32> {\n%y = nq.norm " +
              kind +
              " %x scale(%s : tensor<4xf32>) bias(%b : tensor<3x1xf32>) {axis "
              "= 2 : i64, epsilon = 1.0e-5 : f64} : tensor<2x3x4xf32> -> "
              "tensor<2x3x4xf32>\nreturn %y : tensor<2x3x4xf32>\n}");
    ASSERT_TRUE(h.module);
    RefTensor x = randomArgument(h, 0), s = randomArgument(h, 1),
              b = randomArgument(h, 2);
    std::vector<double> want(24);
    for (int row = 0; row < 6; ++row) {
      double mean = 0, square = 0;
      for (int i = 0; i < 4; ++i)
        mean += kind == "layer" ? x.floatAt(row * 4 + i) / 4 : 0;
      for (int i = 0; i < 4; ++i)
        square += std::pow(x.floatAt(row * 4 + i) - mean, 2) / 4;
      for (int i = 0; i < 4; ++i)
        want[row * 4 + i] = (x.floatAt(row * 4 + i) - mean) /
                                std::sqrt(square + 1e-5) * s.floatAt(i) +
                            b.floatAt(row % 3);
    }
    expectNear(h.floats({x, s, b}), want, 1e-12);
  }
}

/// A norm with statistics is the norm: up to roundings of f64, also where the
/// mean is large. The last of three tiles has one element.
TEST(ReferenceNorm, StatisticsOfTiles) {
  for (std::string kind : {"layer", "rms"}) {
    std::string sums = "tensor<2x3xf32>", pair = sums, list = "%s";
    if (kind == "layer")
      pair += ", " + sums, list = "%s#0, %s#1";
    std::string attributes = " {axis = 1 : i64, epsilon = 1.0e-5 : f64} : "
                             "tensor<2x9xf16> -> tensor<2x9xf32>\n";
    Harness h("func.func @main(%x: tensor<2x9xf16>) -> (tensor<2x9xf32>, "
              "tensor<2x9xf32>, " +
              pair + ") {\n%s" + (kind == "layer" ? ":2" : "") +
              " = nq.statistics " + kind +
              " %x tile 4 : (tensor<2x9xf16>) -> (" + pair +
              ")\n%y = nq.norm " + kind + " %x statistics(" + list + " : " +
              pair + ") tile 4" + attributes + "%z = nq.norm " + kind + " %x" +
              attributes + "return %y, %z, " + list +
              " : tensor<2x9xf32>, tensor<2x9xf32>, " + pair + "\n}");
    ASSERT_TRUE(h.module);
    std::vector<double> x{1,   2,   3,   4,   5,   6,   7,   8,   9,
                          100, 101, 100, 101, 102, 100, 100, 100, -60};
    auto results = h.run({h.arg(0, x)});
    ASSERT_TRUE(succeeded(results));
    expectNear((*results)[0].toFloats(), (*results)[1].toFloats(), 1e-14);
    std::vector<double> first = (*results)[2].toFloats();
    if (kind == "layer") {
      EXPECT_EQ(first, (std::vector<double>{10, 26, 9, 402, 402, -60}));
      EXPECT_EQ((*results)[3].toFloats(),
                (std::vector<double>{5, 5, 0, 1, 3, 0}));
    } else {
      EXPECT_EQ(first, (std::vector<double>{30, 174, 81, 40402, 40404, 3600}));
    }
  }
}

TEST(ReferenceRope, HalvesAndInterleaved) {
  for (bool interleaved : {false, true}) {
    Harness h(
        "func.func @main(%x: tensor<2x2x3x6xf32>, %c: tensor<1x3x2xf32>, "
        "%s: tensor<1x3x2xf32>) -> tensor<2x2x3x6xf32> {\n%y = nq.rope "
        "%x, %c, %s " +
        std::string(interleaved ? "{interleaved} " : "") +
        ": (tensor<2x2x3x6xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32>) -> "
        "tensor<2x2x3x6xf32>\nreturn %y : tensor<2x2x3x6xf32>\n}");
    ASSERT_TRUE(h.module);
    RefTensor x = randomArgument(h, 0), c = randomArgument(h, 1),
              s = randomArgument(h, 2);
    std::vector<double> want = x.toFloats();
    for (int row = 0; row < 12; ++row)
      for (int i = 0; i < 2; ++i) {
        int a = row * 6 + (interleaved ? 2 * i : i);
        int b = row * 6 + (interleaved ? 2 * i + 1 : i + 2);
        double cosine = c.floatAt(row % 3 * 2 + i),
               sine = s.floatAt(row % 3 * 2 + i);
        want[a] = x.floatAt(a) * cosine - x.floatAt(b) * sine;
        want[b] = x.floatAt(b) * cosine + x.floatAt(a) * sine;
      }
    expectNear(h.floats({x, c, s}), want, 1e-14);
  }
}
