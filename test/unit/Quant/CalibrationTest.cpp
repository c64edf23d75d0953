// Calibration: methods, histograms against sorted data, sample folders.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/Calibration.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

using namespace nibble;

TEST(CalibrationMethod, ParsesAndPrints) {
  EXPECT_EQ(llvm::cantFail(CalibrationMethod::parse("max")).percentile, 100);
  auto method = llvm::cantFail(CalibrationMethod::parse("percentile:99.9"));
  EXPECT_DOUBLE_EQ(method.percentile, 99.9);
  EXPECT_TRUE(llvm::StringRef(method.str()).starts_with("percentile:99.9"));
  for (const char *text :
       {"", "mean", "percentile", "percentile:", "percentile:0",
        "percentile:100.1", "percentile:nan"}) {
    auto parsed = CalibrationMethod::parse(text);
    EXPECT_FALSE(parsed) << text;
    llvm::consumeError(parsed.takeError());
  }
}

/// Percentiles lie at or above the exact order statistic, by less than 2^-10.
TEST(MagnitudeHistogram, PercentilesAreOrderStatistics) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> data;
  MagnitudeHistogram histogram(/*countBins=*/true);
  for (int part = 0; part < 5; ++part) {
    std::vector<float> piece(10007);
    for (float &x : piece)
      x = std::fabs(normal(random)) * std::ldexp(1.0f, part * 3 - 6);
    histogram.add(piece.data(), piece.size());
    data.insert(data.end(), piece.begin(), piece.end());
  }
  std::sort(data.begin(), data.end());
  EXPECT_EQ(histogram.getCount(), data.size());
  EXPECT_EQ(histogram.getMax(), data.back());
  EXPECT_EQ(histogram.getPercentile(100), data.back());
  for (double p : {0.1, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999}) {
    float want = data[size_t(std::ceil(p / 100 * data.size())) - 1];
    float got = histogram.getPercentile(p);
    EXPECT_GE(got, want) << p;
    EXPECT_LE(got, want * (1 + 0x1p-10f)) << p;
    EXPECT_LE(got, data.back()) << p;
  }
}

TEST(MagnitudeHistogram, ZerosStayZero) {
  MagnitudeHistogram histogram(true);
  std::vector<float> data(1000, 0.0f);
  data[3] = 2.5f;
  histogram.add(data.data(), data.size());
  EXPECT_EQ(histogram.getPercentile(99), 0.0f);
  EXPECT_EQ(histogram.getPercentile(99.95), 2.5f);
}

TEST(MagnitudeHistogram, RemembersNonFiniteNumbers) {
  for (float bad : {float(INFINITY), float(NAN), -float(NAN)}) {
    MagnitudeHistogram histogram(false);
    float data[] = {1, bad, 3};
    histogram.add(data, 1);
    EXPECT_FALSE(histogram.sawNonFinite());
    histogram.add(data, 3);
    EXPECT_TRUE(histogram.sawNonFinite());
    EXPECT_EQ(histogram.getMax(), 3.0f);
  }
}

namespace {
/// A folder of empty files that vanishes with the test.
class SampleFolder : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("samples", root));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(root); }

  void add(llvm::StringRef name) {
    llvm::SmallString<128> path(root);
    llvm::sys::path::append(path, name);
    ASSERT_FALSE(
        llvm::sys::fs::create_directories(llvm::sys::path::parent_path(path)));
    std::error_code error;
    llvm::raw_fd_ostream(path, error) << "";
    ASSERT_FALSE(error);
  }
  llvm::Expected<std::vector<CalibrationSample>>
  find(std::vector<std::string> inputs) {
    return findSamples(root, inputs);
  }
  std::string findError(std::vector<std::string> inputs) {
    auto found = find(inputs);
    return found ? "no error" : llvm::toString(found.takeError());
  }
  llvm::SmallString<128> root;
};
} // namespace

static bool contains(const std::string &text, llvm::StringRef part) {
  return llvm::StringRef(text).contains(part);
}

TEST_F(SampleFolder, OneFolderPerSample) {
  for (const char *name :
       {"b/mask.npy", "b/in_x.npy", "a/in_x.npy", "a/mask.npy", "a/readme.txt"})
    add(name);
  auto samples = llvm::cantFail(find({"in/x", "mask"}));
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].name, "a");
  EXPECT_TRUE(contains(samples[1].files[0], "b/in_x.npy"));
  EXPECT_TRUE(contains(samples[1].files[1], "b/mask.npy"));
}

TEST_F(SampleFolder, SamplesInTheNamesOfFiles) {
  for (const char *name : {"x.0.npy", "x.1.npy", "x.y.0.npy", "x.y.1.npy"})
    add(name);
  auto samples = llvm::cantFail(find({"x", "x.y"}));
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[1].name, "1");
  EXPECT_TRUE(contains(samples[1].files[0], "x.1.npy"));
  EXPECT_TRUE(contains(samples[1].files[1], "x.y.1.npy"));
}

TEST_F(SampleFolder, OneSampleWithoutAName) {
  add("x.npy");
  EXPECT_EQ(llvm::cantFail(find({"x"})).size(), 1u);
}

TEST_F(SampleFolder, RefusesNothing) {
  EXPECT_TRUE(contains(findError({"x"}), "no samples in"));
  EXPECT_TRUE(contains(findError({}), "no inputs to calibrate with"));
  root += "/absent";
  EXPECT_TRUE(contains(findError({"x"}), "cannot read folder"));
}

TEST_F(SampleFolder, RefusesMissingAndUnknownInputs) {
  add("a/x.npy");
  add("a/mask.npy");
  add("b/x.npy");
  EXPECT_TRUE(contains(findError({"x", "mask"}), "sample 'b'"));
  EXPECT_TRUE(contains(findError({"x", "mask"}), "input 'mask' (mask.npy)"));
  EXPECT_TRUE(contains(findError({"x"}),
                       "mask.npy' belongs to no input of the model; its "
                       "inputs are x"));
  add("x.npy");
  EXPECT_TRUE(contains(findError({"x"}), "both folders and .npy files"));
}
