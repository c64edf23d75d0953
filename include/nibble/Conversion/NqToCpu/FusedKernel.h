// Kernels with matrix products or attention and the ops that follow them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_FUSEDKERNEL_H
#define NIBBLE_CONVERSION_NQTOCPU_FUSEDKERNEL_H

#include "nibble/Conversion/NqToCpu/KernelToLoops.h"

#include <string>

namespace nibble {
namespace cpu {

/// True if the kernel function holds matmuls among other ops, or attention.
bool isFusedKernel(mlir::func::FuncOp kernel);

struct FusedKernel {
  KernelInfo info;
  int64_t flops = 0; ///< of products, attention and statistics of rows
};

/// Writes a kernel of matmuls or attention and what follows them into `target`,
/// under its own name; the function looks like that of lowerKernelToLoops,
/// operands are bytes. An error at the kernel where `whyNoKernel` gives a
/// reason.
mlir::FailureOr<FusedKernel> lowerFusedKernel(mlir::func::FuncOp kernel,
                                              mlir::ModuleOp target);

/// "" if the CPU target runs the ops of `op` (an nq.region or a kernel
/// function) as one kernel, or what stands in the way: exactly what the
/// lowering itself finds. Weights have their panel layout already.
std::string whyNoKernel(mlir::Operation *op);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_FUSEDKERNEL_H
