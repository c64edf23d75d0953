// Attention on Hopper's tensor cores: FP8 tiles of keys and values as the
// products take them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Warps beside the one that copies wait for tiles of codes, which lie row by
// row without gaps, and write them as f16 or bf16, which is exact, in the
// panels of 128-byte rows, swizzled, that copies of 16-bit elements make. To
// the warpgroups a slot is full either way; they know nothing of codes.
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

/// A thread takes 8 codes, which become 16 bytes; a warp 32 times as many.
static constexpr int64_t kChunk = 8, kPiece = 32 * kChunk;
/// Pieces whose loads are under way together.
static constexpr int64_t kPiecesAtOnce = 4;

void AttentionKernel::advanceRaw(AttentionRing &raw, Value isKey) {
  if (!schedule.expands())
    return;
  AttentionRing next = raw;
  advance(next, schedule.rawSlots);
  if (schedule.rawKeys) {
    raw = next;
    return;
  }
  raw.stage = code.select(isKey, raw.stage, next.stage);
  raw.phase = code.select(isKey, raw.phase, next.phase);
}

/// The barriers are there when the block, or the cluster, is.
void AttentionKernel::writeExpander() {
  isCluster() ? clusterWait() : syncThreads("sync", 0, schedule.threads());
  AttentionRing ring{code.get(0), code.get(1)}, raw{code.get(0), code.get(0)};
  forItems({&ring.stage, &ring.phase, &raw.stage, &raw.phase}, [&] {
    if (shape.weightCodes)
      passFirstTiles(ring, raw);
    schedule.rawKeys ? expandAllTiles(ring, raw) : expandValueTiles(ring, raw);
  });
  meetExpanders("arrive");
}

/// Where other blocks send their sums to slots, each thread that multiplies
/// reads what a thread that expanded has written to before. That all tiles were
/// read says so, too, but by way of one thread: compute-sanitizer's racecheck
/// follows barriers of the threads themselves.
void AttentionKernel::meetExpanders(StringRef how) {
  if (schedule.expands() && schedule.splits > 1)
    syncThreads(how, kExpandedBarrier,
                32 * (schedule.warps() + AttentionSchedule::kExpanders));
}

/// Those of the first pass are keys: they are expanded, or passed by.
void AttentionKernel::passFirstTiles(AttentionRing &ring, AttentionRing &raw) {
  sm90::Code &c = code;
  Value left = c.get(tiles), yes = c.constant(c.getI1Type(), 1);
  SmallVector<Value *> cells{&left, &ring.stage, &ring.phase};
  if (schedule.rawKeys)
    cells.append({&raw.stage, &raw.phase});
  c.loop(cells, [&]() -> Value {
    if (schedule.rawKeys)
      expandTile(true, ring, raw);
    advance(ring), advanceRaw(raw, yes);
    left = c.get(c.sub(left, 1));
    return c.compare(LLVM::ICmpPredicate::ne, left, 0);
  });
}

/// In the order of writeProducer.
void AttentionKernel::expandAllTiles(AttentionRing &ring, AttentionRing &raw) {
  sm90::Code &c = code;
  Value number = c.get(0);
  Int last = c.sub(c.mul(tiles, 2), 1);
  Value yes = c.constant(c.getI1Type(), 1), no = c.constant(c.getI1Type(), 0);
  c.loop({&number, &ring.stage, &ring.phase, &raw.stage, &raw.phase},
         [&]() -> Value {
           Value isOdd = c.equal(c.bitAnd(number, 1), 1);
           Value isFirst = c.equal(number, 0), isLast = c.equal(number, last);
           Value isKey = LLVM::OrOp::create(c, isOdd, isFirst);
           isKey = c.selectAny(isLast, no, isKey);
           c.when(isKey, [&] { expandTile(true, ring, raw); });
           c.when(LLVM::XOrOp::create(c, isKey, yes),
                  [&] { expandTile(false, ring, raw); });
           advance(ring), advanceRaw(raw, isKey);
           number = c.get(c.add(number, 1));
           return c.compare(LLVM::ICmpPredicate::ule, number, last);
         });
}

/// Slots of keys, which come as they are, are passed by: two before the first
/// values if there is more than one tile, one before others, none before the
/// last.
void AttentionKernel::expandValueTiles(AttentionRing &ring,
                                       AttentionRing &raw) {
  sm90::Code &c = code;
  advance(ring);
  Value left = c.get(tiles), no = c.constant(c.getI1Type(), 0);
  c.loop({&left, &ring.stage, &ring.phase, &raw.stage, &raw.phase},
         [&]() -> Value {
           AttentionRing next = ring;
           advance(next);
           left = c.get(c.sub(left, 1));
           Value isLast = c.equal(left, 0);
           ring.stage = c.select(isLast, ring.stage, next.stage);
           ring.phase = c.select(isLast, ring.phase, next.phase);
           expandTile(false, ring, raw);
           advance(ring), advanceRaw(raw, no);
           return c.compare(LLVM::ICmpPredicate::ne, left, 0);
         });
}

/// One thread answers for all, when what they wrote is there for products and
/// all codes have been read.
void AttentionKernel::expandTile(bool isKey, const AttentionRing &ring,
                                 const AttentionRing &raw) {
  sm90::Code &c = code;
  const AttentionSchedule &s = schedule;
  waitFor(barrierAt(rawFull(), raw.stage), raw.phase);
  waitFor(barrierAt(emptyBegin(), ring.stage), ring.phase);
  Value from =
      c.at(memory, c.add(c.mul(raw.stage, s.rawBytes()), s.rawBegin()));
  Value to = c.at(memory, c.add(c.mul(ring.stage, s.slotBytes()), s.qBytes()));
  int64_t pieces = (isKey ? s.rawKeys : s.rawValues) * s.keys / kPiece;
  int64_t count = pieces % kPiecesAtOnce ? 1 : kPiecesAtOnce;
  Value group = c.get(c.sub(warp, s.warps() + 1));
  whileLoop(
      {&group}, [&] { return c.less(group, pieces / count); },
      [&] {
        expandPieces(isKey, c.mul(group, count), count, from, to);
        group = c.get(c.add(group, AttentionSchedule::kExpanders));
      });
  NVVM::FenceProxyOp::create(
      c, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(c.getContext(),
                                 NVVM::SharedSpace::shared_cta));
  syncThreads("sync", kExpandersBarrier, 32 * AttentionSchedule::kExpanders);
  c.when(c.equal(thread, 32 * (s.warps() + 1)), [&] {
    arrive(barrierAt(fullBegin(), ring.stage));
    arrive(barrierAt(rawEmpty(), raw.stage));
  });
}

/// Codes of `count` pieces from one on. Neighbours read neighbours, and write
/// whole rows of a panel.
void AttentionKernel::expandPieces(bool isKey, Int piece, int64_t count,
                                   Value from, Value to) {
  sm90::Code &c = code;
  int64_t chunks = (isKey ? schedule.rawKeys : schedule.rawValues) / kChunk;
  Type storage = (isKey ? shape.k : shape.v).element;
  Type type = isKey ? shape.q.element : shape.narrow;
  auto words = [&](int64_t n) { return VectorType::get(n, c.i32()); };
  Int first = c.add(c.mul(piece, 32), lane);
  Values loaded;
  for (int64_t i = 0; i < count; ++i)
    loaded.push_back(LLVM::LoadOp::create(
        c, words(2), c.at(from, c.mul(c.add(first, 32 * i), kChunk)), 8));
  for (int64_t i = 0; i < count; ++i) {
    Int chunk = c.add(first, 32 * i);
    Int row = c.div(chunk, chunks), column = c.rem(chunk, chunks);
    Int inPanel = c.bitXor(c.bitAnd(column, 7), c.bitAnd(row, 7));
    Int place = c.add(c.mul(c.shr(column, 3), schedule.keys * 128),
                      c.add(c.mul(row, 128), c.mul(inPanel, 16)));
    Value all = LLVM::UndefOp::create(c, words(4));
    for (int64_t half : {0, 1}) {
      Value codes = LLVM::ExtractElementOp::create(c, loaded[i], c.get(half));
      for (auto [e, word] : llvm::enumerate(expandCodes(codes, storage, type)))
        all = LLVM::InsertElementOp::create(c, all, word,
                                            c.get(2 * half + int64_t(e)));
    }
    LLVM::StoreOp::create(c, all, c.at(to, place), 16);
  }
}

/// All codes are numbers of both types.
SmallVector<Value> AttentionKernel::expandCodes(Value codes, Type storage,
                                                Type type) {
  std::string from = isa<Float8E5M2Type>(storage) ? "e5m2x2" : "e4m3x2";
  std::string text = "{\n.reg .b16 l, h;\nmov.b32 {l, h}, $2;\n";
  auto convert = [&](StringRef result, StringRef half) {
    text +=
        "cvt.rn.f16x2." + from + " " + result.str() + ", " + half.str() + ";\n";
  };
  if (type.isF16()) {
    convert("$0", "l"), convert("$1", "h");
  } else {
    text += ".reg .b32 p, q;\n.reg .b16 a, b;\n.reg .f32 x, y;\n";
    convert("p", "l"), convert("q", "h");
    for (auto [result, pair] : {std::pair("$0", "p"), std::pair("$1", "q")})
      text += std::string("mov.b32 {a, b}, ") + pair +
              ";\ncvt.f32.f16 x, a;\ncvt.f32.f16 y, b;\ncvt.rn.bf16x2.f32 " +
              result + ", y, x;\n";
  }
  return code.emitAsm(text + "}", "=r,=r,r", {code.i32(), code.i32()}, codes);
}

} // namespace gpu
} // namespace nibble
