// SwiGLU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"

using namespace mlir;
using namespace nibble::onnx;

/// a * sigmoid(alpha * a) * b, of equal shapes.
static LogicalResult importSwiGlu(NodeContext &n) {
  Tensor a = n.input(0), b = n.input(1);
  if (!isFloat(a.type) || a.type != b.type || a.shape() != b.shape())
    return n.fail("inputs " + getName(a.type) + toString(a.shape()) + " and " +
                  getName(b.type) + toString(b.shape()) +
                  " are not floats of one type and shape");
  double alpha = n.floatAttr("alpha", 1);
  return n.setOutput(
      0, n.build.binary(a, b, [&](ScalarBuilder &s, Value x, Value y) {
        Value gate = s.sigmoid(s.mul(x, s.constant(alpha, x)));
        return s.mul(s.mul(x, gate), y);
      }));
}

void nibble::onnx::registerGatedOps(OpRegistry &r) {
  r.add("", "SwiGLU", importSwiGlu, 2);
}
