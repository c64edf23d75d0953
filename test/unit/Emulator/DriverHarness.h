// A driver for tests: the emulated one, or with NIBBLE_TEST_DRIVER=real the one
// of the system, so that both can be shown to answer alike.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_EMULATOR_DRIVERHARNESS_H
#define NIBBLE_TEST_UNIT_EMULATOR_DRIVERHARNESS_H

#include "device/cuda/DriverTable.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace nibble {
namespace cuda {

inline bool testsRealDriver() {
  const char *which = std::getenv("NIBBLE_TEST_DRIVER");
  return which && std::string(which) == "real";
}

/// Prints "CUDA_ERROR_INVALID_VALUE" where tests fail.
inline void PrintTo(CUresult result, std::ostream *out) {
  switch (result) {
#define NIBBLE_DRIVER_ERROR(NAME, VALUE, TEXT)                                 \
  case NAME:                                                                   \
    *out << #NAME;                                                             \
    return;
#include "device/cuda/DriverErrors.def"
  }
  *out << int(result);
}

/// store: p[tid] = n; add: p[i] += n with atomics; shared: reads dynamic shared
/// memory that it wrote; odd: at any address; traps; asserts; bounded: at most
/// 64 threads; paired: clusters of 2; packed: parameters of all sizes.
inline const char *const kTestPtx = R"(.version 8.0
.target sm_90a
.address_size 64
.global .align 4 .u32 table[4] = {1, 2, 3, 4};
.extern .shared .align 16 .b8 dynamic[];
.visible .entry store(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<4>; .reg .b32 %r<3>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [n]; mov.u32 %r2, %tid.x;
  mul.wide.u32 %rd2, %r2, 4; add.u64 %rd3, %rd1, %rd2;
  st.global.u32 [%rd3], %r1; ret; }
.visible .entry add(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<3>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [n];
  atom.global.add.u32 %r2, [%rd1], %r1; ret; }
.visible .entry shared(.param .u64 p, .param .u32 n) {
  .reg .b64 %rd<2>; .reg .b32 %r<4>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [n]; mov.u32 %r2, dynamic;
  add.u32 %r2, %r2, %r1; st.shared.u32 [%r2], %r1; ld.shared.u32 %r3, [%r2];
  st.global.u32 [%rd1], %r3; ret; }
.visible .entry odd(.param .u64 p) {
  .reg .b64 %rd<2>; .reg .b32 %r<2>; ld.param.u64 %rd1, [p]; mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1; ret; }
.visible .entry traps() { trap; ret; }
.extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c,
                           .param .b64 d, .param .b64 e);
.global .align 1 .b8 text[4] = {105, 62, 48, 0};
.visible .entry asserts() {
  .reg .b64 %rd<2>; mov.u64 %rd1, text; cvta.global.u64 %rd1, %rd1;
  { .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param .b64 e;
    st.param.b64 [a], %rd1; st.param.b64 [b], %rd1; st.param.b32 [c], 12;
    st.param.b64 [d], %rd1; st.param.b64 [e], 1;
    call.uni __assertfail, (a, b, c, d, e); }
  ret; }
.visible .entry bounded() .maxntid 64, 1, 1 { ret; }
.visible .entry paired() .reqnctapercluster 2, 1, 1 { ret; }
.visible .entry packed(.param .u8 a, .param .u64 out, .param .u16 b,
                       .param .align 8 .b8 c[12], .param .f32 d) {
  .reg .b64 %rd<3>; .reg .b32 %r<6>; .reg .b16 %h<3>; .reg .f32 %f<2>;
  ld.param.u64 %rd1, [out]; ld.param.u8 %h1, [a]; ld.param.u16 %h2, [b];
  cvt.u32.u16 %r1, %h1; cvt.u32.u16 %r2, %h2; ld.param.u32 %r3, [c+8];
  ld.param.f32 %f1, [d]; cvt.rzi.u32.f32 %r4, %f1;
  st.global.u32 [%rd1], %r1; st.global.u32 [%rd1+4], %r2;
  st.global.u32 [%rd1+8], %r3; st.global.u32 [%rd1+12], %r4; ret; }
)";

/// A primary context that is current, and the kernels above.
class DriverTest : public ::testing::Test {
protected:
  void SetUp() override {
    auto opened = testsRealDriver() ? DriverTable::openReal()
                                    : DriverTable::openEmulated();
    ASSERT_TRUE(opened.ok()) << opened.status().str();
    table = *opened;
    ASSERT_EQ(d().cuInit(0), CUDA_SUCCESS);
    ASSERT_EQ(d().cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    ASSERT_EQ(d().cuCtxSetCurrent(context), CUDA_SUCCESS);
    ASSERT_EQ(d().cuModuleLoadData(&module, kTestPtx), CUDA_SUCCESS);
  }
  void TearDown() override {
    if (!context)
      return;
    EXPECT_EQ(d().cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    EXPECT_EQ(d().cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    EXPECT_EQ(d().cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
  }

  const DriverTable &d() const { return *table; }
  CUfunction function(const char *name) const {
    CUfunction found = nullptr;
    EXPECT_EQ(d().cuModuleGetFunction(&found, module, name), CUDA_SUCCESS);
    return found;
  }
  CUdeviceptr allocate(size_t bytes) const {
    CUdeviceptr address = 0;
    EXPECT_EQ(d().cuMemAlloc_v2(&address, bytes), CUDA_SUCCESS);
    EXPECT_EQ(d().cuMemsetD8_v2(address, 0, bytes), CUDA_SUCCESS);
    return address;
  }
  uint32_t read(CUdeviceptr address) const {
    uint32_t value = 0xDEAD;
    EXPECT_EQ(d().cuMemcpyDtoH_v2(&value, address, 4), CUDA_SUCCESS);
    return value;
  }
  /// One CTA of `threads` of a kernel (p, n).
  CUresult launch(const char *name, CUdeviceptr p, uint32_t n,
                  unsigned threads = 1, unsigned shared = 0,
                  CUstream stream = nullptr) const {
    void *params[] = {&p, &n};
    return d().cuLaunchKernel(function(name), 1, 1, 1, threads, 1, 1, shared,
                              stream, params, nullptr);
  }

  std::shared_ptr<const DriverTable> table;
  CUcontext context = nullptr;
  CUmodule module = nullptr;
};

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_EMULATOR_DRIVERHARNESS_H
