// Memory, copies and fills, and what they refuse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"

#include <vector>

using namespace nibble::cuda;

namespace {

using DriverMemoryTest = DriverTest;

TEST_F(DriverMemoryTest, AllocatesAndFrees) {
  CUdeviceptr address = allocate(1000), begin = 0;
  size_t bytes = 0, freeBefore, freeAfter, total;
  EXPECT_EQ(address % 256, 0u);
  EXPECT_EQ(d().cuMemGetAddressRange_v2(&begin, &bytes, address + 999),
            CUDA_SUCCESS);
  EXPECT_EQ(begin, address);
  EXPECT_EQ(bytes, 1000u);
  EXPECT_EQ(d().cuMemGetInfo_v2(&freeBefore, &total), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemGetInfo_v2(&freeAfter, &total), CUDA_SUCCESS);
  EXPECT_GE(freeAfter, freeBefore);
  EXPECT_LE(freeAfter, total);
}

TEST_F(DriverMemoryTest, RefusesSenselessAllocations) {
  CUdeviceptr address;
  EXPECT_EQ(d().cuMemAlloc_v2(&address, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemAlloc_v2(nullptr, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemAlloc_v2(&address, size_t(1) << 45),
            CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(d().cuMemAllocManaged(&address, 64, 0), CUDA_ERROR_INVALID_VALUE);
  void *host;
  EXPECT_EQ(d().cuMemHostAlloc(&host, 8, 64), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, RefusesToFreeWhatItDidNotGive) {
  CUdeviceptr address = allocate(1000);
  EXPECT_EQ(d().cuMemFree_v2(0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemFree_v2(0x123456), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
  int local = 0;
  EXPECT_EQ(d().cuMemFreeHost(&local), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, CopiesGoOnlyToMemoryThatIsThere) {
  CUdeviceptr address = allocate(1 << 22), end = address + (1 << 22);
  char host[64] = {};
  EXPECT_EQ(d().cuMemcpyHtoD_v2(0x1234000, host, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(host, 0x1234000, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(host, end - 4, 64), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemcpyDtoD_v2(address, end - 4, 64),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemcpyHtoD_v2(address, host, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemsetD8_v2(end - 4, 0, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemsetD32_v2(address + 2, 0, 8), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(host, address, 8), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, CopiesInAllDirections) {
  CUdeviceptr a = allocate(64), b = allocate(64);
  std::vector<uint32_t> in(16), out(16);
  for (uint32_t i = 0; i < 16; ++i)
    in[i] = i * i;
  EXPECT_EQ(d().cuMemcpyHtoD_v2(a, in.data(), 64), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpyDtoDAsync_v2(b, a, 64, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(out.data(), b, 64), CUDA_SUCCESS);
  EXPECT_EQ(in, out);
  in[3] = 77;
  EXPECT_EQ(d().cuMemcpy(b, CUdeviceptr(in.data()), 64), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpy(CUdeviceptr(out.data()), b, 64), CUDA_SUCCESS);
  EXPECT_EQ(out[3], 77u);
}

TEST_F(DriverMemoryTest, CopiesBoxes) {
  CUdeviceptr to = allocate(8 * 32);
  std::vector<uint8_t> from(6 * 10), all(8 * 32);
  for (size_t i = 0; i < from.size(); ++i)
    from[i] = uint8_t(i + 1);
  CUDA_MEMCPY2D c = {};
  c.srcMemoryType = CU_MEMORYTYPE_HOST;
  c.srcHost = from.data();
  c.srcPitch = 10;
  c.srcXInBytes = 2;
  c.srcY = 1;
  c.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  c.dstDevice = to;
  c.dstPitch = 32;
  c.dstXInBytes = 5;
  c.dstY = 3;
  c.WidthInBytes = 7;
  c.Height = 4;
  EXPECT_EQ(d().cuMemcpy2D_v2(&c), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(all.data(), to, all.size()), CUDA_SUCCESS);
  for (size_t y = 0; y < 8; ++y)
    for (size_t x = 0; x < 32; ++x) {
      bool inside = x >= 5 && x < 12 && y >= 3 && y < 7;
      ASSERT_EQ(all[y * 32 + x],
                inside ? from[(y - 3 + 1) * 10 + (x - 5 + 2)] : 0)
          << y << ", " << x;
    }
  c.Height = 6;
  EXPECT_EQ(d().cuMemcpy2D_v2(&c), CUDA_ERROR_INVALID_VALUE)
      << "beyond its end";
  c.Height = 4;
  c.dstPitch = 4;
  EXPECT_EQ(d().cuMemcpy2D_v2(&c), CUDA_ERROR_INVALID_VALUE) << "pitch < width";
  EXPECT_EQ(d().cuMemcpy2D_v2(nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, FillsWithElementsOfAllSizes) {
  CUdeviceptr p = allocate(64);
  EXPECT_EQ(d().cuMemsetD32_v2(p, 0x01020304, 4), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemsetD16_v2(p + 4, 0x5566, 1), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemsetD8Async(p + 8, 0x77, 3, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(read(p), 0x01020304u);
  EXPECT_EQ(read(p + 4), 0x01025566u);
  EXPECT_EQ(read(p + 8), 0x01777777u);
  EXPECT_EQ(d().cuMemsetD2D8_v2(p + 16, 16, 0xEE, 4, 3), CUDA_SUCCESS);
  EXPECT_EQ(read(p + 32), 0xEEEEEEEEu);
  EXPECT_EQ(read(p + 36), 0u);
  EXPECT_EQ(read(p + 48), 0xEEEEEEEEu);
  EXPECT_EQ(d().cuMemsetD2D8_v2(p + 16, 16, 0xEE, 4, 4),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, KnowsWhatAnAddressIs) {
  CUdeviceptr p = allocate(1 << 20), managed;
  unsigned type = 0;
  int local = 0;
  CUdeviceptr host = CUdeviceptr(&local);
  EXPECT_EQ(
      d().cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 8),
      CUDA_SUCCESS);
  EXPECT_EQ(type, unsigned(CU_MEMORYTYPE_DEVICE));
  EXPECT_EQ(
      d().cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host),
      CUDA_ERROR_INVALID_VALUE);
  void *pinned = nullptr;
  EXPECT_EQ(d().cuMemAllocHost_v2(&pinned, 100), CUDA_SUCCESS);
  EXPECT_EQ(d().cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                      CUdeviceptr(pinned)),
            CUDA_SUCCESS);
  EXPECT_EQ(type, unsigned(CU_MEMORYTYPE_HOST));
  EXPECT_EQ(d().cuMemFreeHost(pinned), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemAllocManaged(&managed, 64, CU_MEM_ATTACH_GLOBAL),
            CUDA_SUCCESS);
  unsigned isManaged = 0;
  EXPECT_EQ(d().cuPointerGetAttribute(&isManaged,
                                      CU_POINTER_ATTRIBUTE_IS_MANAGED, managed),
            CUDA_SUCCESS);
  EXPECT_EQ(isManaged, 1u);
}

TEST_F(DriverMemoryTest, AttributesOfUnknownMemoryAreZeros) {
  int local = 0;
  unsigned type = 99;
  CUcontext owner = context;
  CUpointer_attribute which[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                 CU_POINTER_ATTRIBUTE_CONTEXT};
  void *out[] = {&type, &owner};
  EXPECT_EQ(d().cuPointerGetAttributes(2, which, out, CUdeviceptr(&local)),
            CUDA_SUCCESS);
  EXPECT_EQ(type, 0u);
  EXPECT_EQ(owner, nullptr);
}

TEST_F(DriverMemoryTest, KernelsReachRegisteredHostMemory) {
  alignas(4096) static uint32_t host[1024];
  EXPECT_EQ(d().cuMemHostRegister_v2(host, sizeof host, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemHostRegister_v2(host, sizeof host, 0),
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CUdeviceptr address = 0;
  EXPECT_EQ(d().cuMemHostGetDevicePointer_v2(&address, host, 0), CUDA_SUCCESS);
  EXPECT_EQ(launch("store", address, 42), CUDA_SUCCESS);
  EXPECT_EQ(d().cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(host[0], 42u);
  EXPECT_EQ(d().cuMemHostUnregister(host), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemHostUnregister(host),
            CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

TEST_F(DriverMemoryTest, AllocatesInTheOrderOfAStream) {
  CUstream stream;
  CUdeviceptr p = 0;
  EXPECT_EQ(d().cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemAllocAsync(&p, 64, stream), CUDA_SUCCESS);
  EXPECT_EQ(launch("store", p, 5, 1, 0, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(read(p), 5u);
  EXPECT_EQ(d().cuMemFreeAsync(p, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_SUCCESS);
}

} // namespace
