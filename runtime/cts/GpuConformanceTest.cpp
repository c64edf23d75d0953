// What a device behind a CUDA driver must do beyond ConformanceTest.cpp. Run
// against emu, and cuda where there is one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <cstdlib>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

#define EXPECT_OK(expr)                                                        \
  do {                                                                         \
    Status status_ = (expr);                                                   \
    EXPECT_TRUE(status_.ok()) << status_.str();                                \
  } while (false)

class GpuConformance : public ::testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    DeviceOptions options;
    options.target = gpuTarget();
    auto created = createDevice(GetParam(), options);
    if (!created.ok() && std::string(GetParam()) == "cuda" &&
        !std::getenv("NIBBLE_REQUIRE_CUDA"))
      GTEST_SKIP() << created.status().str();
    ASSERT_TRUE(created.ok()) << created.status().str();
    device = *created;
  }

  /// A context for an engine with one entry point.
  std::unique_ptr<Context> open(EngineBuilder &b, EntryDesc entry) {
    entry.name = "main";
    EXPECT_TRUE(b.writer().addEntry(std::move(entry)).ok());
    EXPECT_OK(b.writer().finish());
    auto engine = Engine::load(file.path());
    EXPECT_TRUE(engine.ok()) << engine.status().str();
    auto session = Session::create(*engine, device);
    EXPECT_TRUE(session.ok()) << session.status().str();
    return session.ok() ? *Context::create(*session) : nullptr;
  }

  TempFile file{"engine.nbl"};
  std::shared_ptr<Device> device;
};

TEST_P(GpuConformance, TensorMapsReadTilesAndFillWithZeros) {
  using namespace tiles;
  EXPECT_OK(writeTileSample(file.path(), gpuTarget()));
  auto session = Session::create(*Engine::load(file.path()), device);
  ASSERT_TRUE(session.ok()) << session.status().str();
  auto context = *Context::create(*session);
  std::vector<float> x(kRows * kPitch), y(kOutRows * kOutPitch, -1.0f);
  for (int run = 0; run < 2; ++run) { // the second one is a replay
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = float(i + size_t(run));
    EXPECT_OK(context->setInput(0, 0, x.data(), x.size() * 4));
    EXPECT_OK(context->run(0));
    EXPECT_OK(context->getOutput(0, 0, y.data(), y.size() * 4));
    for (uint32_t row = 0; row < kOutRows; ++row)
      for (uint32_t column = 0; column < kOutPitch; ++column) {
        bool inside = row < kRows && column < kColumns;
        ASSERT_EQ(y[row * kOutPitch + column],
                  inside ? 2 * x[row * kPitch + column] : 0.0f)
            << row << ", " << column;
      }
  }
}

TEST_P(GpuConformance, ClustersAndLargeSharedMemory) {
  for (uint32_t cluster : {1, 2, 8, 16}) {
    const uint32_t ctas = 16, bytes = 100 * 1024;
    EngineBuilder b(file.path(), gpuTarget());
    EntryDesc entry;
    entry.outputs = {port("ranks", "ui32", ctas)};
    entry.values = {value("ranks", "ui32", ctas, Storage::Output, 0)};
    LaunchDesc desc = launch(b.kernel("cluster_ranks"), {0}, 1, 1, "ranks");
    desc.gpu.emplace();
    desc.gpu->grid.x = ctas;
    desc.gpu->cluster.x = cluster;
    desc.gpu->sharedBytes = bytes;
    desc.gpu->args = {GpuArgDesc::pointer(0), GpuArgDesc::scalar(bytes)};
    entry.launches = {desc};
    auto context = open(b, entry);
    ASSERT_TRUE(context);
    std::vector<uint32_t> ranks(ctas);
    EXPECT_OK(context->run(0));
    EXPECT_OK(context->getOutput(0, 0, ranks.data(), ctas * 4));
    for (uint32_t i = 0; i < ctas; ++i)
      EXPECT_EQ(ranks[i], 16 * cluster + i % cluster) << cluster;
  }
}

/// Runs `symbol` with parameters that are not its own.
Status runWith(Context *context) {
  return context ? context->run(0) : Status(Code::Internal, "no context");
}

TEST_P(GpuConformance, ParametersMustBeThoseOfTheKernel) {
  for (bool tooFew : {true, false}) {
    EngineBuilder b(file.path(), gpuTarget());
    EntryDesc entry;
    entry.outputs = {port("y", "f32", 8)};
    entry.values = {value("y", "f32", 8, Storage::Output, 0)};
    LaunchDesc desc = b.launch("add_one", {0}, 8, "add");
    desc.gpu->args = {GpuArgDesc::pointer(0), GpuArgDesc::pointer(0)};
    if (!tooFew)
      desc.gpu->args.push_back(GpuArgDesc::scalar(uint64_t(8)));
    entry.launches = {desc};
    auto context = open(b, entry);
    Status status = runWith(context.get());
    EXPECT_EQ(status.code(), Code::Malformed);
    EXPECT_NE(status.str().find(tooFew ? "has 3 parameters"
                                       : "parameter 2 of kernel 'add_one' has "
                                         "4 bytes"),
              std::string::npos)
        << status.str();
  }
}

TEST_P(GpuConformance, MissingKernelsAndBadCodeAreErrors) {
  const char junk[] = "no PTX at all";
  auto module = device->loadModule(CodeKind::Ptx, "junk", junk, sizeof junk);
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.status().code(), Code::Device);
  EXPECT_NE(module.status().str().find("'junk'"), std::string::npos);
  std::string ptx = kernelPtx(gpuTarget());
  auto loaded =
      device->loadModule(CodeKind::Ptx, "k", ptx.c_str(), ptx.size() + 1);
  ASSERT_TRUE(loaded.ok()) << loaded.status().str();
  EXPECT_TRUE((*loaded)->kernel("add_one").ok());
  Status missing = (*loaded)->kernel("no_such_kernel").status();
  EXPECT_EQ(missing.code(), Code::Device);
  EXPECT_NE(missing.str().find("CUDA_ERROR_NOT_FOUND"), std::string::npos);
  EXPECT_FALSE(
      device->loadModule(CodeKind::CpuObject, "c", "x", 1).status().ok());
}

TEST_P(GpuConformance, ForeignTargetsAreRefused) {
  for (const char *target : {"cpu", "sm_100a"}) {
    EXPECT_TRUE(writeSample(file.path(), 16, target).ok());
    Status status =
        Session::create(*Engine::load(file.path()), device).status();
    EXPECT_EQ(status.code(), Code::Device);
    EXPECT_NE(status.str().find(target), std::string::npos) << status.str();
  }
}

// The last one: a fault ends the context, on a real device for the process.
TEST_P(GpuConformance, ZFaultsAreDeviceErrors) {
  EngineBuilder b(file.path(), gpuTarget());
  EntryDesc entry;
  entry.outputs = {port("y", "f32", 8)};
  entry.values = {value("y", "f32", 8, Storage::Output, 0)};
  LaunchDesc desc = launch(b.kernel("wild"), {0}, 1, 1, "wild layer");
  desc.gpu.emplace();
  desc.gpu->args = {GpuArgDesc::pointer(0)};
  entry.launches = {desc};
  auto context = open(b, entry);
  Status status = runWith(context.get());
  EXPECT_EQ(status.code(), Code::Device);
  EXPECT_NE(status.str().find("CUDA_ERROR_ILLEGAL_ADDRESS"), std::string::npos)
      << status.str();
  if (std::string(GetParam()) == "emu") {
    EXPECT_NE(status.str().find("kernel wild"), std::string::npos)
        << status.str();
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuConformance,
                         ::testing::Values("cuda", "emu"),
                         [](const auto &info) -> std::string {
                           return info.param;
                         });

} // namespace
