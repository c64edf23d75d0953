// The CUDA runtime on the emulator, called as nvcc's code calls it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "OwnProcess.h"
#include "cudart/RuntimeTypes.h"

#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <vector>
#include <zstd.h>

using namespace nibble::cuda;

extern "C" {
void **__cudaRegisterFatBinary(void *);
void __cudaRegisterFatBinaryEnd(void **);
void __cudaUnregisterFatBinary(void **);
void __cudaRegisterFunction(void **, const char *, char *, const char *, int,
                            void *, void *, void *, void *, int *);
void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int,
                       int);
unsigned __cudaPushCallConfiguration(dim3, dim3, size_t, CUstream);
cudaError_t __cudaPopCallConfiguration(dim3 *, dim3 *, size_t *, void *);
cudaError_t cudaLaunchKernel(const void *, dim3, dim3, void **, size_t,
                             CUstream);
cudaError_t cudaMalloc(void **, size_t);
cudaError_t cudaFree(void *);
cudaError_t cudaMemcpy(void *, const void *, size_t, cudaMemcpyKind);
cudaError_t cudaMemcpyToSymbol(const void *, const void *, size_t, size_t,
                               cudaMemcpyKind);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t);
}

namespace {

const std::string kPtx = R"(.version 9.0
.target sm_80
.address_size 64
.global .u32 addend = 5;
.entry addTo(.param .u64 data, .param .u32 n) {
.reg .pred %p; .reg .b32 %r<6>; .reg .b64 %d<4>;
mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
mad.lo.u32 %r1, %r2, %r3, %r1; ld.param.u32 %r4, [n];
setp.ge.u32 %p, %r1, %r4; @%p ret;
ld.param.u64 %d1, [data]; mad.wide.u32 %d1, %r1, 4, %d1;
ld.global.u32 %r5, [%d1]; ld.global.u32 %r3, [addend];
add.u32 %r5, %r5, %r3; st.global.u32 [%d1], %r5; ret;
}
)";

template <typename T> void put(std::string &out, T value) {
  out.append(reinterpret_cast<const char *>(&value), sizeof(value));
}

/// A fat binary with one Zstandard entry.
std::string fatBinary(const std::string &ptx) {
  std::string payload(ptx.size() + 1000, '\0');
  size_t size =
      ZSTD_compress(&payload[0], payload.size(), ptx.data(), ptx.size(), 3);
  payload.resize((size + 7) / 8 * 8);
  std::string out;
  for (uint32_t word : {0xBA55ED50u, 0x00100001u})
    put(out, word);
  put<uint64_t>(out, 64 + payload.size());
  for (uint32_t word : {0x01010001u, 64u})
    put(out, word);
  put<uint64_t>(out, payload.size());
  for (uint32_t word : {uint32_t(size), 0u, 9u << 16, 80u, 0u, 0u})
    put(out, word);
  for (uint64_t word : {uint64_t(0x8011), uint64_t(0), uint64_t(ptx.size())})
    put(out, word);
  return out + payload;
}

/// What nvcc makes of a file with a kernel and a variable.
class Program {
public:
  explicit Program(const std::string &ptx) : fat(fatBinary(ptx)) {
    wrapper.data = fat.data();
    handle = __cudaRegisterFatBinary(&wrapper);
    __cudaRegisterFunction(handle, &kernel, nullptr, "addTo", -1, nullptr,
                           nullptr, nullptr, nullptr, nullptr);
    __cudaRegisterVar(handle, &variable, nullptr, "addend", 0, 4, 0, 0);
    __cudaRegisterFatBinaryEnd(handle);
  }
  ~Program() { __cudaUnregisterFatBinary(handle); }

  /// addTo<<<blocks, threads>>>(data, n)
  cudaError_t launch(unsigned blocks, unsigned threads, void *data,
                     uint32_t n) {
    __cudaPushCallConfiguration({blocks, 1, 1}, {threads, 1, 1}, 0, nullptr);
    dim3 grid, block;
    size_t shared = 0;
    CUstream stream = nullptr;
    if (auto error =
            __cudaPopCallConfiguration(&grid, &block, &shared, &stream))
      return error;
    void *arguments[] = {&data, &n};
    return cudaLaunchKernel(&kernel, grid, block, arguments, shared, stream);
  }

  char kernel = 0, variable = 0;

private:
  struct {
    uint32_t magic = 0x466243B1, version = 1;
    const void *data = nullptr, *more = nullptr;
  } wrapper;
  std::string fat;
  void **handle;
};

std::vector<uint32_t> addTo(Program &program, std::vector<uint32_t> values) {
  void *data = nullptr;
  size_t bytes = values.size() * 4;
  EXPECT_EQ(cudaMalloc(&data, bytes), cudaSuccess);
  cudaMemcpy(data, values.data(), bytes, cudaMemcpyHostToDevice);
  EXPECT_EQ(program.launch(unsigned(values.size() + 31) / 32, 32, data,
                           uint32_t(values.size())),
            cudaSuccess);
  cudaMemcpy(values.data(), data, bytes, cudaMemcpyDeviceToHost);
  EXPECT_EQ(cudaFree(data), cudaSuccess);
  return values;
}

TEST(Cudart, RunsARegisteredKernel) {
  Program program(kPtx);
  std::vector<uint32_t> values(101), expected(101);
  for (uint32_t i = 0; i < 101; ++i) {
    values[i] = i * i;
    expected[i] = i * i + 5;
  }
  EXPECT_EQ(addTo(program, values), expected);
}

TEST(Cudart, WritesARegisteredVariable) {
  Program program(kPtx);
  uint32_t nine = 9;
  EXPECT_EQ(cudaMemcpyToSymbol(&program.variable, &nine, 4, 0,
                               cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(addTo(program, {1, 2}), (std::vector<uint32_t>{10, 11}));
  EXPECT_EQ(cudaMemcpyToSymbol(&program.variable, &nine, 4, 1,
                               cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);
}

TEST(Cudart, LoadsAnewAfterAReset) {
  Program program(kPtx);
  EXPECT_EQ(addTo(program, {1}), std::vector<uint32_t>{6});
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
  EXPECT_EQ(addTo(program, {1}), std::vector<uint32_t>{6});
}

TEST(Cudart, RefusesWhatIsNotRegistered) {
  Program program(kPtx);
  char other = 0;
  EXPECT_EQ(cudaLaunchKernel(&other, {1, 1, 1}, {1, 1, 1}, nullptr, 0, nullptr),
            cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaMemcpyToSymbol(&other, &other, 1, 0, cudaMemcpyHostToDevice),
            cudaErrorInvalidSymbol);
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidSymbol),
               "invalid device symbol");
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidSymbol);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Cudart, RefusesConfigurations) {
  Program program(kPtx);
  EXPECT_EQ(program.launch(1, 1025, nullptr, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(program.launch(0, 32, nullptr, 0), cudaErrorInvalidConfiguration);
  dim3 size;
  size_t bytes;
  CUstream stream;
  EXPECT_EQ(__cudaPopCallConfiguration(&size, &size, &bytes, &stream),
            cudaErrorMissingConfiguration);
}

TEST(Cudart, SaysWhyAProgramDoesNotLoad) {
  Program later(".version 9.0\n.target sm_120a\n.address_size 64\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(later.launch(1, 1, nullptr, 0), cudaErrorNoKernelImageForDevice);
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("PTX of sm_120a"), std::string::npos) << text;
  Program broken(".version 9.0\n.target sm_90a\n.address_size 64\n.entry k() { "
                 "nonsense; }\n");
  EXPECT_EQ(broken.launch(1, 1, nullptr, 0), cudaErrorInvalidPtx);
}

/// The process is lost, as with a device; no reset helps.
TEST(Cudart, AFaultStays) {
  nibble::inOwnProcess([] {
    Program program(kPtx);
    testing::internal::CaptureStderr();
    program.launch(1, 32, reinterpret_cast<void *>(64), 32);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_NE(text.find("addTo"), std::string::npos) << text;
    void *data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorIllegalAddress);
    EXPECT_EQ(cudaDeviceReset(), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&data, 4), cudaErrorIllegalAddress);
  });
}

} // namespace
