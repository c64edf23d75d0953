// What a launch asks for, and whether the machine can do it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/LaunchChecks.h"

#include <algorithm>
#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static std::string print(Dim3 d) {
  return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " +
         std::to_string(d.z) + ")";
}

CUresult nibble::emu::refuseLaunch(const Function &function,
                                   const std::string &why, CUresult result) {
  return refuse(result, "kernel " + function.name + ": " + why);
}

/// Attributes that change no result, or that are followed; others are refused.
static CUresult readAttribute(const Function &function,
                              const CUlaunchAttribute &attribute,
                              Wishes &wishes) {
  switch (attribute.id) {
  case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
    CUclusterDim c = attribute.value.clusterDim;
    wishes.cluster = {c.x, c.y, c.z};
    wishes.hasCluster = true;
    return CUDA_SUCCESS;
  }
  case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
    wishes.cooperative = attribute.value.cooperative;
    return CUDA_SUCCESS;
  case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
  // A preference: the cluster dimension itself always fits here.
  case CU_LAUNCH_ATTRIBUTE_IGNORE:
  case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
  case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
  case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
  // Kernels of a stream run one after the other, so that what would come
  // earlier comes at the end of the kernel before.
  case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
  case CU_LAUNCH_ATTRIBUTE_PRIORITY:
  case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
  case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
  case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
  case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
    return CUDA_SUCCESS;
  default:
    return refuseLaunch(function,
                        "launch attribute " + std::to_string(attribute.id) +
                            " is not emulated",
                        int(attribute.id) >= 0 && int(attribute.id) <= 16
                            ? CUDA_ERROR_NOT_SUPPORTED
                            : CUDA_ERROR_INVALID_VALUE);
  }
}

/// The cluster of the kernel itself wins; another one is refused.
static CUresult demandCluster(const Function &function, Wishes &wishes) {
  const uint32_t *required = function.code().requiredCluster;
  if (!required[0])
    return CUDA_SUCCESS;
  Dim3 wanted{required[0], std::max(required[1], 1u),
              std::max(required[2], 1u)};
  if (wishes.hasCluster &&
      std::memcmp(&wanted, &wishes.cluster, sizeof wanted) != 0)
    return refuseLaunch(function,
                        "a cluster of " + print(wishes.cluster) +
                            "; .reqnctapercluster demands " + print(wanted),
                        CUDA_ERROR_INVALID_CLUSTER_SIZE);
  wishes.cluster = wanted;
  return CUDA_SUCCESS;
}

CUresult nibble::emu::readAttributes(const Function &function,
                                     const CUlaunchConfig &config,
                                     Wishes &wishes) {
  if (config.numAttrs && !config.attrs)
    return refuseLaunch(function, "attributes: a null pointer");
  for (unsigned i = 0; i < config.numAttrs; ++i)
    if (CUresult wrong = readAttribute(function, config.attrs[i], wishes))
      return wrong;
  return demandCluster(function, wishes);
}

static CUresult checkBlock(const Function &function, Dim3 grid, Dim3 block) {
  const Code &code = function.code();
  if (!grid.count() || !block.count())
    return refuseLaunch(function, "the launch is empty");
  if (grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535)
    return refuseLaunch(function, "grid " + print(grid) +
                                      "; at most (2147483647, 65535, 65535)");
  uint64_t most =
      code.maxThreads ? std::min(code.maxThreads, kMaxThreads) : kMaxThreads;
  if (block.x > 1024 || block.y > 1024 || block.z > 64 || block.count() > most)
    return refuseLaunch(function, "block " + print(block) +
                                      "; at most (1024, 1024, 64) and " +
                                      std::to_string(most) + " threads");
  return CUDA_SUCCESS;
}

static CUresult checkCluster(const Function &function, Dim3 grid,
                             Dim3 cluster) {
  auto wrong = [&](const std::string &why) {
    return refuseLaunch(function, "cluster " + print(cluster) + ": " + why,
                        CUDA_ERROR_INVALID_CLUSTER_SIZE);
  };
  uint64_t size = cluster.count();
  if (size == 0 || size > kMaxCluster)
    return wrong("1 to 16 CTAs");
  if (size > 8 && !function.nonPortableCluster)
    return wrong("more than 8 CTAs need the function attribute "
                 "NON_PORTABLE_CLUSTER_SIZE_ALLOWED");
  if (grid.x % cluster.x || grid.y % cluster.y || grid.z % cluster.z)
    return wrong("the grid " + print(grid) + " is no multiple of it");
  return CUDA_SUCCESS;
}

static CUresult checkResources(const Driver &driver, const Function &function,
                               const KernelWork &work, const Wishes &wishes) {
  if (work.dynamicShared > function.maxDynamicShared)
    return refuseLaunch(function,
                        std::to_string(work.dynamicShared) +
                            " bytes of dynamic shared memory; allowed are " +
                            std::to_string(function.maxDynamicShared) +
                            ", more with the function attribute "
                            "MAX_DYNAMIC_SHARED_SIZE_BYTES");
  const Target &target = *driver.options.target;
  uint64_t resident = uint64_t(target.sms) *
                      uint64_t(blocksPerSm(target, function, work.block.count(),
                                           work.dynamicShared));
  if (wishes.cooperative && work.grid.count() > resident)
    return refuseLaunch(function,
                        "a cooperative launch of " +
                            std::to_string(work.grid.count()) + " CTAs; " +
                            std::to_string(resident) + " fit at a time",
                        CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  return CUDA_SUCCESS;
}

CUresult nibble::emu::checkShape(const Driver &driver, const Function &function,
                                 const KernelWork &work, const Wishes &wishes) {
  if (CUresult wrong = checkBlock(function, work.grid, work.block))
    return wrong;
  if (CUresult wrong = checkCluster(function, work.grid, work.cluster))
    return wrong;
  return checkResources(driver, function, work, wishes);
}
