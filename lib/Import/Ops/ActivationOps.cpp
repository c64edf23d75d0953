// Activation functions, Softmax and LogSoftmax.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

/// Emits y = body(x) for a float x of at least 16 bits.
static LogicalResult
emitFloat(NodeContext &n,
          llvm::function_ref<Value(ScalarBuilder &, Value)> body) {
  Tensor x = n.input(0);
  if (!isFloat(x.type) || getBitWidth(x.type) < 16)
    return n.fail("needs float, float16, bfloat16 or double, got " +
                  getName(x.type));
  return n.setOutput(0, n.build.unary(x, body));
}

static Value scaled(ScalarBuilder &s, double factor, Value x) {
  return s.mul(x, s.constant(factor, x));
}

static Value plus(ScalarBuilder &s, Value x, double addend) {
  return s.add(x, s.constant(addend, x));
}

/// a where x is negative, else b; NaN gives b.
static Value ifNegative(ScalarBuilder &s, Value x, Value a, Value b) {
  return s.select(s.lt(x, s.constant(0, x)), a, b);
}

//===----------------------------------------------------------------------===//
// Gelu and relatives
//===----------------------------------------------------------------------===//

/// 0.5 x (1 + erf(x / sqrt 2))
static Value gelu(ScalarBuilder &s, Value x) {
  Value inner = s.erf(scaled(s, M_SQRT1_2, x));
  return s.mul(scaled(s, 0.5, x), plus(s, inner, 1));
}

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
static Value geluTanh(ScalarBuilder &s, Value x) {
  Value cube = s.mul(s.mul(x, x), x);
  Value inner = s.add(x, scaled(s, 0.044715, cube));
  Value tanh = s.tanh(scaled(s, std::sqrt(M_2_PI), inner));
  return s.mul(scaled(s, 0.5, x), plus(s, tanh, 1));
}

static LogicalResult importGelu(NodeContext &n) {
  std::string approximate = n.stringAttr("approximate", "none");
  if (approximate == "none")
    return emitFloat(n, gelu);
  if (approximate == "tanh")
    return emitFloat(n, geluTanh);
  return n.fail("approximate '" + approximate + "' is not none or tanh");
}

/// Operators of onnxruntime that add a bias first.
static LogicalResult importBiasGelu(NodeContext &n, bool tanh) {
  Tensor x = n.input(0), bias = n.input(1);
  auto body = tanh ? geluTanh : gelu;
  if (!bias)
    return emitFloat(n, body);
  auto shape = broadcastShapes({x.shape(), bias.shape()});
  if (x.type != bias.type || failed(shape) ||
      ArrayRef<int64_t>(*shape) != x.shape())
    return n.fail("bias does not fit the input");
  return n.setOutput(
      0, n.build.binary(x, bias, [&](ScalarBuilder &s, Value a, Value b) {
        return body(s, s.add(a, b));
      }));
}

static LogicalResult importErfBiasGelu(NodeContext &n) {
  return importBiasGelu(n, false);
}
static LogicalResult importFastGelu(NodeContext &n) {
  return importBiasGelu(n, true);
}

/// x * sigmoid(alpha x); QuickGelu defaults to 1.702, Swish to 1.
static LogicalResult importSwish(NodeContext &n) {
  double alpha = n.floatAttr("alpha", n.opType() == "QuickGelu" ? 1.702 : 1.0);
  return emitFloat(n, [&](ScalarBuilder &s, Value x) {
    return s.mul(x, s.sigmoid(alpha == 1 ? x : scaled(s, alpha, x)));
  });
}

//===----------------------------------------------------------------------===//
// Piecewise
//===----------------------------------------------------------------------===//

static LogicalResult importRelu(NodeContext &n) {
  Tensor x = n.input(0);
  if (!isFloat(x.type) && !isInteger(x.type))
    return n.fail("needs numbers, got " + getName(x.type));
  return n.setOutput(0, n.build.unary(x, [](ScalarBuilder &s, Value v) {
    return s.max(v, s.constant(0, v));
  }));
}

static LogicalResult importLeakyRelu(NodeContext &n) {
  double alpha = n.floatAttr("alpha", 0.01);
  return emitFloat(n, [&](ScalarBuilder &s, Value x) {
    return ifNegative(s, x, scaled(s, alpha, x), x);
  });
}

static LogicalResult importPRelu(NodeContext &n) {
  Tensor x = n.input(0), slope = n.input(1);
  auto shape = broadcastShapes({x.shape(), slope.shape()});
  bool fits = succeeded(shape) && ArrayRef<int64_t>(*shape) == x.shape();
  if (!fits || x.type != slope.type)
    return n.fail("slope " + toString(slope.shape()) +
                  " does not broadcast to the input " + toString(x.shape()));
  return n.setOutput(
      0, n.build.binary(x, slope, [](ScalarBuilder &s, Value a, Value b) {
        return ifNegative(s, a, s.mul(a, b), a);
      }));
}

static LogicalResult importThresholdedRelu(NodeContext &n) {
  double alpha = n.floatAttr("alpha", 1);
  return emitFloat(n, [&](ScalarBuilder &s, Value x) {
    return s.select(s.gt(x, s.constant(alpha, x)), x, s.constant(0, x));
  });
}

static LogicalResult importShrink(NodeContext &n) {
  double lambda = n.floatAttr("lambd", 0.5), bias = n.floatAttr("bias", 0);
  Tensor x = n.input(0);
  // Integers are shrunk in f32, as their attributes are floats.
  Tensor wide = isFloat(x.type) ? x : n.build.cast(x, ElemType::Float);
  Tensor y = n.build.unary(wide, [&](ScalarBuilder &s, Value v) {
    Value low = s.lt(v, s.constant(-lambda, v));
    Value high = s.gt(v, s.constant(lambda, v));
    Value inner = s.select(high, plus(s, v, -bias), s.constant(0, v));
    return s.select(low, plus(s, v, bias), inner);
  });
  return n.setOutput(0, n.build.cast(y, x.type));
}

static LogicalResult importHardSigmoid(NodeContext &n) {
  double alpha = n.floatAttr("alpha", 0.2), beta = n.floatAttr("beta", 0.5);
  return emitFloat(n, [&](ScalarBuilder &s, Value x) {
    Value y = plus(s, scaled(s, alpha, x), beta);
    return s.max(s.constant(0, x), s.min(s.constant(1, x), y));
  });
}

static LogicalResult importHardSwish(NodeContext &n) {
  return emitFloat(n, [](ScalarBuilder &s, Value x) {
    Value gate = plus(s, scaled(s, 1.0 / 6, x), 0.5);
    gate = s.max(s.constant(0, x), s.min(s.constant(1, x), gate));
    return s.mul(x, gate);
  });
}

//===----------------------------------------------------------------------===//
// Exponential
//===----------------------------------------------------------------------===//

/// log(1 + e^x) without overflow: max(x, 0) + log1p(e^-|x|).
static Value softplus(ScalarBuilder &s, Value x) {
  Value tail = math::Log1pOp::create(s.builder, s.loc, s.exp(s.neg(s.abs(x))));
  return s.add(s.max(x, s.constant(0, x)), tail);
}

static Value softsign(ScalarBuilder &s, Value x) {
  return s.div(x, plus(s, s.abs(x), 1));
}

static Value mish(ScalarBuilder &s, Value x) {
  return s.mul(x, s.tanh(softplus(s, x)));
}

static Value sigmoid(ScalarBuilder &s, Value x) { return s.sigmoid(x); }
static Value tanhOf(ScalarBuilder &s, Value x) { return s.tanh(x); }

template <Value (*body)(ScalarBuilder &, Value)>
static LogicalResult importFunction(NodeContext &n) {
  return emitFloat(n, body);
}

/// gain * (x < 0 ? alpha (e^(x/width) - 1) : x)
static LogicalResult emitElu(NodeContext &n, double alpha, double width,
                             double gain) {
  return emitFloat(n, [&](ScalarBuilder &s, Value x) {
    // The unused branch must not overflow into NaN arithmetic downstream.
    Value below = s.min(x, s.constant(0, x));
    Value inner = width == 1 ? below : s.div(below, s.constant(width, x));
    Value curve = scaled(s, alpha, plus(s, s.exp(inner), -1));
    Value y = ifNegative(s, x, curve, x);
    return gain == 1 ? y : scaled(s, gain, y);
  });
}

static LogicalResult importElu(NodeContext &n) {
  return emitElu(n, n.floatAttr("alpha", 1), 1, 1);
}
static LogicalResult importCelu(NodeContext &n) {
  double alpha = n.floatAttr("alpha", 1);
  return emitElu(n, alpha, alpha, 1);
}
static LogicalResult importSelu(NodeContext &n) {
  return emitElu(n, n.floatAttr("alpha", 1.67326319217681884765625), 1,
                 n.floatAttr("gamma", 1.05070102214813232421875));
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

static Tensor emitSoftmax(GraphBuilder &b, Tensor x, int64_t axis) {
  auto op = linalg::SoftmaxOp::create(b.builder, b.loc, x.getType(), x.value,
                                      b.empty(x.shape(), x.type), axis);
  return {op->getResult(0), x.type};
}

/// x - max - log(sum(exp(x - max))) in f32 (f64), rounded once.
static Tensor emitLogSoftmax(GraphBuilder &b, Tensor x, int64_t axis) {
  ElemType wide = x.type == ElemType::Double ? x.type : ElemType::Float;
  Tensor max = b.reduce(
      x, axis, /*keepDims=*/true, wide, -HUGE_VAL,
      [](ScalarBuilder &s, Value acc, Value v) { return s.max(acc, v); });
  Tensor shifted =
      b.elementwise({x, max}, wide, [](ScalarBuilder &s, ValueRange v) {
        return s.sub(v[0], v[1]);
      });
  Tensor sum = b.reduce(shifted, axis, /*keepDims=*/true, wide, 0,
                        [](ScalarBuilder &s, Value acc, Value v) {
                          return s.add(acc, s.exp(v));
                        });
  return b.elementwise(
      {shifted, sum}, x.type,
      [](ScalarBuilder &s, ValueRange v) { return s.sub(v[0], s.log(v[1])); });
}

/// Before opset 13 the tensor is read as a matrix [dims before axis, rest].
static LogicalResult importSoftmaxLike(NodeContext &n,
                                       Tensor (*emit)(GraphBuilder &, Tensor,
                                                      int64_t)) {
  Tensor x = n.input(0);
  if (!isFloat(x.type) || getBitWidth(x.type) < 16)
    return n.fail("needs float, float16, bfloat16 or double, got " +
                  getName(x.type));
  bool legacy = n.opset() < 13;
  auto axis = n.normalizeAxis(n.intAttr("axis", legacy ? 1 : -1), x.rank());
  if (failed(axis))
    return failure();
  if (!legacy || *axis == x.rank() - 1)
    return n.setOutput(0, emit(n.build, x, *axis));
  Shape matrix = {1, 1};
  for (int64_t d = 0; d < x.rank(); ++d)
    matrix[d < *axis ? 0 : 1] *= x.dim(d);
  Tensor y = emit(n.build, n.build.reshape(x, matrix), 1);
  return n.setOutput(0, n.build.reshape(y, x.shape()));
}

static LogicalResult importSoftmax(NodeContext &n) {
  return importSoftmaxLike(n, emitSoftmax);
}
static LogicalResult importLogSoftmax(NodeContext &n) {
  return importSoftmaxLike(n, emitLogSoftmax);
}

void nibble::onnx::registerActivationOps(OpRegistry &r) {
  for (const char *domain : {"", "com.microsoft"})
    r.add(domain, "Gelu", importGelu);
  r.add("com.microsoft", "BiasGelu", importErfBiasGelu);
  r.add("com.microsoft", "FastGelu", importFastGelu);
  r.add("com.microsoft", "QuickGelu", importSwish);
  r.add("", "Swish", importSwish);
  r.add("", "Relu", importRelu);
  r.add("", "LeakyRelu", importLeakyRelu);
  r.add("", "PRelu", importPRelu, 2);
  r.add("", "ThresholdedRelu", importThresholdedRelu);
  r.add("", "Shrink", importShrink);
  r.add("", "HardSigmoid", importHardSigmoid);
  r.add("", "HardSwish", importHardSwish);
  r.add("", "Softplus", importFunction<softplus>);
  r.add("", "Softsign", importFunction<softsign>);
  r.add("", "Mish", importFunction<mish>);
  r.add("", "Sigmoid", importFunction<sigmoid>);
  r.add("", "Tanh", importFunction<tanhOf>);
  r.add("", "Elu", importElu);
  r.add("", "Celu", importCelu);
  r.add("", "Selu", importSelu);
  r.add("", "Softmax", importSoftmax);
  r.add("", "LogSoftmax", importLogSoftmax);
}
