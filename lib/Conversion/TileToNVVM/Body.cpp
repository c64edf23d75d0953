// Copies of the body of an epilogue.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Body.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

Type nibble::tilecode::getStoredType(Type element) {
  return element.getIntOrFloatBitWidth() == 8
             ? Type(IntegerType::get(element.getContext(), 8))
             : element;
}

SmallVector<Value> nibble::tilecode::copyBody(Code &code, tile::EpilogueOp op,
                                              ArrayRef<Value> args,
                                              const IRMapping &outside) {
  IRMapping values(outside);
  Block &body = op.getBody().front();
  values.map(body.getArguments(), args);
  for (Operation &inside : body.without_terminator())
    code.clone(inside, values);
  return getYielded(code, op, values);
}

SmallVector<Value> nibble::tilecode::getYielded(Code &code, tile::EpilogueOp op,
                                                const IRMapping &values) {
  SmallVector<Value> results;
  for (Value yielded : op.getBody().front().back().getOperands()) {
    Value result = values.lookup(yielded);
    auto type = cast<VectorType>(result.getType());
    Type stored = type.clone(getStoredType(type.getElementType()));
    if (stored != type)
      result = arith::BitcastOp::create(code, stored, result);
    results.push_back(result);
  }
  return results;
}
