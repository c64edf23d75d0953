// How passes tell what they decided: the remarks that `explain` is made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_REMARKS_H
#define NIBBLE_TRANSFORMS_REMARKS_H

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/IR/Remarks.h"

namespace nibble {

using RemarkArg = mlir::remark::detail::Remark::Arg;
using mlir::remark::detail::InFlightRemark;

/// Category of all remarks of Nibble.
constexpr llvm::StringLiteral kRemarkCategory = "nibble";

/// A decision for a rewrite at `loc`. Its name is that of the pass, its first
/// argument "layer" the ONNX node, since remarks lose the names of locations.
/// Further arguments by key: "chosen", "rejected", "reason", "suggestion".
inline InFlightRemark remarkDone(mlir::Location loc, llvm::StringRef pass) {
  auto remark = mlir::remark::passed(
      loc, mlir::remark::RemarkOpts::name(pass).category(kRemarkCategory));
  remark << RemarkArg("layer", getLayerName(loc));
  return remark;
}

/// A rewrite that was wanted but is not possible: say "reason".
inline InFlightRemark remarkMissed(mlir::Location loc, llvm::StringRef pass) {
  auto remark = mlir::remark::missed(
      loc, mlir::remark::RemarkOpts::name(pass).category(kRemarkCategory));
  remark << RemarkArg("layer", getLayerName(loc));
  return remark;
}

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_REMARKS_H
