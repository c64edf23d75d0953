// Writes a planned nest as loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_EMITNEST_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_EMITNEST_H

#include "Nest.h"

namespace nibble {
namespace cpu {

/// All of a nest at the insertion point; `row` are the values of the row's
/// dimensions.
void emitNest(mlir::ImplicitLocOpBuilder &b, Nest &nest,
              llvm::ArrayRef<mlir::Value> row);

/// Units [low, high) of a nest.
void emitUnits(mlir::ImplicitLocOpBuilder &b, Nest &nest, mlir::Value low,
               mlir::Value high);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_EMITNEST_H
