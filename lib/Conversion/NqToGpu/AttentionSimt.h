// Attention on the FMA units.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSIMT_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSIMT_H

#include "ProductMatrices.h"

namespace nibble {
namespace gpu {

/// nq.attention as matrices of one (batch, kv head): rows of queries are (head
/// of the group, query).
struct AttentionMatrices {
  AttentionMatrices(cpu::KernelGraph &graph, nq::AttentionOp op);

  int64_t batch, heads, kvHeads, queries, keys, depth, width;
  MatrixOperand q, k, v; ///< v: rows are columns of the result
  MatrixResult result;
  /// Element of the mask: an f32 or an i1; null if there is none.
  std::function<cpu::Node *(cpu::Dag &, const cpu::Lin &batch,
                            const cpu::Lin &row, const cpu::Lin &key)>
      mask;
  /// Number of keys of a matrix, an integer; null if all are there.
  std::function<cpu::Node *(cpu::Dag &, const cpu::Lin &batch)> length;
  double scale, softcap;
  bool causal;
  /// Query s sees keys up to s + shift if causal; up to s + length - queries,
  /// if it `followsLength`.
  int64_t shift;
  bool followsLength = false;
  /// What weights are rounded to, after they are divided by their sum.
  std::optional<nq::AttentionOp::WeightCodes> codes;

  int64_t group() const { return heads / kvHeads; }
  int64_t rows() const { return group() * queries; }
};

/// Sizes of the kernel: a block of 16 x 16 threads takes `16 * rowsEach` rows
/// and walks over tiles of 64 keys; a thread has `rowsEach` x 4 scores and
/// `rowsEach` x (4 * fours) sums of the result.
struct AttentionTile {
  explicit AttentionTile(const AttentionMatrices &matrices);

  int64_t rowsEach, fours;
  int64_t keysEach; ///< rows of V in shared memory at a time
  int64_t rows() const { return 16 * rowsEach; }
  static constexpr int64_t kKeys = 64, kDepth = 32, kThreads = 256;
};

/// A launch that computes the nq.attention of a part (ProductCut.h): scores and
/// sums in f32, softmax online over tiles of keys in order; exp as on the CPU.
/// If weights become codes, a first walk finds maximum and sum of each row.
/// Keys behind the causal limit of a block of rows, and behind the length that
/// is loaded, are not read, but for the rest of a tile.
mlir::FailureOr<GpuKernel> emitAttention(mlir::func::FuncOp part,
                                         mlir::gpu::GPUModuleOp target,
                                         const GpuTarget &options);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSIMT_H
