// Attributes that name the type of an intermediate computation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Precision.h"

using namespace mlir;
using namespace nibble::onnx;

LogicalResult nibble::onnx::checkPrecision(NodeContext &n, StringRef name,
                                           ElemType data) {
  auto wanted = ElemType(n.intAttr(name, int64_t(ElemType::Undefined)));
  ElemType kept = data == ElemType::Double ? data : ElemType::Float;
  if (wanted == ElemType::Undefined || wanted == ElemType::Float ||
      wanted == kept)
    return success();
  return n.fail(name + " asks for intermediate results in " + getName(wanted) +
                ", but Nibble keeps them in " + getName(kept) +
                "; set it to 1 (float)");
}
