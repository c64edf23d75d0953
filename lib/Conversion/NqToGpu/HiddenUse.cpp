// Uses of values that compilers do not see through.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HiddenUse.h"

#include "Ptx.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nibble {
namespace gpu {

void HiddenUse::addWord(Value word) {
  all = all ? arith::OrIOp::create(b, all, word).getResult() : word;
}

void HiddenUse::add(Value value) {
  if (auto type = dyn_cast<VectorType>(value.getType())) {
    int64_t bits = type.getNumElements() * type.getElementTypeBitWidth();
    if (type.getRank() != 1 || bits == 0 || bits % 32)
      return;
    Value words = vector::BitCastOp::create(
        b, VectorType::get(bits / 32, b.getI32Type()), value);
    for (int64_t i = 0; i < bits / 32; i += 4)
      addWord(vector::ExtractOp::create(b, words, i));
    return;
  }
  Type type = value.getType();
  if (!type.isIntOrFloat())
    return;
  unsigned width = type.getIntOrFloatBitWidth();
  if (width != 16 && width != 32)
    return;
  if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, b.getIntegerType(width), value);
  if (width == 16)
    value = arith::ExtUIOp::create(b, b.getI32Type(), value);
  addWord(value);
}

static Value assemble(ImplicitLocOpBuilder &b, StringRef text, Value operand) {
  return tilecode::emitAsm(b, text, "=r,r", b.getI32Type(), operand).front();
}

/// Squares are 0 or 1 modulo 4.
Value HiddenUse::zero() const {
  return assemble(b, "{ .reg .b32 a; mul.lo.u32 a, $1, $1; and.b32 $0, a, 2; }",
                  all);
}

Value HiddenUse::hide(Value number) const {
  return assemble(b, "mov.b32 $0, $1;", number);
}

Value HiddenUse::tie(Value number) const {
  Type type = number.getType();
  bool isFloat = isa<FloatType>(type);
  if (isFloat)
    number = arith::BitcastOp::create(b, b.getI32Type(), number);
  number = arith::OrIOp::create(b, number, zero());
  return isFloat ? arith::BitcastOp::create(b, type, number).getResult()
                 : number;
}

} // namespace gpu
} // namespace nibble
