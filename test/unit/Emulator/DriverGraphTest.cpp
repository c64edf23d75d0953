// Graphs made by hand, tensor maps, and what they refuse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"

using namespace nibble::cuda;

namespace {

class DriverGraphTest : public DriverTest {
protected:
  void SetUp() override {
    DriverTest::SetUp();
    if (HasFatalFailure())
      return;
    p = allocate(64);
    ASSERT_EQ(d().cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    kernel.func = function("add");
    kernel.gridDimX = kernel.gridDimY = kernel.gridDimZ = 1;
    kernel.blockDimX = kernel.blockDimY = kernel.blockDimZ = 1;
    kernel.kernelParams = params;
  }

  CUdeviceptr p = 0;
  uint32_t n = 5;
  void *params[2] = {&p, &n};
  CUgraph graph = nullptr;
  CUDA_KERNEL_NODE_PARAMS kernel = {};
};

TEST_F(DriverGraphTest, RunsNodesAfterWhatTheyDependOn) {
  CUgraphNode fill, add, copy;
  CUDA_MEMSET_NODE_PARAMS set = {};
  set.dst = p;
  set.value = 100;
  set.elementSize = 4;
  set.width = 2;
  set.height = 1;
  CUDA_MEMCPY3D box = {};
  box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  box.srcDevice = p;
  box.dstDevice = p + 32;
  box.WidthInBytes = 8;
  box.Height = box.Depth = 1;
  ASSERT_EQ(d().cuGraphAddMemsetNode(&fill, graph, nullptr, 0, &set, context),
            CUDA_SUCCESS);
  ASSERT_EQ(d().cuGraphAddKernelNode_v2(&add, graph, &fill, 1, &kernel),
            CUDA_SUCCESS);
  ASSERT_EQ(d().cuGraphAddMemcpyNode(&copy, graph, &add, 1, &box, context),
            CUDA_SUCCESS);
  n = 9; // parameters were copied
  CUgraphExec exec;
  ASSERT_EQ(d().cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuGraphLaunch(exec, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(d().cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(read(p + 32), 105u);
  EXPECT_EQ(read(p + 36), 100u);
  CUgraphNodeType type;
  EXPECT_EQ(d().cuGraphNodeGetType(copy, &type), CUDA_SUCCESS);
  EXPECT_EQ(type, CU_GRAPH_NODE_TYPE_MEMCPY);
}

TEST_F(DriverGraphTest, TellsParametersOfKernels) {
  CUgraphNode node;
  CUDA_KERNEL_NODE_PARAMS out = {};
  ASSERT_EQ(d().cuGraphAddKernelNode_v2(&node, graph, nullptr, 0, &kernel),
            CUDA_SUCCESS);
  ASSERT_EQ(d().cuGraphKernelNodeGetParams_v2(node, &out), CUDA_SUCCESS);
  EXPECT_EQ(out.gridDimX, 1u);
  EXPECT_EQ(*static_cast<uint32_t *>(out.kernelParams[1]), n);
}

TEST_F(DriverGraphTest, RefusesBadNodesAndGraphs) {
  CUgraph other;
  CUgraphNode node, none = nullptr;
  CUgraphExec exec;
  EXPECT_EQ(d().cuGraphCreate(&other, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuGraphCreate(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuGraphAddKernelNode_v2(&node, graph, &none, 1, &kernel),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuGraphInstantiateWithFlags(&exec, graph, 64),
            CUDA_ERROR_INVALID_VALUE);
  kernel.blockDimX = 2000;
  EXPECT_EQ(d().cuGraphAddKernelNode_v2(&node, graph, nullptr, 0, &kernel),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuGraphLaunch(nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
}

class DriverTensorMapTest : public DriverTest {
protected:
  void SetUp() override {
    DriverTest::SetUp();
    if (HasFatalFailure())
      return;
    p = allocate(1 << 16);
  }
  CUresult encode(int type = CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  uint32_t rank = 2) {
    return d().cuTensorMapEncodeTiled(
        &map, CUtensorMapDataType(type), rank, reinterpret_cast<void *>(p),
        sizes, strides, box, elementStrides, CU_TENSOR_MAP_INTERLEAVE_NONE,
        CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }

  CUdeviceptr p = 0;
  CUtensorMap map;
  uint64_t sizes[2] = {64, 64}, strides[1] = {128};
  uint32_t box[2] = {64, 8}, elementStrides[2] = {1, 1};
};

TEST_F(DriverTensorMapTest, EncodesAndMoves) {
  EXPECT_EQ(encode(), CUDA_SUCCESS);
  EXPECT_EQ(
      d().cuTensorMapReplaceAddress(&map, reinterpret_cast<void *>(p + 16)),
      CUDA_SUCCESS);
  EXPECT_EQ(
      d().cuTensorMapReplaceAddress(&map, reinterpret_cast<void *>(p + 4)),
      CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverTensorMapTest, RefusesEachBrokenRule) {
  EXPECT_EQ(encode(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 0),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(encode(CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 6),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(encode(99), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(encode(CU_TENSOR_MAP_DATA_TYPE_FLOAT32), CUDA_ERROR_INVALID_VALUE)
      << "a row of 256 bytes in a swizzle of 128";
  auto broken = [&](auto &field, auto value) {
    auto before = field;
    field = value;
    CUresult result = encode();
    field = before;
    return result;
  };
  EXPECT_EQ(broken(p, p + 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(broken(p, 0), CUDA_SUCCESS) << "only a copy needs the memory";
  EXPECT_EQ(broken(strides[0], 120), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(broken(sizes[1], 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(broken(box[1], 257), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(broken(box[1], 65536 + 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(broken(elementStrides[1], 9), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(encode(), CUDA_SUCCESS);
}

} // namespace
