// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

namespace {
struct Loss {
  Tensor x, target, weight; ///< [N, C, ..], [N, ..], [C] or {}
  ElemType acc;
};
} // namespace

static LogicalResult checkLoss(NodeContext &n, const Loss &l) {
  bool fits = isFloat(l.x.type) && isInteger(l.target.type) &&
              l.x.rank() >= 2 && l.target.rank() == l.x.rank() - 1;
  for (int64_t d = 0; fits && d < l.target.rank(); ++d)
    fits = l.target.dim(d) == l.x.dim(d == 0 ? 0 : d + 1);
  if (fits && l.weight)
    fits =
        isFloat(l.weight.type) && l.weight.shape() == l.x.shape().slice(1, 1);
  if (!fits || l.x.dim(1) == 0)
    return n.fail("scores " + toString(l.x.shape()) + ", labels " +
                  toString(l.target.shape()) +
                  " and weights do not fit: wanted [N, C, ..], [N, ..], [C]");
  std::string reduction = n.stringAttr("reduction", "mean");
  if (reduction != "mean" && reduction != "sum" && reduction != "none")
    return n.fail("reduction '" + reduction + "' is not mean, sum or none");
  return success();
}

/// Per label, the weight of its class (0 if ignored), times the negated score
/// if `wantLoss`. Labels out of range count as the nearest class.
static Tensor gatherTerms(NodeContext &n, const Loss &l, bool wantLoss) {
  Type element = n.build.elementType(l.acc);
  return n.build.generate(
      l.target.shape(), l.acc, [&](ScalarBuilder &s, ValueRange at) {
        ScalarBuilder i = asSigned(s);
        Value label = loadIndex(s, l.target, at);
        Value chosen = clampIndex(s, label, l.x.dim(1));
        Value w = s.constant(1, element);
        if (l.weight)
          w = s.convert(s.load(l.weight, chosen), element, false, false);
        Value zero = s.constant(0, element), term = w;
        if (wantLoss) {
          SmallVector<Value> from{at[0], chosen};
          llvm::append_range(from, at.drop_front());
          Value score = s.convert(s.load(l.x, from), element, false, false);
          term = s.mul(s.neg(score), w);
        }
        if (!n.hasAttr("ignore_index"))
          return term;
        Value ignored = i.eq(label, i.index(n.intAttr("ignore_index", 0)));
        return s.select(ignored, zero, term);
      });
}

static Tensor sumAll(GraphBuilder &build, Tensor x) {
  return build.reduce(
      x, llvm::to_vector(llvm::seq<int64_t>(0, x.rank())), false, x.type, 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); });
}

static LogicalResult finishLoss(NodeContext &n, const Loss &l) {
  std::string reduction = n.stringAttr("reduction", "mean");
  Tensor y = gatherTerms(n, l, /*wantLoss=*/true);
  if (reduction != "none")
    y = sumAll(n.build, y);
  if (reduction == "mean")
    y = n.build.binary(
        y, sumAll(n.build, gatherTerms(n, l, false)),
        [](ScalarBuilder &s, Value a, Value b) { return s.div(a, b); });
  return n.setOutput(0, n.build.cast(y, n.input(0).type));
}

static LogicalResult importNegativeLogLikelihood(NodeContext &n) {
  Loss l{n.input(0), n.input(1), n.input(2), getAccumulator(n.input(0).type)};
  if (failed(checkLoss(n, l)))
    return failure();
  return finishLoss(n, l);
}

/// x - max - log(sum(exp(x - max))) over the classes.
static Tensor logSoftmax(GraphBuilder &build, Tensor x, ElemType acc) {
  Tensor top = build.reduce(
      x, 1, true, acc, -HUGE_VAL,
      [](ScalarBuilder &s, Value a, Value v) { return s.max(a, v); });
  Tensor shifted =
      build.elementwise({x, top}, acc, [](ScalarBuilder &s, ValueRange a) {
        return s.sub(a[0], a[1]);
      });
  Tensor sum = build.reduce(
      shifted, 1, true, acc, 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, s.exp(v)); });
  return build.binary(shifted, sum, [](ScalarBuilder &s, Value a, Value b) {
    return s.sub(a, s.log(b));
  });
}

static LogicalResult importSoftmaxCrossEntropy(NodeContext &n) {
  Loss l{n.input(0), n.input(1), n.input(2), getAccumulator(n.input(0).type)};
  if (failed(checkLoss(n, l)))
    return failure();
  ElemType type = l.x.type;
  l.x = logSoftmax(n.build, l.x, l.acc);
  (void)n.setOutput(1, n.build.cast(l.x, type));
  return finishLoss(n, l);
}

void nibble::onnx::registerLossOps(OpRegistry &r) {
  r.add("", "NegativeLogLikelihoodLoss", importNegativeLogLikelihood, 2);
  r.add("", "SoftmaxCrossEntropyLoss", importSoftmaxCrossEntropy, 2);
}
