// Kernels of the dialect `tile`: text for a configuration, code for Hopper,
// runs on the emulated driver, and results to the accumulation bound.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_TILEKERNEL_H
#define NIBBLE_TEST_UNIT_TARGET_TILEKERNEL_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include <string>
#include <vector>

namespace nibble {
namespace test {

/// D = f(A * transpose(B)): A is m x k, B is n x k.
struct TileConfig {
  enum Kind {
    Scaled, ///< alpha * x
    Full,   ///< row[m] * col[n] * x + element[m, n]
    Gated,  ///< of neighbouring columns: alpha * x0 * x1
    Both,   ///< of two products that share A: alpha * x * y
    Tanh,   ///< tanh(alpha * x)
  };
  int64_t m = 64, n = 64, k = 128;
  std::string a = "f8E4M3FN", b = "f8E4M3FN", out = "f16";
  int64_t tileM = 128, tileN = 128, stages = 3, warpgroups = 2;
  int64_t turns = 1; ///< tileM is that of warpgroups / turns
  int64_t clusterM = 1, clusterN = 1;
  int64_t splits = 1; ///< of K: a cluster for each tile
  std::string raster = "m, group 2";
  int64_t clusters = 2;  ///< in the grid
  int64_t swizzle = 128; ///< bytes of K in a stage
  Kind kind = Scaled;
  int64_t width = 2, panel = 0 /* the widest */, buffers = 2;
  bool transposed = false;
  bool registers = true;

  int64_t rowsOut() const { return transposed ? n : m; }
  int64_t columnsOut() const {
    return transposed ? m : kind == Gated ? n / 2 : n;
  }
  std::string str() const;
  std::string text() const; ///< the tile.kernel
};

/// Compiled; `error` says why not.
struct TileKernel {
  explicit TileKernel(const TileConfig &config);
  TileConfig config;
  gpu::KernelLaunch launch;
  std::string ptx, error;
};

/// Runs on random numbers with outliers, results poisoned, `runs` times with
/// other orders. "" or what is wrong with the results.
std::string runTileKernel(const TileKernel &kernel, unsigned seed,
                          unsigned runs = 2);

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_TILEKERNEL_H
