// Sums of a block of K in tensor memory, times their scales, to registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Promote.h"

#include "HalfPairs.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

Promotion::Promotion(Sm100Kernel &kernel, tile::PromoteOp op, Int m, Int n,
                     Int warp)
    : kernel(kernel), code(kernel.getCode()), op(op), m(m), n(n), warp(warp),
      width(op.getAccShape()[1]) {}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

/// `count` f32 of a matrix.
Value Promotion::loadAt(Value memref, Int line, Int place, int64_t count) {
  int64_t pitch = cast<MemRefType>(memref.getType()).getDimSize(1);
  Int index = code.add(code.mul(line, pitch), place);
  Value address = code.at(kernel.params.getPointer(memref), code.mul(index, 4));
  Type type = code.getF32Type();
  if (count > 1)
    type = VectorType::get(count, type);
  return LLVM::LoadOp::create(code, type, address, 4 * count, false, false,
                              /*isInvariant=*/!kernel.params.isWritten(memref));
}

/// Tiles may reach beyond the last row.
Value Promotion::loadRow(Int block) {
  bool transposed = op.getTransposed();
  int64_t group = transposed ? int64_t(op.getGroup()) : 1,
          extent =
              cast<MemRefType>(op.getRows().getType()).getDimSize(transposed);
  Int row = code.mul(m, op.getAccShape()[0]);
  if (group > 1)
    row = code.div(row, group);
  else
    row = code.add(row, code.add(code.shl(warp, 5), kernel.threads.lane));
  row = code.min(row, extent - 1);
  return transposed ? loadAt(op.getRows(), block, row, 1)
                    : loadAt(op.getRows(), row, block, 1);
}

Value Promotion::loadOfAllColumns(Int block) {
  int64_t extent = cast<MemRefType>(op.getCols().getType()).getDimSize(1);
  Int number = code.div(code.mul(n, width), int64_t(op.getGroup()));
  return loadAt(op.getCols(), block, code.min(number, extent - 1), 1);
}

SmallVector<Value> Promotion::loadScalars(Int block) {
  SmallVector<Value> scalars;
  if (op.getRows())
    scalars.push_back(loadRow(block));
  if (op.getCols() && !op.getTransposed() && op.getGroup() > 1)
    scalars.push_back(loadOfAllColumns(block));
  return scalars;
}

/// All threads read the same: four neighbours at once, where they lie so.
SmallVector<Value> Promotion::loadColumnScales(Int block) {
  SmallVector<Value> columns;
  bool transposed = op.getTransposed();
  if (!op.getCols() || (!transposed && op.getGroup() > 1))
    return columns;
  int64_t extent =
      cast<MemRefType>(op.getCols().getType()).getDimSize(transposed ? 0 : 1);
  int64_t count = !transposed && extent % 4 == 0 ? 4 : 1;
  Int first = code.mul(n, width);
  for (int64_t j = 0; j < width; j += count) {
    Int column = code.min(code.add(first, j), extent - count);
    Value loaded = transposed ? loadAt(op.getCols(), column, block, 1)
                              : loadAt(op.getCols(), block, column, count);
    if (count == 1)
      columns.push_back(loaded);
    for (int64_t i = 0; count > 1 && i < count; ++i)
      columns.push_back(LLVM::ExtractElementOp::create(
          code, loaded, code.constant(code.i32(), i)));
  }
  return columns;
}

Value Promotion::loadPacked(const Slot &slot) {
  Type element = op.getPacked().getType().getElement();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int at = code.add(base, code.mul(slot.stage, slot.ring->layout->stageBytes));
  Int row = code.add(code.shl(warp, 5), kernel.threads.lane);
  at = code.add(at, slot.offset);
  if (bytes == 4)
    return asFloat(
        code,
        loadWords(code, code.get(code.add(at, code.shl(row, 2))), 1).front());
  HalfPairs pairs(code, element.isBF16());
  if (bytes == 2)
    return pairs.lowToFloat(
        loadHalf(code, code.get(code.add(at, code.shl(row, 1)))));
  // Neighbouring threads read the same half word.
  at = code.add(at, code.bitAnd(row, -2));
  Int both = loadHalf(code, code.get(at));
  Value byte = code.get(
      code.bitAnd(code.shr(both, code.shl(code.bitAnd(row, 1), 3)), 255));
  if (isa<Float8E8M0FNUType>(element))
    return asFloat(code, powerOfTwo(code, byte));
  return pairs.lowToFloat(pairs.fromBytes(byte, /*isE5M2=*/false));
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

Int Promotion::getAddress(Int column) {
  return kernel.getColumn(column, code.shl(warp, 21));
}

/// The same values, behind what was written before: otherwise additions would
/// move to where their sums are used, a round later, and keep what they add.
static void settle(Code &code, MutableArrayRef<Value> sums) {
  std::string outputs, inputs;
  for (size_t i = 0; i < sums.size(); ++i) {
    outputs += i ? ",=f" : "=f";
    inputs += "," + std::to_string(i);
  }
  llvm::copy(code.emitAsm("// added", outputs + inputs,
                          SmallVector<Type>(sums.size(), code.getF32Type()),
                          SmallVector<Value>(sums), /*hasEffects=*/true),
             sums.begin());
}

void Promotion::store(ArrayRef<Value> sums, Int address) {
  SmallVector<Value> words;
  for (Value sum : sums)
    words.push_back(LLVM::BitcastOp::create(code, code.i32(), sum));
  storeColumns(code, address, words);
}

/// x * factor + sum, of two columns in one instruction.
static std::array<Value, 2> addPair(Code &code, ArrayRef<Value> x,
                                    ArrayRef<Value> factors,
                                    ArrayRef<Value> sums) {
  auto join = [&](ArrayRef<Value> values) -> Value {
    Type pair = VectorType::get(2, code.getF32Type());
    Value both = LLVM::UndefOp::create(code, pair);
    for (auto [i, value] : llvm::enumerate(values.take_front(2)))
      both = LLVM::InsertElementOp::create(code, both, value,
                                           code.constant(code.i32(), i));
    return both;
  };
  Value added = LLVM::FMAOp::create(code, join(x), join(factors), join(sums));
  auto part = [&](int64_t i) -> Value {
    return LLVM::ExtractElementOp::create(code, added,
                                          code.constant(code.i32(), i));
  };
  return {part(0), part(1)};
}

/// The products of the scales of a row and of columns.
SmallVector<Value> Promotion::getFactors(ArrayRef<Value> scalars,
                                         ArrayRef<Value> columns) {
  Value scale;
  for (Value scalar : scalars)
    scale = scale ? Value(LLVM::FMulOp::create(code, scale, scalar)) : scalar;
  if (columns.empty())
    return SmallVector<Value>(width, scale);
  return llvm::map_to_vector(columns, [&](Value column) -> Value {
    return scale ? LLVM::FMulOp::create(code, scale, column).getResult()
                 : column;
  });
}

/// Few columns at once: what one instruction reads or writes are neighbouring
/// registers, which are hard to find beside sums that are carried.
SmallVector<Value> Promotion::add(ArrayRef<Value> sums, Int column,
                                  ArrayRef<Value> scalars,
                                  ArrayRef<Value> columns, bool isLast) {
  int64_t count = isLast || width % 32 || width > 64 ? 16 : 32;
  SmallVector<Value> factors = getFactors(scalars, columns), results;
  for (int64_t at = 0; at < width; at += count) {
    Int address = getAddress(code.add(column, at));
    SmallVector<Value> partial;
    for (Value word : loadColumns(code, address, count))
      partial.push_back(LLVM::BitcastOp::create(code, code.getF32Type(), word));
    for (int64_t j = 0; j < count; j += 2)
      llvm::append_range(results, addPair(code, ArrayRef(partial).drop_front(j),
                                          ArrayRef(factors).drop_front(at + j),
                                          sums.drop_front(at + j)));
    auto added = MutableArrayRef(results).take_back(count);
    if (isLast)
      store(added, address);
    else
      settle(code, added);
  }
  if (isLast)
    waitForStores(code);
  return results;
}
