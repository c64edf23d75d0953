// cudaGetDeviceProperties: the attributes of the driver in one struct.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Call.h"

using namespace nibble::cuda;

namespace {
struct IntMember {
  int cudaDeviceProp::*member;
  CUdevice_attribute attribute;
};
struct SizeMember {
  size_t cudaDeviceProp::*member;
  CUdevice_attribute attribute;
};
#define MEMBER(NAME, ATTRIBUTE)                                                \
  {&cudaDeviceProp::NAME, CU_DEVICE_ATTRIBUTE_##ATTRIBUTE}
const IntMember kInts[] = {
    MEMBER(regsPerBlock, MAX_REGISTERS_PER_BLOCK),
    MEMBER(warpSize, WARP_SIZE),
    MEMBER(maxThreadsPerBlock, MAX_THREADS_PER_BLOCK),
    MEMBER(major, COMPUTE_CAPABILITY_MAJOR),
    MEMBER(minor, COMPUTE_CAPABILITY_MINOR),
    MEMBER(multiProcessorCount, MULTIPROCESSOR_COUNT),
    MEMBER(integrated, INTEGRATED),
    MEMBER(canMapHostMemory, CAN_MAP_HOST_MEMORY),
    MEMBER(concurrentKernels, CONCURRENT_KERNELS),
    MEMBER(ECCEnabled, ECC_ENABLED),
    MEMBER(pciBusID, PCI_BUS_ID),
    MEMBER(pciDeviceID, PCI_DEVICE_ID),
    MEMBER(pciDomainID, PCI_DOMAIN_ID),
    MEMBER(tccDriver, TCC_DRIVER),
    MEMBER(asyncEngineCount, ASYNC_ENGINE_COUNT),
    MEMBER(unifiedAddressing, UNIFIED_ADDRESSING),
    MEMBER(memoryBusWidth, GLOBAL_MEMORY_BUS_WIDTH),
    MEMBER(l2CacheSize, L2_CACHE_SIZE),
    MEMBER(persistingL2CacheMaxSize, MAX_PERSISTING_L2_CACHE_SIZE),
    MEMBER(maxThreadsPerMultiProcessor, MAX_THREADS_PER_MULTIPROCESSOR),
    MEMBER(streamPrioritiesSupported, STREAM_PRIORITIES_SUPPORTED),
    MEMBER(globalL1CacheSupported, GLOBAL_L1_CACHE_SUPPORTED),
    MEMBER(localL1CacheSupported, LOCAL_L1_CACHE_SUPPORTED),
    MEMBER(regsPerMultiprocessor, MAX_REGISTERS_PER_MULTIPROCESSOR),
    MEMBER(managedMemory, MANAGED_MEMORY),
    MEMBER(isMultiGpuBoard, MULTI_GPU_BOARD),
    MEMBER(multiGpuBoardGroupID, MULTI_GPU_BOARD_GROUP_ID),
    MEMBER(hostNativeAtomicSupported, HOST_NATIVE_ATOMIC_SUPPORTED),
    MEMBER(pageableMemoryAccess, PAGEABLE_MEMORY_ACCESS),
    MEMBER(concurrentManagedAccess, CONCURRENT_MANAGED_ACCESS),
    MEMBER(computePreemptionSupported, COMPUTE_PREEMPTION_SUPPORTED),
    MEMBER(canUseHostPointerForRegisteredMem,
           CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM),
    MEMBER(cooperativeLaunch, COOPERATIVE_LAUNCH),
    MEMBER(maxBlocksPerMultiProcessor, MAX_BLOCKS_PER_MULTIPROCESSOR),
    MEMBER(accessPolicyMaxWindowSize, MAX_ACCESS_POLICY_WINDOW_SIZE),
    MEMBER(hostRegisterSupported, HOST_REGISTER_SUPPORTED),
    MEMBER(memoryPoolsSupported, MEMORY_POOLS_SUPPORTED),
    MEMBER(clusterLaunch, CLUSTER_LAUNCH),
    MEMBER(unifiedFunctionPointers, UNIFIED_FUNCTION_POINTERS),
};
const SizeMember kSizes[] = {
    MEMBER(sharedMemPerBlock, MAX_SHARED_MEMORY_PER_BLOCK),
    MEMBER(memPitch, MAX_PITCH),
    MEMBER(totalConstMem, TOTAL_CONSTANT_MEMORY),
    MEMBER(textureAlignment, TEXTURE_ALIGNMENT),
    MEMBER(texturePitchAlignment, TEXTURE_PITCH_ALIGNMENT),
    MEMBER(surfaceAlignment, SURFACE_ALIGNMENT),
    MEMBER(sharedMemPerMultiprocessor, MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
    MEMBER(sharedMemPerBlockOptin, MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
    MEMBER(reservedSharedMemPerBlock, RESERVED_SHARED_MEMORY_PER_BLOCK),
};
#undef MEMBER
} // namespace

static CUresult readNumbers(cudaDeviceProp &to, CUdevice device) {
  for (const IntMember &entry : kInts)
    if (CUresult result =
            cuDeviceGetAttribute(&(to.*entry.member), entry.attribute, device))
      return result;
  for (const SizeMember &entry : kSizes) {
    int value = 0;
    if (CUresult result = cuDeviceGetAttribute(&value, entry.attribute, device))
      return result;
    to.*entry.member = unsigned(value);
  }
  return CUDA_SUCCESS;
}

/// Largest block and grid: three attributes in a row each.
static CUresult readLimits(cudaDeviceProp &to, CUdevice device) {
  for (int i = 0; i < 3; ++i) {
    auto block = CUdevice_attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + i);
    auto grid = CUdevice_attribute(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X + i);
    if (CUresult result =
            cuDeviceGetAttribute(&to.maxThreadsDim[i], block, device))
      return result;
    if (CUresult result =
            cuDeviceGetAttribute(&to.maxGridSize[i], grid, device))
      return result;
  }
  return CUDA_SUCCESS;
}

extern "C" cudaError_t cudaGetDeviceProperties(cudaDeviceProp *to, int device) {
  *to = {};
  CUresult result = cuInit(0);
  if (!result)
    result = cuDeviceGetName(to->name, sizeof(to->name), device);
  if (!result)
    result = cuDeviceGetUuid_v2(&to->uuid, device);
  if (!result)
    result = cuDeviceTotalMem_v2(&to->totalGlobalMem, device);
  if (!result)
    result = readNumbers(*to, device);
  return note(result ? result : readLimits(*to, device));
}
