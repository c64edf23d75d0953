// bench --candidates on the emulated device: results that differ are found,
// rows and tables say what was measured.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CandidateCompare.h"
#include "TestEngine.h"
#include "nibble/rt/cli.h"
#include "nibble/rt/formats.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <sstream>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

constexpr int64_t kSize = 300;

std::string key(const std::string &kernel = "gemm.test") {
  return R"({"k": 3, "kernel": ")" + kernel +
         R"(", "m": 4, "n": 5, "products": 2, "result_bytes": 4})";
}

class Candidates : public ::testing::Test {
protected:
  void SetUp() override {
    options.engine = file.path();
    options.device = "emu";
    options.json = true;
    options.candidates.enabled = true;
    options.candidates.rounds = 3;
    options.candidates.pause = options.candidates.hot = 1e-4;
  }

  /// An entry point with inputs x and w, output y.
  void add(const std::string &name, const std::string &symbol,
           std::vector<uint32_t> args, int64_t extent = kSize,
           const std::string &op = key(), const std::string &slices = "") {
    EntryDesc entry;
    entry.name = name;
    entry.inputs = {port("x", "f32", kSize), port("w", "f32", kSize)};
    entry.outputs = {port("y", "f32", kSize)};
    entry.values = {value("x", "f32", kSize, Storage::Input, 0),
                    value("w", "f32", kSize, Storage::Input, 1),
                    value("y", "f32", kSize, Storage::Output, 0)};
    entry.launches = {builder.launch(symbol, std::move(args), extent,
                                     "schedule of " + name + slices)};
    entry.launches[0].op = op;
    ASSERT_TRUE(builder.writer().addEntry(entry).ok());
  }
  int run() {
    Status finished = builder.writer().finish();
    EXPECT_TRUE(finished.ok()) << finished.str();
    return cli::bench(options, {data, talk});
  }
  nlohmann::json group(size_t i = 0) {
    return nlohmann::json::parse(data.str())["groups"][i];
  }

  TempFile file{"candidates.nbl"}, rows{"rows.jsonl"};
  EngineBuilder builder{file.path(), "sm_90a"};
  cli::BenchOptions options;
  std::ostringstream data, talk;
};

TEST_F(Candidates, EqualResultsAreRight) {
  add("a/0", "multiply", {0, 1, 2});
  add("b/0", "add_one", {0, 2}, kSize, key("gemm.other"));
  add("a/1", "multiply", {1, 0, 2});
  options.candidates.rows = rows.path();
  ASSERT_EQ(run(), 0) << data.str() << talk.str();
  auto a = group();
  EXPECT_EQ(a["group"], "a");
  EXPECT_EQ(a["flops"], 2.0 * 3 * 4 * 5 * 2);
  ASSERT_EQ(a["candidates"].size(), 2u);
  for (auto &candidate : a["candidates"]) {
    EXPECT_EQ(candidate["right"], true);
    EXPECT_EQ(candidate["rounds"], 3);
    EXPECT_GT(candidate["us_cool"]["median"], 0.0);
    EXPECT_GT(candidate["us_hot"]["median"], 0.0);
  }
  EXPECT_LE(a["candidates"][0]["us"], a["candidates"][1]["us"]);
  EXPECT_NE(talk.str().find("say nothing about a GPU"), std::string::npos);

  std::istringstream lines(readFile(rows.path()));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  auto row = nlohmann::json::parse(line);
  EXPECT_EQ(row["kernel"], "gemm.test");
  EXPECT_EQ(row["n"], 5);
  EXPECT_EQ(row["schedule"], a["candidates"][0]["schedule"]);
  EXPECT_EQ(row["device"], "emu: Nibble emulated H100");
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(nlohmann::json::parse(line)["kernel"], "gemm.other");
  EXPECT_FALSE(std::getline(lines, line)) << "one row per group";
}

TEST_F(Candidates, TheOneWithOtherResultsIsWrong) {
  add("a/0", "multiply", {1, 1, 2});
  add("a/1", "multiply", {0, 1, 2});
  add("a/2", "multiply", {1, 0, 2});
  EXPECT_EQ(run(), 1) << talk.str();
  auto found = group()["candidates"];
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[2]["entry"], "a/0") << "the minority, ranked last";
  EXPECT_EQ(found[2]["right"], false);
  std::string wrong = found[2]["wrong"];
  EXPECT_NE(wrong.find("first inputs: other results than a/1; output 0: "),
            std::string::npos)
      << wrong;
  EXPECT_EQ(found[0]["right"], true);
}

/// Sums of other slices of K are rounded otherwise.
TEST_F(Candidates, SlicesAreComparedByNumbers) {
  add("a/0", "multiply", {0, 1, 2});
  add("a/1", "multiply", {1, 0, 2});
  add("a/2", "multiply", {1, 0, 2}, kSize, key(), " k2");
  add("a/3", "multiply", {1, 1, 2}, kSize, key(), " k4");
  EXPECT_EQ(run(), 1) << talk.str();
  for (auto &candidate : group()["candidates"]) {
    EXPECT_EQ(candidate["right"], candidate["entry"] != "a/3");
    if (candidate["entry"] != "a/3")
      continue;
    std::string wrong = candidate["wrong"];
    EXPECT_NE(wrong.find("output 0 is not close to that of a/0"),
              std::string::npos)
        << wrong;
  }
}

TEST(CandidateCompare, SlicesOfASchedule) {
  EXPECT_EQ(cli::getSlices("t 128x64 s8 c1x1 m4 w2 p2 k4"), "4");
  EXPECT_EQ(cli::getSlices("128x64 s8 c1x1 m4 w2 p2 late k12"), "12");
  for (const char *schedule : {"128x64 s8 c1x1 m4 w2 p2", "", " k", "a key"})
    EXPECT_EQ(cli::getSlices(schedule), "");
}

TEST(CandidateCompare, RoundingIsCloseAndNothingElse) {
  const int64_t shape[] = {2, 4};
  PortInfo port;
  port.dtype = "f16";
  port.shape = {shape, 2};
  auto bytes = [](std::vector<double> numbers) {
    std::vector<uint8_t> codes(2 * numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i)
      storeCode(StorageFormat::F16, codes.data(), i,
                encode(StorageFormat::F16, float(numbers[i])));
    return codes;
  };
  auto wanted = bytes({1, -2, 0.5, 0, 8, -0.25, 3, 1});
  EXPECT_EQ(cli::whyNotClose(port, wanted, wanted), "");
  EXPECT_EQ(cli::whyNotClose(port,
                             bytes({1.001, -2.002, 0.5, 0.001, 8, -0.25, 3, 1}),
                             wanted),
            "");
  // One element, an infinity, all of them a bit.
  for (auto &found : {bytes({1, -2, 0.5, 0, 8, -0.25, 3, 1.1}),
                      bytes({1, -2, 0.5, 0, 1e9, -0.25, 3, 1}),
                      bytes({1, -2, 0.5, 0, 8.07, -0.25, 3, 1})})
    EXPECT_NE(cli::whyNotClose(port, found, wanted), "");
  port.dtype = "i8";
  EXPECT_EQ(cli::whyNotClose(port, {1, 2, 3, 4, 5, 6, 7, 8},
                             {1, 2, 3, 4, 5, 6, 7, 9}),
            "bits of i8 differ, which have no tolerance");
}

TEST_F(Candidates, WhatIsNotWrittenIsWrong) {
  add("a/0", "multiply", {0, 1, 2}, kSize - 1);
  add("a/1", "multiply", {1, 0, 2}, kSize - 1);
  EXPECT_EQ(run(), 1);
  for (auto &candidate : group()["candidates"])
    EXPECT_NE(candidate["wrong"].get<std::string>().find("not all of it"),
              std::string::npos);
}

TEST_F(Candidates, OneGroupWithoutAnEntryPoint) {
  add("a/0", "add_one", {0, 2});
  add("b/0", "multiply", {0, 1, 2});
  add("b/1", "multiply", {1, 1, 2});
  options.entry = "b";
  options.candidates.except = {"b/1"};
  ASSERT_EQ(run(), 0) << data.str() << talk.str();
  EXPECT_EQ(group()["group"], "b");
  EXPECT_EQ(group()["candidates"].size(), 1u);
  options.candidates.except = {"b/2"};
  EXPECT_EQ(cli::bench(options, {data, talk}), 2);
  options.candidates.except = {};
  options.entry = "c";
  EXPECT_EQ(cli::bench(options, {data, talk}), 2);
  EXPECT_NE(talk.str().find("no group 'c' of candidates; there are: a, b"),
            std::string::npos)
      << talk.str();
}

TEST_F(Candidates, PeersAreComparedByKey) {
  add("a/0", "add_one", {0, 2});
  writeFile(rows.path(),
            R"({"kernel":"gemm.test","m":4,"n":5,"k":3,"products":2,)"
            R"("result_bytes":4,"peer":"theirs","us_cool":1e9,"us_hot":2e9})"
            "\n\n"
            R"({"kernel":"gemm.test","m":4,"n":5,"k":4,"products":2,)"
            R"("result_bytes":4,"peer":"other","us_cool":1,"us_hot":2})"
            "\n");
  options.candidates.peers = rows.path();
  ASSERT_EQ(run(), 0) << talk.str();
  ASSERT_EQ(group()["peers"].size(), 1u);
  EXPECT_EQ(group()["peers"][0]["us_hot"], 2e9);
  options.json = false;
  data.str("");
  ASSERT_EQ(cli::bench(options, {data, talk}), 0);
  EXPECT_NE(data.str().find(" of theirs"), std::string::npos) << data.str();
  writeFile(rows.path(), "{\"kernel\": 1}\n");
  EXPECT_EQ(cli::bench(options, {data, talk}), 4);
  EXPECT_NE(talk.str().find("rows.jsonl:1: lacks the text 'kernel'"),
            std::string::npos)
      << talk.str();
}

TEST_F(Candidates, OtherEnginesAreRefused) {
  ASSERT_TRUE(writeSample(rows.path(), 8, "sm_90a").ok());
  options.engine = rows.path();
  EXPECT_EQ(cli::bench(options, {data, talk}), 2);
  EXPECT_NE(talk.str().find("entry point 'forward' is no candidate: 2 launches "
                            "instead of one"),
            std::string::npos)
      << talk.str();
}

TEST_F(Candidates, APortOfAnotherTypeIsRefused) {
  add("a/0", "add_one", {0, 2});
  add("a/1", "add_one", {0, 2}, kSize, key("gemm.other"));
  EXPECT_EQ(run(), 2);
  EXPECT_NE(talk.str().find("'a/1' is no candidate: its key"),
            std::string::npos)
      << talk.str();
}

} // namespace
