// Normalizations over trailing dimensions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
#include "Precision.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

static LogicalResult checkFactor(NodeContext &n, Tensor x, Tensor factor,
                                 StringRef what) {
  if (!factor)
    return success();
  auto shape = broadcastShapes({x.shape(), factor.shape()});
  if (succeeded(shape) && ArrayRef<int64_t>(*shape) == x.shape())
    return success();
  return n.fail(what + " " + toString(factor.shape()) +
                " does not broadcast to the input " + toString(x.shape()));
}

/// Normalizes over [axis, rank) and scales; the result has the type of `type`.
static Tensor emitNorm(GraphBuilder &b, nq::NormKind kind, Tensor x,
                       Tensor scale, Tensor bias, int64_t axis, double epsilon,
                       ElemType type) {
  return {nq::NormOp::create(b.builder, b.loc, b.tensorType(x.shape(), type),
                             kind, x.value, scale.value, bias.value, axis,
                             APFloat(epsilon)),
          type};
}

namespace {
/// Mean and 1/sqrt(variance + epsilon) over trailing dimensions, kept as 1.
struct Statistics {
  Tensor mean, inverse;
};
} // namespace

static Statistics emitStatistics(GraphBuilder &b, Tensor x, int64_t axis,
                                 double epsilon) {
  ElemType wide = x.type == ElemType::Double ? x.type : ElemType::Float;
  auto dims = llvm::to_vector(llvm::seq<int64_t>(axis, x.rank()));
  double count = 1;
  for (int64_t d : dims)
    count *= x.dim(d);
  auto add = [](ScalarBuilder &s, Value acc, Value v) { return s.add(acc, v); };
  auto average = [&](Tensor sum) {
    return b.unary(sum, [&](ScalarBuilder &s, Value v) {
      return s.div(v, s.constant(count, v));
    });
  };
  Statistics result;
  result.mean = average(b.reduce(x, dims, true, wide, 0, add));
  Tensor square =
      b.elementwise({x, result.mean}, wide, [](ScalarBuilder &s, ValueRange v) {
        Value d = s.sub(v[0], v[1]);
        return s.mul(d, d);
      });
  Tensor variance = average(b.reduce(square, dims, true, wide, 0, add));
  result.inverse = b.unary(variance, [&](ScalarBuilder &s, Value v) {
    Value root = s.sqrt(s.add(v, s.constant(epsilon, v)));
    return s.div(s.constant(1, v), root);
  });
  return result;
}

static LogicalResult importLayerNorm(NodeContext &n) {
  Tensor x = n.input(0), scale = n.input(1), bias = n.input(2);
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), x.rank());
  if (failed(axis) || failed(checkFactor(n, x, scale, "scale")) ||
      failed(checkFactor(n, x, bias, "bias")) ||
      failed(checkPrecision(n, "stash_type", x.type)))
    return failure();
  double epsilon = n.floatAttr("epsilon", 1e-5f);
  if (n.hasOutput(1) || n.hasOutput(2)) {
    Statistics statistics = emitStatistics(n.build, x, *axis, epsilon);
    auto stash = ElemType(n.intAttr("stash_type", 1));
    (void)n.setOutput(1, n.build.cast(statistics.mean, stash));
    (void)n.setOutput(2, n.build.cast(statistics.inverse, stash));
  }
  return n.setOutput(0, emitNorm(n.build, nq::NormKind::layer, x, scale, bias,
                                 *axis, epsilon, x.type));
}

static LogicalResult importRmsNorm(NodeContext &n) {
  Tensor x = n.input(0), scale = n.input(1);
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), x.rank());
  if (failed(axis) || failed(checkFactor(n, x, scale, "scale")) ||
      failed(checkPrecision(n, "stash_type", x.type)))
    return failure();
  return n.setOutput(0,
                     emitNorm(n.build, nq::NormKind::rms, x, scale, {}, *axis,
                              n.floatAttr("epsilon", 1e-5f), scale.type));
}

/// onnxruntime: norm(input + skip + bias); output 3 is the sum.
static LogicalResult importSkipNorm(NodeContext &n, nq::NormKind kind) {
  bool isLayer = kind == nq::NormKind::layer;
  Tensor sum = n.input(0), scale = n.input(2);
  Tensor beta = isLayer ? n.input(3) : Tensor();
  for (Tensor addend : {n.input(1), n.input(isLayer ? 4 : 3)}) {
    if (failed(checkFactor(n, sum, addend, "skip or bias")))
      return failure();
    if (addend)
      sum = n.build.binary(sum, addend, [](ScalarBuilder &s, Value a, Value b) {
        return s.add(a, b);
      });
  }
  if (failed(checkFactor(n, sum, scale, "gamma")) ||
      failed(checkFactor(n, sum, beta, "beta")))
    return failure();
  if (n.hasOutput(1) || n.hasOutput(2))
    return n.fail("outputs mean and inv_std_var are not supported");
  (void)n.setOutput(3, sum);
  return n.setOutput(0,
                     emitNorm(n.build, kind, sum, scale, beta, sum.rank() - 1,
                              n.floatAttr("epsilon", 1e-12f), sum.type));
}

static LogicalResult importSkipLayerNorm(NodeContext &n) {
  return importSkipNorm(n, nq::NormKind::layer);
}
static LogicalResult importSkipRmsNorm(NodeContext &n) {
  return importSkipNorm(n, nq::NormKind::rms);
}

void nibble::onnx::registerNormOps(OpRegistry &r) {
  r.add("", "LayerNormalization", importLayerNorm, 2);
  r.add("", "RMSNormalization", importRmsNorm, 2);
  r.add("", "SimplifiedLayerNormalization", importRmsNorm, 2);
  r.add("com.microsoft", "SkipLayerNormalization", importSkipLayerNorm, 3);
  r.add("com.microsoft", "SkipSimplifiedLayerNormalization", importSkipRmsNorm,
        3);
}
