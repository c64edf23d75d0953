// Metrics, tolerances, generators, statistics, JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/compare.h"
#include "nibble/rt/bench.h"
#include "nibble/rt/generator.h"
#include "nibble/rt/json_writer.h"
#include "nibble/rt/options.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

using namespace nibble::rt;

namespace {

Metrics compare(std::vector<double> a, std::vector<double> e) {
  Comparison c;
  c.add(a.data(), e.data(), a.size());
  return c.metrics();
}

Status verdict(const char *tolerance, std::vector<double> a,
               std::vector<double> e) {
  Comparison c(*parseTolerance(tolerance));
  c.add(a.data(), e.data(), a.size());
  return c.verdict();
}

TEST(Compare, ComputesTheMetrics) {
  Metrics m = compare({3, 4.5}, {3, 4});
  EXPECT_EQ(m.maxAbs, 0.5);
  EXPECT_EQ(m.maxRel, 0.125);
  EXPECT_DOUBLE_EQ(m.frobenius, 0.1);
  EXPECT_DOUBLE_EQ(m.sqnr, 20);
  EXPECT_DOUBLE_EQ(m.cosine, 27 / (5 * std::sqrt(29.25)));
  EXPECT_EQ(m.worst, 1u);
}

TEST(Compare, TreatsZerosAndNonFiniteNumbers) {
  EXPECT_EQ(compare({0, 0}, {0, 0}).cosine, 1);
  EXPECT_EQ(compare({0, 0}, {0, 1}).cosine, 0);
  EXPECT_TRUE(std::isinf(compare({1}, {1}).sqnr));
  double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(compare({nan, inf, 1}, {nan, inf, 1}).nonFinite, 0u);
  EXPECT_EQ(compare({nan, inf, -inf}, {1, -inf, nan}).nonFinite, 3u);
  EXPECT_FALSE(verdict("cos=0.5", {nan, 1}, {1, 1}).ok());
  EXPECT_TRUE(verdict("exact", {nan, inf}, {nan, inf}).ok());
}

TEST(Compare, EveryLimitCanFail) {
  EXPECT_TRUE(verdict("rtol=0.1,atol=0.01", {1.05, 0.01}, {1, 0}).ok());
  EXPECT_FALSE(verdict("rtol=0.1", {1.2}, {1}).ok());
  EXPECT_FALSE(verdict("atol=0.1", {1.2}, {1}).ok());
  EXPECT_FALSE(verdict("cos=0.9", {1, 0}, {0, 1}).ok());
  EXPECT_FALSE(verdict("fro=0.1", {1.2}, {1}).ok());
  EXPECT_FALSE(verdict("sqnr=20", {1.2}, {1}).ok());
  EXPECT_TRUE(verdict("sqnr=10,fro=0.3", {1.2}, {1}).ok());
  Status exact = verdict("exact", {1, 2.5, 3}, {1, 2, 3});
  EXPECT_EQ(exact.code(), Code::Mismatch);
  EXPECT_NE(exact.str().find("element 1: found 2.5, wanted 2"),
            std::string::npos)
      << exact.str();
}

TEST(Compare, RefusesUnknownTolerances) {
  for (const char *text : {"", "x", "rtol", "rtol=", "rtol=x", "rtol=1,rtol=2",
                           "cosine=1", "rtol=nan", "rtol=1e-4 "})
    EXPECT_FALSE(parseTolerance(text).ok()) << text;
}

Array make(const char *text, const char *dtype, std::vector<int64_t> shape) {
  auto generator = parseGenerator(text);
  EXPECT_TRUE(generator.ok()) << generator.status().str();
  auto array = generate(*generator, dtype, shape);
  EXPECT_TRUE(array.ok()) << array.status().str();
  return *array;
}

std::vector<double> numbers(const Array &a) {
  return *toDoubles(a.dtype, a.shape, a.data.data(), a.data.size());
}

TEST(Generator, GivesTheDocumentedBits) {
  // From the definition in generator.h, evaluated independently with Python.
  std::vector<double> u = numbers(make("uniform:seed=1", "f64", {3}));
  EXPECT_EQ(u[0], 0.5665615751722809);
  EXPECT_EQ(u[1], 0.7457817572627011);
  EXPECT_EQ(u[2], 0.9710027535867962);
  std::vector<double> n = numbers(make("normal:seed=1", "f64", {5}));
  EXPECT_NEAR(n[0], -0.028249746095854695, 1e-14);
  EXPECT_NEAR(n[1], -0.2279195228676347, 1e-14);
  EXPECT_NEAR(n[2], 0.10309095168573973, 1e-14);
  EXPECT_NEAR(n[3], -0.5062040745113184, 1e-14);
  EXPECT_NEAR(n[4], 0.4321432408200082, 1e-14);
}

TEST(Generator, NormalHasItsMoments) {
  std::vector<double> x =
      numbers(make("normal:seed=7,mean=2,std=3", "f32", {100000}));
  double mean = 0, variance = 0;
  for (double v : x)
    mean += v / x.size();
  for (double v : x)
    variance += (v - mean) * (v - mean) / x.size();
  EXPECT_NEAR(mean, 2, 0.05);
  EXPECT_NEAR(std::sqrt(variance), 3, 0.05);
}

TEST(Generator, OutliersAreWholeChannels) {
  const int64_t rows = 200, channels = 1000;
  std::vector<double> x =
      numbers(make("outliers:seed=1", "f32", {rows, channels}));
  int outliers = 0;
  for (int64_t c = 0; c < channels; ++c) {
    double square = 0;
    for (int64_t r = 0; r < rows; ++r)
      square += x[r * channels + c] * x[r * channels + c] / rows;
    double scale = std::sqrt(square);
    EXPECT_TRUE(scale < 2 || (scale > 20 && scale < 130)) << c;
    outliers += scale > 20;
  }
  EXPECT_GE(outliers, 3);
  EXPECT_LE(outliers, 25);
  // At least one, however few channels there are.
  double largest = 0;
  for (double v : numbers(make("outliers:seed=1", "f32", {100, 2})))
    largest = std::max(largest, std::fabs(v));
  EXPECT_GT(largest, 20);
}

TEST(Generator, MakesIntegersInRange) {
  std::vector<double> ids =
      numbers(make("uniform:seed=1,low=5,high=9", "si64", {1000}));
  std::vector<int> seen(9);
  for (double id : ids) {
    ASSERT_TRUE(id >= 5 && id < 9 && id == std::floor(id)) << id;
    ++seen[int(id)];
  }
  for (int id = 5; id < 9; ++id)
    EXPECT_GT(seen[id], 150);
  EXPECT_EQ(numbers(make("ones", "si64", {2})), (std::vector<double>{1, 1}));
  EXPECT_EQ(numbers(make("zeros", "f4E2M1FN", {3})),
            (std::vector<double>{0, 0, 0}));
}

TEST(Generator, RefusesWhatItCannotMake) {
  for (const char *text :
       {"", "gauss", "normal:seed=x", "normal:low=1", "zeros:seed=1",
        "uniform:low=2,high=1", "normal:seed", "normal:std=inf"})
    EXPECT_FALSE(parseGenerator(text).ok()) << text;
  std::vector<int64_t> shape = {2};
  EXPECT_FALSE(generate(*parseGenerator("normal"), "si64", shape).ok());
  EXPECT_FALSE(generate(*parseGenerator("uniform"), "si64", shape).ok());
  EXPECT_FALSE(generate(*parseGenerator("normal"), "!nq.nvfp4", shape).ok());
}

TEST(Options, ParseDurationsAndNumbers) {
  EXPECT_DOUBLE_EQ(*parseDuration("200ms"), 0.2);
  EXPECT_DOUBLE_EQ(*parseDuration("1.5"), 1.5);
  EXPECT_DOUBLE_EQ(*parseDuration("2m"), 120);
  EXPECT_FALSE(parseDuration("3 s").ok());
  EXPECT_FALSE(parseDuration("").ok());
  EXPECT_FALSE(parseCount("18446744073709551616").ok());
  EXPECT_EQ(*parseCount("18446744073709551615"), ~0ull);
  EXPECT_EQ(parseNumbers("50,90,99.9")->size(), 3u);
}

TEST(Statistics, MatchNumpy) {
  Statistics s = statistics({4, 1, 3, 2}, {50, 90, 100});
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.max, 4);
  EXPECT_EQ(s.mean, 2.5);
  EXPECT_EQ(s.median, 2.5);
  EXPECT_DOUBLE_EQ(s.percentiles[1].second, 3.7);
  EXPECT_DOUBLE_EQ(s.cov, std::sqrt(1.25) / 2.5);
  EXPECT_EQ(statistics({}, {50}).count, 0u);
}

TEST(Json, EscapesAndReadsBack) {
  JsonWriter json;
  json.beginObject().field("a\"\n\x01", "\xff\xc3\xa9\\");
  json.field("n", 0.1).field("inf", INFINITY).field("i", int64_t(-5));
  json.key("list").beginArray().value(1).value(true).null().endArray();
  json.key("empty").beginArray().endArray().endObject();
  auto parsed = nlohmann::json::parse(json.str());
  EXPECT_EQ(parsed["a\"\n\x01"], "\xef\xbf\xbd\xc3\xa9\\");
  EXPECT_EQ(parsed["n"], 0.1);
  EXPECT_TRUE(parsed["inf"].is_null());
  EXPECT_EQ(parsed["list"].size(), 3u);
}

} // namespace
