// Attention on Hopper's tensor cores: what the blocks of a cluster found is
// merged, and stored.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

using Predicate = LLVM::ICmpPredicate;

/// Chunks of 8 columns that a thread has under way.
static constexpr int64_t kUnderWay = 4;

void AttentionKernel::barrier() {
  auto dialect =
      LLVM::AsmDialectAttr::get(code.getContext(), LLVM::AsmDialect::AD_ATT);
  LLVM::InlineAsmOp::create(
      code, LLVM::LLVMVoidType::get(code.getContext()), ValueRange(),
      "bar.sync 1, " + std::to_string(128 * schedule.warpgroups) + ";",
      "~{memory}", /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::tailcallkind::TailCallKind::None, dialect, ArrayAttr());
}

void AttentionKernel::clusterBarrier() {
  NVVM::ClusterArriveOp::create(code, UnitAttr());
  NVVM::ClusterWaitOp::create(code, UnitAttr());
}

/// The same place in the memory of a block of the cluster.
Value AttentionKernel::ofSplit(Value address, Int number) {
  return NVVM::MapaOp::create(code, code.pointer(7), address, code.get(number));
}

/// Sums to shared memory, where Q, keys and values were; of a block that has
/// all keys, as they are in the result.
void AttentionKernel::writeSums(ArrayRef<Value> sums,
                                const AttentionRows &rows) {
  barrier();
  for (unsigned r : {0, 1}) {
    Value total = reduce(rows.total[r], [&](Value x, Value y) -> Value {
      return LLVM::FAddOp::create(code, x, y);
    });
    Value isEmpty =
        LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, total, number(0));
    Value inverse = LLVM::FDivOp::create(code, number(1), total);
    inverse = code.selectAny(isEmpty, number(0), inverse);
    Int row = code.add(rowOfThread, 8 * r);
    Value line = code.at(memory, code.mul(row, schedule.sumsPitch()));
    line = code.at(line, code.mul(keyOfThread, 4));
    auto pair = VectorType::get(2, code.getF32Type());
    for (size_t i = 2 * r; i < sums.size(); i += 4) {
      Value both = LLVM::UndefOp::create(code, pair);
      for (int64_t e : {0, 1}) {
        Value sum = sums[i + e];
        if (schedule.splits == 1)
          sum = LLVM::FMulOp::create(code, sum, inverse);
        both = LLVM::InsertElementOp::create(code, both, sum, code.get(e));
      }
      LLVM::StoreOp::create(code, both, code.at(line, int64_t(i / 4 * 32)), 8);
    }
    if (schedule.splits == 1)
      continue;
    // Rows that saw nothing have a total of zero.
    code.when(code.equal(keyOfThread, 0), [&] {
      Value place = code.at(at(schedule.rowsBegin()), code.mul(row, 8));
      LLVM::StoreOp::create(code, rows.exponent[r], place, 4);
      LLVM::StoreOp::create(code, total, code.at(place, 4), 4);
    });
  }
  if (schedule.splits == 1)
    barrier();
}

/// Thread i: what the sums of each block are multiplied by in row i of those
/// that this block stores. Exponents are brought to the lowest one of blocks
/// that saw something.
void AttentionKernel::writeFactors() {
  code.when(code.less(thread, rowsEach()), [&] {
    Int row = code.add(thread, code.mul(split, rowsEach()));
    Values exponents, totals;
    Value lowest, all;
    for (int64_t s = 0; s < schedule.splits; ++s) {
      Value place =
          ofSplit(code.at(at(schedule.rowsBegin()), code.mul(row, 8)), s);
      Values two = loadFloats(place, 2);
      Value isEmpty = LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq,
                                           two[1], number(0));
      Value exponent = code.selectAny(
          isEmpty, number(std::numeric_limits<float>::infinity()), two[0]);
      exponents.push_back(exponent);
      totals.push_back(two[1]);
      lowest = s ? LLVM::MinNumOp::create(code, lowest, exponent).getResult()
                 : exponent;
    }
    Values factors;
    for (int64_t s = 0; s < schedule.splits; ++s) {
      Value isEmpty = LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq,
                                           totals[s], number(0));
      Value factor = exp2(LLVM::FSubOp::create(code, lowest, exponents[s]));
      factor = code.selectAny(isEmpty, number(0), factor);
      factors.push_back(factor);
      Value part = LLVM::FMulOp::create(code, factor, totals[s]);
      all = s ? LLVM::FAddOp::create(code, all, part).getResult() : part;
    }
    Value isEmpty =
        LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, all, number(0));
    Value inverse = LLVM::FDivOp::create(code, number(1), all);
    inverse = code.selectAny(isEmpty, number(0), inverse);
    for (int64_t s = 0; s < schedule.splits; ++s)
      LLVM::StoreOp::create(code,
                            LLVM::FMulOp::create(code, factors[s], inverse),
                            code.at(at(schedule.factorsBegin() + 4 * s),
                                    code.mul(thread, 4 * schedule.splits)),
                            4);
  });
  barrier();
}

SmallVector<Value> AttentionKernel::loadFloats(Value address, int64_t count) {
  Values values;
  for (int64_t begin = 0; begin < count; begin += 4) {
    int64_t size = std::min<int64_t>(count - begin, 4);
    auto type = VectorType::get(size, code.getF32Type());
    Value vector =
        LLVM::LoadOp::create(code, type, code.at(address, 4 * begin), 4 * size);
    for (int64_t i = 0; i < size; ++i)
      values.push_back(
          LLVM::ExtractElementOp::create(code, vector, code.get(i)));
  }
  return values;
}

/// 8 columns of a row of the result.
SmallVector<Value> AttentionKernel::loadChunk(Int row, Int chunk) {
  Int inBlock =
      schedule.splits == 1 ? row : code.add(row, code.mul(split, rowsEach()));
  Value place = code.at(memory, code.mul(inBlock, schedule.sumsPitch()));
  place = code.at(place, code.mul(chunk, 32));
  if (schedule.splits == 1)
    return loadFloats(place, 8);
  Values result;
  Value factors =
      code.at(at(schedule.factorsBegin()), code.mul(row, 4 * schedule.splits));
  // Its own sums first, which are nearest.
  for (int64_t s = 0; s < schedule.splits; ++s) {
    Int rank = code.rem(code.add(split, s), schedule.splits);
    Value factor = loadFloats(code.at(factors, code.mul(rank, 4)), 1)[0];
    Values part = loadFloats(s ? ofSplit(place, rank) : place, 8);
    for (auto [i, value] : llvm::enumerate(part)) {
      if (s == 0)
        result.push_back(LLVM::FMulOp::create(code, value, factor));
      else
        result[i] = LLVM::FMAOp::create(code, value, factor, result[i]);
    }
  }
  return result;
}

void AttentionKernel::storeChunk(ArrayRef<Value> values, Int row, Int chunk) {
  const StridedTensor &t = shape.result;
  Int offset = code.add(code.mul(batch, t.strides[0]), t.offset);
  offset = code.add(offset, code.mul(headOf(row), t.strides[1]));
  offset = code.add(offset, code.mul(queryOf(row), t.strides[2]));
  offset = code.add(offset, code.mul(chunk, 8));
  auto type = VectorType::get(4, code.i32());
  Value vector = LLVM::UndefOp::create(code, type);
  for (int64_t i = 0; i < 4; ++i)
    vector = LLVM::InsertElementOp::create(
        code, vector, pack(values[2 * i], values[2 * i + 1]), code.get(i));
  Value bytes = LLVM::ShlOp::create(code, code.extend64(offset),
                                    code.constant(code.i64(), 1));
  Value address = LLVM::GEPOp::create(
      code, code.pointer(1), code.getI8Type(), function.getArgument(3),
      ArrayRef<LLVM::GEPArg>(LLVM::GEPArg(bytes)));
  LLVM::StoreOp::create(code, vector, address, 16);
}

/// Loads first, so that they are under way together. Numbers behind the last
/// one load that again, and store nothing.
void AttentionKernel::writeChunks(ArrayRef<Int> numbers) {
  int64_t chunks = shape.width / 8, end = rowsEach() * chunks;
  std::vector<Values> values;
  for (Int number : numbers) {
    Int inside = code.min(number, end - 1);
    values.push_back(
        loadChunk(code.div(inside, chunks), code.rem(inside, chunks)));
  }
  for (size_t i = 0; i < numbers.size(); ++i) {
    Int number = numbers[i];
    Int row = code.add(firstRow, code.div(number, chunks));
    if (schedule.splits > 1)
      row = code.add(row, code.mul(split, rowsEach()));
    Value isMine = LLVM::AndOp::create(code, code.less(row, shape.rows()),
                                       code.less(number, end));
    code.when(isMine,
              [&] { storeChunk(values[i], row, code.rem(number, chunks)); });
  }
}

void AttentionKernel::writeResult() {
  int64_t threads = 128 * schedule.warpgroups;
  int64_t chunks = rowsEach() * (shape.width / 8);
  int64_t most = kUnderWay / (schedule.splits > 2 ? 2 : 1);
  int64_t each = std::min<int64_t>(most, divideCeil(chunks, threads));
  Value first = thread;
  code.loop({&first}, [&]() -> Value {
    SmallVector<Int> numbers;
    for (int64_t i = 0; i < each; ++i)
      numbers.push_back(code.add(first, i * threads));
    writeChunks(numbers);
    first = code.get(code.add(first, each * threads));
    return code.less(first, chunks);
  });
}

} // namespace gpu
} // namespace nibble
