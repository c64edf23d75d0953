// Few rows: weights are decoded in registers, used for all rows, and never
// written back, so that the kernel runs at the speed of the memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

/// Scratch: sums[m][16] as f32, then A as f32 if it is not.
int64_t sumsBytes(const GemmSpec &spec) { return spec.m * kPanelColumns * 4; }

class SmallGemm : public GemmEmitter {
public:
  using GemmEmitter::GemmEmitter;

  void begin() override {
    sums = code.scratchF32(args.scratch, 0, spec.m * kPanelColumns);
  }

  void enterSegment(Value segment, bool isPrepared) override {
    at = batchOffsets(segment);
    rowFrom = code.index(0);
    rowTo = code.index(spec.m);
    placeA(at.a);
    if (rows != args.a && !isPrepared)
      convertA();
  }

  void emitPanels(Value first, Value end) override {
    code.loop(first, end, 1, [&](Value panel) {
      computePanel(panel);
      finishRows(sums, code.index(0), code.index(spec.m), code.index(0), panel,
                 at.c);
    });
  }

private:
  const GemmWeight &weight() const { return spec.weight; }

  /// Independent sums per column hide the latency of the FMA.
  int64_t sets() const {
    if (weight().scaleAlongK())
      return spec.m == 1 ? 2 : 1;
    return spec.m == 1 ? 4 : spec.m == 2 ? 2 : 1;
  }

  /// Rows in f32: A itself, or a copy in the scratch.
  void placeA(Value offset) {
    if (spec.a == rt::StorageFormat::F32) {
      rows = args.a;
      rowsOffset = offset;
      rowsStride = strideA();
      return;
    }
    rowsStride = spec.k;
    rowsOffset = code.index(0);
    rows = code.scratchF32(args.scratch, roundUp(sumsBytes(spec), 64),
                           spec.m * spec.k);
  }

  void convertA() {
    code.loop(0, spec.m, 1, [&](Value r) {
      Value from = code.add(at.a, code.mul(r, strideA()));
      Value to = code.mul(r, spec.k);
      code.loop(0, spec.k / 8 * 8, 8, [&](Value k) {
        code.store(activation.load(code.add(from, k), 8), rows,
                   code.add(to, k));
      });
      if (spec.k % 8 == 0)
        return;
      code.loop(spec.k / 8 * 8, spec.k, 1, [&](Value k) {
        code.store(activation.load(code.add(from, k), 1), rows,
                   code.add(to, k));
      });
    });
  }

  Value broadcastA(int64_t r, Value k, int64_t offset) {
    Value at = code.add(code.add(rowsOffset, k), r * rowsStride + offset);
    return code.broadcast(code.loadScalar(rows, at));
  }

  /// partial[set][row][half], flattened.
  Value &partial(SmallVectorImpl<Value> &sums, int64_t set, int64_t r,
                 int half) {
    return sums[(set * spec.m + r) * 2 + half];
  }

  /// Adds k .. k + count (count constant) of a panel.
  void accumulate(SmallVectorImpl<Value> &partials, Value panel, Value k,
                  int64_t count, const PanelRow *zeroPoint) {
    for (int64_t j = 0; j < count; j += decoder.step()) {
      auto decoded = decoder.decode(panel, code.add(k, j), zeroPoint);
      for (int64_t i = 0; i < decoder.step() && j + i < count; ++i)
        for (int64_t r = 0; r < spec.m; ++r) {
          Value x = broadcastA(r, k, j + i);
          for (int half : {0, 1}) {
            Value &sum = partial(partials, (j + i) % sets(), r, half);
            sum = code.fma(decoded[i][half], x, sum);
          }
        }
    }
  }

  /// Wider codes come fast enough by themselves: they use up the bandwidth.
  void prefetch(Value panel, Value k, int64_t count) {
    if (weight().fourBit())
      decoder.prefetch(panel, k, count);
  }

  /// Sums over k .. k + count: a loop of pieces of 16 and a rest.
  SmallVector<Value> sumRange(Value panel, Value k, int64_t count,
                              const PanelRow *zeroPoint) {
    constexpr int64_t piece = 16;
    SmallVector<Value> partials(sets() * spec.m * 2, code.zero());
    int64_t whole = count / piece * piece;
    if (count <= 2 * piece)
      whole = 0;
    partials =
        code.loop(0, whole, piece, partials, [&](Value i, ValueRange carried) {
          SmallVector<Value> next(carried);
          prefetch(panel, code.add(k, i), piece);
          accumulate(next, panel, code.add(k, i), piece, zeroPoint);
          return next;
        });
    prefetch(panel, code.add(k, whole), count - whole);
    accumulate(partials, panel, code.add(k, whole), count - whole, zeroPoint);
    for (int64_t set = 1; set < sets(); ++set)
      for (int64_t i = 0; i < spec.m * 2; ++i)
        partials[i] = arith::AddFOp::create(code.b, partials[i],
                                            partials[set * spec.m * 2 + i]);
    partials.resize(spec.m * 2);
    return partials;
  }

  void computePanel(Value panel) {
    if (weight().scaleAlongK())
      return spec.m <= 2 ? scaledInRegisters(panel) : scaledInMemory(panel);
    std::optional<PanelRow> zeroPoint;
    if (weight().zeroPoint)
      zeroPoint = decoder.zeroPoint(panel, code.index(0));
    writeSums(sumRange(panel, code.index(0), spec.k,
                       zeroPoint ? &*zeroPoint : nullptr));
  }

  /// Total + scale * (sum over block kb), for each row and half.
  SmallVector<Value> addBlock(Value panel, Value kb, int64_t count,
                              ArrayRef<Value> totals) {
    std::optional<PanelRow> zeroPoint;
    if (weight().zeroPoint)
      zeroPoint = decoder.zeroPoint(panel, kb);
    SmallVector<Value> block =
        sumRange(panel, code.mul(kb, weight().scaleBlockK()), count,
                 zeroPoint ? &*zeroPoint : nullptr);
    PanelRow scale = decoder.scale(panel, kb);
    for (int64_t i = 0; i < spec.m * 2; ++i)
      block[i] = code.fma(block[i], scale[i % 2], totals[i]);
    return block;
  }

  int64_t wholeBlocks() const { return spec.k / weight().scaleBlockK(); }
  int64_t restOfK() const { return spec.k % weight().scaleBlockK(); }

  void scaledInRegisters(Value panel) {
    SmallVector<Value> totals(spec.m * 2, code.zero());
    totals = code.loop(0, wholeBlocks(), 1, totals,
                       [&](Value kb, ValueRange carried) {
                         return addBlock(panel, kb, weight().scaleBlockK(),
                                         SmallVector<Value>(carried));
                       });
    if (restOfK())
      totals = addBlock(panel, code.index(wholeBlocks()), restOfK(), totals);
    writeSums(totals);
  }

  /// With more rows the registers hold the block's sums only.
  void scaledInMemory(Value panel) {
    writeSums(SmallVector<Value>(spec.m * 2, code.zero()));
    code.loop(0, wholeBlocks(), 1, [&](Value kb) {
      writeSums(addBlock(panel, kb, weight().scaleBlockK(), readSums()));
    });
    if (restOfK())
      writeSums(
          addBlock(panel, code.index(wholeBlocks()), restOfK(), readSums()));
  }

  SmallVector<Value> readSums() {
    SmallVector<Value> values;
    for (int64_t i = 0; i < spec.m * 2; ++i)
      values.push_back(code.load(sums, code.index(i * 8), 8));
    return values;
  }
  void writeSums(ArrayRef<Value> values) {
    for (int64_t i = 0; i < spec.m * 2; ++i)
      code.store(values[i], sums, code.index(i * 8));
  }

  Value sums, rows, rowsOffset;
  int64_t rowsStride = 0;
};

} // namespace

uint64_t smallScratchBytes(const GemmSpec &spec) {
  int64_t bytes = roundUp(sumsBytes(spec), 64);
  if (spec.a != rt::StorageFormat::F32)
    bytes += spec.m * spec.k * 4;
  return roundUp(bytes, 64);
}

std::unique_ptr<GemmEmitter> makeSmallGemm(OpBuilder &builder, Location loc,
                                           const GemmSpec &spec,
                                           const GemmArgs &args,
                                           GemmEpilogue epilogue) {
  return std::make_unique<SmallGemm>(builder, loc, spec, args, epilogue);
}

} // namespace cpu
} // namespace nibble
