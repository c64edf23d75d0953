// The verbs run, bench and inspect: data, talk and exit codes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/cli.h"
#include "TestEngine.h"
#include "nibble/rt/array.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <map>
#include <sstream>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

class Cli : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_TRUE(writeSample(engine.path(), 8).ok());
    options.engine = engine.path();
    options.entry = "forward";
    options.inputs = {"x=ones"};
  }
  int run() { return cli::run(options, {data, talk}); }
  nlohmann::json json() { return nlohmann::json::parse(data.str()); }

  TempFile engine{"sample.nbl"}, npy{"y.npy"};
  cli::RunOptions options;
  std::ostringstream data, talk;
};

TEST_F(Cli, RunWritesOutputs) {
  options.outputs = {"y=@" + npy.path()};
  ASSERT_EQ(run(), 0) << talk.str();
  EXPECT_NE(data.str().find("y f32[8]  min 0  max 14  mean 7"),
            std::string::npos)
      << data.str();
  auto y = readNpy(npy.path());
  ASSERT_TRUE(y.ok());
  float values[8];
  std::memcpy(values, y->data.data(), sizeof(values));
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(values[i], 2.0f * i);
}

TEST_F(Cli, RunComparesAndExitsWith1) {
  Array reference;
  reference.dtype = "f64";
  reference.shape = {8};
  for (double i = 0; i < 8; ++i) {
    double v = 2 * i;
    reference.data.insert(reference.data.end(), reinterpret_cast<char *>(&v),
                          reinterpret_cast<char *>(&v + 1));
  }
  ASSERT_TRUE(writeNpy(npy.path(), reference).ok());
  options.expects = {"y=@" + npy.path()};
  options.tolerances = {"exact"};
  EXPECT_EQ(run(), 0) << data.str() << talk.str();

  options.inputs = {"x=zeros"};
  EXPECT_EQ(run(), 1);
  EXPECT_NE(data.str().find("MISMATCH"), std::string::npos) << data.str();
  options.tolerances = {"exact", "y:cos=0.9"};
  EXPECT_EQ(run(), 0) << "the tolerance of one output wins";
  data.str("");
  options.json = true;
  options.tolerances = {"fro=0.4"};
  EXPECT_EQ(run(), 1);
  auto out = json();
  EXPECT_EQ(out["schema"], "nibble.run/1");
  EXPECT_EQ(out["outputs"][0]["comparison"]["ok"], false);
  EXPECT_EQ(out["outputs"][0]["comparison"]["frobenius"], 0.5);
}

TEST_F(Cli, WrongUsageExitsWith2AndSaysWhatThereIs) {
  options.inputs = {};
  EXPECT_EQ(run(), 2);
  EXPECT_NE(talk.str().find("--input x=normal:seed=1"), std::string::npos);
  options.inputs = {"z=ones"};
  EXPECT_EQ(run(), 2);
  EXPECT_NE(talk.str().find("no input 'z'; the entry point has: x"),
            std::string::npos);
  options.inputs = {"x=ones", "x=ones"};
  EXPECT_EQ(run(), 2);
  options.inputs = {"x=@/nonexistent.npy"};
  EXPECT_EQ(run(), 2);
  options.inputs = {"x=gauss"};
  EXPECT_EQ(run(), 2);
  options.inputs = {"x=ones"};
  options.outputs = {"q=@x.npy"};
  EXPECT_EQ(run(), 2);
  options.outputs = {"y=x.npy"};
  EXPECT_EQ(run(), 2);
  options.outputs = {};
  options.tolerances = {"bogus=1"};
  EXPECT_EQ(run(), 2);
  options.tolerances = {};
  options.entry = "";
  EXPECT_EQ(run(), 2) << "several entry points";
  options.entry = "nope";
  EXPECT_EQ(run(), 2);
  options.entry = "forward";
  options.device = "tpu";
  EXPECT_EQ(run(), 2);
}

TEST_F(Cli, MalformedFilesExitWith4AndDevicesWith5) {
  options.device = "cuda";
  EXPECT_EQ(run(), 5);
  EXPECT_NE(talk.str().find("cuda"), std::string::npos)
      << "no driver, or an engine for another target";
  options.device = "emu";
  EXPECT_EQ(run(), 5);
  options.device = "cpu";
  std::string bytes = readFile(engine.path());
  writeFile(engine.path(), bytes.substr(0, bytes.size() - 10));
  EXPECT_EQ(run(), 4);
  writeFile(npy.path(), "junk");
  writeFile(engine.path(), bytes);
  options.inputs = {"x=@" + npy.path()};
  EXPECT_EQ(run(), 4);
}

TEST_F(Cli, CheckFindsACorruptConstant) {
  std::string bytes = readFile(engine.path());
  auto loaded = *Engine::load(engine.path());
  bytes[kEnginePage + loaded->info().constants[0].offset] ^= 1;
  writeFile(engine.path(), bytes);
  EXPECT_EQ(run(), 0) << "not read by default";
  options.check = true;
  EXPECT_EQ(run(), 4);
}

TEST_F(Cli, BenchReportsPercentilesAndLayers) {
  cli::BenchOptions bench;
  bench.engine = engine.path();
  bench.entry = "forward";
  bench.warmup = 0;
  bench.iterations = 20;
  bench.layers = true;
  ASSERT_EQ(cli::bench(bench, {data, talk}), 0) << talk.str();
  EXPECT_NE(data.str().find("p99"), std::string::npos);
  EXPECT_NE(data.str().find("scale (test)"), std::string::npos);
  EXPECT_NE(talk.str().find("not given, using normal:seed=1"),
            std::string::npos);
  data.str("");
  bench.json = true;
  ASSERT_EQ(cli::bench(bench, {data, talk}), 0);
  auto out = json();
  EXPECT_EQ(out["schema"], "nibble.bench/1");
  EXPECT_EQ(out["latency_ms"]["count"], 20);
  EXPECT_EQ(out["layers"].size(), 2u);
  EXPECT_TRUE(out["latency_ms"]["percentiles"].contains("99"));
}

TEST_F(Cli, BenchSplitsRunsAndComparesLayersWithBounds) {
  ASSERT_TRUE(writeSample(engine.path(), 64, "sm_90a").ok());
  cli::BenchOptions bench;
  bench.engine = engine.path();
  bench.entry = "forward";
  bench.device = "emu";
  bench.warmup = 0;
  bench.iterations = 9;
  bench.layers = bench.json = true;
  bench.peaks = "memory=3350,f32=67";
  ASSERT_EQ(cli::bench(bench, {data, talk}), 0) << talk.str();
  auto out = json();
  EXPECT_EQ(out["allocations"], 0);
  for (const char *part : {"end_to_end_ms", "enqueue_ms", "copy_in_ms",
                           "compute_ms", "copy_out_ms"}) {
    EXPECT_EQ(out[part]["count"], 3) << part;
    EXPECT_GE(out[part]["min"], 0) << part;
    EXPECT_TRUE(out[part]["percentiles"].contains("95")) << part;
  }
  EXPECT_GE(out["end_to_end_ms"]["min"], out["enqueue_ms"]["min"]);
  EXPECT_EQ(out["peaks"]["source"], "--peaks");
  EXPECT_EQ(out["layers"][1]["math"], "f32");
  EXPECT_GT(out["layers"][1]["layer_ms"], 0);
  EXPECT_EQ(out["warnings"][out["warnings"].size() - 1],
            "the device is emulated: times are those of the emulator, not of "
            "a GPU");
  bench.json = false;
  bench.peaks = "";
  data.str("");
  ASSERT_EQ(cli::bench(bench, {data, talk}), 0);
  for (const char *row : {"end to end", "  copy in", "  compute", "p95"})
    EXPECT_NE(data.str().find(row), std::string::npos) << data.str();
  EXPECT_NE(talk.str().find("is not known"), std::string::npos) << talk.str();
  bench.peaks = "memory=fast";
  EXPECT_EQ(cli::bench(bench, {data, talk}), 2);
}

TEST_F(Cli, BenchWritesATrace) {
  cli::BenchOptions bench;
  bench.engine = engine.path();
  bench.entry = "forward";
  bench.warmup = 0;
  bench.iterations = 3;
  bench.trace = npy.path();
  ASSERT_EQ(cli::bench(bench, {data, talk}), 0) << talk.str();
  auto trace = nlohmann::json::parse(readFile(npy.path()));
  std::map<std::string, int> names;
  for (const auto &event : trace["traceEvents"]) {
    if (event["ph"] != "X")
      continue;
    ++names[event["name"]];
    EXPECT_GE(event["ts"], 0);
    EXPECT_GE(event["dur"], 0);
    if (event["name"] == "scale") {
      EXPECT_EQ(event["args"]["launch"], 1);
      EXPECT_EQ(event["args"]["op"], "test");
    }
  }
  for (const char *name :
       {"submit", "wait", "copy in", "forward", "copy out", "add", "scale"})
    EXPECT_EQ(names[name], 3) << name;
  bench.trace = "/nonexistent/trace.json";
  EXPECT_NE(cli::bench(bench, {data, talk}), 0);
  EXPECT_NE(talk.str().find("/nonexistent/trace.json"), std::string::npos);
}

TEST_F(Cli, BenchOnNullSaysThatItComputesNothing) {
  cli::BenchOptions bench;
  bench.engine = engine.path();
  bench.entry = "forward";
  bench.device = "null";
  bench.warmup = 0;
  bench.iterations = 10;
  EXPECT_EQ(cli::bench(bench, {data, talk}), 0);
  EXPECT_NE(talk.str().find("computes nothing"), std::string::npos);
}

TEST_F(Cli, InspectShowsTheEngine) {
  cli::InspectOptions inspect;
  inspect.file = engine.path();
  inspect.launches = true;
  inspect.check = true;
  ASSERT_EQ(cli::inspect(inspect, {data, talk}), 0);
  EXPECT_NE(data.str().find("nibble compile sample.onnx"), std::string::npos);
  EXPECT_NE(data.str().find("input x f32[8]"), std::string::npos);
  EXPECT_NE(data.str().find("multiply extent 8 grain 16"), std::string::npos);
  EXPECT_NE(talk.str().find("all hashes match"), std::string::npos);
  data.str("");
  inspect.json = true;
  ASSERT_EQ(cli::inspect(inspect, {data, talk}), 0);
  auto out = json();
  EXPECT_EQ(out["schema"], "nibble.inspect/1");
  EXPECT_EQ(out["entries"].size(), 3u);
  EXPECT_EQ(out["entries"][0]["values"][2]["storage"], "constant");
  EXPECT_EQ(out["states"][0]["name"], "sum");
}

TEST_F(Cli, InspectTellsGridsAndTensorMaps) {
  ASSERT_TRUE(writeTileSample(engine.path(), "sm_90a").ok());
  cli::InspectOptions inspect;
  inspect.file = engine.path();
  inspect.launches = true;
  ASSERT_EQ(cli::inspect(inspect, {data, talk}), 0);
  EXPECT_NE(data.str().find("tma_double grid 4x5x1 block 128x1x1 (map of x "
                            "(50x37, box 16x8), y, 4 bytes)"),
            std::string::npos)
      << data.str();
  data.str("");
  inspect.json = true;
  ASSERT_EQ(cli::inspect(inspect, {data, talk}), 0);
  auto gpu = json()["entries"][0]["launches"][0]["gpu"];
  EXPECT_EQ(gpu["grid"], (std::vector<int>{4, 5, 1}));
  EXPECT_EQ(gpu["params"][0]["map"]["strides"][0], 208);
}

TEST_F(Cli, EmuRunsEnginesForGpus) {
  ASSERT_TRUE(writeSample(engine.path(), 77, "sm_90a").ok());
  options.device = "emu";
  options.outputs = {"y=@" + npy.path()};
  ASSERT_EQ(run(), 0) << talk.str();
  auto array = readNpy(npy.path());
  ASSERT_TRUE(array.ok()) << array.status().str();
  std::vector<float> y(77);
  std::memcpy(y.data(), array->data.data(), array->data.size());
  for (int i = 0; i < 77; ++i)
    ASSERT_EQ(y[size_t(i)], 2.0f * float(i));
}

} // namespace
