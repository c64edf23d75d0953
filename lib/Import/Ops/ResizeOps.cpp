// Resize and Upsample, one axis at a time: every output position is a weighted
// sum of input positions, both known at compile time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

namespace {
enum class Method { Nearest, Linear, Cubic };

/// What the node says about all axes.
struct ResizeMode {
  Method method;
  std::string coordinates,
      rounding; ///< coordinate_transformation, nearest_mode
  double cubicA;
  bool excludeOutside, antialias;
  double extrapolation;
};

struct AxisResize {
  int64_t axis, input, output;
  double scale;
  double roiStart = 0, roiEnd = 1; ///< for tf_crop_and_resize
};

/// Taps per output position; sources are in range.
struct Taps {
  int64_t count = 1;
  SmallVector<int64_t> sources;
  SmallVector<double> weights;
  SmallVector<int64_t> outside; ///< 1: takes the extrapolation value
};
} // namespace

//===----------------------------------------------------------------------===//
// Coordinates and weights
//===----------------------------------------------------------------------===//

static double toInput(const ResizeMode &m, const AxisResize &a, double x) {
  double length = a.scale * double(a.input);
  if (m.coordinates == "align_corners")
    return length == 1 ? 0 : x * double(a.input - 1) / (length - 1);
  if (m.coordinates == "asymmetric")
    return x / a.scale;
  if (m.coordinates == "pytorch_half_pixel" && length == 1)
    return -0.5;
  if (m.coordinates == "tf_half_pixel_for_nn")
    return (x + 0.5) / a.scale;
  if (m.coordinates == "tf_crop_and_resize") {
    double last = double(a.input - 1), extent = a.roiEnd - a.roiStart;
    double at =
        length == 1 ? extent * last / 2 : x * extent * last / (length - 1);
    return at + a.roiStart * last;
  }
  double shift = 0;
  if (m.coordinates == "half_pixel_symmetric")
    shift = double(a.input) / 2 * (1 - double(a.output) / length);
  return shift + (x + 0.5) / a.scale - 0.5;
}

static int64_t roundNearest(const ResizeMode &m, double x) {
  if (m.rounding == "floor")
    return int64_t(std::floor(x));
  if (m.rounding == "ceil")
    return int64_t(std::ceil(x));
  if (m.rounding == "round_prefer_ceil")
    return int64_t(std::floor(x + 0.5));
  return int64_t(std::ceil(x - 0.5));
}

/// Weight of a sample at `distance` from the wanted position.
static double getWeight(const ResizeMode &m, double distance) {
  double d = std::abs(distance), a = m.cubicA;
  if (m.method == Method::Linear)
    return std::max(0.0, 1 - d);
  if (d <= 1)
    return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/// Adds the taps of one output position around input coordinate `x`.
static void addTaps(const ResizeMode &m, const AxisResize &a, double x,
                    double shrink, Taps &taps) {
  // Of an odd number of candidates the first is the one just within reach.
  int64_t first = int64_t(std::floor(x)) - taps.count / 2 + 1;
  SmallVector<double> weights;
  double total = 0;
  for (int64_t i = first; i < first + taps.count; ++i) {
    double weight = getWeight(m, (double(i) - x) * shrink);
    if (m.excludeOutside && (i < 0 || i >= a.input))
      weight = 0;
    weights.push_back(weight);
    total += weight;
    taps.sources.push_back(std::clamp<int64_t>(i, 0, a.input - 1));
  }
  bool normalizes = m.excludeOutside || m.antialias;
  for (double weight : weights)
    taps.weights.push_back(normalizes && total != 0 ? weight / total : weight);
}

static Taps getTaps(const ResizeMode &m, const AxisResize &a) {
  Taps taps;
  double shrink = m.antialias ? std::min(1.0, a.scale) : 1;
  double reach = m.method == Method::Cubic ? 2 : 1;
  if (m.method != Method::Nearest)
    taps.count = 2 * int64_t(std::ceil(reach / shrink));
  for (int64_t o = 0; o < a.output; ++o) {
    double x = toInput(m, a, double(o));
    bool isCrop = m.coordinates == "tf_crop_and_resize";
    taps.outside.push_back(isCrop && (x < 0 || x > double(a.input - 1)));
    // Positions far outside all read the border.
    x = std::clamp(x, -double(a.input) - 4, 2 * double(a.input) + 4);
    if (m.method == Method::Nearest)
      taps.sources.push_back(
          std::clamp<int64_t>(roundNearest(m, x), 0, a.input - 1));
    else
      addTaps(m, a, x, shrink, taps);
  }
  return taps;
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

/// sum over t of weights[o, t] * x[.., sources[o, t], ..].
static Tensor weighTaps(GraphBuilder &build, Tensor x, const AxisResize &a,
                        const Taps &taps) {
  Tensor sources =
      build.constantInts(ElemType::Int64, {a.output, taps.count}, taps.sources);
  Tensor weights =
      build.constantFloats(x.type, {a.output, taps.count}, taps.weights);
  Shape space(x.shape());
  space[a.axis] = a.output;
  space.push_back(taps.count);
  return build.reduceLoops(
      space, x.rank(), x.type, 0,
      [&](ScalarBuilder &s, ValueRange at, Value acc) {
        SmallVector<Value> from(at.drop_back());
        SmallVector<Value> tap{at[a.axis], at.back()};
        from[a.axis] = loadIndex(s, sources, tap);
        return s.add(acc, s.mul(s.load(weights, tap), s.load(x, from)));
      });
}

/// The extrapolation value where a position lies outside of the input.
static Tensor maskOutside(GraphBuilder &build, Tensor x, const AxisResize &a,
                          const Taps &taps, double value) {
  if (!llvm::is_contained(taps.outside, 1))
    return x;
  Shape shape(x.rank() - a.axis, 1);
  shape[0] = a.output;
  Tensor mask = build.constantInts(ElemType::Bool, shape, taps.outside);
  return build.elementwiseRaw(
      {x, mask}, x.type, [&](ScalarBuilder &s, ValueRange v) {
        return s.select(v[1], s.constant(value, v[0]), v[0]);
      });
}

static Tensor resize(GraphBuilder &build, Tensor x, const ResizeMode &m,
                     ArrayRef<AxisResize> axes) {
  ElemType type = x.type;
  if (m.method != Method::Nearest)
    x = build.cast(x, type == ElemType::Double ? type : ElemType::Float);
  for (const AxisResize &a : axes) {
    bool isCrop = m.coordinates == "tf_crop_and_resize" &&
                  (a.roiStart != 0 || a.roiEnd != 1);
    if (a.scale == 1 && a.input == a.output && !isCrop)
      continue;
    Taps taps = getTaps(m, a);
    x = m.method == Method::Nearest ? take(build, x, a.axis, taps.sources)
                                    : weighTaps(build, x, a, taps);
    x = maskOutside(build, x, a, taps, m.extrapolation);
  }
  return build.cast(x, type);
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

static FailureOr<Method> getMethod(NodeContext &n) {
  std::string mode = n.stringAttr("mode", "nearest");
  if (mode == "nearest")
    return Method::Nearest;
  if (mode == "linear" || mode == "bilinear")
    return Method::Linear;
  if (mode == "cubic")
    return Method::Cubic;
  return n.fail("mode '" + mode + "' is not one of nearest, linear, cubic");
}

static LogicalResult checkMode(NodeContext &n, const ResizeMode &m) {
  static const char *known[] = {"half_pixel",         "half_pixel_symmetric",
                                "pytorch_half_pixel", "align_corners",
                                "asymmetric",         "tf_half_pixel_for_nn",
                                "tf_crop_and_resize"};
  if (!llvm::is_contained(known, StringRef(m.coordinates)))
    return n.fail("coordinate_transformation_mode '" + m.coordinates +
                  "' is not supported");
  static const char *roundings[] = {"round_prefer_floor", "round_prefer_ceil",
                                    "floor", "ceil"};
  if (!llvm::is_contained(roundings, StringRef(m.rounding)))
    return n.fail("nearest_mode '" + m.rounding + "' is not supported");
  if (m.antialias && m.method == Method::Nearest)
    return n.fail("antialias does nothing with mode nearest; remove it");
  return success();
}

static FailureOr<ResizeMode> getMode(NodeContext &n) {
  auto method = getMethod(n);
  if (failed(method))
    return failure();
  // Opset 10 and Upsample knew only this.
  bool isOld = n.opType() == "Upsample" || n.opset() < 11;
  ResizeMode m{
      *method,
      n.stringAttr("coordinate_transformation_mode",
                   isOld ? "asymmetric" : "half_pixel"),
      n.stringAttr("nearest_mode", isOld ? "floor" : "round_prefer_floor"),
      n.floatAttr("cubic_coeff_a", -0.75),
      n.intAttr("exclude_outside", 0) != 0,
      n.intAttr("antialias", 0) != 0,
      n.floatAttr("extrapolation_value", 0)};
  if (failed(checkMode(n, m)))
    return failure();
  return m;
}

/// Axes that scales and sizes speak of, all by default.
static FailureOr<SmallVector<int64_t>> getAxes(NodeContext &n, Tensor x) {
  auto given = n.intsAttr("axes");
  if (!given)
    return llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  SmallVector<int64_t> axes;
  for (int64_t axis : *given) {
    auto at = n.normalizeAxis(axis, x.rank());
    if (failed(at))
      return failure();
    axes.push_back(*at);
  }
  return axes;
}

/// Sizes with the aspect ratio kept: one scale for all axes.
static void keepAspect(std::vector<AxisResize> &axes, bool larger) {
  double scale = axes.front().scale;
  for (const AxisResize &a : axes)
    scale = larger ? std::max(scale, a.scale) : std::min(scale, a.scale);
  for (AxisResize &a : axes) {
    a.scale = scale;
    a.output = int64_t(std::floor(scale * double(a.input) + 0.5));
  }
}

static LogicalResult setSizes(NodeContext &n, size_t input, StringRef policy,
                              std::vector<AxisResize> &axes) {
  auto sizes = n.requireInts(input, "sizes");
  if (failed(sizes))
    return failure();
  if (sizes->size() != axes.size())
    return n.fail("sizes has " + Twine(sizes->size()) + " numbers for " +
                  Twine(axes.size()) + " axes");
  for (auto [axis, size] : llvm::zip(axes, *sizes)) {
    axis.output = size;
    axis.scale = double(size) / double(axis.input);
  }
  if (policy == "not_larger" || policy == "not_smaller")
    keepAspect(axes, policy == "not_smaller");
  else if (policy != "stretch")
    return n.fail("keep_aspect_ratio_policy '" + policy + "' is not supported");
  return success();
}

static LogicalResult setScales(NodeContext &n, ArrayRef<double> scales,
                               std::vector<AxisResize> &axes) {
  if (scales.size() != axes.size())
    return n.fail("scales has " + Twine(scales.size()) + " numbers for " +
                  Twine(axes.size()) + " axes");
  for (auto [axis, scale] : llvm::zip(axes, scales)) {
    if (!(scale > 0) || !(scale < 1e9))
      return n.fail("a scale is not a positive number below 1e9");
    axis.scale = scale;
    axis.output = int64_t(std::floor(scale * double(axis.input)));
  }
  return success();
}

static LogicalResult setRoi(NodeContext &n, const ResizeMode &m,
                            std::vector<AxisResize> &axes) {
  if (m.coordinates != "tf_crop_and_resize")
    return success();
  auto roi = n.requireFloats(1, "roi");
  if (failed(roi))
    return failure();
  if (roi->size() != 2 * axes.size())
    return n.fail("roi has " + Twine(roi->size()) + " numbers for " +
                  Twine(axes.size()) + " axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    axes[i].roiStart = (*roi)[i];
    axes[i].roiEnd = (*roi)[axes.size() + i];
  }
  return success();
}

/// Scales from an attribute (Upsample 7) or input, sizes from input 3.
static LogicalResult setExtents(NodeContext &n, std::vector<AxisResize> &axes) {
  bool hasRoi = n.opType() == "Resize" && n.opset() >= 11;
  size_t scalesAt = hasRoi ? 2 : 1;
  // Exporters name empty tensors for what they do not use.
  auto isGiven = [&](size_t i) {
    return n.hasInput(i) && n.input(i).numElements() != 0;
  };
  bool hasScales = isGiven(scalesAt), hasSizes = hasRoi && isGiven(3);
  std::string policy = n.stringAttr("keep_aspect_ratio_policy", "stretch");
  if (hasRoi)
    (void)n.input(1); // concerns tf_crop_and_resize only
  auto attr = n.floatsAttr("scales");
  if (int(bool(attr)) + int(hasScales) + int(hasSizes) > 1)
    return n.fail("has scales or sizes twice, which may disagree; keep one");
  if (attr)
    return setScales(n, *attr, axes);
  if (hasScales) {
    auto scales = n.requireFloats(scalesAt, "scales");
    return failed(scales) ? failure() : setScales(n, *scales, axes);
  }
  if (hasSizes)
    return setSizes(n, 3, policy, axes);
  return n.fail("has neither scales nor sizes");
}

static LogicalResult importResize(NodeContext &n) {
  Tensor x = n.input(0);
  auto mode = getMode(n);
  auto given = getAxes(n, x);
  if (failed(mode) || failed(given))
    return failure();
  std::vector<AxisResize> axes;
  for (int64_t axis : *given)
    axes.push_back({axis, x.dim(axis), x.dim(axis), 1});
  if (axes.empty())
    return n.setOutput(0, x);
  if (x.numElements() == 0)
    return n.fail("input " + toString(x.shape()) + " is empty");
  if (failed(setExtents(n, axes)) || failed(setRoi(n, *mode, axes)))
    return failure();
  Shape shape(x.shape());
  for (const AxisResize &a : axes) {
    shape[a.axis] = a.output;
    if (a.output < 1 || exceeds(shape, int64_t(1) << 36))
      return n.fail("output shape " + toString(shape) + " is not possible");
  }
  if (mode->method != Method::Nearest && !isFloat(x.type) &&
      getBitWidth(x.type) > 16)
    return n.fail("input of type " + getName(x.type) +
                  " cannot be interpolated exactly; insert a Cast to float");
  return n.setOutput(0, resize(n.build, x, *mode, axes));
}

void nibble::onnx::registerResizeOps(OpRegistry &r) {
  r.add("", "Resize", importResize);
  r.add("", "Upsample", importResize);
}
