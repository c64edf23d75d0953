// Products of wgmma as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "WgmmaGemm.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;

TileGemm WgmmaGemm::run(StringRef name) {
  kernel = tile::KernelOp::create(b, name, chip.chip, getGrid(), getCluster(),
                                  IntegerAttr(), /*pair=*/false);
  b.createBlock(&kernel.getBody());
  addArguments();
  ring = tile::RingOp::create(b, getRingType());
  addLoadRole();
  addMultiplyRole();
  int64_t products = problem.factors.size();
  return {kernel, args, 2 * problem.m * problem.n * problem.k * products};
}

//===--------------------------------------------------------------------===//
// Types and extents
//===--------------------------------------------------------------------===//

tile::SlotType WgmmaGemm::getSlot(int64_t rows, Type element) {
  return tile::SlotType::get(b.getContext(), {rows, getTileK()}, element,
                             problem.getShape().getRowBytes(), /*spread=*/0);
}

tile::SlotType WgmmaGemm::getPackedSlot(int64_t perTile, Type element) {
  return tile::SlotType::get(b.getContext(), {rowsOfB() / 16, 1, perTile},
                             element, /*swizzle=*/0, /*spread=*/0);
}

tile::RingType WgmmaGemm::getRingType() {
  SmallVector<Type> slots{getSlot(rowsOfA(), problem.a.element)};
  for (const GemmProblem::Factor &factor : problem.factors) {
    if (!factor.expanded) {
      slots.push_back(getSlot(rowsOfB(), factor.b.element));
      continue;
    }
    slots.push_back(
        getPackedSlot(codesPerTile(*factor.expanded), b.getI32Type()));
    if (factor.expanded->scale)
      slots.push_back(getPackedSlot(scalesPerTile(*factor.expanded),
                                    factor.expanded->scale));
  }
  return tile::RingType::get(b.getContext(), schedule.stages, slots);
}

int64_t WgmmaGemm::roundsK() const {
  return llvm::divideCeil(blocksK(), schedule.splits);
}

Value WgmmaGemm::getBlockOfK(scf::ForOp loop) {
  Value k = loop.getInductionVar();
  if (schedule.splits == 1)
    return k;
  return tile::SliceOp::create(b, b.getIndexType(), k, blocksK());
}

//===--------------------------------------------------------------------===//
// Roles
//===--------------------------------------------------------------------===//

tile::RoleOp WgmmaGemm::addRole(StringRef name, int64_t warps,
                                int64_t registers, int64_t turns) {
  auto role = tile::RoleOp::create(
      b, b.getStringAttr(name), b.getI64IntegerAttr(warps),
      b.getI64IntegerAttr(registers),
      turns > 1 ? b.getI64IntegerAttr(turns) : IntegerAttr());
  b.createBlock(&role.getBody());
  return role;
}

void WgmmaGemm::addLoadRole() {
  OpBuilder::InsertionGuard guard(b);
  addRole("load", 4, 40);
  if (!problem.passed.empty())
    addPassed();
  Value zero = index(0), one = index(1), blocks = index(roundsK());
  tile::ForTilesOp tiles = addTiles();
  Value m = tiles.getBody().getArgument(0), n = tiles.getBody().getArgument(1);
  auto loop = scf::ForOp::create(b, zero, blocks, one);
  b.setInsertionPoint(loop.getBody()->getTerminator());
  Value k = getBlockOfK(loop);
  auto stage = tile::AcquireOp::create(b, ring);
  auto loadM = [&](Value source, Value slot) {
    load(source, m, k, slot, schedule.clusterN, tile::Axis::n);
  };
  auto loadN = [&](Value source, Value slot) {
    load(source, n, k, slot, schedule.clusterM, tile::Axis::m);
  };
  schedule.swapped ? loadN(a, stage.getSlots()[0])
                   : loadM(a, stage.getSlots()[0]);
  unsigned next = 1;
  for (auto [i, factor] : llvm::enumerate(factors)) {
    if (problem.factors[i].expanded)
      loadPacked(i, m, k, stage, next);
    else
      schedule.swapped ? loadM(factor, stage.getSlots()[next++])
                       : loadN(factor, stage.getSlots()[next++]);
  }
  tile::PublishOp::create(b, ring, ValueRange());
}

void WgmmaGemm::loadPacked(unsigned i, Value m, Value k, tile::AcquireOp stage,
                           unsigned &next) {
  Value zero = index(0);
  tile::LoadOp::create(b, factors[i], ValueRange{m, k, zero},
                       stage.getSlots()[next++], tile::AxisAttr(),
                       /*half=*/false);
  if (!scales[i])
    return;
  int64_t sharing = problem.factors[i].expanded->format.sharing();
  if (sharing > 1)
    k = arith::DivUIOp::create(b, k, index(sharing));
  tile::LoadOp::create(b, scales[i], ValueRange{m, k, zero},
                       stage.getSlots()[next++], tile::AxisAttr(),
                       /*half=*/false);
}

void WgmmaGemm::load(Value source, Value row, Value k, Value slot,
                     int64_t sharing, tile::Axis axis) {
  auto multicast = sharing > 1 ? tile::AxisAttr::get(b.getContext(), axis)
                               : tile::AxisAttr();
  tile::LoadOp::create(b, source, ValueRange{row, k}, slot, multicast,
                       /*half=*/false);
}

void WgmmaGemm::addMultiplyRole() {
  OpBuilder::InsertionGuard guard(b);
  addRole("multiply", 4 * schedule.warpgroups, 232,
          schedule.warpgroups / schedule.getTeam());
  epilogue.emitUniform(b, loadUniforms());
  Value zero = index(0), one = index(1), blocks = index(roundsK());
  tile::ForTilesOp tiles = addTiles();
  Value m = tiles.getBody().getArgument(0), n = tiles.getBody().getArgument(1);
  SmallVector<Value> sums;
  for (size_t i = 0; i < factors.size(); ++i)
    sums.push_back(tile::ZeroOp::create(b, getAccType()));
  auto loop = scf::ForOp::create(b, zero, blocks, one, sums);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(loop.getBody());
    addProducts(loop, m, n);
  }
  addEpilogue(reduce(loop.getResults()), m, n);
}

SmallVector<Value> WgmmaGemm::reduce(ValueRange sums) {
  if (schedule.splits == 1)
    return llvm::to_vector(sums);
  auto part = tile::AccType::get(
      b.getContext(), {schedule.tileM, schedule.getPartN()}, b.getF32Type());
  SmallVector<Type> types(sums.size(), part);
  return tile::ReduceOp::create(b, types, sums).getParts();
}

void WgmmaGemm::addProducts(scf::ForOp loop, Value m, Value n) {
  auto stage = tile::WaitOp::create(b, ring);
  SmallVector<Value> sums, packed;
  unsigned next = 1;
  for (auto [i, sum] : llvm::enumerate(loop.getRegionIterArgs())) {
    if (problem.factors[i].expanded) {
      sums.push_back(
          addExpanded(*problem.factors[i].expanded, stage, next, sum, packed));
      continue;
    }
    Value left = stage.getSlots()[0], right = stage.getSlots()[next++];
    if (schedule.swapped)
      std::swap(left, right);
    Value begin = sum;
    if (scalesOfA)
      begin = tile::ZeroOp::create(b, getAccType());
    sums.push_back(tile::MmaOp::create(b, left, right, begin, ValueRange()));
  }
  if (scalesOfA)
    promoteBlocks(loop, m, n, sums);
  promote(loop, packed, sums);
  tile::ReleaseOp::create(b, ring);
  scf::YieldOp::create(b, sums);
}

Value WgmmaGemm::addExpanded(const ExpandedWeight &weight, tile::WaitOp stage,
                             unsigned &next, Value sum,
                             SmallVectorImpl<Value> &packed) {
  Value codes = stage.getSlots()[next++];
  Value scale = weight.scale ? stage.getSlots()[next++] : Value();
  auto type = tile::ExpandedType::get(b.getContext(), {rowsOfB(), getTileK()},
                                      problem.a.element);
  bool scalesSums = weight.format.scalesSums;
  auto per = !scale || scalesSums ? IntegerAttr()
                                  : b.getI64IntegerAttr(weight.format.block);
  Value expanded = tile::ExpandOp::create(
      b, type, codes, TypeAttr::get(weight.storage),
      scalesSums ? Value() : scale, per, b.getI64IntegerAttr(weight.exponent));
  if (scalesSums) {
    packed.push_back(scale);
    sum = tile::ZeroOp::create(b, getAccType());
  }
  return tile::MmaOp::create(b, expanded, stage.getSlots()[0], sum,
                             ValueRange());
}

void WgmmaGemm::promote(scf::ForOp loop, ArrayRef<Value> packed,
                        MutableArrayRef<Value> sums) {
  if (packed.empty())
    return;
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = tile::PromoteOp::create(
        b, sum, loop.getRegionIterArgs()[i], packed[i], Value(), Value(),
        ValueRange(), b.getI64IntegerAttr(1), UnitAttr(), UnitAttr());
}

void WgmmaGemm::promoteBlocks(scf::ForOp loop, Value m, Value n,
                              MutableArrayRef<Value> sums) {
  Value k = getBlockOfK(loop);
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = tile::PromoteOp::create(
        b, sum, loop.getRegionIterArgs()[i], Value(), scalesOfA, scales[i],
        ValueRange{m, n, k},
        b.getI64IntegerAttr(problem.factors[i].b.scaledRows),
        schedule.late ? b.getUnitAttr() : UnitAttr(), UnitAttr());
}
