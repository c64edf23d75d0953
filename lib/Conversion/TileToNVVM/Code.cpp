// Writes LLVM dialect code with structured control flow.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Code.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble::tilecode;
using LLVM::ICmpPredicate;

Int::Int(Value value) : value(value) {
  APInt number;
  if (!matchPattern(value, m_ConstantInt(&number)))
    return;
  this->value = Value();
  constant = number.getSExtValue();
}

Code::Code(Location loc, LLVM::LLVMFuncOp function)
    : ImplicitLocOpBuilder(loc, function.getContext()),
      body(function.getBody()), entry(&function.getBody().front()) {
  setInsertionPointToEnd(entry);
}

Value Code::constant(Type type, int64_t number) {
  Value &value = constants[{type, number}];
  if (!value) {
    OpBuilder atEntry = OpBuilder::atBlockBegin(entry);
    value = LLVM::ConstantOp::create(atEntry, getLoc(), type,
                                     IntegerAttr::get(type, number));
  }
  return value;
}

Value Code::get(Int number) {
  return number.value ? number.value : constant(i32(), number.constant);
}

Int Code::add(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant + b.constant;
  if (a.is(0) || b.is(0))
    return a.is(0) ? b : a;
  return binary<LLVM::AddOp>(a, b);
}

Int Code::sub(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant - b.constant;
  return b.is(0) ? a : binary<LLVM::SubOp>(a, b);
}

Int Code::mul(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant * b.constant;
  if (a.is(0) || b.is(0))
    return 0;
  if (a.is(1) || b.is(1))
    return a.is(1) ? b : a;
  return binary<LLVM::MulOp>(a, b);
}

Int Code::div(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant / b.constant;
  return b.is(1) ? a : binary<LLVM::UDivOp>(a, b);
}

Int Code::rem(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant % b.constant;
  return b.is(1) ? Int(0) : binary<LLVM::URemOp>(a, b);
}

Int Code::bitAnd(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant & b.constant;
  return binary<LLVM::AndOp>(a, b);
}

Int Code::bitOr(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant | b.constant;
  if (a.is(0) || b.is(0))
    return a.is(0) ? b : a;
  return binary<LLVM::OrOp>(a, b);
}

Int Code::bitXor(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant ^ b.constant;
  if (a.is(0) || b.is(0))
    return a.is(0) ? b : a;
  return binary<LLVM::XOrOp>(a, b);
}

Int Code::shl(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant << b.constant;
  return b.is(0) ? a : binary<LLVM::ShlOp>(a, b);
}

Int Code::shr(Int a, Int b) {
  if (!a.value && !b.value)
    return a.constant >> b.constant;
  return b.is(0) ? a : binary<LLVM::LShrOp>(a, b);
}

Int Code::min(Int a, Int b) {
  if (!a.value && !b.value)
    return std::min(a.constant, b.constant);
  return binary<LLVM::UMinOp>(a, b);
}

Value Code::compare(ICmpPredicate predicate, Int a, Int b) {
  return LLVM::ICmpOp::create(*this, predicate, get(a), get(b));
}

Value Code::selectAny(Value condition, Value yes, Value no) {
  return LLVM::SelectOp::create(*this, condition, yes, no);
}

Value Code::select(Value condition, Int yes, Int no) {
  return selectAny(condition, get(yes), get(no));
}

Value Code::extend64(Int number) {
  if (!number.value)
    return constant(i64(), number.constant);
  return LLVM::ZExtOp::create(*this, i64(), number.value);
}

Value Code::at(Value pointer, Int bytes) {
  if (bytes.is(0))
    return pointer;
  LLVM::GEPArg offset = bytes.value ? LLVM::GEPArg(bytes.value)
                                    : LLVM::GEPArg(int32_t(bytes.constant));
  return LLVM::GEPOp::create(*this, pointer.getType(), getI8Type(), pointer,
                             ArrayRef<LLVM::GEPArg>(offset));
}

Int Code::fromIndex(Value index) {
  APInt number;
  if (matchPattern(index, m_ConstantInt(&number)))
    return number.getSExtValue();
  return Int(arith::IndexCastUIOp::create(*this, i32(), index).getResult());
}

Value Code::toIndex(Int number) {
  return arith::IndexCastUIOp::create(*this, getIndexType(), get(number));
}

void Code::startBlock(Block *block) {
  body.push_back(block);
  setInsertionPointToEnd(block);
}

void Code::jump(Block *target) {
  LLVM::BrOp::create(*this, ValueRange(), target);
}

void Code::when(Value condition, function_ref<void()> then) {
  auto *inside = new Block(), *after = new Block();
  LLVM::CondBrOp::create(*this, condition, inside, ValueRange(), after,
                         ValueRange());
  startBlock(inside);
  then();
  jump(after);
  startBlock(after);
}

/// Loops over K or tiles gain nothing by unrolling.
LLVM::LoopAnnotationAttr Code::getRolled() {
  auto unroll = LLVM::LoopUnrollAttr::get(getContext(), getBoolAttr(true), {},
                                          {}, {}, {}, {}, {});
  return LLVM::LoopAnnotationAttr::get(getContext(), {}, {}, {}, unroll, {}, {},
                                       {}, {}, {}, {}, {}, {}, {}, {}, {});
}

void Code::loop(ArrayRef<Value *> cells, function_ref<Value()> round) {
  auto *header = new Block(), *after = new Block();
  SmallVector<Value> first, next;
  for (Value *cell : cells)
    first.push_back(*cell);
  LLVM::BrOp::create(*this, first, header);
  startBlock(header);
  for (Value *cell : cells)
    *cell = header->addArgument(cell->getType(), getLoc());
  Value more = round();
  for (Value *cell : cells)
    next.push_back(*cell);
  LLVM::CondBrOp::create(*this, more, next, ValueRange(), DenseI32ArrayAttr(),
                         getRolled(), header, after);
  startBlock(after);
}

void Code::spin(function_ref<Value()> ask) {
  auto *again = new Block(), *after = new Block();
  jump(again);
  startBlock(again);
  Value done = ask();
  LLVM::CondBrOp::create(*this, done, after, ValueRange(), again, ValueRange());
  startBlock(after);
}
