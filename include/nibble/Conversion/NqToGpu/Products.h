// Kernels with matrix products or attention on the FMA units of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOGPU_PRODUCTS_H
#define NIBBLE_CONVERSION_NQTOGPU_PRODUCTS_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// True if the kernel function holds nq.matmul or nq.attention.
bool isProductKernel(mlir::func::FuncOp kernel);

/// Writes a kernel with nq.matmul or nq.attention, whatever else it holds, into
/// `target`; symbols begin with the name of the kernel. Products are exact up
/// to f32 sums (docs/numerics.md): an element is decoded to f32 from its bits,
/// `code * scale` is rounded to f32 unless the scale is the same for all of a
/// row, which is multiplied to the sum; sums are f32 FMAs in an order that
/// depends on nothing but the shape. A product of a kernel is a launch of its
/// own (two if K is split); what is computed from products, or is not worth
/// computing once per tile in front of them, are launches of lowerLoopsToGpu;
/// what launches hand over lies in the workspace.
///
/// Takes operands of any format up to 32 bits, in any layout, plain or scaled,
/// and what lowerLoopsToGpu takes around them. An error at the op names what is
/// not taken, and why; nothing useful is left in `target` then.
mlir::FailureOr<GpuKernel> lowerProductsToGpu(mlir::func::FuncOp kernel,
                                              mlir::gpu::GPUModuleOp target,
                                              const GpuTarget &options);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOGPU_PRODUCTS_H
