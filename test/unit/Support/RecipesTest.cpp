// Quantization recipes: golden vectors, special values, whole tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random data against an independent implementation: recipes-against-numpy.py.
#include "nibble/rt/quantize.h"

#include "gtest/gtest.h"

#include <random>
#include <string>
#include <vector>

using namespace nibble::rt;

namespace {

using Bytes = std::vector<uint8_t>;
using R = Nvfp4Recipe;

const R kNvfp4[] = {R::ModeloptTorch,     R::ModeloptOnnx,      R::TrtDynamic,
                    R::CompressedTensors, R::TransformerEngine, R::Torchao};

Bytes fromHex(const std::string &text) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(std::stoi(text.substr(i, 2), nullptr, 16));
  return bytes;
}

struct Quantized {
  float global;
  Bytes codes, scales;
};

Quantized quantize(const std::vector<float> &x, int64_t rows, int64_t cols,
                   R recipe) {
  Quantized q;
  q.global = nvfp4Global(amaxOf(x.data(), x.size()), recipe);
  q.codes.resize((x.size() + 1) / 2);
  q.scales.resize(rows * ((cols + 15) / 16));
  quantizeNvfp4(x.data(), rows, cols, 16, q.global, recipe, q.codes.data(),
                q.scales.data());
  return q;
}

/// 2x32 numbers in f16, little endian.
std::vector<float> goldenInput() {
  Bytes bytes = fromHex(
      "8da68c2acaa508a8f4ad76a51e2f6e29a32e5f260e29bf2455b1792d7b2a632a"
      "6ab195b1b2adfea9d227b49cab2a1cace7270c293bac7f31202ba92ff1abbcac"
      "67a873a10c2c5c26baa920aeaaaad02f2cad44267629c4b0f71c2e3072b21ea8"
      "6fa13bad5e2a619eb0b04c2d492c0e2e9c30a3281b2228b0e12bd5abcba90cb0");
  std::vector<float> x(64);
  decodeArray(StorageFormat::F16, bytes.data(), 0, x.size(), x.data());
  return x;
}

TEST(GoldenNvfp4, ModeloptOnnx) {
  Quantized q = quantize(goldenInput(), 2, 32, R::ModeloptOnnx);
  EXPECT_EQ(floatBits(q.global), 0x389d2492u);
  EXPECT_EQ(q.scales, fromHex("7c7c7e7a"));
  EXPECT_EQ(q.codes, fromHex("4aaaad3626135f44ffbd82c4327c64dc"
                             "9a14db6b1ce360afd9945f6537f1d5fc"));
}

TEST(GoldenNvfp4, ModeloptTorch) {
  Quantized q = quantize(goldenInput(), 2, 32, R::ModeloptTorch);
  EXPECT_EQ(floatBits(q.global), 0x389d2492u);
  EXPECT_EQ(q.scales, fromHex("7c7c7e7a"));
  EXPECT_EQ(q.codes, fromHex("4aaa9d3626135f34ffbd82c4327c64dc"
                             "9a14db6b1ce360afd9945f6537f1d5fc"));
}

TEST(GoldenNvfp4, CodesOfAUnitBlock) {
  // An amax of 6 and a global of 1/448 give the scale 448, hence a divisor
  // of 1.
  const std::pair<float, unsigned> cases[] = {
      {0.25f, 0}, {0.75f, 2}, {1.25f, 2},   {1.75f, 4}, {2.5f, 4},
      {3.5f, 6},  {5.0f, 6},  {5.0001f, 7}, {6.0f, 7},  {-0.25f, 8},
      {-0.1f, 8}, {-0.0f, 0}, {0.0f, 0},    {-6.0f, 15}};
  std::vector<float> x;
  for (auto [value, code] : cases)
    x.push_back(value);
  for (R recipe : {R::ModeloptTorch, R::ModeloptOnnx}) {
    Bytes codes(x.size());
    EXPECT_EQ(quantizeNvfp4Block(x.data(), x.size(), 1 / 448.0f, recipe,
                                 codes.data()),
              0x7e);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_EQ(codes[i], cases[i].second) << x[i];
  }
}

TEST(Nvfp4, SignOfZeroPerRecipe) {
  const float x[] = {-0.0f, -1e-6f, 6.0f};
  for (R recipe : kNvfp4) {
    float global = globalDivides(recipe) ? 448.0f : 1 / 448.0f;
    Bytes codes(3);
    quantizeNvfp4Block(x, 3, global, recipe, codes.data());
    bool keeps = recipe == R::TrtDynamic || recipe == R::CompressedTensors ||
                 recipe == R::Torchao;
    EXPECT_EQ(codes[0], keeps ? 8 : 0) << recipeName(recipe);
    EXPECT_EQ(codes[1], 8) << recipeName(recipe);
    EXPECT_EQ(codes[2], 7) << recipeName(recipe);
  }
}

TEST(Nvfp4, ZeroBlockPerRecipe) {
  const float x[16] = {};
  const unsigned scales[] = {0x38, 0x38, 0, 0x20, 0, 0x08};
  for (R recipe : kNvfp4) {
    Bytes codes(16, 0xff);
    EXPECT_EQ(quantizeNvfp4Block(x, 16, 1.0f, recipe, codes.data()),
              scales[unsigned(recipe)])
        << recipeName(recipe);
    EXPECT_EQ(codes, Bytes(16, 0)) << recipeName(recipe);
  }
}

/// With a global made for far larger numbers the block scale underflows.
TEST(Nvfp4, TinyBlockOfTrtDynamicIsZero) {
  const float x[] = {1e-6f, -1e-6f};
  uint8_t codes[2];
  EXPECT_EQ(quantizeNvfp4Block(x, 2, 1.0f, R::TrtDynamic, codes), 0);
  EXPECT_EQ(codes[0], 0);
  EXPECT_EQ(codes[1], 0);
  EXPECT_EQ(quantizeNvfp4Block(x, 2, 1.0f, R::ModeloptTorch, codes), 1);
}

TEST(Nvfp4, NanPoisonsItsBlockOnly) {
  for (float nan : {NAN, -NAN})
    for (R recipe : kNvfp4) {
      std::vector<float> x(32, 1.0f);
      x[3] = nan;
      Bytes codes(16), scales(2);
      quantizeNvfp4(x.data(), 1, 32, 16, 1.0f, recipe, codes.data(),
                    scales.data());
      EXPECT_EQ(scales[0], 0x7f) << recipeName(recipe);
      EXPECT_NE(scales[1], 0x7f) << recipeName(recipe);
      EXPECT_EQ(Bytes(codes.begin(), codes.begin() + 8), Bytes(8, 0));
      EXPECT_NE(codes[8], 0);
    }
}

TEST(Nvfp4, InfinitySaturates) {
  const float x[] = {INFINITY, 1.0f, -INFINITY};
  for (R recipe : {R::TrtDynamic, R::ModeloptTorch, R::CompressedTensors}) {
    uint8_t codes[3];
    EXPECT_EQ(quantizeNvfp4Block(x, 3, 1.0f, recipe, codes), 0x7e);
    EXPECT_EQ(codes[0], 7);
    EXPECT_EQ(codes[1], 0);
    EXPECT_EQ(codes[2], 15);
  }
}

TEST(Nvfp4, GlobalOfSpecialTensors) {
  for (R recipe : kNvfp4) {
    for (float amax : {0.0f, 0x1p-149f, 0x1p-126f, 1.0f, 0x1.fffffep127f}) {
      float global = nvfp4Global(amax, recipe);
      EXPECT_TRUE(global > 0 && std::isfinite(global))
          << recipeName(recipe) << " " << amax;
    }
    EXPECT_TRUE(std::isnan(nvfp4Global(NAN, recipe))) << recipeName(recipe);
  }
  for (R recipe : kNvfp4)
    EXPECT_EQ(nvfp4Global(0, recipe), 1.0f);
  EXPECT_EQ(nvfp4Global(2688, R::ModeloptTorch), 1.0f);
  EXPECT_EQ(nvfp4Global(2688, R::CompressedTensors), 1.0f);
  EXPECT_EQ(nvfp4Global(448, R::ModeloptTorch, 448), 1.0f) << "W4A8";
  EXPECT_EQ(nvfp4Multiplier(4.0f, R::CompressedTensors), 0.25f);
  EXPECT_EQ(nvfp4Multiplier(4.0f, R::ModeloptTorch), 4.0f);
}

/// Short last blocks, odd columns (so that rows share bytes), blocks of 32.
TEST(Nvfp4, WholeTensorEqualsItsBlocks) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int64_t block : {16, 32})
    for (int64_t cols : {1, 16, 37, 64})
      for (R recipe : kNvfp4) {
        const int64_t rows = 3, grid = (cols + block - 1) / block;
        std::vector<float> x(rows * cols);
        for (float &v : x)
          v = normal(random);
        float global = nvfp4Global(amaxOf(x.data(), x.size()), recipe);
        Bytes packed((x.size() + 1) / 2, 0xff), scales(rows * grid);
        quantizeNvfp4(x.data(), rows, cols, block, global, recipe,
                      packed.data(), scales.data());
        Bytes codes(x.size()), wanted(x.size());
        unpackNibbles(packed.data(), codes.size(), codes.data());
        for (int64_t b = 0; b < rows * grid; ++b) {
          int64_t first = b / grid * cols + b % grid * block;
          int64_t count = std::min(block, cols - b % grid * block);
          EXPECT_EQ(scales[b], quantizeNvfp4Block(&x[first], count, global,
                                                  recipe, &wanted[first]));
        }
        EXPECT_EQ(codes, wanted) << recipeName(recipe) << " " << cols;
        EXPECT_TRUE(x.size() % 2 == 0 || packed.back() >> 4 == 0);
      }
}

/// Reconstruction: within half a step of E2M1 plus the rounding of the scale.
TEST(Nvfp4, ReconstructionError) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(64 * 256);
  for (float &v : x)
    v = normal(random);
  for (R recipe : kNvfp4) {
    Quantized q = quantize(x, 64, 256, recipe);
    double error = 0, norm = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      double scale =
          effectiveScale(decodeE4M3(q.scales[i / 16]),
                         nvfp4Multiplier(q.global, recipe), StorageFormat::F32);
      double y = decode(StorageFormat::E2M1,
                        loadCode(StorageFormat::E2M1, q.codes.data(), i)) *
                 scale;
      error += (y - x[i]) * (y - x[i]);
      norm += x[i] * x[i];
    }
    EXPECT_LT(error / norm, 0.0105) << recipeName(recipe);
    EXPECT_GT(error / norm, 0.007) << recipeName(recipe);
  }
}

TEST(EffectiveScale, RoundsOnceToTheGlobalsType) {
  // E4M3 1.125 * f16-unrepresentable global: f16 rounding of the product.
  float global = 0x1.234568p-10f;
  double exact = 1.125 * double(global);
  EXPECT_EQ(effectiveScale(1.125f, global, StorageFormat::F32), float(exact));
  EXPECT_EQ(effectiveScale(1.125f, global, StorageFormat::F16),
            roundTo(StorageFormat::F16, exact));
  EXPECT_NE(effectiveScale(1.125f, global, StorageFormat::F16), exact);
}

//===-- MX ---------------------------------------------------------------===//

using M = MxRecipe;
using S = StorageFormat;

TEST(Mx, ExponentPerRecipe) {
  // amax, storage, recipe, exponent of the scale.
  const std::tuple<float, S, M, int> cases[] = {
      {448, S::E4M3, M::Modelopt, 0},
      {449, S::E4M3, M::Modelopt, 1},
      {448, S::E4M3, M::TrtDynamic, 0},
      {448, S::E4M3, M::TransformerEngine, 0},
      {511, S::E4M3, M::Ocp, 0},
      {512, S::E4M3, M::Ocp, 1},
      {256, S::E4M3, M::TorchaoCeil, 0},
      {257, S::E4M3, M::TorchaoCeil, 1},
      {495, S::E4M3, M::TorchaoEven, 0},
      {496, S::E4M3, M::TorchaoEven, 1},
      {447, S::E4M3, M::CompressedTensors, 0},
      {448, S::E4M3, M::CompressedTensors, 1},
      {5, S::E4M3, M::CompressedTensors, -6},
      {6, S::E2M1, M::Modelopt, 0},
      {6.5f, S::E2M1, M::Modelopt, 1},
      {7.9f, S::E2M1, M::Ocp, 0},
      {7, S::E2M1, M::CompressedTensors, 1},
      {6.9f, S::E2M1, M::TorchaoEven, 0},
      {7, S::E2M1, M::TorchaoEven, 1},
      {57344, S::E5M2, M::Modelopt, 0},
      {65535, S::E5M2, M::Ocp, 0},
  };
  for (auto [amax, storage, recipe, exponent] : cases)
    EXPECT_EQ(int(mxScale(amax, storage, recipe)) - 127, exponent)
        << amax << " " << recipeName(recipe);
}

TEST(Mx, SpecialAmax) {
  for (unsigned i = 0; i < kNumMxRecipes; ++i)
    for (S storage : {S::E4M3, S::E5M2, S::E2M1}) {
      auto recipe = static_cast<M>(i);
      EXPECT_EQ(mxScale(0, storage, recipe), 0);
      EXPECT_EQ(mxScale(0x1p-149f, storage, recipe), 0);
      EXPECT_EQ(mxScale(NAN, storage, recipe), 0xff);
      bool saturates = recipe == M::Modelopt || recipe == M::TrtDynamic ||
                       recipe == M::TransformerEngine;
      EXPECT_EQ(mxScale(INFINITY, storage, recipe), saturates ? 0xfe : 0xff)
          << recipeName(recipe);
    }
}

TEST(Mx, ModeloptFp4TiesGoTowardZero) {
  const float x[] = {0.0f, -0.0f, 0.25f, 0.75f, 1.25f,
                     5.0f, -5.0f, 6.0f,  -0.1f, 0.26f};
  const Bytes torch = {8, 8, 0, 1, 2, 6, 14, 7, 8, 1};
  const Bytes even = {0, 8, 0, 2, 2, 6, 14, 7, 8, 1};
  Bytes codes(10);
  EXPECT_EQ(quantizeMxBlock(x, 10, S::E2M1, M::Modelopt, codes.data()), 127);
  EXPECT_EQ(codes, torch);
  EXPECT_EQ(quantizeMxBlock(x, 10, S::E2M1, M::Ocp, codes.data()), 127);
  EXPECT_EQ(codes, even);
}

TEST(Mx, NanScaleHasZeroCodes) {
  const float x[] = {1.0f, NAN, 2.0f};
  Bytes codes(3, 0xff);
  EXPECT_EQ(quantizeMxBlock(x, 3, S::E4M3, M::Ocp, codes.data()), 0xff);
  EXPECT_EQ(codes, Bytes(3, 0));
}

TEST(Mx, WholeTensorOfShortBlocks) {
  const float x[] = {1, 2, 3, 4, 5, 6}; // rows of 3 in blocks of 2
  Bytes scales(4), packed(3, 0xff), codes(6, 0xff);
  quantizeMx(x, 2, 3, 2, S::E2M1, M::Ocp, packed.data(), scales.data());
  EXPECT_EQ(scales, (Bytes{126, 126, 127, 127}));
  EXPECT_EQ(packed, (Bytes{0x64, 0x67, 0x76}));
  quantizeMx(x, 2, 3, 2, S::E4M3, M::Modelopt, codes.data(), scales.data());
  EXPECT_EQ(scales, (Bytes{120, 120, 121, 121}));
  for (int i = 0; i < 6; ++i) {
    int block = i / 3 * 2 + i % 3 / 2;
    EXPECT_EQ(decodeE4M3(codes[i]) * decodeE8M0(scales[block]), x[i]);
  }
}

//===-- Float scales -----------------------------------------------------===//

TEST(Static, Fp8PerBlockOf128) {
  const ScaleGrid grid{130, 257, 128, 128};
  EXPECT_EQ(grid.size(), 6);
  std::vector<float> x(130 * 257, 1.0f), amax(6), scales(6);
  x[0] = -448.0f;
  x[129 * 257 + 256] = 4.48f;
  blockAmax(x.data(), grid, amax.data());
  EXPECT_EQ(amax, (std::vector<float>{448, 1, 1, 1, 1, 4.48f}));
  for (int i = 0; i < 6; ++i)
    scales[i] = symmetricScale(amax[i], S::E4M3);
  Bytes codes(x.size());
  quantizeStatic(x.data(), grid, scales.data(), nullptr, S::E4M3, codes.data());
  EXPECT_EQ(codes[0], 0xfe);
  EXPECT_EQ(codes[1], 0x38) << "1 / 1";
  EXPECT_EQ(codes[128], 0x7e) << "1 / (1 / 448)";
  EXPECT_EQ(codes.back(), 0x7e);
}

TEST(Static, OverflowIsChosenByTheCaller) {
  const float x[] = {1000, -1000}, scale = 1;
  const ScaleGrid grid{1, 2, 1, 2};
  Bytes codes(2);
  quantizeStatic(x, grid, &scale, nullptr, S::E4M3, codes.data());
  EXPECT_EQ(codes, (Bytes{0x7e, 0xfe}));
  quantizeStatic(x, grid, &scale, nullptr, S::E4M3, codes.data(),
                 Overflow::NonFinite);
  EXPECT_EQ(codes, (Bytes{0x7f, 0xff}));
}

TEST(Static, Int4PerGroupWithZeroPoints) {
  // [3, 3] in groups of 2 along columns; the odd count leaves a padding nibble.
  const float x[] = {0, 1, 2, -3, 4, 5, 100, -100, 0.5f};
  const ScaleGrid grid{3, 3, 1, 2};
  const float scales[] = {1, 1, 1, 1, 1, 1};
  const uint8_t zeroPoints[] = {1, 2, 3, 0, 8, 0};
  Bytes packed(5, 0xff);
  quantizeStatic(x, grid, scales, zeroPoints, S::U4, packed.data());
  Bytes codes(9);
  unpackNibbles(packed.data(), 9, codes.data());
  EXPECT_EQ(codes, (Bytes{1, 2, 4, 0, 7, 5, 15, 0, 0}));
  EXPECT_EQ(packed[4] >> 4, 0);
  const uint8_t signedZero[] = {15, 0, 0, 0, 0, 0}; // -1
  quantizeStatic(x, grid, scales, signedZero, S::I4, packed.data());
  EXPECT_EQ(packed[0], 0x0f) << "0 - 1 = -1, 1 - 1 = 0";
}

TEST(Static, Int8TiesToEvenAfterOneDivision) {
  const float x[] = {0.5f, 1.5f, -2.5f, 300, -300};
  const float scale = 1;
  const ScaleGrid grid{1, 5, 1, 5};
  Bytes codes(5);
  quantizeStatic(x, grid, &scale, nullptr, S::I8, codes.data());
  EXPECT_EQ(codes, (Bytes{0, 2, 0xfe, 127, 0x80}));
  const uint8_t zeroPoint = 0xfd; // -3
  quantizeStatic(x, grid, &scale, &zeroPoint, S::I8, codes.data());
  EXPECT_EQ(codes, (Bytes{0xfd, 0xff, 0xfb, 127, 0x80}));
}

TEST(Static, ScaleRules) {
  EXPECT_EQ(symmetricScale(448, S::E4M3), 1);
  EXPECT_EQ(symmetricScale(127, S::I8), 1);
  EXPECT_EQ(symmetricScale(14, S::I4), 2);
  EXPECT_EQ(symmetricScale(0, S::I8), 1);
  EXPECT_EQ(symmetricScale(0x1p-24f, S::E4M3), 1);
  EXPECT_EQ(symmetricScale(0x1p-23f, S::E4M3), 0x1p-23f / 448);
  EXPECT_EQ(modeloptInt4Scale(0), 1e-5f);
  EXPECT_EQ(modeloptInt4Scale(7), 1);
  AsymmetricScale s = modeloptAsymmetricScale(-1, 2, S::U4);
  EXPECT_EQ(s.scale, 3 / 15.0f);
  EXPECT_EQ(s.zeroPoint, 5);
  EXPECT_EQ(modeloptAsymmetricScale(1, 2, S::U4).zeroPoint, 0);
}

TEST(Static, OnnxDynamicScale) {
  AsymmetricScale s = onnxDynamicScale(-1, 1.5f);
  EXPECT_EQ(s.scale, 2.5f / 255);
  EXPECT_EQ(s.zeroPoint, 102);
  EXPECT_EQ(onnxDynamicScale(-3, 0).zeroPoint, 255);
  EXPECT_EQ(onnxDynamicScale(0, 3).zeroPoint, 0);
  EXPECT_EQ(onnxDynamicScale(0, 0).scale, 0);
  EXPECT_EQ(onnxDynamicScale(0, 0).zeroPoint, 0);
  // The range is rounded before it is divided: the nearest float to the exact
  // quotient is 0x1.77d026p-8.
  EXPECT_EQ(onnxDynamicScale(-0x1.060d7cp-1f, 0x1.e6a32ep-1f).scale,
            0x1.77d024p-8f);
}

TEST(Recipes, NamesParseBack) {
  for (R recipe : kNvfp4)
    EXPECT_EQ(parseNvfp4Recipe(recipeName(recipe)), recipe);
  for (unsigned i = 0; i < kNumMxRecipes; ++i)
    EXPECT_EQ(parseMxRecipe(recipeName(static_cast<M>(i))), static_cast<M>(i));
  EXPECT_EQ(parseMxRecipe("modelopt-torch"), M::Modelopt);
  EXPECT_EQ(parseMxRecipe("torchao"), M::Ocp);
  EXPECT_FALSE(parseNvfp4Recipe("ocp"));
  EXPECT_FALSE(parseNvfp4Recipe(""));
  EXPECT_FALSE(parseMxRecipe("trt"));
}

} // namespace
