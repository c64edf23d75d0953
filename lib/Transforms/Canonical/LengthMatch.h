// Masks that hide what lies behind a position, read from their comparison.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_CANONICAL_LENGTHMATCH_H
#define NIBBLE_TRANSFORMS_CANONICAL_LENGTHMATCH_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <optional>

namespace nibble {

/// Query s sees keys t < source + offset, or t < source + offset + s.
struct LengthBound {
  mlir::Value source; ///< integers, one for all or one per batch entry
  int64_t offset = 0;
  bool followsRow = false;
};

/// The bound that an i1 `mask`, which broadcasts to scores of shape [B, H, S,
/// T], says where it is `visibleIf`: a comparison of slots, counted by a
/// constant, with a position (plus a constant, plus the number of the query).
std::optional<LengthBound> readLengthBound(mlir::Value mask, bool visibleIf,
                                           llvm::ArrayRef<int64_t> scores);

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_CANONICAL_LENGTHMATCH_H
