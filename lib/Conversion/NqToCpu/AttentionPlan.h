// Sizes of an attention kernel: how rows, keys and heads are cut into blocks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONPLAN_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONPLAN_H

#include "nibble/Conversion/NqToCpu/AttentionKernel.h"

namespace nibble {
namespace cpu {

/// Rows of a *stack* of query heads, which share a kv head and follow each
/// other in q, are cut into tiles of at most 6, the tiles into blocks. A stack
/// has more than one head only if all its rows fit into one block (decoding).
struct AttentionPlan {
  /// Requires whyNoAttention(op).empty().
  explicit AttentionPlan(nq::AttentionOp op);

  nq::AttentionOp op;
  int64_t batch, heads, kvHeads, queries, keys, depth, width;

  int64_t stack;                     ///< heads of a stack
  int64_t rows;                      ///< of a stack
  int64_t tiles, tileRows, bigTiles; ///< bigTiles of tileRows, others one less
  int64_t tilesPerBlock, rowBlocks, rowsPerBlock;

  int64_t panels;         ///< of 16 keys
  int64_t panelsPerChunk; ///< that are packed at a time
  int64_t chunks;
  int64_t keysPerSum; ///< that all rows take before the next ones are read
  int64_t pitch;      ///< floats from row to row of the scores
  int64_t columns;    ///< width, rounded up to 16

  /// Scratch: queries as f32 (unless they are), packed keys, packed values,
  /// scores, sums. Offsets in bytes.
  int64_t keysAt, valuesAt, scoresAt, sumsAt, scratchBytes;

  double scale, softcap;
  bool causal;
  /// Query s sees keys up to s + shift if causal; up to s + length - queries,
  /// if it `followsLength`.
  int64_t shift;
  bool followsLength;
  int64_t lengths; ///< numbers of keys, loaded: one, one per batch entry, or 0
  llvm::SmallVector<int64_t, 4> maskStrides; ///< over [B, Hq, S, T]
  /// What weights are rounded to, if they are.
  std::optional<nq::AttentionOp::WeightCodes> codes;

  /// Multiplications of all rows.
  int64_t work() const {
    return batch * heads * queries * keys * (depth + width);
  }
  /// Keys and values are packed once for all row blocks of a stack.
  bool packsOnce() const { return chunks == 1 && !isDirect; }
  bool packsChunks() const { return chunks > 1 && !isDirect; }
  /// Few rows: keys and values are used where they lie, which costs less than
  /// packing them.
  bool isDirect;
  /// Sums pass through memory between pieces of keys.
  bool sumsInPieces() const { return keysPerSum < keys || packsChunks(); }
  /// Something besides the scale happens to scores before the softmax.
  bool adjusts() const { return softcap != 0 || !maskStrides.empty(); }
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONPLAN_H
