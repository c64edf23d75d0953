// Conv, ConvTranspose, ConvInteger, QLinearConv in 1 to 3 spatial dimensions,
// and CausalConvWithState.
//
// A float convolution is a matrix product of patches [N * positions, C * K]
// with the weights [M, C * K], so that it shares the kernels, formats and
// layouts of every other product. Patches are a plain transpose if the kernel
// tiles the image (patch embeddings, 1x1), else a copy. Depthwise ones, integer
// ones and ones whose patches would be too big are direct loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
#include "Window.h"

using namespace mlir;
using namespace nibble::onnx;

/// Largest copy of patches, in elements.
constexpr int64_t maxPatchElements = int64_t(1) << 26;

namespace {
struct Convolution {
  Tensor x, weights, bias; ///< [N, C, ..], [M, C / groups, kernel..], [M] or {}
  int64_t groups;
  Window window;

  int64_t batch() const { return x.dim(0); }
  int64_t inputs() const { return weights.dim(1); }           ///< per group
  int64_t outputs() const { return weights.dim(0) / groups; } ///< per group
  int64_t taps() const { return product(window.kernel); }
  int64_t positions() const { return product(window.output); }
};
} // namespace

//===----------------------------------------------------------------------===//
// Patches
//===----------------------------------------------------------------------===//

/// [N, groups, out.., C / groups, kernel..] of an image that the kernel tiles.
static Tensor splitIntoTiles(GraphBuilder &build, const Convolution &c) {
  const Window &w = c.window;
  Shape starts(c.x.rank(), 0), sizes{c.batch(), c.x.dim(1)};
  Shape ones(c.x.rank(), 1), split{c.batch(), c.groups, c.inputs()};
  SmallVector<int64_t> perm{0, 1}, kernelDims;
  for (size_t d = 0; d < w.rank(); ++d) {
    sizes.push_back(w.output[d] * w.kernel[d]);
    split.append({w.output[d], w.kernel[d]});
    perm.push_back(3 + 2 * d);
    kernelDims.push_back(4 + 2 * d);
  }
  perm.push_back(2);
  llvm::append_range(perm, kernelDims);
  Tensor image = build.slice(c.x, starts, sizes, ones);
  return build.transpose(build.reshape(image, split), perm);
}

/// The same for any window: a copy in which pixels occur several times.
static Tensor copyPatches(GraphBuilder &build, const Convolution &c) {
  const Window &w = c.window;
  unsigned rank = w.rank();
  Tensor padded = padForWindow(build, c.x, w, 0);
  Shape split{c.batch(), c.groups, c.inputs()};
  llvm::append_range(split, padded.shape().drop_front(2));
  Shape shape{c.batch(), c.groups};
  llvm::append_range(shape, w.output);
  shape.push_back(c.inputs());
  llvm::append_range(shape, w.kernel);
  MLIRContext *ctx = build.builder.getContext();
  SmallVector<AffineExpr> exprs{getAffineDimExpr(0, ctx),
                                getAffineDimExpr(1, ctx),
                                getAffineDimExpr(2 + rank, ctx)};
  llvm::append_range(exprs, getWindowExprs(ctx, w, 2, 3 + rank));
  return gatherAffine(build, build.reshape(padded, split),
                      AffineMap::get(shape.size(), 0, exprs, ctx), shape);
}

/// Channels behind the spatial dimensions -> in front: [N, out.., M] to
/// [N, M, out..]. `lead` dimensions before them stay.
static Tensor moveChannels(GraphBuilder &build, Tensor y, int64_t lead) {
  SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, lead));
  perm.push_back(y.rank() - 1);
  for (int64_t d = lead; d + 1 < y.rank(); ++d)
    perm.push_back(d);
  return build.transpose(y, perm);
}

/// y + bias in the accumulator, then one rounding to `type`. The bias
/// broadcasts as numpy does.
static Tensor addBias(GraphBuilder &build, Tensor y, Tensor bias,
                      ElemType type) {
  if (!bias)
    return build.cast(y, type);
  return build.elementwise({y, bias}, type, [](ScalarBuilder &s, ValueRange a) {
    Value b = s.convert(a[1], a[0].getType(), s.unsignedInts, s.unsignedInts);
    return s.add(a[0], b);
  });
}

/// By patches and a matrix product. One group needs no batch dimension: all
/// positions of all images are rows of one matrix.
static Tensor multiplyPatches(GraphBuilder &build, const Convolution &c) {
  Tensor patches =
      c.window.isTiling() ? splitIntoTiles(build, c) : copyPatches(build, c);
  ElemType type = c.x.type, acc = getAccumulator(type);
  if (!c.bias)
    acc = type;
  int64_t depth = c.inputs() * c.taps(), g = c.groups, m = c.outputs();
  Shape shape{c.batch(), g};
  if (g == 1)
    shape.pop_back();
  llvm::append_range(shape, c.window.output);
  shape.push_back(m);
  Shape rows = g == 1 ? Shape{c.batch() * c.positions(), depth}
                      : Shape{c.batch(), g, c.positions(), depth};
  Shape columns = g == 1 ? Shape{m, depth} : Shape{g, m, depth};
  Tensor y = build.matmul(build.reshape(patches, rows),
                          build.reshape(c.weights, columns), acc,
                          /*transposeB=*/true);
  Tensor bias;
  if (c.bias)
    bias = build.reshape(c.bias, g == 1 ? Shape{m} : Shape{g, 1, m});
  y = addBias(build, y, bias, type);
  y = moveChannels(build, build.reshape(y, shape), g == 1 ? 1 : 2);
  Shape result{c.batch(), g * m};
  llvm::append_range(result, c.window.output);
  return build.reshape(y, result);
}

//===----------------------------------------------------------------------===//
// Direct loops
//===----------------------------------------------------------------------===//

/// Loops: n, group, m, out.. | c, kernel..
static Tensor convolveDirectly(GraphBuilder &build, const Convolution &c,
                               ElemType acc) {
  const Window &w = c.window;
  unsigned rank = w.rank(), parallel = 3 + rank;
  Tensor padded = padForWindow(build, c.x, w, 0);
  Shape image{c.batch(), c.groups, c.inputs()};
  llvm::append_range(image, padded.shape().drop_front(2));
  Shape kernel{c.groups, c.outputs(), c.inputs()};
  llvm::append_range(kernel, w.kernel);
  Shape space{c.batch(), c.groups, c.outputs()};
  llvm::append_range(space, w.output);
  space.push_back(c.inputs());
  llvm::append_range(space, w.kernel);
  MLIRContext *ctx = build.builder.getContext();
  auto dim = [&](unsigned d) { return getAffineDimExpr(d, ctx); };
  SmallVector<AffineExpr> imageExprs{dim(0), dim(1), dim(parallel)};
  llvm::append_range(imageExprs, getWindowExprs(ctx, w, 3, parallel + 1));
  SmallVector<AffineExpr> kernelExprs{dim(1), dim(2)};
  for (unsigned d = 0; d <= rank; ++d)
    kernelExprs.push_back(dim(parallel + d));
  Tensor y = build.contract(
      space, parallel,
      {build.reshape(padded, image), build.reshape(c.weights, kernel)},
      {AffineMap::get(space.size(), 0, imageExprs, ctx),
       AffineMap::get(space.size(), 0, kernelExprs, ctx)},
      acc, 0, [](ScalarBuilder &s, ValueRange a) {
        return s.add(a[2], s.mul(a[0], a[1]));
      });
  Shape result{c.batch(), c.groups * c.outputs()};
  llvm::append_range(result, w.output);
  return build.reshape(y, result);
}

/// [M] so that it broadcasts along the channels of [N, M, spatial..].
static Tensor alongChannels(GraphBuilder &build, Tensor x, size_t rank) {
  if (!x || x.rank() == 0)
    return x;
  Shape shape(rank + 1, 1);
  shape[0] = x.numElements();
  return build.reshape(x, shape);
}

static Tensor convolve(GraphBuilder &build, const Convolution &c) {
  bool isBig =
      !c.window.isTiling() &&
      exceeds({c.batch(), c.groups, c.positions(), c.inputs(), c.taps()},
              maxPatchElements);
  bool isDepthwise = c.inputs() == 1 && c.groups > 1;
  if (isFloat(c.x.type) && !isBig && !isDepthwise)
    return multiplyPatches(build, c);
  Tensor y = convolveDirectly(build, c, getAccumulator(c.x.type));
  return addBias(build, y, alongChannels(build, c.bias, c.window.rank()),
                 c.x.type);
}

//===----------------------------------------------------------------------===//
// Conv
//===----------------------------------------------------------------------===//

/// Shapes of x [N, C, ..], weights [M, C / groups, ..] and bias [M].
static LogicalResult checkShapes(NodeContext &n, const Convolution &c) {
  bool fits = c.x.rank() >= 3 && c.x.rank() <= 5 &&
              c.weights.rank() == c.x.rank() && c.groups >= 1;
  fits = fits && c.groups <= c.x.dim(1) && c.x.dim(1) % c.groups == 0 &&
         c.x.dim(1) / c.groups == c.weights.dim(1) &&
         c.weights.dim(0) % c.groups == 0;
  if (!fits)
    return n.fail("input " + toString(c.x.shape()) + ", weights " +
                  toString(c.weights.shape()) + " and group " +
                  Twine(c.groups) +
                  " do not fit: wanted [N, C, 1 to 3 spatial dimensions] and "
                  "[M, C / group, kernel]");
  if (c.bias && c.bias.shape() != c.weights.shape().take_front(1))
    return n.fail("bias " + toString(c.bias.shape()) + " does not have " +
                  Twine(c.weights.dim(0)) +
                  " elements, one per output channel");
  return success();
}

/// The attribute repeats what the weights say.
static LogicalResult checkKernelShape(NodeContext &n,
                                      ArrayRef<int64_t> kernel) {
  auto given = n.intsAttr("kernel_shape");
  if (!given || ArrayRef<int64_t>(*given) == kernel)
    return success();
  return n.fail("kernel_shape " + toString(*given) +
                " differs from that of the weights, " + toString(kernel));
}

static LogicalResult setWindow(NodeContext &n, Convolution &c) {
  if (failed(checkShapes(n, c)))
    return failure();
  ArrayRef<int64_t> kernel = c.weights.shape().drop_front(2);
  if (failed(checkKernelShape(n, kernel)))
    return failure();
  auto window = getWindow(n, c.x.shape().drop_front(2), kernel);
  if (failed(window))
    return failure();
  c.window = *window;
  return success();
}

static LogicalResult importConv(NodeContext &n) {
  Convolution c{n.input(0), n.input(1), n.input(2), n.intAttr("group", 1), {}};
  if (!isFloat(c.x.type) || c.weights.type != c.x.type)
    return n.fail("input and weights must be floats of one type, not " +
                  getName(c.x.type) + " and " + getName(c.weights.type));
  if (failed(setWindow(n, c)))
    return failure();
  return n.setOutput(0, convolve(n.build, c));
}

//===----------------------------------------------------------------------===//
// ConvTranspose: a convolution of the input with gaps between its elements
//===----------------------------------------------------------------------===//

/// [C, M / groups, kernel..] -> [M, C / groups, reversed kernel..].
static Tensor turnWeights(GraphBuilder &build, Tensor weights, int64_t groups) {
  int64_t inputs = weights.dim(0) / groups, outputs = weights.dim(1);
  Shape split{groups, inputs, outputs};
  llvm::append_range(split, weights.shape().drop_front(2));
  SmallVector<int64_t> perm =
      llvm::to_vector(llvm::seq<int64_t>(0, split.size()));
  std::swap(perm[1], perm[2]);
  Tensor turned = build.transpose(build.reshape(weights, split), perm);
  Shape starts(split.size(), 0), strides(split.size(), 1);
  for (size_t d = 3; d < split.size(); ++d) {
    starts[d] = split[d] - 1;
    strides[d] = -1;
  }
  Shape shape(turned.shape());
  turned = build.slice(turned, starts, shape, strides);
  Shape result{groups * outputs, inputs};
  llvm::append_range(result, weights.shape().drop_front(2));
  return build.reshape(turned, result);
}

/// Element p of a spatial dimension is x[(p - low) / stride] where that is a
/// whole number in range, else 0.
static Tensor spread(GraphBuilder &build, Tensor x, ArrayRef<int64_t> low,
                     ArrayRef<int64_t> strides, ArrayRef<int64_t> extents) {
  Shape shape(x.shape().take_front(2));
  llvm::append_range(shape, extents);
  return build.generate(shape, x.type, [&](ScalarBuilder &s, ValueRange at) {
    ScalarBuilder i = asSigned(s);
    SmallVector<Value> from(at);
    Value hit;
    for (size_t d = 0; d < extents.size(); ++d) {
      Value place = i.sub(at[d + 2], i.index(low[d]));
      Value stride = i.index(strides[d]);
      Value element = i.div(place, stride);
      Value ok = i.bitAnd(i.eq(i.mul(element, stride), place),
                          inRange(s, element, 0, x.dim(d + 2)));
      hit = hit ? i.bitAnd(hit, ok) : ok;
      from[d + 2] = clampIndex(s, element, x.dim(d + 2));
    }
    return s.select(hit, s.load(x, from), s.constant(0, x.elementType()));
  });
}

/// Output extents and padding at the start of each dimension.
static LogicalResult resolveTransposed(NodeContext &n, Window &w) {
  size_t rank = w.rank();
  Shape more(n.intsAttr("output_padding").value_or(Shape(rank, 0)));
  auto wanted = n.intsAttr("output_shape");
  auto autoPad = readAutoPad(n);
  if (failed(autoPad))
    return failure();
  Window given = w;
  if (wanted && wanted->size() > rank) // some exporters give N and C as well
    wanted->erase(wanted->begin(), wanted->end() - rank);
  if (more.size() != rank || (wanted && wanted->size() != rank))
    return n.fail("output_padding or output_shape does not have " +
                  Twine(rank) + " numbers, one per spatial dimension");
  bool isSame =
      *autoPad == AutoPad::SameUpper || *autoPad == AutoPad::SameLower;
  for (size_t d = 0; d < rank; ++d) {
    if (more[d] < 0 || more[d] >= std::max(w.strides[d], w.dilations[d]))
      return n.fail("output_padding " + Twine(more[d]) +
                    " is not smaller than stride or dilation");
    int64_t full = w.strides[d] * (w.input[d] - 1) + more[d] + w.span(d);
    if (*autoPad == AutoPad::Valid)
      w.low[d] = w.high[d] = 0;
    w.output[d] = full - w.low[d] - w.high[d];
    if (wanted || isSame) {
      w.output[d] = wanted ? (*wanted)[d] : w.input[d] * w.strides[d];
      int64_t total = full - w.output[d];
      // A larger output than the input reaches grows at its end.
      if (total < 0)
        w.low[d] = 0;
      else
        w.low[d] =
            *autoPad == AutoPad::SameUpper ? total / 2 : total - total / 2;
      w.high[d] = total - w.low[d];
    }
    if (w.output[d] < 1 || w.output[d] > (int64_t(1) << 40))
      return n.fail("output extent " + Twine(w.output[d]) +
                    " of spatial dimension " + Twine(d) + " is not possible");
  }
  // ONNX lets output_shape overrule pads, but not auto_pad.
  return *autoPad == AutoPad::Given ? success()
                                    : checkOverruledPads(n, given, w);
}

static LogicalResult importConvTranspose(NodeContext &n) {
  Tensor x = n.input(0), weights = n.input(1);
  int64_t groups = n.intAttr("group", 1);
  bool fits = isFloat(x.type) && weights.type == x.type && x.rank() >= 3 &&
              x.rank() <= 5 && weights.rank() == x.rank() && groups >= 1 &&
              weights.dim(0) == x.dim(1) && x.dim(1) % groups == 0;
  if (!fits || x.numElements() == 0)
    return n.fail("input " + toString(x.shape()) + ", weights " +
                  toString(weights.shape()) + " and group " + Twine(groups) +
                  " do not fit: wanted floats [N, C, 1 to 3 spatial dimensions]"
                  " and [C, M / group, kernel]");
  Window w;
  w.input = Shape(x.shape().drop_front(2));
  w.kernel = Shape(weights.shape().drop_front(2));
  if (failed(checkKernelShape(n, w.kernel)) || failed(readWindowAttrs(n, w)) ||
      failed(resolveTransposed(n, w)))
    return failure();
  Convolution c{
      {}, turnWeights(n.build, weights, groups), n.input(2), groups, w};
  Shape low, extents;
  for (size_t d = 0; d < w.rank(); ++d) {
    low.push_back(w.span(d) - 1 - w.low[d]);
    extents.push_back(w.output[d] + w.span(d) - 1);
  }
  c.x = spread(n.build, x, low, w.strides, extents);
  // What is left is a plain convolution without stride or padding.
  c.window.input = extents;
  c.window.strides.assign(w.rank(), 1);
  c.window.low.assign(w.rank(), 0);
  c.window.high.assign(w.rank(), 0);
  if (failed(checkShapes(n, c)))
    return failure();
  return n.setOutput(0, convolve(n.build, c));
}

//===----------------------------------------------------------------------===//
// Integer convolutions
//===----------------------------------------------------------------------===//

/// x - zero point as int32. A zero point per channel stands in front of the
/// other dimensions of the weights, one of the input is a scalar.
static Tensor subtractZeroPoint(GraphBuilder &build, Tensor x, Tensor zero) {
  Tensor wide = build.cast(x, ElemType::Int32);
  if (!zero)
    return wide;
  Shape shape(zero.numElements() == 1 ? 0 : x.rank(), 1);
  if (!shape.empty())
    shape[0] = zero.numElements();
  zero = build.reshape(build.cast(zero, ElemType::Int32), shape);
  return build.binary(wide, zero, [](ScalarBuilder &s, Value a, Value b) {
    return s.sub(a, b);
  });
}

static LogicalResult checkPerChannel(NodeContext &n, Tensor t, int64_t channels,
                                     StringRef what) {
  if (!t || t.numElements() == 1 ||
      (t.rank() == 1 && t.numElements() == channels))
    return success();
  return n.fail(what + " " + toString(t.shape()) +
                " is neither one number nor one per output channel");
}

static LogicalResult importConvInteger(NodeContext &n) {
  Tensor x = n.input(0), w = n.input(1), xZero = n.input(2), wZero = n.input(3);
  Convolution c{x, w, {}, n.intAttr("group", 1), {}};
  if (failed(setWindow(n, c)) ||
      failed(checkPerChannel(n, xZero, 1, "x_zero_point")) ||
      failed(checkPerChannel(n, wZero, w.dim(0), "w_zero_point")))
    return failure();
  c.x = subtractZeroPoint(n.build, x, xZero);
  c.weights = subtractZeroPoint(n.build, w, wZero);
  return n.setOutput(0, convolve(n.build, c));
}

/// saturate(round(acc * factor) + zero point), the product in f32.
static Tensor requantize(GraphBuilder &build, Tensor acc, Tensor factor,
                         Tensor zero) {
  double low = zero.type == ElemType::UInt8 ? 0 : -128;
  Tensor real = build.elementwise(
      {acc, factor, zero}, ElemType::Float,
      [&](ScalarBuilder &s, ValueRange a) {
        Type f32 = s.builder.getF32Type();
        Value y = s.mul(s.convert(a[0], f32, false, false), a[1]);
        Value shift = s.convert(a[2], f32, isUnsigned(zero.type), false);
        y = s.add(s.roundEven(y), shift);
        y = s.max(y, s.constant(low, y));
        return s.min(y, s.constant(low + 255, y));
      });
  return build.cast(real, zero.type);
}

static LogicalResult importQLinearConv(NodeContext &n) {
  Tensor w = n.input(3), yScale = n.input(6), yZero = n.input(7);
  Convolution c{n.input(0), w, n.input(8), n.intAttr("group", 1), {}};
  if (failed(setWindow(n, c)) ||
      failed(checkPerChannel(n, n.input(2), 1, "x_zero_point")) ||
      failed(checkPerChannel(n, n.input(4), w.dim(0), "w_scale")) ||
      failed(checkPerChannel(n, n.input(5), w.dim(0), "w_zero_point")) ||
      failed(checkPerChannel(n, n.input(1), 1, "x_scale")) ||
      failed(checkPerChannel(n, yScale, 1, "y_scale")) ||
      failed(checkPerChannel(n, yZero, 1, "y_zero_point")))
    return failure();
  if (yZero.type != ElemType::UInt8 && yZero.type != ElemType::Int8)
    return n.fail("y_zero_point has type " + getName(yZero.type) +
                  "; only uint8 and int8 are supported");
  GraphBuilder &b = n.build;
  c.x = subtractZeroPoint(b, c.x, n.input(2));
  c.weights = subtractZeroPoint(b, w, n.input(5));
  auto scalar = [&](Tensor t) {
    return b.reshape(b.cast(t, ElemType::Float), {});
  };
  Tensor wScale = b.cast(n.input(4), ElemType::Float);
  wScale = wScale.numElements() == 1
               ? b.reshape(wScale, {})
               : alongChannels(b, wScale, c.window.rank());
  Tensor factor =
      b.elementwise({scalar(n.input(1)), wScale, scalar(yScale)},
                    ElemType::Float, [](ScalarBuilder &s, ValueRange a) {
                      return s.div(s.mul(a[0], a[1]), a[2]);
                    });
  Tensor acc = convolve(b, c);
  return n.setOutput(0, requantize(b, acc, factor, b.reshape(yZero, {})));
}

//===----------------------------------------------------------------------===//
// CausalConvWithState
//===----------------------------------------------------------------------===//

static LogicalResult checkCausal(NodeContext &n, Tensor x, Tensor w,
                                 Tensor past) {
  bool fits = x.rank() == 3 && w.rank() == 3 && isFloat(x.type) &&
              w.type == x.type && w.dim(0) == x.dim(1) && w.dim(1) == 1 &&
              w.dim(2) >= 1;
  if (fits && past)
    fits =
        past.type == x.type &&
        past.shape() == ArrayRef<int64_t>({x.dim(0), x.dim(1), w.dim(2) - 1});
  if (fits)
    return success();
  return n.fail("input " + toString(x.shape()) + " and weight " +
                toString(w.shape()) +
                " do not fit: wanted [N, C, L], [C, 1, k] and a past_state "
                "[N, C, k - 1]");
}

/// Depthwise over what went before and the input; the last k - 1 positions go
/// on to the next call.
static LogicalResult importCausalConv(NodeContext &n) {
  Tensor x = n.input(0), w = n.input(1), past = n.input(3);
  if (failed(checkCausal(n, x, w, past)))
    return failure();
  std::string activation = n.stringAttr("activation", "none");
  if (activation != "none" && activation != "silu" && activation != "swish")
    return n.fail("activation '" + activation + "' is not none, silu or swish");
  GraphBuilder &b = n.build;
  int64_t kept = w.dim(2) - 1, length = x.dim(2);
  if (!past)
    past = b.splat(x.type, {x.dim(0), x.dim(1), kept}, 0);
  Tensor all = b.concat({past, x}, 2);
  (void)n.setOutput(
      1, b.slice(all, {0, 0, length}, {x.dim(0), x.dim(1), kept}, {1, 1, 1}));
  if (x.numElements() == 0)
    return n.setOutput(0, x);
  Window window;
  window.input = {length + kept};
  window.kernel = {w.dim(2)};
  window.strides = window.dilations = {1};
  window.low = window.high = window.extra = {0};
  window.output = {length};
  Convolution c{all, w, n.input(2), x.dim(1), window};
  if (failed(checkShapes(n, c)))
    return failure();
  Tensor y = convolve(b, c);
  if (activation != "none")
    y = b.unary(
        y, [](ScalarBuilder &s, Value v) { return s.mul(v, s.sigmoid(v)); });
  return n.setOutput(0, y);
}

void nibble::onnx::registerConvOps(OpRegistry &r) {
  r.add("", "Conv", importConv, 2);
  r.add("", "ConvTranspose", importConvTranspose, 2);
  r.add("", "ConvInteger", importConvInteger, 2);
  r.add("", "QLinearConv", importQLinearConv, 8);
  r.add("", "CausalConvWithState", importCausalConv, 2);
}
