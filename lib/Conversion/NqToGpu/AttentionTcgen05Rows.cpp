// Attention on Blackwell's tensor cores: weights of scores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "Sm100/Tcgen05.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace gpu {

using Predicate = LLVM::ICmpPredicate;
using Schedule = AttentionTcgen05Schedule;

// Sums fade only if a weight would be above 2^kMostExponent, as that is a walk
// through all of them; then the largest weight becomes 2^kFreshExponent. Above
// 2^15 a weight of f16 could become infinite by rounding; below, the first ones
// leave 24 bits until small ones lose digits.
static constexpr double kFreshExponent = 10, kMostExponent = 15;

/// Chains of sums and maxima of a row: one would wait for each of its results.
static constexpr size_t kChains = 4;

static constexpr double kMinusInfinity =
    -std::numeric_limits<double>::infinity();

Value AttentionTcgen05Kernel::isAny(Value condition) {
  return NVVM::VoteSyncOp::create(code, code.getI1Type(), code.get(-1),
                                  condition, NVVM::VoteSyncKind::any);
}

Value AttentionTcgen05Kernel::fold(ArrayRef<Value> values,
                                   function_ref<Value(Value, Value)> combine) {
  Values chains(values.take_front(kChains));
  for (size_t i = kChains; i < values.size(); ++i)
    chains[i % kChains] = combine(chains[i % kChains], values[i]);
  Value all = chains[0];
  for (Value chain : ArrayRef(chains).drop_front())
    all = combine(all, chain);
  return all;
}

//===----------------------------------------------------------------------===//
// Keys behind the end
//===----------------------------------------------------------------------===//

/// What lies there may be NaN, which a weight of zero does not hide. The first
/// tile is the last one with keys; its values come behind the keys of the next
/// one, if there is one. Slots that they are not the first in had keys of the
/// first tile before: that there are scores says that this phase is over.
void AttentionTcgen05Kernel::clearBehindKeys() {
  if (!shape.lengths)
    return;
  Int keys = code.sub(filled, code.mul(lastTile, plan.keys));
  Value isPart = code.less(code.sub(keys, 1), plan.keys - 1);
  code.when(isPart, [&] {
    Int first = firstNumber();
    await(scoresBarrier(code.bitAnd(first, 1)),
          code.bitAnd(code.shr(first, 1), 1));
    Value isOne = code.equal(tiles, 1);
    Int before = code.select(isOne, plan.keyPieces(), 2 * plan.keyPieces());
    before = code.add(before, code.mul(first, plan.keyPieces()));
    for (int64_t piece = 0; piece < plan.valuePieces(); ++piece) {
      Int number = code.add(before, piece),
          stage = code.rem(number, plan.slots);
      waitFor(fullBarrier(code.get(stage)),
              code.get(code.bitAnd(code.div(number, plan.slots), 1)));
      clearRows(code.add(code.mul(stage, plan.pieceBytes()), plan.slotBegin()),
                keys, plan.panels(/*isKey=*/false, piece));
    }
    NVVM::FenceProxyOp::create(
        code, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(code.getContext(),
                                   NVVM::SharedSpace::shared_cta));
  });
}

/// Eight threads have a row of 128 bytes.
void AttentionTcgen05Kernel::clearRows(Int slot, Int keys, int64_t panels) {
  auto four = VectorType::get(4, code.i32());
  Value zeros = LLVM::ConstantOp::create(
      code, four, DenseElementsAttr::get(four, int32_t(0)));
  Int begin = code.add(slot, code.shl(code.bitAnd(thread, 7), 4));
  Value row = code.get(code.add(keys, code.shr(thread, 3)));
  whileLoop(
      {&row}, [&] { return code.less(row, plan.keys); },
      [&] {
        Int place = code.add(begin, code.shl(row, 7));
        for (int64_t p = 0; p < panels; ++p)
          LLVM::StoreOp::create(
              code, zeros,
              code.at(memory, code.add(place, p * plan.panelBytes())), 16);
        row = code.get(code.add(row, 4 * Schedule::kRowWarps));
      });
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

SmallVector<Value> AttentionTcgen05Kernel::loadFloats(ArrayRef<Int> columns,
                                                      int64_t count) {
  Values floats = sm100::loadColumns(code, columns, count);
  for (Value &word : floats)
    word = LLVM::BitcastOp::create(code, code.getF32Type(), word);
  return floats;
}

Value AttentionTcgen05Kernel::findTop(ArrayRef<Value> scores) {
  return fold(scores, [&](Value x, Value y) -> Value {
    return LLVM::MaxNumOp::create(code, x, y);
  });
}

AttentionTcgen05Kernel::TileScores
AttentionTcgen05Kernel::loadScores(Int number, bool wantsTop) {
  Int buffer = code.bitAnd(number, 1);
  await(scoresBarrier(buffer), code.bitAnd(code.shr(number, 1), 1));
  NVVM::SyncWarpOp::create(code, code.get(-1));
  SmallVector<Int> columns;
  for (int64_t column = 0; column < plan.keys; column += 32)
    columns.push_back(code.add(scoresOf(buffer), column));
  if (!chip.loadsMaxima || isAdjusted() || !wantsTop)
    return {loadFloats(columns, 32), Value()};
  sm100::LoadedRow loaded = sm100::loadWithMaxima(code, columns, 32);
  return {loaded.floats, findTop(loaded.maxima)};
}

void AttentionTcgen05Kernel::maskScores(TileScores &tile, Int number,
                                        Int first) {
  Int firstKey =
      code.mul(code.sub(lastTile, code.sub(number, first)), plan.keys);
  turnScores(tile.scores);
  adjustRow(tile.scores, firstKey);
  Value hides = hideRow(tile.scores, firstKey);
  if (!tile.top) {
    tile.top = findTop(tile.scores);
    return;
  }
  if (loadedScale)
    hides = LLVM::OrOp::create(code, hides, isScaleNegative());
  Values top{tile.top};
  branch(hides, top, [&] { top[0] = findTop(tile.scores); });
  tile.top = top[0];
}

/// Scale, softcap and mask, unless the scale alone, which the exponents take.
void AttentionTcgen05Kernel::adjustRow(Values &scores, Int firstKey) {
  if (!isAdjusted())
    return;
  Value scale = loadedScale ? loadedScale : number(shape.scoreScale());
  for (auto [i, score] : llvm::enumerate(scores)) {
    score = LLVM::FMulOp::create(code, score, scale);
    if (shape.softcap != 0)
      score = capped(score);
    if (shape.mask)
      score = masked(score, 0, code.add(firstKey, int64_t(i)));
  }
}

/// Most tiles are seen by all rows. Whether this one is not.
Value AttentionTcgen05Kernel::hideRow(Values &scores, Int firstKey) {
  Value any =
      code.compare(Predicate::sgt, code.add(firstKey, plan.keys), allSee);
  branch(any, scores, [&] {
    Int seen = code.sub(ends[0], firstKey);
    Value nothing = number(kMinusInfinity);
    for (auto [i, score] : llvm::enumerate(scores))
      score = code.selectAny(code.compare(Predicate::sgt, seen, int64_t(i)),
                             score, nothing);
  });
  return any;
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// NaN scores do not count here: their weights are NaN anyway. Sums of a row
/// that saw nothing are zeros and need not fade.
Value AttentionTcgen05Kernel::findExponent(Value topOfTile, Value factor,
                                           AttentionRow &row, Value &grows) {
  Value nothing = number(kMinusInfinity);
  auto isNothing = [&](Value x) -> Value {
    return LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, x, nothing);
  };
  Value top = LLVM::MaxNumOp::create(code, row.top, topOfTile);
  Value base = code.selectAny(isNothing(top), number(0), top);
  Value fresh = LLVM::FMAOp::create(code, LLVM::FNegOp::create(code, base),
                                    factor, number(kFreshExponent));
  // As infinities go: infinite scores make NaN of the row in any case.
  Value most = LLVM::FMAOp::create(code, base, factor, row.exponent);
  Value isAbove = LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::ugt, most,
                                       number(kMostExponent));
  Value isFirst = isNothing(row.top);
  grows = LLVM::AndOp::create(code, isAbove, negate(isFirst));
  Value exponent = code.selectAny(LLVM::OrOp::create(code, isAbove, isFirst),
                                  fresh, row.exponent);
  Value fade = exp2(LLVM::FSubOp::create(code, exponent, row.exponent));
  row.top = top;
  row.exponent = exponent;
  return code.selectAny(grows, fade, number(1));
}

Value AttentionTcgen05Kernel::findWeight(Value score, Value factor,
                                         const AttentionRow &row) {
  Value weight = exp2(LLVM::FMAOp::create(code, score, factor, row.exponent));
  return row.share ? LLVM::FMulOp::create(code, weight, row.share).getResult()
                   : weight;
}

Value AttentionTcgen05Kernel::sum(ArrayRef<Value> weights) {
  return fold(weights, [&](Value x, Value y) -> Value {
    return LLVM::FAddOp::create(code, x, y);
  });
}

/// Four codes in a word, or two numbers.
SmallVector<Value> AttentionTcgen05Kernel::packRow(ArrayRef<Value> weights) {
  if (plan.valueBytes == 2)
    return AttentionKernel::pack(weights);
  Values words;
  for (size_t i = 0; i < weights.size(); i += 4)
    words.push_back(encodeWeights(weights.slice(i, 4)));
  return words;
}

/// They take the place of the scores, which are in registers.
Value AttentionTcgen05Kernel::storeWeights(ArrayRef<Value> scores, Value factor,
                                           const AttentionRow &row,
                                           Int buffer) {
  constexpr size_t kStored = 32; // columns at once
  size_t atOnce = kStored * 4 / plan.valueBytes, stored = 0;
  Values weights;
  Int column = scoresOf(buffer);
  for (Value score : scores) {
    weights.push_back(findWeight(score, factor, row));
    if (weights.size() - stored < std::min(atOnce, scores.size()))
      continue;
    Values words = packRow(ArrayRef(weights).drop_front(stored));
    sm100::storeColumns(code, column, words);
    column = code.add(column, int64_t(words.size()));
    stored = weights.size();
  }
  return row.share ? Value() : sum(weights);
}

void AttentionTcgen05Kernel::fadeSums(Value factor) {
  int64_t step = plan.stepColumns();
  Value column = code.get(0);
  code.loop({&column}, [&]() -> Value {
    Int place = code.add(sumsOf(), column);
    Values sums = loadFloats(place, step);
    for (Value &sum : sums) {
      sum = LLVM::FMulOp::create(code, sum, factor);
      sum = LLVM::BitcastOp::create(code, code.i32(), sum);
    }
    sm100::storeColumns(code, place, sums);
    column = code.get(code.add(column, step));
    return code.less(column, plan.columns);
  });
}

void AttentionTcgen05Kernel::writeTile(Int number, AttentionRow &row) {
  Int buffer = code.bitAnd(number, 1);
  TileScores tile = loadScores(number, /*wantsTop=*/!row.share);
  maskScores(tile, number, firstNumber());
  Value factor = scoreFactor(), fade, grows;
  if (!row.share)
    fade = findExponent(tile.top, factor, row, grows);
  Value sum = storeWeights(tile.scores, factor, row, buffer);
  // Products with the values before are done. None, at first: a fresh barrier
  // lets through who waits for the phase before the first.
  Int phase = code.bitAnd(code.sub(number, firstNumber()), 1);
  await(sumsBarrier(), code.bitXor(phase, 1));
  NVVM::SyncWarpOp::create(code, code.get(-1));
  if (!row.share) {
    row.total = LLVM::FMAOp::create(code, row.total, fade, sum);
    code.when(isAny(grows), [&] { fadeSums(fade); });
  }
  sm100::waitForStores(code);
  sm100::fence(code, /*after=*/false);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  code.when(code.equal(lane, 0), [&] { arrive(weightsBarrier()); });
}

/// For maximum and sum of the weights alone.
void AttentionTcgen05Kernel::writeFirstTile(Int number, AttentionRow &row) {
  TileScores tile = loadScores(number, /*wantsTop=*/true);
  sm100::fence(code, /*after=*/false);
  NVVM::SyncWarpOp::create(code, code.get(-1));
  code.when(code.equal(lane, 0),
            [&] { arrive(readBarrier(code.bitAnd(number, 1))); });
  maskScores(tile, number, 0);
  Value factor = scoreFactor(), grows;
  Value fade = findExponent(tile.top, factor, row, grows);
  Values weights;
  for (Value score : tile.scores)
    weights.push_back(findWeight(score, factor, row));
  row.total = LLVM::FMAOp::create(code, row.total, fade, sum(weights));
}

void AttentionTcgen05Kernel::writeFirstWalk(AttentionRow &row) {
  Value tile = code.get(0);
  code.loop({&tile, &row.top, &row.exponent, &row.total}, [&]() -> Value {
    writeFirstTile(tile, row);
    tile = code.get(code.add(tile, 1));
    return code.less(tile, tiles);
  });
  findShare(row);
}

void AttentionTcgen05Kernel::writeRows() {
  rowOfThread = thread;
  findScale();
  findRows();
  AttentionRow row{number(kMinusInfinity), number(0), number(0), Value()};
  if (plan.walksTwice)
    writeFirstWalk(row);
  clearBehindKeys();
  Int first = firstNumber(), end = code.add(first, tiles);
  Value tile = code.get(first);
  SmallVector<Value *> cells{&tile};
  if (!row.share)
    cells.append({&row.top, &row.exponent, &row.total});
  code.loop(cells, [&]() -> Value {
    writeTile(tile, row);
    tile = code.get(code.add(tile, 1));
    return code.less(tile, end);
  });
  await(sumsBarrier(), code.bitAnd(code.sub(code.sub(tile, 1), first), 1));
  NVVM::SyncWarpOp::create(code, code.get(-1));
  writeRowResult(row);
}

} // namespace gpu
} // namespace nibble
