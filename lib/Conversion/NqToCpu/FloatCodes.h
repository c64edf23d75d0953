// Bits of small floats to values and back, as integer arithmetic on scalars or
// vectors. Bit for bit what nibble/rt/formats.h computes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_FLOATCODES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_FLOATCODES_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <string>

namespace nibble {
namespace cpu {

struct EncodeOptions {
  bool saturate = true;         ///< 8-bit floats and E8M0 only
  std::string roundMode = "up"; ///< E8M0 only: up, down, nearest
};

/// A constant of a scalar or vector type of integers, floats or indices.
mlir::Value splatConstant(mlir::ImplicitLocOpBuilder &b, mlir::Type type,
                          double value);
mlir::Value splatConstant(mlir::ImplicitLocOpBuilder &b, mlir::Type type,
                          int64_t value);
inline mlir::Value splatConstant(mlir::ImplicitLocOpBuilder &b, mlir::Type type,
                                 int value) {
  return splatConstant(b, type, int64_t(value));
}

/// The value (in computeType(element)) of bits (of storageType(element)).
mlir::Value decodeBits(mlir::ImplicitLocOpBuilder &b, mlir::Type element,
                       mlir::Value bits);

/// The bits of `element` nearest to `value`, an f32 or f64 for floats, the
/// integer itself for integers.
mlir::Value encodeBits(mlir::ImplicitLocOpBuilder &b, mlir::Type element,
                       mlir::Value value, const EncodeOptions &options = {});

/// The same for an f32 and f4E2M1FN, f8E4M3FN or f8E5M2, as an i32 below 256.
mlir::Value encodeWide(mlir::ImplicitLocOpBuilder &b, mlir::Type element,
                       mlir::Value value, bool saturate = true);

/// f64 to f32, rounded to odd: a later rounding to a type of at most 22
/// significant bits gives the same result as rounding the f64 directly.
mlir::Value truncToOdd(mlir::ImplicitLocOpBuilder &b, mlir::Value value);

/// x * y in f32, rounded to odd; both finite products.
mlir::Value multiplyToOdd(mlir::ImplicitLocOpBuilder &b, mlir::Value x,
                          mlir::Value y);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_FLOATCODES_H
