// Launches, attributes of kernels, occupancy.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Launch.h"

#include "cudart/Call.h"
#include "cudart/Registry.h"

using namespace nibble::cuda;

/// Whether every dimension is from 1 to the device's maximum.
static bool fits(const dim3 &size, CUdevice_attribute firstMaximum) {
  const unsigned dims[] = {size.x, size.y, size.z};
  for (int i = 0; i < 3; ++i) {
    int most = 0;
    cuDeviceGetAttribute(&most, CUdevice_attribute(firstMaximum + i),
                         currentDevice());
    if (dims[i] == 0 || dims[i] > unsigned(most))
      return false;
  }
  return true;
}

static bool isConfiguration(const cudaLaunchConfig_t &config) {
  int most = 0;
  cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
                       currentDevice());
  const dim3 &block = config.blockDim;
  return fits(block, CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X) &&
         fits(config.gridDim, CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X) &&
         uint64_t(block.x) * block.y * block.z <= unsigned(most);
}

CUlaunchConfig nibble::cuda::toDriver(const cudaLaunchConfig_t &config) {
  const dim3 &grid = config.gridDim, &block = config.blockDim;
  return {grid.x,
          grid.y,
          grid.z,
          block.x,
          block.y,
          block.z,
          unsigned(config.dynamicSmemBytes),
          config.stream,
          config.attrs,
          config.numAttrs};
}

cudaError_t nibble::cuda::launch(const void *symbol,
                                 const cudaLaunchConfig_t &config,
                                 void **arguments) {
  return call([&]() -> CUresult {
    CUfunction function;
    if (auto result = Registry::get().findFunction(symbol, function))
      return CUresult(result);
    if (!isConfiguration(config))
      return CUresult(cudaErrorInvalidConfiguration);
    if (config.dynamicSmemBytes > ~0u)
      return CUDA_ERROR_INVALID_VALUE;
    CUlaunchConfig driver = toDriver(config);
    return cuLaunchKernelEx(&driver, function, arguments, nullptr);
  });
}

extern "C" cudaError_t cudaLaunchKernel(const void *symbol, dim3 grid,
                                        dim3 block, void **arguments,
                                        size_t shared, CUstream stream) {
  return launch(symbol, {grid, block, shared, stream, nullptr, 0}, arguments);
}

extern "C" cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config,
                                           const void *symbol,
                                           void **arguments) {
  return config ? launch(symbol, *config, arguments)
                : note(cudaErrorInvalidValue);
}

extern "C" cudaError_t
cudaLaunchCooperativeKernel(const void *symbol, dim3 grid, dim3 block,
                            void **arguments, size_t shared, CUstream stream) {
  CUlaunchAttribute cooperative = {};
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  return launch(symbol, {grid, block, shared, stream, &cooperative, 1},
                arguments);
}

NIBBLE_CUDART(cudaLaunchHostFunc,
              (CUstream stream, CUhostFn function, void *data),
              cuLaunchHostFunc(stream, function, data))

/// Runs `body` on the function behind a symbol.
template <typename Body>
static cudaError_t withFunction(const void *symbol, Body body) {
  return call([&]() -> CUresult {
    CUfunction function;
    if (auto result = Registry::get().findFunction(symbol, function))
      return CUresult(result);
    return body(function);
  });
}

static CUresult readAttributes(CUfunction function, cudaFuncAttributes &to) {
  int values[CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE + 1];
  for (int i = 0; i < int(sizeof(values) / sizeof(*values)); ++i)
    if (auto result =
            cuFuncGetAttribute(&values[i], CUfunction_attribute(i), function))
      return result;
  to = {};
  to.maxThreadsPerBlock = values[0];
  to.sharedSizeBytes = values[1];
  to.constSizeBytes = values[2];
  to.localSizeBytes = values[3];
  // From here on members and attributes come in the same order, up to the last
  // two, which change places.
  int *members[] = {&to.numRegs,
                    &to.ptxVersion,
                    &to.binaryVersion,
                    &to.cacheModeCA,
                    &to.maxDynamicSharedSizeBytes,
                    &to.preferredShmemCarveout,
                    &to.clusterDimMustBeSet,
                    &to.requiredClusterWidth,
                    &to.requiredClusterHeight,
                    &to.requiredClusterDepth,
                    &to.nonPortableClusterSizeAllowed,
                    &to.clusterSchedulingPolicyPreference};
  for (int i = 0; i < 12; ++i)
    *members[i] = values[i + 4];
  return CUDA_SUCCESS;
}

extern "C" cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes,
                                             const void *symbol) {
  return withFunction(symbol, [&](CUfunction function) {
    return readAttributes(function, *attributes);
  });
}

extern "C" cudaError_t cudaFuncSetAttribute(const void *symbol,
                                            CUfunction_attribute attribute,
                                            int value) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuFuncSetAttribute(function, attribute, value);
  });
}

extern "C" cudaError_t cudaFuncSetCacheConfig(const void *symbol,
                                              CUfunc_cache config) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuFuncSetCacheConfig(function, config);
  });
}

extern "C" cudaError_t cudaGetFuncBySymbol(CUfunction *function,
                                           const void *symbol) {
  return withFunction(symbol, [&](CUfunction found) {
    *function = found;
    return CUDA_SUCCESS;
  });
}

extern "C" cudaError_t cudaGetKernel(CUkernel *kernel, const void *symbol) {
  return call(
      [&] { return CUresult(Registry::get().findKernel(symbol, *kernel)); });
}

extern "C" cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *blocks, const void *symbol, int threads, size_t shared,
    unsigned flags) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks, function, threads, shared, flags);
  });
}

extern "C" cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *symbol,
                                              int threads, size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
      blocks, symbol, threads, shared, CU_OCCUPANCY_DEFAULT);
}

extern "C" cudaError_t
cudaOccupancyMaxActiveClusters(int *clusters, const void *symbol,
                               const cudaLaunchConfig_t *config) {
  return withFunction(symbol, [&](CUfunction function) {
    CUlaunchConfig driver = toDriver(*config);
    return cuOccupancyMaxActiveClusters(clusters, function, &driver);
  });
}

extern "C" cudaError_t
cudaOccupancyMaxPotentialClusterSize(int *size, const void *symbol,
                                     const cudaLaunchConfig_t *config) {
  return withFunction(symbol, [&](CUfunction function) {
    CUlaunchConfig driver = toDriver(*config);
    return cuOccupancyMaxPotentialClusterSize(size, function, &driver);
  });
}

extern "C" cudaError_t
cudaOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, const void *symbol,
                                          int blocks, int threads) {
  return withFunction(symbol, [&](CUfunction function) {
    return cuOccupancyAvailableDynamicSMemPerBlock(bytes, function, blocks,
                                                   threads);
  });
}
