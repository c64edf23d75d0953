// Schedules of products: text, limits, and where K is split.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include <gtest/gtest.h>

using namespace nibble;

namespace {

constexpr int64_t kMultiprocessors = 132;

GemmShape shapeOf(int64_t m, int64_t n, int64_t k, int64_t bits = 16) {
  GemmShape shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.operandBits = bits;
  return shape;
}

std::string whyNot(const char *text, const GemmShape &shape) {
  auto schedule = GemmSchedule::parse(text);
  return schedule ? whyNotSchedule(*schedule, shape, kSm90SharedBytes) : text;
}

TEST(GemmSchedule, TextIsParsedAsItIsWritten) {
  for (const char *text :
       {"128x256 s4 c1x1 m4 w2 p2", "t 64x72 s3 c2x1 n2 w2 p1 pp",
        "t 128x64 s8 c1x1 m4 w2 p2 k4", "64x40 s2 c1x2 m1 w1 p2 k3"}) {
    auto schedule = GemmSchedule::parse(text);
    ASSERT_TRUE(schedule) << text;
    EXPECT_EQ(schedule->str(), text);
  }
  for (const char *text :
       {"128x64 s4 c1x1 m4 w2 p2 k1", "128x64 s4 c1x1 m4 w2 p2 k",
        "128x64 s4 c1x1 m4 w2 p2 k2 pp", "128x64 s4 c1x1 m4 w2 p2 4"})
    EXPECT_FALSE(GemmSchedule::parse(text)) << text;
}

TEST(GemmSchedule, LimitsOfSplits) {
  GemmShape shape = shapeOf(128, 2048, 512);
  EXPECT_EQ(whyNot("t 128x64 s4 c1x1 m4 w2 p2 k8", shape), "");
  EXPECT_EQ(whyNot("t 128x64 s4 c2x1 m4 w2 p2 k8", shape),
            "16 blocks in a cluster; 8 is the most");
  shape.k = 256;
  EXPECT_EQ(whyNot("t 128x64 s4 c1x1 m4 w2 p2 k8", shape),
            "4 blocks of K for 8 slices");
  // Sums that arrive take shared memory.
  shape.k = 8192;
  EXPECT_EQ(whyNot("t 128x128 s6 c1x1 m4 w2 p2", shape), "");
  EXPECT_NE(whyNot("t 128x128 s6 c1x1 m4 w2 p2 k4", shape), "");
  EXPECT_EQ(whyNot("t 128x128 s4 c1x1 m4 w2 p2 k4", shape), "");
}

TEST(GemmSchedule, PartsOfTheColumns) {
  GemmSchedule schedule;
  for (auto [tileN, splits, part] : {std::make_tuple(64, 1, 64),
                                     {64, 4, 16},
                                     {40, 3, 16},
                                     {16, 5, 8},
                                     {248, 8, 32}}) {
    schedule.tileN = tileN;
    schedule.splits = splits;
    EXPECT_EQ(schedule.getPartN(), part);
  }
}

/// Splits of the candidates, best first.
llvm::SmallVector<int64_t> getSplits(const GemmShape &shape) {
  llvm::SmallVector<int64_t> splits;
  for (const GemmSchedule &schedule :
       getCandidates(shape, kSm90SharedBytes, kMultiprocessors)) {
    splits.push_back(schedule.splits);
    EXPECT_EQ(whyNotSchedule(schedule, shape, kSm90SharedBytes), "");
  }
  return splits;
}

TEST(GemmSchedule, SplitsWhereTilesAreFewAndKIsLong) {
  GemmShape few = shapeOf(128, 2048, 16384);
  EXPECT_GT(getSplits(few).front(), 1);
  few.operandBits = 8;
  EXPECT_GT(getSplits(few).front(), 1);
  // One wave of tiles, or stages that make no slices.
  for (auto shape : {shapeOf(2048, 8192, 16384), shapeOf(128, 2048, 192)})
    for (int64_t splits : getSplits(shape))
      EXPECT_EQ(splits, 1);
}

TEST(GemmSchedule, SplitsAreEstimatedFaster) {
  GemmShape shape = shapeOf(128, 2048, 16384);
  GemmSchedule one = *GemmSchedule::parse("t 128x128 s4 c1x1 m4 w2 p2");
  GemmSchedule four = one;
  four.splits = 4;
  double before = estimateSeconds(one, shape, kMultiprocessors),
         after = estimateSeconds(four, shape, kMultiprocessors);
  EXPECT_LT(after, before / 2);
  EXPECT_GT(after, before / 4);
}

} // namespace
