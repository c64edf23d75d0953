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

/// Stores a box of bytes that begins at 8, which is no multiple of 16.
constexpr const char *kMisplacedBox = R"(.version 8.0
.target sm_90a
.address_size 64
.visible .entry misplaced(.param .align 64 .b8 m[128]) {
  .reg .b64 %rd<3>; .reg .b32 %r<3>; .shared .align 128 .b8 s[16];
  mov.b64 %rd1, m; cvta.param.u64 %rd2, %rd1; mov.u32 %r1, s; mov.u32 %r2, 8;
  cp.async.bulk.tensor.1d.global.shared::cta.tile.bulk_group
    [%rd2, {%r2}], [%r1];
  cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; ret; }
)";

TEST_F(DriverFaultTest, IllegalInstruction) {
  inOwnProcess([&] {
    const uint64_t sizes[] = {64}, strides[] = {64};
    const uint32_t box[] = {16}, steps[] = {1};
    CUtensorMap map;
    CUmodule other;
    CUfunction kernel;
    ASSERT_EQ(d().cuTensorMapEncodeTiled(
                  &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 1,
                  reinterpret_cast<void *>(allocate(64)), sizes, strides, box,
                  steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
              CUDA_SUCCESS);
    ASSERT_EQ(d().cuModuleLoadData(&other, kMisplacedBox), CUDA_SUCCESS);
    ASSERT_EQ(d().cuModuleGetFunction(&kernel, other, "misplaced"),
              CUDA_SUCCESS);
    void *params[] = {&map};
    expectLost(d().cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, nullptr, params,
                                  nullptr),
               CUDA_ERROR_ILLEGAL_INSTRUCTION, "multiple of 16 bytes");
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
