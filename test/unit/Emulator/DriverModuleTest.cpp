// Modules, libraries and functions, and what they refuse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"

#include <cstring>

using namespace nibble::cuda;

namespace {

using DriverModuleTest = DriverTest;

TEST_F(DriverModuleTest, FindsFunctionsAndVariables) {
  unsigned count = 0;
  EXPECT_EQ(d().cuModuleGetFunctionCount(&count, module), CUDA_SUCCESS);
  EXPECT_EQ(count, 9u);
  CUdeviceptr table = 0;
  size_t bytes = 0;
  EXPECT_EQ(d().cuModuleGetGlobal_v2(&table, &bytes, module, "table"),
            CUDA_SUCCESS);
  EXPECT_EQ(bytes, 16u);
  EXPECT_EQ(read(table + 8), 3u);
  EXPECT_EQ(launch("store", table + 4, 9), CUDA_SUCCESS);
  EXPECT_EQ(read(table + 4), 9u);
  const char *name = nullptr;
  EXPECT_EQ(d().cuFuncGetName(&name, function("add")), CUDA_SUCCESS);
  EXPECT_STREQ(name, "add");
}

TEST_F(DriverModuleTest, RefusesWhatIsNotThere) {
  CUfunction found;
  CUdeviceptr address;
  size_t bytes;
  EXPECT_EQ(d().cuModuleGetFunction(&found, module, "nope"),
            CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(d().cuModuleGetFunction(&found, nullptr, "store"),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(d().cuModuleGetFunction(&found, module, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuModuleGetGlobal_v2(&address, &bytes, module, "nope"),
            CUDA_ERROR_NOT_FOUND);
  CUmodule other;
  EXPECT_EQ(d().cuModuleLoad(&other, "/nonexistent.ptx"),
            CUDA_ERROR_FILE_NOT_FOUND);
  EXPECT_EQ(d().cuModuleLoadData(nullptr, kTestPtx), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuModuleLoadData(&other, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverModuleTest, BadPtxIsToldInTheErrorLog) {
  char log[2000] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
  CUmodule other;
  EXPECT_EQ(d().cuModuleLoadDataEx(&other,
                                   ".version 8.0\n.target sm_90a\n"
                                   ".address_size 64\n"
                                   ".visible .entry k() {\n frobnicate; }",
                                   2, options, values),
            CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(std::strstr(log, "line 5"), nullptr) << log;
  EXPECT_NE(std::strstr(log, "frobnicate"), nullptr) << log;
}

TEST_F(DriverModuleTest, AShortErrorLogIsCutNotOverrun) {
  char log[16];
  std::memset(log, '#', sizeof log);
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(size_t(8))};
  CUmodule other;
  EXPECT_EQ(d().cuModuleLoadDataEx(&other,
                                   ".version 8.0\n.target sm_90a\n"
                                   ".address_size 64\n"
                                   ".visible .entry k() {\n frobnicate; }",
                                   2, options, values),
            CUDA_ERROR_INVALID_PTX);
  for (size_t i = 8; i < sizeof log; ++i)
    EXPECT_EQ(log[i], '#') << i;
}

TEST_F(DriverModuleTest, RefusesPtxOfOtherMachines) {
  CUmodule other;
  EXPECT_EQ(d().cuModuleLoadData(&other, ".version 9.0\n.target sm_100a\n"
                                         ".address_size 64\n"
                                         ".visible .entry k() { ret; }"),
            CUDA_ERROR_INVALID_PTX);
  EXPECT_EQ(d().cuModuleLoadData(&other, ".version 8.0\n.target sm_80\n"
                                         ".address_size 64\n"
                                         ".visible .entry k() { ret; }"),
            CUDA_SUCCESS);
}

TEST_F(DriverModuleTest, RefusesMachineCodeAndJunk) {
  CUmodule other;
  char elf[64] = "\x7f"
                 "ELF";
  EXPECT_NE(d().cuModuleLoadData(&other, elf), CUDA_SUCCESS);
  EXPECT_EQ(d().cuModuleLoadData(&other, "garbage"), CUDA_ERROR_INVALID_IMAGE);
  if (testsRealDriver())
    return;
  nibble::rt::Status status =
      d().check(d().cuModuleLoadData(&other, elf), "loading");
  EXPECT_NE(status.str().find("embed PTX"), std::string::npos) << status.str();
}

TEST_F(DriverModuleTest, HandlesEndWithTheirModule) {
  CUfunction store = function("store");
  CUdeviceptr p = allocate(64);
  uint32_t n = 1;
  void *params[] = {&p, &n};
  EXPECT_EQ(d().cuModuleUnload(module), CUDA_SUCCESS);
  if (testsRealDriver())
    return; // a real driver follows stale handles
  EXPECT_EQ(d().cuModuleUnload(module), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(
      d().cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr),
      CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(DriverModuleTest, LibrariesGiveKernelsThatLaunch) {
  CUlibrary library;
  CUkernel kernel;
  CUfunction asFunction;
  ASSERT_EQ(d().cuLibraryLoadData(&library, kTestPtx, nullptr, nullptr, 0,
                                  nullptr, nullptr, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(d().cuLibraryGetKernel(&kernel, library, "nope"),
            CUDA_ERROR_NOT_FOUND);
  ASSERT_EQ(d().cuLibraryGetKernel(&kernel, library, "store"), CUDA_SUCCESS);
  ASSERT_EQ(d().cuKernelGetFunction(&asFunction, kernel), CUDA_SUCCESS);
  CUdeviceptr p = allocate(64);
  uint32_t n = 21;
  void *params[] = {&p, &n};
  // A kernel may stand where a function is wanted.
  for (CUfunction f : {asFunction, reinterpret_cast<CUfunction>(kernel)}) {
    EXPECT_EQ(
        d().cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr),
        CUDA_SUCCESS);
    EXPECT_EQ(read(p), n);
    ++n;
  }
  EXPECT_EQ(d().cuLibraryUnload(library), CUDA_SUCCESS);
}

/// What is wrong with a library is told by what uses it.
TEST_F(DriverModuleTest, LibrariesAreLoadedLazily) {
  auto use = [&](const char *image) {
    CUlibrary library;
    CUkernel kernel;
    EXPECT_EQ(d().cuLibraryLoadData(&library, image, nullptr, nullptr, 0,
                                    nullptr, nullptr, 0),
              CUDA_SUCCESS);
    CUresult result = d().cuLibraryGetKernel(&kernel, library, "store");
    EXPECT_EQ(d().cuLibraryUnload(library), CUDA_SUCCESS);
    return result;
  };
  EXPECT_EQ(use("garbage"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_EQ(use(".version 8.0\n.target sm_90a\n.address_size 64\nnonsense"),
            CUDA_ERROR_INVALID_PTX);
}

TEST_F(DriverModuleTest, ParametersHaveOffsetsAndSizes) {
  struct {
    size_t offset, size;
  } wanted[] = {{0, 1}, {8, 8}, {16, 2}, {24, 12}, {36, 4}};
  size_t offset, size, index = 0;
  for (auto &w : wanted) {
    EXPECT_EQ(d().cuFuncGetParamInfo(function("packed"), index, &offset, &size),
              CUDA_SUCCESS);
    EXPECT_EQ(offset, w.offset) << index;
    EXPECT_EQ(size, w.size) << index;
    ++index;
  }
  EXPECT_EQ(d().cuFuncGetParamInfo(function("packed"), index, &offset, &size),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverModuleTest, AttributesOfFunctions) {
  int value = 0;
  CUfunction f = function("bounded");
  EXPECT_EQ(d().cuFuncGetAttribute(&value,
                                   CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, f),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 64);
  EXPECT_EQ(d().cuFuncGetAttribute(
                &value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, f),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 49152);
  EXPECT_EQ(d().cuFuncGetAttribute(&value,
                                   CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH,
                                   function("paired")),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 2);
  EXPECT_EQ(d().cuFuncGetAttribute(&value, CUfunction_attribute(99), f),
            CUDA_ERROR_INVALID_VALUE);
  auto set = [&](CUfunction_attribute which, int to) {
    return d().cuFuncSetAttribute(f, which, to);
  };
  EXPECT_EQ(set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 232448),
            CUDA_SUCCESS);
  EXPECT_EQ(set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 232449),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(set(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, -1),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(set(CU_FUNC_ATTRIBUTE_NUM_REGS, 3), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(set(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 101),
            CUDA_ERROR_INVALID_VALUE);
}

} // namespace
