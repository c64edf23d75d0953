// Sums of a row in registers of a thread, over blocks of K.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Role.h"

#include "Promote.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

void Role::writeZero(tile::ZeroOp zero) {
  Value none = LLVM::ConstantOp::create(code, code.getF32Type(),
                                        code.getF32FloatAttr(0));
  sums[zero.getAcc()].assign(zero.getAcc().getType().getShape()[1], none);
}

bool Role::carriesSums(scf::ForOp loop) {
  return llvm::any_of(loop.getInitArgs(),
                      [&](Value init) { return sums.contains(init); });
}

/// The op with the place of its tile; nothing of that if it reads no memory.
Promotion Role::getPromotion(tile::PromoteOp op) {
  bool isPlaced = !op.getCoords().empty();
  Int m = isPlaced ? getInt(op.getCoords()[0]) : Int(0),
      n = isPlaced ? getInt(op.getCoords()[1]) : Int(0);
  return Promotion(static_cast<Sm100Kernel &>(kernel), op, m, n, warp);
}

/// Sums that an epilogue reads go to the stage from which the last ones came:
/// it is this role's until the release.
LogicalResult Role::writePromote(tile::PromoteOp op) {
  Promotion work = getPromotion(op);
  SumScales scales;
  if (auto found = loaded.find(op); found != loaded.end()) {
    scales = found->second;
  } else if (!op.getCoords().empty()) {
    Int block = getInt(op.getCoords()[2]);
    scales = {work.loadScalars(block), work.loadColumnScales(block)};
  }
  if (op.getPacked())
    scales.scalars.push_back(
        work.loadPacked(slots.find(op.getPacked())->second));
  Int column = accs.find(op.getPartial())->second.column;
  bool isLast = llvm::any_of(op->getUsers(), llvm::IsaPred<tile::EpilogueOp>);
  SmallVector<Value> added = work.add(sums.find(op.getAcc())->second, column,
                                      scales.scalars, scales.columns, isLast);
  if (isLast)
    accs[op.getResult()] = {column, Value()};
  sums[op.getResult()] = added;
  return success();
}

/// Promotions of a round whose scales are known before it: at its block of K.
static SmallVector<tile::PromoteOp> getEarly(scf::ForOp loop) {
  SmallVector<tile::PromoteOp> list;
  for (auto op : loop.getBody()->getOps<tile::PromoteOp>())
    if (!op.getCoords().empty() && op.getCoords()[2] == loop.getInductionVar())
      list.push_back(op);
  return list;
}

namespace nibble {
namespace sm100 {
/// A loop over blocks of K: sums that it carries, and scales that are loaded in
/// the round before theirs.
struct SumLoop {
  scf::ForOp loop;
  int64_t last, step; ///< block, blocks
  SmallVector<tile::PromoteOp> early;
  SmallVector<SmallVector<Value>> carried, scalars;

  void addCells(SmallVectorImpl<Value *> &cells) {
    for (auto *lists : {&carried, &scalars})
      for (SmallVector<Value> &list : *lists)
        for (Value &value : list)
          cells.push_back(&value);
  }
};
} // namespace sm100
} // namespace nibble

LogicalResult Role::beginSums(SumLoop &work, int64_t first) {
  for (auto [init, argument] :
       llvm::zip(work.loop.getInitArgs(), work.loop.getRegionIterArgs())) {
    if (!sums.contains(init))
      return refuse(work.loop) << "a loop that carries sums in registers and "
                               << init.getType() << " elsewhere";
    work.carried.push_back(sums.find(init)->second);
  }
  work.early = getEarly(work.loop);
  for (tile::PromoteOp op : work.early)
    work.scalars.push_back(getPromotion(op).loadScalars(first));
  return success();
}

/// Scales are loaded before the products of their round are waited for; those
/// that are one register, in the round before.
LogicalResult Role::writeSumRound(SumLoop &work, Int index) {
  scf::ForOp loop = work.loop;
  for (auto [argument, list] :
       llvm::zip(loop.getRegionIterArgs(), work.carried))
    sums[argument] = list;
  ints.insert_or_assign(loop.getInductionVar(), index);
  Int next = code.min(code.add(index, work.step), work.last);
  for (auto [op, list] : llvm::zip(work.early, work.scalars)) {
    Promotion promotion = getPromotion(op);
    loaded[op] = {list, promotion.loadColumnScales(index)};
    llvm::copy(promotion.loadScalars(next), list.begin());
  }
  LogicalResult result = writeBlock(*loop.getBody());
  for (auto [yield, list] : llvm::zip(loop.getYieldedValues(), work.carried))
    llvm::copy(sums.find(yield)->second, list.begin());
  return result;
}

LogicalResult Role::writeSums(scf::ForOp loop, int64_t first, int64_t last,
                              int64_t step) {
  SumLoop work{loop, last, step, {}, {}, {}};
  if (failed(beginSums(work, first)))
    return failure();
  SmallVector<Value *> cells = rings.getCells(loop);
  work.addCells(cells);
  Value index = code.get(first);
  cells.push_back(&index);
  LogicalResult result = success();
  code.loop(cells, [&] {
    result = writeSumRound(work, index);
    index = code.get(code.add(index, step));
    return code.less(index, last + step);
  });
  for (auto [out, list] : llvm::zip(loop.getResults(), work.carried))
    sums[out] = list;
  return result;
}
