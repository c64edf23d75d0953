// The functions that nvcc's code calls: registration, <<<>>>.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Call.h"
#include "cudart/Launch.h"
#include "cudart/Registry.h"

#include <cstdio>
#include <vector>

using namespace nibble::cuda;

using Binary = Registry::Binary;

/// The handle is opaque to the program.
static Binary *binaryOf(void **handle) {
  return reinterpret_cast<Binary *>(handle);
}

extern "C" void **__cudaRegisterFatBinary(void *wrapper) {
  return reinterpret_cast<void **>(Registry::get().add(wrapper));
}

extern "C" void __cudaRegisterFatBinaryEnd(void **) {}

extern "C" void __cudaUnregisterFatBinary(void **handle) {
  Registry::get().remove(binaryOf(handle));
}

extern "C" void __cudaRegisterFunction(void **handle, const char *symbol,
                                       char *, const char *name, int, void *,
                                       void *, void *, void *, int *) {
  Registry::get().addKernel(binaryOf(handle), symbol, name);
}

extern "C" void __cudaRegisterVar(void **handle, char *symbol, char *,
                                  const char *name, int, size_t bytes, int,
                                  int) {
  Registry::get().addVariable(binaryOf(handle), symbol, name, bytes, nullptr);
}

extern "C" void __cudaRegisterManagedVar(void **handle, void **pointer, char *,
                                         const char *name, int, size_t bytes,
                                         int, int) {
  Registry::get().addVariable(binaryOf(handle), pointer, name, bytes, pointer);
}

extern "C" char __cudaInitModule(void **handle) {
  return call([&] { return CUresult(Registry::get().load(binaryOf(handle))); })
             ? 0
             : 1;
}

// What <<<>>> says, until the stub of the kernel asks for it.
static thread_local std::vector<cudaLaunchConfig_t> configurations;

extern "C" unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block,
                                                size_t shared,
                                                CUstream stream) {
  configurations.push_back({grid, block, shared, stream, nullptr, 0});
  return 0;
}

extern "C" cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block,
                                                  size_t *shared,
                                                  void *stream) {
  if (configurations.empty())
    return note(cudaErrorMissingConfiguration);
  cudaLaunchConfig_t &top = configurations.back();
  *grid = top.gridDim;
  *block = top.blockDim;
  *shared = top.dynamicSmemBytes;
  *static_cast<CUstream *>(stream) = top.stream;
  configurations.pop_back();
  return cudaSuccess;
}

extern "C" cudaError_t __cudaGetKernel(CUkernel *kernel, const void *symbol) {
  return call(
      [&] { return CUresult(Registry::get().findKernel(symbol, *kernel)); });
}

extern "C" cudaError_t __cudaLaunchKernel(CUkernel kernel, dim3 grid,
                                          dim3 block, void **arguments,
                                          size_t shared, CUstream stream) {
  return launch(kernel, {grid, block, shared, stream, nullptr, 0}, arguments);
}

extern "C" cudaError_t __cudaLaunchKernel_ptsz(CUkernel kernel, dim3 grid,
                                               dim3 block, void **arguments,
                                               size_t shared, CUstream stream) {
  return __cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
