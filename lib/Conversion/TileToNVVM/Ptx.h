// Instructions of PTX, as text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_PTX_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_PTX_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace nibble {
namespace tilecode {

/// Instructions with LLVM's constraints; one value for each result.
llvm::SmallVector<mlir::Value>
emitAsm(mlir::ImplicitLocOpBuilder &b, const llvm::Twine &text,
        llvm::StringRef constraints, mlir::TypeRange results,
        mlir::ValueRange operands, bool hasEffects = false);

// Reads of shared memory, at an address of 32 bits.
/// `count` (1, 2 or 4) words of 32 bits.
llvm::SmallVector<mlir::Value> loadWords(mlir::ImplicitLocOpBuilder &b,
                                         mlir::Value address, int64_t count);
/// 16 bits, zero-extended to 32.
mlir::Value loadHalf(mlir::ImplicitLocOpBuilder &b, mlir::Value address);

} // namespace tilecode

/// Attention for Hopper is written with it, too (NqToGpu).
namespace sm90 {
using namespace tilecode;
} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_PTX_H
