// What every device must do. Run against cpu (1, 2 and 5 threads), null, emu,
// and cuda where there is one; these two (0) with graphs and (1) without.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

struct DeviceCase {
  const char *name;
  unsigned threads;
  bool computes; ///< null does not
  bool isGpu = false;
  bool graphs = true;
  std::string target() const { return isGpu ? gpuTarget() : "cpu"; }
};

std::ostream &operator<<(std::ostream &out, const DeviceCase &c) {
  return out << c.name << c.threads;
}

class Conformance : public ::testing::TestWithParam<DeviceCase> {
protected:
  void SetUp() override {
    DeviceOptions options;
    options.threads = GetParam().threads;
    options.graphs = GetParam().graphs;
    options.target = GetParam().target();
    auto created = createDevice(GetParam().name, options);
    if (!created.ok() && std::string(GetParam().name) == "cuda" &&
        !std::getenv("NIBBLE_REQUIRE_CUDA"))
      GTEST_SKIP() << created.status().str();
    ASSERT_TRUE(created.ok()) << created.status().str();
    device = *created;
  }

  /// Loads the engine at `path` into a session.
  std::shared_ptr<Session> open(const std::string &path) {
    auto engine = Engine::load(path);
    EXPECT_TRUE(engine.ok()) << engine.status().str();
    if (!engine.ok())
      return nullptr;
    auto session = Session::create(*engine, device);
    EXPECT_TRUE(session.ok()) << session.status().str();
    return session.ok() ? *session : nullptr;
  }

  std::shared_ptr<Session> openSample(int64_t size) {
    EXPECT_TRUE(writeSample(file.path(), size, GetParam().target()).ok());
    return open(file.path());
  }

  bool computes() const { return GetParam().computes; }
  /// Ranges, grains and scratch are of the cpu.
  bool hasRanges() const { return computes() && !GetParam().isGpu; }

  TempFile file{"engine.nbl"};
  std::shared_ptr<Device> device;
};

#define EXPECT_OK(expr)                                                        \
  do {                                                                         \
    Status status_ = (expr);                                                   \
    EXPECT_TRUE(status_.ok()) << status_.str();                                \
  } while (false)

TEST_P(Conformance, RunsLaunchesInOrderThroughTheArena) {
  const int64_t n = 1000;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(n), y(n);
  for (int64_t i = 0; i < n; ++i)
    x[i] = float(2 * i);
  EXPECT_OK(context->setInput(0, 0, x.data(), n * 4));
  EXPECT_OK(context->run(0));
  EXPECT_OK(context->getOutput(0, 0, y.data(), n * 4));
  for (int64_t i = 0; computes() && i < n; ++i)
    ASSERT_EQ(y[i], float(2 * i + 1) * float(i)) << i;
}

TEST_P(Conformance, TimesWhatIsIssuedAndWaitsForIt) {
  const int64_t n = 4000;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(n, 3.0f), y(n);
  EXPECT_FALSE(context->issue(0).ok()) << "the input was never set";
  EXPECT_OK(context->setInput(0, 0, x.data(), n * 4));
  Result<double> seconds = device->time([&] { return context->issue(0); });
  ASSERT_TRUE(seconds.ok()) << seconds.status().str();
  EXPECT_GT(*seconds, 0);
  EXPECT_OK(context->getOutput(0, 0, y.data(), n * 4));
  if (computes()) {
    EXPECT_EQ(y[5], 20.0f);
  }
  EXPECT_FALSE(device->time([&] { return context->issue(99); }).ok());
}

TEST_P(Conformance, FillsMemory) {
  void *memory = *device->allocate(1000);
  std::vector<uint8_t> bytes(1000);
  EXPECT_OK(device->fill(memory, 0xa5, 999));
  EXPECT_OK(device->copyOut(bytes.data(), memory, 1000));
  EXPECT_EQ(bytes[0], 0xa5);
  EXPECT_EQ(bytes[998], 0xa5);
  EXPECT_EQ(bytes[999], 0);
  EXPECT_OK(device->fill(memory, 1, 0));
  device->release(memory, 1000);
}

TEST_P(Conformance, NullPoisonsOutputs) {
  if (computes())
    GTEST_SKIP() << "only the null device computes nothing";
  auto session = openSample(100);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(100);
  std::vector<uint8_t> y(400);
  EXPECT_OK(context->setInput(0, 0, x.data(), 400));
  EXPECT_OK(context->run(0));
  EXPECT_OK(context->getOutput(0, 0, y.data(), 400));
  for (uint8_t byte : y)
    ASSERT_EQ(byte, kNullPoison);
}

/// One launch of `mark` over [0, extent).
void writeMark(const std::string &path, int64_t extent, int64_t grain,
               Split split) {
  EngineBuilder b(path);
  int64_t n = std::max<int64_t>(extent, 1);
  EntryDesc entry;
  entry.name = "main";
  entry.outputs = {port("hits", "ui8", n), port("first", "ui8", n)};
  entry.values = {value("hits", "ui8", n, Storage::Output, 0),
                  value("first", "ui8", n, Storage::Output, 1)};
  LaunchDesc mark = launch(b.kernel("mark"), {0, 1}, extent, grain);
  mark.results = 2;
  mark.split = split;
  entry.launches = {mark};
  ASSERT_TRUE(b.writer().addEntry(entry).ok());
  Status status = b.writer().finish();
  ASSERT_TRUE(status.ok()) << status.str();
}

TEST_P(Conformance, RangesCoverTheExtentExactlyOnce) {
  if (!hasRanges())
    GTEST_SKIP() << "needs a device that computes ranges";
  for (Split split : {Split::Dynamic, Split::Static})
    for (int64_t extent : {0, 1, 2, 7, 64, 1000, 4097})
      for (int64_t grain : {1, 3, 16, 5000}) {
        writeMark(file.path(), extent, grain, split);
        auto session = open(file.path());
        ASSERT_TRUE(session);
        auto context = *Context::create(session);
        std::vector<uint8_t> hits(std::max<int64_t>(extent, 1)), first(hits);
        EXPECT_OK(context->run(0));
        EXPECT_OK(context->getOutput(0, 0, hits.data(), hits.size()));
        EXPECT_OK(context->getOutput(0, 1, first.data(), first.size()));
        for (int64_t i = 0; i < extent; ++i) {
          ASSERT_EQ(hits[i], 1) << i << " of " << extent << "/" << grain;
          ASSERT_TRUE(!first[i] || i % grain == 0) << i << "/" << grain;
        }
      }
}

TEST_P(Conformance, CoversTheExtentUnderRepetition) {
  if (!hasRanges())
    GTEST_SKIP() << "needs a device that computes ranges";
  const int64_t n = 64;
  writeMark(file.path(), n, 1, Split::Dynamic);
  auto session = open(file.path());
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  for (int run = 1; run <= 2000; ++run) {
    ASSERT_TRUE(context->run(0).ok());
    std::vector<uint8_t> hits(n);
    ASSERT_TRUE(context->getOutput(0, 0, hits.data(), n).ok());
    for (uint8_t h : hits)
      ASSERT_EQ(h, uint8_t(run));
    // Sometimes long enough for the workers to fall asleep.
    if (run % 200 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST_P(Conformance, ScratchIsAlignedAndPrivate) {
  if (!hasRanges())
    GTEST_SKIP() << "needs a device that computes ranges";
  for (int64_t bytes : {1, 64, 1000, 65537}) {
    const int64_t n = 200;
    EngineBuilder b(file.path());
    EntryDesc entry;
    entry.name = "main";
    entry.inputs = {port("bytes", "i64", 1)};
    entry.outputs = {port("ok", "ui8", n)};
    entry.values = {value("bytes", "i64", 1, Storage::Input, 0),
                    value("ok", "ui8", n, Storage::Output, 0)};
    entry.launches = {launch(b.kernel("use_scratch"), {0, 1}, n)};
    entry.launches[0].scratchBytes = bytes;
    ASSERT_TRUE(b.writer().addEntry(entry).ok());
    EXPECT_OK(b.writer().finish());
    auto session = open(file.path());
    ASSERT_TRUE(session);
    auto context = *Context::create(session);
    EXPECT_OK(context->setInput(0, 0, &bytes, 8));
    EXPECT_OK(context->run(0));
    std::vector<uint8_t> ok(n);
    EXPECT_OK(context->getOutput(0, 0, ok.data(), n));
    for (uint8_t flag : ok)
      ASSERT_EQ(flag, 1) << bytes;
  }
}

TEST_P(Conformance, StatesLastAcrossRunsAndEntryPoints) {
  const int64_t n = 100;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  auto other = *Context::create(session);
  std::vector<float> x(n, 1.5f), y(n), z(n, -1.0f);
  EXPECT_OK(context->setInput(1, 0, x.data(), n * 4));
  for (int i = 0; i < 3; ++i)
    EXPECT_OK(context->run(1));
  EXPECT_OK(context->run(2));
  EXPECT_OK(other->run(2));
  EXPECT_OK(context->getOutput(2, 0, y.data(), n * 4));
  EXPECT_OK(other->getOutput(2, 0, z.data(), n * 4));
  for (int64_t i = 0; computes() && i < n; ++i) {
    ASSERT_EQ(y[i], 4.5f);
    ASSERT_EQ(z[i], 0.0f) << "states of contexts are independent";
  }
  EXPECT_OK(context->resetStates());
  EXPECT_OK(context->getState(0, y.data(), n * 4));
  for (float v : y)
    ASSERT_EQ(v, 0.0f);
  EXPECT_OK(context->setState(0, x.data(), n * 4));
  EXPECT_OK(context->getState(0, y.data(), n * 4));
  EXPECT_EQ(y, x);
}

TEST_P(Conformance, ContextsRunConcurrently) {
  const int64_t n = 5000;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto context = *Context::create(session);
      std::vector<float> x(n, float(t)), y(n);
      for (int run = 0; run < 50; ++run) {
        wrong[t] += !context->setInput(0, 0, x.data(), n * 4).ok();
        wrong[t] += !context->run(0).ok();
        wrong[t] += !context->getOutput(0, 0, y.data(), n * 4).ok();
        for (int64_t i = 0; computes() && i < n; ++i)
          wrong[t] += y[i] != float(t + 1) * float(i);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST_P(Conformance, ProbeSeesEveryLaunchAndItsBuffers) {
  const int64_t n = 64;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(n, 3.0f);
  EXPECT_OK(context->setInput(0, 0, x.data(), n * 4));
  std::vector<std::string> layers;
  RunOptions options;
  options.probe = [&](const ProbeEvent &event) {
    layers.emplace_back(event.info->layer);
    std::vector<float> result(n);
    uint32_t last = event.info->args[event.info->args.size() - 1];
    Status status = context->readValue(0, last, result.data(), n * 4);
    if (computes() && event.launch == 0) {
      EXPECT_EQ(result[5], 4.0f);
    }
    if (device->hostAccessible()) {
      EXPECT_EQ(0, std::memcmp(event.args[event.info->args.size() - 1],
                               result.data(), n * 4));
    }
    EXPECT_GE(event.seconds, 0.0);
    return status;
  };
  EXPECT_OK(context->run(0, options));
  EXPECT_EQ(layers, (std::vector<std::string>{"add", "scale"}));

  options.probe = [](const ProbeEvent &) {
    return error(Code::Mismatch, "stop here");
  };
  EXPECT_EQ(context->run(0, options).code(), Code::Mismatch);
}

TEST_P(Conformance, SingleLaunchesRunOnTheBuffersAsTheyAre) {
  const int64_t n = 64;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> t(n, 2.0f), y(n);
  EXPECT_OK(context->writeValue(0, 1, t.data(), n * 4));
  EXPECT_OK(context->runLaunch(0, 1));
  EXPECT_OK(context->getOutput(0, 0, y.data(), n * 4));
  for (int64_t i = 0; computes() && i < n; ++i)
    ASSERT_EQ(y[i], 2.0f * float(i));
  EXPECT_EQ(context->runLaunch(0, 2).code(), Code::InvalidArgument);
}

/// Memory of a device that a test binds.
class Bound {
public:
  Bound(Device &device, uint64_t bytes)
      : device(device), bytes(bytes), memory(*device.allocate(bytes)) {}
  ~Bound() { device.release(memory, bytes); }
  void *data() const { return memory; }
  void set(const std::vector<float> &from) {
    EXPECT_OK(device.copyIn(memory, from.data(), bytes));
  }
  float get(size_t i) const {
    std::vector<float> to(bytes / 4);
    EXPECT_OK(device.copyOut(to.data(), memory, bytes));
    return to[i];
  }

private:
  Device &device;
  uint64_t bytes;
  void *memory;
};

TEST_P(Conformance, BoundMemoryIsUsedInPlace) {
  const int64_t n = 64, bytes = 4 * n;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  Bound x(*device, bytes), y(*device, bytes), y2(*device, bytes);
  auto context = *Context::create(session);
  std::vector<float> values(n, 1.0f);
  x.set(values);
  EXPECT_OK(context->bindInput(0, 0, x.data(), bytes));
  EXPECT_OK(context->bindOutput(0, 0, y.data(), bytes));
  EXPECT_OK(context->run(0));
  EXPECT_OK(context->bindOutput(0, 0, y2.data(), bytes));
  values[3] = 5.0f;
  x.set(values);
  EXPECT_OK(context->run(0));
  if (computes()) {
    EXPECT_EQ(y.get(3), 6.0f);
    EXPECT_EQ(y2.get(3), 18.0f);
  }
  EXPECT_EQ(
      context->bindInput(0, 0, static_cast<char *>(x.data()) + 4, bytes).code(),
      Code::InvalidArgument);
  EXPECT_EQ(context->writeValue(0, 0, values.data(), bytes).code(),
            Code::InvalidArgument);
}

TEST_P(Conformance, RunsAgainWithNewInputsAndAddresses) {
  const int64_t n = 77, bytes = 4 * n;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  Bound y(*device, bytes);
  auto context = *Context::create(session);
  std::vector<float> x(n), out(n);
  for (int run = 0; run < 6; ++run) {
    // Twice each: with the context's buffer, the caller's, the context's again.
    EXPECT_OK(
        context->bindOutput(0, 0, run / 2 == 1 ? y.data() : nullptr, bytes));
    x.assign(n, float(run));
    EXPECT_OK(context->setInput(0, 0, x.data(), bytes));
    EXPECT_OK(context->run(0));
    EXPECT_OK(context->getOutput(0, 0, out.data(), bytes));
    for (int64_t i = 0; computes() && i < n; ++i)
      ASSERT_EQ(out[i], float(run + 1) * float(i)) << run;
  }
}

TEST_P(Conformance, StagedPortsAreCopiedByEachSubmission) {
  const int64_t n = 100;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  auto x = static_cast<float *>(*context->stageInput(0, 0));
  auto y = static_cast<const float *>(*context->stageOutput(0, 0));
  EXPECT_OK(context->prepare(0));
  EXPECT_TRUE(*context->isDone());
  EXPECT_OK(context->wait()); // nothing was submitted
  std::vector<float> out(n);
  for (int run = 0; run < 5; ++run) {
    std::fill(x, x + n, float(run));
    EXPECT_OK(context->submit(0));
    EXPECT_OK(context->wait());
    EXPECT_TRUE(*context->isDone());
    for (int64_t i = 0; computes() && i < n; ++i)
      ASSERT_EQ(y[i], float(run + 1) * float(i)) << run;
  }
  // What is set instead is not overwritten by the staging.
  std::fill(x, x + n, 77.0f);
  std::vector<float> set(n, 2.0f);
  EXPECT_OK(context->setInput(0, 0, set.data(), n * 4));
  EXPECT_OK(context->submit(0));
  EXPECT_OK(context->getOutput(0, 0, out.data(), n * 4));
  if (computes()) {
    EXPECT_EQ(out[9], 27.0f);
  }
  // Bound memory neither, and the staging stands for the port again after it.
  Bound bound(*device, n * 4);
  bound.set(std::vector<float>(n, 4.0f));
  EXPECT_OK(context->bindInput(0, 0, bound.data(), n * 4));
  EXPECT_OK(context->submit(0));
  EXPECT_OK(context->wait());
  if (computes()) {
    EXPECT_EQ(y[9], 45.0f);
  }
  x = static_cast<float *>(*context->stageInput(0, 0));
  std::fill(x, x + n, 5.0f);
  EXPECT_OK(context->submit(0));
  EXPECT_OK(context->wait());
  if (computes()) {
    EXPECT_EQ(y[9], 54.0f);
  }
  EXPECT_FALSE(context->stageInput(0, 1).ok());
  EXPECT_FALSE(context->stageOutput(9, 0).ok());
}

TEST_P(Conformance, SubmissionsFollowEachOther) {
  const int64_t n = 64;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(n, 1.5f), y(n);
  Status early = context->submit(1);
  EXPECT_EQ(early.code(), Code::InvalidArgument) << early.str();
  EXPECT_OK(context->setInput(1, 0, x.data(), n * 4));
  for (int i = 0; i < 4; ++i)
    EXPECT_OK(context->submit(1));
  EXPECT_OK(context->submit(2)); // another entry point, the same state
  EXPECT_OK(context->wait());
  EXPECT_OK(context->getOutput(2, 0, y.data(), n * 4));
  if (computes()) {
    EXPECT_EQ(y[63], 6.0f);
  }
}

TEST_P(Conformance, InputsMayBeSetAgainAtOnce) {
  const int64_t n = 200000; // long enough for a copy to be under way
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  std::vector<float> x(n), y(n);
  for (int run = 0; run < 4; ++run) {
    for (float fill : {-1.0f, float(run)}) {
      x.assign(n, fill);
      EXPECT_OK(context->setInput(1, 0, x.data(), n * 4));
      x.assign(n, 1e9f); // the caller's memory is free
    }
    EXPECT_OK(context->run(1));
  }
  EXPECT_OK(context->getState(0, y.data(), n * 4));
  for (int64_t i = 0; computes() && i < n; ++i)
    ASSERT_EQ(y[i], 6.0f) << i;
}

TEST_P(Conformance, NothingIsAllocatedAfterPreparation) {
  const int64_t n = 300;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  auto staged = static_cast<float *>(*context->stageInput(1, 0));
  for (uint32_t entry : {0, 1, 2})
    EXPECT_OK(context->prepare(entry));
  uint64_t before = device->allocations();
  EXPECT_GT(before, 0u);
  std::vector<float> x(n, 1.0f), y(n);
  for (int run = 0; run < 20; ++run) {
    EXPECT_OK(context->setInput(0, 0, x.data(), n * 4));
    EXPECT_OK(context->run(0));
    EXPECT_OK(context->getOutput(0, 0, y.data(), n * 4));
    std::fill(staged, staged + n, float(run));
    EXPECT_OK(context->submit(1));
    EXPECT_OK(context->wait());
    EXPECT_OK(context->run(2));
    EXPECT_OK(context->getState(0, y.data(), n * 4));
    EXPECT_OK(context->resetStates());
  }
  EXPECT_EQ(device->allocations(), before);
}

TEST_P(Conformance, TimelinesTellTimesInOrder) {
  const int64_t n = 4000;
  auto session = openSample(n);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  auto x = static_cast<float *>(*context->stageInput(0, 0));
  auto y = static_cast<const float *>(*context->stageOutput(0, 0));
  std::fill(x, x + n, 1.0f);
  auto made = device->createTimeline(4);
  ASSERT_TRUE(made.ok()) << made.status().str();
  std::unique_ptr<Timeline> timeline = std::move(*made);
  std::vector<double> seconds(4);
  for (int run = 0; run < 3; ++run) {
    EXPECT_OK(context->submitInParts(0, *timeline));
    EXPECT_OK(timeline->read(seconds));
    EXPECT_TRUE(*timeline->reached(3));
    EXPECT_EQ(seconds[0], 0);
    for (int i = 1; i < 4; ++i)
      EXPECT_GE(seconds[i], seconds[i - 1]) << i;
    if (computes()) {
      EXPECT_EQ(y[5], 10.0f);
    }
  }
  seconds.resize(3); // two launches
  EXPECT_OK(timeline->hold());
  EXPECT_OK(context->issueInParts(0, *timeline));
  timeline->release();
  EXPECT_OK(timeline->read(seconds));
  EXPECT_GE(seconds[2], seconds[1]);
  EXPECT_FALSE(context->issueInParts(9, *timeline).ok());
}

TEST_P(Conformance, WrongCallsAreErrorsThatNameThings) {
  auto session = openSample(64);
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  float x[64] = {};
  Status missing = context->run(0);
  EXPECT_EQ(missing.code(), Code::InvalidArgument);
  EXPECT_NE(missing.str().find("'x'"), std::string::npos) << missing.str();
  Status size = context->setInput(0, 0, x, 12);
  EXPECT_NE(size.str().find("256 bytes, got 12"), std::string::npos)
      << size.str();
  EXPECT_FALSE(context->setInput(9, 0, x, 256).ok());
  EXPECT_FALSE(context->setInput(0, 1, x, 256).ok());
  EXPECT_FALSE(context->getOutput(0, 1, x, 256).ok());
  EXPECT_FALSE(context->run(3).ok());
  EXPECT_FALSE(context->getState(1, x, 256).ok());
  EXPECT_FALSE(context->getState(0, x, 1).ok());
  EXPECT_FALSE(context->readValue(0, 4, x, 256).ok());
  float w[64];
  EXPECT_FALSE(context->writeValue(0, 2, w, 256).ok()) << "a constant";
}

TEST_P(Conformance, EmptyEntryPointsAndBuffersWork) {
  EngineBuilder b(file.path(), GetParam().target());
  EntryDesc entry;
  entry.name = "empty";
  entry.inputs = {port("x", "f32", 0)};
  entry.outputs = {port("y", "f32", 0)};
  entry.values = {value("x", "f32", 0, Storage::Input, 0),
                  value("y", "f32", 0, Storage::Output, 0)};
  entry.launches = {b.launch("add_one", {0, 1}, 0, "nothing")};
  ASSERT_TRUE(b.writer().addEntry(entry).ok());
  EXPECT_OK(b.writer().finish());
  auto session = open(file.path());
  ASSERT_TRUE(session);
  auto context = *Context::create(session);
  EXPECT_OK(context->setInput(0, 0, nullptr, 0));
  EXPECT_OK(context->run(0));
}

INSTANTIATE_TEST_SUITE_P(
    Devices, Conformance,
    ::testing::Values(DeviceCase{"cpu", 1, true}, DeviceCase{"cpu", 2, true},
                      DeviceCase{"cpu", 5, true}, DeviceCase{"null", 0, false},
                      DeviceCase{"cuda", 0, true, true},
                      DeviceCase{"cuda", 1, true, true, false},
                      DeviceCase{"emu", 0, true, true},
                      DeviceCase{"emu", 1, true, true, false}),
    [](const auto &info) -> std::string {
      return info.param.name + std::to_string(info.param.threads);
    });

} // namespace
