// nq.attention as a tensor-core kernel sees it: operands in memory, by strides.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H

#include "ProductFunction.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include <optional>

namespace nibble {
namespace gpu {

/// A tensor [batch, head, position, element] that lies in an argument of the
/// part (operands first, then results). Element i is at offset + sum(strides *
/// i), in elements; strides of dimensions of extent 1 are 0.
struct StridedTensor {
  unsigned value = 0;
  mlir::Type element;
  int64_t offset = 0;
  std::array<int64_t, 4> strides = {0, 0, 0, 0};
};

/// A row of queries is (query, head) if the heads of a group are rows, so that
/// a tile of keys serves all of them; otherwise a query.
enum class RowOrder {
  Query,       ///< row = query; matrices are heads
  HeadOfGroup, ///< row = head of the group * queries + query
  QueryFirst,  ///< row = query * heads of the group + head of the group
};

/// What a kernel with TMA loads and products of f16 or bf16 needs to know.
struct AttentionShape {
  int64_t batch, heads, kvHeads, queries, keys, depth, width;
  double scale, softcap;
  bool causal;
  /// Query s sees keys up to s + shift if causal; up to s + length - queries,
  /// if it `followsLength`.
  int64_t shift;
  bool followsLength;
  bool isBf16;
  StridedTensor q, k, v, result;
  std::optional<StridedTensor> mask;    ///< f32, f16, bf16 or i1
  std::optional<StridedTensor> lengths; ///< [batch], i32 or i64
  RowOrder order;

  int64_t group() const { return heads / kvHeads; }
  bool folds() const { return order != RowOrder::Query; }
  /// Heads that matrices of rows are made of: one each, or a group.
  int64_t matrices() const { return folds() ? kvHeads : heads; }
  int64_t rows() const { return folds() ? group() * queries : queries; }
  /// Elements between rows of q.
  int64_t rowStride() const;
};

/// Nothing, and in `why` the reason, if an operand is not as the copy engine
/// (16-byte steps, elements of a row together) or the products (f16 or bf16, at
/// most 256 elements of a head) want it.
std::optional<AttentionShape> getAttentionShape(ProductGraph &graph,
                                                std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H
