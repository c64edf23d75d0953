// The rule for statistics of rows against what was measured.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/RowStatistics.h"

#include "gtest/gtest.h"

using namespace nibble;

namespace {

struct Measured {
  int64_t columns, rows;
  double without, with; ///< microseconds of a launch on an H100, bf16, rms
};

const Measured kMeasured[] = {
    {1024, 1, 1.43, 1.01},     {1024, 8, 1.48, 1.04},
    {1024, 32, 1.50, 1.08},    {1024, 66, 1.58, 1.16},
    {1024, 132, 1.63, 1.19},   {1024, 264, 1.73, 1.29},
    {1024, 970, 2.18, 1.69},   {2048, 1, 1.47, 1.01},
    {2048, 8, 1.50, 1.06},     {2048, 32, 1.55, 1.16},
    {2048, 66, 1.64, 1.22},    {2048, 132, 1.72, 1.31},
    {2048, 264, 1.89, 1.49},   {2048, 970, 2.70, 2.26},
    {4096, 1, 1.58, 1.16},     {4096, 8, 1.64, 1.23},
    {4096, 32, 1.69, 1.39},    {4096, 66, 1.80, 1.45},
    {4096, 132, 1.93, 1.62},   {4096, 264, 2.28, 2.09},
    {4096, 970, 4.45, 4.49},   {8192, 1, 1.87, 1.38},
    {8192, 8, 1.99, 1.51},     {8192, 32, 2.11, 1.65},
    {8192, 66, 2.17, 1.87},    {8192, 132, 2.44, 2.52},
    {8192, 264, 3.10, 3.88},   {8192, 970, 9.10, 11.03},
    {16384, 1, 2.25, 1.94},    {16384, 8, 2.48, 2.07},
    {16384, 32, 2.71, 2.44},   {16384, 66, 2.85, 3.56},
    {16384, 132, 3.41, 6.30},  {16384, 264, 4.63, 11.21},
    {16384, 970, 20.16, 43.19}};

StatisticsVerdict judge(llvm::StringRef target, int64_t rows, int64_t columns,
                        int64_t parts = 1) {
  return judgeStatistics(*getMachine(target),
                         {rows, columns, 2, kStatisticsTile, parts});
}

/// Never taken where it was slower, taken where it gained a quarter of a
/// microsecond and there is time left for making the sums.
TEST(RowStatistics, AgreesWithMeasurements) {
  int taken = 0;
  for (const Measured &m : kMeasured) {
    bool pays = judge("sm_90a", m.rows, m.columns).pays;
    taken += pays;
    EXPECT_TRUE(!pays || m.without - m.with >= 0.25)
        << m.rows << " rows of " << m.columns;
    if (m.rows <= 32 && m.columns <= 8192) {
      EXPECT_TRUE(pays) << m.rows << " rows of " << m.columns;
    }
  }
  EXPECT_GE(taken, 18);
}

TEST(RowStatistics, DecodesWithThemAndPrefillsWithout) {
  for (const char *target : {"sm_90a", "sm_100a", "sm_110a"}) {
    EXPECT_TRUE(judge(target, 1, 2048).pays) << target;
    EXPECT_TRUE(judge(target, 51, 1024).pays) << target;
    EXPECT_FALSE(judge(target, 970, 8192).pays) << target;
  }
  EXPECT_FALSE(judge("sm_110a", 970, 2048).pays);
  // Sums of squares about the mean of a tile are twice as much.
  EXPECT_GT(judge("sm_110a", 256, 1152, 2).cost,
            1.9 * judge("sm_110a", 256, 1152, 1).cost);
}

/// Rows that no block holds are read twice without statistics.
TEST(RowStatistics, LongRowsSaveAPass) {
  StatisticsVerdict held = judge("sm_90a", 1, 65536),
                    longer = judge("sm_90a", 1, 65664);
  EXPECT_NEAR(longer.saved - held.saved, 65664 * 2 / 2.99e12, 1e-12);
  EXPECT_NE(longer.reason.find("read twice"), std::string::npos);
}

TEST(RowStatistics, NeverOnTheCpu) {
  for (int64_t rows : {1, 970}) {
    StatisticsVerdict verdict = judge("cpu", rows, 2048);
    EXPECT_FALSE(verdict.pays);
    EXPECT_NE(verdict.reason.find("in its cache"), std::string::npos);
  }
}

} // namespace
