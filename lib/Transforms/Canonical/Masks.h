// What masks of attention are made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_CANONICAL_MASKS_H
#define NIBBLE_TRANSFORMS_CANONICAL_MASKS_H

#include "mlir/IR/Builders.h"

namespace nibble {

/// Values that exporters write for "masked out" are at most this.
constexpr double kLargeMask = -1e4;

/// Both masks in one: conjunction, sum, or the float where the other is true.
/// The first one may be null.
mlir::Value combineMasks(mlir::OpBuilder &b, mlir::Location loc,
                         mlir::Value first, mlir::Value second);

/// True where an i1 mask is false.
mlir::Value invertMask(mlir::OpBuilder &b, mlir::Location loc,
                       mlir::Value mask);

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_CANONICAL_MASKS_H
