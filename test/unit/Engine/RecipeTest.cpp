// Recipes: engines without their weights, and the same engines again.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/recipe.h"
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

constexpr int64_t kRows = 96, kColumns = 50000;
/// NVFP4: bytes of codes, and scales, one of 16 elements.
constexpr int64_t kNvfp4Codes = 1 << 20, kNvfp4Scales = kNvfp4Codes / 8;

class Recipes : public ::testing::Test {
protected:
  /// Weights in E4M3 with a scale, in f32, in E2M1 and in NVFP4, and one small
  /// constant.
  void SetUp() override {
    EngineBuilder b(engine.path());
    std::vector<uint8_t> fp8(kRows * kColumns, 0x38), small(100, 7);
    fp8.resize(kRows * kColumns + 4);
    float scale = 0.25f;
    std::memcpy(&fp8[kRows * kColumns], &scale, 4);
    std::vector<float> f32(700001, 0.02f);
    std::vector<uint8_t> fp4(1 << 20, 0x21);
    std::vector<uint8_t> nvfp4(kNvfp4Codes, 0x21);
    for (int64_t i = 0; i < kNvfp4Scales; ++i) // 0.5 and 1
      nvfp4.push_back(i % 3 ? 0x30 : 0x38);
    nvfp4.resize(nvfp4.size() + 4);
    std::memcpy(&nvfp4[nvfp4.size() - 4], &scale, 4);
    EntryDesc entry;
    entry.name = "main";
    entry.outputs = {port("y", "f32", 8)};
    entry.values = {
        value("y", "f32", 8, Storage::Output, 0),
        constant(b, "fp8", "!nq.scaled<f8E4M3FN, f32 per tensor>",
                 {kRows, kColumns}, fp8.data(), fp8.size()),
        constant(b, "small", "ui8", {100}, small.data(), 100),
        constant(b, "f32", "f32", {700001}, f32.data(), 2800004),
        constant(b, "fp4", "f4E2M1FN", {1 << 21}, fp4.data(), fp4.size()),
        constant(b, "odd", "si32", {1 << 18}, fp4.data(), fp4.size()),
        constant(b, "nvfp4", "!nq.nvfp4", {2048, 1024}, nvfp4.data(),
                 nvfp4.size())};
    entry.launches = {b.launch("add_one", {3, 0}, 8, "layer")};
    ASSERT_TRUE(b.writer().addEntry(entry).ok());
    Status finished = b.writer().finish();
    ASSERT_TRUE(finished.ok()) << finished.str();
  }

  ValueDesc constant(EngineBuilder &b, const std::string &name,
                     const std::string &dtype, std::vector<int64_t> shape,
                     const void *data, uint64_t size) {
    uint32_t index = *b.writer().addConstant(name, data, size);
    ValueDesc desc = value(name, dtype, 1, Storage::Constant, index);
    desc.shape = std::move(shape);
    return desc;
  }
  StripResult strip() {
    auto result = stripEngine(engine.path(), recipe.path(), seeded.path());
    EXPECT_TRUE(result.ok()) << result.status().str();
    return result.ok() ? *result : StripResult();
  }

  TempFile engine{"e.nbl"}, recipe{"e.recipe"}, seeded{"s.nbl"}, again{"a.nbl"};
};

TEST_F(Recipes, MakeTheSameEngineAgain) {
  StripResult result = strip();
  ASSERT_EQ(result.ranges.size(), 5u);
  EXPECT_EQ(result.strippedBytes, uint64_t(kRows * kColumns) + 2800004 +
                                      (1 << 20) + kNvfp4Codes + kNvfp4Scales);
  EXPECT_EQ(result.kept, std::vector<std::string>{"odd"});
  Status refilled = refillEngine(recipe.path(), again.path());
  ASSERT_TRUE(refilled.ok()) << refilled.str();
  std::string whole = readFile(seeded.path());
  EXPECT_EQ(readFile(again.path()), whole);
  EXPECT_EQ(whole.size(), readFile(engine.path()).size());
  EXPECT_LT(readFile(recipe.path()).size(), size_t(2) << 20);
}

TEST_F(Recipes, ChangeOnlyTheCodesAndKeepTheirSize) {
  strip();
  LoadOptions check;
  check.checkBlobs = true;
  auto before = *Engine::load(engine.path()),
       after = *Engine::load(seeded.path(), check);
  auto codes = static_cast<const uint8_t *>(after->constantData(0));
  double squares = 0;
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    double x = decode(StorageFormat::E4M3FN, codes[i]);
    ASSERT_TRUE(std::isfinite(x));
    squares += x * x;
  }
  EXPECT_NEAR(std::sqrt(squares / double(kRows * kColumns)), 1, 0.03);
  EXPECT_EQ(0,
            std::memcmp(codes + kRows * kColumns,
                        static_cast<const uint8_t *>(before->constantData(0)) +
                            kRows * kColumns,
                        4))
      << "the scale";
  for (uint32_t i : {1u, 4u})
    EXPECT_EQ(0, std::memcmp(after->constantData(i), before->constantData(i),
                             before->info().constants[i].size));
  EXPECT_NE(after->info().constants[2].hash, before->info().constants[2].hash);
}

TEST_F(Recipes, ScalesOfBlocksArePositiveAndOfTheSameSize) {
  strip();
  auto after = *Engine::load(seeded.path());
  auto scales =
      static_cast<const uint8_t *>(after->constantData(5)) + kNvfp4Codes;
  double squares = 0;
  for (int64_t i = 0; i < kNvfp4Scales; ++i) {
    double x = decode(StorageFormat::E4M3FN, scales[i]);
    ASSERT_GT(x, 0);
    squares += x * x;
  }
  EXPECT_NEAR(std::sqrt(squares / double(kNvfp4Scales)),
              std::sqrt((1 + 2 * 0.25) / 3), 0.02);
  float global;
  std::memcpy(&global, scales + kNvfp4Scales, 4);
  EXPECT_EQ(global, 0.25f);
}

TEST_F(Recipes, DamageIsRefusedAndLeavesNoFile) {
  strip();
  std::string good = readFile(recipe.path());
  // Headers, table, code, metadata.
  for (size_t at : {size_t(0), size_t(9), size_t(13), size_t(70), size_t(130),
                    size_t(5000), good.size() - 1}) {
    std::string damaged = good;
    damaged[at] = char(damaged[at] ^ 1);
    writeFile(recipe.path(), damaged);
    EXPECT_FALSE(refillEngine(recipe.path(), again.path()).ok()) << at;
    EXPECT_EQ(readFile(again.path()), "") << at;
  }
  for (size_t size : {size_t(0), size_t(1), size_t(64), size_t(127),
                      size_t(150), good.size() - 1}) {
    writeFile(recipe.path(), good.substr(0, size));
    EXPECT_FALSE(refillEngine(recipe.path(), again.path()).ok()) << size;
  }
}

} // namespace
