// What an epilogue reads beside the accumulator.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Operands.h"

#include "Body.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

Operands::Operands(Kernel &kernel, tile::EpilogueOp op, int64_t width, Int row,
                   Int column)
    : kernel(kernel), code(kernel.getCode()), op(op), width(width), row(row),
      column(column) {}

/// True if no tile reaches beyond the end.
bool Operands::isInside(unsigned axis, int64_t extent) {
  Value index = axis == 0 ? op.getM() : op.getN();
  auto argument = dyn_cast<BlockArgument>(index);
  auto loop =
      argument ? dyn_cast<tile::ForTilesOp>(argument.getOwner()->getParentOp())
               : tile::ForTilesOp();
  return loop &&
         loop.getTiles()[argument.getArgNumber()] * op.getTileShape()[axis] <=
             extent;
}

Int Operands::clampRow(int64_t rowOffset, int64_t extent) {
  Int index = code.add(row, rowOffset);
  return isInside(0, extent) ? index : code.min(index, extent - 1);
}

static int64_t getBytes(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

Value Operands::loadVector(Type element, Value address, int64_t count,
                           bool isConstant) {
  auto type = VectorType::get(count, getStoredType(element));
  Value value = LLVM::LoadOp::create(
      code, type, address, count * getBytes(element), false, false, isConstant);
  if (type.getElementType() == element)
    return value;
  return arith::BitcastOp::create(code, type.clone(element), value);
}

Value Operands::getRow(unsigned operand, int64_t rowOffset) {
  Value &value = rows[{operand, rowOffset}];
  if (value)
    return value;
  Value memref = op.getRows()[operand];
  auto type = cast<MemRefType>(memref.getType());
  Int index = clampRow(rowOffset, type.getDimSize(0));
  int64_t bytes = getBytes(type.getElementType());
  Value one = loadVector(
      type.getElementType(),
      code.at(kernel.params.getPointer(memref), code.mul(index, bytes)), 1,
      !kernel.params.isWritten(memref));
  Value scalar = vector::ExtractOp::create(code, one, 0);
  auto wide = VectorType::get(width, type.getElementType());
  return value = vector::BroadcastOp::create(code, wide, scalar);
}

Value Operands::load(Value memref, Value begin, int64_t columnOffset,
                     int64_t extent) {
  auto type = cast<MemRefType>(memref.getType());
  Type element = type.getElementType();
  bool isConstant = !kernel.params.isWritten(memref),
       inside = isInside(1, extent);
  Int first = code.add(column, columnOffset);
  auto at = [&](Int index) {
    return code.at(begin, code.mul(index, getBytes(element)));
  };
  if (extent % width == 0)
    return loadVector(element,
                      at(inside ? first : code.min(first, extent - width)),
                      width, isConstant);
  SmallVector<Value> parts;
  for (int64_t i = 0; i < width; ++i) {
    Int index = code.add(first, i);
    Value one =
        loadVector(element, at(inside ? index : code.min(index, extent - 1)), 1,
                   isConstant);
    parts.push_back(vector::ExtractOp::create(code, one, 0));
  }
  return vector::FromElementsOp::create(code, VectorType::get(width, element),
                                        parts);
}

Value Operands::getColumns(unsigned operand, int64_t columnOffset) {
  Value &value = columns[{operand, columnOffset}];
  if (value)
    return value;
  Value memref = op.getCols()[operand];
  int64_t extent = cast<MemRefType>(memref.getType()).getDimSize(0);
  return value = load(memref, kernel.params.getPointer(memref), columnOffset,
                      extent);
}

/// Neighbouring columns are rows of the operand: an element each.
Value Operands::getTransposed(unsigned operand, int64_t rowOffset,
                              int64_t columnOffset) {
  Value memref = op.getElements()[operand];
  auto type = cast<MemRefType>(memref.getType());
  Type element = type.getElementType();
  int64_t columns = type.getDimSize(0), rows = type.getDimSize(1);
  Int inner = code.mul(clampRow(rowOffset, rows), getBytes(element));
  SmallVector<Value> parts;
  for (int64_t i = 0; i < width; ++i) {
    Int index = code.add(column, columnOffset + i);
    if (!isInside(1, columns))
      index = code.min(index, columns - 1);
    Value bytes = LLVM::MulOp::create(
        code, code.extend64(index),
        code.constant(code.i64(), rows * getBytes(element)));
    Value line = LLVM::GEPOp::create(code, code.pointer(1), code.getI8Type(),
                                     kernel.params.getPointer(memref),
                                     ArrayRef<LLVM::GEPArg>(bytes));
    Value one = loadVector(element, code.at(line, inner), 1,
                           !kernel.params.isWritten(memref));
    parts.push_back(vector::ExtractOp::create(code, one, 0));
  }
  return vector::FromElementsOp::create(code, VectorType::get(width, element),
                                        parts);
}

Value Operands::getElements(unsigned operand, int64_t rowOffset,
                            int64_t columnOffset) {
  if (op.getTransposed())
    return getTransposed(operand, rowOffset, columnOffset);
  Value memref = op.getElements()[operand];
  auto type = cast<MemRefType>(memref.getType());
  Value &begin = pitches[{operand, rowOffset}];
  if (!begin) {
    Int index = clampRow(rowOffset, type.getDimSize(0));
    int64_t pitch = type.getDimSize(1) * getBytes(type.getElementType());
    Value bytes = LLVM::MulOp::create(code, code.extend64(index),
                                      code.constant(code.i64(), pitch));
    begin = LLVM::GEPOp::create(code, code.pointer(1), code.getI8Type(),
                                kernel.params.getPointer(memref),
                                ArrayRef<LLVM::GEPArg>(bytes));
  }
  return load(memref, begin, columnOffset, type.getDimSize(1));
}
