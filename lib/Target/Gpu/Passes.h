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

/// gpu-expand-math: exp, exp2, tanh, erf of f32, logistic functions and
/// 1 + tanh by ex2.approx and rcp.approx, to 1e-6 of the result (see
/// docs/numerics.md). Before cpu-expand-math, which does all others.
std::unique_ptr<mlir::Pass> createExpandMathPass();

/// gpu-convert-float8: arith.truncf from f32 to f8E4M3FN or f8E5M2, and
/// arith.extf from them, as conversions of pairs. truncf rounds to nearest
/// even; beyond the largest number it is NaN (E5M2: infinity), which costs
/// nothing where the operand is visibly clamped. Bounds of just the largest
/// number (arith.minimumf, arith.maximumf) are a part of the instruction.
std::unique_ptr<mlir::Pass> createConvertFloat8Pass();

/// gpu-convert-pairs: in code for Blackwell (nibble/Support/GpuChip.h),
/// arith.extf of pairs of bf16 by the bits of words, so that what was rounded
/// stays in pairs, and rounded products of pairs as one instruction; bit for
/// bit what they were.
std::unique_ptr<mlir::Pass> createConvertPairsPass();

/// gpu-overlap-launches: griddepcontrol.wait and launch_dependents where a
/// kernel begins, if it has none.
std::unique_ptr<mlir::Pass> createOverlapLaunchesPass();

/// Compiles a copy of every gpu.module and fails where that fails: what a
/// reproducer of the code generator runs. Options `chip` and `output`.
std::unique_ptr<mlir::Pass> createCompileKernelsToPtxPass();

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_GPU_PASSES_H
