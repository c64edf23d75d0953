// Faults of programs: the error, its text, and that it stays.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"
#include "OwnProcess.h"

using namespace nibble::cuda;
using nibble::inOwnProcess;

namespace {

class DriverFaultTest : public DriverTest {
protected:
  /// A launch has a fault: the launch itself succeeds, everything after it does
  /// not.
  void expectFault(CUresult launched, CUresult fault, const char *text) {
    EXPECT_EQ(launched, CUDA_SUCCESS);
    CUresult synchronized = d().cuCtxSynchronize();
    EXPECT_EQ(synchronized, fault);
    if (!testsRealDriver()) { // which has no text
      std::string message = d().check(synchronized, "waiting").str();
      EXPECT_NE(message.find(text), std::string::npos) << message;
    }
    CUdeviceptr other;
    CUmodule again;
    int value = 0;
    EXPECT_EQ(d().cuMemAlloc_v2(&other, 8), fault);
    EXPECT_EQ(d().cuStreamQuery(nullptr), fault);
    EXPECT_EQ(d().cuModuleLoadData(&again, kTestPtx), fault);
    EXPECT_EQ(
        d().cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0),
        CUDA_SUCCESS);
  }

  /// The same for a fault that no reset mends: only a new process can go on.
  void expectLost(CUresult launched, CUresult fault, const char *text) {
    expectFault(launched, fault, text);
    EXPECT_EQ(d().cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    CUcontext fresh = nullptr;
    CUdeviceptr other;
    EXPECT_EQ(d().cuDevicePrimaryCtxRetain(&fresh, 0), fault);
    EXPECT_EQ(d().cuMemAlloc_v2(&other, 8), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    EXPECT_EQ(d().cuCtxCreate_v2(&fresh, 0, 0), fault);
  }

  CUresult run(const char *name, void **params = nullptr) {
    return d().cuLaunchKernel(function(name), 1, 1, 1, 1, 1, 1, 0, nullptr,
                              params, nullptr);
  }
};

TEST_F(DriverFaultTest, OutsideOfMemory) {
  inOwnProcess([&] {
    CUdeviceptr p = allocate(64);
    expectLost(launch("store", p + (1ull << 40), 1), CUDA_ERROR_ILLEGAL_ADDRESS,
               "kernel store, CTA (0, 0, 0), thread (0, 0, 0)");
  });
}

TEST_F(DriverFaultTest, FreedMemory) {
  inOwnProcess([&] {
    CUdeviceptr p = allocate(8 << 20);
    EXPECT_EQ(d().cuMemFree_v2(p), CUDA_SUCCESS);
    expectLost(launch("store", p, 1), CUDA_ERROR_ILLEGAL_ADDRESS,
               "writes 4 bytes");
  });
}

TEST_F(DriverFaultTest, MisalignedAddress) {
  inOwnProcess([&] {
    CUdeviceptr p = allocate(64) + 2;
    void *params[] = {&p};
    expectLost(run("odd", params), CUDA_ERROR_MISALIGNED_ADDRESS,
               "no multiple of 4");
  });
}

TEST_F(DriverFaultTest, Trap) {
  inOwnProcess(
      [&] { expectLost(run("traps"), CUDA_ERROR_LAUNCH_FAILED, "traps"); });
}

/// cuda.h tells of other contexts that they can go on.
TEST_F(DriverFaultTest, AnAssertionCostsOnlyItsContext) {
  inOwnProcess([&] {
    expectFault(run("asserts"), CUDA_ERROR_ASSERT, "assertion failed: i>0");
    EXPECT_EQ(d().cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    CUcontext fresh = nullptr;
    CUdeviceptr other;
    ASSERT_EQ(d().cuDevicePrimaryCtxRetain(&fresh, 0), CUDA_SUCCESS);
    EXPECT_EQ(d().cuCtxSetCurrent(fresh), CUDA_SUCCESS);
    EXPECT_EQ(d().cuMemAlloc_v2(&other, 8), CUDA_SUCCESS);
  });
}

TEST_F(DriverFaultTest, InAGraph) {
  inOwnProcess([&] {
    CUdeviceptr p = allocate(64);
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    ASSERT_EQ(d().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING),
              CUDA_SUCCESS);
    ASSERT_EQ(
        d().cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED),
        CUDA_SUCCESS);
    EXPECT_EQ(launch("store", p + (1ull << 40), 1, 1, 0, stream), CUDA_SUCCESS);
    EXPECT_EQ(launch("store", p, 1, 1, 0, stream), CUDA_SUCCESS);
    ASSERT_EQ(d().cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    ASSERT_EQ(d().cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    expectLost(d().cuGraphLaunch(exec, stream), CUDA_ERROR_ILLEGAL_ADDRESS,
               "kernel store");
  });
}

} // namespace
