// Attributes that name the type of an intermediate computation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_PRECISION_H
#define NIBBLE_LIB_IMPORT_OPS_PRECISION_H

#include "nibble/Import/OpImporter.h"

namespace nibble::onnx {

/// Attribute `name` (stash_type, softmax_precision) of an operator on `data`.
/// Intermediate results are kept in float, those of double in double
/// (docs/numerics.md). Float is always granted, double for double; any other
/// wish is refused, since its roundings would not be those that were asked for.
mlir::LogicalResult checkPrecision(NodeContext &n, llvm::StringRef name,
                                   ElemType data);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_PRECISION_H
