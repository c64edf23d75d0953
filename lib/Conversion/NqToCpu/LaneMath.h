// Integer and float expressions on scalars or vectors, written with operators.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_LANEMATH_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_LANEMATH_H

#include "FloatCodes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/TypeUtilities.h"

namespace nibble {
namespace cpu {

/// `element` with the shape of `like`, which is a scalar or a vector type.
inline mlir::Type shapedLike(mlir::Type like, mlir::Type element) {
  if (auto shaped = llvm::dyn_cast<mlir::ShapedType>(like))
    return shaped.clone(element);
  return element;
}

/// One value per lane. No operation carries fast-math flags: what is written is
/// what is rounded. Integer comparisons and minima are signed.
struct Lanes {
  mlir::ImplicitLocOpBuilder *b;
  mlir::Value v;

  mlir::Type type() const { return v.getType(); }
  mlir::Type element() const { return mlir::getElementTypeOrSelf(v); }
  bool isFloat() const { return llvm::isa<mlir::FloatType>(element()); }
  unsigned bits() const { return element().getIntOrFloatBitWidth(); }
  Lanes wrap(mlir::Value value) const { return {b, value}; }
  template <typename T> Lanes c(T value) const {
    return wrap(splatConstant(*b, type(), value));
  }
  mlir::Type withElement(mlir::Type element) const {
    return shapedLike(type(), element);
  }
  mlir::Type intType(unsigned width) const {
    return withElement(b->getIntegerType(width));
  }

  Lanes bitcast(mlir::Type element) const {
    return wrap(mlir::arith::BitcastOp::create(*b, withElement(element), v));
  }
  Lanes asInt() const { return bitcast(b->getIntegerType(bits())); }
  Lanes asF32() const { return bitcast(b->getF32Type()); }
  /// Zero-extended or truncated to `width` bits.
  Lanes resize(unsigned width) const {
    if (width == bits())
      return *this;
    if (width > bits())
      return wrap(mlir::arith::ExtUIOp::create(*b, intType(width), v));
    return wrap(mlir::arith::TruncIOp::create(*b, intType(width), v));
  }
  Lanes extend(mlir::Type wider) const {
    return wrap(mlir::arith::ExtFOp::create(*b, withElement(wider), v));
  }
  Lanes truncate(mlir::Type narrower) const {
    return wrap(mlir::arith::TruncFOp::create(*b, withElement(narrower), v));
  }
};

template <typename FloatOp, typename IntOp> Lanes laneOp(Lanes x, Lanes y) {
  if (x.isFloat())
    return x.wrap(FloatOp::create(*x.b, x.v, y.v));
  return x.wrap(IntOp::create(*x.b, x.v, y.v));
}
inline Lanes operator+(Lanes x, Lanes y) {
  return laneOp<mlir::arith::AddFOp, mlir::arith::AddIOp>(x, y);
}
inline Lanes operator-(Lanes x, Lanes y) {
  return laneOp<mlir::arith::SubFOp, mlir::arith::SubIOp>(x, y);
}
inline Lanes operator*(Lanes x, Lanes y) {
  return laneOp<mlir::arith::MulFOp, mlir::arith::MulIOp>(x, y);
}
inline Lanes operator/(Lanes x, Lanes y) {
  return x.wrap(mlir::arith::DivFOp::create(*x.b, x.v, y.v));
}
inline Lanes operator&(Lanes x, Lanes y) {
  return x.wrap(mlir::arith::AndIOp::create(*x.b, x.v, y.v));
}
inline Lanes operator|(Lanes x, Lanes y) {
  return x.wrap(mlir::arith::OrIOp::create(*x.b, x.v, y.v));
}
template <typename T> Lanes operator+(Lanes x, T y) { return x + x.c(y); }
template <typename T> Lanes operator-(Lanes x, T y) { return x - x.c(y); }
template <typename T> Lanes operator*(Lanes x, T y) { return x * x.c(y); }
template <typename T> Lanes operator/(Lanes x, T y) { return x / x.c(y); }
inline Lanes operator/(double x, Lanes y) { return y.c(x) / y; }
inline Lanes operator&(Lanes x, int64_t y) { return x & x.c(y); }
inline Lanes operator|(Lanes x, int64_t y) { return x | x.c(y); }
/// Logical shifts.
inline Lanes operator<<(Lanes x, int64_t by) {
  return x.wrap(mlir::arith::ShLIOp::create(*x.b, x.v, x.c(by).v));
}
inline Lanes operator>>(Lanes x, int64_t by) {
  return x.wrap(mlir::arith::ShRUIOp::create(*x.b, x.v, x.c(by).v));
}

inline Lanes compareInt(mlir::arith::CmpIPredicate predicate, Lanes x,
                        int64_t y) {
  return x.wrap(mlir::arith::CmpIOp::create(*x.b, predicate, x.v, x.c(y).v));
}
inline Lanes operator>=(Lanes x, int64_t y) {
  return compareInt(mlir::arith::CmpIPredicate::sge, x, y);
}
inline Lanes operator>(Lanes x, int64_t y) {
  return compareInt(mlir::arith::CmpIPredicate::sgt, x, y);
}
inline Lanes operator==(Lanes x, int64_t y) {
  return compareInt(mlir::arith::CmpIPredicate::eq, x, y);
}
inline Lanes operator!=(Lanes x, int64_t y) {
  return compareInt(mlir::arith::CmpIPredicate::ne, x, y);
}
/// Float comparison; the O.. predicates are false for NaN.
inline Lanes compareFloat(mlir::arith::CmpFPredicate predicate, Lanes x,
                          Lanes y) {
  return x.wrap(mlir::arith::CmpFOp::create(*x.b, predicate, x.v, y.v));
}
inline Lanes select(Lanes condition, Lanes x, Lanes y) {
  return x.wrap(mlir::arith::SelectOp::create(*x.b, condition.v, x.v, y.v));
}
inline Lanes minInt(Lanes x, int64_t y) {
  return x.wrap(mlir::arith::MinSIOp::create(*x.b, x.v, x.c(y).v));
}
inline Lanes minUnsigned(Lanes x, int64_t y) {
  return x.wrap(mlir::arith::MinUIOp::create(*x.b, x.v, x.c(y).v));
}
inline Lanes maxInt(Lanes x, int64_t y) {
  return x.wrap(mlir::arith::MaxSIOp::create(*x.b, x.v, x.c(y).v));
}
/// std::max and std::min: x if neither is larger or one is NaN.
inline Lanes maxFloat(Lanes x, double y) {
  return select(compareFloat(mlir::arith::CmpFPredicate::OLT, x, x.c(y)),
                x.c(y), x);
}
inline Lanes minFloat(Lanes x, double y) {
  return select(compareFloat(mlir::arith::CmpFPredicate::OGT, x, x.c(y)),
                x.c(y), x);
}

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_LANEMATH_H
