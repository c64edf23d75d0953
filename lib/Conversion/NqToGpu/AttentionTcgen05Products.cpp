// Attention on Blackwell's tensor cores: the thread that multiplies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "Sm100/Tcgen05.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

using Schedule = AttentionTcgen05Schedule;
using sm100::kStepBytes;

/// Columns of tensor memory that weights of one product take.
static constexpr int64_t kStepColumns = kStepBytes / 4;
/// Bytes between groups of 8 rows of a panel.
static constexpr int64_t kGroupBytes = 8 * 128;

/// In a cluster, addresses have the number of the block above their 18 bits.
Value AttentionTcgen05Kernel::getMatrix(Int bytes, uint64_t form) {
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), memory);
  Int first = code.shr(code.bitAnd(base, 0x3ffff), 4);
  Int address = code.add(first, code.shr(bytes, 4));
  return LLVM::OrOp::create(code, code.extend64(address),
                            code.constant(code.i64(), int64_t(form)));
}

/// S = Q K^T, of all elements of a head.
void AttentionTcgen05Kernel::multiplyTileKeys(Int number, AttentionRing &ring) {
  awaitRead(code.sub(number, 2));
  uint64_t form = sm100::getMatrixForm(128, kGroupBytes);
  Type ofKeys = shape.expandsKeys() ? shape.q.element : shape.k.element;
  uint32_t product =
      sm100::getProductForm(shape.q.element, ofKeys, plan.rows(), plan.keys);
  Int buffer = code.bitAnd(number, 1);
  Value target = sm100::getPointer(
      code, code.add(tensorBase, code.mul(buffer, plan.keys)));
  int64_t left = divideCeil(shape.depth * shape.q.bytes(), kStepBytes);
  Value adds = code.constant(code.getI1Type(), 0);
  forPieces(true, ring, [&](int64_t piece, Int slot) {
    await(fullBarrier(ring.stage), ring.phase);
    int64_t steps = std::min(left, 4 * Schedule::kPiecePanels);
    for (int64_t step = 0; step < steps; ++step) {
      int64_t panel = step / 4, inRow = step % 4 * kStepBytes;
      int64_t ofQ = (piece * Schedule::kPiecePanels + panel) * plan.rows();
      sm100::multiply(
          code, shape.q.element, target, getMatrix(ofQ * 128 + inRow, form),
          getMatrix(code.add(slot, panel * plan.panelBytes() + inRow), form),
          product, adds);
      adds = code.constant(code.getI1Type(), 1);
    }
    left -= steps;
    sm100::commit(code, emptyBarrier(ring.stage));
  });
  sm100::commit(code, scoresBarrier(buffer));
}

/// O += P V, a piece of the columns after the other. Weights come from tensor
/// memory; values as they lie, columns together.
void AttentionTcgen05Kernel::multiplyTileValues(Int number, Value adds,
                                                AttentionRing &ring) {
  uint64_t form = sm100::getMatrixForm(128, kGroupBytes, plan.panelBytes());
  int64_t perPanel = 128 / plan.valueBytes,
          stepKeys = kStepBytes / plan.valueBytes;
  Type element = weightElement(),
       ofValues = plan.valueBytes == 1 ? shape.v.element : shape.narrow;
  Value always = code.constant(code.getI1Type(), 1);
  Int weights =
      code.add(tensorBase, code.mul(code.bitAnd(number, 1), plan.keys));
  await(weightsBarrier(), code.bitAnd(code.sub(number, firstNumber()), 1));
  forPieces(false, ring, [&](int64_t piece, Int slot) {
    int64_t first = piece * Schedule::kPiecePanels * perPanel;
    int64_t columns =
        std::min(plan.columns - first, Schedule::kPiecePanels * perPanel);
    uint32_t product =
        sm100::getProductForm(element, ofValues, plan.rows(), columns,
                              /*hasColumnsTogether=*/true);
    Value target = sm100::getPointer(
        code, code.add(tensorBase, plan.sumsColumn() + first));
    await(fullBarrier(ring.stage), ring.phase);
    for (int64_t step = 0; step < plan.keys / stepKeys; ++step)
      sm100::multiply(
          code, element, target,
          sm100::getPointer(code, code.add(weights, step * kStepColumns)),
          getMatrix(code.add(slot, step * stepKeys * 128), form), product,
          step ? always : adds);
    sm100::commit(code, emptyBarrier(ring.stage));
  });
  sm100::commit(code, sumsBarrier());
}

/// That scores of a tile of the first walk have been read: others take their
/// place. Where there are weights, their barrier says so.
void AttentionTcgen05Kernel::awaitRead(Int number) {
  if (!plan.walksTwice)
    return;
  // Unsigned: there are none before the first two.
  code.when(code.less(number, tiles), [&] {
    await(readBarrier(code.bitAnd(number, 1)),
          code.bitAnd(code.shr(number, 1), 1));
  });
}

void AttentionTcgen05Kernel::multiplyFirstWalk(AttentionRing &ring) {
  Value number = code.get(0);
  code.loop({&ring.stage, &ring.phase, &number}, [&]() -> Value {
    multiplyTileKeys(number, ring);
    number = code.get(code.add(number, 1));
    return code.less(number, tiles);
  });
}

void AttentionTcgen05Kernel::writeProducts() {
  AttentionRing ring{code.get(0), code.get(0)};
  await(queriesBarrier(), 0);
  if (plan.walksTwice)
    multiplyFirstWalk(ring);
  multiplyTileKeys(firstNumber(), ring);
  Value number = code.get(code.add(firstNumber(), 1)),
        adds = code.constant(code.getI1Type(), 0);
  Int end = code.add(firstNumber(), tiles);
  whileLoop(
      {&ring.stage, &ring.phase, &number, &adds},
      [&] { return code.less(number, end); },
      [&] {
        multiplyTileKeys(number, ring);
        multiplyTileValues(code.sub(number, 1), adds, ring);
        adds = code.constant(code.getI1Type(), 1);
        number = code.get(code.add(number, 1));
      });
  multiplyTileValues(code.sub(number, 1), adds, ring);
}

} // namespace gpu
} // namespace nibble
