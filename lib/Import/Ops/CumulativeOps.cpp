// CumSum and CumProd by doubling: after step k every element has the total of
// the 2^k elements that end at it. log2(n) elementwise steps, and rounding
// errors that grow with log n only.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

using namespace mlir;
using namespace nibble::onnx;

/// x moved by `steps` along `axis` (towards the front if `backwards`); `fill`
/// comes in, what leaves is lost.
static Tensor shift(GraphBuilder &build, Tensor x, int64_t axis, int64_t steps,
                    bool backwards, double fill) {
  Shape low(x.rank(), 0), high(x.rank(), 0);
  low[axis] = backwards ? -steps : steps;
  high[axis] = -low[axis];
  return build.pad(x, low, high, fill);
}

/// Sums (or products) along a known axis, of the accumulator's type.
template <bool isProduct>
static Tensor accumulate(NodeContext &n, Tensor x, int64_t axis) {
  bool backwards = n.intAttr("reverse", 0) != 0;
  double neutral = isProduct ? 1 : 0;
  int64_t extent = x.dim(axis);
  Tensor y = n.build.cast(x, getAccumulator(x.type));
  if (n.intAttr("exclusive", 0) && extent > 0)
    y = shift(n.build, y, axis, 1, backwards, neutral);
  for (int64_t steps = 1; steps < extent; steps *= 2)
    y = n.build.binary(y, shift(n.build, y, axis, steps, backwards, neutral),
                       [](ScalarBuilder &s, Value a, Value b) {
                         return isProduct ? s.mul(a, b) : s.add(a, b);
                       });
  return y;
}

/// Along an axis that only the run knows: all of them, of which one is taken.
/// Out of range it is clamped, as indices are.
template <bool isProduct>
static Tensor accumulateAny(NodeContext &n, Tensor x, Tensor axis) {
  Tensor at = n.build.reshape(axis, {});
  Tensor y = accumulate<isProduct>(n, x, 0);
  for (int64_t d = 1; d < x.rank(); ++d)
    y = n.build.elementwiseRaw(
        {y, accumulate<isProduct>(n, x, d)}, y.type,
        [&](ScalarBuilder &s, ValueRange a) {
          Value given = wrapIndex(s, loadIndex(s, at, {}), x.rank());
          return s.select(asSigned(s).ge(given, s.index(d)), a[1], a[0]);
        });
  return y;
}

template <bool isProduct>
static LogicalResult importCumulative(NodeContext &n) {
  Tensor x = n.input(0), axis = n.input(1);
  if (axis.numElements() != 1)
    return n.fail("axis has " + Twine(axis.numElements()) +
                  " elements instead of one");
  auto known = n.constantInts(1);
  auto fixed = n.normalizeAxis(known ? known->front() : 0, x.rank());
  if (failed(fixed))
    return failure();
  Tensor y = known ? accumulate<isProduct>(n, x, *fixed)
                   : accumulateAny<isProduct>(n, x, axis);
  return n.setOutput(0, n.build.cast(y, x.type));
}

void nibble::onnx::registerCumulativeOps(OpRegistry &r) {
  r.add("", "CumSum", importCumulative<false>, 2);
  r.add("", "CumProd", importCumulative<true>, 2);
}
