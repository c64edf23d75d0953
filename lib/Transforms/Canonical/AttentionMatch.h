// The decomposed form of attention, read from its last product.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_CANONICAL_ATTENTIONMATCH_H
#define NIBBLE_TRANSFORMS_CANONICAL_ATTENTIONMATCH_H

#include "GraphMatch.h"
#include "nibble/Dialect/Quant/NqOps.h"

namespace nibble {

/// What is added to the scores, or selects among them.
struct ScoreMask {
  mlir::Value value;
  /// i1: positions where `value` is `visibleIf` keep their score, the others
  /// get `masked`. Otherwise a float that is added.
  bool isSelect = false, visibleIf = true;
  double masked = 0;
  /// Dimensions of the scores that it meets.
  int64_t rank = 4;
};

/// An operand without factors and repeats: matrices [rows, columns] for every
/// batch entry and head, in that order.
struct HeadsOperand {
  mlir::Value value;
  int64_t heads = 0, rows = 0, columns = 0;
  /// The matrices are the transposed ones of what nq.attention takes.
  bool transposed = false;

  int64_t getRows() const { return transposed ? columns : rows; }
  int64_t getColumns() const { return transposed ? rows : columns; }
};

/// softmax(softcap(scale * q k^T) + masks) v, the softmax maybe quantized.
struct AttentionMatch {
  nq::MatmulOp scores, output;
  HeadsOperand q, k, v;
  double scale = 1, softcap = 0;
  /// Innermost first.
  llvm::SmallVector<ScoreMask, 2> masks;
  /// What the softmax is quantized to, if it is.
  std::optional<nq::AttentionOp::WeightCodes> codes;
  /// B and H.
  int64_t batch = 0, heads = 0;
  /// Element type of the scores where the masks meet them.
  mlir::Type maskedType;
  Trace trace;
  /// Why something that looks like attention is not recognized.
  std::string refusal;
};

/// The attention that ends in `output`; nothing if its left operand is not a
/// softmax, or codes of one.
std::optional<AttentionMatch> readAttention(nq::MatmulOp output);

/// The operand as nq.attention takes it: [batch, heads, rows, columns].
mlir::Value makeHeads(mlir::OpBuilder &b, mlir::Location loc,
                      const HeadsOperand &operand, int64_t batch);

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_CANONICAL_ATTENTIONMATCH_H
