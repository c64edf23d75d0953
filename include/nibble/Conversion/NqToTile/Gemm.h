// Products on tensor cores, as tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOTILE_GEMM_H
#define NIBBLE_CONVERSION_NQTOTILE_GEMM_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/Conversion/NqToTile/GemmSchedule.h"
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {

/// Shape of the product of a kernel function or region, or nothing, with the
/// reason in `why`, if this generator does not cover it: one product, or two
/// that share A, of f16, bf16 or FP8 operands stored K-major, whose scales are
/// per tensor or per row, or, of FP8, per 128 k; or of f16 or bf16 and a weight
/// of 4 bits in getFragmentLayout. What follows needs the same row and column
/// only, or the maximum of a block of columns, for a scale.
///
/// With `tensorMemory` (Blackwell), of f16, bf16, FP8 with scales per tensor or
/// per row, or NVFP4, MXFP4 and MXFP8 in getBlockScaledLayout.
std::optional<GemmShape> getTileGemmShape(mlir::Block &body, bool tensorMemory,
                                          std::string &why);

/// The candidate with the best estimate for a kernel function, or nothing, with
/// the reason in `why`.
std::optional<GemmSchedule> estimateSchedule(mlir::Block &body,
                                             const gpu::GpuTarget &chip,
                                             std::string &why);

struct TileGemm {
  tile::KernelOp kernel;
  /// Of each argument of `kernel`: the buffer of the kernel function's
  /// operands and results that it lies in, and the bytes behind its address.
  std::vector<gpu::KernelArg> args;
  int64_t flops = 0;
};

/// Writes `kernel` as a tile.kernel of the same name at the end of `target`.
/// Fails with the reason in `why`.
mlir::FailureOr<TileGemm> buildTileGemm(mlir::func::FuncOp kernel,
                                        const GemmSchedule &schedule,
                                        const gpu::GpuTarget &chip,
                                        mlir::ModuleOp target,
                                        std::string &why);

} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOTILE_GEMM_H
