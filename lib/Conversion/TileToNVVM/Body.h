// Copies of the body of an epilogue, with FP8 conversions as instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_BODY_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_BODY_H

#include "Kernel.h"

namespace nibble {
namespace tilecode {

/// The values that the body yields for `args`; `outside` has the values of
/// what it takes from outside. FP8 vectors come back as vectors of i8.
llvm::SmallVector<mlir::Value> copyBody(Code &code, tile::EpilogueOp op,
                                        llvm::ArrayRef<mlir::Value> args,
                                        const mlir::IRMapping &outside);

/// The same of a body whose ops were copied with `values`.
llvm::SmallVector<mlir::Value> getYielded(Code &code, tile::EpilogueOp op,
                                          const mlir::IRMapping &values);

/// i8 for the 8-bit formats, otherwise the type: what registers and memory
/// hold.
mlir::Type getStoredType(mlir::Type element);

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_BODY_H
