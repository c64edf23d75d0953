// nq.attention as a tensor-core kernel sees it: operands in memory, by strides.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H

#include "ProductFunction.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "llvm/Support/MathExtras.h"

#include <optional>

namespace nibble {
namespace gpu {

/// A factor of all elements of a tensor: a number, or one that lies in an
/// argument of the part.
struct TensorFactor {
  double number = 1;
  std::optional<unsigned> value; ///< if it is loaded
  int64_t offset = 0;            ///< bytes
  mlir::Type element;            ///< f32, f16 or bf16

  bool isNumber() const { return !value; }
};

/// A tensor [batch, head, position, element] that lies in an argument of the
/// part (operands first, then results). Element i is at offset + sum(strides *
/// i), in elements; strides of dimensions of extent 1 are 0. Elements of 8 bits
/// are codes.
struct StridedTensor {
  unsigned value = 0;
  mlir::Type element;
  int64_t offset = 0;
  std::array<int64_t, 4> strides = {0, 0, 0, 0};
  TensorFactor factor;

  int64_t bytes() const {
    return llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  }
  bool isFloat8() const { return bytes() == 1; }
};

/// What becomes of a rounded result: codes to one scale, which is stored
/// behind them.
struct ResultCodes {
  TensorFactor scale;
  int64_t scaleOffset; ///< bytes from the begin of the result
  bool saturates;
};

/// A row of queries is (query, head) if the heads of a group are rows, so that
/// a tile of keys serves all of them; otherwise a query.
enum class RowOrder {
  Query,       ///< row = query; matrices are heads
  HeadOfGroup, ///< row = head of the group * queries + query
  QueryFirst,  ///< row = query * heads of the group + head of the group
};

/// What a kernel with TMA loads and products of f16, bf16 or FP8 needs to know.
/// Q and K are multiplied as they are, if they have elements of the same size;
/// FP8 is expanded next to 16 bits. Values are multiplied in 16 bits, as they
/// or the weights would lose digits: FP8 is expanded, exactly, and so are codes
/// of weights.
struct AttentionShape {
  int64_t batch, heads, kvHeads, queries, keys, depth, width;
  double scale, softcap;
  bool causal;
  /// Query s sees keys up to s + shift if causal; up to s + length - queries,
  /// if it `followsLength`.
  int64_t shift;
  bool followsLength;
  StridedTensor q, k, v, result;
  /// Of weights and values as operands: f16 or bf16.
  mlir::Type narrow;
  /// What sums are rounded to: that of the result, or before it has codes.
  mlir::Type rounded;
  std::optional<ResultCodes> codes;
  /// What weights are rounded to, after they are divided by their sum.
  std::optional<nq::AttentionOp::WeightCodes> weightCodes;
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
  bool expandsKeys() const { return k.isFloat8() && !q.isFloat8(); }
  bool expandsValues() const { return v.isFloat8(); }
  /// Factors of the scores are loaded.
  bool isScaleLoaded() const {
    return !q.factor.isNumber() || !k.factor.isNumber();
  }
  /// What scores are multiplied by, but for factors that are loaded.
  double scoreScale() const {
    return scale * q.factor.number * k.factor.number;
  }
};

/// Nothing, and in `why` the reason, if an operand is not as the copy engine
/// (16-byte steps, elements of a row together) or the products (f16, bf16 or
/// FP8 with one scale, at most 256 elements of a head) want it.
std::optional<AttentionShape> getAttentionShape(ProductGraph &graph,
                                                std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONSHAPE_H
