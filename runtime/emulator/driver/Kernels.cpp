// Kernels of libraries.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

/// The body of a function about a kernel.
template <typename Body>
static CUresult withKernel(const char *function, CUkernel handle, bool valid,
                           Body body) {
  return withDriver([&](Driver &driver) {
    auto kernel = driver.kernels.find(handle);
    if (!kernel)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    std::string(function) + ": there is no such kernel");
    return valid ? body(*kernel)
                 : refuse(CUDA_ERROR_INVALID_VALUE,
                          std::string(function) + ": a null pointer");
  });
}

static CUfunction functionOf(const Kernel &kernel) {
  return reinterpret_cast<CUfunction>(kernel.function.get());
}

CUresult nibble::cuda::cuKernelGetFunction(CUfunction *out, CUkernel handle) {
  std::shared_ptr<Context> context;
  if (CUresult wrong = withDriver([&](Driver &) { return current(context); }))
    return wrong;
  return withKernel("cuKernelGetFunction", handle, out, [&](Kernel &kernel) {
    *out = functionOf(kernel);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuKernelGetLibrary(CUlibrary *out, CUkernel handle) {
  return withKernel("cuKernelGetLibrary", handle, out, [&](Kernel &kernel) {
    *out = kernel.library;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuKernelGetName(const char **name, CUkernel handle) {
  return withKernel("cuKernelGetName", handle, name, [&](Kernel &kernel) {
    *name = kernel.function->name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuKernelGetAttribute(int *value,
                                            CUfunction_attribute attribute,
                                            CUkernel handle, CUdevice device) {
  if (device != 0)
    return refuse(CUDA_ERROR_INVALID_DEVICE, "there is only device 0");
  return withKernel("cuKernelGetAttribute", handle, true, [&](Kernel &kernel) {
    return cuFuncGetAttribute(value, attribute, functionOf(kernel));
  });
}

CUresult nibble::cuda::cuKernelSetAttribute(CUfunction_attribute attribute,
                                            int value, CUkernel handle,
                                            CUdevice device) {
  if (device != 0)
    return refuse(CUDA_ERROR_INVALID_DEVICE, "there is only device 0");
  return withKernel("cuKernelSetAttribute", handle, true, [&](Kernel &kernel) {
    return cuFuncSetAttribute(functionOf(kernel), attribute, value);
  });
}

CUresult nibble::cuda::cuKernelGetParamInfo(CUkernel handle, size_t index,
                                            size_t *offset, size_t *size) {
  return withKernel("cuKernelGetParamInfo", handle, true, [&](Kernel &kernel) {
    return cuFuncGetParamInfo(functionOf(kernel), index, offset, size);
  });
}
