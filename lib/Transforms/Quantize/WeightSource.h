// WeightSource: the constant matrices of a matmul, read row by row.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_QUANTIZE_WEIGHTSOURCE_H
#define NIBBLE_LIB_TRANSFORMS_QUANTIZE_WEIGHTSOURCE_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include <memory>
#include <string>

namespace nibble {

/// The bytes of a plain float constant (f16, bf16 or f32), where the file has
/// them.
class ConstantSource {
public:
  /// Null source if `value` is no such constant.
  static ConstantSource get(mlir::Value value);

  explicit operator bool() const { return bool(data); }
  mlir::ElementsAttr getData() const { return data; }
  rt::StorageFormat getFormat() const { return format; }
  int64_t size() const { return data.getNumElements(); }
  /// Name for resources made from it: the file's, or "weight".
  std::string getName() const;

  /// Elements [first, first + count) in row-major order.
  void read(int64_t first, int64_t count, float *out) const;

  /// amax as rt::amaxOf; threads of the context.
  float getAmax(mlir::MLIRContext *context) const;
  /// Index of the first NaN or infinity, or -1.
  int64_t findNonFinite() const;

private:
  mlir::ElementsAttr data;
  rt::StorageFormat format = rt::StorageFormat::None;
  llvm::ArrayRef<char> bytes;
  std::shared_ptr<llvm::SmallVector<char, 0>> scratch; ///< backs splats
};

/// B of a matmul as matrices [batch][n][k], through the casts and transposes
/// that keep its values.
class WeightSource {
public:
  /// True if the matmul has a weight: B (or A) does not depend on activations.
  static bool isLinear(nq::MatmulOp op);
  /// The source, or why there is none (a clause: "its weight is ...").
  static WeightSource get(nq::MatmulOp op, std::string &why);

  explicit operator bool() const { return bool(constant); }
  const ConstantSource &getConstant() const { return constant; }
  mlir::RankedTensorType getType() const { return type; }
  /// The data is [.., K, N].
  bool isTransposed() const { return kn; }
  int64_t getBatch() const { return batch; }
  int64_t getN() const { return n; }
  int64_t getK() const { return k; }
  /// Shape of the weight as [.., N, K].
  llvm::SmallVector<int64_t> getShapeNK() const;

  /// Rows [first, first + count) of all batch * n rows, `k` floats each; the
  /// range must not cross a matrix.
  void readRows(int64_t first, int64_t count, float *out) const;

private:
  ConstantSource constant;
  mlir::RankedTensorType type; ///< of the constant
  bool kn = false;
  int64_t batch = 1, n = 0, k = 0;
};

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_QUANTIZE_WEIGHTSOURCE_H
