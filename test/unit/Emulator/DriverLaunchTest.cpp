// Launches and occupancy, and what they refuse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"

#include <cstring>

using namespace nibble::cuda;

namespace {

class DriverLaunchTest : public DriverTest {
protected:
  void SetUp() override {
    DriverTest::SetUp();
    if (HasFatalFailure())
      return;
    p = allocate(4096);
    config.gridDimX = config.gridDimY = config.gridDimZ = 1;
    config.blockDimX = config.blockDimY = config.blockDimZ = 1;
  }
  CUresult run(const char *name) {
    return d().cuLaunchKernelEx(&config, function(name), params, nullptr);
  }
  /// Launches 16 CTAs with one attribute.
  CUresult runWith(CUlaunchAttribute &attribute, const char *name = "add") {
    config.gridDimX = 16;
    config.attrs = &attribute;
    config.numAttrs = 1;
    return run(name);
  }

  CUdeviceptr p = 0;
  uint32_t n = 3;
  void *params[2] = {&p, &n};
  CUlaunchConfig config = {};
};

TEST_F(DriverLaunchTest, RunsAllThreadsOfAllCtas) {
  config.gridDimX = 3;
  config.gridDimY = 5;
  config.blockDimX = 33;
  config.blockDimZ = 2;
  EXPECT_EQ(run("add"), CUDA_SUCCESS);
  EXPECT_EQ(read(p), 3u * 3 * 5 * 33 * 2);
}

TEST_F(DriverLaunchTest, LaysParametersOutAsDeclared) {
  uint8_t a = 201;
  uint16_t b = 60001;
  uint32_t c[3] = {1, 2, 3000000001};
  float f = 77.5f;
  void *packed[] = {&a, &p, &b, c, &f};
  EXPECT_EQ(d().cuLaunchKernel(function("packed"), 1, 1, 1, 1, 1, 1, 0, nullptr,
                               packed, nullptr),
            CUDA_SUCCESS);
  EXPECT_EQ(read(p), 201u);
  EXPECT_EQ(read(p + 4), 60001u);
  EXPECT_EQ(read(p + 8), 3000000001u);
  EXPECT_EQ(read(p + 12), 77u);
}

TEST_F(DriverLaunchTest, TakesParametersFromABuffer) {
  uint8_t buffer[12];
  std::memcpy(buffer, &p, 8);
  std::memcpy(buffer + 8, &n, 4);
  size_t bytes = sizeof buffer;
  void *extra[] = {reinterpret_cast<void *>(kParamBufferPointer), buffer,
                   reinterpret_cast<void *>(kParamBufferSize), &bytes,
                   reinterpret_cast<void *>(kParamEnd)};
  auto run = [&](void **pointers) {
    return d().cuLaunchKernel(function("add"), 1, 1, 1, 1, 1, 1, 0, nullptr,
                              pointers, extra);
  };
  EXPECT_EQ(run(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(read(p), n);
  EXPECT_EQ(run(params), CUDA_ERROR_INVALID_VALUE) << "both ways";
  if (testsRealDriver())
    return; // which takes too few bytes and gives the kernel anything
  bytes = 8;
  EXPECT_EQ(run(nullptr), CUDA_ERROR_INVALID_VALUE) << "too few bytes";
}

TEST_F(DriverLaunchTest, RefusesSenselessShapes) {
  auto shape = [&](unsigned gx, unsigned gy, unsigned bx, unsigned bz) {
    return d().cuLaunchKernel(function("add"), gx, gy, 1, bx, 1, bz, 0, nullptr,
                              params, nullptr);
  };
  EXPECT_EQ(shape(0, 1, 1, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 1, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 65536, 1, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 1, 1025, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 1, 1, 65), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 1, 32, 33), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(shape(1, 1, 32, 32), CUDA_SUCCESS);
  config.blockDimX = 65;
  EXPECT_EQ(run("bounded"), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverLaunchTest, RefusesMissingThings) {
  EXPECT_EQ(d().cuLaunchKernel(function("add"), 1, 1, 1, 1, 1, 1, 0, nullptr,
                               nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, params,
                               nullptr),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(d().cuLaunchKernelEx(nullptr, function("add"), params, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(DriverLaunchTest, MoreThan48KiBMustBeAllowed) {
  n = 100 * 1024 - 4;
  config.sharedMemBytes = 48 * 1024;
  uint32_t all = n;
  n = 48 * 1024 - 4;
  EXPECT_EQ(run("shared"), CUDA_SUCCESS);
  EXPECT_EQ(read(p), n);
  n = all;
  config.sharedMemBytes = 100 * 1024;
  EXPECT_EQ(run("shared"), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuFuncSetAttribute(
                function("shared"),
                CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100 * 1024),
            CUDA_SUCCESS);
  EXPECT_EQ(run("shared"), CUDA_SUCCESS);
  EXPECT_EQ(read(p), n);
}

TEST_F(DriverLaunchTest, ClustersOfMoreThan8MustBeAllowed) {
  CUlaunchAttribute a = {};
  a.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  auto cluster = [&](unsigned size) {
    a.value.clusterDim = {size, 1, 1};
    return runWith(a);
  };
  EXPECT_EQ(cluster(1), CUDA_SUCCESS);
  EXPECT_EQ(cluster(8), CUDA_SUCCESS);
  EXPECT_EQ(cluster(3), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "16 % 3";
  EXPECT_EQ(cluster(16), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  EXPECT_EQ(d().cuFuncSetAttribute(
                function("add"),
                CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
            CUDA_SUCCESS);
  EXPECT_EQ(cluster(16), CUDA_SUCCESS);
  config.gridDimX = 32;
  EXPECT_EQ(cluster(32), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  EXPECT_EQ(read(p), 3u * 16 * 3);
}

TEST_F(DriverLaunchTest, RequiredClustersAreKept) {
  CUlaunchAttribute a = {};
  a.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  a.value.clusterDim = {2, 1, 1};
  EXPECT_EQ(runWith(a, "paired"), CUDA_SUCCESS);
  a.value.clusterDim = {4, 1, 1};
  EXPECT_EQ(runWith(a, "paired"), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  config.numAttrs = 0;
  EXPECT_EQ(run("paired"), CUDA_SUCCESS);
}

TEST_F(DriverLaunchTest, AttributesAreKnownOrRefused) {
  CUlaunchAttribute a = {};
  a.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  a.value.programmaticStreamSerializationAllowed = 1;
  EXPECT_EQ(runWith(a), CUDA_SUCCESS);
  a.id = CU_LAUNCH_ATTRIBUTE_PRIORITY;
  a.value.priority = 0;
  EXPECT_EQ(runWith(a), CUDA_SUCCESS);
  a.id = CUlaunchAttributeID(99);
  EXPECT_EQ(runWith(a), CUDA_ERROR_INVALID_VALUE);
  config.attrs = nullptr;
  EXPECT_EQ(run("add"), CUDA_ERROR_INVALID_VALUE);
  if (testsRealDriver())
    return;
  a = {};
  a.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT;
  EXPECT_EQ(runWith(a), CUDA_ERROR_NOT_SUPPORTED);
}

TEST_F(DriverLaunchTest, CooperativeGridsMustFit) {
  auto run = [&](unsigned ctas) {
    return d().cuLaunchCooperativeKernel(function("add"), ctas, 1, 1, 32, 1, 1,
                                         0, nullptr, params);
  };
  EXPECT_EQ(run(132), CUDA_SUCCESS);
  EXPECT_EQ(run(132 * 32 + 1), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
}

TEST_F(DriverLaunchTest, OccupancyFollowsEachLimit) {
  auto blocks = [&](const char *name, int threads, size_t shared) {
    int count = -1;
    EXPECT_EQ(d().cuOccupancyMaxActiveBlocksPerMultiprocessor(
                  &count, function(name), threads, shared),
              CUDA_SUCCESS);
    return count;
  };
  EXPECT_EQ(blocks("add", 32, 0), 32) << "CTAs of a multiprocessor";
  EXPECT_EQ(blocks("add", 1024, 0), 2) << "its threads";
  EXPECT_EQ(blocks("shared", 32, 40 * 1024), 5) << "its shared memory";
  EXPECT_EQ(blocks("shared", 32, 49153), 0) << "not allowed";
  int count;
  EXPECT_EQ(d().cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &count, function("add"), 0, 0),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuOccupancyMaxActiveBlocksPerMultiprocessor(
                nullptr, function("add"), 32, 0),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverLaunchTest, OccupancyOfClusters) {
  int count = 0;
  config.blockDimX = 128;
  EXPECT_EQ(
      d().cuOccupancyMaxPotentialClusterSize(&count, function("add"), &config),
      CUDA_SUCCESS);
  EXPECT_EQ(count, 8);
  CUlaunchAttribute a = {};
  a.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  a.value.clusterDim = {2, 1, 1};
  config.gridDimX = 2;
  config.attrs = &a;
  config.numAttrs = 1;
  EXPECT_EQ(d().cuOccupancyMaxActiveClusters(&count, function("add"), &config),
            CUDA_SUCCESS);
  EXPECT_GE(count, 66);
}

} // namespace
