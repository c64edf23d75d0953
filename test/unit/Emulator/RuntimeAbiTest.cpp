// Our declarations of the CUDA runtime API against its header, where there is
// one. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/RuntimeTypes.h"

#include <gtest/gtest.h>

#if __has_include(<cuda_runtime_api.h>)
#include <cuda_runtime_api.h>

namespace ours = nibble::cuda;

#define NIBBLE_RUNTIME_ERROR(NAME, VALUE, TEXT)                                \
  static_assert(int(::NAME) == VALUE, #NAME);
#include "cudart/RuntimeErrors.def"

#define SIZE(TYPE) static_assert(sizeof(ours::TYPE) == sizeof(::TYPE), #TYPE)
#define FIELD(TYPE, NAME)                                                      \
  static_assert(offsetof(ours::TYPE, NAME) == offsetof(::TYPE, NAME) &&        \
                    sizeof(ours::TYPE::NAME) == sizeof(::TYPE::NAME),          \
                #TYPE "::" #NAME)

SIZE(dim3);
FIELD(dim3, x);
FIELD(dim3, y);
FIELD(dim3, z);

SIZE(cudaPointerAttributes);
FIELD(cudaPointerAttributes, type);
FIELD(cudaPointerAttributes, device);
FIELD(cudaPointerAttributes, devicePointer);
FIELD(cudaPointerAttributes, hostPointer);
FIELD(cudaPointerAttributes, reserved);

SIZE(cudaFuncAttributes);
FIELD(cudaFuncAttributes, sharedSizeBytes);
FIELD(cudaFuncAttributes, constSizeBytes);
FIELD(cudaFuncAttributes, localSizeBytes);
FIELD(cudaFuncAttributes, maxThreadsPerBlock);
FIELD(cudaFuncAttributes, numRegs);
FIELD(cudaFuncAttributes, ptxVersion);
FIELD(cudaFuncAttributes, binaryVersion);
FIELD(cudaFuncAttributes, cacheModeCA);
FIELD(cudaFuncAttributes, maxDynamicSharedSizeBytes);
FIELD(cudaFuncAttributes, preferredShmemCarveout);
FIELD(cudaFuncAttributes, clusterDimMustBeSet);
FIELD(cudaFuncAttributes, requiredClusterWidth);
FIELD(cudaFuncAttributes, requiredClusterHeight);
FIELD(cudaFuncAttributes, requiredClusterDepth);
FIELD(cudaFuncAttributes, clusterSchedulingPolicyPreference);
FIELD(cudaFuncAttributes, nonPortableClusterSizeAllowed);
FIELD(cudaFuncAttributes, reserved);

SIZE(cudaLaunchConfig_t);
FIELD(cudaLaunchConfig_t, gridDim);
FIELD(cudaLaunchConfig_t, blockDim);
FIELD(cudaLaunchConfig_t, dynamicSmemBytes);
FIELD(cudaLaunchConfig_t, stream);
FIELD(cudaLaunchConfig_t, attrs);
FIELD(cudaLaunchConfig_t, numAttrs);

SIZE(cudaDeviceProp);
FIELD(cudaDeviceProp, name);
FIELD(cudaDeviceProp, uuid);
FIELD(cudaDeviceProp, luid);
FIELD(cudaDeviceProp, luidDeviceNodeMask);
FIELD(cudaDeviceProp, totalGlobalMem);
FIELD(cudaDeviceProp, sharedMemPerBlock);
FIELD(cudaDeviceProp, regsPerBlock);
FIELD(cudaDeviceProp, warpSize);
FIELD(cudaDeviceProp, memPitch);
FIELD(cudaDeviceProp, maxThreadsPerBlock);
FIELD(cudaDeviceProp, maxThreadsDim);
FIELD(cudaDeviceProp, maxGridSize);
FIELD(cudaDeviceProp, totalConstMem);
FIELD(cudaDeviceProp, major);
FIELD(cudaDeviceProp, minor);
FIELD(cudaDeviceProp, textureAlignment);
FIELD(cudaDeviceProp, texturePitchAlignment);
FIELD(cudaDeviceProp, multiProcessorCount);
FIELD(cudaDeviceProp, integrated);
FIELD(cudaDeviceProp, canMapHostMemory);
FIELD(cudaDeviceProp, surfaceAlignment);
FIELD(cudaDeviceProp, concurrentKernels);
FIELD(cudaDeviceProp, ECCEnabled);
FIELD(cudaDeviceProp, pciBusID);
FIELD(cudaDeviceProp, pciDeviceID);
FIELD(cudaDeviceProp, pciDomainID);
FIELD(cudaDeviceProp, tccDriver);
FIELD(cudaDeviceProp, asyncEngineCount);
FIELD(cudaDeviceProp, unifiedAddressing);
FIELD(cudaDeviceProp, memoryBusWidth);
FIELD(cudaDeviceProp, l2CacheSize);
FIELD(cudaDeviceProp, persistingL2CacheMaxSize);
FIELD(cudaDeviceProp, maxThreadsPerMultiProcessor);
FIELD(cudaDeviceProp, streamPrioritiesSupported);
FIELD(cudaDeviceProp, globalL1CacheSupported);
FIELD(cudaDeviceProp, localL1CacheSupported);
FIELD(cudaDeviceProp, sharedMemPerMultiprocessor);
FIELD(cudaDeviceProp, regsPerMultiprocessor);
FIELD(cudaDeviceProp, managedMemory);
FIELD(cudaDeviceProp, isMultiGpuBoard);
FIELD(cudaDeviceProp, multiGpuBoardGroupID);
FIELD(cudaDeviceProp, hostNativeAtomicSupported);
FIELD(cudaDeviceProp, pageableMemoryAccess);
FIELD(cudaDeviceProp, concurrentManagedAccess);
FIELD(cudaDeviceProp, computePreemptionSupported);
FIELD(cudaDeviceProp, canUseHostPointerForRegisteredMem);
FIELD(cudaDeviceProp, cooperativeLaunch);
FIELD(cudaDeviceProp, sharedMemPerBlockOptin);
FIELD(cudaDeviceProp, pageableMemoryAccessUsesHostPageTables);
FIELD(cudaDeviceProp, directManagedMemAccessFromHost);
FIELD(cudaDeviceProp, maxBlocksPerMultiProcessor);
FIELD(cudaDeviceProp, accessPolicyMaxWindowSize);
FIELD(cudaDeviceProp, reservedSharedMemPerBlock);
FIELD(cudaDeviceProp, hostRegisterSupported);
FIELD(cudaDeviceProp, sparseCudaArraySupported);
FIELD(cudaDeviceProp, hostRegisterReadOnlySupported);
FIELD(cudaDeviceProp, timelineSemaphoreInteropSupported);
FIELD(cudaDeviceProp, memoryPoolsSupported);
FIELD(cudaDeviceProp, gpuDirectRDMASupported);
FIELD(cudaDeviceProp, gpuDirectRDMAFlushWritesOptions);
FIELD(cudaDeviceProp, gpuDirectRDMAWritesOrdering);
FIELD(cudaDeviceProp, memoryPoolSupportedHandleTypes);
FIELD(cudaDeviceProp, deferredMappingCudaArraySupported);
FIELD(cudaDeviceProp, ipcEventSupported);
FIELD(cudaDeviceProp, clusterLaunch);
FIELD(cudaDeviceProp, unifiedFunctionPointers);
FIELD(cudaDeviceProp, deviceNumaConfig);
FIELD(cudaDeviceProp, deviceNumaId);
FIELD(cudaDeviceProp, mpsEnabled);
FIELD(cudaDeviceProp, hostNumaId);
FIELD(cudaDeviceProp, gpuPciDeviceID);
FIELD(cudaDeviceProp, gpuPciSubsystemID);
FIELD(cudaDeviceProp, hostNumaMultinodeIpcSupported);
FIELD(cudaDeviceProp, reserved);

static_assert(offsetof(ours::cudaDeviceProp, noTextures) ==
              offsetof(::cudaDeviceProp, maxTexture1D));
static_assert(sizeof(ours::CUlaunchAttribute) == sizeof(::cudaLaunchAttribute));
static_assert(int(ours::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) ==
              int(::cudaLaunchAttributeClusterDimension));
static_assert(int(ours::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) ==
              int(::cudaFuncAttributeMaxDynamicSharedMemorySize));
static_assert(int(ours::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) ==
              int(::cudaDevAttrMultiProcessorCount));

TEST(RuntimeAbi, DeclarationsAgreeWithTheHeader) {
  EXPECT_EQ(ours::kDriverVersion, CUDART_VERSION);
}
#else
TEST(RuntimeAbi, DeclarationsAgreeWithTheHeader) {
  GTEST_SKIP() << "there is no cuda_runtime_api.h here";
}
#endif
