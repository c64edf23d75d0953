// Conversion passes; see Passes.td for what each one guarantees.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_PASSES_H
#define NIBBLE_CONVERSION_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace nibble {
/// Name of the nested module that holds the loops of the CPU target.
constexpr llvm::StringLiteral kCpuKernelsModule = "cpu_kernels";
/// Name of the gpu.module that holds the kernels of a GPU target.
constexpr llvm::StringLiteral kGpuKernelsModule = "gpu_kernels";

#define GEN_PASS_DECL
#include "lib/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

#endif // NIBBLE_CONVERSION_PASSES_H
