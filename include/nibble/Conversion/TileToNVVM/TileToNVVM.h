// Kernels of the dialect `tile` as code for Hopper and Blackwell.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_TILETONVVM_TILETONVVM_H
#define NIBBLE_CONVERSION_TILETONVVM_TILETONVVM_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {

/// Writes `kernel` as an `llvm.func` of its name into `target`, and says how it
/// is launched. The function is NVVM and LLVM ops;
/// what stood in the kernel as arith, math, scf or vector ops, and the bodies
/// of epilogues, still are such ops, for gpu::buildGpuLowerKernelsPipeline.
///
/// KernelArg::value counts the arguments of the tile.kernel. In their order, an
/// argument becomes: a memref, one tensor map for each distinct (box, swizzle)
/// of its tile.load and tile.store, then a pointer if an epilogue or a
/// memref.load reads it; a scalar, KernelArg::Bytes with empty bytes, which the
/// caller fills.
///
/// Rows, columns and elements beyond the end of an operand of an epilogue are
/// read as some element inside it; they are not stored. arith.truncf
/// to FP8 is left to the pipeline (gpu-convert-float8).
///
/// Fails with an error that names the layer and the reason; nothing is left in
/// `target` then.
mlir::FailureOr<gpu::KernelLaunch>
lowerTileKernel(tile::KernelOp kernel, mlir::gpu::GPUModuleOp target);

} // namespace nibble

#endif // NIBBLE_CONVERSION_TILETONVVM_TILETONVVM_H
