// Attention on Blackwell's tensor cores: results from sums, by way of shared
// memory, so that a warp stores whole rows one after the other.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

/// Rows that saw nothing have a total of zero, and are zero.
void AttentionTcgen05Kernel::writeRowResult(const AttentionRow &row) {
  if (plan.splits > 1) {
    stageRow(Value(), /*isPart=*/true);
    if (plan.walksTwice)
      return;
    auto type = VectorType::get(2, code.getF32Type());
    Value both = LLVM::UndefOp::create(code, type);
    both = LLVM::InsertElementOp::create(code, both, row.exponent, code.get(0));
    both = LLVM::InsertElementOp::create(code, both, row.total, code.get(1));
    Int place = code.add(code.shl(thread, 3), plan.totalsBegin());
    LLVM::StoreOp::create(code, both, code.at(memory, place), 8);
    return;
  }
  Value inverse = valueFactor();
  if (!plan.walksTwice) {
    inverse = LLVM::FDivOp::create(code, inverse, row.total);
    inverse = code.selectAny(isZero(row.total), number(0), inverse);
  }
  stageRow(inverse, /*isPart=*/false);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  copyResults();
}

void AttentionTcgen05Kernel::stageRow(Value factor, bool isPart) {
  int64_t step = plan.stepColumns(), bytes = isPart ? 4 : resultBytes();
  Value mine = code.at(memory, code.mul(thread, plan.resultPitch(bytes)));
  Value column = code.get(0);
  code.loop({&column}, [&]() -> Value {
    Values sums = loadFloats(code.add(sumsOf(), column), step);
    if (!isPart)
      for (Value &sum : sums)
        sum = LLVM::FMulOp::create(code, sum, factor);
    stageWords(isPart ? wordsOf(sums) : roundSums(sums),
               code.at(mine, code.mul(column, bytes)));
    column = code.get(code.add(column, step));
    return code.less(column, plan.columns);
  });
}

SmallVector<Value> AttentionTcgen05Kernel::wordsOf(ArrayRef<Value> floats) {
  return llvm::map_to_vector(floats, [&](Value number) -> Value {
    return LLVM::BitcastOp::create(code, code.i32(), number);
  });
}

/// As words of what is stored.
SmallVector<Value> AttentionTcgen05Kernel::roundSums(ArrayRef<Value> sums) {
  Values words;
  if (shape.codes) {
    // As in a fragment of wgmma, of which every other row is not used.
    Values fragment;
    for (size_t i = 0; i < sums.size(); i += 2)
      fragment.append({sums[i], sums[i + 1], sums[i], sums[i + 1]});
    return encode(fragment, 0);
  }
  if (shape.rounded.isF32())
    return wordsOf(sums);
  for (size_t i = 0; i < sums.size(); i += 2)
    words.push_back(pack(sums[i], sums[i + 1], shape.rounded));
  return words;
}

void AttentionTcgen05Kernel::stageWords(ArrayRef<Value> words, Value place) {
  auto type = VectorType::get(4, code.i32());
  for (size_t i = 0; i < words.size(); i += 4) {
    Value four = LLVM::UndefOp::create(code, type);
    for (size_t e = 0; e < 4; ++e)
      four = LLVM::InsertElementOp::create(code, four, words[i + e],
                                           code.get(int64_t(e)));
    LLVM::StoreOp::create(code, four, code.at(place, int64_t(4 * i)), 16);
  }
}

/// In elements, from the begin of the result.
Int AttentionTcgen05Kernel::resultOffset(Int row) {
  const StridedTensor &t = shape.result;
  Int offset = code.add(code.mul(batch, t.strides[0]), t.offset);
  offset = code.add(offset, code.mul(headOf(row), t.strides[1]));
  return code.add(offset, code.mul(queryOf(row), t.strides[2]));
}

Value AttentionTcgen05Kernel::resultLine(Int offset) {
  Value bytes = LLVM::MulOp::create(code, code.extend64(offset),
                                    code.constant(code.i64(), resultBytes()));
  return advanced(function.getArgument(3), bytes);
}

/// The warp's rows, in pieces that lie together in memory and begin at
/// multiples of their size: one for each lane, then the next ones. Where a row
/// begins, the lane knows that it belongs to.
void AttentionTcgen05Kernel::copyResults() {
  int64_t bytes = resultBytes(), pieceBytes = 8 * std::min<int64_t>(bytes, 2);
  int64_t perRow = shape.width * bytes / pieceBytes;
  Int firstOfWarp = code.shl(warp, 5);
  Value begin = code.get(
      resultOffset(code.min(code.add(firstRow, thread), shape.rows() - 1)));
  Value rows =
      code.get(code.sub(shape.rows(), code.add(firstRow, firstOfWarp)));
  Type type = VectorType::get(pieceBytes / 4, code.i32());
  Value piece = lane;
  code.loop({&piece}, [&]() -> Value {
    Int row = code.div(piece, perRow),
        inRow = code.mul(code.rem(piece, perRow), pieceBytes);
    Value start = NVVM::ShflOp::create(code, code.i32(), code.get(-1), begin,
                                       code.get(row), code.get(31),
                                       NVVM::ShflKind::idx, UnitAttr());
    Int from = code.add(
        code.mul(code.add(firstOfWarp, row), plan.resultPitch(bytes)), inRow);
    Value isInside = code.compare(LLVM::ICmpPredicate::slt, row, rows);
    code.when(isInside, [&] {
      Value value = LLVM::LoadOp::create(code, type, code.at(memory, from),
                                         unsigned(pieceBytes));
      Value line = resultLine(Int(start));
      LLVM::StoreOp::create(code, value, advanced(line, code.get(inRow)),
                            unsigned(pieceBytes));
    });
    piece = code.get(code.add(piece, 32));
    return code.less(piece, 32 * perRow);
  });
}

} // namespace gpu
} // namespace nibble
