// GridSample: samples an image at positions computed at run time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

namespace {
enum class Padding { Zeros, Border, Reflection };
enum class Method { Nearest, Linear, Cubic };

struct Sampling {
  Tensor x, grid; ///< [N, C, spatial..], [N, out.., rank]
  Method method;
  Padding padding;
  bool alignCorners;
  Type wide; ///< float type of all arithmetic

  int64_t rank() const { return x.rank() - 2; }
};

/// One sample along one dimension: where, how much, and whether it exists.
struct Tap {
  Value index, weight, exists;
};
} // namespace

//===----------------------------------------------------------------------===//
// One dimension
//===----------------------------------------------------------------------===//

/// From [-1, 1] to element positions of an axis of `extent` elements.
static Value denormalize(ScalarBuilder &s, const Sampling &g, Value v,
                         int64_t extent) {
  double length = double(extent);
  Value up = s.add(v, s.constant(1, v));
  if (g.alignCorners)
    return s.mul(s.div(up, s.constant(2, v)), s.constant(length - 1, v));
  Value scaled = s.sub(s.mul(up, s.constant(length, v)), s.constant(1, v));
  return s.div(scaled, s.constant(2, v));
}

/// Mirrors v at the borders of the axis until it is inside.
static Value reflect(ScalarBuilder &s, const Sampling &g, Value v,
                     int64_t extent) {
  double low = g.alignCorners ? 0 : -0.5;
  double range = double(extent) - (g.alignCorners ? 1 : 0);
  if (range == 0)
    return s.constant(0, v);
  Value lowest = s.constant(low, v), highest = s.constant(low + range, v);
  Value below = s.lt(v, lowest);
  Value beyond = s.select(below, s.sub(lowest, v), s.sub(v, lowest));
  Value length = s.constant(range, v), two = s.constant(2, v);
  Value turns = s.floor(s.div(beyond, length));
  Value rest = s.sub(beyond, s.mul(turns, length));
  Value half = s.div(turns, two);
  Value isEven = s.eq(s.floor(half), half);
  return s.select(isEven, s.add(lowest, rest), s.sub(highest, rest));
}

static Value moveInside(ScalarBuilder &s, const Sampling &g, Value v,
                        int64_t extent) {
  if (g.padding == Padding::Zeros)
    return v;
  if (g.padding == Padding::Reflection)
    return reflect(s, g, v, extent);
  Value top = s.constant(double(extent - 1), v);
  return s.min(s.max(v, s.constant(0, v)), top);
}

/// Weights of 4 neighbours at distances 1 + f, f, 1 - f, 2 - f.
static SmallVector<Value> getCubicWeights(ScalarBuilder &s, Value f) {
  constexpr double a = -0.75;
  auto number = [&](double v) { return s.constant(v, f); };
  auto polynomial = [&](Value d, std::initializer_list<double> c) {
    Value sum = number(*c.begin());
    for (double next : llvm::drop_begin(c))
      sum = s.add(s.mul(sum, d), number(next));
    return sum;
  };
  Value rest = s.sub(number(1), f);
  auto near = [&](Value d) { return polynomial(d, {a + 2, -(a + 3), 0, 1}); };
  auto far = [&](Value d) { return polynomial(d, {a, -5 * a, 8 * a, -4 * a}); };
  return {far(s.add(f, number(1))), near(f), near(rest),
          far(s.add(rest, number(1)))};
}

static Tap makeTap(ScalarBuilder &s, const Sampling &g, Value place,
                   Value weight, int64_t extent) {
  Value exists;
  if (g.padding == Padding::Zeros)
    exists = s.bitAnd(s.ge(place, s.constant(0, place)),
                      s.lt(place, s.constant(double(extent), place)));
  place = moveInside(s, g, place, extent);
  ScalarBuilder i = asSigned(s);
  Value index =
      i.toIndex(i.convert(place, s.builder.getI64Type(), false, false));
  return {clampIndex(s, index, extent), weight, exists};
}

static SmallVector<Tap> getTaps(ScalarBuilder &s, const Sampling &g, Value v,
                                int64_t extent) {
  v = denormalize(s, g, v, extent);
  if (g.method == Method::Nearest) {
    v = moveInside(s, g, s.roundEven(v), extent);
    return {makeTap(s, g, v, {}, extent)};
  }
  // Cubic sampling at a border clamps each sample and not the position, as the
  // framework that defined the operator does.
  if (g.method != Method::Cubic || g.padding != Padding::Border)
    v = moveInside(s, g, v, extent);
  Value base = s.floor(v), f = s.sub(v, base);
  SmallVector<Value> weights{s.sub(s.constant(1, f), f), f};
  if (g.method == Method::Cubic)
    weights = getCubicWeights(s, f);
  int64_t first = g.method == Method::Cubic ? -1 : 0;
  SmallVector<Tap> taps;
  for (auto [i, weight] : llvm::enumerate(weights)) {
    Value place = s.add(base, s.constant(double(first + int64_t(i)), base));
    taps.push_back(makeTap(s, g, place, weight, extent));
  }
  return taps;
}

//===----------------------------------------------------------------------===//
// All dimensions
//===----------------------------------------------------------------------===//

/// Sum over all combinations of taps of dimensions from `d` on; `from` has the
/// indices of the earlier ones.
static Value sample(ScalarBuilder &s, const Sampling &g,
                    ArrayRef<SmallVector<Tap>> taps, SmallVector<Value> from,
                    Value exists) {
  if (taps.empty()) {
    Value v = g.method == Method::Nearest
                  ? s.load(g.x, from)
                  : s.convert(s.load(g.x, from), g.wide, false, false);
    return exists ? s.select(exists, v, s.constant(0, v)) : v;
  }
  Value sum;
  for (const Tap &tap : taps.front()) {
    SmallVector<Value> at(from);
    at.push_back(tap.index);
    Value both = exists && tap.exists ? s.bitAnd(exists, tap.exists)
                                      : (tap.exists ? tap.exists : exists);
    Value v = sample(s, g, taps.drop_front(), at, both);
    if (tap.weight)
      v = s.mul(tap.weight, v);
    sum = sum ? s.add(sum, v) : v;
  }
  return sum;
}

static Tensor emit(GraphBuilder &build, const Sampling &g) {
  Shape shape(g.x.shape().take_front(2));
  llvm::append_range(shape, g.grid.shape().drop_front().drop_back());
  if (llvm::is_contained(shape, 0))
    return {build.empty(shape, g.x.type), g.x.type};
  return build.generate(shape, g.x.type, [&](ScalarBuilder &s, ValueRange at) {
    SmallVector<SmallVector<Tap>> taps;
    for (int64_t d = 0; d < g.rank(); ++d) {
      // The grid names the innermost dimension first.
      SmallVector<Value> from{at[0]};
      llvm::append_range(from, at.drop_front(2));
      from.push_back(s.index(g.rank() - 1 - d));
      Value v = s.convert(s.load(g.grid, from), g.wide, false, false);
      taps.push_back(getTaps(s, g, v, g.x.dim(d + 2)));
    }
    Value y = sample(s, g, taps, {at[0], at[1]}, {});
    return s.convert(y, g.x.elementType(), s.unsignedInts, s.unsignedInts);
  });
}

static LogicalResult readModes(NodeContext &n, Sampling &g) {
  std::string mode = n.stringAttr("mode", "linear");
  std::string padding = n.stringAttr("padding_mode", "zeros");
  g.alignCorners = n.intAttr("align_corners", 0) != 0;
  if (mode != "nearest" && mode != "linear" && mode != "bilinear" &&
      mode != "cubic" && mode != "bicubic")
    return n.fail("mode '" + mode + "' is not one of nearest, linear, cubic");
  if (padding != "zeros" && padding != "border" && padding != "reflection")
    return n.fail("padding_mode '" + padding +
                  "' is not one of zeros, border, reflection");
  g.method = mode == "nearest"                     ? Method::Nearest
             : StringRef(mode).ends_with("linear") ? Method::Linear
                                                   : Method::Cubic;
  g.padding = padding == "zeros"    ? Padding::Zeros
              : padding == "border" ? Padding::Border
                                    : Padding::Reflection;
  return success();
}

static LogicalResult importGridSample(NodeContext &n) {
  Sampling g{n.input(0), n.input(1), {},
             {},         false,      n.build.builder.getF32Type()};
  if (failed(readModes(n, g)))
    return failure();
  bool fits = g.x.rank() >= 3 && g.x.rank() <= 5 && isFloat(g.grid.type) &&
              g.grid.rank() == g.x.rank() && g.grid.dim(0) == g.x.dim(0) &&
              g.grid.shape().back() == g.rank();
  if (!fits)
    return n.fail("input " + toString(g.x.shape()) + " and grid " +
                  toString(g.grid.shape()) +
                  " do not fit: wanted [N, C, 1 to 3 spatial dimensions] and "
                  "[N, output dimensions, number of spatial dimensions]");
  if (g.method != Method::Nearest && !isFloat(g.x.type))
    return n.fail("input of type " + getName(g.x.type) +
                  " cannot be interpolated; insert a Cast to float");
  if (llvm::is_contained(g.x.shape().drop_front(2), 0))
    return n.fail("input " + toString(g.x.shape()) + " is empty");
  if (g.x.type == ElemType::Double || g.grid.type == ElemType::Double)
    g.wide = n.build.builder.getF64Type();
  return n.setOutput(0, emit(n.build, g));
}

void nibble::onnx::registerGridSampleOps(OpRegistry &r) {
  r.add("", "GridSample", importGridSample, 2);
}
