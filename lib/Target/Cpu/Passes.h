// Passes of the CPU lowering that are ours.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TARGET_CPU_PASSES_H
#define NIBBLE_LIB_TARGET_CPU_PASSES_H

#include "mlir/Pass/Pass.h"

namespace nibble {
namespace cpu {

/// Checks the signature of kernels, makes them private (`k` -> `k_impl`), and
/// gives the scratch argument a static type, as bare pointers need it.
std::unique_ptr<mlir::Pass> createPrepareKernelsPass();
/// Adds the exported wrapper `k` to every lowered kernel `k_impl`; makes
/// annotations of loops arrive in LLVM IR.
std::unique_ptr<mlir::Pass> createWrapKernelsPass();
/// Compiles a copy of the module and fails where that fails: what a reproducer
/// of the code generator runs. Option `cpu`.
std::unique_ptr<mlir::Pass> createCompileKernelsToCpuPass();

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_CPU_PASSES_H
