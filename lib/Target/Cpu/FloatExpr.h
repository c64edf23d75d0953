// Floating-point expressions on scalars and vectors, written with operators.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TARGET_CPU_FLOATEXPR_H
#define NIBBLE_LIB_TARGET_CPU_FLOATEXPR_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/TypeUtilities.h"

namespace nibble {
namespace cpu {

/// `element` with the shape of `like`, which is a scalar or a vector type.
inline mlir::Type withShapeOf(mlir::Type like, mlir::Type element) {
  if (auto shaped = llvm::dyn_cast<mlir::ShapedType>(like))
    return shaped.clone(element);
  return element;
}

inline mlir::Value splat(mlir::ImplicitLocOpBuilder &b, mlir::Type type,
                         mlir::TypedAttr value) {
  if (auto shaped = llvm::dyn_cast<mlir::ShapedType>(type))
    value = mlir::DenseElementsAttr::get(shaped, mlir::Attribute(value));
  return mlir::arith::ConstantOp::create(b, value);
}

/// A float (or i1) value and where to put what is computed from it.
struct Fx {
  mlir::ImplicitLocOpBuilder *b;
  mlir::Value v;

  mlir::Type type() const { return v.getType(); }
  bool isF64() const { return mlir::getElementTypeOrSelf(v).isF64(); }
  /// The constant `value` in the type of this.
  Fx c(double value) const {
    mlir::Type element = mlir::getElementTypeOrSelf(v);
    return {b, splat(*b, type(), b->getFloatAttr(element, value))};
  }
  Fx wrap(mlir::Value value) const { return {b, value}; }
  mlir::Type intType() const {
    return withShapeOf(type(), b->getIntegerType(isF64() ? 64 : 32));
  }
  mlir::Value bits() const {
    return mlir::arith::BitcastOp::create(*b, intType(), v);
  }
  mlir::Value intConst(int64_t value) const {
    mlir::Type element = mlir::getElementTypeOrSelf(intType());
    return splat(*b, intType(), b->getIntegerAttr(element, value));
  }
  Fx fromBits(mlir::Value bits) const {
    return wrap(mlir::arith::BitcastOp::create(*b, type(), bits));
  }
  Fx extended() const {
    mlir::Type wide = withShapeOf(type(), b->getF64Type());
    return wrap(mlir::arith::ExtFOp::create(*b, wide, v));
  }
  Fx truncatedTo(mlir::Type narrow) const {
    return wrap(mlir::arith::TruncFOp::create(*b, narrow, v));
  }
};

inline Fx operator+(Fx x, Fx y) {
  return x.wrap(mlir::arith::AddFOp::create(*x.b, x.v, y.v));
}
inline Fx operator-(Fx x, Fx y) {
  return x.wrap(mlir::arith::SubFOp::create(*x.b, x.v, y.v));
}
inline Fx operator*(Fx x, Fx y) {
  return x.wrap(mlir::arith::MulFOp::create(*x.b, x.v, y.v));
}
inline Fx operator/(Fx x, Fx y) {
  return x.wrap(mlir::arith::DivFOp::create(*x.b, x.v, y.v));
}
inline Fx operator+(Fx x, double y) { return x + x.c(y); }
inline Fx operator-(Fx x, double y) { return x - x.c(y); }
inline Fx operator*(Fx x, double y) { return x * x.c(y); }
inline Fx operator-(double x, Fx y) { return y.c(x) - y; }
inline Fx operator/(double x, Fx y) { return y.c(x) / y; }
inline Fx operator-(Fx x) {
  return x.wrap(mlir::arith::NegFOp::create(*x.b, x.v));
}

inline Fx fma(Fx x, Fx y, Fx z) {
  return x.wrap(mlir::math::FmaOp::create(*x.b, x.v, y.v, z.v));
}
inline Fx fma(Fx x, double y, Fx z) { return fma(x, x.c(y), z); }
inline Fx abs(Fx x) { return x.wrap(mlir::math::AbsFOp::create(*x.b, x.v)); }
inline Fx sqrt(Fx x) { return x.wrap(mlir::math::SqrtOp::create(*x.b, x.v)); }
inline Fx trunc(Fx x) { return x.wrap(mlir::math::TruncOp::create(*x.b, x.v)); }
inline Fx copysign(Fx x, Fx sign) {
  return x.wrap(mlir::math::CopySignOp::create(*x.b, x.v, sign.v));
}
inline Fx compare(mlir::arith::CmpFPredicate predicate, Fx x, Fx y) {
  return x.wrap(mlir::arith::CmpFOp::create(*x.b, predicate, x.v, y.v));
}
/// Ordered comparisons: false if an operand is NaN.
inline Fx operator<(Fx x, Fx y) {
  return compare(mlir::arith::CmpFPredicate::OLT, x, y);
}
inline Fx operator>(Fx x, Fx y) {
  return compare(mlir::arith::CmpFPredicate::OGT, x, y);
}
inline Fx operator<(Fx x, double y) { return x < x.c(y); }
inline Fx operator>(Fx x, double y) { return x > x.c(y); }
inline Fx equal(Fx x, Fx y) {
  return compare(mlir::arith::CmpFPredicate::OEQ, x, y);
}
inline Fx select(Fx condition, Fx x, Fx y) {
  return x.wrap(mlir::arith::SelectOp::create(*x.b, condition.v, x.v, y.v));
}
/// Clamps from above or below; NaN stays NaN.
inline Fx atMost(Fx x, double limit) {
  return select(x > limit, x.c(limit), x);
}
inline Fx atLeast(Fx x, double limit) {
  return select(x < limit, x.c(limit), x);
}
/// coefficients[0] + x * coefficients[1] + ...
inline Fx polynomial(Fx x, llvm::ArrayRef<double> coefficients) {
  Fx sum = x.c(coefficients.back());
  for (double c : llvm::reverse(coefficients.drop_back()))
    sum = fma(sum, x, x.c(c));
  return sum;
}

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_TARGET_CPU_FLOATEXPR_H
