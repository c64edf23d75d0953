// Attention on the FMA units.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionSimt.h"

#include "QuantizeRecipes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

using cpu::GemmCode;
using Tile = AttentionTile;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
/// Sums of the result of one thread.
constexpr int64_t kMostSums = 64;
/// Rows of V of which each of the threads loads an element.
constexpr int64_t kLeastKeys = Tile::kThreads / 64;

AttentionTile::AttentionTile(const AttentionMatrices &matrices) {
  fours = std::max<int64_t>(divideCeil(matrices.width, 64), 1);
  rowsEach = 4;
  while (rowsEach > 1 &&
         (rowsEach * 4 * fours > kMostSums || 8 * rowsEach >= matrices.rows()))
    rowsEach /= 2;
  // V takes the place of Q and K.
  int64_t floats = kDepth * (rows() + 4 + kKeys + 4);
  keysEach = kKeys;
  while (keysEach > kLeastKeys && keysEach * (64 * fours + 4) > floats)
    keysEach /= 2;
}

namespace {

class AttentionEmitter {
public:
  AttentionEmitter(ProductGraph &graph, mlir::gpu::GPUModuleOp target)
      : graph(graph), target(target), op(cast<nq::AttentionOp>(graph.product)),
        matrices(graph.graph, op), tile(matrices), dag(graph.part.getContext()),
        writer(graph.part.getContext(), matrices.result) {}

  FailureOr<GpuKernel> run() {
    GpuKernel kernel;
    const AttentionMatrices &m = matrices;
    if (m.result.batches * m.rows() * m.width == 0)
      return kernel;
    if (failed(check()))
      return failure();
    ProductFunction function(graph, target, graph.part.getName() + "_flash",
                             Tile::kThreads, tile.fours > 2 ? 1 : 2, 0);
    emit(function);
    kernel.launches.push_back(function.finish(rowBlocks() * m.q.batches));
    kernel.flops =
        2 * m.batch * m.heads * m.queries * m.keys * (m.depth + m.width);
    return kernel;
  }

private:
  LogicalResult check() {
    if (tile.fours * 4 > kMostSums)
      return op.emitOpError()
             << "has values of " << matrices.width
             << " elements; a block of rows keeps its sums in registers, which "
                "hold at most "
             << 64 * kMostSums / 4;
    return success();
  }

  int64_t rowBlocks() const { return divideCeil(matrices.rows(), tile.rows()); }
  int64_t pitchQ() const { return tile.rows() + 4; }
  int64_t pitchK() const { return Tile::kKeys + 4; }
  int64_t pitchV() const { return 64 * tile.fours + 4; }
  int64_t sharedFloats() const {
    return std::max(Tile::kDepth * (pitchQ() + pitchK()),
                    tile.keysEach * pitchV());
  }

  /// What all rows of a thread carry from tile to tile of keys.
  struct State {
    SmallVector<Value> top, total; ///< per row
    SmallVector<Value> sums;       ///< row by row
    SmallVector<Value> all() const {
      SmallVector<Value> values(top);
      llvm::append_range(values, total);
      llvm::append_range(values, sums);
      return values;
    }
  };
  State stateOf(ValueRange values) const {
    size_t n = tile.rowsEach;
    State state;
    state.top.assign(values.begin(), values.begin() + n);
    state.total.assign(values.begin() + n, values.begin() + 2 * n);
    state.sums.assign(values.begin() + 2 * n, values.end());
    return state;
  }

  void emit(ProductFunction &f) {
    GemmCode &code = f.code;
    MLIRContext *context = graph.part.getContext();
    matrices.result.tensor->buffer.memref =
        f.function.getArgument(graph.part.getNumArguments());
    TileLoader q(context, matrices.q,
                 {tile.rows(), Tile::kDepth, pitchQ(), Tile::kThreads});
    TileLoader k(context, matrices.k,
                 {Tile::kKeys, Tile::kDepth, pitchK(), Tile::kThreads,
                  /*interleaved=*/true});
    // `fours` of these side by side.
    TileLoader v(context, matrices.v,
                 {64, tile.keysEach, pitchV(), Tile::kThreads});
    loadQ = &q, loadK = &k, loadV = &v;
    shared = f.addShared(sharedFloats());
    weights = f.addShared(Tile::kKeys * pitchQ());
    thread = f.thread();
    threadRow = code.div(thread, 16);
    threadColumn = code.rem(thread, 16);
    // Neighbours share keys and values.
    block = code.rem(f.block(), rowBlocks());
    matrix = code.div(f.block(), rowBlocks());
    loadLength(code);
    keyEnd = visibleKeys(code);
    State state;
    state.top.assign(tile.rowsEach, f.constant(kMinusInfinity));
    state.total.assign(tile.rowsEach, f.zero());
    state.sums.assign(tile.rowsEach * 4 * tile.fours, f.zero());
    Value tiles = code.div(code.add(keyEnd, Tile::kKeys - 1), Tile::kKeys);
    if (matrices.codes)
      return emitTwice(f, tiles, state);
    SmallVector<Value> done =
        code.loop(code.index(0), tiles, 1, state.all(),
                  [&](Value step, ValueRange carried) {
                    return emitTile(f, step, stateOf(carried)).all();
                  });
    emitResult(f, stateOf(f.pin(done)));
  }

  /// Weights become codes when maximum and sum of their row are known.
  void emitTwice(ProductFunction &f, Value tiles, State state) {
    GemmCode &code = f.code;
    SmallVector<Value> sums;
    std::swap(sums, state.sums);
    SmallVector<Value> found = code.loop(code.index(0), tiles, 1, state.all(),
                                         [&](Value step, ValueRange carried) {
                                           State next = stateOf(carried);
                                           SmallVector<Value> scores =
                                               multiplyKeys(f, step);
                                           adjust(f, step, scores);
                                           softmax(f, scores, next);
                                           return next.all();
                                         });
    state = stateOf(f.pin(found));
    SmallVector<Value> done = code.loop(
        code.index(0), tiles, 1, sums, [&](Value step, ValueRange carried) {
          SmallVector<Value> scores = multiplyKeys(f, step);
          adjust(f, step, scores);
          quantize(f, scores, state);
          storeWeights(code, scores);
          f.barrier();
          return multiplyValues(f, step, SmallVector<Value>(carried));
        });
    state.sums = f.pin(done);
    emitResult(f, state);
  }

  /// Longer ones let all queries see all keys; indices have 32 bits.
  void loadLength(GemmCode &code) {
    filled = code.index(matrices.keys);
    if (!matrices.length)
      return;
    cpu::Dag numbers(graph.part.getContext());
    unsigned m = numbers.addDim({matrices.q.batches});
    cpu::Node *node = matrices.length(numbers, cpu::Lin::dim(m));
    cpu::LoopEmitter emitter(code.b, numbers, {m});
    emitter.bind(m, matrix);
    Value number = emitter.emit(node);
    auto limit = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(
          code.b, code.b.getIntegerAttr(number.getType(), value));
    };
    number = arith::MaxSIOp::create(code.b, number, limit(0));
    number = arith::MinSIOp::create(code.b, number,
                                    limit(matrices.keys + matrices.queries));
    length = arith::IndexCastOp::create(code.b, code.b.getIndexType(), number);
    filled = code.min(length, filled);
  }

  /// End of the keys that a query sees, if causal; maybe below 0.
  Value endOf(GemmCode &code, Value query) {
    Value shift = matrices.followsLength
                      ? code.sub(length, code.index(matrices.queries - 1))
                      : code.index(matrices.shift + 1);
    return code.min(code.add(query, shift), filled);
  }

  /// Keys that any row of the block sees.
  Value visibleKeys(GemmCode &code) {
    if (!matrices.causal)
      return filled;
    int64_t queries = matrices.queries;
    Value first = code.mul(block, tile.rows());
    Value last = code.min(code.add(first, tile.rows() - 1),
                          code.index(matrices.rows() - 1));
    Value alike = arith::CmpIOp::create(code.b, arith::CmpIPredicate::eq,
                                        code.div(first, queries),
                                        code.div(last, queries));
    Value query = arith::SelectOp::create(
        code.b, alike, code.rem(last, queries), code.index(queries - 1));
    return code.max(endOf(code, query), code.index(0));
  }

  //===--------------------------------------------------------------------===//
  // Scores
  //===--------------------------------------------------------------------===//

  State emitTile(ProductFunction &f, Value step, State state) {
    SmallVector<Value> scores = multiplyKeys(f, step);
    adjust(f, step, scores);
    softmax(f, scores, state);
    storeWeights(f.code, scores);
    f.barrier();
    state.sums = multiplyValues(f, step, state.sums);
    return state;
  }

  SmallVector<Value> loadVector(GemmCode &code, Value memory, Value at,
                                int64_t count) {
    if (count == 1)
      return {code.loadScalar(memory, at)};
    Value all = vector::LoadOp::create(
        code.b, code.vec(count, code.f32()), memory, at,
        /*nontemporal=*/false, llvm::MaybeAlign(4 * count));
    SmallVector<Value> values;
    for (int64_t i = 0; i < count; ++i)
      values.push_back(vector::ExtractOp::create(code.b, all, i));
    return values;
  }

  static void multiplyAdd(GemmCode &code, ArrayRef<Value> x, ArrayRef<Value> y,
                          MutableArrayRef<Value> sums) {
    for (auto [i, xi] : llvm::enumerate(x))
      for (auto [j, yj] : llvm::enumerate(y)) {
        Value &sum = sums[i * y.size() + j];
        sum = math::FmaOp::create(code.b, xi, yj, sum);
      }
  }

  /// Scores of rows threadRow * rowsEach + i and keys threadColumn + 16 j.
  SmallVector<Value> multiplyKeys(ProductFunction &f, Value step) {
    GemmCode &code = f.code;
    SmallVector<Value> zeros(tile.rowsEach * 4, f.zero());
    int64_t depthSteps = divideCeil(matrices.depth, Tile::kDepth);
    int64_t keysAt = Tile::kDepth * pitchQ();
    return code.loop(
        0, depthSteps, 1, zeros, [&](Value part, ValueRange carried) {
          auto tileQ = loadQ->load(f, thread, {matrix, block, part, {}});
          auto tileK = loadK->load(f, thread, {matrix, step, part, {}});
          f.barrier();
          loadQ->store(f, thread, tileQ, shared, code.index(0));
          loadK->store(f, thread, tileK, shared, code.index(keysAt));
          f.barrier();
          SmallVector<Value> sums(carried);
          Value atQ = code.mul(threadRow, tile.rowsEach);
          Value atK = code.add(code.mul(threadColumn, 4), keysAt);
          for (int64_t d = 0; d < Tile::kDepth; ++d)
            multiplyAdd(
                code,
                loadVector(code, shared, code.add(atQ, d * pitchQ()),
                           tile.rowsEach),
                loadVector(code, shared, code.add(atK, d * pitchK()), 4), sums);
          return sums;
        });
  }

  Value rowOf(GemmCode &code, int64_t i) {
    return code.add(code.add(code.mul(block, tile.rows()),
                             code.mul(threadRow, tile.rowsEach)),
                    i);
  }

  /// Scale, softcap, mask and the ends of what a row sees.
  void adjust(ProductFunction &f, Value step, SmallVector<Value> &scores) {
    GemmCode &code = f.code;
    Value nothing = f.constant(kMinusInfinity);
    for (int64_t i = 0; i < tile.rowsEach; ++i) {
      Value row = code.min(rowOf(code, i), code.index(matrices.rows() - 1));
      Value end = filled;
      if (matrices.causal)
        end = endOf(code, code.rem(row, matrices.queries));
      for (int64_t j = 0; j < 4; ++j) {
        Value &score = scores[i * 4 + j];
        Value key = code.add(code.mul(step, Tile::kKeys),
                             code.add(threadColumn, 16 * j));
        score =
            arith::MulFOp::create(code.b, score, f.constant(matrices.scale));
        if (matrices.softcap != 0)
          score = capped(f, score);
        if (matrices.mask)
          score = masked(f, score, row, key);
        score = arith::SelectOp::create(code.b, code.less(key, end), score,
                                        nothing);
      }
    }
  }

  Value capped(ProductFunction &f, Value score) {
    Value cap = f.constant(matrices.softcap);
    Value ratio = arith::DivFOp::create(f.code.b, score, cap);
    Value limited = math::TanhOp::create(f.code.b, ratio);
    return arith::MulFOp::create(f.code.b, limited, cap);
  }

  Value masked(ProductFunction &f, Value score, Value row, Value key) {
    GemmCode &code = f.code;
    if (!maskNode) {
      unsigned m = dag.addDim({matrices.q.batches}),
               r = dag.addDim({matrices.rows()}),
               t = dag.addDim({matrices.keys});
      maskNode = matrices.mask(dag, cpu::Lin::dim(m), cpu::Lin::dim(r),
                               cpu::Lin::dim(t));
    }
    cpu::LoopEmitter emitter(code.b, dag, {0, 1, 2});
    emitter.bind(0, matrix);
    emitter.bind(1, row);
    emitter.bind(2, code.min(key, code.index(matrices.keys - 1)));
    Value mask = emitter.emit(maskNode);
    if (isa<FloatType>(mask.getType()))
      return arith::AddFOp::create(code.b, score, mask);
    return arith::SelectOp::create(code.b, mask, score,
                                   f.constant(kMinusInfinity));
  }

  //===--------------------------------------------------------------------===//
  // Softmax
  //===--------------------------------------------------------------------===//

  /// Over the 16 threads that share rows.
  Value reduce(GemmCode &code, Value x,
               function_ref<Value(Value, Value)> combine) {
    for (int32_t distance : {1, 2, 4, 8}) {
      Value other = mlir::gpu::ShuffleOp::create(code.b, x, distance, 32,
                                                 mlir::gpu::ShuffleMode::XOR)
                        .getShuffleResult();
      x = combine(x, other);
    }
    return x;
  }

  /// The row has no maximum: zero, next to which exp(-inf) is zero.
  Value baseOf(ProductFunction &f, Value top) {
    Value isEmpty = arith::CmpFOp::create(f.code.b, arith::CmpFPredicate::OEQ,
                                          top, f.constant(kMinusInfinity));
    return arith::SelectOp::create(f.code.b, isEmpty, f.zero(), top);
  }

  /// 1 / total, or zero for a row that saw nothing.
  Value inverseOf(ProductFunction &f, Value total) {
    Value isEmpty = arith::CmpFOp::create(f.code.b, arith::CmpFPredicate::OEQ,
                                          total, f.zero());
    Value inverse = arith::DivFOp::create(f.code.b, f.constant(1), total);
    return arith::SelectOp::create(f.code.b, isEmpty, f.zero(), inverse);
  }

  Value exponential(GemmCode &code, Value x, Value base) {
    return math::ExpOp::create(code.b, arith::SubFOp::create(code.b, x, base));
  }

  /// Scores become numbers of codes.
  void quantize(ProductFunction &f, SmallVector<Value> &scores,
                const State &state) {
    GemmCode &code = f.code;
    for (int64_t i = 0; i < tile.rowsEach; ++i) {
      Value base = baseOf(f, state.top[i]);
      Value share = arith::DivFOp::create(code.b, inverseOf(f, state.total[i]),
                                          f.constant(matrices.codes->scale));
      for (int64_t j = 0; j < 4; ++j) {
        Value &score = scores[i * 4 + j];
        Value weight = arith::MulFOp::create(
            code.b, exponential(code, score, base), share);
        score = cpu::codeNumber({&code.b, weight}, matrices.codes->type).v;
      }
    }
  }

  static Value larger(GemmCode &code, Value x, Value y) {
    // One of two may be NaN: then so is the sum, whatever the maximum.
    return arith::MaxNumFOp::create(code.b, x, y);
  }

  void softmax(ProductFunction &f, SmallVector<Value> &scores, State &state) {
    GemmCode &code = f.code;
    for (int64_t i = 0; i < tile.rowsEach; ++i) {
      Value top = state.top[i];
      Value best = scores[i * 4];
      for (int64_t j = 1; j < 4; ++j)
        best = larger(code, best, scores[i * 4 + j]);
      best = reduce(code, best,
                    [&](Value x, Value y) { return larger(code, x, y); });
      Value next = larger(code, top, best);
      Value base = baseOf(f, next);
      auto weight = [&](Value x) { return exponential(code, x, base); };
      Value sum;
      for (int64_t j = 0; j < 4; ++j) {
        Value &score = scores[i * 4 + j];
        score = weight(score);
        sum =
            sum ? arith::AddFOp::create(code.b, sum, score).getResult() : score;
      }
      sum = reduce(code, sum, [&](Value x, Value y) -> Value {
        return arith::AddFOp::create(code.b, x, y);
      });
      Value fade = weight(top);
      state.top[i] = next;
      state.total[i] = math::FmaOp::create(code.b, state.total[i], fade, sum);
      for (int64_t c = 0; c < 4 * tile.fours && !state.sums.empty(); ++c) {
        Value &element = state.sums[i * 4 * tile.fours + c];
        element = arith::MulFOp::create(code.b, element, fade);
      }
    }
  }

  /// Key by key, rows together.
  void storeWeights(GemmCode &code, ArrayRef<Value> scores) {
    for (int64_t j = 0; j < 4; ++j) {
      Value at = code.add(code.mul(code.add(threadColumn, 16 * j), pitchQ()),
                          code.mul(threadRow, tile.rowsEach));
      SmallVector<Value> column;
      for (int64_t i = 0; i < tile.rowsEach; ++i)
        column.push_back(scores[i * 4 + j]);
      if (column.size() == 1) {
        code.store(column[0], weights, at);
        continue;
      }
      Value all = vector::FromElementsOp::create(
          code.b, code.vec(tile.rowsEach, code.f32()), column);
      vector::StoreOp::create(code.b, all, weights, at, /*nontemporal=*/false,
                              llvm::MaybeAlign(4 * tile.rowsEach));
    }
  }

  //===--------------------------------------------------------------------===//
  // Values
  //===--------------------------------------------------------------------===//

  SmallVector<Value> multiplyValues(ProductFunction &f, Value step,
                                    ArrayRef<Value> sums) {
    GemmCode &code = f.code;
    int64_t keys = tile.keysEach;
    return code.loop(
        0, Tile::kKeys / keys, 1, sums, [&](Value part, ValueRange carried) {
          Value vStep = code.add(code.mul(step, Tile::kKeys / keys), part);
          SmallVector<TileLoader::Tile> tiles;
          for (int64_t g = 0; g < tile.fours; ++g)
            tiles.push_back(
                loadV->load(f, thread, {matrix, code.index(g), vStep, keyEnd}));
          f.barrier();
          for (int64_t g = 0; g < tile.fours; ++g)
            loadV->store(f, thread, tiles[g], shared, code.index(64 * g));
          f.barrier();
          SmallVector<Value> next(carried);
          Value atP = code.add(code.mul(part, keys * pitchQ()),
                               code.mul(threadRow, tile.rowsEach));
          Value atV = code.mul(threadColumn, 4);
          for (int64_t t = 0; t < keys; ++t) {
            SmallVector<Value> x = loadVector(
                code, weights, code.add(atP, t * pitchQ()), tile.rowsEach);
            SmallVector<Value> y;
            for (int64_t g = 0; g < tile.fours; ++g)
              llvm::append_range(
                  y, loadVector(code, shared,
                                code.add(atV, t * pitchV() + 64 * g), 4));
            multiplyAdd(code, x, y, next);
          }
          return next;
        });
  }

  //===--------------------------------------------------------------------===//
  // Result
  //===--------------------------------------------------------------------===//

  void emitResult(ProductFunction &f, const State &state) {
    GemmCode &code = f.code;
    for (int64_t i = 0; i < tile.rowsEach; ++i) {
      Value row = rowOf(code, i);
      Value inverse = matrices.codes ? f.constant(matrices.codes->scale)
                                     : inverseOf(f, state.total[i]);
      code.ifElse(code.less(row, code.index(matrices.rows())), [&] {
        for (int64_t g = 0; g < tile.fours; ++g)
          emitFour(
              code, row, g, inverse,
              ArrayRef<Value>(state.sums).slice((i * tile.fours + g) * 4, 4));
      });
    }
  }

  void emitFour(GemmCode &code, Value row, int64_t g, Value inverse,
                ArrayRef<Value> sums) {
    SmallVector<Value> values;
    for (Value sum : sums)
      values.push_back(arith::MulFOp::create(code.b, sum, inverse));
    Value column = code.add(code.mul(threadColumn, 4), 64 * g);
    Value end = code.index(matrices.width);
    if (writer.getLanes() == 4) {
      code.ifElse(code.less(column, end), [&] {
        Value four = vector::FromElementsOp::create(
            code.b, code.vec(4, code.f32()), values);
        writer.write(code, four, matrix, row, code.div(column, 4));
      });
      return;
    }
    for (int64_t j = 0; j < 4; ++j)
      code.ifElse(code.less(code.add(column, j), end), [&] {
        writer.write(code, values[j], matrix, row, code.add(column, j));
      });
  }

  ProductGraph &graph;
  mlir::gpu::GPUModuleOp target;
  nq::AttentionOp op;
  AttentionMatrices matrices;
  AttentionTile tile;
  cpu::Dag dag; ///< of the mask
  cpu::Node *maskNode = nullptr;
  ResultWriter writer;
  TileLoader *loadQ = nullptr, *loadK = nullptr, *loadV = nullptr;
  Value shared, weights, thread, threadRow, threadColumn, block, matrix, keyEnd;
  Value length; ///< between 0 and keys + queries
  Value filled; ///< keys that there are
};

} // namespace

FailureOr<GpuKernel> emitAttention(func::FuncOp part,
                                   mlir::gpu::GPUModuleOp target,
                                   const GpuTarget &) {
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  return AttentionEmitter(graph, target).run();
}

} // namespace gpu
} // namespace nibble
