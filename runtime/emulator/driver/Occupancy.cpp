// Occupancy: what fits on the machine at a time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

#include <algorithm>

using namespace nibble::cuda;
using namespace nibble::emu;

/// Shared memory of a CTA with what the system takes, in steps of 128 bytes.
static uint64_t sharedOf(const Function &function, uint64_t dynamic) {
  uint64_t bytes = function.code().sharedEnd + dynamic + kSharedReserved;
  return (bytes + 127) / 128 * 128;
}

/// Limits: threads, CTAs, shared memory, registers (in units of 256 per warp,
/// warps in fours).
int nibble::emu::blocksPerSm(const Target &target, const Function &function,
                             uint64_t threads, uint64_t dynamicShared) {
  uint64_t warps = (threads + 31) / 32;
  if (threads == 0 || threads > kMaxThreads ||
      dynamicShared > function.maxDynamicShared)
    return 0;
  uint64_t registers = uint64_t(registersOf(function.code())) * 32;
  registers = (registers + 255) / 256 * 256;
  uint64_t warpsByRegisters = kRegistersPerSm / 4 / registers * 4;
  return int(std::min({uint64_t(target.threadsPerSm) / (warps * 32),
                       uint64_t(target.blocksPerSm),
                       kSharedPerSm / sharedOf(function, dynamicShared),
                       warpsByRegisters / warps}));
}

/// The body of a question about a function.
template <typename Body>
static CUresult ask(const char *name, CUfunction handle, bool valid,
                    Body body) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    return onFunction(driver, name, handle, valid, "null, or a senseless size",
                      body);
  });
}

CUresult nibble::cuda::cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *blocks, CUfunction handle, int threads, size_t shared,
    unsigned flags) {
  return ask("cuOccupancyMaxActiveBlocksPerMultiprocessor", handle,
             blocks && threads > 0 && flags <= 1,
             [&](Driver &driver, Function &function) {
               *blocks = blocksPerSm(*driver.options.target, function,
                                     uint64_t(threads), shared);
               return CUDA_SUCCESS;
             });
}

CUresult nibble::cuda::cuOccupancyMaxActiveBlocksPerMultiprocessor(
    int *blocks, CUfunction handle, int threads, size_t shared) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
      blocks, handle, threads, shared, 0);
}

CUresult nibble::cuda::cuOccupancyAvailableDynamicSMemPerBlock(
    size_t *bytes, CUfunction handle, int blocks, int threads) {
  return ask(
      "cuOccupancyAvailableDynamicSMemPerBlock", handle,
      bytes && blocks > 0 && threads > 0, [&](Driver &, Function &function) {
        uint64_t each = kSharedPerSm / uint64_t(blocks) / 128 * 128;
        uint64_t fixed = sharedOf(function, 0);
        *bytes = each > fixed
                     ? std::min<uint64_t>(
                           each - fixed, kMaxShared - function.code().sharedEnd)
                     : 0;
        return CUDA_SUCCESS;
      });
}

static Dim3 clusterOf(const Function &function, const CUlaunchConfig &config) {
  const uint32_t *required = function.code().requiredCluster;
  Dim3 cluster{std::max(required[0], 1u), std::max(required[1], 1u),
               std::max(required[2], 1u)};
  for (unsigned i = 0; config.attrs && i < config.numAttrs; ++i)
    if (config.attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
      CUclusterDim c = config.attrs[i].value.clusterDim;
      cluster = {c.x, c.y, c.z};
    }
  return cluster;
}

static uint64_t threadsOf(const CUlaunchConfig &config) {
  return uint64_t(config.blockDimX) * config.blockDimY * config.blockDimZ;
}

CUresult
nibble::cuda::cuOccupancyMaxActiveClusters(int *clusters, CUfunction handle,
                                           const CUlaunchConfig *config) {
  return ask(
      "cuOccupancyMaxActiveClusters", handle, clusters && config,
      [&](Driver &driver, Function &function) {
        uint64_t size = clusterOf(function, *config).count();
        if (size == 0 || size > (function.nonPortableCluster ? 16 : 8))
          return refuse(CUDA_ERROR_INVALID_CLUSTER_SIZE,
                        "a cluster of " + std::to_string(size) + " CTAs");
        const Target &target = *driver.options.target;
        uint64_t blocks = uint64_t(blocksPerSm(
            target, function, threadsOf(*config), config->sharedMemBytes));
        *clusters = int(blocks * uint64_t(target.sms) / size);
        return CUDA_SUCCESS;
      });
}

CUresult
nibble::cuda::cuOccupancyMaxPotentialClusterSize(int *size, CUfunction handle,
                                                 const CUlaunchConfig *config) {
  return ask("cuOccupancyMaxPotentialClusterSize", handle, size && config,
             [&](Driver &driver, Function &function) {
               int blocks =
                   blocksPerSm(*driver.options.target, function,
                               threadsOf(*config), config->sharedMemBytes);
               *size = blocks == 0                   ? 0
                       : function.nonPortableCluster ? int(kMaxCluster)
                                                     : 8;
               return CUDA_SUCCESS;
             });
}
