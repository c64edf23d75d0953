// Emits attention for one block of query rows of one stack of heads.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {

constexpr int64_t kUnroll = 8;

static int64_t elements(int64_t from, int64_t to) { return (to - from) / 4; }

AttentionEmitter::AttentionEmitter(GemmCode &code, const AttentionPlan &plan,
                                   const AttentionArgs &args)
    : code(code), plan(plan), args(args) {
  auto view = [&](int64_t from, int64_t to) {
    return code.scratchF32(args.scratch, from, elements(from, to));
  };
  queries = plan.keysAt ? view(0, plan.keysAt) : args.q;
  packedKeys = view(plan.keysAt, plan.valuesAt);
  packedValues = view(plan.valuesAt, plan.scoresAt);
  scores = view(plan.scoresAt, plan.sumsAt);
  sums = view(plan.sumsAt, plan.scratchBytes);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// First row of a tile: the first bigTiles tiles have one row more.
Value AttentionEmitter::rowOfTile(Value tile) {
  Value rows = code.mul(tile, plan.tileRows);
  if (plan.bigTiles == plan.tiles)
    return rows;
  Value less =
      code.max(code.sub(tile, code.index(plan.bigTiles)), code.index(0));
  return code.sub(rows, less);
}

void AttentionEmitter::enterBlock(Value block) {
  Value from = code.mul(block, plan.tilesPerBlock);
  Value to =
      code.min(code.add(from, plan.tilesPerBlock), code.index(plan.tiles));
  rowFrom = rowOfTile(from);
  rowTo = rowOfTile(to);
}

/// Of the batch entry of the stack. Longer ones let all queries see all keys.
void AttentionEmitter::loadLength() {
  filled = code.index(plan.keys);
  if (plan.lengths == 0)
    return;
  Value batch = plan.lengths == 1 ? code.index(0) : code.div(head, plan.heads);
  Value number = arith::IndexCastOp::create(
      code.b, code.b.getIndexType(), code.loadScalar(args.lengths, batch));
  length = code.max(code.min(number, code.index(plan.keys + plan.queries)),
                    code.index(0));
  filled = code.min(length, filled);
}

/// Keys that queries in front of `query` see, if causal.
Value AttentionEmitter::keysBefore(Value query) {
  Value shift = plan.followsLength ? code.sub(length, code.index(plan.queries))
                                   : code.index(plan.shift);
  return code.max(code.min(code.add(query, shift), filled), code.index(0));
}

void AttentionEmitter::findKeys() {
  keyEnd = filled;
  if (plan.causal)
    keyEnd = keysBefore(plan.stack == 1 ? rowTo : code.index(plan.queries));
  panelEnd = code.div(code.add(keyEnd, kPanelColumns - 1), kPanelColumns);
}

void AttentionEmitter::enterStack(Value first, Value isNew) {
  head = first;
  queriesAt = code.mul(head, plan.queries * plan.depth);
  int64_t group = plan.heads / plan.kvHeads;
  Value kvHead = code.div(head, group);
  keysAt = code.mul(kvHead, plan.keys * plan.depth);
  valuesAt = code.mul(kvHead, plan.keys * plan.width);
  loadLength();
  if (!plan.packsOnce())
    return;
  auto pack = [&] {
    Value panels = code.div(code.add(filled, kPanelColumns - 1), kPanelColumns);
    packKeys(code.index(0), panels);
    packValues(code.index(0), panels);
  };
  if (!isNew || plan.stack == group)
    return pack();
  Value isFirst = arith::CmpIOp::create(code.b, arith::CmpIPredicate::eq,
                                        code.rem(head, group), code.index(0));
  code.ifElse(arith::OrIOp::create(code.b, isFirst, isNew), pack);
}

/// body(rows of the tile, its first row within the block)
void AttentionEmitter::forEachTile(RowsBody body) {
  // Rows are in the order of tiles: big ones first.
  int64_t border = plan.bigTiles * plan.tileRows;
  auto tiles = [&](Value from, Value to, int64_t rows) {
    code.loop(from, to, rows,
              [&](Value row) { body(rows, code.sub(row, rowFrom)); });
  };
  if (plan.bigTiles == plan.tiles)
    return tiles(rowFrom, rowTo, plan.tileRows);
  Value middle = code.index(border);
  tiles(rowFrom, code.min(rowTo, middle), plan.tileRows);
  tiles(code.max(rowFrom, middle), rowTo, plan.tileRows - 1);
}

/// body(first panel, end) for the panels of keys that the block sees.
void AttentionEmitter::forEachChunk(
    llvm::function_ref<void(Value, Value)> body) {
  if (plan.packsOnce())
    return body(code.index(0), panelEnd);
  code.loop(code.index(0), panelEnd, plan.panelsPerChunk, [&](Value from) {
    body(from, code.min(code.add(from, plan.panelsPerChunk), panelEnd));
  });
}

void AttentionEmitter::emitBlock(Value strip, Value at, int64_t pitch,
                                 rt::StorageFormat format) {
  findKeys();
  convertQueries();
  if (plan.isDirect) {
    emitDirectScores();
    emitSoftmax();
    emitDirectSums();
    return finish(strip, at, pitch, format);
  }
  forEachChunk([&](Value from, Value to) {
    if (plan.packsChunks())
      packKeys(from, to);
    emitScores(from, to);
  });
  emitSoftmax();
  if (plan.sumsInPieces()) {
    Value end = code.mul(code.sub(rowTo, rowFrom), plan.columns);
    code.loop(code.index(0), end, 8,
              [&](Value i) { code.store(code.zero(), sums, i); });
  }
  forEachChunk([&](Value from, Value to) {
    if (plan.packsChunks())
      packValues(from, to);
    emitSums(from, to);
  });
  finish(strip, at, pitch, format);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

void AttentionEmitter::convertQueries() {
  if (queries == args.q)
    return;
  Value count = code.mul(code.sub(rowTo, rowFrom), plan.depth);
  Value from = code.add(queriesAt, code.mul(rowFrom, plan.depth));
  Value whole = code.mul(code.div(count, 8), 8);
  code.loop(code.index(0), whole, 8, [&](Value i) {
    code.store(code.toF32(code.load(args.q, code.add(from, i), 8)), queries, i);
  });
  code.loop(whole, count, 1, [&](Value i) {
    code.store(code.toF32(code.loadScalar(args.q, code.add(from, i))), queries,
               i);
  });
}

/// Place of the block's first row in `queries`.
Value AttentionEmitter::firstQuery() {
  if (queries != args.q)
    return code.index(0);
  return code.add(queriesAt, code.mul(rowFrom, plan.depth));
}

Value AttentionEmitter::scaled(Value x) {
  return plan.scale == 1 ? x : code.mulF(x, code.splatF(plan.scale));
}

/// One step of k: sums[r] += A[r][k] * B[k].
void AttentionEmitter::step(SmallVectorImpl<Value> &acc, const Tile &tile,
                            Value k, int64_t offset) {
  Value fromB = code.add(code.add(tile.b.at, code.mul(k, kPanelColumns)),
                         offset * kPanelColumns);
  SmallVector<Value> row;
  for (int64_t j = 0; j < tile.vectors; ++j)
    row.push_back(code.load(tile.b.memref, code.add(fromB, 8 * j), 8));
  Value fromA = code.add(tile.a.at, k);
  for (int64_t r = 0; r < tile.rows; ++r) {
    Value x = code.broadcast(code.loadScalar(
        tile.a.memref, code.add(fromA, r * tile.a.pitch + offset)));
    for (int64_t j = 0; j < tile.vectors; ++j) {
      Value &sum = acc[r * tile.vectors + j];
      sum = code.fma(x, row[j], sum);
    }
  }
}

SmallVector<Value> AttentionEmitter::multiply(const Tile &tile, Value count,
                                              int64_t rest, ValueRange start) {
  SmallVector<Value> acc = code.loop(code.index(0), count, kUnroll, start,
                                     [&](Value k, ValueRange carried) {
                                       SmallVector<Value> next(carried);
                                       for (int64_t j = 0; j < kUnroll; ++j)
                                         step(next, tile, k, j);
                                       return next;
                                     });
  for (int64_t j = 0; j < rest; ++j)
    step(acc, tile, count, j);
  return acc;
}

void AttentionEmitter::storeTile(ValueRange values, const Tile &tile,
                                 const Operand &to) {
  for (int64_t r = 0; r < tile.rows; ++r)
    for (int64_t j = 0; j < tile.vectors; ++j)
      code.store(values[r * tile.vectors + j], to.memref,
                 code.add(to.at, r * to.pitch + 8 * j));
}

/// Panels [from, to) of `size` columns in all: body(panel, vectors). At most 8
/// columns in the last one are one vector.
void AttentionEmitter::forEachPanel(
    Value from, Value to, int64_t size,
    llvm::function_ref<void(Value, int64_t)> body) {
  int64_t rest = size % kPanelColumns;
  if (rest == 0 || rest > 8)
    return void(code.loop(from, to, 1, [&](Value panel) { body(panel, 2); }));
  Value whole = code.index(size / kPanelColumns);
  code.loop(from, code.min(to, whole), 1, [&](Value panel) { body(panel, 2); });
  code.loop(code.max(from, whole), to, 1, [&](Value panel) { body(panel, 1); });
}

void AttentionEmitter::emitScores(Value from, Value to) {
  Value base = firstQuery();
  Value whole = code.index(plan.depth / kUnroll * kUnroll);
  forEachPanel(from, to, plan.keys, [&](Value panel, int64_t vectors) {
    Value keys = code.mul(code.sub(panel, from), kPanelColumns * plan.depth);
    forEachTile([&](int64_t rows, Value row) {
      Value query = code.add(base, code.mul(row, plan.depth));
      Tile tile{
          rows, vectors, {queries, query, plan.depth}, {packedKeys, keys}};
      SmallVector<Value> start(rows * vectors, code.zero());
      auto result = multiply(tile, whole, plan.depth % kUnroll, start);
      for (Value &x : result)
        x = scaled(x);
      Value at =
          code.add(code.mul(row, plan.pitch), code.mul(panel, kPanelColumns));
      storeTile(result, tile, {scores, at, plan.pitch});
    });
  });
}

/// Keys of panels [from, to), some at a time.
void AttentionEmitter::emitSums(Value from, Value to) {
  Value first = code.mul(from, kPanelColumns);
  Value seen = code.mul(code.div(code.add(keyEnd, 7), 8), 8);
  Value end = code.min(code.mul(to, kPanelColumns), seen);
  if (!plan.sumsInPieces())
    return sumKeys(first, first, code.sub(end, first));
  code.loop(first, end, plan.keysPerSum, [&](Value key) {
    sumKeys(first, key,
            code.min(code.sub(end, key), code.index(plan.keysPerSum)));
  });
}

/// `count` keys from `key` on; packed values begin with key `first`.
void AttentionEmitter::sumKeys(Value first, Value key, Value count) {
  int64_t panelSize = plan.panelsPerChunk * kPanelColumns * kPanelColumns;
  Value offset = code.mul(code.sub(key, first), kPanelColumns);
  Value end = code.index(plan.columns / kPanelColumns);
  forEachPanel(code.index(0), end, plan.width,
               [&](Value panel, int64_t vectors) {
                 Value values = code.add(code.mul(panel, panelSize), offset);
                 forEachTile([&](int64_t rows, Value row) {
                   Value weights = code.add(code.mul(row, plan.pitch), key);
                   Tile tile{rows,
                             vectors,
                             {scores, weights, plan.pitch},
                             {packedValues, values}};
                   Value at = code.add(code.mul(row, plan.columns),
                                       code.mul(panel, kPanelColumns));
                   SmallVector<Value> start(rows * vectors, code.zero());
                   if (plan.sumsInPieces())
                     for (auto [i, sum] : llvm::enumerate(start))
                       sum = code.load(sums,
                                       code.add(at, i / vectors * plan.columns +
                                                        i % vectors * 8),
                                       8);
                   storeTile(multiply(tile, count, 0, start), tile,
                             {sums, at, plan.columns});
                 });
               });
}

/// Rows [head of the stack][query] to the strip, rounded.
void AttentionEmitter::finish(Value strip, Value at, int64_t pitch,
                              rt::StorageFormat format) {
  code.loop(code.index(0), code.sub(rowTo, rowFrom), 1, [&](Value row) {
    Value from = code.mul(row, plan.columns);
    Value query = plan.stack == 1 ? row : code.rem(row, plan.queries);
    Value to = code.add(at, code.mul(query, pitch));
    if (plan.stack > 1)
      to = code.add(to, code.mul(code.div(row, plan.queries), plan.width));
    int64_t whole = plan.width / 8 * 8;
    code.loop(0, whole, 8, [&](Value c) {
      Value x = code.load(sums, code.add(from, c), 8);
      code.store(code.fromF32(x, format), strip, code.add(to, c));
    });
    code.loop(whole, plan.width, 1, [&](Value c) {
      Value x = code.load(sums, code.add(from, c), 1);
      code.store(code.fromF32(x, format), strip, code.add(to, c));
    });
  });
}

} // namespace cpu
} // namespace nibble
