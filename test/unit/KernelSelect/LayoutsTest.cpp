// Layouts that kernels ask for, against the formulas of their documentation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/Layouts.h"

#include "mlir/IR/Builders.h"
#include "gtest/gtest.h"

#include <set>

using namespace mlir;
using namespace nibble;

namespace {

class LayoutsTest : public testing::Test {
protected:
  LayoutsTest() { context.loadDialect<nq::NqDialect>(); }

  RankedTensorType nvfp4(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, nq::ScaledType::getNvfp4(&context));
  }
  RankedTensorType f16(ArrayRef<int64_t> shape) {
    return RankedTensorType::get(shape, Float16Type::get(&context));
  }
  static RankedTensorType with(RankedTensorType type, nq::LayoutAttr layout) {
    return RankedTensorType::get(type.getShape(), type.getElementType(),
                                 layout);
  }

  MLIRContext context;
};

/// Byte of the scale of row m, block kb (PTX ISA, scale-factor layout).
int64_t getScaleByte(int64_t m, int64_t kb, int64_t blocks) {
  int64_t tilesAlongK = (blocks + 3) / 4;
  return ((m / 128) * tilesAlongK + kb / 4) * 512 + (m % 32) * 16 +
         (m / 32 % 4) * 4 + kb % 4;
}

} // namespace

TEST_F(LayoutsTest, ScalesOfEveryPointOfAGridFollowTheFormula) {
  constexpr int64_t kRows = 300, kBlocks = 24;
  nq::LayoutAttr scales =
      getBlockScaledLayout(nvfp4({kRows, kBlocks * 16}), {0, 1}).getScales();
  ASSERT_TRUE(scales);
  std::set<int64_t> taken;
  for (int64_t m = 0; m < kRows; ++m)
    for (int64_t kb = 0; kb < kBlocks; ++kb) {
      int64_t byte = scales.getOffset({m, kb}, {kRows, kBlocks});
      ASSERT_EQ(byte, getScaleByte(m, kb, kBlocks)) << m << ", " << kb;
      taken.insert(byte);
      SmallVector<int64_t> back = scales.getIndex(byte, {kRows, kBlocks});
      ASSERT_EQ(back[0], m);
      ASSERT_EQ(back[1], kb);
    }
  EXPECT_EQ(taken.size(), size_t(kRows * kBlocks));
  EXPECT_EQ(scales.getStorageSize({kRows, kBlocks}), 3 * 6 * 512);
}

TEST_F(LayoutsTest, ScalesOfAPartialTileAlongK) {
  // 5 blocks: two tiles along K, the second one a quarter full.
  nq::LayoutAttr scales =
      getBlockScaledLayout(nvfp4({130, 80}), {0, 1}).getScales();
  for (int64_t m = 0; m < 130; ++m)
    for (int64_t kb = 0; kb < 5; ++kb)
      ASSERT_EQ(scales.getOffset({m, kb}, {130, 5}), getScaleByte(m, kb, 5));
  EXPECT_EQ(scales.getStorageSize({130, 5}), 2 * 2 * 512);
}

TEST_F(LayoutsTest, ScalesOfATransposedWeightFollowItsRows) {
  // [K, N] with blocks along K: rows of the product are dimension 1.
  auto element = nq::ScaledType::get(&context, Float4E2M1FNType::get(&context),
                                     Float8E4M3FNType::get(&context), {16, 1},
                                     Float32Type::get(&context), false);
  auto type = RankedTensorType::get({128, 200}, element);
  nq::LayoutAttr scales = getBlockScaledLayout(type, {1, 0}).getScales();
  for (int64_t kb = 0; kb < 8; ++kb)
    for (int64_t n = 0; n < 200; ++n)
      ASSERT_EQ(scales.getOffset({kb, n}, {8, 200}), getScaleByte(n, kb, 8));
}

TEST_F(LayoutsTest, EveryMatrixOfABatchHasItsTiles) {
  nq::LayoutAttr scales =
      getBlockScaledLayout(nvfp4({2, 37, 128}), {1, 2}).getScales();
  for (int64_t batch = 0; batch < 2; ++batch)
    for (int64_t m = 0; m < 37; ++m)
      for (int64_t kb = 0; kb < 8; ++kb)
        ASSERT_EQ(scales.getOffset({batch, m, kb}, {2, 37, 8}),
                  batch * 2 * 512 + getScaleByte(m, kb, 8));
}

TEST_F(LayoutsTest, RowsOf970TokensPadTheirScales) {
  RankedTensorType type = nvfp4({970, 2048});
  nq::LayoutAttr layout = getBlockScaledLayout(type, {0, 1});
  nq::StorageRegions regions = nq::getStorageRegions(with(type, layout));
  EXPECT_EQ(regions.codeBytes, 970 * 2048 / 2); // codes are not padded
  EXPECT_EQ(regions.scaleBytes, 1024 * 128);
}

TEST_F(LayoutsTest, RowsOf4304FeaturesPadTheirScales) {
  RankedTensorType type = nvfp4({4304, 1152});
  nq::LayoutAttr layout = getBlockScaledLayout(type, {0, 1});
  nq::StorageRegions regions = nq::getStorageRegions(with(type, layout));
  EXPECT_EQ(regions.codeBytes, 4304 * 1152 / 2);
  EXPECT_EQ(regions.scaleBytes, 34 * 128 * 72);
  // And as K of the next product: 4304 / 16 = 269 blocks are 68 tiles of 4.
  RankedTensorType next = nvfp4({1152, 4304});
  nq::LayoutAttr nextLayout = getBlockScaledLayout(next, {0, 1});
  EXPECT_EQ(nq::getStorageRegions(with(next, nextLayout)).scaleBytes,
            9 * 128 * 272);
}

TEST_F(LayoutsTest, CodesOf4304FeaturesBeginAt16Bytes) {
  // 4304 codes of 4 bits are 2152 bytes; rows are 2160 apart.
  RankedTensorType type = nvfp4({1152, 4304});
  nq::LayoutAttr layout = getBlockScaledLayout(type, {0, 1});
  EXPECT_EQ(nq::getStorageRegions(with(type, layout)).codeBytes, 1152 * 2160);
  EXPECT_EQ(layout.getOffset({3, 4303}, type.getShape()), 3 * 4320 + 4303);
  // Spread to bytes, they are copied by 128.
  layout = getSpreadLayout(type, {0, 1});
  EXPECT_EQ(nq::getStorageRegions(with(type, layout)).codeBytes, 1152 * 2176);
  EXPECT_EQ(nq::getStorageRegions(with(type, layout)).scaleBytes,
            9 * 128 * 272);
  EXPECT_EQ(getSpreadLayout(nvfp4({64, 256}), {0, 1}),
            getBlockScaledLayout(nvfp4({64, 256}), {0, 1}));
}

TEST_F(LayoutsTest, KOf588PadsRowsTo16Bytes) {
  // 588 f16 are 1176 bytes; 592 are 1184, a multiple of 16.
  nq::LayoutAttr layout = getKMajorLayout(f16({10, 588}), {0, 1});
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout.getStorageSize({10, 588}), 10 * 592);
  for (int64_t m = 0; m < 10; ++m)
    for (int64_t k = 0; k < 588; ++k)
      ASSERT_EQ(layout.getOffset({m, k}, {10, 588}), m * 592 + k);
}

TEST_F(LayoutsTest, RowsThatFitNeedNoLayout) {
  EXPECT_FALSE(getKMajorLayout(f16({970, 2048}), {0, 1}));
  EXPECT_FALSE(getKMajorLayout(f16({8, 37, 72}), {1, 2}));
}

TEST_F(LayoutsTest, WeightsInTheOtherOrderAreTransposed) {
  nq::LayoutAttr layout = getKMajorLayout(f16({64, 48}), {1, 0});
  ASSERT_TRUE(layout);
  for (int64_t k = 0; k < 64; ++k)
    for (int64_t n = 0; n < 48; ++n)
      ASSERT_EQ(layout.getOffset({k, n}, {64, 48}), n * 64 + k);
}
