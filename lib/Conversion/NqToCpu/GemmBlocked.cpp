// Many rows: blocks of A are packed for 6x16 register tiles, panels of B are
// expanded to f32 chunk by chunk.
//
//   for each group of panels (in one segment: batch x row block)
//     for each chunk of k
//       pack A[rows][chunk]                            (stays in the L2 cache)
//       for each panel
//         expand B[chunk][16]                          (stays in the L1 cache)
//         for each tile: sums[<=6][16] += A * B
//     scale, add the bias, apply the hook, round and store
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

constexpr int64_t kMaxTileRows = 6;
constexpr int64_t kMaxBlockTiles = 28; // 168 rows x 384 k x 4 bytes: 252 KiB
constexpr int64_t kMaxChunk = 384;     // 24 KiB of B
constexpr int64_t kGoodChunk = 192;    // long enough to hide the loads of sums
constexpr int64_t kMaxPanelGroup = 32;
constexpr int64_t kFewRowsBytes = 384 << 10;
constexpr int64_t kUnroll = 8;
constexpr int64_t kMaxPrefetches = 64; // at once, per tile

class BlockedGemm : public GemmEmitter {
public:
  BlockedGemm(OpBuilder &builder, Location loc, const GemmSpec &spec,
              const BlockedPlan &plan, const GemmArgs &args,
              GemmEpilogue epilogue)
      : GemmEmitter(builder, loc, spec, args, epilogue), plan(plan) {}

  void begin() override {
    int64_t depth = roundUp(plan.kc, kUnroll);
    packedA = code.scratchF32(args.scratch, 0, plan.rowsPerBlock * depth);
    if (plan.expandB)
      expandedB =
          code.scratchF32(args.scratch, plan.offsetB, depth * kPanelColumns);
    sums = code.scratchF32(args.scratch, plan.offsetSums,
                           plan.panelGroup * plan.rowsPerBlock * kPanelColumns);
  }

  void enterSegment(Value segment, bool /*isPrepared*/) override {
    at = batchOffsets(code.div(segment, plan.rowBlocks));
    Value block = code.rem(segment, plan.rowBlocks);
    tileFrom = code.mul(block, plan.tilesPerBlock);
    tileTo = code.min(code.add(tileFrom, plan.tilesPerBlock),
                      code.index(plan.tiles));
    rowFrom = rowOfTile(tileFrom);
    rowTo = rowOfTile(tileTo);
  }

  void emitPanels(Value first, Value end) override {
    code.loop(first, end, plan.panelGroup, [&](Value from) {
      groupFrom = from;
      groupTo = code.min(code.add(from, plan.panelGroup), end);
      emitGroup();
    });
  }

private:
  //===--------------------------------------------------------------------===//
  // Rows
  //===--------------------------------------------------------------------===//

  /// First row of tile `t`: the first bigTiles tiles have one row more.
  Value rowOfTile(Value t) {
    Value rows = code.mul(t, plan.tileRows);
    if (plan.bigTiles == plan.tiles)
      return rows;
    Value short_ =
        code.max(code.sub(t, code.index(plan.bigTiles)), code.index(0));
    return code.sub(rows, short_);
  }

  /// body(rows of the tile, first row within the block)
  void forEachTile(llvm::function_ref<void(int64_t, Value)> body) {
    Value border = code.index(plan.bigTiles);
    auto tiles = [&](Value from, Value to, int64_t rows) {
      code.loop(from, to, 1,
                [&](Value t) { body(rows, code.sub(rowOfTile(t), rowFrom)); });
    };
    tiles(tileFrom, code.min(tileTo, border), plan.tileRows);
    if (plan.bigTiles < plan.tiles)
      tiles(code.max(tileFrom, border), tileTo, plan.tileRows - 1);
  }

  //===--------------------------------------------------------------------===//
  // Chunks of k
  //===--------------------------------------------------------------------===//

  /// One chunk: sums stay in registers. Several: sums go through memory, which
  /// costs little and needs one copy of the inner loops only.
  void emitGroup() {
    if (plan.chunks == 1)
      return emitChunk(code.index(0), spec.k, Value());
    clearSums();
    int64_t rest = plan.lastK(spec);
    int64_t whole = plan.chunks - (rest == plan.kc ? 0 : 1);
    code.loop(0, whole, 1, [&](Value chunk) {
      Value last = code.less(code.index(plan.chunks - 2), chunk);
      emitChunk(code.mul(chunk, plan.kc), plan.kc, last);
    });
    if (whole < plan.chunks)
      emitChunk(code.index(whole * plan.kc), rest,
                code.less(code.index(0), code.index(1)));
  }

  Value sumsOfPanel(Value panel) {
    return code.mul(code.sub(panel, groupFrom),
                    plan.rowsPerBlock * kPanelColumns);
  }

  void clearSums() {
    Value zero = code.zero();
    Value end = sumsOfPanel(groupTo);
    code.loop(code.index(0), end, 8,
              [&](Value i) { code.store(zero, sums, i); });
  }

  /// `last` tells whether sums are complete; null if there is one chunk only.
  void emitChunk(Value k, int64_t depth, Value last) {
    packA(k, depth);
    code.loop(groupFrom, groupTo, 1, [&](Value panel) {
      if (plan.expandB)
        expandB(panel, k, depth);
      Value sumsAt = sumsOfPanel(panel);
      forEachTile([&](int64_t rows, Value row) {
        prefetch(panel, k, depth, row);
        Value tileAt = code.add(sumsAt, code.mul(row, kPanelColumns));
        SmallVector<PanelRow> tile =
            multiply(rows, row, panel, k, depth, /*first=*/!last, tileAt);
        if (!last)
          return storeTile(tile, row, panel, tileAt);
        writeTile(tile, tileAt);
        code.ifElse(last, [&] { finishTile(rows, row, panel, tileAt); });
      });
    });
  }

  //===--------------------------------------------------------------------===//
  // A: per tile, order (k / 8, row, k % 8)
  //===--------------------------------------------------------------------===//

  void packA(Value k, int64_t depth) {
    int64_t whole = depth / kUnroll * kUnroll;
    forEachTile([&](int64_t rows, Value row) {
      Value tileAt = code.mul(row, roundUp(depth, kUnroll));
      code.loop(0, rows, 1, [&](Value r) {
        Value rowOfA = code.add(code.add(rowFrom, row), r);
        Value from = code.add(code.add(at.a, code.mul(rowOfA, strideA())), k);
        Value to = code.add(tileAt, code.mul(r, kUnroll));
        code.loop(0, whole, kUnroll, [&](Value i) {
          Value x = activation.load(code.add(from, i), kUnroll);
          code.store(x, packedA, code.add(to, code.mul(i, rows)));
        });
        if (whole == depth)
          return;
        code.loop(whole, depth, 1, [&](Value i) {
          Value x = activation.load(code.add(from, i), 1);
          Value place = code.sub(i, code.index(whole));
          code.store(x, packedA, code.add(code.add(to, whole * rows), place));
        });
      });
    });
  }

  //===--------------------------------------------------------------------===//
  // B: one panel chunk in f32, order (k, column)
  //===--------------------------------------------------------------------===//

  void expandB(Value panel, Value k, int64_t depth) {
    switch (spec.bKind) {
    case GemmB::Packed:
      return expandPacked(panel, k, depth);
    case GemmB::RowsK:
      return expandByEdge(panel, [&](int64_t columns) {
        columns == kPanelColumns ? copyRows(panel, k, depth)
                                 : copyEdge(panel, k, depth, columns);
      });
    case GemmB::RowsN:
      return expandByEdge(panel, [&](int64_t columns) {
        columns == kPanelColumns ? transposeRows(panel, k, depth)
                                 : copyEdge(panel, k, depth, columns);
      });
    }
  }

  void expandByEdge(Value panel, llvm::function_ref<void(int64_t)> body) {
    int64_t rest = spec.n % kPanelColumns;
    if (!hasEdge())
      return body(kPanelColumns);
    if (spec.n < kPanelColumns)
      return body(rest);
    code.ifElse(
        isFullPanel(panel), [&] { body(kPanelColumns); }, [&] { body(rest); });
  }

  void storeB(const PanelRow &row, Value k) {
    Value to = code.mul(k, kPanelColumns);
    code.store(row.low, expandedB, to);
    code.store(row.high, expandedB, code.add(to, 8));
  }

  void expandPacked(Value panel, Value k, int64_t depth) {
    const GemmWeight &w = spec.weight;
    if (!w.scaleAlongK()) {
      std::optional<PanelRow> zero;
      if (w.zeroPoint)
        zero = decoder.zeroPoint(panel, code.index(0));
      return expandRange(panel, k, code.index(0), depth, nullptr,
                         zero ? &*zero : nullptr);
    }
    // Either the chunk lies within a block, or it begins with one.
    int64_t block = std::min(w.blockK, depth);
    Value kb = code.div(k, w.blockK);
    int64_t whole = depth / block;
    code.loop(0, whole, 1, [&](Value i) {
      expandBlock(panel, k, code.mul(i, block), code.add(kb, i), block);
    });
    if (depth % block)
      expandBlock(panel, k, code.index(whole * block), code.add(kb, whole),
                  depth % block);
  }

  void expandBlock(Value panel, Value k, Value local, Value kb, int64_t count) {
    PanelRow scale = decoder.scale(panel, kb);
    std::optional<PanelRow> zero;
    if (spec.weight.zeroPoint)
      zero = decoder.zeroPoint(panel, kb);
    expandRange(panel, code.add(k, local), local, count, &scale,
                zero ? &*zero : nullptr);
  }

  /// k .. k + count of the panel to rows local .. of the copy.
  void expandRange(Value panel, Value k, Value local, int64_t count,
                   const PanelRow *scale, const PanelRow *zero) {
    int64_t step = decoder.step();
    auto one = [&](Value i, int64_t valid) {
      auto rows = decoder.decode(panel, code.add(k, i), zero);
      for (int64_t j = 0; j < valid; ++j) {
        PanelRow row = rows[j];
        if (scale)
          row = {code.mulF(row.low, scale->low),
                 code.mulF(row.high, scale->high)};
        storeB(row, code.add(code.add(local, i), j));
      }
    };
    int64_t whole = count / step * step;
    code.loop(0, whole, step, [&](Value i) { one(i, step); });
    if (whole < count)
      one(code.index(whole), count - whole);
  }

  int64_t strideB() const {
    if (spec.strideB)
      return spec.strideB;
    return spec.bKind == GemmB::RowsK ? spec.n : spec.k;
  }
  /// Element (k, column) of a run-time B.
  Value placeInB(Value k, Value column) {
    bool rowsK = spec.bKind == GemmB::RowsK;
    Value row = rowsK ? k : column, rest = rowsK ? column : k;
    return code.add(code.add(at.b, code.mul(row, strideB())), rest);
  }

  void copyRows(Value panel, Value k, int64_t depth) {
    Value column = code.mul(panel, kPanelColumns);
    code.loop(0, depth, 1, [&](Value i) {
      Value from = placeInB(code.add(k, i), column);
      storeB({code.toF32(code.load(args.b, from, 8)),
              code.toF32(code.load(args.b, code.add(from, 8), 8))},
             i);
    });
  }

  void transposeRows(Value panel, Value k, int64_t depth) {
    int64_t whole = depth / 8 * 8;
    code.loop(0, 2, 1, [&](Value half) {
      Value inPanel = code.mul(half, 8);
      Value column = code.add(code.mul(panel, kPanelColumns), inPanel);
      code.loop(0, whole, 8, [&](Value i) {
        SmallVector<Value> rows;
        Value from = placeInB(code.add(k, i), column);
        for (int64_t n = 0; n < 8; ++n)
          rows.push_back(
              code.toF32(code.load(args.b, code.add(from, n * strideB()), 8)));
        rows = code.transpose8x8(rows);
        Value to = code.add(code.mul(i, kPanelColumns), inPanel);
        for (int64_t j = 0; j < 8; ++j)
          code.store(rows[j], expandedB, code.add(to, j * kPanelColumns));
      });
    });
    if (whole < depth)
      copyElements(panel, k, whole, depth, kPanelColumns);
  }

  void copyEdge(Value panel, Value k, int64_t depth, int64_t columns) {
    code.loop(0, depth, 1,
              [&](Value i) { storeB({code.zero(), code.zero()}, i); });
    copyElements(panel, k, 0, depth, columns);
  }

  void copyElements(Value panel, Value k, int64_t from, int64_t to,
                    int64_t columns) {
    code.loop(from, to, 1, [&](Value i) {
      code.loop(0, columns, 1, [&](Value c) {
        Value column = code.add(code.mul(panel, kPanelColumns), c);
        Value place = placeInB(code.add(k, i), column);
        Value x = code.toF32(code.loadScalar(args.b, place));
        code.store(x, expandedB, code.add(code.mul(i, kPanelColumns), c));
      });
    });
  }

  /// Asks for the next panel's part of this chunk, a piece with each tile: the
  /// hardware does not foresee the jump from panel to panel.
  void prefetch(Value panel, Value k, int64_t depth, Value row) {
    if (spec.bKind != GemmB::Packed)
      return;
    int64_t bits = rt::formatBits(spec.weight.code) * kPanelColumns;
    int64_t lines = ceilDiv(depth * bits / 8, 64);
    int64_t perTile = ceilDiv(lines, plan.tilesPerBlock);
    if (perTile > kMaxPrefetches)
      return;
    Value next = code.min(code.add(panel, 1), code.index(panels() - 1));
    Value tile = code.div(row, plan.tileRows);
    Value from = code.add(
        code.mul(next, gemmPanels(spec.weight).panelBytes),
        code.add(code.div(code.mul(k, bits), 8), code.mul(tile, perTile * 64)));
    for (int64_t i = 0; i < perTile; ++i)
      memref::PrefetchOp::create(code.b, args.b, code.add(from, i * 64),
                                 /*isWrite=*/false, /*localityHint=*/2,
                                 /*isDataCache=*/true);
  }

  //===--------------------------------------------------------------------===//
  // Tiles
  //===--------------------------------------------------------------------===//

  /// Row k (+ offset) of the panel chunk.
  PanelRow loadB(Value panel, Value kOfChunk, Value k, int64_t offset) {
    if (plan.expandB) {
      Value from = code.add(code.mul(k, kPanelColumns), offset * kPanelColumns);
      return {code.load(expandedB, from, 8),
              code.load(expandedB, code.add(from, 8), 8)};
    }
    // f32 panels are used where they are.
    Value row = code.add(code.mul(panel, spec.k), code.add(kOfChunk, k));
    Value byte =
        code.add(code.mul(row, kPanelColumns * 4), offset * kPanelColumns * 4);
    return {code.loadBytes(args.b, byte, 8, code.f32()),
            code.loadBytes(args.b, code.add(byte, 32), 8, code.f32())};
  }

  /// One step of k: sums[r] += A[r][k] * B[k].
  void step(SmallVectorImpl<Value> &acc, const PanelRow &b, Value fromA,
            int64_t rows) {
    for (int64_t r = 0; r < rows; ++r) {
      Value x = code.broadcast(
          code.loadScalar(packedA, code.add(fromA, r * kUnroll)));
      acc[2 * r] = code.fma(x, b.low, acc[2 * r]);
      acc[2 * r + 1] = code.fma(x, b.high, acc[2 * r + 1]);
    }
  }

  SmallVector<Value> initialSums(int64_t rows, bool first, Value tileAt) {
    SmallVector<Value> acc;
    Value zero = first ? code.zero() : Value();
    for (int64_t i = 0; i < 2 * rows; ++i)
      acc.push_back(first ? zero : code.load(sums, code.add(tileAt, i * 8), 8));
    return acc;
  }

  SmallVector<PanelRow> multiply(int64_t rows, Value row, Value panel,
                                 Value kOfChunk, int64_t depth, bool first,
                                 Value tileAt) {
    Value tileA = code.mul(row, roundUp(depth, kUnroll));
    int64_t whole = depth / kUnroll * kUnroll;
    auto acc = code.loop(0, whole, kUnroll, initialSums(rows, first, tileAt),
                         [&](Value k, ValueRange carried) {
                           SmallVector<Value> next(carried);
                           Value fromA = code.add(tileA, code.mul(k, rows));
                           for (int64_t j = 0; j < kUnroll; ++j)
                             step(next, loadB(panel, kOfChunk, k, j),
                                  code.add(fromA, j), rows);
                           return next;
                         });
    for (int64_t j = whole; j < depth; ++j)
      step(acc, loadB(panel, kOfChunk, code.index(whole), j - whole),
           code.add(tileA, whole * rows + j - whole), rows);
    SmallVector<PanelRow> tile;
    for (int64_t r = 0; r < rows; ++r)
      tile.push_back({acc[2 * r], acc[2 * r + 1]});
    return tile;
  }

  void writeTile(ArrayRef<PanelRow> tile, Value tileAt) {
    for (auto [r, row] : llvm::enumerate(tile)) {
      code.store(row.low, sums, code.add(tileAt, r * kPanelColumns));
      code.store(row.high, sums, code.add(tileAt, r * kPanelColumns + 8));
    }
  }

  void finishTile(int64_t rows, Value row, Value panel, Value tileAt) {
    finishRows(sums, tileAt, code.index(rows), code.add(rowFrom, row), panel,
               at.c);
  }

  /// Finished sums go to C at once, unless a hook or the right edge wants them
  /// from memory.
  void storeTile(ArrayRef<PanelRow> tile, Value row, Value panel,
                 Value tileAt) {
    auto viaMemory = [&] {
      writeTile(tile, tileAt);
      finishTile(tile.size(), row, panel, tileAt);
    };
    auto direct = [&] {
      Columns columns = loadColumns(panel, /*withBias=*/true);
      Value to =
          code.add(code.add(at.c, code.mul(code.add(rowFrom, row), strideC())),
                   code.mul(panel, kPanelColumns));
      for (auto [r, sum] : llvm::enumerate(tile))
        storeRow(sum, columns, code.add(to, r * strideC()));
    };
    if (epilogue || spec.n < kPanelColumns)
      return viaMemory();
    if (!hasEdge())
      return direct();
    code.ifElse(isFullPanel(panel), direct, viaMemory);
  }

  const BlockedPlan plan;
  Value packedA, expandedB, sums;
  Value tileFrom, tileTo, groupFrom, groupTo;
};

} // namespace

static bool usesPanelsInPlace(const GemmSpec &spec) {
  return spec.bKind == GemmB::Packed &&
         spec.weight.code == rt::StorageFormat::F32;
}

/// A few rows: all of A and a whole panel fit into the L2 cache. Panels are
/// then read from end to end, at the speed of the memory.
static bool fitsWithoutChunks(const GemmSpec &spec) {
  return usesPanelsInPlace(spec) &&
         (spec.m + kPanelColumns) * spec.k * 4 <= kFewRowsBytes;
}

int64_t chooseChunk(const GemmSpec &spec) {
  int64_t unit = kUnroll;
  if (fitsWithoutChunks(spec))
    return roundUp(spec.k, unit);
  int64_t limit = kMaxChunk;
  if (spec.bKind == GemmB::Packed && spec.weight.scaleAlongK()) {
    int64_t block = spec.weight.blockK;
    if (block > kMaxChunk) {
      // Chunks within a block: the largest divisor that fits.
      for (int64_t kc = kMaxChunk; kc >= 32; kc -= kUnroll)
        if (block % kc == 0)
          return kc;
      return 0;
    }
    while (unit % block)
      unit += kUnroll;
    limit = std::max(limit, unit);
  }
  if (unit > 4 * kMaxChunk)
    return 0;
  int64_t chunks = ceilDiv(spec.k, limit / unit * unit);
  // Equal chunks, if there are some of a good size.
  for (int64_t n = chunks; spec.k / n >= kGoodChunk; ++n)
    if (spec.k % (n * unit) == 0)
      return spec.k / n;
  return roundUp(ceilDiv(spec.k, chunks), unit);
}

BlockedPlan::BlockedPlan(const GemmSpec &spec) {
  tiles = ceilDiv(spec.m, kMaxTileRows);
  tileRows = ceilDiv(spec.m, tiles);
  bigTiles = spec.m - tiles * (tileRows - 1);
  kc = chooseChunk(spec);
  chunks = ceilDiv(spec.k, kc);

  int64_t panels = ceilDiv(spec.n, kPanelColumns), batches = 1;
  for (const GemmBatchDim &dim : spec.batch)
    batches *= dim.extent;
  tilesPerBlock = ceilDiv(tiles, ceilDiv(tiles, kMaxBlockTiles));
  // Few panels: split the rows, so that all threads have work.
  while (batches * panels * ceilDiv(tiles, tilesPerBlock) < 2 * spec.threads &&
         tilesPerBlock > 1)
    tilesPerBlock = ceilDiv(tilesPerBlock, 2);
  rowBlocks = ceilDiv(tiles, tilesPerBlock);
  rowsPerBlock = std::min(spec.m, tilesPerBlock * tileRows);
  panelGroup = std::min(panels, kMaxPanelGroup);

  expandB =
      spec.bKind != GemmB::Packed || spec.weight.code != rt::StorageFormat::F32;
  int64_t depth = roundUp(kc, kUnroll);
  offsetB = roundUp(rowsPerBlock * depth * 4, 64);
  offsetSums = offsetB + (expandB ? depth * kPanelColumns * 4 : 0);
  scratchBytes = offsetSums + panelGroup * rowsPerBlock * kPanelColumns * 4;
}

std::unique_ptr<GemmEmitter> makeBlockedGemm(OpBuilder &builder, Location loc,
                                             const GemmSpec &spec,
                                             const BlockedPlan &plan,
                                             const GemmArgs &args,
                                             GemmEpilogue epilogue) {
  return std::make_unique<BlockedGemm>(builder, loc, spec, plan, args,
                                       epilogue);
}

} // namespace cpu
} // namespace nibble
