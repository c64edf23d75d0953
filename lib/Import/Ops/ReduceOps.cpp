// Reduce*: axes as an attribute or an input, keepdims, noop_with_empty_axes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

namespace {
enum class Reduce {
  Sum,
  Mean,
  Max,
  Min,
  Prod,
  L1,
  L2,
  LogSum,
  LogSumExp,
  SumSquare
};

struct Reduction {
  Tensor x;
  SmallVector<int64_t> axes;
  bool keepDims;
  ElemType accumulator;
  int64_t count; ///< elements that go into one result
};
} // namespace

static FailureOr<SmallVector<int64_t>> getAxes(NodeContext &n, Tensor x) {
  SmallVector<int64_t> axes;
  bool emptyIsNone = n.intAttr("noop_with_empty_axes", 0) != 0;
  if (auto attr = n.intsAttr("axes")) {
    axes = *attr;
  } else if (n.hasInput(1)) {
    auto given = n.requireInts(1, "axes");
    if (failed(given))
      return failure();
    axes = *given;
  }
  if (axes.empty() && !emptyIsNone)
    axes = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  return n.normalizeAxes(axes, x.rank());
}

/// Folds with `body`, starting from `init`.
static Tensor
fold(GraphBuilder &build, const Reduction &r, double init,
     llvm::function_ref<Value(ScalarBuilder &, Value, Value)> body) {
  return build.reduce(r.x, r.axes, r.keepDims, r.accumulator, init, body);
}

static Tensor sum(GraphBuilder &build, const Reduction &r) {
  return fold(build, r, 0, [](ScalarBuilder &s, Value acc, Value v) {
    return s.add(acc, v);
  });
}

static Tensor sumOfSquares(GraphBuilder &build, const Reduction &r) {
  return fold(build, r, 0, [](ScalarBuilder &s, Value acc, Value v) {
    return s.add(acc, s.mul(v, v));
  });
}

static Tensor maximum(GraphBuilder &build, const Reduction &r) {
  return fold(
      build, r, getLowest(r.accumulator),
      [](ScalarBuilder &s, Value acc, Value v) { return s.max(acc, v); });
}

/// log(sum(exp(x - m))) + m with m = max(x), or 0 where that is infinite: then
/// the plain formula gives the right infinity.
static Tensor logSumExp(GraphBuilder &build, Reduction r) {
  Reduction kept = r;
  kept.keepDims = true;
  Tensor top = build.unary(maximum(build, kept), [](ScalarBuilder &s, Value m) {
    Value finite = s.lt(s.abs(m), s.constant(HUGE_VAL, m));
    return s.select(finite, m, s.constant(0, m));
  });
  r.x = build.elementwise(
      {build.cast(r.x, r.accumulator), top}, r.accumulator,
      [](ScalarBuilder &s, ValueRange a) { return s.exp(s.sub(a[0], a[1])); });
  Tensor total = sum(build, r);
  return build.binary(
      total, build.reshape(top, total.shape()),
      [](ScalarBuilder &s, Value a, Value m) { return s.add(s.log(a), m); });
}

static Tensor minimum(GraphBuilder &build, const Reduction &r) {
  return fold(build, r, HUGE_VAL, [](ScalarBuilder &s, Value acc, Value v) {
    return s.min(acc, v);
  });
}

static Tensor mean(GraphBuilder &build, const Reduction &r) {
  return build.unary(sum(build, r), [&](ScalarBuilder &s, Value v) {
    return s.div(v, s.constant(double(r.count), v));
  });
}

static Tensor emit(GraphBuilder &build, Reduce kind, const Reduction &r) {
  switch (kind) {
  case Reduce::Sum:
    return sum(build, r);
  case Reduce::Mean:
    return mean(build, r);
  case Reduce::Max:
    return maximum(build, r);
  case Reduce::Min:
    return minimum(build, r);
  case Reduce::Prod:
    return fold(build, r, 1, [](ScalarBuilder &s, Value acc, Value v) {
      return s.mul(acc, v);
    });
  case Reduce::L1:
    return fold(build, r, 0, [](ScalarBuilder &s, Value acc, Value v) {
      return s.add(acc, s.abs(v));
    });
  case Reduce::L2:
    return build.unary(sumOfSquares(build, r),
                       [](ScalarBuilder &s, Value v) { return s.sqrt(v); });
  case Reduce::LogSum:
    return build.unary(sum(build, r),
                       [](ScalarBuilder &s, Value v) { return s.log(v); });
  case Reduce::LogSumExp:
    return logSumExp(build, r);
  case Reduce::SumSquare:
    return sumOfSquares(build, r);
  }
  return {};
}

/// Roots and logarithms of integers are computed in f64.
static ElemType chooseAccumulator(Reduce kind, ElemType type) {
  bool isTranscendental =
      kind == Reduce::L2 || kind == Reduce::LogSum || kind == Reduce::LogSumExp;
  return isTranscendental && !isFloat(type) ? ElemType::Double
                                            : getAccumulator(type);
}

template <Reduce kind> static LogicalResult importReduce(NodeContext &n) {
  Tensor x = n.input(0);
  auto axes = getAxes(n, x);
  if (failed(axes))
    return failure();
  bool isExtreme = kind == Reduce::Max || kind == Reduce::Min;
  if (x.type == ElemType::Bool && !isExtreme)
    return n.fail("input of type bool has no sum; insert a Cast to int32");
  int64_t count = 1;
  for (int64_t axis : *axes)
    count *= x.dim(axis);
  Reduction r{x, *axes, n.intAttr("keepdims", 1) != 0,
              chooseAccumulator(kind, x.type), count};
  return n.setOutput(0, n.build.cast(emit(n.build, kind, r), x.type));
}

void nibble::onnx::registerReduceOps(OpRegistry &r) {
  r.add("", "ReduceSum", importReduce<Reduce::Sum>);
  r.add("", "ReduceMean", importReduce<Reduce::Mean>);
  r.add("", "ReduceMax", importReduce<Reduce::Max>);
  r.add("", "ReduceMin", importReduce<Reduce::Min>);
  r.add("", "ReduceProd", importReduce<Reduce::Prod>);
  r.add("", "ReduceL1", importReduce<Reduce::L1>);
  r.add("", "ReduceL2", importReduce<Reduce::L2>);
  r.add("", "ReduceLogSum", importReduce<Reduce::LogSum>);
  r.add("", "ReduceLogSumExp", importReduce<Reduce::LogSumExp>);
  r.add("", "ReduceSumSquare", importReduce<Reduce::SumSquare>);
}
