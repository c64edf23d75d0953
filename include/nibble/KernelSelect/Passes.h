// Passes that choose kernels; see Passes.td.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_PASSES_H
#define NIBBLE_KERNELSELECT_PASSES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace nibble {
/// Attributes of a region that has its kernel.
constexpr llvm::StringLiteral kKernelClassAttr = "nibble.kernel_class";
constexpr llvm::StringLiteral kMathAttr = "nibble.math";
/// Schedule of a region or kernel (GemmSchedule.h), if its class has one.
constexpr llvm::StringLiteral kScheduleAttr = "nibble.schedule";
/// Formats that a region may fall to (strings), in the user's order.
constexpr llvm::StringLiteral kPermittedAttr = "nibble.permitted";

/// Of a matmul whose weights were rounded to FP8: by how much, as text.
constexpr llvm::StringLiteral kRoundedAttr = "nibble.rounded";

#define GEN_PASS_DECL
#include "lib/KernelSelect/Passes.h.inc"

class FallbackPolicy;
/// `permit-fallbacks` with permissions, which must outlive it; null: none.
std::unique_ptr<mlir::Pass>
createPermitFallbacksPass(const FallbackPolicy *fallbacks);
/// `select-kernels` with permissions, which must outlive it; null: none.
/// `tuning` is a database besides the built-in one, or empty; `locked`: refuse
/// shapes that were not measured.
std::unique_ptr<mlir::Pass> createSelectKernelsPass(llvm::StringRef target,
                                                    FallbackPolicy *fallbacks,
                                                    llvm::StringRef tuning = {},
                                                    bool locked = false);

#define GEN_PASS_REGISTRATION
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

#endif // NIBBLE_KERNELSELECT_PASSES_H
