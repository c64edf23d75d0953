// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
#include "QuantBuild.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

static LayoutAttrs getLayoutAttrs(NodeContext &n) {
  LayoutAttrs attrs;
  if (n.hasAttr("axis"))
    attrs.axis = n.intAttr("axis", 1);
  attrs.blockSize = n.intAttr("block_size", 0);
  return attrs;
}

/// Type of the codes of a QuantizeLinear (R5): zero point, output_dtype, what
/// value_info says, and else the default of ONNX (uint8) or TensorRT (int8).
static FailureOr<ElemType> getCodeType(NodeContext &n) {
  auto wanted = ElemType(n.intAttr("output_dtype", 0));
  Tensor zeroPoint = n.input(2);
  if (zeroPoint && wanted != ElemType::Undefined && wanted != zeroPoint.type)
    return n.fail("output_dtype is " + getName(wanted) +
                  " but the zero point is " + getName(zeroPoint.type));
  if (zeroPoint)
    return zeroPoint.type;
  if (wanted != ElemType::Undefined)
    return wanted;
  ElemType declared = n.declaredOutputType(0);
  if (isCodeType(getHeldType(declared)))
    return declared;
  return n.domain() == "trt" ? ElemType::Int8 : ElemType::UInt8;
}

/// `precision`: the type that x / scale is computed in. Float is what
/// nq.quantize does; quotients in a narrower type come first, over scales of 1.
static LogicalResult applyPrecision(NodeContext &n, Tensor &x, Tensor &scale) {
  auto precision = ElemType(n.intAttr("precision", 0));
  if (precision == ElemType::Undefined || precision == ElemType::Float)
    return success();
  if (precision != ElemType::Float16 && precision != ElemType::BFloat16)
    return n.fail("precision " + getName(precision) +
                  " is not supported: Nibble divides in float, float16 or "
                  "bfloat16; set the attribute to 1 (float)");
  auto quotients = emitQuotients(n, x, scale, getLayoutAttrs(n), precision);
  if (failed(quotients))
    return failure();
  x = *quotients;
  scale = n.build.splat(ElemType::Float, scale.shape(), 1);
  return success();
}

static LogicalResult importQuantizeLinear(NodeContext &n) {
  Tensor x = n.input(0), scale = n.input(1);
  auto codeType = getCodeType(n);
  if (failed(codeType) || failed(applyPrecision(n, x, scale)))
    return failure();
  auto codes = emitQuantize(n, x, scale, n.input(2), *codeType,
                            getLayoutAttrs(n), n.intAttr("saturate", 1));
  return failed(codes) ? failure() : n.setOutput(0, *codes);
}

static LogicalResult importDequantizeLinear(NodeContext &n) {
  Tensor scale = n.input(1);
  auto result = ElemType(n.intAttr("output_dtype", 0));
  bool bits = scale.type == ElemType::Float8E8M0;
  if (result == ElemType::Undefined && bits)
    return n.fail("output_dtype is required with float8e8m0 scales");
  if (scale.type == ElemType::UInt8 && result == ElemType::Undefined)
    return n.fail("scales are uint8; E8M0 bits need output_dtype");
  auto y = emitDequantize(n, n.input(0), scale, n.input(2), getLayoutAttrs(n),
                          result == ElemType::Undefined ? scale.type : result);
  return failed(y) ? failure() : n.setOutput(0, *y);
}

//===----------------------------------------------------------------------===//
// DynamicQuantizeLinear
//===----------------------------------------------------------------------===//

/// Smallest (or largest) element, 0 included.
static Tensor emitBound(NodeContext &n, Tensor x, bool isMax) {
  auto dims = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  return n.build.reduce(x, dims, /*keepDims=*/false, ElemType::Float, 0,
                        [&](ScalarBuilder &s, Value acc, Value v) {
                          return isMax ? s.max(acc, v) : s.min(acc, v);
                        });
}

using ScalarOp = Value (ScalarBuilder::*)(Value, Value);

/// An f32 operation whose rounding the reference does, too: in f64, which has
/// the bits for this to be the same (53 >= 2 * 24 + 2), then rounded in so many
/// words.
static Value stepInF32(ScalarBuilder &s, ScalarOp op, Value a, Value b) {
  auto widen = [&](Value v) -> Value {
    return arith::ExtFOp::create(s.builder, s.loc, s.builder.getF64Type(), v);
  };
  auto nearest = arith::RoundingModeAttr::get(
      s.builder.getContext(), arith::RoundingMode::to_nearest_even);
  return arith::TruncFOp::create(s.builder, s.loc, s.builder.getF32Type(),
                                 (s.*op)(widen(a), widen(b)), nearest,
                                 arith::FastMathFlagsAttr());
}

/// The recipe is rt::onnxDynamicScale; codes are those of QuantizeLinear, and 0
/// under a scale of 0.
static LogicalResult importDynamicQuantizeLinear(NodeContext &n) {
  Tensor x = n.input(0);
  if (x.type != ElemType::Float)
    return n.fail("needs float, got " + getName(x.type));
  GraphBuilder &b = n.build;
  Tensor low = emitBound(n, x, false), high = emitBound(n, x, true);
  Tensor scale = b.binary(high, low, [](ScalarBuilder &s, Value h, Value l) {
    Value range = stepInF32(s, &ScalarBuilder::sub, h, l);
    return stepInF32(s, &ScalarBuilder::div, range, s.constant(255, range));
  });
  Tensor zero = b.binary(low, scale, [](ScalarBuilder &s, Value l, Value by) {
    Value none = s.constant(0, l);
    Value z = s.neg(stepInF32(s, &ScalarBuilder::div, l, by));
    z = s.min(s.max(z, none), s.constant(255, l));
    return s.select(s.eq(by, none), none, s.roundEven(z));
  });
  Type byte = b.elementType(ElemType::UInt8);
  // Of the division by a rounded scale the reference rounds the result.
  Tensor codes = b.elementwise(
      {x, scale, zero}, ElemType::UInt8, [&](ScalarBuilder &s, ValueRange v) {
        Value none = s.constant(0, v[1]);
        Value quotient = s.select(s.eq(v[1], none), none, s.div(v[0], v[1]));
        Value code = s.add(s.roundEven(quotient), v[2]);
        return s.convert(code, byte, false, true);
      });
  (void)n.setOutput(1, scale);
  (void)n.setOutput(2, b.cast(zero, ElemType::UInt8));
  return n.setOutput(0, codes);
}

void nibble::onnx::registerQuantOps(OpRegistry &r) {
  for (const char *domain : {"", "com.microsoft"}) {
    r.add(domain, "QuantizeLinear", importQuantizeLinear, 2);
    r.add(domain, "DequantizeLinear", importDequantizeLinear, 2);
  }
  r.add("", "DynamicQuantizeLinear", importDynamicQuantizeLinear);
}
