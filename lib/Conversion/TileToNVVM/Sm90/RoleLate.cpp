// Sums of a round of a loop that are scaled and added in the next one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// While a warpgroup adds up the sums of one stage, the matrix unit has its
// products of the next stage: two partial accumulators, in turns. ptxas
// serializes products if some of them are under way where a loop begins again
// and are read there, so a loop over groups of rounds waits for all at its end.
#include "Role.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

/// Rounds of which all but the last are added behind products of the next. If
/// the loop has all of them, ptxas finds registers for three accumulators; of
/// rounds behind it, it spilled.
static int64_t getGroup(int64_t trips) {
  for (int64_t rounds : {4, 3, 2})
    if (trips % rounds == 0 && trips > rounds)
      return rounds;
  return 4;
}

/// All sums of the round before, behind which `groups` of products came.
void Role::settleLate(Block &block, int64_t groups) {
  for (auto promote : block.getOps<tile::PromoteOp>())
    if (auto found = late.find(promote); found != late.end())
      found->second.partial = mma->settle(found->second.partial, groups);
}

Acc Role::addLate(tile::PromoteOp op) {
  const LateSums &sums = late.find(op)->second;
  const Acc &acc = accs.find(op.getAcc())->second;
  return mma->promote(acc, sums.partial, sums.rows, sums.columns);
}

/// Scales of this round come while its products are under way.
LogicalResult Role::writeLate(tile::PromoteOp op) {
  Acc acc = accs.find(op.getAcc())->second;
  LateSums sums;
  Int block = getBlockOfK(op);
  sums.partial = accs.find(op.getPartial())->second;
  sums.rows = loadRowScales(op, int64_t(acc.parts.size()), block);
  sums.columns = loadColumnScales(op, block);
  Block &body = *op->getBlock();
  if (*body.getOps<tile::PromoteOp>().begin() == op)
    settleLate(body, llvm::range_size(body.getOps<tile::MmaOp>()));
  if (late.contains(op))
    acc = addLate(op);
  accs[op.getResult()] = acc;
  late[op] = sums;
  return success();
}

/// No product is added to these registers.
void Role::zeroSums(scf::ForOp loop) {
  Value zero = LLVM::ConstantOp::create(code, code.getF32Type(),
                                        code.getF32FloatAttr(0));
  for (Value argument : loop.getRegionIterArgs()) {
    Acc &acc = accs.find(argument)->second;
    for (Value &part : acc.parts) {
      auto type = cast<LLVM::LLVMStructType>(part.getType());
      for (int64_t i = 0, count = type.getBody().size();
           acc.isZero && i < count; ++i)
        part =
            LLVM::InsertValueOp::create(code, part, zero, ArrayRef<int64_t>(i));
    }
    acc.isZero = false;
  }
}

/// Rounds of which all products are done at the end. The last sums are added
/// while nothing of this warpgroup is under way.
LogicalResult Role::writeLateGroup(scf::ForOp loop, Int first, int64_t rounds,
                                   int64_t step) {
  for (int64_t round = 0; round < rounds; ++round)
    if (failed(writeRound(loop, code.add(first, round * step))))
      return failure();
  settleLate(*loop.getBody(), 0);
  rings.settle();
  for (auto promote : loop.getBody()->getOps<tile::PromoteOp>()) {
    Acc sum = addLate(promote);
    accs[promote.getAcc()] = sum;
  }
  late.clear();
  return success();
}

LogicalResult Role::writeLateRounds(scf::ForOp loop, int64_t trips,
                                    int64_t lower, int64_t step) {
  settleBefore(nullptr);
  zeroSums(loop);
  LogicalResult result = success();
  int64_t rounds = getGroup(trips), grouped = trips / rounds * rounds;
  if (grouped > rounds) {
    SmallVector<Value *> cells = rings.getCells(loop);
    SmallVector<SmallVector<Value>> sums;
    for (Value argument : loop.getRegionIterArgs())
      sums.push_back(accs.find(argument)->second.parts);
    for (auto &list : sums)
      for (Value &value : list)
        cells.push_back(&value);
    Value index = code.get(lower);
    cells.push_back(&index);
    code.loop(cells, [&] {
      for (auto [argument, list] : llvm::zip(loop.getRegionIterArgs(), sums))
        accs[argument].parts = list;
      result = writeLateGroup(loop, index, rounds, step);
      for (auto [argument, list] : llvm::zip(loop.getRegionIterArgs(), sums))
        llvm::copy(accs[argument].parts, list.begin());
      index = code.get(code.add(index, rounds * step));
      return code.less(index, lower + grouped * step);
    });
    for (auto [argument, list] : llvm::zip(loop.getRegionIterArgs(), sums))
      accs[argument].parts = list;
  } else {
    grouped = 0;
  }
  for (int64_t done = grouped; done < trips && succeeded(result);
       done += rounds)
    result = writeLateGroup(loop, lower + done * step,
                            std::min(rounds, trips - done), step);
  return result;
}
