// Sliding windows of convolutions and pooling.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Window.h"

using namespace mlir;
using namespace nibble::onnx;

/// Bound on every number of a window, so that products stay in 64 bits.
constexpr int64_t maxNumber = int64_t(1) << 30;

bool Window::isPadded() const {
  return !llvm::all_of(llvm::zip(low, high, extra), [](auto t) {
    auto [l, h, e] = t;
    return l == 0 && h == 0 && e == 0;
  });
}

bool Window::isTiling() const {
  if (isPadded())
    return false;
  for (size_t d = 0; d < rank(); ++d)
    if (kernel[d] != strides[d] || (kernel[d] != 1 && dilations[d] != 1))
      return false;
  return true;
}

static LogicalResult readNumbers(NodeContext &n, StringRef name, size_t count,
                                 int64_t otherwise, int64_t least,
                                 Shape &result) {
  auto given = n.intsAttr(name);
  result = given ? Shape(*given) : Shape(count, otherwise);
  if (result.size() != count)
    return n.fail(name + " has " + Twine(result.size()) +
                  " numbers instead of " + Twine(count));
  for (int64_t v : result)
    if (v < least || v > maxNumber)
      return n.fail(name + " " + toString(result) + " has a number below " +
                    Twine(least) + " or above 2^30");
  return success();
}

LogicalResult nibble::onnx::readWindowAttrs(NodeContext &n, Window &w) {
  size_t rank = w.rank();
  Shape pads;
  if (failed(readNumbers(n, "strides", rank, 1, 1, w.strides)) ||
      failed(readNumbers(n, "dilations", rank, 1, 1, w.dilations)) ||
      failed(readNumbers(n, "pads", 2 * rank, 0, 0, pads)))
    return failure();
  w.low.assign(pads.begin(), pads.begin() + rank);
  w.high.assign(pads.begin() + rank, pads.end());
  w.extra.assign(rank, 0);
  w.output.assign(rank, 0);
  for (int64_t v : w.kernel)
    if (v < 1 || v > maxNumber)
      return n.fail("kernel " + toString(w.kernel) + " is empty or too large");
  return success();
}

/// SAME_*: ceil(input / stride) outputs, the padding split in halves.
static void padSame(Window &w, size_t d, bool moreAtEnd) {
  w.output[d] = (w.input[d] + w.strides[d] - 1) / w.strides[d];
  int64_t total = std::max<int64_t>(0, (w.output[d] - 1) * w.strides[d] +
                                           w.span(d) - w.input[d]);
  w.low[d] = moreAtEnd ? total / 2 : total - total / 2;
  w.high[d] = total - w.low[d];
}

static void resolveOutput(Window &w, size_t d, bool ceilMode) {
  int64_t room = w.input[d] + w.low[d] + w.high[d] - w.span(d);
  if (room < 0 && !(ceilMode && room > -w.strides[d]))
    return; // stays 0
  int64_t stride = w.strides[d];
  w.output[d] = (ceilMode ? (room + stride - 1) / stride : room / stride) + 1;
  // No window starts in the padding at the end.
  if (ceilMode && (w.output[d] - 1) * stride >= w.input[d] + w.low[d])
    --w.output[d];
  int64_t needed = (w.output[d] - 1) * stride + w.span(d);
  w.extra[d] = std::max<int64_t>(0, needed - w.input[d] - w.low[d] - w.high[d]);
}

FailureOr<AutoPad> nibble::onnx::readAutoPad(NodeContext &n) {
  std::string word = n.stringAttr("auto_pad", "NOTSET");
  if (word == "NOTSET" || word.empty())
    return AutoPad::Given;
  if (word == "VALID")
    return AutoPad::Valid;
  if (word == "SAME_UPPER")
    return AutoPad::SameUpper;
  if (word == "SAME_LOWER")
    return AutoPad::SameLower;
  return n.fail("auto_pad '" + word +
                "' is not one of NOTSET, SAME_UPPER, SAME_LOWER, VALID");
}

static Shape joinPads(const Window &w) {
  Shape pads(w.low);
  pads.append(w.high);
  return pads;
}

LogicalResult nibble::onnx::checkOverruledPads(NodeContext &n,
                                               const Window &given,
                                               const Window &resolved) {
  Shape said = joinPads(given), used = joinPads(resolved);
  if (said == used || llvm::all_of(said, [](int64_t v) { return v == 0; }))
    return success();
  return n.fail("pads " + toString(said) +
                " contradict auto_pad, which means " + toString(used) +
                "; remove one of the two");
}

FailureOr<Window> nibble::onnx::getWindow(NodeContext &n,
                                          ArrayRef<int64_t> spatial,
                                          ArrayRef<int64_t> kernel,
                                          bool ceilMode) {
  Window w;
  w.input = Shape(spatial);
  w.kernel = Shape(kernel);
  auto autoPad = readAutoPad(n);
  if (failed(autoPad) || failed(readWindowAttrs(n, w)))
    return failure();
  Window given = w;
  bool isSame =
      *autoPad == AutoPad::SameUpper || *autoPad == AutoPad::SameLower;
  if (*autoPad == AutoPad::Valid) {
    w.low.assign(w.rank(), 0);
    w.high.assign(w.rank(), 0);
  }
  for (size_t d = 0; d < w.rank(); ++d) {
    if (isSame)
      padSame(w, d, *autoPad == AutoPad::SameUpper);
    else
      resolveOutput(w, d, ceilMode);
    if (w.output[d] < 1 && w.input[d] > 0)
      return n.fail("kernel of span " + Twine(w.span(d)) +
                    " does not fit dimension " + Twine(d + 2) + " of extent " +
                    Twine(w.input[d]) + " with its padding");
  }
  if (*autoPad != AutoPad::Given && failed(checkOverruledPads(n, given, w)))
    return failure();
  return w;
}

FailureOr<Shape> nibble::onnx::getKernelShape(NodeContext &n, size_t rank) {
  auto kernel = n.intsAttr("kernel_shape");
  if (!kernel)
    return n.fail("attribute kernel_shape is missing");
  if (kernel->size() != rank)
    return n.fail("kernel_shape " + toString(*kernel) + " does not have " +
                  Twine(rank) + " numbers, one per spatial dimension");
  return Shape(*kernel);
}

Tensor nibble::onnx::padForWindow(GraphBuilder &build, Tensor x,
                                  const Window &w, double value) {
  Shape low{0, 0}, high{0, 0};
  for (size_t d = 0; d < w.rank(); ++d) {
    low.push_back(w.low[d]);
    high.push_back(w.high[d] + w.extra[d]);
  }
  return build.pad(x, low, high, value);
}

SmallVector<AffineExpr> nibble::onnx::getWindowExprs(MLIRContext *context,
                                                     const Window &w,
                                                     unsigned out,
                                                     unsigned offset) {
  SmallVector<AffineExpr> exprs;
  for (size_t d = 0; d < w.rank(); ++d)
    exprs.push_back(getAffineDimExpr(out + d, context) * w.strides[d] +
                    getAffineDimExpr(offset + d, context) * w.dilations[d]);
  return exprs;
}
