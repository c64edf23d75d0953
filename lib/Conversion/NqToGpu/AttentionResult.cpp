// Attention on Hopper's tensor cores: what the splits of a cluster found is
// merged, and stored.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace gpu {

Value AttentionKernel::isZero(Value x) {
  return LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, x, number(0));
}

/// Of the threads of a row.
void AttentionKernel::sumTotals(AttentionRows &rows) {
  for (Value &total : rows.total)
    total = reduce(total, [&](Value x, Value y) -> Value {
      return LLVM::FAddOp::create(code, x, y);
    });
}

void AttentionKernel::findShares(AttentionRows &rows) {
  sumTotals(rows);
  if (isCluster())
    exchangeTotals(rows);
  for (unsigned r : {0, 1})
    rows.share[r] = shareOf(rows.total[r]);
}

Value AttentionKernel::shareOf(Value total) {
  Value whole =
      LLVM::FMulOp::create(code, total, number(shape.weightCodes->scale));
  Value share = LLVM::FDivOp::create(code, number(1), whole);
  return code.selectAny(isZero(total), number(0), share);
}

void AttentionKernel::writeResult(Values &sums, AttentionRows &rows) {
  if (!shape.weightCodes)
    sumTotals(rows);
  if (schedule.splits == 1)
    return writeWhole(sums, rows);
  meetExpanders("sync");
  if (schedule.mergeBytes() > schedule.qBytes())
    tellReady();
  waitFor(at(ready()), code.get(0));
  for (int64_t part = 0; part < schedule.splits; ++part) {
    Value isOther = LLVM::ICmpOp::create(code, LLVM::ICmpPredicate::ne,
                                         code.get(split), code.get(part));
    code.when(isOther, [&] { sendPart(part, sums, rows); });
  }
  clusterArrive();
  for (int64_t part = 0; part < schedule.splits; ++part)
    code.when(code.equal(split, part), [&] { mergePart(part, sums, rows); });
}

/// Of values, and of codes of weights, and so of results, as f32.
Value AttentionKernel::valueFactor() {
  Value factor = loadFactor(shape.v.factor);
  if (!shape.weightCodes)
    return factor;
  return LLVM::FMulOp::create(code, factor, number(shape.weightCodes->scale));
}

/// The block has all keys. Rows that saw nothing have a total of zero, and are
/// zero.
void AttentionKernel::writeWhole(Values &sums, const AttentionRows &rows) {
  Value factor = valueFactor();
  for (unsigned r : {0, 1}) {
    Value inverse = factor;
    if (!shape.weightCodes) {
      inverse = LLVM::FDivOp::create(code, factor, rows.total[r]);
      inverse = code.selectAny(isZero(rows.total[r]), number(0), inverse);
    }
    for (size_t i = 2 * r; i < sums.size(); i += 4)
      for (size_t e : {0, 1})
        sums[i + e] = LLVM::FMulOp::create(code, sums[i + e], inverse);
    storeRow(sums, r, 0);
  }
}

//===----------------------------------------------------------------------===//
// Sums of other splits
//===----------------------------------------------------------------------===//

// A thread has the same rows and columns in all splits, and its sums of a chunk
// (8 columns, two rows) are 16 bytes. So what a split gets is [sender, chunk,
// thread] vectors: written and read without bank conflicts, by the threads that
// use them. Exponents and totals of two rows, which four threads share, are one
// more vector.

/// By each warp, when it reads nothing any more of what they write to.
void AttentionKernel::tellReady() {
  if (schedule.splits == 1)
    return;
  Value isOther = LLVM::ICmpOp::create(code, LLVM::ICmpPredicate::ne, lane,
                                       code.get(split));
  Value sends =
      LLVM::AndOp::create(code, isOther, code.less(lane, schedule.splits));
  code.when(sends, [&] { arrive(ofBlock(at(ready()), Int(lane))); });
}

/// Four values; they are counted at the barrier when they are there.
void AttentionKernel::send(ArrayRef<Value> values, Int address, int64_t offset,
                           Int barrier) {
  Values operands{code.get(address)};
  llvm::append_range(operands, values);
  operands.push_back(code.get(barrier));
  code.emitAsm(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 "
      "[$0+" +
          std::to_string(offset) + "], {$1, $2, $3, $4}, [$5];",
      "r,f,f,f,f,r,~{memory}", {}, operands, /*hasEffects=*/true);
}

Int AttentionKernel::numberAt(int64_t part) {
  return code.rem(code.add(split, schedule.splits - 1 - part), schedule.splits);
}

Int AttentionKernel::placeAt(int64_t part, Int bytes) {
  Value place = ofBlock(code.at(memory, bytes), part);
  return Int(LLVM::PtrToIntOp::create(code, code.i32(), place).getResult());
}

void AttentionKernel::sendTotals(int64_t part, const AttentionRows &rows) {
  Int barrier = placeAt(part, received());
  Int ofSender = code.mul(numberAt(part), schedule.vectorBytes() / 4);
  code.when(code.equal(keyOfThread, 0), [&] {
    Int place = placeAt(part, code.add(code.add(ofSender, placeOfRows()),
                                       schedule.factorsBegin()));
    send({rows.exponent[0], rows.total[0], rows.exponent[1], rows.total[1]},
         place, 0, barrier);
  });
}

void AttentionKernel::sendPart(int64_t part, ArrayRef<Value> sums,
                               const AttentionRows &rows) {
  const AttentionSchedule &s = schedule;
  Int barrier = placeAt(part, received());
  Int place = placeAt(
      part, code.add(code.mul(numberAt(part), s.mostChunks() * s.vectorBytes()),
                     placeOfThread()));
  int64_t first = s.firstChunk(part), end = s.firstChunk(part + 1);
  for (int64_t i = first; i < end; ++i)
    send(sums.slice(4 * i, 4), place, (i - first) * s.vectorBytes(), barrier);
  if (!shape.weightCodes)
    sendTotals(part, rows);
}

/// Weights that become codes are those of the whole row: the splits tell each
/// other before they make them. What is received then is two phases: totals,
/// for which the barrier waits from the begin, and sums, which nobody sends
/// before all warps here have passed by.
void AttentionKernel::exchangeTotals(AttentionRows &rows) {
  for (int64_t part = 0; part < schedule.splits; ++part) {
    Value isOther = LLVM::ICmpOp::create(code, LLVM::ICmpPredicate::ne,
                                         code.get(split), code.get(part));
    code.when(isOther, [&] { sendTotals(part, rows); });
  }
  waitFor(at(received()), code.get(0));
  code.when(code.equal(thread, 0), [&] { expect(at(received()), sumBytes()); });
  SmallVector<Values> others = loadTotals();
  for (unsigned r : {0, 1}) {
    MergedRow row = merge(others, rows, r);
    Value isEmpty = isZero(row.total);
    rows.exponent[r] = code.selectAny(isEmpty, number(0), row.exponent);
    rows.total[r] = row.total;
  }
}

SmallVector<Value> AttentionKernel::loadFloats(Value address, int64_t count) {
  auto type = VectorType::get(count, code.getF32Type());
  Value vector = LLVM::LoadOp::create(code, type, address, 4 * count);
  Values values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(LLVM::ExtractElementOp::create(code, vector, code.get(i)));
  return values;
}

SmallVector<SmallVector<Value>> AttentionKernel::loadTotals() {
  Value ofRows = code.at(memory, placeOfRows());
  SmallVector<Values> others;
  for (int64_t n = 0; n + 1 < schedule.splits; ++n)
    others.push_back(
        loadFloats(code.at(ofRows, schedule.factorsBegin() +
                                       n * schedule.vectorBytes() / 4),
                   4));
  return others;
}

AttentionKernel::MergedRow
AttentionKernel::mergeTotals(ArrayRef<Value> exponents,
                             ArrayRef<Value> totals) {
  MergedRow row;
  Value &lowest = row.exponent, &all = row.total;
  Values counted;
  for (auto [exponent, total] : llvm::zip(exponents, totals)) {
    counted.push_back(code.selectAny(
        isZero(total), number(std::numeric_limits<float>::infinity()),
        exponent));
    lowest =
        lowest
            ? LLVM::MinNumOp::create(code, lowest, counted.back()).getResult()
            : counted.back();
  }
  for (auto [exponent, total] : llvm::zip(counted, totals)) {
    Value factor = exp2(LLVM::FSubOp::create(code, lowest, exponent));
    factor = code.selectAny(isZero(total), number(0), factor);
    row.factors.push_back(factor);
    all = all ? LLVM::FMAOp::create(code, factor, total, all).getResult()
              : LLVM::FMulOp::create(code, factor, total).getResult();
  }
  return row;
}

AttentionKernel::MergedRow AttentionKernel::merge(ArrayRef<Values> others,
                                                  const AttentionRows &rows,
                                                  unsigned r) {
  Values exponents{rows.exponent[r]}, totals{rows.total[r]};
  for (const Values &other : others)
    exponents.push_back(other[2 * r]), totals.push_back(other[2 * r + 1]);
  return mergeTotals(exponents, totals);
}

SmallVector<Value> AttentionKernel::getFactors(ArrayRef<Values> others,
                                               const AttentionRows &rows,
                                               unsigned r) {
  if (shape.weightCodes)
    return Values(schedule.splits, valueFactor());
  MergedRow row = merge(others, rows, r);
  Value inverse = LLVM::FDivOp::create(code, valueFactor(), row.total);
  inverse = code.selectAny(isZero(row.total), number(0), inverse);
  for (Value &factor : row.factors)
    factor = LLVM::FMulOp::create(code, factor, inverse);
  return row.factors;
}

void AttentionKernel::mergePart(int64_t part, ArrayRef<Value> sums,
                                const AttentionRows &rows) {
  const AttentionSchedule &s = schedule;
  waitFor(at(received()), code.get(shape.weightCodes ? 1 : 0));
  Value place = code.at(memory, placeOfThread());
  SmallVector<Values> others;
  if (!shape.weightCodes)
    others = loadTotals();
  Values factors[] = {getFactors(others, rows, 0), getFactors(others, rows, 1)};
  Values merged;
  int64_t first = s.firstChunk(part), chunks = s.firstChunk(part + 1) - first;
  for (int64_t i = 0; i < chunks; ++i) {
    for (size_t e = 0; e < 4; ++e)
      merged.push_back(LLVM::FMulOp::create(code, sums[4 * (first + i) + e],
                                            factors[e / 2][0]));
    for (int64_t n = 0; n + 1 < s.splits; ++n) {
      Values other = loadFloats(
          code.at(place, (n * s.mostChunks() + i) * s.vectorBytes()), 4);
      for (size_t e = 0; e < 4; ++e)
        merged[4 * i + e] = LLVM::FMAOp::create(
            code, other[e], factors[e / 2][n + 1], merged[4 * i + e]);
    }
  }
  for (unsigned r : {0, 1})
    storeRow(merged, r, first);
}

//===----------------------------------------------------------------------===//
// Stores
//===----------------------------------------------------------------------===//

Value AttentionKernel::advanced(Value line, Value bytes) {
  return LLVM::GEPOp::create(code, code.pointer(1), code.getI8Type(), line,
                             ArrayRef<LLVM::GEPArg>(LLVM::GEPArg(bytes)));
}

/// Aligned to its size, unless said otherwise.
void AttentionKernel::store(Value value, Value line, int64_t bytes,
                            unsigned alignment) {
  Value address =
      LLVM::GEPOp::create(code, code.pointer(1), code.getI8Type(), line,
                          ArrayRef<LLVM::GEPArg>(LLVM::GEPArg(int32_t(bytes))));
  unsigned size = isa<VectorType>(value.getType()) ? 8 : 4;
  LLVM::StoreOp::create(code, value, address, alignment ? alignment : size);
}

void AttentionKernel::storeRow(ArrayRef<Value> sums, unsigned r,
                               int64_t firstChunk) {
  const StridedTensor &t = shape.result;
  Int row = code.add(firstRow, code.add(rowOfThread, 8 * r));
  Int offset = code.add(code.mul(batch, t.strides[0]), t.offset);
  offset = code.add(offset, code.mul(headOf(row), t.strides[1]));
  offset = code.add(offset, code.mul(queryOf(row), t.strides[2]));
  offset = code.add(offset, firstChunk * 8);
  Value bytes =
      LLVM::MulOp::create(code, code.extend64(offset),
                          code.constant(code.i64(), shape.result.bytes()));
  Value line = advanced(function.getArgument(3), bytes);
  Value isInside = code.less(row, shape.rows());
  if (shape.codes)
    return storeCodes(sums, r, firstChunk, line, isInside);
  if (shape.rounded.isF32())
    return storeFloats(sums, r, line, isInside);
  storeHalves(sums, r, line, isInside);
}

/// Two columns of a chunk: four threads store 32 bytes, a whole sector.
void AttentionKernel::storeFloats(ArrayRef<Value> sums, unsigned r, Value line,
                                  Value isInside) {
  Value mine = advanced(line, code.get(code.shl(code.bitAnd(lane, 3), 3)));
  auto type = VectorType::get(2, code.getF32Type());
  code.when(isInside, [&] {
    for (size_t chunk = 0; 4 * chunk < sums.size(); ++chunk) {
      Value both = LLVM::UndefOp::create(code, type);
      for (size_t e : {0, 1})
        both = LLVM::InsertElementOp::create(
            code, both, sums[4 * chunk + 2 * r + e], code.get(int64_t(e)));
      store(both, mine, 32 * int64_t(chunk));
    }
  });
}

/// Two chunks at a time: a thread gives its neighbour the two columns that it
/// has of one of them and gets two more of the other, so that four threads
/// store 32 bytes, a whole sector.
void AttentionKernel::storeHalves(ArrayRef<Value> sums, unsigned r, Value line,
                                  Value isInside) {
  Value isOdd = code.equal(code.bitAnd(lane, 1), 1);
  Int inPair =
      code.add(code.select(isOdd, 16, 0), code.shl(code.bitAnd(lane, 2), 2));
  Value pairs = advanced(line, code.get(inPair));
  int64_t chunks = sums.size() / 4;
  auto packed = [&](int64_t chunk) {
    size_t i = 4 * chunk + 2 * r;
    return pack(sums[i], sums[i + 1], shape.rounded);
  };
  auto type = VectorType::get(2, code.i32());
  SmallVector<std::pair<Value, int64_t>> stored;
  for (int64_t chunk = 0; chunk + 1 < chunks; chunk += 2) {
    Value low = packed(chunk), high = packed(chunk + 1);
    Value other = NVVM::ShflOp::create(
        code, code.i32(), code.get(-1), code.selectAny(isOdd, low, high),
        code.get(1), code.get(31), NVVM::ShflKind::bfly, UnitAttr());
    Value both = LLVM::UndefOp::create(code, type);
    both = LLVM::InsertElementOp::create(
        code, both, code.selectAny(isOdd, other, low), code.get(0));
    both = LLVM::InsertElementOp::create(
        code, both, code.selectAny(isOdd, high, other), code.get(1));
    stored.push_back({both, 16 * chunk});
  }
  Value last = chunks % 2 ? packed(chunks - 1) : Value();
  code.when(isInside, [&] {
    for (auto [value, at] : stored)
      store(value, pairs, at);
    if (last)
      store(last, advanced(line, code.get(code.shl(code.bitAnd(lane, 3), 2))),
            16 * (chunks - 1));
  });
}

} // namespace gpu
} // namespace nibble
