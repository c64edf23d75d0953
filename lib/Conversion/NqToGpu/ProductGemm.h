// Matrix products on the FMA units.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTGEMM_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTGEMM_H

#include "ProductMatrices.h"

namespace nibble {
namespace gpu {

/// A block computes a tile of the result: warps of 4 x 8 threads; a thread has
/// `rowFours` x `columnFours` squares of 4 x 4, 16 rows and 32 columns apart.
struct GemmTile {
  int64_t warpsM, warpsN, rowFours, columnFours;

  int64_t rows() const { return warpsM * rowFours * 16; }
  int64_t columns() const { return warpsN * columnFours * 32; }
  int64_t threads() const { return warpsM * warpsN * 32; }
};

/// How a product is spread over the machine.
struct GemmPlan {
  GemmPlan(const MatrixProduct &product, const GpuTarget &target);

  GemmTile tile;
  int64_t tilesM, tilesN;
  int64_t steps;     ///< of kDepth along K
  int64_t splits;    ///< parts of K, summed by a second launch
  int64_t stepsEach; ///< of one part
  static constexpr int64_t kDepth = 16;
};

/// Launches that compute the product of a part (ProductCut.h). If K is split,
/// partial sums lie in the workspace as f32 [splits, batch, M, N].
mlir::FailureOr<GpuKernel> emitGemm(mlir::func::FuncOp part,
                                    mlir::gpu::GPUModuleOp target,
                                    const GpuTarget &options);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTGEMM_H
