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
/// copies into a ring in shared memory. Blocks of a cluster have the same rows
/// and share the keys; each merges some columns of the sums at the end. (Blocks
/// of a cluster with other rows and the same keys, each of which copied a part
/// of every tile for all, gained nothing on an H200.) FP8 tiles that are
/// expanded come into a ring of their own; three more warps write what they
/// stand for into that of the warpgroups.
struct AttentionSchedule {
  AttentionSchedule(const AttentionShape &shape, const GpuTarget &target);

  int64_t warpgroups; ///< that multiply, 1 or 2
  int64_t keys;       ///< of a tile, 64, 80 or 128
  int64_t splits;     ///< blocks of a cluster: 1, 2, 4 or 8
  int64_t slots;      ///< tiles in shared memory
  int64_t rawSlots;   ///< FP8 tiles there that are to be expanded
  /// Clusters that walk over the rows, or 0: as many as there are rows for.
  int64_t walkers = 0;

  int64_t rows() const { return 64 * warpgroups; }
  int64_t warps() const { return 4 * warpgroups; }
  int64_t rowBlocks(const AttentionShape &shape) const {
    return llvm::divideCeil(shape.rows(), rows());
  }
  /// Rows of a cluster each.
  int64_t items(const AttentionShape &shape) const {
    return rowBlocks(shape) * shape.matrices() * shape.batch;
  }
  /// Of the block. Those behind the warpgroups copy: a warp, or a warpgroup,
  /// which can hand over its registers, or whose other warps expand.
  int64_t threads() const {
    return warpgroups == 1 && !expands() ? 160 : 128 * (warpgroups + 1);
  }
  static constexpr int64_t kExpanders = 3; ///< warps
  /// Of a thread at first; of threads that multiply, and of those that copy.
  int64_t registers() const { return 65536 / threads() / 8 * 8; }
  int64_t consumerRegisters() const { return 232; }
  int64_t producerRegisters() const { return 40; }
  /// Columns of the result, as instructions have them.
  int64_t columns;
  int64_t panelsQK, panelsV;  ///< of 128 bytes along a head
  int64_t rawKeys, rawValues; ///< bytes along a head that is expanded, or 0
  bool expands() const { return rawKeys + rawValues > 0; }

  // Chunks of 8 columns, which the splits merge some of each. A thread sends 16
  // bytes of a chunk, and one of four as many for what belongs to the rows.
  int64_t firstChunk(int64_t part) const { return columns / 8 * part / splits; }
  int64_t mostChunks() const { return llvm::divideCeil(columns / 8, splits); }
  int64_t vectorBytes() const { return warps() * 32 * 16; }
  int64_t mergeBytes() const {
    return (splits - 1) * mostChunks() * vectorBytes();
  }
  int64_t factorBytes() const { return (splits - 1) * vectorBytes() / 4; }

  // Bytes from the begin of shared memory. Q, keys and values stand in panels
  // of 128-byte rows, swizzled. Sums from other splits take their place;
  // exponents and totals that go with them have their own.
  int64_t qBytes() const { return panelsQK * rows() * 128; }
  int64_t slotBytes() const { return std::max(panelsQK, panelsV) * keys * 128; }
  int64_t rawBegin() const { return qBytes() + slots * slotBytes(); }
  int64_t rawBytes() const { return std::max(rawKeys, rawValues) * keys; }
  int64_t factorsBegin() const {
    return std::max(mergeBytes(), rawBegin() + rawSlots * rawBytes());
  }
  int64_t barriers() const { return factorsBegin() + factorBytes(); }
  static int64_t barrierBytes(int64_t slots) { return 8 * (6 + 2 * slots); }
  int64_t sharedBytes() const {
    return barriers() + barrierBytes(slots + rawSlots);
  }

protected:
  /// For a kernel with a schedule of its own, which sets all.
  AttentionSchedule() = default;

private:
  bool walks(const AttentionShape &shape) const;
  bool fits(const AttentionShape &shape, const GpuTarget &target);
  void findSlots();
  double estimate(const AttentionShape &shape, const GpuTarget &target) const;
};

/// Whether emitAttentionWgmma takes the part.
bool isAttentionWgmma(mlir::func::FuncOp part);

/// A launch that computes the nq.attention of a part (ProductCut.h), or
/// nothing, and in `why` the reason, if tensor cores cannot. Scores, softmax
/// and sums are f32; weights are rounded to 16 bits as they are multiplied with
/// the values, or, in a second walk over the keys, to the codes that the graph
/// quantizes them to (docs/numerics.md). An error, if one was reported.
mlir::FailureOr<std::optional<GpuKernel>>
emitAttentionWgmma(mlir::func::FuncOp part, mlir::gpu::GPUModuleOp target,
                   const GpuTarget &options, std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H
