// Operators that order elements along an axis: ArgMax, ArgMin, TopK, Hardmax.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace nibble::onnx;

static Tensor reduceExtreme(GraphBuilder &build, Tensor x, int64_t axis,
                            bool wantMax) {
  ElemType acc = getAccumulator(x.type);
  return build.reduce(x, axis, /*keepDims=*/true, acc,
                      wantMax ? getLowest(acc) : HUGE_VAL,
                      [&](ScalarBuilder &s, Value a, Value v) {
                        return wantMax ? s.max(a, v) : s.min(a, v);
                      });
}

/// Positions along `axis` (kept as 1) of the extreme element; of several equal
/// ones the last or the first. A NaN is an extreme, as in numpy.
static Tensor argExtreme(GraphBuilder &build, Tensor x, int64_t axis,
                         bool wantMax, bool wantLast) {
  Tensor extreme = reduceExtreme(build, x, axis, wantMax);
  int64_t none = wantLast ? -1 : std::numeric_limits<int64_t>::max();
  Tensor position = build.elementwise(
      {x, extreme}, ElemType::Int64, [&](ScalarBuilder &s, ValueRange a) {
        Value hit = s.eq(a[0], a[1]);
        if (isFloat(x.type))
          hit = s.bitOr(hit, s.isNan(a[0]));
        Value at = linalg::IndexOp::create(s.builder, s.loc, axis);
        Type i64 = s.builder.getI64Type();
        return s.select(hit, s.fromIndex(at, i64), s.constantInt(none, i64));
      });
  return build.reduce(position, axis, /*keepDims=*/true, ElemType::Int64,
                      wantLast ? -1 : HUGE_VAL,
                      [&](ScalarBuilder &s, Value a, Value v) {
                        return wantLast ? s.max(a, v) : s.min(a, v);
                      });
}

template <bool wantMax> static LogicalResult importArg(NodeContext &n) {
  Tensor x = n.input(0);
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), x.rank());
  if (failed(axis))
    return failure();
  if (x.dim(*axis) == 0)
    return n.fail("input " + toString(x.shape()) + " is empty along axis " +
                  Twine(*axis) + ", so there is no extreme element");
  Tensor y = argExtreme(n.build, x, *axis, wantMax,
                        n.intAttr("select_last_index", 0) != 0);
  if (n.intAttr("keepdims", 1) == 0) {
    Shape shape(x.shape());
    shape.erase(shape.begin() + *axis);
    y = n.build.reshape(y, shape);
  }
  return n.setOutput(0, y);
}

/// 1 at the first largest element along an axis, else 0. Before opset 13 the
/// dimensions from `axis` on count as one.
static LogicalResult importHardmax(NodeContext &n) {
  Tensor x = n.input(0);
  bool isFlat = n.opset() < 13;
  auto axis = n.normalizeAxis(n.intAttr("axis", isFlat ? 1 : -1), x.rank());
  if (failed(axis))
    return failure();
  Tensor view = x;
  if (isFlat)
    view = n.build.reshape(x, {product(x.shape().take_front(*axis)),
                               product(x.shape().drop_front(*axis))});
  int64_t at = isFlat ? 1 : *axis;
  if (view.dim(at) == 0)
    return n.setOutput(0, x);
  Tensor top = argExtreme(n.build, view, at, true, false);
  Tensor y = n.build.elementwiseRaw(
      {view, top}, x.type, [&](ScalarBuilder &s, ValueRange a) {
        Value i = linalg::IndexOp::create(s.builder, s.loc, at);
        Value hit = s.eq(s.fromIndex(i, s.builder.getI64Type()), a[1]);
        return s.select(hit, s.constant(1, a[0]), s.constant(0, a[0]));
      });
  return n.setOutput(0, n.build.reshape(y, x.shape()));
}

//===----------------------------------------------------------------------===//
// TopK
//===----------------------------------------------------------------------===//

/// True if element b comes before a: larger (or smaller), or equal and at a
/// lower position. NaNs are the largest, so that this is a total order.
static Value comesBefore(ScalarBuilder &s, bool largest, Value b, Value bAt,
                         Value a, Value aAt) {
  Value better = largest ? s.gt(b, a) : s.lt(b, a);
  Value same = s.eq(b, a);
  if (isa<FloatType>(a.getType())) {
    Value aNan = s.isNan(a), bNan = s.isNan(b);
    Value nanWins = largest ? s.bitAnd(bNan, s.logicalNot(aNan))
                            : s.bitAnd(aNan, s.logicalNot(bNan));
    better = s.bitOr(better, nanWins);
    same = s.bitOr(same, s.bitAnd(aNan, bNan));
  }
  Value earlier = asSigned(s).lt(bAt, aAt);
  return s.bitOr(better, s.bitAnd(same, earlier));
}

/// Rank of every element of x [R, n] within its row: how many come before it.
static Tensor getRanks(GraphBuilder &build, Tensor x, bool largest) {
  int64_t rows = x.dim(0), extent = x.dim(1);
  return build.reduceLoops(
      {rows, extent, extent}, 2, ElemType::Int64, 0,
      [&](ScalarBuilder &s, ValueRange at, Value acc) {
        ScalarBuilder v = withInts(s, x.type);
        Value a = loadWide(s, x, {at[0], at[1]});
        Value b = loadWide(s, x, {at[0], at[2]});
        Value before = comesBefore(v, largest, b, at[2], a, at[1]);
        return s.select(before, s.add(acc, s.constantInt(1, acc.getType())),
                        acc);
      });
}

/// Positions [R, k] of the elements with ranks 0 to k - 1. Ranks are distinct,
/// and the maximum stays in range whatever they are.
static Tensor getPositions(GraphBuilder &build, Tensor ranks, int64_t k) {
  return build.reduceLoops({ranks.dim(0), k, ranks.dim(1)}, 2, ElemType::Int64,
                           0, [&](ScalarBuilder &s, ValueRange at, Value acc) {
                             Value rank = loadIndex(s, ranks, {at[0], at[2]});
                             Value position = s.fromIndex(at[2], acc.getType());
                             return s.select(s.eq(rank, at[1]),
                                             s.max(acc, position), acc);
                           });
}

static FailureOr<int64_t> getK(NodeContext &n, int64_t extent) {
  int64_t k = -1;
  if (n.hasInput(1)) {
    auto given = n.requireInts(1, "K");
    if (failed(given))
      return failure();
    k = given->size() == 1 ? given->front() : -1;
  } else {
    k = n.intAttr("k", -1); // opset 1
  }
  if (k < 0 || k > extent)
    return n.fail("K = " + Twine(k) + " is not between 0 and " + Twine(extent) +
                  ", the extent of the axis");
  return k;
}

static LogicalResult importTopK(NodeContext &n) {
  Tensor x = n.input(0);
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), x.rank());
  if (failed(axis))
    return failure();
  auto k = getK(n, x.dim(*axis));
  if (failed(k))
    return failure();
  if (exceeds({x.numElements(), x.dim(*axis)}, maxLoopSteps))
    return n.fail("axis of extent " + Twine(x.dim(*axis)) +
                  " is too long: ranks are counted, which takes the square of "
                  "it; split the input");
  // Rows along the last dimension.
  SmallVector<int64_t> perm, inverse(x.rank());
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != *axis)
      perm.push_back(d);
  perm.push_back(*axis);
  for (auto [to, from] : llvm::enumerate(perm))
    inverse[from] = to;
  Tensor moved = n.build.transpose(x, perm);
  Shape shape(moved.shape());
  int64_t rows = product(moved.shape().drop_back()), extent = shape.back();
  shape.back() = *k;
  Tensor flat = n.build.reshape(moved, {rows, extent});
  bool largest = n.intAttr("largest", 1) != 0;
  Tensor positions =
      getPositions(n.build, getRanks(n.build, flat, largest), *k);
  Tensor values = n.build.generate(
      {rows, *k}, x.type, [&](ScalarBuilder &s, ValueRange at) {
        return s.load(flat, {at[0], loadIndex(s, positions, at)});
      });
  auto restore = [&](Tensor t) {
    return n.build.transpose(n.build.reshape(t, shape), inverse);
  };
  (void)n.setOutput(0, restore(values));
  return n.setOutput(1, restore(positions));
}

void nibble::onnx::registerRankOps(OpRegistry &r) {
  r.add("", "ArgMax", importArg<true>);
  r.add("", "ArgMin", importArg<false>);
  r.add("", "Hardmax", importHardmax);
  r.add("", "TopK", importTopK);
}
