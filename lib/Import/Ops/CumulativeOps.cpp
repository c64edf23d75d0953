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

template <bool isProduct>
static LogicalResult importCumulative(NodeContext &n) {
  Tensor x = n.input(0);
  auto given = n.requireInts(1, "axis");
  if (failed(given))
    return failure();
  if (given->size() != 1)
    return n.fail("axis has " + Twine(given->size()) +
                  " elements instead of one");
  auto axis = n.normalizeAxis(given->front(), x.rank());
  if (failed(axis))
    return failure();
  bool backwards = n.intAttr("reverse", 0) != 0;
  double neutral = isProduct ? 1 : 0;
  int64_t extent = x.dim(*axis);
  Tensor y = n.build.cast(x, getAccumulator(x.type));
  if (n.intAttr("exclusive", 0) && extent > 0)
    y = shift(n.build, y, *axis, 1, backwards, neutral);
  for (int64_t steps = 1; steps < extent; steps *= 2)
    y = n.build.binary(y, shift(n.build, y, *axis, steps, backwards, neutral),
                       [](ScalarBuilder &s, Value a, Value b) {
                         return isProduct ? s.mul(a, b) : s.add(a, b);
                       });
  return n.setOutput(0, n.build.cast(y, x.type));
}

void nibble::onnx::registerCumulativeOps(OpRegistry &r) {
  r.add("", "CumSum", importCumulative<false>, 2);
  r.add("", "CumProd", importCumulative<true>, 2);
}
