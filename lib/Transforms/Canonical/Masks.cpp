// What masks of attention are made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Masks.h"

#include "GraphMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace nibble;

static Type getF32(OpBuilder &b) { return b.getF32Type(); }

static Value toF32(OpBuilder &b, Location loc, Value value) {
  return isNarrowFloat(value.getType())
             ? Value(arith::ExtFOp::create(b, loc, b.getF32Type(), value))
             : value;
}

static bool isBool(Value mask) {
  return getTensor(mask).getElementType().isInteger(1);
}

Value nibble::combineMasks(OpBuilder &b, Location loc, Value first,
                           Value second) {
  if (!first)
    return second;
  if (isBool(first) != isBool(second)) {
    Value visible = isBool(first) ? first : second;
    Value added = isBool(first) ? second : first;
    return mapBroadcast(
        b, loc, getF32(b), {visible, added},
        [](OpBuilder &b, Location loc, ValueRange v) -> Value {
          Value masked = arith::ConstantOp::create(
              b, loc,
              b.getF32FloatAttr(-std::numeric_limits<float>::infinity()));
          return arith::SelectOp::create(b, loc, v[0], toF32(b, loc, v[1]),
                                         masked);
        });
  }
  bool bools = isBool(first);
  return mapBroadcast(b, loc, bools ? b.getI1Type() : getF32(b),
                      {first, second},
                      [&](OpBuilder &b, Location loc, ValueRange v) -> Value {
                        if (bools)
                          return arith::AndIOp::create(b, loc, v[0], v[1]);
                        return arith::AddFOp::create(
                            b, loc, toF32(b, loc, v[0]), toF32(b, loc, v[1]));
                      });
}

Value nibble::invertMask(OpBuilder &b, Location loc, Value mask) {
  return mapBroadcast(b, loc, b.getI1Type(), mask,
                      [](OpBuilder &b, Location loc, ValueRange v) -> Value {
                        Value one = arith::ConstantIntOp::create(
                            b, loc, b.getI1Type(), 1);
                        return arith::XOrIOp::create(b, loc, v[0], one);
                      });
}
