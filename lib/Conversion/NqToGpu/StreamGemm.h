// Products of few rows: the weight is read once, as fast as memory gives it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMGEMM_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMGEMM_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// The product of a part (ProductCut.h) as one kernel. The weight is operand A,
/// expanded to f16 or bf16 in registers, exactly: of wgmma, or up to 16 tokens
/// or if sums are scaled of mma.sync.m16n8k16, 16 rows to a warp. Tokens are B,
/// eight at a time, padded with zeros; a tensor map brings all of a block's.
/// Sums are f32: of a warp, over its pieces; then of warps, then of the blocks
/// of a cluster, in that order. Codes and scales come to shared memory by
/// cp.async, several pieces ahead.
/// Nothing, with the reason in `why`, if it is no such product.
mlir::FailureOr<std::optional<GpuKernel>>
emitStreamGemm(mlir::func::FuncOp part, mlir::gpu::GPUModuleOp target,
               const GpuTarget &options, std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMGEMM_H
