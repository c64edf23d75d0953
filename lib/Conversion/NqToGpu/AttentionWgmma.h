// Attention on Hopper's tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONWGMMA_H

#include "AttentionShape.h"

namespace nibble {
namespace gpu {

/// How an attention is spread over the machine. A block takes 64 rows per
/// warpgroup and walks over tiles of keys and values, which a warp of its own
/// copies into a ring in shared memory. The blocks of a cluster have the same
/// rows and share the tiles; what they find is merged at the end.
struct AttentionSchedule {
  AttentionSchedule(const AttentionShape &shape, const GpuTarget &target);

  int64_t warpgroups; ///< that multiply, 1 or 2
  int64_t keys;       ///< of a tile, 64 or 128
  int64_t splits;     ///< blocks of a cluster: 1, 2, 4 or 8
  int64_t slots;      ///< tiles in shared memory

  int64_t rows() const { return 64 * warpgroups; }
  /// Of the block. Those behind the warpgroups copy: a warp, or a warpgroup,
  /// which can hand over its registers.
  int64_t threads() const { return warpgroups == 1 ? 160 : 384; }
  int64_t consumerRegisters() const { return 224; }
  /// Columns of the result, as instructions have them.
  int64_t columns;
  int64_t panelsQK, panelsV; ///< of 64 elements (128 bytes) along a head

  // Bytes from the begin of shared memory. Q, keys and values stand in panels
  // of 128-byte rows, swizzled. The sums that are merged or stored take the
  // place of all that.
  int64_t qBytes() const { return panelsQK * rows() * 128; }
  int64_t slotBytes() const { return std::max(panelsQK, panelsV) * keys * 128; }
  /// Of a row of sums: a multiple of 128 and 32, so that the four rows that a
  /// half warp stores at once are in different banks.
  int64_t sumsPitch() const { return (columns * 4 + 127) / 128 * 128 + 32; }
  /// Per row: exponent, total; then factors per split.
  int64_t rowsBegin() const { return rows() * sumsPitch(); }
  int64_t factorsBegin() const { return rowsBegin() + 8 * rows(); }
  int64_t barriers() const {
    int64_t exchange = factorsBegin() + 4 * rows() * splits;
    int64_t ring = qBytes() + slots * slotBytes();
    return (std::max(exchange, ring) + 127) / 128 * 128;
  }
  int64_t sharedBytes() const { return barriers() + 8 * (1 + 2 * slots); }

private:
  void spread(const AttentionShape &shape, const GpuTarget &target);
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
