// Types of values and their storage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/dtype.h"

#include <gtest/gtest.h>

using namespace nibble::rt;

namespace {

StorageLayout layoutOf(const char *dtype, std::vector<int64_t> shape) {
  auto type = parseDType(dtype);
  EXPECT_TRUE(type.ok()) << type.status().str();
  auto layout = storageLayout(*type, shape.data(), shape.size());
  EXPECT_TRUE(layout.ok()) << layout.status().str();
  return layout.ok() ? *layout : StorageLayout();
}

TEST(DType, DenseTypesHaveTheirBytes) {
  EXPECT_EQ(layoutOf("f32", {3, 5}).total, 60u);
  EXPECT_EQ(layoutOf("bf16", {}).total, 2u);
  EXPECT_EQ(layoutOf("si4", {5}).total, 3u);
  EXPECT_EQ(layoutOf("i1", {7}).total, 7u);
  EXPECT_EQ(layoutOf("f32", {0, 5}).total, 0u);
}

TEST(DType, KnowsAliases) {
  EXPECT_EQ(parseElem("uint8"), StorageFormat::U8);
  EXPECT_EQ(parseElem("i64"), StorageFormat::I64);
  EXPECT_EQ(parseElem("float32"), StorageFormat::F32);
  EXPECT_EQ(parseElem("bfloat16"), StorageFormat::BF16);
  EXPECT_EQ(parseElem("bool"), StorageFormat::Bool);
  EXPECT_EQ(parseElem("none"), StorageFormat::None);
  EXPECT_EQ(parseElem(""), StorageFormat::None);
}

TEST(DType, ScaledStorageHasSectionsAtMultiplesOf64) {
  StorageLayout l = layoutOf("!nq.nvfp4", {10, 48});
  EXPECT_EQ(l.codesBytes, 240u);
  EXPECT_EQ(l.scales, 256u);
  EXPECT_EQ(l.scalesBytes, 30u);
  EXPECT_EQ(l.global, 320u);
  EXPECT_EQ(l.globalBytes, 4u);
  EXPECT_EQ(l.total, 324u);
}

TEST(DType, BlocksCoverTrailingDimensions) {
  EXPECT_EQ(layoutOf("!nq.scaled<f8E4M3FN, f32 per 128x128>", {3, 129, 130})
                .scalesBytes,
            3u * 2 * 2 * 4);
  EXPECT_EQ(layoutOf("!nq.scaled<si8, f32 per ?x1>", {100, 7}).scalesBytes,
            28u);
  EXPECT_EQ(layoutOf("!nq.scaled<si8, f32 per *x1>", {100, 7}).scalesBytes,
            28u);
  EXPECT_EQ(layoutOf("!nq.scaled<f16, f32 per 1x?>", {3, 7}).scalesBytes, 12u);
  EXPECT_EQ(layoutOf("!nq.scaled<si8, f16 per tensor>", {100, 7}).scalesBytes,
            2u);
  StorageLayout l = layoutOf(
      "!nq.scaled<ui4, f16 per 1x32, global f16, zero_point>", {4, 64});
  EXPECT_EQ(l.scalesBytes, 16u);
  EXPECT_EQ(l.globalBytes, 2u);
  EXPECT_EQ(l.zeroPointsBytes, 8u);
}

TEST(DType, RefusesWhatItDoesNotUnderstand) {
  for (const char *text :
       {"", "f31", "!nq.scaled<", "!nq.scaled<>", "!nq.scaled<f8E4M3FN>",
        "!nq.scaled<f32, f32 per tensor>", "!nq.scaled<si8, f32>",
        "!nq.scaled<si8, si8 per tensor>", "!nq.scaled<si8, f32 per 0x1>",
        "!nq.scaled<si8, f32 per 1x>", "!nq.scaled<si8, f32 per 1x-1>",
        "!nq.scaled<si8, f32 per 1x16, global si8>",
        "!nq.scaled<si8, f32 per 1x16, globl f32>",
        "!nq.scaled<si8, f32 per 1x16,>", "none"})
    EXPECT_FALSE(parseDType(text).ok()) << text;
}

TEST(DType, RefusesOverflow) {
  auto fails = [](const char *dtype, std::vector<int64_t> shape) {
    return !storageLayout(*parseDType(dtype), shape.data(), shape.size()).ok();
  };
  EXPECT_TRUE(fails("f32", {1ll << 31, 1ll << 31}));
  EXPECT_TRUE(fails("f32", {-1}));
  EXPECT_TRUE(fails("f32", {0, 1ll << 62, 1ll << 62}));
  EXPECT_TRUE(fails("!nq.fp8", {1ll << 40, 1ll << 40}));
  EXPECT_TRUE(fails("!nq.nvfp4", {16})) << "the block has more dimensions";
  EXPECT_FALSE(fails("!nq.scaled<si8, f32 per 999999999999x1>", {1, 1}));
}

} // namespace
