// Codes in shared memory to an operand in tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_EXPAND_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_EXPAND_H

#include "Rings.h"
#include "Sm100Kernel.h"

namespace nibble {
namespace sm100 {

/// The rows of `warp`, one for each lane, to columns from `column` on. Stores
/// are waited for. `scales` only if the op has some.
void expandInto(Sm100Kernel &kernel, tile::ExpandIntoOp op, const Slot &codes,
                const Slot &scales, Int column, Int warp);

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_EXPAND_H
