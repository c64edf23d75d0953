// Short forms for the arithmetic of integers that kernels are made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_INTEGERCODE_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_INTEGERCODE_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace nibble {
namespace cpu {

/// Integers of one type, whose constants fold; division is unsigned. `CodeT`,
/// the class that derives, has a builder `b` and says what a constant is.
template <typename CodeT> class IntegerCode {
public:
  mlir::Value add(mlir::Value x, mlir::Value y) {
    return binary<mlir::arith::AddIOp>(x, y);
  }
  mlir::Value add(mlir::Value x, int64_t y) {
    return y ? add(x, constant(y)) : x;
  }
  mlir::Value sub(mlir::Value x, mlir::Value y) {
    return binary<mlir::arith::SubIOp>(x, y);
  }
  mlir::Value mul(mlir::Value x, mlir::Value y) {
    return binary<mlir::arith::MulIOp>(x, y);
  }
  mlir::Value mul(mlir::Value x, int64_t y) { return mul(x, constant(y)); }
  mlir::Value div(mlir::Value x, int64_t y) {
    return binary<mlir::arith::DivUIOp>(x, constant(y));
  }
  mlir::Value rem(mlir::Value x, int64_t y) {
    return binary<mlir::arith::RemUIOp>(x, constant(y));
  }
  mlir::Value less(mlir::Value x, mlir::Value y) {
    return mlir::arith::CmpIOp::create(self().b,
                                       mlir::arith::CmpIPredicate::slt, x, y);
  }

protected:
  template <typename OpT> mlir::Value binary(mlir::Value x, mlir::Value y) {
    return self().b.template createOrFold<OpT>(x, y);
  }

private:
  CodeT &self() { return static_cast<CodeT &>(*this); }
  mlir::Value constant(int64_t value) { return self().constant(value); }
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_INTEGERCODE_H
