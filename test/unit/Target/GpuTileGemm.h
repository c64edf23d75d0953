// Kernel functions that are one product on tensor cores, on the emulated GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPUTILEGEMM_H
#define NIBBLE_TEST_UNIT_TARGET_GPUTILEGEMM_H

#include "GpuFusedHarness.h"
#include "TileGemm.h"

namespace nibble {
namespace test {

/// The whole function as one kernel on tensor cores.
inline mlir::FailureOr<gpu::GpuKernel>
asOneKernel(mlir::func::FuncOp function, mlir::gpu::GPUModuleOp target) {
  std::string why;
  auto kernel = gpu::emitTileGemm(function, target, getTestTarget(), why);
  if (mlir::succeeded(kernel) && *kernel)
    return **kernel;
  return function.emitError() << why;
}

inline void checkTileGemm(const std::string &text, double limit,
                          unsigned seed = 1) {
  SCOPED_TRACE(text);
  GpuFusedRun run(text, /*onCpu=*/false, asOneKernel);
  EXPECT_EQ(run.gpuError, "");
  run.checks.scale = 0.25;
  run.checks.lowScale = -6;
  run.checks.highScale = -3;
  run.checkNear(limit, seed);
}

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPUTILEGEMM_H
