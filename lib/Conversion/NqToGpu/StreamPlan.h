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

/// A weight of n rows in getStreamLayout. Offsets are bytes of the buffer of
/// argument `argument`.
struct StreamedWeight {
  nq::MatmulOp op; ///< that reads it
  unsigned argument = 0;
  int64_t codes = 0, scales = 0;
};

/// Products of the same tokens, [m, k] of f16 or bf16, row-major, and weights
/// of one format: one, or gate and up.
struct StreamProblem {
  /// Fails with the reason in `why`.
  mlir::LogicalResult read(mlir::func::FuncOp part, std::string &why);

  llvm::SmallVector<StreamedWeight, 2> weights;
  unsigned tokens = 0;         ///< number of an argument
  int64_t m = 0, n = 0, k = 0; ///< of each product
  bool bf16 = false;
  StreamFormat format;
  mlir::Type storage, scale; ///< of weights; no scale if they are plain

  int64_t products() const { return weights.size(); }

  int64_t rowTiles() const { return (n + 15) / 16; }
  /// Along k: two loads of 512 bytes (16 rows), and their scales.
  int64_t pieces() const { return (k + format.pieceK() - 1) / format.pieceK(); }
  /// Bytes of scales of a piece; of codes and scales.
  int64_t scaleBytes() const;
  int64_t pieceBytes() const { return 1024 + scaleBytes(); }
  bool scalesSums() const { return format.block && !format.scalesCodes(); }

private:
  mlir::LogicalResult add(nq::MatmulOp op, std::string &why);
};

/// A block computes `rows` rows, as many of each weight, times all tokens, over
/// a part of k. Its tokens lie in shared memory as a whole. Its warps are
/// groups of rows times groups of k; a warp has `tiles` tiles of 16 rows, and
/// takes `pieces` pieces (StreamProblem) of each, which are copied up to
/// `depth` - 1 pieces ahead into a ring of its own. Two blocks of a cluster,
/// neighbours in k, add their sums among themselves; `parts` of k go through
/// the workspace, to the block that is done last, as larger clusters find no
/// place on all multiprocessors.
struct StreamPlan {
  StreamPlan(const StreamProblem &problem, const GpuTarget &target);

  static constexpr int64_t kLoads = 2;
  int64_t rows = 0, tiles = 0, warps = 0, rowGroups = 0, kGroups = 0,
          cluster = 0, parts = 0;
  int64_t rowsEach = 0;   ///< of one weight
  bool wide = false;      ///< wgmma: four groups of rows are a warpgroup
  int64_t pieces = 0;     ///< of a warp, at most
  int64_t pieceK = 0;     ///< elements
  int64_t tokenTiles = 0; ///< of 8
  int64_t depth = 0;
  int64_t blocks = 0; ///< all; 0 if there is no plan

  bool isCluster() const { return cluster > 1; }
  bool hasParts() const { return parts > 1; }
  /// Sums of all parts: [parts, products, m, n].
  int64_t workspaceFloats(const StreamProblem &problem) const {
    return hasParts() ? parts * problem.products() * problem.m * problem.n : 0;
  }
  /// The block that is done last adds up the parts, or, where they are many
  /// bytes, each block a share of the rows.
  bool sharesSums = false;
  /// Blocks that leave sums for the same rows (and have the same rank in their
  /// cluster) count themselves; if they share the sums, each has a word, too.
  int64_t countersOfRows() const { return sharesSums ? 1 + parts : 1; }
  int64_t counters() const {
    return hasParts() ? blocks / parts * countersOfRows() : 0;
  }
  int64_t threads() const { return warps * 32; }
  int64_t blockK() const { return kGroups * pieces * pieceK; }
  // Shared memory: tokens, in tiles of 64 k (rows of 128 bytes, swizzled); the
  // rings of the warps. One barrier for each two tiles of tokens.
  int64_t tokenTileBytes() const { return tokenTiles * 1024; }
  int64_t tokenBytes() const { return (blockK() + 63) / 64 * tokenTileBytes(); }
  int64_t barriers() const { return (blockK() + 127) / 128; }
  int64_t stageBytes() const { return tiles * pieceBytes; }
  int64_t ringBytes() const { return depth * stageBytes(); }
  /// Sums, [kGroups][tokens][rows] of f32, rows at this pitch; without bank
  /// conflicts.
  int64_t sumPitch() const { return rows + 4; }
  int64_t sumsOfGroup() const { return tokenTiles * 8 * sumPitch(); }
  int64_t sumBytes() const { return kGroups * sumsOfGroup() * 4; }
  /// Behind rings, if there is room, so that no warp waits for others to be
  /// done with those; or in their place, behind a barrier.
  bool hasOwnSums = false;
  int64_t sumsAt() const {
    return hasOwnSums ? tokenBytes() + warps * ringBytes() : 0;
  }
  /// Barriers stand behind everything.
  int64_t barriersAt() const {
    return std::max(tokenBytes() + warps * ringBytes(), sumsAt() + sumBytes());
  }
  /// Words that tell all threads what one has read: what was counted, and, if
  /// sums are shared, of each part.
  int64_t flagsAt() const { return barriersAt() + barriers() * 8; }
  int64_t sharedBytes() const {
    return flagsAt() + (hasParts() ? 8 + parts * 4 : 0);
  }

private:
  bool fit(const StreamProblem &problem, const GpuTarget &target);
  bool fitDepth(int64_t room);
  double cost(const StreamProblem &problem, const GpuTarget &target) const;

  int64_t pieceBytes = 0;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMPLAN_H
