// Constants joined along one dimension: codes, scales, zero points.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_FUSE_JOINCONSTANTS_H
#define NIBBLE_LIB_TRANSFORMS_FUSE_JOINCONSTANTS_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <optional>
#include <string>

namespace nibble::fuse {

/// What nq.constant holds. Codes and scales are null only in a default value.
struct ConstantParts {
  mlir::RankedTensorType type;
  mlir::ElementsAttr codes, scales, global, zeroPoints;

  /// Of nq.constant or arith.constant; nothing for other values.
  static std::optional<ConstantParts> of(mlir::Value value);
  mlir::Value create(mlir::OpBuilder &builder, mlir::Location loc) const;
};

/// The constants side by side along `dim`, every element with the value it had:
/// bytes of codes and of block scales are moved, never computed.
///
/// Scales per tensor that differ become one scale per index of `dim` (`1x?` or
/// `?x1`), of the same type, so that the effective scale of an element is the
/// same number. Nothing, with a clause in `why`, if the element types differ,
/// if a block would hold elements of two constants, or if global scales differ:
/// they are part of the effective scale, rounded, and a tensor has only one.
std::optional<ConstantParts> joinConstants(llvm::ArrayRef<mlir::Value> parts,
                                           int64_t dim, std::string &why);

} // namespace nibble::fuse

#endif // NIBBLE_LIB_TRANSFORMS_FUSE_JOINCONSTANTS_H
