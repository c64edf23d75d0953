// Scalar arithmetic in linalg bodies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Import/GraphBuilder.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

static bool isFloatValue(Value value) {
  return isa<FloatType>(value.getType());
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// A double as an integer of any width, saturating so that +-inf can be given
/// as the neutral element of min and max.
static APInt toInteger(double value, unsigned width, bool isUnsigned) {
  if (std::isnan(value))
    return APInt(width, 0);
  APInt low =
      isUnsigned ? APInt::getMinValue(width) : APInt::getSignedMinValue(width);
  APInt high =
      isUnsigned ? APInt::getMaxValue(width) : APInt::getSignedMaxValue(width);
  double lowest = isUnsigned ? 0.0 : -std::ldexp(1.0, int(width) - 1);
  double highest = std::ldexp(1.0, int(width) - (isUnsigned ? 0 : 1));
  if (value <= lowest && !isUnsigned)
    return low;
  if (value >= highest)
    return high;
  return APInt(64, uint64_t(value < 0 ? int64_t(value) : 0) |
                       (value < 0 ? 0 : uint64_t(value)))
      .trunc(width);
}

Value ScalarBuilder::constant(double value, Type type) {
  if (auto floatType = dyn_cast<FloatType>(type))
    return arith::ConstantOp::create(builder, loc,
                                     FloatAttr::get(floatType, value));
  if (type.isIndex())
    return index(static_cast<int64_t>(value));
  APInt number = toInteger(value, type.getIntOrFloatBitWidth(),
                           unsignedInts || type.isInteger(1));
  return arith::ConstantOp::create(builder, loc,
                                   IntegerAttr::get(type, number));
}

Value ScalarBuilder::constant(double value, Value like) {
  return constant(value, like.getType());
}

Value ScalarBuilder::constantInt(int64_t value, Type type) {
  return arith::ConstantOp::create(builder, loc,
                                   builder.getIntegerAttr(type, value));
}

Value ScalarBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, loc, value);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Value ScalarBuilder::add(Value a, Value b) {
  if (isFloatValue(a))
    return arith::AddFOp::create(builder, loc, a, b);
  return arith::AddIOp::create(builder, loc, a, b);
}

Value ScalarBuilder::sub(Value a, Value b) {
  if (isFloatValue(a))
    return arith::SubFOp::create(builder, loc, a, b);
  return arith::SubIOp::create(builder, loc, a, b);
}

Value ScalarBuilder::mul(Value a, Value b) {
  if (isFloatValue(a))
    return arith::MulFOp::create(builder, loc, a, b);
  return arith::MulIOp::create(builder, loc, a, b);
}

/// Divisor for which the machine division is defined: 1 in place of 0, and in
/// place of -1 under the smallest integer (whose quotient wraps to itself).
static Value getSafeDivisor(ScalarBuilder &s, Value a, Value b) {
  Type type = b.getType();
  APInt constant;
  if (matchPattern(b, m_ConstantInt(&constant)) && !constant.isZero() &&
      !constant.isAllOnes())
    return b;
  Value one = s.constantInt(1, type);
  Value bad = s.eq(b, s.constantInt(0, type));
  if (!s.unsignedInts && !type.isIndex()) {
    APInt least = APInt::getSignedMinValue(type.getIntOrFloatBitWidth());
    Value lowest = arith::ConstantOp::create(s.builder, s.loc,
                                             IntegerAttr::get(type, least));
    Value overflow =
        s.bitAnd(s.eq(a, lowest), s.eq(b, s.constantInt(-1, type)));
    bad = s.bitOr(bad, overflow);
  }
  return s.select(bad, one, b);
}

Value ScalarBuilder::div(Value a, Value b) {
  if (isFloatValue(a))
    return arith::DivFOp::create(builder, loc, a, b);
  Value divisor = getSafeDivisor(*this, a, b);
  if (unsignedInts)
    return arith::DivUIOp::create(builder, loc, a, divisor);
  return arith::DivSIOp::create(builder, loc, a, divisor);
}

Value ScalarBuilder::rem(Value a, Value b) {
  if (isFloatValue(a))
    return arith::RemFOp::create(builder, loc, a, b);
  Value divisor = getSafeDivisor(*this, a, b);
  if (unsignedInts)
    return arith::RemUIOp::create(builder, loc, a, divisor);
  return arith::RemSIOp::create(builder, loc, a, divisor);
}

Value ScalarBuilder::max(Value a, Value b) {
  if (isFloatValue(a))
    return arith::MaximumFOp::create(builder, loc, a, b);
  if (unsignedInts)
    return arith::MaxUIOp::create(builder, loc, a, b);
  return arith::MaxSIOp::create(builder, loc, a, b);
}

Value ScalarBuilder::min(Value a, Value b) {
  if (isFloatValue(a))
    return arith::MinimumFOp::create(builder, loc, a, b);
  if (unsignedInts)
    return arith::MinUIOp::create(builder, loc, a, b);
  return arith::MinSIOp::create(builder, loc, a, b);
}

Value ScalarBuilder::neg(Value a) {
  if (isFloatValue(a))
    return arith::NegFOp::create(builder, loc, a);
  return sub(constantInt(0, a.getType()), a);
}

Value ScalarBuilder::abs(Value a) {
  if (isFloatValue(a))
    return math::AbsFOp::create(builder, loc, a);
  return unsignedInts ? a : max(a, neg(a));
}

//===----------------------------------------------------------------------===//
// Comparisons, logic
//===----------------------------------------------------------------------===//

Value ScalarBuilder::compare(arith::CmpFPredicate floats,
                             arith::CmpIPredicate signedInts,
                             arith::CmpIPredicate unsignedInts, Value a,
                             Value b) {
  if (isFloatValue(a))
    return arith::CmpFOp::create(builder, loc, floats, a, b);
  return arith::CmpIOp::create(
      builder, loc, this->unsignedInts ? unsignedInts : signedInts, a, b);
}

Value ScalarBuilder::eq(Value a, Value b) {
  return compare(arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq,
                 arith::CmpIPredicate::eq, a, b);
}
Value ScalarBuilder::ne(Value a, Value b) {
  return compare(arith::CmpFPredicate::UNE, arith::CmpIPredicate::ne,
                 arith::CmpIPredicate::ne, a, b);
}
Value ScalarBuilder::lt(Value a, Value b) {
  return compare(arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt,
                 arith::CmpIPredicate::ult, a, b);
}
Value ScalarBuilder::le(Value a, Value b) {
  return compare(arith::CmpFPredicate::OLE, arith::CmpIPredicate::sle,
                 arith::CmpIPredicate::ule, a, b);
}
Value ScalarBuilder::gt(Value a, Value b) { return lt(b, a); }
Value ScalarBuilder::ge(Value a, Value b) { return le(b, a); }

Value ScalarBuilder::isNan(Value a) {
  return arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::UNO, a, a);
}

Value ScalarBuilder::select(Value condition, Value a, Value b) {
  return arith::SelectOp::create(builder, loc, condition, a, b);
}
Value ScalarBuilder::bitAnd(Value a, Value b) {
  return arith::AndIOp::create(builder, loc, a, b);
}
Value ScalarBuilder::bitOr(Value a, Value b) {
  return arith::OrIOp::create(builder, loc, a, b);
}
Value ScalarBuilder::bitXor(Value a, Value b) {
  return arith::XOrIOp::create(builder, loc, a, b);
}
Value ScalarBuilder::logicalNot(Value a) {
  return bitXor(a, constantInt(1, a.getType()));
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

Value ScalarBuilder::exp(Value a) {
  return math::ExpOp::create(builder, loc, a);
}
Value ScalarBuilder::log(Value a) {
  return math::LogOp::create(builder, loc, a);
}
Value ScalarBuilder::sqrt(Value a) {
  return math::SqrtOp::create(builder, loc, a);
}
Value ScalarBuilder::tanh(Value a) {
  return math::TanhOp::create(builder, loc, a);
}
Value ScalarBuilder::erf(Value a) {
  return math::ErfOp::create(builder, loc, a);
}
Value ScalarBuilder::floor(Value a) {
  return math::FloorOp::create(builder, loc, a);
}
Value ScalarBuilder::ceil(Value a) {
  return math::CeilOp::create(builder, loc, a);
}
Value ScalarBuilder::roundEven(Value a) {
  return math::RoundEvenOp::create(builder, loc, a);
}
Value ScalarBuilder::sigmoid(Value a) {
  Value one = constant(1, a);
  return div(one, add(one, exp(neg(a))));
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

/// Largest value of `type` that is at most 2^exponent - 1, for a range check
/// that never leaves the integer's range.
static double getLargestBelow(FloatType type, unsigned exponent) {
  APFloat limit(type.getFloatSemantics());
  bool lossy;
  limit = APFloat(std::ldexp(1.0, exponent));
  limit.convert(type.getFloatSemantics(), APFloat::rmTowardZero, &lossy);
  if (limit.isInfinity() || lossy)
    return APFloat::getLargest(type.getFloatSemantics()).convertToDouble();
  if (exponent < APFloat::semanticsPrecision(type.getFloatSemantics()))
    return std::ldexp(1.0, exponent) - 1;
  limit.next(/*nextDown=*/true);
  return limit.convertToDouble();
}

/// Truncation that saturates: arith's own is undefined out of range.
static Value floatToInt(ScalarBuilder &s, Value a, Type to, bool toUnsigned) {
  auto type = cast<FloatType>(a.getType());
  unsigned width = to.getIntOrFloatBitWidth();
  double high = getLargestBelow(type, width - (toUnsigned ? 0 : 1));
  double low = toUnsigned ? 0.0 : -std::ldexp(1.0, width - 1);
  OpBuilder &b = s.builder;
  Value clamped =
      arith::MaxNumFOp::create(b, s.loc, a, s.constant(low, a.getType()));
  clamped = arith::MinNumFOp::create(b, s.loc, clamped,
                                     s.constant(high, a.getType()));
  if (toUnsigned)
    return arith::FPToUIOp::create(b, s.loc, to, clamped);
  return arith::FPToSIOp::create(b, s.loc, to, clamped);
}

static Value intToFloat(ScalarBuilder &s, Value a, FloatType to,
                        bool fromUnsigned) {
  // To f16 and bf16 by way of f32: integers beyond f32's 24 bits are infinite
  // in f16, and that is how everybody converts to bf16.
  FloatType wide = to.getWidth() < 32 ? s.builder.getF32Type() : to;
  Value result =
      fromUnsigned ? Value(arith::UIToFPOp::create(s.builder, s.loc, wide, a))
                   : Value(arith::SIToFPOp::create(s.builder, s.loc, wide, a));
  return wide == to
             ? result
             : Value(arith::TruncFOp::create(s.builder, s.loc, to, result));
}

static Value intToInt(ScalarBuilder &s, Value a, Type to, bool fromUnsigned) {
  unsigned from = a.getType().getIntOrFloatBitWidth();
  unsigned width = to.getIntOrFloatBitWidth();
  if (from == width)
    return a;
  if (from > width)
    return arith::TruncIOp::create(s.builder, s.loc, to, a);
  if (fromUnsigned || from == 1)
    return arith::ExtUIOp::create(s.builder, s.loc, to, a);
  return arith::ExtSIOp::create(s.builder, s.loc, to, a);
}

static Value floatToFloat(ScalarBuilder &s, Value a, FloatType to) {
  unsigned from = cast<FloatType>(a.getType()).getWidth();
  if (from < to.getWidth())
    return arith::ExtFOp::create(s.builder, s.loc, to, a);
  if (from > to.getWidth())
    return arith::TruncFOp::create(s.builder, s.loc, to, a);
  Value wide =
      arith::ExtFOp::create(s.builder, s.loc, s.builder.getF32Type(), a);
  return arith::TruncFOp::create(s.builder, s.loc, to, wide);
}

Value ScalarBuilder::convert(Value a, Type to, bool fromUnsigned,
                             bool toUnsigned) {
  if (a.getType() == to)
    return a;
  if (to.isInteger(1))
    return ne(a, constant(0, a));
  auto toFloat = dyn_cast<FloatType>(to);
  if (!isFloatValue(a))
    return toFloat ? intToFloat(*this, a, toFloat,
                                fromUnsigned || a.getType().isInteger(1))
                   : intToInt(*this, a, to, fromUnsigned);
  return toFloat ? floatToFloat(*this, a, toFloat)
                 : floatToInt(*this, a, to, toUnsigned);
}

Value ScalarBuilder::toIndex(Value a) {
  if (unsignedInts)
    return arith::IndexCastUIOp::create(builder, loc, builder.getIndexType(),
                                        a);
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(), a);
}

Value ScalarBuilder::fromIndex(Value a, Type to) {
  return arith::IndexCastOp::create(builder, loc, to, a);
}

Value ScalarBuilder::load(Tensor tensor, ValueRange indices) {
  return tensor::ExtractOp::create(builder, loc, tensor.value, indices);
}
