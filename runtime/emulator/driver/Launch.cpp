// Launches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/LaunchChecks.h"

#include <algorithm>
#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult fromPointers(const Function &function, void **pointers,
                             std::vector<uint8_t> &params) {
  for (const ParamInfo &param : function.code().params) {
    const void *from = pointers ? *pointers++ : nullptr;
    if (!from)
      return refuseLaunch(function,
                          "parameter " + param.name + " is not given");
    std::memcpy(&params[param.offset], from, param.size);
  }
  return CUDA_SUCCESS;
}

static CUresult fromBuffer(const Function &function, void **extra,
                           std::vector<uint8_t> &params) {
  const void *buffer = nullptr;
  const size_t *size = nullptr;
  for (; uintptr_t(*extra) != kParamEnd; extra += 2)
    if (uintptr_t(*extra) == kParamBufferPointer)
      buffer = extra[1];
    else if (uintptr_t(*extra) == kParamBufferSize)
      size = static_cast<const size_t *>(extra[1]);
    else
      return refuseLaunch(function, "an unknown key in `extra`");
  uint32_t needed = function.code().paramBytes;
  if (!buffer || !size || *size < needed || *size > needed + 15)
    return refuseLaunch(function, "`extra` has no buffer of " +
                                      std::to_string(needed) + " bytes");
  std::memcpy(params.data(), buffer, needed);
  return CUDA_SUCCESS;
}

CUresult nibble::emu::prepareLaunch(Driver &driver, CUfunction handle,
                                    const CUlaunchConfig &c,
                                    void **kernelParams, void **extra,
                                    KernelWork &work) {
  work.function = findFunction(driver, handle);
  work.module = work.function ? work.function->owner.lock() : nullptr;
  if (!work.module)
    return refuse(CUDA_ERROR_INVALID_HANDLE, "there is no such function");
  const Function &function = *work.function;
  work.grid = {c.gridDimX, c.gridDimY, c.gridDimZ};
  work.block = {c.blockDimX, c.blockDimY, c.blockDimZ};
  work.dynamicShared = c.sharedMemBytes;
  Wishes wishes;
  if (CUresult wrong = readAttributes(function, c, wishes))
    return wrong;
  work.cluster = wishes.cluster;
  if (CUresult wrong = checkShape(driver, function, work, wishes))
    return wrong;
  if (kernelParams && extra)
    return refuseLaunch(function, "both kernelParams and extra");
  work.params.assign(std::max(function.code().paramBytes, 1u), 0);
  return extra ? fromBuffer(function, extra, work.params)
               : fromPointers(function, kernelParams, work.params);
}

CUresult nibble::cuda::cuLaunchKernelEx(const CUlaunchConfig *config,
                                        CUfunction function, void **params,
                                        void **extra) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (!config)
      return refuse(CUDA_ERROR_INVALID_VALUE, "cuLaunchKernelEx: no config");
    KernelWork work;
    {
      std::lock_guard lock(driver.state);
      if (CUresult wrong =
              prepareLaunch(driver, function, *config, params, extra, work))
        return wrong;
    }
    return submit(driver, context, config->hStream, std::move(work));
  });
}

CUresult nibble::cuda::cuLaunchKernel(CUfunction function, unsigned gridX,
                                      unsigned gridY, unsigned gridZ,
                                      unsigned blockX, unsigned blockY,
                                      unsigned blockZ, unsigned sharedBytes,
                                      CUstream stream, void **params,
                                      void **extra) {
  CUlaunchConfig config = {gridX,  gridY,       gridZ,  blockX,  blockY,
                           blockZ, sharedBytes, stream, nullptr, 0};
  return cuLaunchKernelEx(&config, function, params, extra);
}

CUresult nibble::cuda::cuLaunchCooperativeKernel(
    CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ,
    unsigned blockX, unsigned blockY, unsigned blockZ, unsigned sharedBytes,
    CUstream stream, void **params) {
  CUlaunchAttribute cooperative = {};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  CUlaunchConfig config = {gridX,  gridY,       gridZ,  blockX,       blockY,
                           blockZ, sharedBytes, stream, &cooperative, 1};
  return cuLaunchKernelEx(&config, function, params, nullptr);
}

CUresult nibble::cuda::cuLaunchHostFunc(CUstream stream, CUhostFn function,
                                        void *data) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (!function)
      return refuse(CUDA_ERROR_INVALID_VALUE, "cuLaunchHostFunc: null");
    return submit(driver, context, stream, HostWork{function, data});
  });
}
