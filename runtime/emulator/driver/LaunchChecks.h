// What a launch asks for, and whether the machine can do it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_LAUNCHCHECKS_H
#define NIBBLE_RT_EMULATOR_DRIVER_LAUNCHCHECKS_H

#include "driver/Driver.h"

namespace nibble {
namespace emu {

/// What attributes of a launch ask for.
struct Wishes {
  Dim3 cluster;
  bool hasCluster = false, cooperative = false;
};

/// `result`, with the name of the kernel and words for nibbleEmuLastFault.
cuda::CUresult
refuseLaunch(const Function &function, const std::string &why,
             cuda::CUresult result = cuda::CUDA_ERROR_INVALID_VALUE);

/// Reads the attributes and the cluster that the kernel itself demands. Those
/// that change no result are accepted; what is not emulated is NOT_SUPPORTED.
cuda::CUresult readAttributes(const Function &function,
                              const cuda::CUlaunchConfig &config,
                              Wishes &wishes);

/// Checks grid, block, cluster and dynamic shared memory against the limits of
/// the machine and of the kernel.
cuda::CUresult checkShape(const Driver &driver, const Function &function,
                          const KernelWork &work, const Wishes &wishes);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_LAUNCHCHECKS_H
