// Arithmetic on elements of rows, as nodes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_ROWMATH_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_ROWMATH_H

#include "LaneMath.h"
#include "LoopExpr.h"

namespace nibble {
namespace cpu {

/// A node of the type of its first operand; `fn` gets builder and operands, in
/// order.
template <typename Fn>
Node *math(Dag &dag, llvm::ArrayRef<Node *> operands, Fn fn) {
  return dag.compute(operands[0]->type, operands,
                     [fn](mlir::ImplicitLocOpBuilder &b,
                          llvm::ArrayRef<mlir::Value> values,
                          mlir::Type) { return fn(b, values); });
}

inline Lanes lanes(mlir::ImplicitLocOpBuilder &b, mlir::Value value) {
  return {&b, value};
}

/// Converted to `type` (f32 or f64).
inline Node *widen(Dag &dag, Node *node, mlir::Type type) {
  if (node->type == type)
    return node;
  return dag.compute(
      type, {node},
      [](mlir::ImplicitLocOpBuilder &b, llvm::ArrayRef<mlir::Value> values,
         mlir::Type result) -> mlir::Value {
        if (mlir::getElementTypeOrSelf(result).isF64())
          return mlir::arith::ExtFOp::create(b, result, values[0]);
        return mlir::arith::TruncFOp::create(b, result, values[0]);
      });
}

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_ROWMATH_H
