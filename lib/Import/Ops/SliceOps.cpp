// Slice, Concat, Split, Pad, CenterCropPad, Tile, Expand.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <algorithm>

using namespace mlir;
using namespace nibble::onnx;

//===----------------------------------------------------------------------===//
// Slice
//===----------------------------------------------------------------------===//

namespace {
struct SliceBounds {
  SmallVector<int64_t> starts, ends, axes, steps;
};
} // namespace

/// Attributes up to opset 9, inputs since.
static FailureOr<SliceBounds> getSliceBounds(NodeContext &n) {
  SliceBounds b;
  if (n.hasAttr("starts")) {
    b.starts = n.intsAttr("starts").value_or(Shape());
    b.ends = n.intsAttr("ends").value_or(Shape());
    b.axes = n.intsAttr("axes").value_or(Shape());
  } else if (!n.hasInput(1) || !n.hasInput(2)) {
    return n.fail("has no starts or no ends");
  } else {
    auto starts = n.requireInts(1, "starts"), ends = n.requireInts(2, "ends");
    auto axes = n.requireInts(3, "axes"), steps = n.requireInts(4, "steps");
    if (failed(starts) || failed(ends) || failed(axes) || failed(steps))
      return failure();
    b = {*starts, *ends, *axes, *steps};
  }
  if (b.axes.empty())
    b.axes = llvm::to_vector(llvm::seq<int64_t>(0, b.starts.size()));
  if (b.steps.empty())
    b.steps.assign(b.starts.size(), 1);
  if (b.ends.size() != b.starts.size() || b.axes.size() != b.starts.size() ||
      b.steps.size() != b.starts.size())
    return n.fail("starts, ends, axes and steps differ in length");
  return b;
}

/// Start and size along one dimension. ONNX clamps a start into the data also
/// when it steps backwards, where numpy does not.
static std::pair<int64_t, int64_t> clampSlice(int64_t start, int64_t end,
                                              int64_t step, int64_t extent) {
  if (extent == 0)
    return {0, 0};
  auto clamp = [&](int64_t i, int64_t low, int64_t high) {
    return std::max(low, std::min(high, i < 0 ? i + extent : i));
  };
  bool forwards = step > 0;
  start = clamp(start, 0, forwards ? extent : extent - 1);
  end = clamp(end, forwards ? 0 : -1, forwards ? extent : extent - 1);
  int64_t distance = forwards ? end - start : start - end;
  int64_t stride = forwards ? step : -step;
  return {start, distance <= 0 ? 0 : (distance - 1) / stride + 1};
}

static LogicalResult importSlice(NodeContext &n) {
  Tensor x = n.input(0);
  auto bounds = getSliceBounds(n);
  if (failed(bounds))
    return failure();
  Shape starts(x.rank(), 0), sizes(x.shape()), strides(x.rank(), 1);
  SmallVector<bool> seen(x.rank(), false);
  for (size_t i = 0; i < bounds->axes.size(); ++i) {
    auto axis = n.normalizeAxis(bounds->axes[i], x.rank());
    if (failed(axis))
      return failure();
    if (std::exchange(seen[*axis], true))
      return n.fail("axes name dimension " + Twine(*axis) + " twice");
    int64_t extent = x.dim(*axis);
    // Steps beyond the extent all take one element.
    int64_t step = std::clamp(bounds->steps[i], -extent - 1, extent + 1);
    if (step == 0)
      return n.fail("a step is 0; steps must not be 0");
    strides[*axis] = step;
    std::tie(starts[*axis], sizes[*axis]) =
        clampSlice(bounds->starts[i], bounds->ends[i], step, extent);
  }
  return n.setOutput(0, n.build.slice(x, starts, sizes, strides));
}

//===----------------------------------------------------------------------===//
// Concat, Split
//===----------------------------------------------------------------------===//

static LogicalResult importConcat(NodeContext &n) {
  SmallVector<Tensor> inputs;
  for (size_t i = 0; i < n.numInputs(); ++i)
    if (n.hasInput(i))
      inputs.push_back(n.input(i));
  const Tensor &first = inputs.front();
  auto axis = n.normalizeAxis(n.intAttr("axis", 1), first.rank());
  if (failed(axis))
    return failure();
  for (const Tensor &input : inputs) {
    bool fits = input.type == first.type && input.rank() == first.rank();
    for (int64_t d = 0; fits && d < first.rank(); ++d)
      fits = d == *axis || input.dim(d) == first.dim(d);
    if (!fits)
      return n.fail("inputs " + getName(first.type) + toString(first.shape()) +
                    " and " + getName(input.type) + toString(input.shape()) +
                    " cannot be joined along axis " + Twine(*axis));
  }
  return n.setOutput(0, n.build.concat(inputs, *axis));
}

/// Sizes of the pieces: given, or as equal as possible with a shorter last one.
static FailureOr<SmallVector<int64_t>> getSplitSizes(NodeContext &n,
                                                     int64_t extent) {
  if (auto attr = n.intsAttr("split"))
    return *attr;
  if (n.hasInput(1))
    return n.requireInts(1, "split");
  int64_t count = n.intAttr("num_outputs", n.numOutputs());
  bool isEven = count > 0 && extent % count == 0;
  if (count < 1 || (!isEven && !n.hasAttr("num_outputs")))
    return n.fail("extent " + Twine(extent) + " does not split into " +
                  Twine(count) + " equal parts; give the split sizes");
  int64_t piece = (extent + count - 1) / count;
  SmallVector<int64_t> sizes(count, piece);
  sizes.back() = extent - piece * (count - 1);
  return sizes;
}

static LogicalResult importSplit(NodeContext &n) {
  Tensor x = n.input(0);
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), x.rank());
  if (failed(axis))
    return failure();
  auto sizes = getSplitSizes(n, x.dim(*axis));
  if (failed(sizes))
    return failure();
  int64_t total = 0;
  bool fits = sizes->size() == n.numOutputs();
  for (int64_t size : *sizes) {
    fits &= size >= 0 && size <= x.dim(*axis) - total;
    total += fits ? size : 0;
  }
  if (!fits || total != x.dim(*axis))
    return n.fail("split sizes " + toString(*sizes) + " do not divide extent " +
                  Twine(x.dim(*axis)) + " among " + Twine(n.numOutputs()) +
                  " outputs");
  Shape starts(x.rank(), 0), shape(x.shape()), ones(x.rank(), 1);
  for (auto [i, size] : llvm::enumerate(*sizes)) {
    shape[*axis] = size;
    (void)n.setOutput(i, n.build.slice(x, starts, shape, ones));
    starts[*axis] += size;
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

namespace {
struct Pads {
  Shape low, high;
};
} // namespace

static FailureOr<Pads> getPads(NodeContext &n, Tensor x) {
  SmallVector<int64_t> amounts, axes;
  auto attr = n.intsAttr(n.hasAttr("paddings") ? "paddings" : "pads");
  if (attr) {
    amounts = *attr;
  } else {
    auto given = n.requireInts(1, "pads"), named = n.requireInts(3, "axes");
    if (failed(given) || failed(named))
      return failure();
    amounts = *given;
    axes = *named;
  }
  if (!n.hasInput(3))
    axes = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  if (amounts.size() != 2 * axes.size())
    return n.fail("pads have " + Twine(amounts.size()) + " numbers, but " +
                  Twine(axes.size()) + " dimensions need " +
                  Twine(2 * axes.size()));
  Pads pads{Shape(x.rank(), 0), Shape(x.rank(), 0)};
  for (size_t i = 0; i < axes.size(); ++i) {
    auto axis = n.normalizeAxis(axes[i], x.rank());
    if (failed(axis))
      return failure();
    pads.low[*axis] = amounts[i];
    pads.high[*axis] = amounts[axes.size() + i];
  }
  return pads;
}

/// Largest extent that a padded dimension may have: what cannot be meant is
/// refused before sums overflow.
constexpr int64_t maxExtent = int64_t(1) << 40;

static LogicalResult checkPads(NodeContext &n, Tensor x, const Pads &pads,
                               StringRef mode) {
  for (int64_t d = 0; d < x.rank(); ++d) {
    int64_t low = pads.low[d], high = pads.high[d];
    bool fits = std::abs(low) < maxExtent && std::abs(high) < maxExtent;
    int64_t left =
        x.dim(d) + std::min<int64_t>(0, low) + std::min<int64_t>(0, high);
    if (!fits || left < 0)
      return n.fail("pads " + Twine(low) + " and " + Twine(high) +
                    " do not fit dimension " + Twine(d) + " of extent " +
                    Twine(x.dim(d)));
    if (mode != "constant" && left == 0 && (low > 0 || high > 0))
      return n.fail("mode '" + mode +
                    "' has nothing to repeat along dimension " + Twine(d) +
                    ", which is empty");
  }
  return success();
}

/// Where element i of a padded dimension comes from; i counts from the first
/// unpadded element.
static int64_t getPadSource(StringRef mode, int64_t i, int64_t extent) {
  if (mode == "edge" || extent == 1)
    return std::clamp<int64_t>(i, 0, extent - 1);
  int64_t period = mode == "wrap" ? extent : 2 * (extent - 1);
  i = (i % period + period) % period;
  return i < extent ? i : period - i;
}

static Tensor padByCopies(GraphBuilder &build, Tensor x, const Pads &pads,
                          StringRef mode) {
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (pads.low[d] == 0 && pads.high[d] == 0)
      continue;
    // Negative amounts crop first.
    int64_t first = std::max<int64_t>(0, -pads.low[d]);
    int64_t extent = x.dim(d) - first - std::max<int64_t>(0, -pads.high[d]);
    int64_t low = std::max<int64_t>(0, pads.low[d]);
    int64_t high = std::max<int64_t>(0, pads.high[d]);
    SmallVector<int64_t> indices;
    for (int64_t i = -low; i < extent + high; ++i)
      indices.push_back(first + getPadSource(mode, i, extent));
    x = take(build, x, d, indices);
  }
  return x;
}

/// The constant to pad with, if it is known and a double can hold it.
static std::optional<double> getPadValue(NodeContext &n, Tensor x) {
  if (!n.hasInput(2))
    return n.floatAttr("value", 0);
  if (isFloat(x.type)) {
    auto value = n.constantFloats(2);
    return value ? std::optional((*value)[0]) : std::nullopt;
  }
  auto value = n.constantInts(2);
  if (!value || std::abs(double((*value)[0])) > 0x1p53)
    return std::nullopt;
  return double((*value)[0]);
}

/// Padding with an element of the graph.
static Tensor padWithTensor(GraphBuilder &build, Tensor x, const Pads &pads,
                            Tensor value) {
  Shape shape(x.shape());
  for (int64_t d = 0; d < x.rank(); ++d)
    shape[d] += pads.low[d] + pads.high[d];
  if (x.numElements() == 0)
    return build.broadcastTo(build.reshape(value, {}), shape);
  return build.generate(shape, x.type, [&](ScalarBuilder &s, ValueRange at) {
    ScalarBuilder i = asSigned(s);
    Value inside = s.constantInt(1, s.builder.getI1Type());
    SmallVector<Value> from;
    for (int64_t d = 0; d < x.rank(); ++d) {
      Value place = i.sub(at[d], i.index(pads.low[d]));
      inside = i.bitAnd(inside, inRange(s, place, 0, x.dim(d)));
      from.push_back(clampIndex(s, place, x.dim(d)));
    }
    SmallVector<Value> zeros(value.rank(), s.index(0));
    return s.select(inside, s.load(x, from), s.load(value, zeros));
  });
}

static LogicalResult importPad(NodeContext &n) {
  Tensor x = n.input(0);
  auto pads = getPads(n, x);
  std::string mode = n.stringAttr("mode", "constant");
  if (mode != "constant" && mode != "edge" && mode != "reflect" &&
      mode != "wrap")
    return n.fail("mode '" + mode +
                  "' is not one of constant, edge, reflect, wrap");
  if (failed(pads) || failed(checkPads(n, x, *pads, mode)))
    return failure();
  Tensor given = n.input(2);
  if (given && n.hasAttr("value"))
    return n.fail("has the value to pad with twice, as an input and as an "
                  "attribute; keep one");
  (void)n.hasAttr("value"); // modes that copy elements need no value
  if (mode != "constant")
    return n.setOutput(0, padByCopies(n.build, x, *pads, mode));
  if (given && (given.numElements() != 1 || given.type != x.type))
    return n.fail("constant_value " + getName(given.type) +
                  toString(given.shape()) + " is not one element of type " +
                  getName(x.type));
  if (auto value = getPadValue(n, x))
    return n.setOutput(0, n.build.pad(x, pads->low, pads->high, *value));
  return n.setOutput(0, padWithTensor(n.build, x, *pads, given));
}

static LogicalResult importCenterCropPad(NodeContext &n) {
  Tensor x = n.input(0);
  auto wanted = n.requireInts(1, "shape");
  if (failed(wanted))
    return failure();
  auto axes = n.intsAttr("axes").value_or(
      llvm::to_vector(llvm::seq<int64_t>(0, x.rank())));
  if (axes.size() != wanted->size())
    return n.fail("shape has " + Twine(wanted->size()) + " numbers for " +
                  Twine(axes.size()) + " axes");
  Shape low(x.rank(), 0), high(x.rank(), 0);
  for (auto [i, given] : llvm::enumerate(axes)) {
    auto axis = n.normalizeAxis(given, x.rank());
    if (failed(axis))
      return failure();
    if ((*wanted)[i] < 0 || (*wanted)[i] > maxExtent)
      return n.fail("extent " + Twine((*wanted)[i]) + " is not possible");
    int64_t more = (*wanted)[i] - x.dim(*axis);
    // The odd element goes to the end, be it cropped or padded.
    low[*axis] = more / 2;
    high[*axis] = more - more / 2;
  }
  return n.setOutput(0, n.build.pad(x, low, high, 0));
}

//===----------------------------------------------------------------------===//
// Tile, Expand
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<int64_t>> getRepeats(NodeContext &n, Tensor x) {
  auto repeats = n.requireInts(1, "repeats");
  if (failed(repeats) || !n.hasInput(2))
    return repeats;
  // Opset 1: the number of tiles and the axis, one each.
  auto axis = n.requireInts(2, "axis");
  if (failed(axis) || axis->size() != 1 || repeats->size() != 1)
    return n.fail("tiles and axis must have one element each");
  auto at = n.normalizeAxis(axis->front(), x.rank());
  if (failed(at))
    return failure();
  SmallVector<int64_t> result(x.rank(), 1);
  result[*at] = repeats->front();
  return result;
}

static LogicalResult importTile(NodeContext &n) {
  Tensor x = n.input(0);
  auto repeats = getRepeats(n, x);
  if (failed(repeats))
    return failure();
  if (int64_t(repeats->size()) != x.rank() ||
      llvm::any_of(*repeats, [](int64_t r) { return r < 0; }))
    return n.fail("repeats " + toString(*repeats) + " do not fit input " +
                  toString(x.shape()));
  Shape split, stretched, result;
  for (int64_t d = 0; d < x.rank(); ++d) {
    split.append({1, x.dim(d)});
    stretched.append({(*repeats)[d], x.dim(d)});
    if (exceeds({(*repeats)[d], x.dim(d)}, maxExtent))
      return n.fail("repeats " + toString(*repeats) + " are too large");
    result.push_back((*repeats)[d] * x.dim(d));
  }
  if (exceeds(result, maxExtent))
    return n.fail("output shape " + toString(result) + " is too large");
  if (ArrayRef<int64_t>(result) == x.shape())
    return n.setOutput(0, x);
  if (llvm::is_contained(result, 0))
    return n.setOutput(0, {n.build.empty(result, x.type), x.type});
  Tensor y = n.build.broadcastTo(n.build.reshape(x, split), stretched);
  return n.setOutput(0, n.build.reshape(y, result));
}

static LogicalResult importExpand(NodeContext &n) {
  Tensor x = n.input(0);
  auto wanted = n.requireInts(1, "shape");
  if (failed(wanted))
    return failure();
  bool isPossible = llvm::all_of(*wanted, [](int64_t d) { return d >= 0; }) &&
                    !exceeds(*wanted, maxExtent);
  auto shape = broadcastShapes({x.shape(), *wanted});
  if (!isPossible || failed(shape) || exceeds(*shape, maxExtent))
    return n.fail("input " + toString(x.shape()) +
                  " does not broadcast with shape " + toString(*wanted));
  if (llvm::is_contained(*shape, 0))
    return n.setOutput(0, {n.build.empty(*shape, x.type), x.type});
  return n.setOutput(0, n.build.broadcastTo(x, *shape));
}

void nibble::onnx::registerSliceOps(OpRegistry &r) {
  r.add("", "Slice", importSlice);
  r.add("", "Concat", importConcat);
  r.add("", "Split", importSplit);
  r.add("", "Pad", importPad);
  r.add("", "CenterCropPad", importCenterCropPad);
  r.add("", "Tile", importTile, 2);
  r.add("", "Expand", importExpand, 2);
}
