// Maxima of what one thread has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_LARGEST_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_LARGEST_H

#include "Code.h"

namespace nibble {
namespace sm100 {

/// The largest element of vectors of i16 or i32, as unsigned numbers. Of bits
/// of magnitudes, those of floats are compared; a NaN is the largest.
mlir::Value findLargest(tilecode::Code &code,
                        llvm::ArrayRef<mlir::Value> vectors);

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_LARGEST_H
