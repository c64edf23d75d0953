// Products on tensor cores: NqToTile, then TileToNVVM.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_TILEGEMM_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_TILEGEMM_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// Writes the whole of `function` as one kernel with the schedule that it
/// carries (kScheduleAttr), or the best estimate. Nothing, with the reason in
/// `why`, if it is no such kernel; failure after an error.
mlir::FailureOr<std::optional<GpuKernel>>
emitTileGemm(mlir::func::FuncOp function, mlir::gpu::GPUModuleOp target,
             const GpuTarget &options, std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_TILEGEMM_H
