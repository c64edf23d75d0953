// Swizzled rows of shared memory, as tensor maps and products read them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SWIZZLE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SWIZZLE_H

#include "Code.h"

namespace nibble {
namespace tilecode {

/// What the swizzle exchanges 16-byte chunks of `row` with: bits above the 128
/// bytes (PTX ISA, "swizzling modes"), for rows of 32, 64 or 128 bytes.
inline Int getSwizzle(Code &code, Int row, int64_t rowBytes) {
  int64_t shift = rowBytes == 128 ? 0 : rowBytes == 64 ? 1 : 2;
  return code.bitAnd(code.shr(row, shift), rowBytes / 16 - 1);
}

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SWIZZLE_H
