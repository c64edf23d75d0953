// Products of attention for few rows: keys and values where they lie.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {

/// Accumulators that fit into the registers beside what they multiply.
constexpr int64_t kAccumulators = 12;

static Value addAll(GemmCode &code, ArrayRef<Value> values) {
  if (values.size() == 1)
    return values[0];
  size_t half = values.size() / 2;
  return arith::AddFOp::create(code.b, addAll(code, values.take_front(half)),
                               addAll(code, values.drop_front(half)));
}

/// All rows of the block meet eight keys while these are in the L1 cache.
void AttentionEmitter::emitDirectScores() {
  Value rows = code.sub(rowTo, rowFrom);
  auto keys = [&](Value from, Value to, int64_t count) {
    code.loop(from, to, count, [&](Value key) {
      code.loop(code.index(0), rows, 1, [&](Value row) {
        count == 8 ? scoreEightKeys(row, key) : scoreOneKey(row, key);
      });
    });
  };
  Value whole = code.mul(code.div(keyEnd, 8), 8);
  keys(code.index(0), whole, 8);
  keys(whole, keyEnd, 1);
}

void AttentionEmitter::scoreEightKeys(Value row, Value key) {
  Value query = code.add(firstQuery(), code.mul(row, plan.depth));
  Value from = code.add(keysAt, code.mul(key, plan.depth));
  SmallVector<Value> zeros(8, code.zero());
  auto sums =
      code.loop(0, plan.depth, 8, zeros, [&](Value d, ValueRange carried) {
        SmallVector<Value> next;
        Value x = code.load(queries, code.add(query, d), 8);
        Value first = code.add(from, d);
        for (auto [n, sum] : llvm::enumerate(carried)) {
          Value place = code.add(first, n * plan.depth);
          next.push_back(
              code.fma(code.toF32(code.load(args.k, place, 8)), x, sum));
        }
        return next;
      });
  Value at = code.add(code.mul(row, plan.pitch), key);
  code.store(scaled(addAll(code, code.transpose8x8(sums))), scores, at);
}

void AttentionEmitter::scoreOneKey(Value row, Value key) {
  Value query = code.add(firstQuery(), code.mul(row, plan.depth));
  Value from = code.add(keysAt, code.mul(key, plan.depth));
  Value sum = code.loop(0, plan.depth, 8, ValueRange{code.zero()},
                        [&](Value d, ValueRange carried) {
                          Value x = code.load(queries, code.add(query, d), 8);
                          Value y = code.load(args.k, code.add(from, d), 8);
                          return SmallVector<Value>{
                              code.fma(code.toF32(y), x, carried[0])};
                        })[0];
  Value total = vector::ReductionOp::create(code.b, vector::CombiningKind::ADD,
                                            sum, arith::FastMathFlags::reassoc);
  Value x = vector::ExtractOp::create(code.b, scaled(code.broadcast(total)),
                                      int64_t(0));
  code.store(x, scores, code.add(code.mul(row, plan.pitch), key));
}

/// As many columns at a time as the rows of a tile leave registers for.
void AttentionEmitter::emitDirectSums() {
  forEachTile([&](int64_t rows, Value row) {
    int64_t most = std::max<int64_t>(kAccumulators / rows, 1) * 8;
    for (int64_t c = 0; c < plan.width; c += most)
      sumColumns(rows, row, c, std::min(most, plan.width - c) / 8);
  });
}

void AttentionEmitter::sumColumns(int64_t rows, Value row, int64_t column,
                                  int64_t vectors) {
  Value weights = code.mul(row, plan.pitch);
  Value from = code.add(valuesAt, column);
  SmallVector<Value> zeros(rows * vectors, code.zero());
  auto tile = code.loop(
      code.index(0), keyEnd, 1, zeros, [&](Value key, ValueRange carried) {
        SmallVector<Value> next(carried), values;
        Value place = code.add(from, code.mul(key, plan.width));
        for (int64_t j = 0; j < vectors; ++j)
          values.push_back(
              code.toF32(code.load(args.v, code.add(place, 8 * j), 8)));
        for (int64_t r = 0; r < rows; ++r) {
          Value at = code.add(code.add(weights, key), r * plan.pitch);
          Value x = code.broadcast(code.loadScalar(scores, at));
          for (int64_t j = 0; j < vectors; ++j)
            next[r * vectors + j] =
                code.fma(x, values[j], next[r * vectors + j]);
        }
        return next;
      });
  Value to = code.add(code.mul(row, plan.columns), column);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < vectors; ++j)
      code.store(tile[r * vectors + j], sums,
                 code.add(to, r * plan.columns + 8 * j));
}

} // namespace cpu
} // namespace nibble
