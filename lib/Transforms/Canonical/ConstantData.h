// Data of constants, whatever op holds them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_CANONICAL_CONSTANTDATA_H
#define NIBBLE_LIB_TRANSFORMS_CANONICAL_CONSTANTDATA_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <optional>
#include <vector>

namespace nibble {

/// Data of a plain constant (arith or nq), or null.
mlir::ElementsAttr getPlainConstant(mlir::Value value);

/// Equal types apart from the shape, equal number of elements, equal bytes.
bool hasSameBytes(mlir::ElementsAttr a, mlir::ElementsAttr b);

/// Equal as SSA values or as constants of the same bytes and element count
/// (files keep a copy of the scale for Q and another for DQ, shaped [] or [1]).
/// False if exactly one of them is null.
bool isSameValue(mlir::Value a, mlir::Value b);

/// The numbers of a plain constant; nothing if `value` is none or its resource
/// was not loaded.
std::optional<std::vector<double>> getNumbers(mlir::Value value);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_CANONICAL_CONSTANTDATA_H
