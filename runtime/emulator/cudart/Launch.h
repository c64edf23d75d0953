// Launches of the CUDA runtime.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_CUDART_LAUNCH_H
#define NIBBLE_RT_EMULATOR_CUDART_LAUNCH_H

#include "cudart/RuntimeTypes.h"

namespace nibble {
namespace cuda {

/// Launches what `symbol` names: a __global__ function or a kernel handle.
/// cudaErrorInvalidConfiguration for grids and blocks that no machine runs.
cudaError_t launch(const void *symbol, const cudaLaunchConfig_t &config,
                   void **arguments);
/// The driver's form of a configuration.
CUlaunchConfig toDriver(const cudaLaunchConfig_t &config);

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_CUDART_LAUNCH_H
