// 4-bit floats times 4-bit floats in integers.
//
//   for each group of panels (in one segment: batch x row block)
//     for each chunk of k
//       pack A[rows][chunk]                            (stays in the L2 cache)
//       for each panel
//         for each block of 16 k
//           decode B[16][16]                           (eight registers)
//           for each row: sums[row][16] += A * B       (stays in the L1 cache)
//         after the last chunk: bias, hook, rounding, store
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmInteger.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

constexpr int64_t kMaxRows = 168;           // 10.5 KiB of sums
constexpr int64_t kPackedBytes = 256 << 10; // of A
constexpr int64_t kMaxPanelGroup = 32;
constexpr int64_t kRowsInRegisters = 2; // sums of more rows in memory
constexpr int64_t kOffset = 12;         // makes doubled codes of B unsigned

/// Doubled E2M1 values, plus `offset`.
SmallVector<uint8_t> doubledTable(int64_t offset) {
  SmallVector<uint8_t> table;
  for (unsigned c = 0; c < 16; ++c)
    table.push_back(
        uint8_t(int64_t(2 * rt::decode(rt::StorageFormat::E2M1, c)) + offset));
  return table;
}

class IntegerGemm : public GemmEmitter {
public:
  IntegerGemm(OpBuilder &builder, Location loc, const GemmSpec &spec,
              const IntegerPlan &plan, const GemmArgs &args,
              GemmEpilogue epilogue)
      : GemmEmitter(builder, loc, spec, args, epilogue), plan(plan) {}

  void begin() override {
    makeScratch();
    makeFactor();
  }

  /// All of k at once: A is packed here, for every product that reads it.
  void enterSegment(Value segment, bool isPrepared) override {
    at = batchOffsets(code.div(segment, plan.rowBlocks));
    rowFrom = code.mul(code.rem(segment, plan.rowBlocks), plan.rows);
    rowCount = plan.rowBlocks == 1
                   ? code.index(spec.m)
                   : code.min(code.index(plan.rows),
                              code.sub(code.index(spec.m), rowFrom));
    rowTo = code.add(rowFrom, rowCount);
    if (plan.chunks == 1)
      enterChunk(code.index(0), isPrepared);
  }

  void emitPanels(Value first, Value end) override {
    if (plan.chunks == 1)
      return emitChunk(code.index(0), first, end);
    code.loop(first, end, plan.panelGroup, [&](Value from) {
      groupFrom = from;
      Value to = code.min(code.add(from, plan.panelGroup), end);
      code.loop(0, plan.chunks, 1, [&](Value chunk) {
        enterChunk(chunk, /*isPrepared=*/false);
        emitChunk(chunk, from, to);
      });
    });
  }

private:
  int64_t allBlocks() const { return spec.k / kIntegerBlock; }
  bool fewRows() const { return spec.m <= kSmallRows; }

  void makeScratch() {
    auto view = [&](int64_t offset, int64_t count, Type element) {
      return code.scratchView(args.scratch, offset, count, element);
    };
    int64_t packed = plan.blocks * plan.rows;
    Type i8 = code.b.getI8Type(), i32 = code.b.getI32Type();
    codesA = view(0, packed * kIntegerBlock, i8);
    wordsA = view(0, packed * kIntegerBlock / 4, i32);
    scalesA = view(plan.offsetScales, packed, code.f32());
    correctionsA = view(plan.offsetCorrections, packed, code.f32());
    int64_t panels = plan.chunks == 1 ? 1 : plan.panelGroup;
    sums =
        view(plan.offsetSums, panels * plan.rows * kPanelColumns, code.f32());
  }

  /// What scales of B are multiplied by: 2^14 of A's, 1/4 for both doublings
  /// and a global scale.
  void makeFactor() {
    factorB = code.splatF(0x1p12);
    if (defersGlobal())
      factorB = code.mulF(factorB, code.broadcast(activation.global()));
  }

  void forEachRow(llvm::function_ref<void(Value)> body) {
    code.keepRolled(code.loop(code.index(0), rowCount, 1, body));
  }

  //===--------------------------------------------------------------------===//
  // Chunks of k and panels
  //===--------------------------------------------------------------------===//

  void enterChunk(Value chunk, bool isPrepared) {
    blockFrom = code.mul(chunk, plan.blocks);
    blockCount = plan.chunks == 1
                     ? code.index(plan.blocks)
                     : code.min(code.index(plan.blocks),
                                code.sub(code.index(allBlocks()), blockFrom));
    if (!isPrepared)
      packA();
  }

  void emitChunk(Value chunk, Value first, Value end) {
    code.loop(first, end, 1, [&](Value panel) {
      Value sumsAt = sumsOfPanel(panel);
      onlyIn(chunk, 0, [&] { clearSums(sumsAt); });
      addPanel(panel, sumsAt);
      onlyIn(chunk, plan.chunks - 1,
             [&] { finishRows(sums, sumsAt, rowCount, rowFrom, panel, at.c); });
    });
  }

  void onlyIn(Value chunk, int64_t which, llvm::function_ref<void()> body) {
    if (plan.chunks == 1)
      return body();
    Value here = arith::CmpIOp::create(code.b, arith::CmpIPredicate::eq, chunk,
                                       code.index(which));
    code.ifElse(here, body);
  }

  Value sumsOfPanel(Value panel) {
    if (plan.chunks == 1)
      return code.index(0);
    return code.mul(code.sub(panel, groupFrom), plan.rows * kPanelColumns);
  }

  void clearSums(Value sumsAt) {
    Value zero = code.zero();
    forEachRow([&](Value r) {
      Value to = code.add(sumsAt, code.mul(r, kPanelColumns));
      code.store(zero, sums, to);
      code.store(zero, sums, code.add(to, 8));
    });
  }

  //===--------------------------------------------------------------------===//
  // A
  //===--------------------------------------------------------------------===//

  /// Blocks are packed by four where rows have so many, then by as few as
  /// share a scale.
  void packA() {
    int64_t unit = std::max<int64_t>(1, spec.scaledA.run / kIntegerBlock);
    forEachRow([&](Value r) {
      Value row = code.add(rowFrom, r);
      Value from = code.add(code.add(at.a, code.mul(row, spec.k)),
                            code.mul(blockFrom, kIntegerBlock));
      Value fours = code.mul(code.div(blockCount, 4), 4);
      auto pack = [&](Value block, int64_t count) {
        packBlocks(code.add(from, code.mul(block, kIntegerBlock)),
                   code.add(code.mul(block, plan.rows), r), count);
      };
      code.loop(code.index(0), fours, 4, [&](Value kb) { pack(kb, 4); });
      if (allBlocks() % 4 || plan.blocks % 4)
        code.loop(fours, blockCount, unit, [&](Value kb) { pack(kb, unit); });
    });
  }

  /// `count` blocks from element `from` on to packed places `to`, `to` + rows,
  /// ... Bytes of low nibbles have even k, those of high nibbles odd k; a
  /// block has its eight even ones first, as `decodeOctets` expects.
  void packBlocks(Value from, Value to, int64_t count) {
    ImplicitLocOpBuilder &b = code.b;
    Type i64 = b.getI64Type();
    Value bytes = loadCodes(from, count);
    PanelRow values = decoder.lookupNibbles(bytes, doubledTable(kOffset));
    Value offset = code.splat(code.vec(32, b.getI8Type()), kOffset);
    Value even =
        code.bitcast(arith::SubIOp::create(b, values.low, offset), i64);
    Value odd =
        code.bitcast(arith::SubIOp::create(b, values.high, offset), i64);
    for (int64_t i = 0; i < count; ++i) {
      Value block =
          vector::ShuffleOp::create(b, even, odd, ArrayRef<int64_t>{i, 4 + i});
      Value place = code.mul(code.add(to, i * plan.rows), kIntegerBlock);
      code.store(code.bitcast(block, b.getI8Type()), codesA, place);
    }
    packScales(values, from, to, count);
  }

  /// 32 bytes; those of fewer than four blocks are repeated.
  Value loadCodes(Value from, int64_t count) {
    Value bytes = code.load(args.a, code.div(from, 2), 8 * count);
    if (count == 4)
      return bytes;
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < 32; ++i)
      order.push_back(i % (8 * count));
    return vector::ShuffleOp::create(code.b, bytes, bytes, order);
  }

  /// Scales, and minus the scale times 12 * (sum of the block without the
  /// offset).
  void packScales(const PanelRow &values, Value from, Value to, int64_t count) {
    ImplicitLocOpBuilder &b = code.b;
    int64_t run = spec.scaledA.run, perScale = run / kIntegerBlock;
    Value scales = activation.scales(code.div(from, run), count / perScale,
                                     !defersGlobal());
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < 4; ++i)
      order.push_back(i % count / perScale);
    scales = vector::ShuffleOp::create(b, scales, scales, order);
    scales = code.mulF(scales, splat4(0x1p-14));
    scatter(scales, scalesA, to, count);
    scatter(code.mulF(scales, corrections(values)), correctionsA, to, count);
  }

  Value corrections(const PanelRow &values) {
    ImplicitLocOpBuilder &b = code.b;
    Value none = code.splat(code.vec(32, b.getI8Type()), 0);
    auto type = code.vec(4, b.getI64Type());
    auto sumOfEight = [&](Value bytes) {
      return code.intrinsic("llvm.x86.avx2.psad.bw", type, {bytes, none});
    };
    Value sum =
        arith::TruncIOp::create(b, code.vec(4, b.getI32Type()),
                                arith::AddIOp::create(b, sumOfEight(values.low),
                                                      sumOfEight(values.high)));
    Value f = arith::SIToFPOp::create(b, code.vec(4, code.f32()), sum);
    return arith::SubFOp::create(b, splat4(kOffset * kOffset * kIntegerBlock),
                                 code.mulF(f, splat4(kOffset)));
  }

  Value splat4(double value) {
    return arith::ConstantOp::create(
        code.b, DenseElementsAttr::get(code.vec(4, code.f32()),
                                       code.b.getF32FloatAttr(value)));
  }

  void scatter(Value values, Value memory, Value to, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
      code.store(vector::ExtractOp::create(code.b, values, i), memory,
                 code.add(to, i * plan.rows));
  }

  /// A scale rounded to f32 would not leave room for exact products.
  bool defersGlobal() const {
    return spec.scaledA.global == rt::StorageFormat::F32;
  }

  //===--------------------------------------------------------------------===//
  // Sums
  //===--------------------------------------------------------------------===//

  struct BlockOfB {
    SmallVector<PanelRow> codes; ///< four times 4 k of 16 columns, unsigned
    PanelRow scale;
  };

  BlockOfB decodeB(Value panel, Value block) {
    Value at = code.add(blockFrom, block);
    Value kb = code.div(at, spec.weight.blockK / kIntegerBlock);
    if (fewRows())
      decoder.prefetch(panel, code.mul(at, kIntegerBlock), kIntegerBlock);
    PanelRow scale = decoder.scale(panel, kb);
    return {decoder.decodeOctets(panel, at, doubledTable(kOffset)),
            {code.mulF(scale.low, factorB), code.mulF(scale.high, factorB)}};
  }

  void addPanel(Value panel, Value sumsAt) {
    if (spec.m <= kRowsInRegisters)
      return addInRegisters(panel, sumsAt);
    code.loop(code.index(0), blockCount, 1, [&](Value block) {
      BlockOfB b = decodeB(panel, block);
      Value packed = code.mul(block, plan.rows);
      forEachRow([&](Value r) {
        Value place = code.add(sumsAt, code.mul(r, kPanelColumns));
        writeRow(addRow(b, code.add(packed, r), readRow(place)), place);
      });
    });
  }

  void addInRegisters(Value panel, Value sumsAt) {
    SmallVector<Value> totals;
    for (int64_t i = 0; i < 2 * spec.m; ++i)
      totals.push_back(code.load(sums, code.add(sumsAt, 8 * i), 8));
    totals = code.loop(code.index(0), blockCount, 1, totals,
                       [&](Value block, ValueRange carried) {
                         BlockOfB b = decodeB(panel, block);
                         SmallVector<Value> next;
                         for (int64_t r = 0; r < spec.m; ++r) {
                           Value packed =
                               code.add(code.mul(block, plan.rows), r);
                           PanelRow sum = addRow(
                               b, packed, {carried[2 * r], carried[2 * r + 1]});
                           next.append({sum.low, sum.high});
                         }
                         return next;
                       });
    for (int64_t i = 0; i < 2 * spec.m; ++i)
      code.store(totals[i], sums, code.add(sumsAt, 8 * i));
  }

  PanelRow readRow(Value place) {
    return {code.load(sums, place, 8), code.load(sums, code.add(place, 8), 8)};
  }
  void writeRow(const PanelRow &row, Value place) {
    code.store(row.low, sums, place);
    code.store(row.high, sums, code.add(place, 8));
  }

  /// One row of A times one block of B, added to `sum`. The order keeps few
  /// values alive: eight registers hold B.
  PanelRow addRow(const BlockOfB &b, Value packed, const PanelRow &sum) {
    ImplicitLocOpBuilder &builder = code.b;
    auto i16x16 = code.vec(16, builder.getIntegerType(16));
    SmallVector<Value, 2> acc(2);
    for (int64_t g = 0; g < 4; ++g) {
      Value word = code.loadScalar(wordsA, code.add(code.mul(packed, 4), g));
      Value a = code.bitcast(code.broadcast(word), builder.getI8Type());
      for (int half : {0, 1}) {
        Value products = code.intrinsic("llvm.x86.avx2.pmadd.ub.sw", i16x16,
                                        {b.codes[g][half], a});
        acc[half] =
            g ? arith::AddIOp::create(builder, acc[half], products) : products;
      }
    }
    PanelRow exact = {addPairs(acc[0]), addPairs(acc[1])};
    Value scale = code.broadcast(code.loadScalar(scalesA, packed));
    Value correction = code.broadcast(code.loadScalar(correctionsA, packed));
    return {
        code.fma(code.fma(exact.low, scale, correction), b.scale.low, sum.low),
        code.fma(code.fma(exact.high, scale, correction), b.scale.high,
                 sum.high)};
  }

  /// Sums of pairs of 16-bit numbers, as f32.
  Value addPairs(Value pairs) {
    ImplicitLocOpBuilder &b = code.b;
    Value ones = code.splat(code.vec(16, b.getIntegerType(16)), 1);
    Value whole = code.intrinsic("llvm.x86.avx2.pmadd.wd",
                                 code.vec(8, b.getI32Type()), {pairs, ones});
    return arith::SIToFPOp::create(b, code.v8(), whole);
  }

  const IntegerPlan plan;
  Value codesA, wordsA, scalesA, correctionsA, sums, factorB;
  Value rowCount, groupFrom, blockFrom, blockCount;
};

} // namespace

IntegerPlan::IntegerPlan(const GemmSpec &spec) {
  int64_t panels = ceilDiv(spec.n, kPanelColumns), batches = 1;
  for (const GemmBatchDim &dim : spec.batch)
    batches *= dim.extent;
  rowBlocks = ceilDiv(spec.m, kMaxRows);
  // Few panels: split the rows, so that all threads have work.
  while (batches * panels * rowBlocks < 2 * spec.threads &&
         spec.m > 2 * kSmallRows * rowBlocks)
    rowBlocks *= 2;
  rows = ceilDiv(spec.m, rowBlocks);
  rowBlocks = ceilDiv(spec.m, rows);

  int64_t all = spec.k / kIntegerBlock;
  int64_t perBlock = rows * (kIntegerBlock + 8);
  int64_t limit = std::max<int64_t>(kPackedBytes / perBlock / 4 * 4, 16);
  chunks = ceilDiv(all, limit);
  blocks = chunks == 1 ? all : roundUp(ceilDiv(all, chunks), 4);
  chunks = ceilDiv(all, blocks);
  panelGroup = chunks == 1 ? panels : std::min(panels, kMaxPanelGroup);

  offsetScales = roundUp(blocks * rows * kIntegerBlock, 64);
  offsetCorrections = offsetScales + roundUp(blocks * rows * 4, 64);
  offsetSums = offsetCorrections + roundUp(blocks * rows * 4, 64);
  int64_t sumPanels = chunks == 1 ? 1 : panelGroup;
  scratchBytes = offsetSums + sumPanels * rows * kPanelColumns * 4;
}

std::unique_ptr<GemmEmitter> makeIntegerGemm(OpBuilder &builder, Location loc,
                                             const GemmSpec &spec,
                                             const IntegerPlan &plan,
                                             const GemmArgs &args,
                                             GemmEpilogue epilogue) {
  return std::make_unique<IntegerGemm>(builder, loc, spec, plan, args,
                                       epilogue);
}

} // namespace cpu
} // namespace nibble
