// How the accumulators of a reduction are combined.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_FOLD_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_FOLD_H

#include "KernelTensor.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace nibble {
namespace cpu {

/// The product that a term is, if it may be added without being rounded.
mlir::arith::MulFOp findFusedProduct(mlir::Value term);

/// Accumulator `i` and one more term (or another accumulator), both scalars or
/// both vectors.
mlir::Value combine(mlir::ImplicitLocOpBuilder &b, const Reduction &reduction,
                    unsigned i, mlir::Value term, mlir::Value accumulator);

/// What does not change the value it is combined with, as `type`.
mlir::Value neutral(mlir::ImplicitLocOpBuilder &b, const Reduction &reduction,
                    unsigned i, mlir::Type type);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_FOLD_H
