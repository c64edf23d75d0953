// Products of tcgen05 as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorGemm.h"
#include "GemmTiles.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;

TileGemm TensorGemm::run(StringRef name) {
  kernel = tile::KernelOp::create(b, name, chip.chip, getGrid(), getCluster(),
                                  IntegerAttr(), schedule.pair);
  b.createBlock(&kernel.getBody());
  addArguments();
  ring = tile::RingOp::create(b, getStages());
  SmallVector<Type> accs(factors.size(), getAccType());
  sums = tile::RingOp::create(
      b, tile::RingType::get(b.getContext(),
                             schedule.getAccStages(problem.getShape()), accs));
  if (isExpanded())
    operandRing = tile::RingOp::create(b, getOperands());
  groups.addRing();
  addFinishRole();
  if (isExpanded())
    addExpandRole();
  addLoadTilesRole();
  addMultiplyTilesRole();
  int64_t products = problem.factors.size();
  return {kernel, args, 2 * problem.m * problem.n * problem.k * products};
}

tile::RingType TensorGemm::getOperands() {
  SmallVector<Type> types(factors.size(),
                          tile::OperandType::get(b.getContext(),
                                                 {rowsOfB(), getTileK()},
                                                 problem.a.element));
  return tile::RingType::get(b.getContext(), GemmSchedule::kOperandStages,
                             types);
}

SmallVector<TensorGemm::Side> TensorGemm::getSides() const {
  auto getLoaded = [&](bool isM) {
    return isM ? schedule.tileM : schedule.getLoadedN();
  };
  auto inStage = [&](Value scale) { return groups.exist() ? Value() : scale; };
  bool swapped = schedule.swapped;
  SmallVector<Side> sides{{a, inStage(scalesOfA), !swapped, rowsOfA(),
                           getLoaded(!swapped), problem.a.spread}};
  for (auto [codes, scale] : llvm::zip(factors, scales))
    sides.push_back({codes, inStage(scale), swapped, rowsOfB(),
                     getLoaded(swapped), problem.factors[0].b.spread,
                     isExpanded() ? &*problem.factors[0].expanded : nullptr});
  unsigned next = 0;
  for (Side &side : sides) {
    side.slot = next;
    next += 1 + countScaleSlots(side);
  }
  return sides;
}

unsigned TensorGemm::countScaleSlots(const Side &side) {
  if (!side.scales)
    return 0;
  return side.isM || side.expanded ? 1 : getScaleTiles(side.rows);
}

int64_t TensorGemm::getScalesAlongK() const {
  return getTileK() / problem.a.scaleBlock / 4;
}

tile::RingType TensorGemm::getStages() {
  SmallVector<Type> slots;
  for (const Side &side : getSides()) {
    if (side.expanded) {
      addLaneSlots(*side.expanded, slots);
      continue;
    }
    slots.push_back(tile::SlotType::get(
        b.getContext(), {side.loaded, getTileK()},
        cast<MemRefType>(side.codes.getType()).getElementType(),
        problem.getShape().getRowBytes(), side.spread));
    for (unsigned i = 0; i < countScaleSlots(side); ++i)
      slots.push_back(tile::SlotType::get(b.getContext(),
                                          {1, getScalesAlongK(), 2, 256},
                                          problem.a.scaleElement,
                                          /*swizzle=*/0, /*spread=*/0));
  }
  return tile::RingType::get(b.getContext(), schedule.stages, slots);
}

void TensorGemm::addLaneSlots(const ExpandedWeight &weight,
                              SmallVectorImpl<Type> &slots) {
  auto add = [&](int64_t rows, int64_t columns, Type element) {
    slots.push_back(tile::SlotType::get(b.getContext(), {1, 1, rows, columns},
                                        element, /*swizzle=*/0,
                                        /*spread=*/0));
  };
  add(getLaneWords(weight), 256, b.getI32Type());
  if (weight.scale && !weight.format.scalesSums)
    add(weight.format.stageBlocks(), 128, weight.scale);
}

tile::RoleOp TensorGemm::addPlainRole(StringRef name, int64_t warps) {
  auto role =
      tile::RoleOp::create(b, b.getStringAttr(name), b.getI64IntegerAttr(warps),
                           IntegerAttr(), IntegerAttr());
  b.createBlock(&role.getBody());
  return role;
}

void TensorGemm::addFinishRole() {
  OpBuilder::InsertionGuard guard(b);
  addPlainRole("finish", 4);
  epilogue.emitUniform(b, loadUniforms());
  tile::ForTilesOp tiles = addTiles();
  Value m = tiles.getBody().getArgument(0), n = tiles.getBody().getArgument(1);
  if (groups.exist())
    addEpilogue(groups.addSums(sums, m, n, scalesOfA, scales), m, n);
  else
    addEpilogue(tile::WaitOp::create(b, sums).getSlots(), m, n);
  tile::ReleaseOp::create(b, sums);
}

void TensorGemm::addLoadTilesRole() {
  OpBuilder::InsertionGuard guard(b);
  addPlainRole("load", 1);
  if (!problem.passed.empty())
    addPassed();
  tile::ForTilesOp tiles = addTiles();
  Value m = tiles.getBody().getArgument(0), n = tiles.getBody().getArgument(1);
  SmallVector<Value> firsts;
  for (const Side &side : getSides())
    firsts.push_back(getFirstScaleTile(side, side.isM ? m : n));
  Value k = groups.openStages(
      [&](Value group) { groups.addLoads(scales, m, group); });
  auto stage = tile::AcquireOp::create(b, ring);
  for (auto [side, first] : llvm::zip(getSides(), firsts)) {
    SmallVector<Value> at{side.isM ? m : n, k};
    if (side.expanded)
      at.append({index(0), index(0)});
    tile::LoadOp::create(b, side.codes, at, stage.getSlots()[side.slot],
                         tile::AxisAttr(), side.loaded < side.rows);
    loadScales(side, first, k, stage);
  }
  tile::PublishOp::create(b, ring, ValueRange());
}

void TensorGemm::addExpandRole() {
  OpBuilder::InsertionGuard guard(b);
  addPlainRole("expand", 4);
  addTiles();
  auto loop =
      scf::ForOp::create(b, index(0), index(groups.countStages()), index(1));
  b.setInsertionPoint(loop.getBody()->getTerminator());
  auto stage = tile::WaitOp::create(b, ring);
  auto empty = tile::AcquireOp::create(b, operandRing);
  SmallVector<Side> sides = getSides();
  for (auto [side, operand] :
       llvm::zip(ArrayRef(sides).drop_front(), empty.getSlots())) {
    const ExpandedWeight &weight = *side.expanded;
    Value scale = side.scales ? stage.getSlots()[side.slot + 1] : Value();
    auto per =
        side.scales ? b.getI64IntegerAttr(weight.format.block) : IntegerAttr();
    tile::ExpandIntoOp::create(b, operand, stage.getSlots()[side.slot],
                               TypeAttr::get(weight.storage), scale, per,
                               b.getI64IntegerAttr(weight.exponent));
  }
  tile::PublishOp::create(b, operandRing, ValueRange());
  tile::ReleaseOp::create(b, ring);
}

Value TensorGemm::getFirstScaleTile(const Side &side, Value number) {
  if (!side.scales || side.rows == 128)
    return number;
  Value row = arith::MulIOp::create(b, number, index(side.rows));
  return arith::DivUIOp::create(b, row, index(128));
}

void TensorGemm::loadScales(const Side &side, Value first, Value k,
                            tile::AcquireOp stage) {
  // Both blocks of a pair have those of all rows on N.
  bool shared = schedule.pair && !side.isM;
  for (unsigned i = 0; i < countScaleSlots(side); ++i) {
    Value at = i ? arith::AddIOp::create(b, first, index(i)) : first;
    tile::LoadOp::create(
        b, side.scales, ValueRange{at, k, index(0), index(0)},
        stage.getSlots()[side.slot + 1 + i],
        shared ? tile::AxisAttr::get(b.getContext(), tile::Axis::m)
               : tile::AxisAttr(),
        /*half=*/false);
  }
}

void TensorGemm::addMultiplyTilesRole() {
  OpBuilder::InsertionGuard guard(b);
  addPlainRole("multiply", 1);
  tile::ForTilesOp tiles = addTiles();
  Value n = tiles.getBody().getArgument(1);
  groups.openSums();
  auto empty = tile::AcquireOp::create(b, sums);
  SmallVector<Value> zeros;
  for (Value acc : empty.getSlots())
    zeros.push_back(tile::ClearOp::create(b, acc));
  Value row = getRowOfScales(n);
  auto loop = scf::ForOp::create(b, index(0), index(groups.countStagesOfSum()),
                                 index(1), zeros);
  {
    OpBuilder::InsertionGuard inside(b);
    b.setInsertionPointToEnd(loop.getBody());
    addTensorProducts(loop, row);
  }
  tile::PublishOp::create(b, sums, loop.getResults());
}

Value TensorGemm::getRowOfScales(Value n) {
  if (!problem.a.scaleBlock || schedule.tileN % 128 == 0)
    return Value();
  Value row = arith::MulIOp::create(b, n, index(schedule.tileN));
  return arith::RemUIOp::create(b, row, index(128));
}

Value TensorGemm::addScales(const Side &side, Value row, tile::WaitOp stage) {
  auto type = tile::ScaleTileType::get(
      b.getContext(),
      {int64_t(llvm::alignTo(side.rows, 128)), 4 * getScalesAlongK()},
      problem.a.scaleElement);
  auto slots = stage.getSlots().slice(side.slot + 1, countScaleSlots(side));
  return tile::ScalesOp::create(b, type, slots, side.isM ? Value() : row);
}

void TensorGemm::addTensorProducts(scf::ForOp loop, Value row) {
  auto stage = tile::WaitOp::create(b, ring);
  SmallVector<Side> sides = getSides();
  SmallVector<Value> expanded;
  if (isExpanded())
    expanded = llvm::to_vector_of<Value>(
        tile::WaitOp::create(b, operandRing).getSlots());
  SmallVector<Value> factorScales;
  if (problem.a.scaleBlock)
    for (const Side &side : sides)
      factorScales.push_back(addScales(side, row, stage));
  SmallVector<Value> next;
  for (auto [i, sum] : llvm::enumerate(loop.getRegionIterArgs())) {
    Value left = stage.getSlots()[sides[0].slot],
          right =
              isExpanded() ? expanded[i] : stage.getSlots()[sides[1 + i].slot];
    SmallVector<Value> both;
    if (problem.a.scaleBlock)
      both = {factorScales[0], factorScales[1 + i]};
    if (schedule.swapped) {
      std::swap(left, right);
      std::reverse(both.begin(), both.end());
    }
    next.push_back(tile::MmaOp::create(b, left, right, sum, both));
  }
  if (isExpanded())
    tile::ReleaseOp::create(b, operandRing);
  tile::ReleaseOp::create(b, ring);
  scf::YieldOp::create(b, next);
}
