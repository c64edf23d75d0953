// Products of which groups of K are scaled in f32, in a kernel for Blackwell.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorGemmPromote.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;
using llvm::divideCeil;

SmallVector<int64_t>
nibble::tilegen::getGroupScales(const GemmProblem &problem,
                                const GemmProblem::Factor &factor) {
  return {int64_t(divideCeil(factor.b.rows, 128)),
          int64_t(divideCeil(problem.k, factor.expanded->format.block)), 128};
}

GroupSums::GroupSums(ImplicitLocOpBuilder &b, const GemmProblem &problem,
                     const GemmSchedule &schedule)
    : b(b), problem(problem), schedule(schedule), shape(problem.getShape()) {}

int64_t GroupSums::countSums() const {
  return exist() ? divideCeil(problem.k, shape.promotedK) : 1;
}

int64_t GroupSums::countStagesOfSum() const {
  return exist() ? shape.getPromotedStages()
                 : divideCeil(problem.k, shape.getTileK());
}

Value GroupSums::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

void GroupSums::addRing() {
  if (!shape.promotedBytes)
    return;
  SmallVector<Type> slots;
  for (const GemmProblem::Factor &factor : problem.factors)
    slots.push_back(tile::SlotType::get(b.getContext(), {1, 1, 128},
                                        factor.expanded->scale, /*swizzle=*/0,
                                        /*spread=*/0));
  scaleRing = tile::RingOp::create(
      b,
      tile::RingType::get(b.getContext(), GemmSchedule::kScaleStages, slots));
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

Value GroupSums::openSums() {
  if (!exist())
    return Value();
  auto loop = scf::ForOp::create(b, index(0), index(countSums()), index(1));
  b.setInsertionPoint(loop.getBody()->getTerminator());
  return loop.getInductionVar();
}

Value GroupSums::openStages(function_ref<void(Value)> begin) {
  Value group = openSums();
  if (exist())
    begin(group);
  int64_t stages = countStagesOfSum();
  if (exist() && stages == 1)
    return group;
  auto loop = scf::ForOp::create(b, index(0), index(stages), index(1));
  b.setInsertionPoint(loop.getBody()->getTerminator());
  if (!exist())
    return loop.getInductionVar();
  Value before = arith::MulIOp::create(b, group, index(stages));
  return arith::AddIOp::create(b, before, loop.getInductionVar());
}

void GroupSums::addLoads(ValueRange scales, Value m, Value group) {
  if (!scaleRing)
    return;
  auto stage = tile::AcquireOp::create(b, scaleRing);
  for (auto [source, slot] : llvm::zip(scales, stage.getSlots()))
    tile::LoadOp::create(b, source, ValueRange{m, group, index(0)}, slot,
                         tile::AxisAttr());
  tile::PublishOp::create(b, scaleRing, ValueRange());
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

SmallVector<Value> GroupSums::addGroup(Value ring, ValueRange sums, Place at,
                                       Value scalesOfA, ValueRange scales) {
  SmallVector<Value> packed, results;
  if (scaleRing)
    packed = llvm::to_vector_of<Value>(
        tile::WaitOp::create(b, scaleRing).getSlots());
  auto stage = tile::WaitOp::create(b, ring);
  for (auto [i, partial] : llvm::enumerate(stage.getSlots())) {
    if (scaleRing) {
      results.push_back(tile::PromoteOp::create(
          b, partial, sums[i], packed[i], Value(), Value(), ValueRange(),
          b.getI64IntegerAttr(1), UnitAttr(), UnitAttr()));
      continue;
    }
    Value rows = scalesOfA, columns = scales[i];
    if (schedule.swapped)
      std::swap(rows, columns);
    results.push_back(tile::PromoteOp::create(
        b, partial, sums[i], Value(), rows, columns, at,
        b.getI64IntegerAttr(problem.factors[i].b.scaledRows), UnitAttr(),
        schedule.swapped ? b.getUnitAttr() : UnitAttr()));
  }
  if (scaleRing)
    tile::ReleaseOp::create(b, scaleRing);
  return results;
}

SmallVector<Value> GroupSums::addSums(Value ring, Value m, Value n,
                                      Value scalesOfA, ValueRange scales) {
  SmallVector<Value> sums;
  for (Type acc : cast<tile::RingType>(ring.getType()).getSlots())
    sums.push_back(tile::ZeroOp::create(b, acc));
  int64_t last = countSums() - 1;
  if (last) {
    auto loop = scf::ForOp::create(b, index(0), index(last), index(1), sums);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(loop.getBody());
    SmallVector<Value> next =
        addGroup(ring, loop.getRegionIterArgs(), {m, n, loop.getInductionVar()},
                 scalesOfA, scales);
    tile::ReleaseOp::create(b, ring);
    scf::YieldOp::create(b, next);
    sums = llvm::to_vector_of<Value>(loop.getResults());
  }
  return addGroup(ring, sums, {m, n, index(last)}, scalesOfA, scales);
}
