// Kernels without matrix products, from tensors to kernels of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOGPU_LOOPS_H
#define NIBBLE_CONVERSION_NQTOGPU_LOOPS_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// Writes `kernel` (a function on tensors that `select` outlined, without
/// products) as one or more `gpu.func kernel` into `target`: the name of the
/// kernel, then that with "_1", "_2" ... All take the operands, the results and
/// the workspace (if there is any) as flat memrefs, with the buffers of
/// cpu::lowerKernelToLoops.
///
/// Takes what cpu::lowerKernelToLoops takes, and nq.update of an argument whose
/// new value is a result: operand and result are one buffer then, of which only
/// the rows inside of it are written, and the kernel may compute the rows.
/// Everything else is reported at its location. A kernel with nothing to
/// compute (tensors without elements) has no launches.
///
/// Results are those of the CPU kernel, but for the order of sums, which is
/// fixed: same input, same bits. Nothing is read or written outside of the
/// buffers, whatever indices say.
///
/// Arguments carry `llvm.noalias` unless they are updated; a launch that uses
/// others in place (nibble/Analysis/InPlace.h says which may be) must drop it.
mlir::FailureOr<GpuKernel> lowerLoopsToGpu(mlir::func::FuncOp kernel,
                                           mlir::gpu::GPUModuleOp target,
                                           const GpuTarget &gpu);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOGPU_LOOPS_H
