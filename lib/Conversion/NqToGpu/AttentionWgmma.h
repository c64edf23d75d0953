// Attention on Hopper's tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H

#include "AttentionShape.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

namespace nibble {
namespace gpu {

/// How an attention is spread over the machine. A block takes 64 rows per
/// warpgroup and walks over tiles of keys and values, which a warp of its own
/// copies into a ring in shared memory. Blocks of a cluster are splits of the
/// keys of the same rows, whose sums are merged at the end, times sharers:
/// other rows with the same keys, each of which brings a part of a tile for
/// all.
struct AttentionSchedule {
  AttentionSchedule(const AttentionShape &shape, const GpuTarget &target);

  int64_t warpgroups; ///< that multiply, 1, 2 or 3
  int64_t keys;       ///< of a tile, 64 or 128
  int64_t splits;     ///< of the keys: 1, 2, 4 or 8
  int64_t sharers;    ///< of tiles: 1, 2 or 4; 1 if causal
  int64_t slots;      ///< tiles in shared memory
  /// Clusters that walk over the rows, or 0: as many as there are rows for.
  int64_t walkers = 0;

  int64_t rows() const { return 64 * warpgroups; }
  int64_t warps() const { return 4 * warpgroups; }
  int64_t blocksOfCluster() const { return splits * sharers; }
  int64_t rowClusters(const AttentionShape &shape) const {
    return llvm::divideCeil(shape.rows(), rows() * sharers);
  }
  /// Rows of a cluster each.
  int64_t items(const AttentionShape &shape) const {
    return rowClusters(shape) * shape.matrices() * shape.batch;
  }
  /// Of the block. Those behind the warpgroups copy: a warp, or a warpgroup,
  /// which can hand over its registers.
  int64_t threads() const {
    return warpgroups == 1 ? 160 : 128 * (warpgroups + 1);
  }
  /// Of a thread at first; of threads that multiply, and of those that copy.
  int64_t registers() const { return 65536 / threads() / 8 * 8; }
  int64_t consumerRegisters() const { return warpgroups == 3 ? 160 : 232; }
  int64_t producerRegisters() const { return warpgroups == 3 ? 32 : 40; }
  /// Columns of the result, as instructions have them.
  int64_t columns;
  int64_t panelsQK, panelsV; ///< of 64 elements (128 bytes) along a head

  // What a block merges of the rows of its cluster: some warps, or parts of the
  // columns of one.
  int64_t warpsMerged() const { return std::max(warps() / splits, int64_t(1)); }
  int64_t columnParts() const { return std::max(splits / warps(), int64_t(1)); }
  int64_t chunksMerged() const { return columns / 8 / columnParts(); }
  /// 16 bytes of each thread.
  int64_t vectorBytes() const { return warpsMerged() * 32 * 16; }
  int64_t mergeBytes() const {
    return (splits - 1) * chunksMerged() * vectorBytes();
  }
  int64_t factorBytes() const { return (splits - 1) * vectorBytes(); }

  // Bytes from the begin of shared memory. Q, keys and values stand in panels
  // of 128-byte rows, swizzled. Sums from other splits take their place;
  // exponents and totals that go with them have their own.
  int64_t qBytes() const { return panelsQK * rows() * 128; }
  int64_t slotBytes() const { return std::max(panelsQK, panelsV) * keys * 128; }
  int64_t factorsBegin() const {
    return std::max(mergeBytes(), qBytes() + slots * slotBytes());
  }
  int64_t barriers() const { return factorsBegin() + factorBytes(); }
  static int64_t barrierBytes(int64_t slots) { return 8 * (4 + 2 * slots); }
  int64_t sharedBytes() const { return barriers() + barrierBytes(slots); }

private:
  bool fits(const AttentionShape &shape);
  double estimate(const AttentionShape &shape, const GpuTarget &target) const;
};

/// Whether emitAttentionWgmma takes the part.
bool isAttentionWgmma(mlir::func::FuncOp part);

/// A launch that computes the nq.attention of a part (ProductCut.h), or
/// nothing, and in `why` the reason, if tensor cores cannot. Scores, softmax
/// and sums are f32; weights are rounded to the type of the operands as they
/// are multiplied with the values (docs/numerics.md). An error, if one was
/// reported.
mlir::FailureOr<std::optional<GpuKernel>>
emitAttentionWgmma(mlir::func::FuncOp part, mlir::gpu::GPUModuleOp target,
                   const GpuTarget &options, std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H
