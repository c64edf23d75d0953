// GEMM kernels of all formats and awkward sizes against a double reference.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmHarness.h"

#include "gtest/gtest.h"

#include <sstream>

using namespace nibble;
using namespace nibble::test;

namespace {

struct Options {
  bool bias = false, hook = false, outliers = false;
  unsigned threads = 2;
  /// The kernels are written in vectors: -O1 gives nearly the same code as -O3,
  /// in a fraction of the time.
  unsigned optLevel = 1;
};

/// Elements of the buffer of an operand.
int64_t extent(const cpu::GemmSpec &spec, int64_t rows, int64_t stride,
               int64_t columns, int64_t cpu::GemmBatchDim::*batchStride) {
  int64_t last = (rows - 1) * (stride ? stride : columns) + columns;
  for (const auto &dim : spec.batch)
    last += (dim.extent - 1) * dim.*batchStride;
  return last;
}

struct Operand {
  Elem format;
  GuardedBuffer memory;
  std::vector<double> values;

  Operand(Elem format, int64_t count, std::mt19937 &random, bool outliers)
      : format(format), memory(rt::formatBytes(format, count)), values(count) {
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < count; ++i) {
      float x = normal(random);
      if (outliers && random() % 50 == 0)
        x *= 1000;
      uint64_t code = rt::encode(format, x);
      rt::storeCode(format, memory.data(), i, code);
      values[i] = rt::decode(format, code);
    }
  }

  explicit Operand(Elem format, const RandomActivation &scaled)
      : format(format), memory(scaled.bytes.size()), values(scaled.values) {
    std::memcpy(memory.data(), scaled.bytes.data(), scaled.bytes.size());
  }
};

/// A, dense or scaled; completes the description of a scaled one.
std::unique_ptr<Operand> makeA(cpu::GemmSpec &spec, std::mt19937 &random,
                               bool outliers) {
  int64_t count =
      extent(spec, spec.m, spec.strideA, spec.k, &cpu::GemmBatchDim::strideA);
  if (!spec.scaledA.scaled())
    return std::make_unique<Operand>(spec.a, count, random, outliers);
  placeScales(spec.scaledA, spec.a, count);
  return std::make_unique<Operand>(
      spec.a, RandomActivation(spec.a, spec.scaledA, count, random, outliers));
}

class Problem {
public:
  Problem(const cpu::GemmSpec &spec, const Options &options)
      : spec(spec), options(options), random(spec.m * 31 + spec.n * 7 + spec.k),
        a(makeA(this->spec, random, options.outliers)) {}

  void check() {
    prepareB();
    if (options.bias)
      bias = std::make_unique<Operand>(spec.bias, spec.n, random, false);
    int64_t sizeC =
        extent(spec, spec.m, spec.strideC, spec.n, &cpu::GemmBatchDim::strideC);
    if (options.hook)
      residual = std::make_unique<Operand>(Elem::F32, sizeC, random, false);
    c = std::make_unique<GuardedBuffer>(rt::formatBytes(spec.c, sizeC), 0xcb);
    run(sizeC);
    if (!::testing::Test::HasFatalFailure())
      compare();
  }

private:
  void prepareB() {
    std::string error;
    if (spec.bKind == cpu::GemmB::Packed) {
      weight = std::make_unique<RandomWeight>(spec.weight, spec.k, true);
      std::vector<uint8_t> packed = packToVector(*weight, error);
      ASSERT_EQ(error, "");
      ASSERT_EQ(packed.size(), cpu::gemmPanels(spec.weight).total);
      packedB = std::make_unique<GuardedBuffer>(packed.size());
      std::memcpy(packedB->data(), packed.data(), packed.size());
      return;
    }
    bool rowsK = spec.bKind == cpu::GemmB::RowsK;
    b = std::make_unique<Operand>(spec.weight.code,
                                  extent(spec, rowsK ? spec.k : spec.n,
                                         spec.strideB, rowsK ? spec.n : spec.k,
                                         &cpu::GemmBatchDim::strideB),
                                  random, false);
  }

  void run(int64_t sizeC) {
    cpu::GemmEpilogue hook;
    if (options.hook)
      hook = reluPlusResidual;
    CompiledGemm gemm(spec, hook, false, options.hook ? sizeC : 0,
                      options.optLevel);
    ASSERT_TRUE(gemm.kernel) << gemm.error;
    std::vector<std::unique_ptr<GuardedBuffer>> scratch;
    for (unsigned t = 0; t < options.threads; ++t)
      scratch.push_back(
          std::make_unique<GuardedBuffer>(gemm.launch.scratchBytes));
    std::vector<void *> args{a->memory.data(),
                             packedB ? packedB->data() : b->memory.data()};
    if (bias)
      args.push_back(bias->memory.data());
    if (residual)
      args.push_back(residual->memory.data());
    args.push_back(c->data());
    gemm.run(args.data(), options.threads, scratch);
    for (auto &memory : scratch)
      EXPECT_TRUE(memory->intact());
    EXPECT_TRUE(c->intact());
  }

  double weightAt(int64_t batch, int64_t n, int64_t k) const {
    if (weight)
      return weight->values[n * spec.k + k];
    bool rowsK = spec.bKind == cpu::GemmB::RowsK;
    int64_t stride = spec.strideB ? spec.strideB : rowsK ? spec.n : spec.k;
    int64_t at = offset(batch, &cpu::GemmBatchDim::strideB);
    return b->values[at + (rowsK ? k * stride + n : n * stride + k)];
  }

  int64_t offset(int64_t batch, int64_t cpu::GemmBatchDim::*stride) const {
    int64_t at = 0;
    for (const auto &dim : llvm::reverse(spec.batch)) {
      at += batch % dim.extent * dim.*stride;
      batch /= dim.extent;
    }
    return at;
  }

  void compare() {
    int64_t batches = 1;
    for (const auto &dim : spec.batch)
      batches *= dim.extent;
    int bad = 0;
    for (int64_t batch = 0; batch < batches; ++batch)
      for (int64_t m = 0; m < spec.m; ++m)
        for (int64_t n = 0; n < spec.n && bad < 5; ++n)
          bad += !compareOne(batch, m, n);
  }

  bool compareOne(int64_t batch, int64_t m, int64_t n) {
    int64_t atA = offset(batch, &cpu::GemmBatchDim::strideA) +
                  m * (spec.strideA ? spec.strideA : spec.k);
    int64_t atC = offset(batch, &cpu::GemmBatchDim::strideC) +
                  m * (spec.strideC ? spec.strideC : spec.n) + n;
    double sum = 0, size = 0;
    for (int64_t k = 0; k < spec.k; ++k) {
      double term = a->values[atA + k] * weightAt(batch, n, k);
      sum += term;
      size += std::fabs(term);
    }
    if (bias) {
      sum += bias->values[n];
      size += std::fabs(bias->values[n]);
    }
    if (residual) {
      sum = std::max(sum, 0.0) + residual->values[atC];
      size += std::fabs(residual->values[atC]);
    }
    double got = rt::decode(spec.c, rt::loadCode(spec.c, c->data(), atC));
    double rounding = std::ldexp(1.0, -rt::formatInfo(spec.c).manBits - 1);
    double tolerance = size * 0x1p-23 * (2 + std::sqrt(double(spec.k))) +
                       std::fabs(sum) * rounding * 1.01 +
                       (spec.c == Elem::F16 ? 0x1p-24 : 0);
    if (std::isinf(got) && std::fabs(sum) >= rt::formatInfo(spec.c).maxFinite)
      return true;
    bool good = std::fabs(got - sum) <= tolerance;
    EXPECT_TRUE(good) << "batch " << batch << " row " << m << " column " << n
                      << ": " << got << ", want " << sum << " +- " << tolerance;
    return good;
  }

  cpu::GemmSpec spec;
  Options options;
  std::mt19937 random;
  std::unique_ptr<Operand> a, b, bias, residual;
  std::unique_ptr<RandomWeight> weight;
  std::unique_ptr<GuardedBuffer> packedB, c;
};

cpu::GemmSpec specOf(int64_t m, int64_t n, int64_t k,
                     const cpu::GemmWeight &format) {
  cpu::GemmSpec spec;
  spec.symbol = "gemm";
  spec.m = m;
  spec.n = n;
  spec.k = k;
  spec.weight = format;
  spec.weight.n = n;
  spec.weight.k = k;
  return spec;
}

cpu::GemmWeight weightOf(Elem code, Elem scale = Elem::None, int64_t blockN = 0,
                         int64_t blockK = 0, Elem global = Elem::None,
                         bool zeroPoint = false) {
  cpu::GemmWeight weight;
  weight.code = code;
  weight.scale = scale;
  weight.blockN = blockN;
  weight.blockK = blockK;
  weight.global = global;
  weight.zeroPoint = zeroPoint;
  return weight;
}

struct Format {
  const char *name;
  cpu::GemmWeight weight;
};
const Format kFormats[] = {
    {"f32", weightOf(Elem::F32)},
    {"f16", weightOf(Elem::F16)},
    {"bf16", weightOf(Elem::BF16)},
    {"nvfp4", weightOf(Elem::E2M1, Elem::E4M3, 1, 16, Elem::F32)},
    {"nvfp4-f16-global", weightOf(Elem::E2M1, Elem::E4M3, 1, 16, Elem::F16)},
    {"mxfp4", weightOf(Elem::E2M1, Elem::E8M0, 1, 32)},
    {"mxfp8", weightOf(Elem::E4M3, Elem::E8M0, 1, 32)},
    {"fp8-tensor", weightOf(Elem::E4M3, Elem::F32)},
    {"fp8-channel", weightOf(Elem::E4M3, Elem::F16, 1, 0)},
    {"fp8-128x128", weightOf(Elem::E4M3, Elem::F32, 128, 128)},
    {"e5m2-tensor", weightOf(Elem::E5M2, Elem::F32)},
    {"int4-group", weightOf(Elem::I4, Elem::F16, 1, 32)},
    {"uint4-group-zero",
     weightOf(Elem::U4, Elem::F32, 1, 128, Elem::None, true)},
    {"int4-channel", weightOf(Elem::I4, Elem::BF16, 1, 0)},
    {"int8-channel", weightOf(Elem::I8, Elem::F32, 1, 0)},
    {"uint8-tensor-zero",
     weightOf(Elem::U8, Elem::F32, 0, 0, Elem::None, true)},
    {"int8-group-zero", weightOf(Elem::I8, Elem::F32, 1, 48, Elem::None, true)},
};

class GemmFormats : public ::testing::TestWithParam<Format> {};

TEST_P(GemmFormats, AllSizes) {
  const int64_t sizes[][3] = {{1, 100, 588}, {2, 15, 31}, {5, 17, 300},
                              {7, 33, 588},  {13, 1, 16}, {97, 20, 31},
                              {4, 16, 1}};
  for (auto [m, n, k] : sizes)
    for (bool kn : {false, true}) {
      if (kn != (m == 7 || m == 2))
        continue;
      SCOPED_TRACE(std::to_string(m) + "x" + std::to_string(n) + "x" +
                   std::to_string(k) + (kn ? " kn" : ""));
      cpu::GemmSpec spec = specOf(m, n, k, GetParam().weight);
      spec.weight.kn = kn;
      Options options;
      options.optLevel = m == 1 || m == 7 ? 3 : 1;
      Problem(spec, options).check();
    }
}

INSTANTIATE_TEST_SUITE_P(Formats, GemmFormats, ::testing::ValuesIn(kFormats),
                         [](const auto &info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

//===----------------------------------------------------------------------===//
// Scaled activations
//===----------------------------------------------------------------------===//

struct ActivationFormat {
  const char *name;
  Elem code, scale, global;
  int64_t run; ///< -1: one scale per row
};
const ActivationFormat kActivations[] = {
    {"fp8_tensor", Elem::E4M3, Elem::F32, Elem::None, 0},
    {"fp8_row", Elem::E4M3, Elem::F16, Elem::None, -1},
    {"e5m2_tensor", Elem::E5M2, Elem::F32, Elem::None, 0},
    {"nvfp4", Elem::E2M1, Elem::E4M3, Elem::F32, 16},
    {"nvfp4_f16_global", Elem::E2M1, Elem::E4M3, Elem::F16, 16},
    {"mxfp4", Elem::E2M1, Elem::E8M0, Elem::None, 32},
    {"mxfp8", Elem::E4M3, Elem::E8M0, Elem::None, 32},
    {"int8_tensor", Elem::I8, Elem::F32, Elem::None, 0},
    {"int8_row", Elem::I8, Elem::BF16, Elem::None, -1},
    {"uint8_row", Elem::U8, Elem::F32, Elem::None, -1},
};

cpu::GemmSpec scaledSpecOf(int64_t m, int64_t n, int64_t k,
                           const ActivationFormat &format,
                           const cpu::GemmWeight &weight) {
  cpu::GemmSpec spec = specOf(m, n, k, weight);
  spec.a = format.code;
  spec.scaledA.scale = format.scale;
  spec.scaledA.global = format.global;
  spec.scaledA.run = format.run < 0 ? k : format.run;
  return spec;
}

class ScaledActivations : public ::testing::TestWithParam<ActivationFormat> {};

TEST_P(ScaledActivations, TimesPackedWeights) {
  const ActivationFormat &format = GetParam();
  // Blocks divide rows; one scale per row or tensor takes any k.
  bool anyK = format.run <= 0;
  Options options;
  options.outliers = true;
  for (int64_t m : {1, 2, 5, 6, 7, 64, 97}) {
    SCOPED_TRACE(m);
    int64_t k = m == 97 ? 416 : m % 2 && anyK ? 75 : 96;
    const Format &weight = kFormats[m == 64 ? 0 : m == 7 ? 8 : m % 5 + 3];
    Problem(scaledSpecOf(m, 37, k, format, weight.weight), options).check();
  }
}

TEST_P(ScaledActivations, TimesRunTimeMatricesInBatches) {
  constexpr int64_t m = 9, n = 21, k = 64;
  cpu::GemmSpec spec = scaledSpecOf(m, n, k, GetParam(), weightOf(Elem::F16));
  spec.bKind = cpu::GemmB::RowsN;
  spec.batch = {{2, 3 * m * k, 0, 3 * m * n}, {3, m * k, n * k, m * n}};
  Problem(spec, {}).check();
}

INSTANTIATE_TEST_SUITE_P(Formats, ScaledActivations,
                         ::testing::ValuesIn(kActivations),
                         [](const auto &info) { return info.param.name; });

//===----------------------------------------------------------------------===//
// Products of 4-bit codes in integers
//===----------------------------------------------------------------------===//

cpu::GemmSpec integerSpecOf(int64_t m, int64_t n, int64_t k, int a, int b) {
  // Columns of kActivations and kFormats: nvfp4, with an f16 global, mxfp4.
  cpu::GemmSpec spec =
      scaledSpecOf(m, n, k, kActivations[3 + a], kFormats[3 + b].weight);
  EXPECT_TRUE(cpu::multipliesIntegers(spec));
  spec.weight.octets = true;
  return spec;
}

TEST(IntegerGemm, AllFormatsAndRows) {
  Options options;
  options.outliers = true;
  for (int64_t m : {1, 2, 5, 6, 7, 64, 97})
    for (int a : {0, 1, 2}) {
      int b = (a + m) % 3;
      // Blocks of 16 in odd numbers, and of 32.
      int64_t k = a == 2 || b == 2 ? 96 : 112;
      SCOPED_TRACE(std::to_string(m) + " rows, a " + std::to_string(a) +
                   ", b " + std::to_string(b));
      Problem(integerSpecOf(m, 37, k, a, b), options).check();
    }
}

TEST(IntegerGemm, SmallestSizes) {
  for (int64_t n : {1, 15, 16, 17})
    for (int64_t m : {1, 8})
      Problem(integerSpecOf(m, n, 32, n % 2, 0), {}).check();
}

TEST(IntegerGemm, ChunksOfKAndBlocksOfRows) {
  Options options;
  options.outliers = true;
  Problem(integerSpecOf(97, 40, 4640, 0, 0), options).check();
  Problem(integerSpecOf(173, 24, 2080, 2, 0), options).check();
  Problem(integerSpecOf(350, 18, 1040, 0, 1), options).check();
}

TEST(IntegerGemm, WeightsInEitherOrder) {
  cpu::GemmSpec spec = integerSpecOf(9, 21, 64, 0, 0);
  spec.weight.kn = true;
  Problem(spec, {}).check();
}

TEST(IntegerGemm, BatchesBiasAndEpilogue) {
  for (int64_t m : {2, 9})
    for (int64_t n : {5, 48}) {
      cpu::GemmSpec spec = integerSpecOf(m, n, 64, 0, 0);
      spec.c = spec.bias = Elem::F16;
      Options options;
      options.bias = true;
      Problem(spec, options).check();
      spec = integerSpecOf(m, n, 64, 0, 0);
      spec.batch = {{3, m * 64, 0, m * n}};
      options = {};
      options.hook = true;
      Problem(spec, options).check();
    }
}

/// Runs a kernel of 64 k and 16 columns on A as given and B of one code.
std::vector<float> runOnce(const cpu::GemmSpec &spec, std::vector<uint8_t> &a,
                           uint8_t codes) {
  std::vector<uint8_t> b(spec.n * 32, codes), scales(spec.n * 4, 0x38);
  float global = 1;
  cpu::GemmWeightData data{b.data(),      b.size(), scales.data(),
                           scales.size(), &global,  4};
  std::vector<uint8_t> packed;
  EXPECT_TRUE(
      cpu::packGemmWeight(spec.weight, data, [&](const void *p, uint64_t size) {
        auto bytes = static_cast<const uint8_t *>(p);
        packed.insert(packed.end(), bytes, bytes + size);
        return true;
      }).ok());
  CompiledGemm gemm(spec);
  EXPECT_TRUE(gemm.kernel) << gemm.error;
  std::vector<float> c(spec.m * spec.n, -1);
  GuardedBuffer scratch(gemm.launch.scratchBytes);
  void *args[] = {a.data(), packed.data(), c.data()};
  gemm.kernel(args, 0, gemm.launch.extent, scratch.data());
  return c;
}

TEST(IntegerGemm, SumsOfExactProductsAreExact) {
  // 64 times 6 * 6 with scales of one, and zero weights, whatever A is.
  cpu::GemmSpec spec = integerSpecOf(7, 16, 64, 0, 0);
  placeScales(spec.scaledA, spec.a, 7 * 64);
  std::vector<uint8_t> a(spec.scaledA.bytes, 0x38);
  std::fill(a.begin(), a.begin() + 7 * 32, 0x77);
  float global = 0.0123456f;
  std::memcpy(&a[spec.scaledA.globalAt], &global, 4);
  for (float x : runOnce(spec, a, 0x77))
    EXPECT_EQ(x, 64 * 36 * global);
  for (float x : runOnce(spec, a, 0xff))
    EXPECT_EQ(x, -64 * 36 * global);
  for (float x : runOnce(spec, a, 0x80))
    EXPECT_EQ(x, 0);
}

TEST(IntegerGemm, NanScalesPoisonTheirRowsOnly) {
  for (uint8_t nan : {0x7f, 0xff})
    for (int64_t m : {2, 8}) {
      cpu::GemmSpec spec = integerSpecOf(m, 16, 64, 0, 0);
      placeScales(spec.scaledA, spec.a, m * 64);
      std::vector<uint8_t> a(spec.scaledA.bytes, 0x38);
      float global = 1;
      std::memcpy(&a[spec.scaledA.globalAt], &global, 4);
      a[spec.scaledA.scalesAt + 4 + 2] = nan; // row 1
      std::vector<float> c = runOnce(spec, a, 0x22);
      for (int64_t i = 0; i < m * 16; ++i)
        EXPECT_EQ(std::isnan(c[i]), i / 16 == 1) << i;
    }
}

TEST(IntegerGemm, LargestPowersOfTwoStayFinite) {
  cpu::GemmSpec spec = integerSpecOf(1, 16, 64, 2, 0);
  placeScales(spec.scaledA, spec.a, 64);
  std::vector<uint8_t> a(spec.scaledA.bytes, 0);
  a[0] = 0x01;                           // 0.5, then zeros
  a[spec.scaledA.scalesAt] = 254;        // 2^127
  a[spec.scaledA.scalesAt + 1] = 0;      // 2^-127
  for (float x : runOnce(spec, a, 0x11)) // 0.5
    EXPECT_EQ(x, 0x1p125f);
  a[0] = 0;
  a[16] = 0x07; // 6
  for (float x : runOnce(spec, a, 0x77))
    EXPECT_EQ(x, 36 * 0x1p-127f);
}

TEST(GemmAssembly, IntegerBlocksStayInRegisters) {
  CompiledGemm gemm(integerSpecOf(6, 64, 768, 0, 0), nullptr, true);
  // The loop over rows, not unrolled: 8 byte products, hardly any spills.
  std::istringstream lines(gemm.assembly);
  int products = 0, stack = 0, best = -1;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] == '.') {
      if (products == 8)
        best = stack;
      products = stack = 0;
    }
    products += line.find("vpmaddubsw") != std::string::npos;
    stack += line.find("(%rsp)") != std::string::npos;
  }
  EXPECT_GE(best, 0) << "no loop with 8 products of bytes";
  EXPECT_LE(best, 3);
}

TEST(Gemm, TypesOfActivationsResultsAndBias) {
  for (Elem a : {Elem::F32, Elem::F16, Elem::BF16})
    for (Elem c : {Elem::F32, Elem::F16, Elem::BF16})
      for (int64_t m : {3, 14}) {
        if ((a == c) == (m == 3))
          continue;
        cpu::GemmSpec spec = specOf(m, 37, 75, kFormats[3].weight);
        spec.a = a;
        spec.c = c;
        spec.bias = m == 3 ? Elem::F32 : a;
        Options options;
        options.bias = true;
        Problem(spec, options).check();
      }
}

TEST(Gemm, EpilogueSeesEveryElementOnce) {
  for (int64_t m : {1, 4, 20})
    for (int64_t n : {5, 32, 41})
      for (int64_t k : {24, 600}) {
        cpu::GemmSpec spec = specOf(m, n, k, kFormats[0].weight);
        Options options;
        options.hook = true;
        Problem(spec, options).check();
      }
}

TEST(Gemm, OutliersKeepTheirPrecision) {
  for (int64_t m : {1, 30}) {
    Options options;
    options.outliers = true;
    Problem(specOf(m, 64, 512, kFormats[3].weight), options).check();
    Problem(specOf(m, 64, 512, kFormats[0].weight), options).check();
  }
}

TEST(Gemm, RunTimeB) {
  for (cpu::GemmB kind : {cpu::GemmB::RowsK, cpu::GemmB::RowsN})
    for (Elem format : {Elem::F32, Elem::F16, Elem::BF16})
      for (int64_t n : {7, 50})
        for (int64_t m : {1, 19}) {
          cpu::GemmSpec spec = specOf(m, n, 45, weightOf(format));
          spec.bKind = kind;
          Problem(spec, {}).check();
        }
}

TEST(Gemm, BatchesWithBroadcastAndStrides) {
  // Heads interleaved as attention has them: [S][H][D].
  constexpr int64_t heads = 3, s = 20, d = 24;
  cpu::GemmSpec spec = specOf(s, s, d, weightOf(Elem::F32));
  spec.bKind = cpu::GemmB::RowsN;
  spec.strideA = spec.strideB = heads * d;
  spec.batch = {{2, s * heads * d, 0, heads * s * s}, {heads, d, d, s * s}};
  Problem(spec, {}).check();
  cpu::GemmSpec values = specOf(s, d, s, weightOf(Elem::F32));
  values.bKind = cpu::GemmB::RowsK;
  values.strideB = values.strideC = heads * d;
  values.batch = {{heads, s * s, d, d}};
  Problem(values, {}).check();
}

TEST(Gemm, LargeKAndManyRows) {
  Problem(specOf(200, 40, 700, kFormats[0].weight), {}).check();
  Problem(specOf(173, 24, 1030, kFormats[3].weight), {}).check();
  Problem(specOf(9, 560, 40, kFormats[1].weight), {}).check();
}

/// Stack accesses in basic blocks of at least `fmas` FMAs; -1 if there is none.
int stackAccesses(const std::string &assembly, int fmas) {
  int result = -1, fma = 0, stack = 0;
  std::istringstream lines(assembly);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line[0] == '.') {
      if (fma >= fmas)
        result = std::max(result, stack);
      fma = stack = 0;
    }
    fma += line.find("vfmadd") != std::string::npos;
    stack += line.find("(%rsp)") != std::string::npos;
  }
  return result;
}

TEST(GemmAssembly, TilesStayInRegisters) {
  CompiledGemm gemm(specOf(12, 64, 768, kFormats[0].weight), nullptr, true);
  int spills = stackAccesses(gemm.assembly, 6 * 2 * 8);
  EXPECT_GE(spills, 0) << "no loop with a 6x16 tile unrolled by 8";
  EXPECT_LE(spills, 2);
}

TEST(GemmAssembly, FourBitWeightsAreLookedUpInRegisters) {
  CompiledGemm gemm(specOf(1, 64, 768, kFormats[3].weight), nullptr, true);
  EXPECT_NE(gemm.assembly.find("vpshufb"), std::string::npos);
  EXPECT_NE(gemm.assembly.find("vpunpcklbw"), std::string::npos);
  EXPECT_EQ(gemm.assembly.find("vpinsr"), std::string::npos);
  int spills = stackAccesses(gemm.assembly, 16);
  EXPECT_GE(spills, 0);
  EXPECT_LE(spills, 10); // constants, mostly
}

TEST(Gemm, NanCodesAreKept) {
  cpu::GemmSpec spec = specOf(1, 16, 4, kFormats[7].weight);
  std::vector<uint8_t> codes(64, 0x38);
  codes[4 * 4 + 1] = 0xff;
  EXPECT_TRUE(cpu::hasNanCodes(spec.weight, codes.data(), codes.size()));
  spec.weight.nanCodes = true;
  float scale = 1, a[4] = {1, 1, 1, 1}, c[16] = {};
  std::vector<uint8_t> packed;
  cpu::GemmWeightData data{codes.data(), 64, &scale, 4};
  ASSERT_TRUE(
      cpu::packGemmWeight(spec.weight, data, [&](const void *p, uint64_t size) {
        auto bytes = static_cast<const uint8_t *>(p);
        packed.insert(packed.end(), bytes, bytes + size);
        return true;
      }).ok());
  CompiledGemm gemm(spec);
  ASSERT_TRUE(gemm.kernel) << gemm.error;
  alignas(64) uint8_t scratch[4096];
  void *args[] = {a, packed.data(), c};
  gemm.kernel(args, 0, 1, scratch);
  EXPECT_EQ(c[3], 4);
  EXPECT_TRUE(std::isnan(c[4]));
  EXPECT_EQ(c[5], 4);
}

TEST(GemmErrors, SayWhatStandsInTheWay) {
  cpu::GemmSpec spec = specOf(4, 64, 64, kFormats[3].weight);
  spec.weight.blockN = 8;
  EXPECT_NE(cpu::whyUnsupported(spec).find("8 columns"), std::string::npos);
  spec = specOf(4, 64, 64, kFormats[3].weight);
  spec.weight.blockK = 6;
  EXPECT_NE(cpu::whyUnsupported(spec).find("multiple of 4"), std::string::npos);
  spec = specOf(4, 64, 64, kFormats[3].weight);
  spec.c = Elem::I8;
  EXPECT_NE(cpu::whyUnsupported(spec).find("not si8"), std::string::npos);
}

TEST(GemmErrors, ScaledActivationsThatNoKernelReads) {
  auto why = [](int64_t k, Elem code, int64_t run) {
    cpu::GemmSpec spec = specOf(4, 64, k, kFormats[0].weight);
    spec.a = code;
    spec.scaledA.scale = Elem::F32;
    spec.scaledA.run = run;
    return cpu::whyUnsupported(spec);
  };
  auto says = [](const std::string &text, const char *part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_EQ(why(64, Elem::E2M1, 16), "");
  EXPECT_TRUE(says(why(72, Elem::E2M1, 16), "do not divide rows of 72"));
  EXPECT_TRUE(says(why(72, Elem::E4M3, 12), "no multiple of 8"));
  EXPECT_TRUE(says(why(12, Elem::E2M1, 0), "rows of 12 4-bit codes"));
  EXPECT_TRUE(says(why(64, Elem::I16, 0), "codes of type si16"));
}

TEST(GemmErrors, OctetsAreForIntegerProducts) {
  cpu::GemmSpec spec = integerSpecOf(4, 64, 64, 0, 0);
  EXPECT_EQ(cpu::whyUnsupported(spec), "");
  spec.a = Elem::F32;
  spec.scaledA = {};
  EXPECT_NE(cpu::whyUnsupported(spec).find("4-bit activation"),
            std::string::npos);
  spec = integerSpecOf(4, 64, 64, 0, 0);
  spec = integerSpecOf(4, 64, 64, 0, 0);
  spec.k = spec.weight.k = spec.weight.blockK = 32; // nothing along k
  EXPECT_FALSE(cpu::multipliesIntegers(spec));
  spec = integerSpecOf(4, 64, 64, 0, 0);
  spec.weight.blockK = 64;
  EXPECT_NE(cpu::whyUnsupported(spec).find("not 64"), std::string::npos);
  spec.weight.code = Elem::I4;
  EXPECT_NE(cpu::whyUnsupported(spec).find("4-bit floats"), std::string::npos);
}

TEST(GemmErrors, PackingChecksSizes) {
  cpu::GemmWeight weight = kFormats[3].weight;
  weight.n = 16;
  weight.k = 32;
  std::vector<uint8_t> bytes(256);
  auto sink = [](const void *, uint64_t) { return true; };
  auto status = cpu::packGemmWeight(
      weight, {bytes.data(), 255, bytes.data(), 32, bytes.data(), 4}, sink);
  EXPECT_NE(status.message().find("255 bytes of codes"), std::string::npos);
  status = cpu::packGemmWeight(
      weight, {bytes.data(), 256, bytes.data(), 31, bytes.data(), 4}, sink);
  EXPECT_NE(status.message().find("of scales"), std::string::npos);
}

} // namespace
