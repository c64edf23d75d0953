// Random contents of tensors, and flat JSON objects.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/flat_json.h"
#include "nibble/rt/generator.h"
#include "nibble/rt/random_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

using namespace nibble::rt;

namespace {

constexpr uint64_t kCount = 100003;

std::vector<uint8_t> make(StorageFormat format, const RandomCodes &codes,
                          uint64_t seed) {
  std::vector<uint8_t> data(formatBytes(format, kCount));
  codes.fill(seed, 0, kCount, data.data());
  return data;
}

class EveryFormat : public ::testing::TestWithParam<StorageFormat> {};

TEST_P(EveryFormat, NumbersAreFiniteAndOfTheirSize) {
  StorageFormat format = GetParam();
  double std = 0;
  ASSERT_TRUE(RandomCodes::getStd(format, std));
  auto data = make(format, RandomCodes::normal(format, std), 7);
  double squares = 0, most = 0;
  for (size_t i = 0; i < kCount; ++i) {
    double x = decode(format, loadCode(format, data.data(), i));
    ASSERT_TRUE(std::isfinite(x)) << i;
    squares += x * x;
    most = std::max(most, std::fabs(x));
  }
  EXPECT_NEAR(std::sqrt(squares / kCount) / std, 1, 0.15);
  EXPECT_GE(most, 2.9 * std) << "outliers, or the end of the range";
}

TEST_P(EveryFormat, PiecesAreTheWhole) {
  StorageFormat format = GetParam();
  RandomCodes codes = RandomCodes::normal(format, 1);
  auto whole = make(format, codes, 3), pieces = whole;
  std::fill(pieces.begin(), pieces.end(), uint8_t(0xee));
  for (uint64_t first = 0; first < kCount; first += 4096)
    codes.fill(3, first, std::min<uint64_t>(4096, kCount - first),
               pieces.data() + formatBytes(format, first));
  EXPECT_EQ(whole, pieces);
  EXPECT_NE(whole, make(format, codes, 4));
}

INSTANTIATE_TEST_SUITE_P(
    Formats, EveryFormat,
    ::testing::Values(StorageFormat::E4M3FN, StorageFormat::E5M2,
                      StorageFormat::E2M1, StorageFormat::F16,
                      StorageFormat::BF16, StorageFormat::F32,
                      StorageFormat::F64, StorageFormat::I8),
    [](auto &info) { return formatName(info.param); });

/// Against the definition in the header, and a constant: the bytes must never
/// change, or recipes of engines no longer fit.
TEST(RandomCodes, AreWhatTheHeaderDefines) {
  Generator normal = *parseGenerator("normal:seed=1");
  const int64_t shape[] = {1 << 16};
  Array numbers = *generate(normal, "f64", {shape, 1});
  auto data =
      make(StorageFormat::F16, RandomCodes::normal(StorageFormat::F16, 2), 5);
  for (uint64_t i = 0; i < 1000; ++i) {
    uint64_t j = splitMix64(5, i / 4) >> (16 * (i % 4)) & 0xffff;
    double x = 0;
    std::memcpy(&x, numbers.data.data() + 8 * j, 8);
    EXPECT_EQ(loadCode(StorageFormat::F16, data.data(), i),
              encode(StorageFormat::F16, 2 * x * (j % 512 ? 1 : 8)));
  }
  EXPECT_EQ(splitMix64(0, 0), 0xe220a8397b1dcdafull);
}

TEST(RandomCodes, UniformOnesAreInTheirRange) {
  auto data = make(StorageFormat::E4M3FN,
                   RandomCodes::uniform(StorageFormat::E4M3FN, 0.5, 1.5), 1);
  double sum = 0;
  for (size_t i = 0; i < kCount; ++i) {
    double x = decode(StorageFormat::E4M3FN, data[i]);
    ASSERT_TRUE(x >= 0.5 && x <= 1.5) << x;
    sum += x;
  }
  EXPECT_NEAR(sum / kCount, 1, 0.01);
}

TEST(FlatJson, ReadsTextsAndNumbers) {
  auto json =
      FlatJson::parse(" {\"a\": \"x \\\"y\\\"\", \"b\":-1.5e2,\"c\" : true , "
                      "\"d\":null}\n");
  ASSERT_TRUE(json.ok()) << json.status().str();
  EXPECT_EQ(*json->text("a"), "x \"y\"");
  EXPECT_EQ(*json->number("b"), -150);
  EXPECT_EQ(json->text("b"), nullptr);
  EXPECT_EQ(json->number("a"), nullptr);
  EXPECT_EQ(json->number("c"), nullptr);
  EXPECT_EQ(json->text("e"), nullptr);
  EXPECT_TRUE(FlatJson::parse("{}").ok());
}

TEST(FlatJson, RefusesEverythingElse) {
  for (const char *text :
       {"", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1} x",
        "{\"a\":[1]}", "{\"a\":{}}", "{\"a\":\"x}", "{\"a\":\"\\n\"}", "{a:1}",
        "{\"a\":1 \"b\":2}", "{\"a\":nan1}"})
    EXPECT_FALSE(FlatJson::parse(text).ok()) << text;
  EXPECT_NE(FlatJson::parse("{\"a\":[1]}").status().str().find("character 6"),
            std::string::npos)
      << FlatJson::parse("{\"a\":[1]}").status().str();
}

} // namespace
