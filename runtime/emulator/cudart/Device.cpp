// Contexts, devices, errors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Call.h"
#include "cudart/Registry.h"

#include <cstring>
#include <mutex>

using namespace nibble::cuda;

int &nibble::cuda::currentDevice() {
  static thread_local int device = 0;
  return device;
}

static int &lastError() {
  static thread_local int error = cudaSuccess;
  return error;
}

cudaError_t nibble::cuda::note(int result) {
  if (result != cudaSuccess)
    lastError() = result;
  return cudaError_t(result);
}

static CUresult retainPrimary(CUcontext &context) {
  static std::mutex mutex;
  static CUcontext primary = nullptr; // kept until the process ends
  std::lock_guard<std::mutex> lock(mutex);
  unsigned flags = 0;
  int active = 0;
  if (CUresult result = cuInit(0))
    return result;
  if (CUresult result =
          cuDevicePrimaryCtxGetState(currentDevice(), &flags, &active))
    return result;
  if (!active || !primary)
    if (CUresult result = cuDevicePrimaryCtxRetain(&primary, currentDevice()))
      return result;
  context = primary;
  return CUDA_SUCCESS;
}

CUresult nibble::cuda::useContext() {
  CUcontext context = nullptr;
  if (cuCtxGetCurrent(&context) == CUDA_SUCCESS && context)
    return CUDA_SUCCESS;
  if (CUresult result = retainPrimary(context))
    return result;
  return cuCtxSetCurrent(context);
}

extern "C" cudaError_t cudaGetLastError() {
  int error = lastError();
  lastError() = cudaSuccess;
  return cudaError_t(error);
}

extern "C" cudaError_t cudaPeekAtLastError() {
  return cudaError_t(lastError());
}

extern "C" const char *cudaGetErrorName(cudaError_t error) {
  switch (int(error)) {
#define NIBBLE_RUNTIME_ERROR(NAME, VALUE, TEXT)                                \
  case VALUE:                                                                  \
    return #NAME;
#include "RuntimeErrors.def"
  }
  return "unrecognized error code";
}

extern "C" const char *cudaGetErrorString(cudaError_t error) {
  const char *text = nullptr;
  switch (int(error)) {
#define NIBBLE_RUNTIME_ERROR(NAME, VALUE, TEXT)                                \
  case VALUE:                                                                  \
    text = TEXT;                                                               \
    break;
#include "RuntimeErrors.def"
  }
  if (text && *text)
    return text;
  return cuGetErrorString(CUresult(error), &text) == CUDA_SUCCESS
             ? text
             : "unrecognized error code";
}

extern "C" cudaError_t cudaDriverGetVersion(int *version) {
  return note(cuDriverGetVersion(version));
}

extern "C" cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = kDriverVersion;
  return cudaSuccess;
}

extern "C" cudaError_t cudaGetDeviceCount(int *count) {
  CUresult result = cuInit(0);
  return note(result ? result : cuDeviceGetCount(count));
}

extern "C" cudaError_t cudaGetDevice(int *device) {
  *device = currentDevice();
  return cudaSuccess;
}

extern "C" cudaError_t cudaSetDevice(int device) {
  int count = 0;
  if (cudaError_t error = cudaGetDeviceCount(&count))
    return error;
  if (device < 0 || device >= count)
    return note(cudaErrorInvalidDevice);
  currentDevice() = device;
  return note(useContext());
}

extern "C" cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return cudaSetDevice(device);
}

extern "C" cudaError_t
cudaDeviceGetAttribute(int *value, CUdevice_attribute attribute, int device) {
  CUresult result = cuInit(0);
  return note(result ? result : cuDeviceGetAttribute(value, attribute, device));
}

extern "C" cudaError_t cudaDeviceReset() {
  if (cudaError_t error = note(useContext()))
    return error;
  Registry::get().forgetLoaded();
  CUresult result = cuDevicePrimaryCtxReset_v2(currentDevice());
  return note(result ? result : cuCtxSetCurrent(nullptr));
}

NIBBLE_CUDART(cudaDeviceSynchronize, (), cuCtxSynchronize())
NIBBLE_CUDART(cudaDeviceGetLimit, (size_t *value, CUlimit limit),
              cuCtxGetLimit(value, limit))
NIBBLE_CUDART(cudaDeviceSetLimit, (CUlimit limit, size_t value),
              cuCtxSetLimit(limit, value))
NIBBLE_CUDART(cudaDeviceGetStreamPriorityRange, (int *least, int *greatest),
              cuCtxGetStreamPriorityRange(least, greatest))

extern "C" cudaError_t
cudaGetDriverEntryPointByVersion(const char *symbol, void **function,
                                 unsigned version, unsigned long long flags,
                                 CUdriverProcAddressQueryResult *status) {
  CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS;
  CUresult result =
      cuGetProcAddress_v2(symbol, function, int(version), flags, &found);
  if (!status)
    return note(result);
  *status = found; // which says that it was not found
  return result == CUDA_ERROR_NOT_FOUND ? cudaSuccess : note(result);
}

extern "C" cudaError_t
cudaGetDriverEntryPoint(const char *symbol, void **function,
                        unsigned long long flags,
                        CUdriverProcAddressQueryResult *status) {
  return cudaGetDriverEntryPointByVersion(symbol, function, kDriverVersion,
                                          flags, status);
}
