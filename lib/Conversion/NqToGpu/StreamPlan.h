// Products of few rows with a weight that is streamed: what they are, and how
// they are spread over the machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMPLAN_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMPLAN_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/KernelSelect/StreamLayout.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
namespace gpu {

/// One product: tokens [m, k] of f16 or bf16, row-major, and a weight of n rows
/// in getStreamLayout. Offsets are bytes of the buffers of the part's
/// arguments.
struct StreamProblem {
  /// Fails with the reason in `why`.
  mlir::LogicalResult read(mlir::func::FuncOp part, std::string &why);

  nq::MatmulOp op;
  unsigned tokens = 0, weight = 0; ///< numbers of arguments
  int64_t m = 0, n = 0, k = 0;
  bool bf16 = false;
  StreamFormat format;
  mlir::Type storage, scale; ///< of the weight; no scale if it is plain
  int64_t codes = 0, scales = 0;

  int64_t rowTiles() const { return (n + 15) / 16; }
  /// Along k: two loads of 512 bytes (16 rows), and their scales.
  int64_t pieces() const { return (k + format.pieceK() - 1) / format.pieceK(); }
  /// Bytes of scales of a piece.
  int64_t scaleBytes() const;
};

/// A block computes `rows` rows of the weight times all tokens, over a part of
/// k. Two blocks that share k are a cluster, and add their sums there; sums of
/// more go through the workspace, to a second launch, as larger clusters find
/// no place on all multiprocessors at once. Its warps are groups of rows times
/// groups of k; a warp has `tiles` tiles of 16 rows. In each step, a warp takes
/// a piece (kStep elements of k) of each tile.
struct StreamPlan {
  StreamPlan(const StreamProblem &problem, const GpuTarget &target);

  static constexpr int64_t kLoads = 2;
  int64_t rows = 0, tiles = 0, warps = 0, rowGroups = 0, kGroups = 0,
          splits = 0;
  int64_t kStep = 0;      ///< of a warp
  int64_t tokenTiles = 0; ///< of 8
  int64_t steps = 0;      ///< of a block
  int64_t stages = 0;
  int64_t blocks = 0; ///< all

  bool isCluster() const { return splits == 2; }
  bool hasSecondPass() const { return splits > 2; }
  int64_t workspaceFloats(const StreamProblem &problem) const {
    return hasSecondPass() ? splits * problem.m * problem.n : 0;
  }
  int64_t threads() const { return warps * 32; }
  int64_t blockK() const { return kGroups * kStep; }
  // Shared memory of a stage: codes of all warps, scales, tokens. Rows of
  // tokens have a pitch that keeps eight of them in different banks.
  int64_t codesOfWarp() const { return tiles * kLoads * 512; }
  int64_t scalesOfWarp() const { return tiles * scaleBytes; }
  int64_t scalesAt() const { return warps * codesOfWarp(); }
  int64_t tokensAt() const { return scalesAt() + warps * scalesOfWarp(); }
  int64_t tokenPitch() const { return blockK() * 2 + 16; }
  int64_t stageBytes() const {
    return tokensAt() + tokenTiles * 8 * tokenPitch();
  }
  /// Sums, [kGroups][tokens][rows] of f32, rows at this pitch; without bank
  /// conflicts.
  int64_t sumPitch() const { return rows + 4; }
  int64_t sumsOfGroup() const { return tokenTiles * 8 * sumPitch(); }
  /// Barriers of stages stand behind everything.
  int64_t barriersAt() const {
    return std::max(stages * stageBytes(), kGroups * sumsOfGroup() * 4);
  }
  int64_t sharedBytes() const { return barriersAt() + stages * 8; }

private:
  bool fit(const StreamProblem &problem, const GpuTarget &target);
  double residents() const;
  double cost(const StreamProblem &problem, const GpuTarget &target) const;

  int64_t scaleBytes = 0;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMPLAN_H
