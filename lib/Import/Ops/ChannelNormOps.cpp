// Normalizations around channels: Batch, Instance, Group, Lp, LRN, mean and
// variance.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"
#include "Precision.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

static LogicalResult requireFloatImage(NodeContext &n, Tensor x,
                                       int64_t leastRank) {
  if (isFloat(x.type) && x.rank() >= leastRank)
    return success();
  return n.fail("input " + getName(x.type) + toString(x.shape()) +
                " is not a float of at least " + Twine(leastRank) +
                " dimensions");
}

/// Vector of one number per channel so that it broadcasts to [N, C, ..].
static FailureOr<Tensor> perChannel(NodeContext &n, size_t i, Tensor x,
                                    StringRef what) {
  Tensor t = n.input(i);
  if (t.numElements() != x.dim(1) || !isFloat(t.type))
    return n.fail(what + " " + toString(t.shape()) + " does not have " +
                  Twine(x.dim(1)) + " numbers, one per channel");
  Shape shape(x.rank() - 1, 1);
  shape[0] = x.dim(1);
  return n.build.reshape(t, shape);
}

//===----------------------------------------------------------------------===//
// BatchNormalization
//===----------------------------------------------------------------------===//

namespace {
struct BatchNorm {
  Tensor x, scale, bias, mean, variance; ///< all but x: [C, 1..]
  double epsilon;
};
} // namespace

/// Scalars of several float types in the widest of them.
static SmallVector<Value> unify(ScalarBuilder &s, ValueRange values) {
  Type widest = values[0].getType();
  for (Value v : values)
    if (v.getType().isF64())
      widest = v.getType();
  SmallVector<Value> result;
  for (Value v : values)
    result.push_back(s.convert(v, widest, false, false));
  return result;
}

static Tensor applyBatchNorm(GraphBuilder &build, const BatchNorm &b) {
  return build.elementwise(
      {b.x, b.scale, b.bias, b.mean, b.variance}, b.x.type,
      [&](ScalarBuilder &s, ValueRange args) {
        SmallVector<Value> a = unify(s, args);
        Value spread = s.sqrt(s.add(a[4], s.constant(b.epsilon, a[4])));
        Value y = s.mul(s.sub(a[0], a[3]), s.div(a[1], spread));
        y = s.add(y, a[2]);
        Type wide = isWideFloat(b.x.type) ? build.elementType(b.x.type)
                                          : s.builder.getF32Type();
        return s.convert(y, wide, false, false);
      });
}

/// Mean of x over all dimensions but the channels, as [C, 1..].
static Tensor meanOverImages(GraphBuilder &build, Tensor x) {
  SmallVector<int64_t> axes;
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != 1)
      axes.push_back(d);
  int64_t channels = x.dim(1), count = x.numElements() / channels;
  Tensor sum = build.reduce(
      x, axes, true, getAccumulator(x.type), 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); });
  Tensor mean = build.unary(sum, [&](ScalarBuilder &s, Value v) {
    return s.div(v, s.constant(double(count), v));
  });
  return build.reshape(mean, Shape(mean.shape().drop_front()));
}

/// Statistics of the batch take the place of the given ones, which are moved
/// towards them.
static void trainBatchNorm(NodeContext &n, BatchNorm &b, double momentum) {
  GraphBuilder &build = n.build;
  Tensor mean = meanOverImages(build, b.x);
  Tensor squares = build.elementwise(
      {b.x, mean}, getAccumulator(b.x.type),
      [](ScalarBuilder &s, ValueRange a) {
        Value d = s.sub(a[0], s.convert(a[1], a[0].getType(), false, false));
        return s.mul(d, d);
      });
  Tensor variance = meanOverImages(build, squares);
  auto blend = [&](Tensor running, Tensor batch) {
    Tensor y = build.elementwise(
        {running, batch}, running.type, [&](ScalarBuilder &s, ValueRange a) {
          Value now = s.convert(a[1], a[0].getType(), false, false);
          return s.add(s.mul(a[0], s.constant(momentum, a[0])),
                       s.mul(now, s.constant(1 - momentum, a[0])));
        });
    return build.reshape(y, y.dim(0));
  };
  (void)n.setOutput(1, blend(b.mean, mean));
  (void)n.setOutput(2, blend(b.variance, variance));
  b.mean = mean;
  b.variance = variance;
}

static LogicalResult importBatchNorm(NodeContext &n) {
  Tensor x = n.input(0);
  if (failed(requireFloatImage(n, x, 2)))
    return failure();
  if (n.intAttr("spatial", 1) == 0)
    return n.fail("spatial = 0 (statistics per pixel) is not supported");
  auto scale = perChannel(n, 1, x, "scale"), bias = perChannel(n, 2, x, "B");
  auto mean = perChannel(n, 3, x, "mean"), var = perChannel(n, 4, x, "var");
  if (failed(scale) || failed(bias) || failed(mean) || failed(var))
    return failure();
  bool isTest = n.intAttr("is_test", n.opset() >= 7) != 0;
  bool isTraining =
      n.intAttr("training_mode", 0) != 0 || (!isTest && n.hasOutput(1));
  if (!isTraining && n.hasOutput(1))
    return n.fail("running statistics are outputs of training only; export the "
                  "model for inference");
  BatchNorm b{x, *scale, *bias, *mean, *var, n.floatAttr("epsilon", 1e-5)};
  if (isTraining && x.numElements() == 0)
    return n.fail("an empty batch has no statistics");
  double momentum = n.floatAttr("momentum", 0.9); // of training only
  if (isTraining)
    trainBatchNorm(n, b, momentum);
  return n.setOutput(0, applyBatchNorm(n.build, b));
}

//===----------------------------------------------------------------------===//
// Instance and group normalization: nq.norm over a view
//===----------------------------------------------------------------------===//

/// x seen as `view`, normalized over its dimensions from `axis` on; scale and
/// bias broadcast to the view.
static Tensor normalize(NodeContext &n, Tensor x, ArrayRef<int64_t> view,
                        int64_t axis, Tensor scale, Tensor bias,
                        double epsilon) {
  GraphBuilder &b = n.build;
  Tensor input = b.reshape(x, view);
  Value y = nq::NormOp::create(b.builder, b.loc, input.getType(),
                               nq::NormKind::layer, input.value, scale.value,
                               bias.value, axis, APFloat(epsilon));
  return b.reshape({y, x.type}, Shape(x.shape()));
}

static LogicalResult checkGroups(NodeContext &n, Tensor x, int64_t groups) {
  if (failed(requireFloatImage(n, x, 2)))
    return failure();
  if (groups < 1 || x.dim(1) % groups != 0)
    return n.fail("num_groups = " + Twine(groups) + " does not divide " +
                  Twine(x.dim(1)) + " channels");
  return success();
}

static LogicalResult normalizeGroups(NodeContext &n, int64_t groups) {
  Tensor x = n.input(0), scale = n.input(1), bias = n.input(2);
  double epsilon = n.floatAttr("epsilon", 1e-5);
  if (failed(checkGroups(n, x, groups)))
    return failure();
  // Opset 18 had one scale per group.
  int64_t channels = x.dim(1) / groups;
  bool perGroup = n.opset() < 21 && n.opType() == "GroupNormalization" &&
                  scale.numElements() == groups;
  int64_t wanted = perGroup ? groups : x.dim(1);
  if (scale.numElements() != wanted || bias.numElements() != wanted ||
      !isFloat(scale.type) || !isFloat(bias.type))
    return n.fail("scale " + toString(scale.shape()) + " and bias " +
                  toString(bias.shape()) + " do not have " + Twine(wanted) +
                  " numbers");
  if (x.numElements() == 0)
    return n.setOutput(0, x);
  Shape view{x.dim(0), groups, channels, product(x.shape().drop_front(2))};
  Shape param{groups, perGroup ? 1 : channels, 1};
  return n.setOutput(0, normalize(n, x, view, 2, n.build.reshape(scale, param),
                                  n.build.reshape(bias, param), epsilon));
}

static LogicalResult importInstanceNorm(NodeContext &n) {
  if (n.input(0).rank() < 2)
    return requireFloatImage(n, n.input(0), 2);
  return normalizeGroups(n, n.input(0).dim(1));
}

static LogicalResult importGroupNorm(NodeContext &n) {
  auto groups = n.requireIntAttr("num_groups");
  if (failed(groups) ||
      failed(checkPrecision(n, "stash_type", n.input(0).type)))
    return failure();
  return normalizeGroups(n, *groups);
}

//===----------------------------------------------------------------------===//
// Lp, LRN, MeanVarianceNormalization
//===----------------------------------------------------------------------===//

static LogicalResult importLpNorm(NodeContext &n) {
  Tensor x = n.input(0);
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), x.rank());
  int64_t p = n.intAttr("p", 2);
  if (failed(axis) || failed(requireFloatImage(n, x, 1)))
    return failure();
  if (p != 1 && p != 2)
    return n.fail("p = " + Twine(p) + " is not 1 or 2");
  Tensor norm =
      n.build.reduce(x, *axis, true, getAccumulator(x.type), 0,
                     [&](ScalarBuilder &s, Value a, Value v) {
                       return s.add(a, p == 1 ? s.abs(v) : s.mul(v, v));
                     });
  Tensor y = n.build.elementwise(
      {x, norm}, x.type, [&](ScalarBuilder &s, ValueRange a) {
        Value length = p == 1 ? a[1] : s.sqrt(a[1]);
        Value zero = s.constant(0, a[0]);
        return s.select(s.eq(length, zero), zero, s.div(a[0], length));
      });
  return n.setOutput(0, y);
}

/// Sums of squares over `size` neighbouring channels.
static Tensor sumNeighbours(GraphBuilder &build, Tensor x, int64_t size) {
  Shape low(x.rank(), 0), high(x.rank(), 0), space(x.shape());
  low[1] = (size - 1) / 2;
  high[1] = size - 1 - low[1];
  space.push_back(size);
  Tensor padded = build.pad(x, low, high, 0);
  MLIRContext *ctx = build.builder.getContext();
  SmallVector<AffineExpr> exprs;
  for (int64_t d = 0; d < x.rank(); ++d)
    exprs.push_back(getAffineDimExpr(d, ctx));
  AffineExpr offset = getAffineDimExpr(x.rank(), ctx);
  exprs[1] = exprs[1] + offset;
  ElemType acc = getAccumulator(x.type);
  // Nobody reads the second operand: it gives the extent of the window.
  return build.contract(space, x.rank(),
                        {padded, {build.empty(size, acc), acc}},
                        {AffineMap::get(space.size(), 0, exprs, ctx),
                         AffineMap::get(space.size(), 0, offset, ctx)},
                        acc, 0, [](ScalarBuilder &s, ValueRange a) {
                          return s.add(a[2], s.mul(a[0], a[0]));
                        });
}

static LogicalResult importLRN(NodeContext &n) {
  Tensor x = n.input(0);
  auto size = n.requireIntAttr("size");
  if (failed(size) || failed(requireFloatImage(n, x, 2)))
    return failure();
  if (*size < 1 || *size > (int64_t(1) << 20))
    return n.fail("size = " + Twine(*size) + " is not possible");
  double alpha = n.floatAttr("alpha", 1e-4) / double(*size);
  double beta = n.floatAttr("beta", 0.75), bias = n.floatAttr("bias", 1);
  Tensor y = n.build.elementwise(
      {x, sumNeighbours(n.build, x, *size)}, x.type,
      [&](ScalarBuilder &s, ValueRange a) {
        Value base =
            s.add(s.constant(bias, a[1]), s.mul(s.constant(alpha, a[1]), a[1]));
        Value power = math::PowFOp::create(s.builder, s.loc, base,
                                           s.constant(beta, base));
        return s.div(a[0], power);
      });
  return n.setOutput(0, y);
}

static LogicalResult importMeanVariance(NodeContext &n) {
  Tensor x = n.input(0);
  if (failed(requireFloatImage(n, x, 1)))
    return failure();
  auto axes =
      n.normalizeAxes(n.intsAttr("axes").value_or(Shape{0, 2, 3}), x.rank());
  if (failed(axes))
    return failure();
  int64_t count = 1;
  for (int64_t axis : *axes)
    count *= x.dim(axis);
  ElemType acc = getAccumulator(x.type);
  auto mean = [&](Tensor t) {
    Tensor sum = n.build.reduce(
        t, *axes, true, acc, 0,
        [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); });
    return n.build.unary(sum, [&](ScalarBuilder &s, Value v) {
      return s.div(v, s.constant(double(count), v));
    });
  };
  Tensor centered = n.build.elementwise(
      {x, mean(x)}, acc,
      [](ScalarBuilder &s, ValueRange a) { return s.sub(a[0], a[1]); });
  Tensor squares = n.build.unary(
      centered, [](ScalarBuilder &s, Value v) { return s.mul(v, v); });
  // The 1e-9 is the operator's own.
  Tensor y = n.build.elementwise(
      {centered, mean(squares)}, x.type, [](ScalarBuilder &s, ValueRange a) {
        return s.div(a[0], s.add(s.sqrt(a[1]), s.constant(1e-9, a[1])));
      });
  return n.setOutput(0, y);
}

void nibble::onnx::registerChannelNormOps(OpRegistry &r) {
  r.add("", "BatchNormalization", importBatchNorm, 5);
  r.add("", "InstanceNormalization", importInstanceNorm, 3);
  r.add("", "GroupNormalization", importGroupNorm, 3);
  r.add("", "LpNormalization", importLpNorm);
  r.add("", "LRN", importLRN);
  r.add("", "MeanVarianceNormalization", importMeanVariance);
}
