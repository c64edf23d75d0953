// Arithmetic, comparison and logic, element by element.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

using Unary = Value (*)(ScalarBuilder &, Value);
using Binary = Value (*)(ScalarBuilder &, Value, Value);
using Method1 = Value (ScalarBuilder::*)(Value);
using Method2 = Value (ScalarBuilder::*)(Value, Value);

/// Methods of ScalarBuilder as plain functions.
template <Method1 method> static Value call(ScalarBuilder &s, Value a) {
  return (s.*method)(a);
}
template <Method2 method>
static Value call(ScalarBuilder &s, Value a, Value b) {
  return (s.*method)(a, b);
}

//===----------------------------------------------------------------------===//
// Shared checks
//===----------------------------------------------------------------------===//

static LogicalResult checkBroadcast(NodeContext &n, ArrayRef<Tensor> inputs) {
  SmallVector<ArrayRef<int64_t>> shapes;
  std::string text;
  for (const Tensor &input : inputs) {
    shapes.push_back(input.shape());
    text += (text.empty() ? "" : ", ") + toString(input.shape());
  }
  if (succeeded(broadcastShapes(shapes)))
    return success();
  return n.fail("shapes " + text + " do not broadcast");
}

static LogicalResult checkSameType(NodeContext &n, ArrayRef<Tensor> inputs) {
  for (const Tensor &input : inputs)
    if (input.type != inputs.front().type)
      return n.fail("operands are " + getName(inputs.front().type) + " and " +
                    getName(input.type) + " but must have one type");
  return success();
}

/// FP8 and FP4 have no arithmetic: those operators take wider types in ONNX.
static LogicalResult checkArithmetic(NodeContext &n, Tensor x) {
  bool narrow = isFloat(x.type) && getBitWidth(x.type) < 16;
  if (!narrow)
    return success();
  return n.fail("has no meaning on " + getName(x.type) +
                "; cast or dequantize first");
}

/// Up to opset 6 the right operand broadcasts from dimension `axis` on if
/// `broadcast` is set; without that attribute nobody can have meant an axis.
static FailureOr<Tensor> alignLegacy(NodeContext &n, Tensor a, Tensor b) {
  if (!n.hasAttr("broadcast"))
    return b;
  if (!n.hasAttr("axis") || !n.intAttr("broadcast", 0))
    return b;
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), a.rank());
  if (failed(axis))
    return failure();
  Shape shape(b.shape());
  while (int64_t(shape.size()) + *axis < a.rank())
    shape.push_back(1);
  return n.build.reshape(b, shape);
}

//===----------------------------------------------------------------------===//
// Two operands
//===----------------------------------------------------------------------===//

template <Binary body> static LogicalResult importBinary(NodeContext &n) {
  Tensor a = n.input(0);
  FailureOr<Tensor> b = alignLegacy(n, a, n.input(1));
  if (failed(b) || failed(checkSameType(n, {a, *b})) ||
      failed(checkArithmetic(n, a)) || failed(checkBroadcast(n, {a, *b})))
    return failure();
  return n.setOutput(0, n.build.binary(a, *b, body));
}

template <Binary body> static LogicalResult importComparison(NodeContext &n) {
  Tensor a = n.input(0);
  FailureOr<Tensor> b = alignLegacy(n, a, n.input(1));
  if (failed(b) || failed(checkSameType(n, {a, *b})) ||
      failed(checkArithmetic(n, a)) || failed(checkBroadcast(n, {a, *b})))
    return failure();
  return n.setOutput(0, n.build.elementwise({a, *b}, ElemType::Bool,
                                            [](ScalarBuilder &s, ValueRange v) {
                                              return body(s, v[0], v[1]);
                                            }));
}

/// Sum, Max, Min, Mean of any number of operands.
template <Binary body> static LogicalResult importVariadic(NodeContext &n) {
  SmallVector<Tensor> inputs;
  for (size_t i = 0; i < n.numInputs(); ++i)
    inputs.push_back(n.input(i));
  if (failed(checkSameType(n, inputs)) ||
      failed(checkArithmetic(n, inputs[0])) ||
      failed(checkBroadcast(n, inputs)))
    return failure();
  if (inputs.size() == 1)
    return n.setOutput(0, inputs[0]);
  bool mean = n.opType() == "Mean";
  double count = inputs.size();
  return n.setOutput(
      0, n.build.elementwise(
             inputs, inputs[0].type, [&](ScalarBuilder &s, ValueRange v) {
               Value result = v[0];
               for (Value x : v.drop_front())
                 result = body(s, result, x);
               return mean ? s.div(result, s.constant(count, result)) : result;
             }));
}

/// Remainder with the sign of the divisor (fmod = 0).
static Value floorMod(ScalarBuilder &s, Value a, Value b) {
  Value r = s.rem(a, b);
  if (s.unsignedInts)
    return r;
  Value zero = s.constant(0, r);
  Value differ = s.bitXor(s.lt(r, zero), s.lt(b, zero));
  return s.select(s.bitAnd(s.ne(r, zero), differ), s.add(r, b), r);
}

static LogicalResult importMod(NodeContext &n) {
  return n.intAttr("fmod", 0) ? importBinary<call<&ScalarBuilder::rem>>(n)
                              : importBinary<floorMod>(n);
}

/// Amounts that are negative or at least the width give what is left of the
/// number then: 0, or -1 for the right shift of a negative one.
static LogicalResult importBitShift(NodeContext &n) {
  Tensor a = n.input(0), b = n.input(1);
  std::string direction = n.stringAttr("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    return n.fail("direction '" + direction + "' is not LEFT or RIGHT");
  if (!isInteger(a.type))
    return n.fail("needs integers, got " + getName(a.type));
  if (failed(checkSameType(n, {a, b})) || failed(checkBroadcast(n, {a, b})))
    return failure();
  bool left = direction == "LEFT", isSigned = !isUnsigned(a.type);
  unsigned width = getBitWidth(a.type);
  auto body = [&](ScalarBuilder &s, Value x, Value by) -> Value {
    OpBuilder &builder = s.builder;
    // Unsigned, so that negative amounts are large ones.
    Value last = s.constantInt(width - 1, by.getType());
    Value fits = arith::CmpIOp::create(builder, s.loc,
                                       arith::CmpIPredicate::ule, by, last);
    Value amount = s.select(fits, by, last);
    if (!left && isSigned)
      return arith::ShRSIOp::create(builder, s.loc, x, amount);
    Value shifted =
        left ? Value(arith::ShLIOp::create(builder, s.loc, x, amount))
             : Value(arith::ShRUIOp::create(builder, s.loc, x, amount));
    return s.select(fits, shifted, s.constantInt(0, x.getType()));
  };
  return n.setOutput(0, n.build.binary(a, b, body));
}

//===----------------------------------------------------------------------===//
// Pow
//===----------------------------------------------------------------------===//

/// Integer power, wrapping as repeated multiplication does. Exponents beyond
/// the width matter only by their parity: |x| >= 2 has become 0 by then (or
/// would in exact arithmetic modulo 2^width), and 0, 1, -1 repeat.
static Value integerPower(ScalarBuilder &s, Value x, Value exponent,
                          bool exponentUnsigned) {
  Type type = x.getType();
  Value wide = s.convert(exponent, s.builder.getI64Type(), exponentUnsigned,
                         exponentUnsigned);
  auto constant = [&](int64_t v) { return s.constantInt(v, wide.getType()); };
  Value zero = constant(0);
  Value negative = arith::CmpIOp::create(s.builder, s.loc,
                                         arith::CmpIPredicate::slt, wide, zero);
  Value magnitude = s.select(negative, s.sub(zero, wide), wide);
  Value large = arith::CmpIOp::create(
      s.builder, s.loc, arith::CmpIPredicate::ugt, magnitude, constant(127));
  Value parity = s.bitAnd(magnitude, constant(1));
  magnitude = s.select(large, s.bitOr(parity, constant(126)), magnitude);
  Value one = s.constantInt(1, type), result = one, base = x;
  for (int bit = 0; bit < 7; ++bit) {
    Value isSet = s.ne(s.bitAnd(magnitude, constant(1ll << bit)), zero);
    result = s.select(isSet, s.mul(result, base), result);
    base = s.mul(base, base);
  }
  // 1 / x^|e| truncates to 0 unless x is 1 or -1, where it is x^|e| itself.
  Value unit = s.eq(x, one);
  if (!s.unsignedInts)
    unit = s.bitOr(unit, s.eq(x, s.constantInt(-1, type)));
  Value keeps = s.bitOr(unit, s.logicalNot(negative));
  return s.select(keeps, result, s.constantInt(0, type));
}

/// Power in floating point; whole and half exponents known at compile time
/// become exact arithmetic.
static Value floatPower(ScalarBuilder &s, Value x, Value exponent,
                        std::optional<double> known) {
  double e = known.value_or(0);
  if (known && e == 1)
    return x;
  if (known && e == 2)
    return s.mul(x, x);
  if (known && e == 3)
    return s.mul(s.mul(x, x), x);
  if (known && e == -1)
    return s.div(s.constant(1, x), x);
  Value result = math::PowFOp::create(s.builder, s.loc, x, exponent);
  return result;
}

/// Integer base, float exponent: nearest integer if the float result is one
/// but for its last bits, else truncation.
static Value toIntegerPower(ScalarBuilder &s, Value power, Type type,
                            bool isUnsigned) {
  Value nearest = s.roundEven(power);
  Value error = s.abs(s.sub(power, nearest));
  Value small = s.le(error, s.mul(s.abs(nearest), s.constant(1e-6, power)));
  return s.convert(s.select(small, nearest, power), type, false, isUnsigned);
}

static LogicalResult importPow(NodeContext &n) {
  Tensor x = n.input(0), y = n.input(1);
  if (failed(checkArithmetic(n, x)) || failed(checkArithmetic(n, y)) ||
      failed(checkBroadcast(n, {x, y})))
    return failure();
  std::optional<double> known;
  if (auto values = n.constantFloats(1); values && values->size() == 1)
    known = values->front();
  bool integers = !isFloat(x.type) && !isFloat(y.type);
  Type resultType = n.build.elementType(x.type);
  auto body = [&](ScalarBuilder &s, ValueRange v) -> Value {
    if (integers)
      return integerPower(s, v[0], v[1], isUnsigned(y.type));
    Type wide = x.type == ElemType::Double ? s.builder.getF64Type()
                                           : Type(s.builder.getF32Type());
    Value base = s.convert(v[0], wide, isUnsigned(x.type), false);
    Value exponent = s.convert(v[1], wide, isUnsigned(y.type), false);
    Value power = floatPower(s, base, exponent, known);
    return isFloat(x.type)
               ? power
               : toIntegerPower(s, power, resultType, isUnsigned(x.type));
  };
  return n.setOutput(0, n.build.elementwise({x, y}, x.type, body));
}

//===----------------------------------------------------------------------===//
// One operand
//===----------------------------------------------------------------------===//

template <Unary body> static LogicalResult importUnary(NodeContext &n) {
  Tensor x = n.input(0);
  if (failed(checkArithmetic(n, x)))
    return failure();
  return n.setOutput(0, n.build.unary(x, body));
}

/// Functions that ONNX defines for floats only.
template <Unary body> static LogicalResult importFloat(NodeContext &n) {
  if (!isFloat(n.input(0).type))
    return n.fail("needs floats, got " + getName(n.input(0).type));
  return importUnary<body>(n);
}

template <typename Op> static Value emit(ScalarBuilder &s, Value x) {
  return Op::create(s.builder, s.loc, x);
}

static Value sign(ScalarBuilder &s, Value x) {
  Value zero = s.constant(0, x), one = s.constant(1, x);
  Value positive = s.select(s.gt(x, zero), one, zero);
  Value result =
      s.unsignedInts ? positive : s.select(s.lt(x, zero), s.neg(one), positive);
  // NaN stays NaN.
  return isa<FloatType>(x.getType()) ? s.select(s.isNan(x), x, result) : result;
}

static Value reciprocal(ScalarBuilder &s, Value x) {
  return s.div(s.constant(1, x), x);
}

static LogicalResult importIsNaN(NodeContext &n) {
  if (!isFloat(n.input(0).type))
    return n.fail("needs floats");
  return n.setOutput(0, n.build.elementwise(n.input(0), ElemType::Bool,
                                            [](ScalarBuilder &s, ValueRange v) {
                                              return s.isNan(v[0]);
                                            }));
}

static LogicalResult importIsInf(NodeContext &n) {
  if (!isFloat(n.input(0).type))
    return n.fail("needs floats");
  bool negative = n.intAttr("detect_negative", 1);
  bool positive = n.intAttr("detect_positive", 1);
  auto body = [&](ScalarBuilder &s, ValueRange v) -> Value {
    Value infinity = s.constant(HUGE_VAL, v[0]);
    if (negative && positive)
      return s.eq(s.abs(v[0]), infinity);
    if (positive)
      return s.eq(v[0], infinity);
    return negative ? s.eq(v[0], s.neg(infinity))
                    : s.constantInt(0, s.builder.getI1Type());
  };
  return n.setOutput(0, n.build.elementwise(n.input(0), ElemType::Bool, body));
}

static LogicalResult importNot(NodeContext &n) {
  if (n.input(0).type != ElemType::Bool)
    return n.fail("needs bool, got " + getName(n.input(0).type));
  return importUnary<call<&ScalarBuilder::logicalNot>>(n);
}

static Value invertBits(ScalarBuilder &s, Value x) {
  return s.bitXor(x, s.constantInt(-1, x.getType()));
}

static LogicalResult importBitwiseNot(NodeContext &n) {
  if (!isInteger(n.input(0).type))
    return n.fail("needs integers, got " + getName(n.input(0).type));
  return importUnary<invertBits>(n);
}

/// And, Or, Xor (bool) and Bitwise* (integers).
template <Binary body> static LogicalResult importLogic(NodeContext &n) {
  if (isFloat(n.input(0).type))
    return n.fail("has no meaning on " + getName(n.input(0).type));
  return importBinary<body>(n);
}

//===----------------------------------------------------------------------===//
// Where, Clip
//===----------------------------------------------------------------------===//

static LogicalResult importWhere(NodeContext &n) {
  Tensor condition = n.input(0), a = n.input(1), b = n.input(2);
  if (condition.type != ElemType::Bool)
    return n.fail("condition is " + getName(condition.type) + ", not bool");
  if (failed(checkSameType(n, {a, b})) ||
      failed(checkBroadcast(n, {condition, a, b})))
    return failure();
  return n.setOutput(0,
                     n.build.elementwiseRaw({condition, a, b}, a.type,
                                            [](ScalarBuilder &s, ValueRange v) {
                                              return s.select(v[0], v[1], v[2]);
                                            }));
}

/// Bound of a Clip: attribute (before opset 11), constant, or operand.
static FailureOr<Tensor> getBound(NodeContext &n, size_t i, StringRef attr) {
  Tensor x = n.input(0), bound = n.input(i);
  if (!bound && n.hasAttr(attr))
    return n.build.splat(x.type, {}, n.floatAttr(attr, 0));
  if (!bound)
    return Tensor();
  if (bound.type != x.type)
    return n.fail(attr + " is " + getName(bound.type) + " but the input " +
                  getName(x.type));
  if (bound.numElements() != 1)
    return n.fail(attr + " must be a scalar, got " + toString(bound.shape()));
  return n.build.reshape(bound, {});
}

static LogicalResult importClip(NodeContext &n) {
  Tensor x = n.input(0);
  auto low = getBound(n, 1, "min"), high = getBound(n, 2, "max");
  if (failed(low) || failed(high) || failed(checkArithmetic(n, x)))
    return failure();
  SmallVector<Tensor> inputs = {x};
  for (Tensor bound : {*low, *high})
    if (bound)
      inputs.push_back(bound);
  if (inputs.size() == 1)
    return n.setOutput(0, x);
  bool hasLow = bool(*low), hasHigh = bool(*high);
  return n.setOutput(
      0,
      n.build.elementwise(inputs, x.type, [&](ScalarBuilder &s, ValueRange v) {
        Value y = hasLow ? s.max(v[0], v[1]) : v[0];
        return hasHigh ? s.min(y, v.back()) : y;
      }));
}

//===----------------------------------------------------------------------===//
// Registration
//===----------------------------------------------------------------------===//

static void registerBinary(OpRegistry &r) {
  r.add("", "Add", importBinary<call<&ScalarBuilder::add>>, 2);
  r.add("", "Sub", importBinary<call<&ScalarBuilder::sub>>, 2);
  r.add("", "Mul", importBinary<call<&ScalarBuilder::mul>>, 2);
  r.add("", "Div", importBinary<call<&ScalarBuilder::div>>, 2);
  r.add("", "Mod", importMod, 2);
  r.add("", "Pow", importPow, 2);
  r.add("", "BitShift", importBitShift, 2);
  for (const char *name : {"And", "BitwiseAnd"})
    r.add("", name, importLogic<call<&ScalarBuilder::bitAnd>>, 2);
  for (const char *name : {"Or", "BitwiseOr"})
    r.add("", name, importLogic<call<&ScalarBuilder::bitOr>>, 2);
  for (const char *name : {"Xor", "BitwiseXor"})
    r.add("", name, importLogic<call<&ScalarBuilder::bitXor>>, 2);
  r.add("", "Equal", importComparison<call<&ScalarBuilder::eq>>, 2);
  r.add("", "Less", importComparison<call<&ScalarBuilder::lt>>, 2);
  r.add("", "LessOrEqual", importComparison<call<&ScalarBuilder::le>>, 2);
  r.add("", "Greater", importComparison<call<&ScalarBuilder::gt>>, 2);
  r.add("", "GreaterOrEqual", importComparison<call<&ScalarBuilder::ge>>, 2);
  r.add("", "Sum", importVariadic<call<&ScalarBuilder::add>>);
  r.add("", "Mean", importVariadic<call<&ScalarBuilder::add>>);
  r.add("", "Max", importVariadic<call<&ScalarBuilder::max>>);
  r.add("", "Min", importVariadic<call<&ScalarBuilder::min>>);
}

static void registerUnary(OpRegistry &r) {
  r.add("", "Abs", importUnary<call<&ScalarBuilder::abs>>);
  r.add("", "Neg", importUnary<call<&ScalarBuilder::neg>>);
  r.add("", "Sign", importUnary<sign>);
  r.add("", "Not", importNot);
  r.add("", "BitwiseNot", importBitwiseNot);
  r.add("", "IsNaN", importIsNaN);
  r.add("", "IsInf", importIsInf);
  r.add("", "Exp", importFloat<call<&ScalarBuilder::exp>>);
  r.add("", "Log", importFloat<call<&ScalarBuilder::log>>);
  r.add("", "Sqrt", importFloat<call<&ScalarBuilder::sqrt>>);
  r.add("", "Erf", importFloat<call<&ScalarBuilder::erf>>);
  r.add("", "Floor", importFloat<call<&ScalarBuilder::floor>>);
  r.add("", "Ceil", importFloat<call<&ScalarBuilder::ceil>>);
  r.add("", "Round", importFloat<call<&ScalarBuilder::roundEven>>);
  r.add("", "Reciprocal", importFloat<reciprocal>);
  r.add("", "Sin", importFloat<emit<math::SinOp>>);
  r.add("", "Cos", importFloat<emit<math::CosOp>>);
  r.add("", "Tan", importFloat<emit<math::TanOp>>);
  r.add("", "Asin", importFloat<emit<math::AsinOp>>);
  r.add("", "Acos", importFloat<emit<math::AcosOp>>);
  r.add("", "Atan", importFloat<emit<math::AtanOp>>);
  r.add("", "Sinh", importFloat<emit<math::SinhOp>>);
  r.add("", "Cosh", importFloat<emit<math::CoshOp>>);
  r.add("", "Asinh", importFloat<emit<math::AsinhOp>>);
  r.add("", "Acosh", importFloat<emit<math::AcoshOp>>);
  r.add("", "Atanh", importFloat<emit<math::AtanhOp>>);
}

void nibble::onnx::registerElementwiseOps(OpRegistry &r) {
  registerBinary(r);
  registerUnary(r);
  r.add("", "Where", importWhere, 3);
  r.add("", "Clip", importClip);
}
