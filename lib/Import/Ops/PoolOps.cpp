// MaxPool, AveragePool, LpPool and their global forms.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
#include "Window.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

using FoldFn = llvm::function_ref<Value(ScalarBuilder &, Value acc, Value v)>;

/// Folds every window of x [N, C, spatial..], padded with `pad`.
static Tensor foldWindows(GraphBuilder &build, Tensor x, const Window &w,
                          double pad, ElemType acc, double init, FoldFn body) {
  Tensor padded = padForWindow(build, x, w, pad);
  unsigned rank = w.rank(), parallel = rank + 2;
  Shape space{x.dim(0), x.dim(1)};
  llvm::append_range(space, w.output);
  llvm::append_range(space, w.kernel);
  MLIRContext *ctx = build.builder.getContext();
  SmallVector<AffineExpr> exprs{getAffineDimExpr(0, ctx),
                                getAffineDimExpr(1, ctx)},
      taps;
  llvm::append_range(exprs, getWindowExprs(ctx, w, 2, parallel));
  for (unsigned d = 0; d < rank; ++d)
    taps.push_back(getAffineDimExpr(parallel + d, ctx));
  // Nobody reads the second operand: it gives the extents of the window.
  Tensor extents{build.empty(w.kernel, acc), acc};
  return build.contract(space, parallel, {padded, extents},
                        {AffineMap::get(space.size(), 0, exprs, ctx),
                         AffineMap::get(space.size(), 0, taps, ctx)},
                        acc, init, [&](ScalarBuilder &s, ValueRange a) {
                          return body(s, a[2], a[0]);
                        });
}

static FailureOr<Window> getPoolWindow(NodeContext &n, Tensor x) {
  if (x.rank() < 3)
    return n.fail("input " + toString(x.shape()) +
                  " is not [N, C, spatial dimensions]");
  ArrayRef<int64_t> spatial = x.shape().drop_front(2);
  auto kernel = getKernelShape(n, spatial.size());
  if (failed(kernel))
    return failure();
  return getWindow(n, spatial, *kernel, n.intAttr("ceil_mode", 0) != 0);
}

//===----------------------------------------------------------------------===//
// MaxPool
//===----------------------------------------------------------------------===//

/// Flat positions (in x, row-major) of the first largest element of windows.
static Tensor findMaxima(GraphBuilder &build, Tensor x, Tensor y,
                         const Window &w) {
  unsigned rank = w.rank();
  Shape space(y.shape());
  llvm::append_range(space, w.kernel);
  Shape strides = getStrides(x.shape());
  Tensor found = build.reduceLoops(
      space, rank + 2, ElemType::Int64, HUGE_VAL,
      [&](ScalarBuilder &s, ValueRange at, Value acc) {
        ScalarBuilder i = asSigned(s);
        SmallVector<Value> from(at.take_front(2));
        Value hit;
        for (unsigned d = 0; d < rank; ++d) {
          Value p = i.add(i.mul(at[2 + d], i.index(w.strides[d])),
                          i.mul(at[2 + rank + d], i.index(w.dilations[d])));
          p = i.sub(p, i.index(w.low[d]));
          Value ok = inRange(s, p, 0, x.dim(d + 2));
          hit = hit ? i.bitAnd(hit, ok) : ok;
          from.push_back(clampIndex(s, p, x.dim(d + 2)));
        }
        Value v = loadWide(s, x, from);
        Value same = s.eq(v, loadWide(s, y, at.take_front(rank + 2)));
        if (isFloat(x.type))
          same = i.bitOr(same, s.isNan(v));
        Value flat = i.index(0);
        for (unsigned d = 0; d < rank + 2; ++d)
          flat = i.add(flat, i.mul(from[d], i.index(strides[d])));
        Value position = i.fromIndex(flat, acc.getType());
        return i.select(i.bitAnd(hit, same), i.min(acc, position), acc);
      });
  return found;
}

/// Row-major positions to positions that count the first spatial dimension
/// fastest (storage_order = 1).
static Tensor toColumnMajor(GraphBuilder &build, Tensor positions,
                            ArrayRef<int64_t> shape) {
  Shape strides = getStrides(shape);
  return build.unary(positions, [&](ScalarBuilder &s, Value p) {
    auto number = [&](int64_t v) { return s.constantInt(v, p.getType()); };
    int64_t image = product(shape.drop_front(2)), stride = 1;
    Value result = s.mul(s.div(p, number(image)), number(image));
    for (size_t d = 2; d < shape.size(); ++d) {
      Value at = s.rem(s.div(p, number(strides[d])), number(shape[d]));
      result = s.add(result, s.mul(at, number(stride)));
      stride *= shape[d];
    }
    return result;
  });
}

static LogicalResult importMaxPool(NodeContext &n) {
  Tensor x = n.input(0);
  auto w = getPoolWindow(n, x);
  bool isColumnMajor = n.intAttr("storage_order", 0) != 0;
  if (failed(w))
    return failure();
  double lowest = getLowest(x.type);
  ElemType acc = getAccumulator(x.type);
  Tensor y = foldWindows(
      n.build, x, *w, lowest, acc, lowest,
      [](ScalarBuilder &s, Value a, Value v) { return s.max(a, v); });
  y = n.build.cast(y, x.type);
  if (n.hasOutput(1)) {
    Tensor at = findMaxima(n.build, x, y, *w);
    if (isColumnMajor)
      at = toColumnMajor(n.build, at, x.shape());
    (void)n.setOutput(1, at);
  }
  return n.setOutput(0, y);
}

//===----------------------------------------------------------------------===//
// AveragePool, LpPool
//===----------------------------------------------------------------------===//

/// How many positions of each window of dimension d count.
static SmallVector<double> countPositions(const Window &w, size_t d,
                                          bool includePadding) {
  int64_t first = includePadding ? -w.low[d] : 0;
  int64_t end = w.input[d] + (includePadding ? w.high[d] : 0);
  SmallVector<double> counts;
  for (int64_t o = 0; o < w.output[d]; ++o) {
    int64_t count = 0;
    for (int64_t k = 0; k < w.kernel[d]; ++k) {
      int64_t at = o * w.strides[d] - w.low[d] + k * w.dilations[d];
      count += at >= first && at < end;
    }
    counts.push_back(double(count));
  }
  return counts;
}

static LogicalResult importAveragePool(NodeContext &n) {
  Tensor x = n.input(0);
  auto w = getPoolWindow(n, x);
  if (failed(w))
    return failure();
  if (!isFloat(x.type))
    return n.fail("input has type " + getName(x.type) + " instead of a float");
  ElemType acc = getAccumulator(x.type);
  bool include = n.intAttr("count_include_pad", 0) != 0;
  SmallVector<Tensor> operands{foldWindows(
      n.build, x, *w, 0, acc, 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); })};
  for (size_t d = 0; d < w->rank(); ++d) {
    Shape shape(w->rank() - d, 1);
    shape[0] = w->output[d];
    operands.push_back(
        n.build.constantFloats(acc, shape, countPositions(*w, d, include)));
  }
  Tensor y =
      n.build.elementwise(operands, x.type, [](ScalarBuilder &s, ValueRange a) {
        Value count = a[1];
        for (Value v : a.drop_front(2))
          count = s.mul(count, v);
        return s.div(a[0], count);
      });
  return n.setOutput(0, y);
}

/// |v|^p, for p >= 1.
static Value powerOfAbs(ScalarBuilder &s, Value v, int64_t p) {
  if (p == 2)
    return s.mul(v, v);
  Value a = s.abs(v);
  if (p == 1)
    return a;
  return math::PowFOp::create(s.builder, s.loc, a, s.constant(double(p), a));
}

static Value root(ScalarBuilder &s, Value v, int64_t p) {
  if (p == 1)
    return v;
  if (p == 2)
    return s.sqrt(v);
  return math::PowFOp::create(s.builder, s.loc, v,
                              s.constant(1 / double(p), v));
}

static FailureOr<int64_t> getP(NodeContext &n, Tensor x) {
  // Opset 1 wrote p as a float.
  int64_t p = n.opset() < 2 ? int64_t(n.floatAttr("p", 2)) : n.intAttr("p", 2);
  if (p < 1)
    return n.fail("p = " + Twine(p) + " is not a norm; wanted at least 1");
  if (!isFloat(x.type))
    return n.fail("input has type " + getName(x.type) + " instead of a float");
  return p;
}

static Tensor takeRoot(GraphBuilder &build, Tensor sums, ElemType type,
                       int64_t p) {
  return build.elementwise(sums, type, [&](ScalarBuilder &s, ValueRange a) {
    return root(s, a[0], p);
  });
}

static LogicalResult importLpPool(NodeContext &n) {
  Tensor x = n.input(0);
  auto w = getPoolWindow(n, x);
  auto p = getP(n, x);
  if (failed(w) || failed(p))
    return failure();
  Tensor sums = foldWindows(n.build, x, *w, 0, getAccumulator(x.type), 0,
                            [&](ScalarBuilder &s, Value a, Value v) {
                              return s.add(a, powerOfAbs(s, v, *p));
                            });
  return n.setOutput(0, takeRoot(n.build, sums, x.type, *p));
}

//===----------------------------------------------------------------------===//
// Global pooling
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<int64_t>> getSpatialAxes(NodeContext &n,
                                                      Tensor x) {
  if (x.rank() < 2 || !isFloat(x.type))
    return n.fail("input " + getName(x.type) + toString(x.shape()) +
                  " is not a float [N, C, spatial dimensions]");
  return llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
}

static LogicalResult importGlobalAveragePool(NodeContext &n) {
  Tensor x = n.input(0);
  auto axes = getSpatialAxes(n, x);
  if (failed(axes))
    return failure();
  ElemType acc = getAccumulator(x.type);
  double count = double(product(x.shape().drop_front(2)));
  Tensor sum = n.build.reduce(
      x, *axes, true, acc, 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); });
  return n.setOutput(
      0, n.build.elementwise(sum, x.type, [&](ScalarBuilder &s, ValueRange a) {
        return s.div(a[0], s.constant(count, a[0]));
      }));
}

static LogicalResult importGlobalMaxPool(NodeContext &n) {
  Tensor x = n.input(0);
  auto axes = getSpatialAxes(n, x);
  if (failed(axes))
    return failure();
  ElemType acc = getAccumulator(x.type);
  Tensor y = n.build.reduce(
      x, *axes, true, acc, getLowest(acc),
      [](ScalarBuilder &s, Value a, Value v) { return s.max(a, v); });
  return n.setOutput(0, n.build.cast(y, x.type));
}

static LogicalResult importGlobalLpPool(NodeContext &n) {
  Tensor x = n.input(0);
  auto axes = getSpatialAxes(n, x);
  auto p = getP(n, x);
  if (failed(axes) || failed(p))
    return failure();
  Tensor sums = n.build.reduce(x, *axes, true, getAccumulator(x.type), 0,
                               [&](ScalarBuilder &s, Value a, Value v) {
                                 return s.add(a, powerOfAbs(s, v, *p));
                               });
  return n.setOutput(0, takeRoot(n.build, sums, x.type, *p));
}

void nibble::onnx::registerPoolOps(OpRegistry &r) {
  r.add("", "MaxPool", importMaxPool);
  r.add("", "AveragePool", importAveragePool);
  r.add("", "LpPool", importLpPool);
  r.add("", "GlobalAveragePool", importGlobalAveragePool);
  r.add("", "GlobalMaxPool", importGlobalMaxPool);
  r.add("", "GlobalLpPool", importGlobalLpPool);
}
