// Passes of the GPU lowering that are ours.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TARGET_GPU_PASSES_H
#define NIBBLE_LIB_TARGET_GPU_PASSES_H

#include "mlir/Pass/Pass.h"

namespace nibble {
namespace gpu {

/// Converts what is left in a gpu.module to LLVM and NVVM: memref arguments of
/// kernels become addresses, indices have the width that the module says.
std::unique_ptr<mlir::Pass> createConvertGpuToLlvmPass();

/// Compiles a copy of every gpu.module and fails where that fails: what a
/// reproducer of the code generator runs. Options `chip` and `output`.
std::unique_ptr<mlir::Pass> createCompileKernelsToPtxPass();

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_GPU_PASSES_H
