// Attention on Blackwell's tensor cores: blocks of a cluster have the same rows
// and shared the keys; what they found is merged.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using Schedule = AttentionTcgen05Schedule;

/// Columns that a thread merges at once: 16 bytes of sums.
static constexpr int64_t kColumns = 4;

/// By all threads. A block's memory stays until the others have read it.
void AttentionTcgen05Kernel::merge() {
  auto meet = [&] {
    NVVM::SyncWarpOp::create(code, code.get(-1));
    NVVM::ClusterArriveOp::create(code, UnitAttr());
    NVVM::ClusterWaitOp::create(code, UnitAttr());
  };
  meet();
  // Few rows are spread over the blocks, too.
  Value row = code.get(code.add(code.mul(warp, plan.splits), split));
  Int end = code.sub(shape.rows(), firstRow);
  code.when(code.less(warp, Schedule::kRowWarps), [&] {
    whileLoop(
        {&row}, [&] { return code.less(row, code.min(end, plan.rows())); },
        [&] {
          mergeRow(row);
          row = code.get(code.add(row, Schedule::kRowWarps * plan.splits));
        });
  });
  meet();
}

SmallVector<Value> AttentionTcgen05Kernel::loadFrom(int64_t block, Int address,
                                                    int64_t count) {
  Value place = ofBlock(code.at(memory, address), block);
  place = LLVM::PtrToIntOp::create(code, code.i32(), place);
  std::string list, constraints;
  for (int64_t i = 0; i < count; ++i) {
    list += (i ? ", $" : "$") + std::to_string(i);
    constraints += "=f,";
  }
  return code.emitAsm(
      "ld.shared::cluster.v" + std::to_string(count) + ".f32 {" + list +
          "}, [$" + std::to_string(count) + "];",
      constraints + "r", SmallVector<Type>(count, code.getF32Type()), place,
      /*hasEffects=*/true);
}

/// What sums of the blocks count in the result.
SmallVector<Value> AttentionTcgen05Kernel::findShares(Int row) {
  if (plan.walksTwice) // All divided by the sum of the whole row.
    return Values(plan.splits, valueFactor());
  Values exponents, totals;
  for (int64_t block = 0; block < plan.splits; ++block) {
    Values both =
        loadFrom(block, code.add(code.shl(row, 3), plan.totalsBegin()), 2);
    exponents.push_back(both[0]);
    totals.push_back(both[1]);
  }
  MergedRow merged = mergeTotals(exponents, totals);
  Value inverse = LLVM::FDivOp::create(code, valueFactor(), merged.total);
  inverse = code.selectAny(isZero(merged.total), number(0), inverse);
  for (Value &factor : merged.factors)
    factor = LLVM::FMulOp::create(code, factor, inverse);
  return merged.factors;
}

/// By a warp, in the order of the blocks.
void AttentionTcgen05Kernel::mergeRow(Int row) {
  Values shares = findShares(row);
  Value line = resultLine(resultOffset(code.add(firstRow, row)));
  Value column = code.get(code.mul(lane, kColumns));
  whileLoop(
      {&column}, [&] { return code.less(column, shape.width); },
      [&] {
        mergeColumns(shares, row, column, line);
        column = code.get(code.add(column, 32 * kColumns));
      });
}

void AttentionTcgen05Kernel::mergeColumns(ArrayRef<Value> shares, Int row,
                                          Int column, Value line) {
  Int place = code.add(code.mul(row, plan.resultPitch(4)), code.mul(column, 4));
  Values sums;
  for (auto [block, share] : llvm::enumerate(shares)) {
    Values part = loadFrom(int64_t(block), place, kColumns);
    for (int64_t i = 0; i < kColumns; ++i)
      if (block)
        sums[i] = LLVM::FMAOp::create(code, part[i], share, sums[i]);
      else
        sums.push_back(LLVM::FMulOp::create(code, part[i], share));
  }
  Values words = roundSums(sums);
  Type type = words.size() == 1
                  ? Type(code.i32())
                  : VectorType::get(int64_t(words.size()), code.i32());
  Value all = words[0];
  if (words.size() > 1) {
    all = LLVM::UndefOp::create(code, type);
    for (auto [i, word] : llvm::enumerate(words))
      all =
          LLVM::InsertElementOp::create(code, all, word, code.get(int64_t(i)));
  }
  Value target = advanced(line, code.get(code.mul(column, resultBytes())));
  LLVM::StoreOp::create(code, all, target, unsigned(4 * words.size()));
}

} // namespace gpu
} // namespace nibble
