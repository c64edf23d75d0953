// Attention on Hopper's tensor cores: the products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

/// Keys that one instruction of the second product takes, and bytes of heads
/// that one of the first does.
static constexpr int64_t kStep = 16, kStepBytes = 32;

/// The registers go in and come out of one piece of assembly.
SmallVector<Value> AttentionKernel::pass(ArrayRef<Value> values,
                                         const std::string &text) {
  SmallVector<Type> types;
  std::string outputs, inputs;
  for (auto [i, value] : llvm::enumerate(values)) {
    types.push_back(value.getType());
    const char *kind = value.getType().isF32() ? "=f" : "=r";
    outputs += (i ? "," : "") + std::string(kind);
    inputs += "," + std::to_string(i);
  }
  return code.emitAsm(text, outputs + inputs, types, Values(values),
                      /*hasEffects=*/true);
}

void AttentionKernel::commit() { NVVM::WgmmaGroupSyncAlignedOp::create(code); }

/// PTX ISA, "matrix descriptor": address, leading and stride offset, each / 16;
/// 1 in bit 62: swizzle of 128 bytes. Groups of 8 rows are 1024 bytes apart.
/// Leading: from 64 columns to the next 64 of an operand whose columns lie
/// together. In a cluster, addresses have the number of the block above their
/// 18 bits.
Value AttentionKernel::getDescriptor(Int bytes, int64_t leading) {
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), memory);
  Int first = code.shr(code.bitAnd(base, 0x3ffff), 4);
  Int address = code.add(first, code.shr(bytes, 4));
  uint64_t fixed = uint64_t(1) << 62 | uint64_t(1024 / 16) << 32 |
                   uint64_t(leading / 16) << 16;
  return LLVM::OrOp::create(code, code.extend64(address),
                            code.constant(code.i64(), int64_t(fixed)));
}

static NVVM::WGMMATypes getFormat(Type type) {
  using NVVM::WGMMATypes;
  return type.isF16()                ? WGMMATypes::f16
         : type.isBF16()             ? WGMMATypes::bf16
         : isa<Float8E5M2Type>(type) ? WGMMATypes::e5m2
                                     : WGMMATypes::e4m3;
}

/// S = Q K^T. Issued and committed, not waited for.
SmallVector<Value> AttentionKernel::multiplyKeys(Value stage) {
  using NVVM::WGMMATypes;
  int64_t registers = schedule.keys / 2;
  auto type = LLVM::LLVMStructType::getLiteral(
      code.getContext(), SmallVector<Type>(registers, code.getF32Type()));
  auto formatQ = getFormat(shape.q.element);
  auto formatK =
      getFormat(shape.expandsKeys() ? shape.q.element : shape.k.element);
  auto size = NVVM::MMAShapeAttr::get(code.getContext(), 64, int(schedule.keys),
                                      int(kStepBytes / shape.q.bytes()));
  Int rows = code.mul(code.shr(warp, 2), 64 * 128);
  Int keys = code.add(code.mul(stage, schedule.slotBytes()), schedule.qBytes());
  Value sums = LLVM::UndefOp::create(code, type);
  NVVM::WgmmaFenceAlignedOp::create(code);
  int64_t steps = divideCeil(shape.depth * shape.q.bytes(), kStepBytes);
  for (int64_t k = 0; k < steps; ++k) {
    int64_t panel = k / 4, inPanel = k % 4 * 32;
    Value left = getDescriptor(
        code.add(rows, panel * schedule.rows() * 128 + inPanel), 0);
    Value right =
        getDescriptor(code.add(keys, panel * schedule.keys * 128 + inPanel), 0);
    sums = NVVM::WgmmaMmaAsyncOp::create(
        code, type, sums, left, right, size, formatQ, formatK, WGMMATypes::f32,
        k ? NVVM::WGMMAScaleOut::one : NVVM::WGMMAScaleOut::zero,
        NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one, NVVM::MMALayout::row,
        NVVM::MMALayout::col, NVVM::MMAIntOverflowAttr());
  }
  commit();
  Values scores;
  for (int64_t i = 0; i < registers; ++i)
    scores.push_back(
        LLVM::ExtractValueOp::create(code, sums, ArrayRef<int64_t>(i)));
  return scores;
}

/// One product with its left operand in four registers; columns of the right
/// one lie together ("transposed").
static std::string productText(int64_t columns, bool isBf16) {
  std::string type = isBf16 ? "bf16" : "f16", list;
  int64_t registers = columns / 2;
  for (int64_t i = 0; i < registers; ++i)
    list += (i ? ", $" : "$") + std::to_string(i);
  auto operand = [&](int64_t i) {
    return "$" + std::to_string(2 * registers + i);
  };
  return "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
         "wgmma.mma_async.sync.aligned.m64n" +
         std::to_string(columns) + "k16.f32." + type + "." + type + " {" +
         list + "}, {" + operand(0) + ", " + operand(1) + ", " + operand(2) +
         ", " + operand(3) + "}, " + operand(4) + ", p, 1, 1, 1;\n}";
}

/// O += P V. Issued and committed, not waited for.
void AttentionKernel::multiplyValues(Values &sums, ArrayRef<Value> weights,
                                     Value stage) {
  std::string constraints,
      text = productText(schedule.columns, shape.narrow.isBF16());
  for (size_t i = 0; i < sums.size(); ++i)
    constraints += i ? ",=f" : "=f";
  for (size_t i = 0; i < sums.size(); ++i)
    constraints += "," + std::to_string(i);
  constraints += ",r,r,r,r,l";
  SmallVector<Type> types(sums.size(), code.getF32Type());
  Int begin =
      code.add(code.mul(stage, schedule.slotBytes()), schedule.qBytes());
  for (int64_t k = 0; k < schedule.keys / kStep; ++k) {
    Values operands(sums);
    llvm::append_range(operands, weights.slice(4 * k, 4));
    operands.push_back(
        getDescriptor(code.add(begin, k * kStep * 128), schedule.keys * 128));
    // Loops carry the places of `sums`.
    llvm::copy(code.emitAsm(text, constraints, types, operands,
                            /*hasEffects=*/true),
               sums.begin());
  }
  commit();
}

/// The values of carried cells, which stay where they are.
static void set(MutableArrayRef<Value> cells, ArrayRef<Value> values) {
  llvm::copy(values, cells.begin());
}

/// O += P V for a slot that is full. The fence stands right in front of the
/// products, or ptxas adds one.
void AttentionKernel::beginValues(Values &sums, Values &weights, Value slot) {
  Values all(sums);
  llvm::append_range(all, weights);
  all = pass(all, "wgmma.fence.sync.aligned;");
  set(sums, ArrayRef(all).take_front(sums.size()));
  set(weights, ArrayRef(all).take_back(weights.size()));
  multiplyValues(sums, weights, slot);
}

void AttentionKernel::syncThreads(StringRef how, Int barrier, int64_t threads) {
  code.emitAsm("bar." + how.str() + " $0, " + std::to_string(threads) + ";",
               "r,~{memory}", {}, code.get(barrier), /*hasEffects=*/true);
}

/// Barrier 1 + g lets warpgroup g through.
void AttentionKernel::takeTurn() {
  if (schedule.warpgroups > 1)
    syncThreads("sync", code.add(getGroup(), 1), 256);
}

void AttentionKernel::passTurn() {
  if (schedule.warpgroups > 1)
    syncThreads("arrive", code.sub(2, getGroup()), 256);
}

/// Weights that become codes are those of the whole row from the begin.
void AttentionKernel::fade(Values &sums, const AttentionRows &rows) {
  if (shape.weightCodes)
    return;
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = LLVM::FMulOp::create(code, sum, rows.fade[i / 2 % 2]);
}

/// Scores of the next keys and products with the last values run together;
/// earlier sums fade under the former, the softmax of the scores runs under the
/// latter. Weights become operands when these are done, since products under
/// way still read the last ones.
void AttentionKernel::writeRound(Values &sums, Values &weights,
                                 AttentionRows &rows, AttentionRing &ring,
                                 Value &tile) {
  Value keySlot = ring.stage;
  waitFull(ring);
  advance(ring);
  Value valueSlot = ring.stage;
  waitFull(ring);
  advance(ring);
  takeTurn();
  Values scores = multiplyKeys(keySlot);
  fade(sums, rows);
  beginValues(sums, weights, valueSlot);
  passTurn();
  scores = pass(scores, "wgmma.wait_group.sync.aligned 1;");
  release(keySlot);
  tile = code.get(code.sub(tile, 1));
  weigh(scores, tile, rows);
  Values all(sums);
  llvm::append_range(all, weights);
  llvm::append_range(all, scores);
  all = pass(all, "wgmma.wait_group.sync.aligned 0;");
  release(valueSlot);
  set(sums, ArrayRef(all).take_front(sums.size()));
  set(weights, pack(ArrayRef(all).take_back(scores.size())));
}

/// What the rows of the thread see, and where their masks begin.
void AttentionKernel::findRows() {
  sm90::Code &c = code;
  for (int64_t r : {0, 1}) {
    Int row = c.add(firstRow, c.add(rowOfThread, 8 * r));
    row = c.min(row, shape.rows() - 1);
    Int query = queryOf(row);
    ends[r] = limit;
    if (shape.causal)
      ends[r] = signedMin(firstHidden(query), limit);
    if (!shape.mask)
      continue;
    const StridedTensor &m = *shape.mask;
    Int offset = c.add(c.mul(batch, m.strides[0]), m.offset);
    offset = c.add(offset, c.mul(headOf(row), m.strides[1]));
    offset = c.add(offset, c.mul(query, m.strides[2]));
    int64_t bytes = m.element.isF32() ? 4 : m.element.isInteger(1) ? 1 : 2;
    Value offset64 =
        LLVM::MulOp::create(c, c.extend64(offset), c.constant(c.i64(), bytes));
    maskRows[r] = LLVM::GEPOp::create(
        c, c.pointer(1), c.getI8Type(), function.getArgument(maskArg),
        ArrayRef<LLVM::GEPArg>(LLVM::GEPArg(offset64)));
  }
}

SmallVector<Value> AttentionKernel::writeScores(AttentionRing &ring) {
  waitFull(ring);
  Value slot = ring.stage;
  advance(ring);
  takeTurn();
  Values scores = multiplyKeys(slot);
  passTurn();
  scores = pass(scores, "wgmma.wait_group.sync.aligned 0;");
  release(slot);
  return scores;
}

void AttentionKernel::writeFirstPass(AttentionRows &rows, AttentionRing &ring) {
  sm90::Code &c = code;
  begin(rows);
  Value left = c.get(tiles), tile = c.get(lastTile);
  SmallVector<Value *> cells{&left, &tile, &ring.stage, &ring.phase};
  for (int64_t r : {0, 1})
    cells.append({&rows.top[r], &rows.exponent[r], &rows.total[r]});
  c.loop(cells, [&]() -> Value {
    Values scores = writeScores(ring);
    weigh(scores, tile, rows);
    tile = c.get(c.sub(tile, 1));
    left = c.get(c.sub(left, 1));
    return c.compare(LLVM::ICmpPredicate::ne, left, 0);
  });
  findShares(rows);
}

SmallVector<Value> AttentionKernel::writeFirst(AttentionRows &rows,
                                               AttentionRing &ring) {
  shape.weightCodes ? writeFirstPass(rows, ring) : begin(rows);
  Values scores = writeScores(ring);
  weigh(scores, lastTile, rows);
  return pack(scores);
}

/// What lies there may be NaN, which a weight of zero does not hide. The first
/// tile is the last one with keys; its values come behind the keys of the next
/// one, if there is one. Both warpgroups read them: each clears a part.
void AttentionKernel::clearBeyond(const AttentionRing &ring) {
  if (!shape.lengths)
    return;
  sm90::Code &c = code;
  const AttentionSchedule &s = schedule;
  Int keys = c.sub(filled, c.mul(lastTile, s.keys));
  Value isPart = c.less(c.sub(keys, 1), s.keys - 1);
  c.when(isPart, [&] {
    AttentionRing values = ring, next = ring;
    advance(next);
    Value isNext = c.compare(LLVM::ICmpPredicate::ugt, tiles, 1);
    values.stage = c.selectAny(isNext, next.stage, ring.stage);
    values.phase = c.selectAny(isNext, next.phase, ring.phase);
    waitFull(values);
    // Eight threads have a row of 128 bytes of each panel.
    Int begin = c.add(c.mul(values.stage, s.slotBytes()), s.qBytes());
    begin = c.add(begin, c.shl(c.bitAnd(thread, 7), 4));
    auto four = VectorType::get(4, c.i32());
    Value zeros = LLVM::ConstantOp::create(
        c, four, DenseElementsAttr::get(four, int32_t(0)));
    Value row = c.get(c.add(keys, c.shr(thread, 3)));
    whileLoop(
        {&row}, [&] { return c.less(row, s.keys); },
        [&] {
          Int at = c.add(begin, c.shl(row, 7));
          for (int64_t p = 0; p < s.panelsV; ++p)
            LLVM::StoreOp::create(
                c, zeros, c.at(memory, c.add(at, p * s.keys * 128)), 16);
          row = c.get(c.add(row, 4 * s.warps()));
        });
    NVVM::FenceProxyOp::create(
        c, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(c.getContext(),
                                   NVVM::SharedSpace::shared_cta));
    syncThreads("sync", kClearedBarrier, 32 * s.warps());
  });
}

/// The number times 1, which the assembler does not know: one round would be
/// unrolled, and its registers with those around it are more than there are.
static Value hide(sm90::Code &code, Int number) {
  return code.get(
      code.mul(number, Value(NVVM::GridDimYOp::create(code, code.i32()))));
}

void AttentionKernel::writeRounds(Values &sums, Values &weights,
                                  AttentionRows &rows, AttentionRing &ring) {
  sm90::Code &c = code;
  Value left = hide(c, c.sub(tiles, 1)), tile = c.get(lastTile);
  SmallVector<Value *> cells{&left, &tile, &ring.stage, &ring.phase};
  for (int64_t r : {0, 1})
    if (!shape.weightCodes)
      cells.append(
          {&rows.top[r], &rows.exponent[r], &rows.total[r], &rows.fade[r]});
  for (Value &value : weights)
    cells.push_back(&value);
  for (Value &value : sums)
    cells.push_back(&value);
  whileLoop(
      cells, [&] { return c.compare(LLVM::ICmpPredicate::ne, left, 0); },
      [&] {
        writeRound(sums, weights, rows, ring, tile);
        left = c.get(c.sub(left, 1));
      });
}

/// Turns are taken as often as they are passed: the first one is a gift of the
/// second warpgroup, and the first warpgroup waits for the last one in the end.
void AttentionKernel::writeConsumer() {
  sm90::Code &c = code;
  rowOfThread = c.add(c.mul(warp, 16), c.shr(lane, 2));
  keyOfThread = c.shl(c.bitAnd(lane, 3), 1);
  findScale();
  Value isFirst = c.equal(getGroup(), 0), isSecond = c.equal(getGroup(), 1);
  if (schedule.warpgroups > 1)
    c.when(isSecond, [&] { passTurn(); });
  AttentionRing ring{c.get(0), c.get(0)};
  Value queriesPhase = c.get(0);
  auto ofGroup = [&](int64_t barrier) {
    return barrierAt(barrier, getGroup());
  };
  forItems({&ring.stage, &ring.phase, &queriesPhase}, [&] {
    findRows();
    waitFor(ofGroup(queriesFull()), queriesPhase);
    queriesPhase = c.get(c.bitXor(queriesPhase, 1));
    AttentionRows rows;
    Values weights = writeFirst(rows, ring);
    clearBeyond(ring);
    Values sums(schedule.columns / 2, number(0));
    writeRounds(sums, weights, rows, ring);
    // Q was read for the last time.
    if (schedule.walkers)
      c.when(c.equal(lane, 0), [&] { arrive(ofGroup(queriesEmpty())); });
    if (schedule.mergeBytes() <= schedule.qBytes())
      tellReady();
    waitFull(ring);
    Value slot = ring.stage;
    advance(ring);
    takeTurn();
    fade(sums, rows);
    beginValues(sums, weights, slot);
    passTurn();
    sums = pass(sums, "wgmma.wait_group.sync.aligned 0;");
    release(slot);
    writeResult(sums, rows);
  });
  if (schedule.warpgroups > 1)
    c.when(isFirst, [&] { takeTurn(); });
  // A block's memory stays until nobody arrives there.
  if (isCluster())
    clusterWait();
}

} // namespace gpu
} // namespace nibble
