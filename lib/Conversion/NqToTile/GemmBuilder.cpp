// What kernels of products have in common, on all targets.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmBuilder.h"
#include "TensorGemmPromote.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;

//===--------------------------------------------------------------------===//
// Types and extents
//===--------------------------------------------------------------------===//

DenseI64ArrayAttr GemmBuilder::getCluster() {
  SmallVector<int64_t> blocks{schedule.clusterM, schedule.clusterN};
  if (schedule.splits > 1)
    blocks.push_back(schedule.splits);
  return b.getDenseI64ArrayAttr(blocks);
}

int64_t GemmBuilder::tilesM() const {
  int64_t extent = schedule.swapped ? problem.n : problem.m;
  return llvm::alignTo(llvm::divideCeil(extent, schedule.tileM),
                       schedule.clusterM);
}

int64_t GemmBuilder::tilesN() const {
  int64_t extent = schedule.swapped ? problem.m : problem.n;
  return llvm::alignTo(llvm::divideCeil(extent, schedule.tileN),
                       schedule.clusterN);
}

int64_t GemmBuilder::rowsOfA() const {
  return schedule.swapped ? schedule.tileN : schedule.tileM;
}

int64_t GemmBuilder::rowsOfB() const {
  return schedule.swapped ? schedule.tileM : schedule.tileN;
}

int64_t GemmBuilder::getGrid() const {
  if (schedule.splits > 1)
    return tilesM() * tilesN() * schedule.splits;
  int64_t cluster = schedule.clusterM * schedule.clusterN;
  int64_t wave = chip.multiprocessors / cluster * cluster;
  return std::min(wave, tilesM() * tilesN());
}

int64_t GemmBuilder::codesPerTile(const ExpandedWeight &weight) {
  return weight.format.stageK * weight.format.bits / 2;
}

int64_t GemmBuilder::scalesPerTile(const ExpandedWeight &weight) {
  return 16 * weight.format.stageBlocks();
}

tile::AccType GemmBuilder::getAccType() {
  return tile::AccType::get(b.getContext(), {schedule.tileM, schedule.tileN},
                            b.getF32Type());
}

Value GemmBuilder::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

//===--------------------------------------------------------------------===//
// Arguments
//===--------------------------------------------------------------------===//

Value GemmBuilder::addArgument(Place place, MemRefType type) {
  args.push_back(nibble::gpu::KernelArg::pointer(place.value, place.offset));
  return kernel.getBody().addArgument(type, b.getLoc());
}

Value GemmBuilder::addArgument(Place place, ArrayRef<int64_t> shape,
                               Type element) {
  return addArgument(place, MemRefType::get(shape, element));
}

Value GemmBuilder::addRows(Place place, ArrayRef<int64_t> shape, int64_t pitch,
                           Type element) {
  if (pitch == shape.back())
    return addArgument(place, shape, element);
  auto layout = StridedLayoutAttr::get(b.getContext(), 0, {pitch, 1});
  return addArgument(place, MemRefType::get(shape, element, layout));
}

Value GemmBuilder::addMatrix(const MatrixOperand &operand) {
  int64_t k = operand.spread ? operand.pitch : operand.k;
  return addRows(operand.place, {operand.rows, k}, operand.pitch,
                 operand.element);
}

Value GemmBuilder::addResult(const GemmResult &result) {
  SmallVector<int64_t> shape = getShape(result);
  bool hasGaps = result.block == 1 && result.pitch != problem.n;
  int64_t pitch = result.pitch / (result.isPacked() ? 2 : 1);
  return addRows(result.place, shape, hasGaps ? pitch : shape.back(),
                 GemmEpilogue::getStoredType(result.tensor->element));
}

void GemmBuilder::addArguments() {
  a = addMatrix(problem.a);
  if (problem.a.scaledRows)
    scalesOfA = addArgument(problem.a.scales, {problem.a.rows, blocksK()},
                            b.getF32Type());
  if (problem.a.scaleBlock)
    scalesOfA = addScaleTiles(problem.a);
  for (const GemmProblem::Factor &factor : problem.factors)
    addWeight(factor);
  for (const EpilogueOperand &operand : epilogue.operands)
    operands.push_back(
        addArgument(operand.place, getShape(operand.kind), operand.element));
  for (const GemmResult &result : problem.results)
    results.push_back(addResult(result));
  for (const PassedResult &result : problem.passed)
    passed.push_back(addArgument(result.place, {result.tensor->size()},
                                 cpu::storageType(result.tensor->element)));
}

Value GemmBuilder::addScaleTiles(const MatrixOperand &operand) {
  int64_t tiles = llvm::divideCeil(operand.rows, 128),
          along = llvm::divideCeil(operand.k, 4 * operand.scaleBlock);
  return addArgument(operand.scales, {tiles, along, 2, 256},
                     operand.scaleElement);
}

void GemmBuilder::addWeight(const GemmProblem::Factor &factor) {
  if (!factor.expanded) {
    factors.push_back(addMatrix(factor.b));
    if (factor.b.scaleBlock) {
      scales.push_back(addScaleTiles(factor.b));
      return;
    }
    int64_t group = factor.b.scaledRows;
    scales.push_back(
        group ? addArgument(factor.b.scales,
                            {blocksK(),
                             int64_t(llvm::divideCeil(factor.b.rows, group))},
                            b.getF32Type())
              : Value());
    return;
  }
  if (problem.tensorMemory)
    return addLanes(factor);
  const ExpandedWeight &weight = *factor.expanded;
  int64_t tiles = llvm::divideCeil(factor.b.rows, 16), blocks = blocksK();
  factors.push_back(addArgument(
      factor.b.place, {tiles, blocks, codesPerTile(weight)}, b.getI32Type()));
  blocks = llvm::divideCeil(blocks, weight.format.sharing());
  scales.push_back(weight.scale
                       ? addArgument(weight.scales,
                                     {tiles, blocks, scalesPerTile(weight)},
                                     weight.scale)
                       : Value());
}

int64_t GemmBuilder::getLaneWords(const ExpandedWeight &weight) {
  return weight.format.bits * weight.format.stageK / 64;
}

void GemmBuilder::addLanes(const GemmProblem::Factor &factor) {
  const ExpandedWeight &weight = *factor.expanded;
  int64_t tiles = llvm::divideCeil(factor.b.rows, 128), blocks = blocksK();
  factors.push_back(addArgument(factor.b.place,
                                {tiles, blocks, getLaneWords(weight), 256},
                                b.getI32Type()));
  if (weight.format.scalesSums) {
    scales.push_back(addArgument(weight.scales, getGroupScales(problem, factor),
                                 weight.scale));
    return;
  }
  scales.push_back(
      weight.scale
          ? addArgument(weight.scales,
                        {tiles, blocks, weight.format.stageBlocks(), 128},
                        weight.scale)
          : Value());
}

SmallVector<int64_t> GemmBuilder::getShape(const GemmResult &result) const {
  if (!result.inTiles)
    return {problem.m, problem.n / (result.isPacked() ? 2 : result.block)};
  int64_t along = llvm::divideCeil(problem.n, 4 * result.block);
  return {int64_t(llvm::divideCeil(problem.m, 128)), along, 2, 256};
}

SmallVector<int64_t> GemmBuilder::getShape(EpilogueOperand::Kind kind) const {
  switch (kind) {
  case EpilogueOperand::Uniform:
    return {1};
  case EpilogueOperand::Row:
    return {problem.m};
  case EpilogueOperand::Column:
    return {problem.n};
  case EpilogueOperand::Element:
    return {problem.m, problem.n};
  }
  return {};
}

//===--------------------------------------------------------------------===//
// Roles
//===--------------------------------------------------------------------===//

tile::ForTilesOp GemmBuilder::addTiles() {
  auto axis = schedule.fastestM ? tile::Axis::m : tile::Axis::n;
  auto raster = tile::RasterAttr::get(b.getContext(), axis, schedule.group);
  auto loop = tile::ForTilesOp::create(
      b, b.getDenseI64ArrayAttr({tilesM(), tilesN()}), raster);
  Location loc = b.getLoc();
  b.createBlock(&loop.getBody(), {}, {b.getIndexType(), b.getIndexType()},
                {loc, loc});
  return loop;
}

void GemmBuilder::addPassed() {
  auto once = tile::OnceOp::create(b);
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&once.getBody());
  SmallVector<Value> bits = epilogue.emitPassed(b, loadUniforms());
  size_t next = 0;
  for (auto [result, memref] : llvm::zip(problem.passed, passed))
    for (int64_t i = 0; i < result.tensor->size(); ++i)
      memref::StoreOp::create(b, bits[next++], memref, index(i));
}

//===--------------------------------------------------------------------===//
// Epilogue
//===--------------------------------------------------------------------===//

SmallVector<Value> GemmBuilder::loadUniforms() {
  SmallVector<Value> uniforms;
  for (auto [operand, memref] : llvm::zip(epilogue.operands, operands))
    if (operand.kind == EpilogueOperand::Uniform)
      uniforms.push_back(memref::LoadOp::create(b, memref, index(0)));
  return uniforms;
}

SmallVector<Value> GemmBuilder::getOperands(EpilogueOperand::Kind kind) const {
  SmallVector<Value> list;
  for (auto [operand, memref] : llvm::zip(epilogue.operands, operands))
    if (operand.kind == kind)
      list.push_back(memref);
  return list;
}

void GemmBuilder::addEpilogue(ValueRange sums, Value m, Value n) {
  SmallVector<Type> types;
  for (auto [memref, result] : llvm::zip(results, problem.results))
    types.push_back(tile::FragmentType::get(
        b.getContext(),
        {schedule.tileM, schedule.getPartN() / (result.isPacked() ? 2 : 1)},
        cast<MemRefType>(memref.getType()).getElementType()));
  auto op = tile::EpilogueOp::create(
      b, types, sums, m, n, getOperands(getKinds()[0]),
      getOperands(getKinds()[1]), getOperands(getKinds()[2]),
      schedule.swapped && !getOperands(EpilogueOperand::Element).empty());
  {
    OpBuilder::InsertionGuard guard(b);
    addBody(op);
  }
  for (auto [fragment, memref, result] :
       llvm::zip(op.getResults(), results, problem.results)) {
    if (result.block == 1)
      store(fragment, memref, m, n);
    else
      tile::StoreBlocksOp::create(b, fragment, memref, result.block,
                                  schedule.swapped);
  }
}

std::array<EpilogueOperand::Kind, 3> GemmBuilder::getKinds() const {
  if (schedule.swapped)
    return {EpilogueOperand::Column, EpilogueOperand::Row,
            EpilogueOperand::Element};
  return {EpilogueOperand::Row, EpilogueOperand::Column,
          EpilogueOperand::Element};
}

SmallVector<Value> GemmBuilder::inOrder(ValueRange args) const {
  SmallVector<Value> list(args.take_front(factors.size()));
  std::array<SmallVector<Value>, 4> ofKind;
  size_t next = factors.size();
  for (EpilogueOperand::Kind kind : getKinds())
    for (const EpilogueOperand &operand : epilogue.operands)
      if (operand.kind == kind)
        ofKind[kind].push_back(args[next++]);
  for (const SmallVector<Value> &values : ofKind)
    list.append(values);
  return list;
}

void GemmBuilder::addBody(tile::EpilogueOp op) {
  Block *body = b.createBlock(&op.getBody());
  auto add = [&](Type element) {
    body->addArgument(VectorType::get({epilogue.getWidth()}, element),
                      b.getLoc());
  };
  for (size_t i = 0; i < factors.size(); ++i)
    add(b.getF32Type());
  for (EpilogueOperand::Kind kind : getKinds())
    for (const EpilogueOperand &operand : epilogue.operands)
      if (operand.kind == kind)
        add(operand.element);
  SmallVector<Value> values =
      epilogue.emitBody(b, inOrder(body->getArguments()), schedule.swapped);
  tile::YieldOp::create(b, values);
}

void GemmBuilder::store(Value fragment, Value result, Value m, Value n) {
  auto type = cast<tile::FragmentType>(fragment.getType());
  int64_t bits = type.getElement().getIntOrFloatBitWidth();
  if (type.getShape()[1] != schedule.getPartN())
    bits = 4;
  SmallVector<Value> coords{m, n};
  if (schedule.swapped)
    std::swap(coords[0], coords[1]);
  int64_t span = schedule.getSpan(problem.getShape());
  int64_t panel = !problem.tensorMemory ? getPanel(schedule, bits)
                  : bits == 4           ? span / 2
                                        : span;
  tile::StoreOp::create(b, fragment, result, coords, b.getI64IntegerAttr(panel),
                        b.getI64IntegerAttr(schedule.buffers),
                        schedule.swapped ? b.getUnitAttr() : UnitAttr());
}
