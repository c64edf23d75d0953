// Which chains of conversions merge: never one that changes a value, and none
// is kept without a value that it changes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/CastChain.h"
#include "Random.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace nibble;
using namespace nibble::test;
using rt::StorageFormat;
using Result = CastMerger::Result;

namespace {

const StorageFormat formats[] = {StorageFormat::F64,  StorageFormat::F32,
                                 StorageFormat::F16,  StorageFormat::BF16,
                                 StorageFormat::E5M2, StorageFormat::E4M3FN,
                                 StorageFormat::E2M1, StorageFormat::E8M0};

std::vector<CastStep> stepsTo(StorageFormat to) {
  std::vector<CastStep> steps;
  for (auto overflow : {rt::Overflow::Saturate, rt::Overflow::NonFinite})
    for (auto round :
         {rt::E8M0Round::Up, rt::E8M0Round::Down, rt::E8M0Round::Nearest})
      if (to == StorageFormat::E8M0 || round == rt::E8M0Round::Up)
        steps.push_back({to, overflow, round});
  return steps;
}

std::vector<double> allValues(StorageFormat format) {
  std::vector<double> values;
  for (uint64_t code = 0; code < uint64_t(1) << rt::formatBits(format); ++code)
    values.push_back(rt::decode(format, code));
  return values;
}

/// Numbers of a wide format near what narrower formats round at: codes, their
/// midpoints, and neighbors of both; then any others.
std::vector<double> criticalValues(StorageFormat format) {
  std::vector<double> values;
  auto add = [&](double x) {
    values.push_back(rt::roundTo(format, x));
    values.push_back(rt::roundTo(format, -x));
  };
  for (StorageFormat narrow : formats) {
    if (rt::formatBits(narrow) > 16)
      continue;
    uint64_t codes = uint64_t(1) << rt::formatBits(narrow);
    uint64_t stride = codes > 256 ? 37 : 1;
    for (uint64_t code = 0; code + 1 < codes; code += stride) {
      double a = rt::decode(narrow, code), b = rt::decode(narrow, code + 1);
      for (double x : {a, (a + b) / 2})
        for (int ulp : {-29, -23, -20, -10, 0, 10, 20, 23, 29})
          add(ulp ? x * (1 + std::copysign(std::ldexp(1.0, -std::abs(ulp) - 1),
                                           ulp))
                  : x);
    }
  }
  Random random(7);
  for (int i = 0; i < 20000; ++i)
    add(std::ldexp(1 + random.uniform(), random.between(-160, 130)));
  return values;
}

bool agree(const std::vector<double> &values, CastStep inner, CastStep outer,
           Result result) {
  for (double x : values) {
    double chain = outer.apply(inner.apply(x));
    double merged = result == Result::Identity ? x
                    : result == Result::Inner  ? inner.apply(x)
                                               : outer.apply(x);
    if (!isSameNumber(chain, merged))
      return false;
  }
  return true;
}

/// Formats of at most 16 bits: all values. Wider ones: critical values.
TEST(CastChain, MergesWhatIsEqualAndNothingElse) {
  CastMerger merger;
  unsigned merged = 0, kept = 0;
  for (StorageFormat from : formats) {
    bool narrow = rt::formatBits(from) <= 16;
    std::vector<double> values =
        narrow ? allValues(from) : criticalValues(from);
    for (StorageFormat middle : formats)
      for (StorageFormat to : formats)
        for (CastStep inner : stepsTo(middle))
          for (CastStep outer : stepsTo(to)) {
            Result result = merger.merge(from, inner, outer);
            std::string chain = std::string(rt::formatName(from)) + " -> " +
                                rt::formatName(middle) + " -> " +
                                rt::formatName(to);
            if (result != Result::Keep) {
              ++merged;
              EXPECT_TRUE(agree(values, inner, outer, result)) << chain;
            } else {
              ++kept;
              EXPECT_FALSE(agree(values, inner, outer, Result::Direct))
                  << chain << " is kept, but no value changes";
            }
          }
  }
  EXPECT_GT(merged, 300u);
  EXPECT_GT(kept, 300u);
}

/// The table that formats of more than 16 bits rely on.
TEST(CastChain, WideningTableHoldsForAllCodes) {
  for (StorageFormat from : formats) {
    if (rt::formatBits(from) > 16)
      continue;
    for (StorageFormat to : formats) {
      bool exact = true;
      for (double x : allValues(from))
        exact &=
            isSameNumber(x, CastStep{to, rt::Overflow::NonFinite}.apply(x));
      EXPECT_EQ(isExactWidening(from, to), exact)
          << rt::formatName(from) << " to " << rt::formatName(to);
    }
  }
  EXPECT_TRUE(isExactWidening(StorageFormat::F32, StorageFormat::F64));
  EXPECT_FALSE(isExactWidening(StorageFormat::F64, StorageFormat::F32));
}

TEST(CastChain, WellKnownChains) {
  CastMerger merger;
  auto merge = [&](StorageFormat from, StorageFormat middle, StorageFormat to) {
    return merger.merge(from, {middle}, {to});
  };
  using F = StorageFormat;
  EXPECT_EQ(merge(F::F16, F::F32, F::F16), Result::Identity);
  EXPECT_EQ(merge(F::E4M3FN, F::BF16, F::E4M3FN), Result::Identity);
  EXPECT_EQ(merge(F::F16, F::F32, F::E4M3FN), Result::Direct);
  EXPECT_EQ(merge(F::F32, F::F16, F::E4M3FN), Result::Keep);
  EXPECT_EQ(merge(F::F32, F::BF16, F::F32), Result::Keep);
  EXPECT_EQ(merge(F::F64, F::F32, F::F16), Result::Keep);
  // The saturating cast back makes infinities finite.
  EXPECT_EQ(merge(F::E5M2, F::F32, F::E5M2), Result::Direct);
}

} // namespace
