// Writes a product and what follows it as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/Gemm.h"
#include "GemmEpilogue.h"
#include "GemmTiles.h"
#include "TensorGemmPromote.h"

#include "nibble/Dialect/Tile/TileTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;

namespace {

class GemmBuilder {
public:
  GemmBuilder(GemmProblem &problem, GemmEpilogue &epilogue,
              const GemmSchedule &schedule, const nibble::gpu::GpuTarget &chip,
              Location loc, ModuleOp target)
      : problem(problem), epilogue(epilogue), schedule(schedule), chip(chip),
        b(loc, OpBuilder::atBlockEnd(target.getBody())) {}

  TileGemm run(StringRef name) {
    kernel = tile::KernelOp::create(b, name, chip.chip, getGrid(), getCluster(),
                                    IntegerAttr());
    b.createBlock(&kernel.getBody());
    addArguments();
    ring = tile::RingOp::create(b, getRingType());
    addLoadRole();
    addMultiplyRole();
    int64_t products = problem.factors.size();
    return {kernel, args, 2 * problem.m * problem.n * problem.k * products};
  }

protected:
  //===--------------------------------------------------------------------===//
  // Types and extents
  //===--------------------------------------------------------------------===//

  DenseI64ArrayAttr getCluster() {
    SmallVector<int64_t> blocks{schedule.clusterM, schedule.clusterN};
    if (schedule.splits > 1)
      blocks.push_back(schedule.splits);
    return b.getDenseI64ArrayAttr(blocks);
  }

  int64_t tilesM() const {
    int64_t extent = schedule.swapped ? problem.n : problem.m;
    return llvm::alignTo(llvm::divideCeil(extent, schedule.tileM),
                         schedule.clusterM);
  }
  int64_t tilesN() const {
    int64_t extent = schedule.swapped ? problem.m : problem.n;
    return llvm::alignTo(llvm::divideCeil(extent, schedule.tileN),
                         schedule.clusterN);
  }
  /// Rows of a tile of A and of the weights.
  int64_t rowsOfA() const {
    return schedule.swapped ? schedule.tileN : schedule.tileM;
  }
  int64_t rowsOfB() const {
    return schedule.swapped ? schedule.tileM : schedule.tileN;
  }
  int64_t getTileK() const { return problem.getShape().getTileK(); }
  int64_t blocksK() const { return llvm::divideCeil(problem.k, getTileK()); }

  /// One wave, or as many blocks as there are tiles; whole clusters. Where K is
  /// split, each does one tile.
  int64_t getGrid() const {
    if (schedule.splits > 1)
      return tilesM() * tilesN() * schedule.splits;
    int64_t cluster = schedule.clusterM * schedule.clusterN;
    int64_t wave = chip.multiprocessors / cluster * cluster;
    return std::min(wave, tilesM() * tilesN());
  }

  tile::SlotType getSlot(int64_t rows, Type element) {
    return tile::SlotType::get(b.getContext(), {rows, getTileK()}, element,
                               problem.getShape().getRowBytes(), /*spread=*/0);
  }
  /// A part of the rows of a stage, packed: tiles of 16 rows.
  tile::SlotType getPackedSlot(int64_t perTile, Type element) {
    return tile::SlotType::get(b.getContext(), {rowsOfB() / 16, 1, perTile},
                               element, /*swizzle=*/0, /*spread=*/0);
  }
  static int64_t codesPerTile(const ExpandedWeight &weight) {
    return weight.format.stageK * weight.format.bits / 2;
  }
  static int64_t scalesPerTile(const ExpandedWeight &weight) {
    return 16 * weight.format.stageBlocks();
  }

  /// Of A, then of each factor: the weight, or its codes and scales.
  tile::RingType getRingType() {
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

  /// K blocks that one block does.
  int64_t roundsK() const {
    return llvm::divideCeil(blocksK(), schedule.splits);
  }
  /// Number of the K block of a round.
  Value getBlockOfK(scf::ForOp loop) {
    Value k = loop.getInductionVar();
    if (schedule.splits == 1)
      return k;
    return tile::SliceOp::create(b, b.getIndexType(), k, blocksK());
  }

  tile::AccType getAccType() {
    return tile::AccType::get(b.getContext(), {schedule.tileM, schedule.tileN},
                              b.getF32Type());
  }

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }

  //===--------------------------------------------------------------------===//
  // Arguments
  //===--------------------------------------------------------------------===//

  Value addArgument(Place place, ArrayRef<int64_t> shape, Type element) {
    args.push_back(nibble::gpu::KernelArg::pointer(place.value, place.offset));
    return kernel.getBody().addArgument(MemRefType::get(shape, element),
                                        b.getLoc());
  }

  void addArguments() {
    a = addArgument(problem.a.place, {problem.a.rows, problem.a.k},
                    problem.a.element);
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
      results.push_back(
          addArgument(result.place, getShape(result),
                      GemmEpilogue::getStoredType(result.tensor->element)));
    for (const PassedResult &result : problem.passed)
      passed.push_back(addArgument(result.place, {result.tensor->size()},
                                   cpu::storageType(result.tensor->element)));
  }

  /// 128 x 4 in each; the copy engine takes rows of 256 bytes.
  Value addScaleTiles(const MatrixOperand &operand) {
    int64_t tiles = llvm::divideCeil(operand.rows, 128),
            along = llvm::divideCeil(operand.k, 4 * operand.scaleBlock);
    return addArgument(operand.scales, {tiles, along, 2, 256},
                       operand.scaleElement);
  }

  void addWeight(const GemmProblem::Factor &factor) {
    if (!factor.expanded) {
      factors.push_back(addArgument(factor.b.place, {factor.b.rows, factor.b.k},
                                    factor.b.element));
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

  /// LaneLayout.h: 128 rows of a stage, codes in rows of 256 words.
  static int64_t getLaneWords(const ExpandedWeight &weight) {
    return weight.format.bits * weight.format.stageK / 64;
  }
  void addLanes(const GemmProblem::Factor &factor) {
    const ExpandedWeight &weight = *factor.expanded;
    int64_t tiles = llvm::divideCeil(factor.b.rows, 128), blocks = blocksK();
    factors.push_back(addArgument(factor.b.place,
                                  {tiles, blocks, getLaneWords(weight), 256},
                                  b.getI32Type()));
    if (weight.format.scalesSums) {
      scales.push_back(addArgument(
          weight.scales, getGroupScales(problem, factor), weight.scale));
      return;
    }
    scales.push_back(
        weight.scale
            ? addArgument(weight.scales,
                          {tiles, blocks, weight.format.stageBlocks(), 128},
                          weight.scale)
            : Value());
  }

  SmallVector<int64_t> getShape(const GemmResult &result) const {
    if (!result.inTiles)
      return {problem.m, problem.n / (result.isPacked() ? 2 : result.block)};
    int64_t along = llvm::divideCeil(problem.n, 4 * result.block);
    return {int64_t(llvm::divideCeil(problem.m, 128)), along, 2, 256};
  }

  SmallVector<int64_t> getShape(EpilogueOperand::Kind kind) const {
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

  tile::RoleOp addRole(StringRef name, int64_t warps, int64_t registers,
                       int64_t turns = 1) {
    auto role = tile::RoleOp::create(
        b, b.getStringAttr(name), b.getI64IntegerAttr(warps),
        b.getI64IntegerAttr(registers),
        turns > 1 ? b.getI64IntegerAttr(turns) : IntegerAttr());
    b.createBlock(&role.getBody());
    return role;
  }

  tile::ForTilesOp addTiles() {
    auto axis = schedule.fastestM ? tile::Axis::m : tile::Axis::n;
    auto raster = tile::RasterAttr::get(b.getContext(), axis, schedule.group);
    auto loop = tile::ForTilesOp::create(
        b, b.getDenseI64ArrayAttr({tilesM(), tilesN()}), raster);
    Location loc = b.getLoc();
    b.createBlock(&loop.getBody(), {}, {b.getIndexType(), b.getIndexType()},
                  {loc, loc});
    return loop;
  }

  void addLoadRole() {
    OpBuilder::InsertionGuard guard(b);
    addRole("load", 4, 40);
    if (!problem.passed.empty())
      addPassed();
    Value zero = index(0), one = index(1), blocks = index(roundsK());
    tile::ForTilesOp tiles = addTiles();
    Value m = tiles.getBody().getArgument(0),
          n = tiles.getBody().getArgument(1);
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

  /// Codes and scales of factor `i`, into the slots from `next` on.
  void loadPacked(unsigned i, Value m, Value k, tile::AcquireOp stage,
                  unsigned &next) {
    Value zero = index(0);
    tile::LoadOp::create(b, factors[i], ValueRange{m, k, zero},
                         stage.getSlots()[next++], tile::AxisAttr());
    if (!scales[i])
      return;
    int64_t sharing = problem.factors[i].expanded->format.sharing();
    if (sharing > 1)
      k = arith::DivUIOp::create(b, k, index(sharing));
    tile::LoadOp::create(b, scales[i], ValueRange{m, k, zero},
                         stage.getSlots()[next++], tile::AxisAttr());
  }

  /// Blocks of the cluster along `axis` need the same rows.
  void load(Value source, Value row, Value k, Value slot, int64_t sharing,
            tile::Axis axis) {
    auto multicast = sharing > 1 ? tile::AxisAttr::get(b.getContext(), axis)
                                 : tile::AxisAttr();
    tile::LoadOp::create(b, source, ValueRange{row, k}, slot, multicast);
  }

  void addPassed() {
    auto once = tile::OnceOp::create(b);
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&once.getBody());
    SmallVector<Value> bits = epilogue.emitPassed(b, loadUniforms());
    size_t next = 0;
    for (auto [result, memref] : llvm::zip(problem.passed, passed))
      for (int64_t i = 0; i < result.tensor->size(); ++i)
        memref::StoreOp::create(b, bits[next++], memref, index(i));
  }

  void addMultiplyRole() {
    OpBuilder::InsertionGuard guard(b);
    addRole("multiply", 4 * schedule.warpgroups, 232,
            schedule.warpgroups / schedule.getTeam());
    epilogue.emitUniform(b, loadUniforms());
    Value zero = index(0), one = index(1), blocks = index(roundsK());
    tile::ForTilesOp tiles = addTiles();
    Value m = tiles.getBody().getArgument(0),
          n = tiles.getBody().getArgument(1);
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

  /// The block's part of what all slices of K come to.
  SmallVector<Value> reduce(ValueRange sums) {
    if (schedule.splits == 1)
      return llvm::to_vector(sums);
    auto part = tile::AccType::get(
        b.getContext(), {schedule.tileM, schedule.getPartN()}, b.getF32Type());
    SmallVector<Type> types(sums.size(), part);
    return tile::ReduceOp::create(b, types, sums).getParts();
  }

  void addProducts(scf::ForOp loop, Value m, Value n) {
    auto stage = tile::WaitOp::create(b, ring);
    SmallVector<Value> sums, packed;
    unsigned next = 1;
    for (auto [i, sum] : llvm::enumerate(loop.getRegionIterArgs())) {
      if (problem.factors[i].expanded) {
        sums.push_back(addExpanded(*problem.factors[i].expanded, stage, next,
                                   sum, packed));
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

  /// The product with slots from `next` on as codes and scales. Scales of sums
  /// go to `packed`, and the sum is of this stage alone.
  Value addExpanded(const ExpandedWeight &weight, tile::WaitOp stage,
                    unsigned &next, Value sum, SmallVectorImpl<Value> &packed) {
    Value codes = stage.getSlots()[next++];
    Value scale = weight.scale ? stage.getSlots()[next++] : Value();
    auto type = tile::ExpandedType::get(b.getContext(), {rowsOfB(), getTileK()},
                                        problem.a.element);
    bool scalesSums = weight.format.scalesSums;
    auto per = !scale || scalesSums ? IntegerAttr()
                                    : b.getI64IntegerAttr(weight.format.block);
    Value expanded =
        tile::ExpandOp::create(b, type, codes, TypeAttr::get(weight.storage),
                               scalesSums ? Value() : scale, per,
                               b.getI64IntegerAttr(weight.exponent));
    if (scalesSums) {
      packed.push_back(scale);
      sum = tile::ZeroOp::create(b, getAccType());
    }
    return tile::MmaOp::create(b, expanded, stage.getSlots()[0], sum,
                               ValueRange());
  }

  /// Sums of this stage times their scales to those of the stages before.
  void promote(scf::ForOp loop, ArrayRef<Value> packed,
               MutableArrayRef<Value> sums) {
    if (packed.empty())
      return;
    for (auto [i, sum] : llvm::enumerate(sums))
      sum = tile::PromoteOp::create(
          b, sum, loop.getRegionIterArgs()[i], packed[i], Value(), Value(),
          ValueRange(), b.getI64IntegerAttr(1), UnitAttr(), UnitAttr());
  }

  /// The same with scales in memory: of rows of A, and of columns.
  void promoteBlocks(scf::ForOp loop, Value m, Value n,
                     MutableArrayRef<Value> sums) {
    Value k = getBlockOfK(loop);
    for (auto [i, sum] : llvm::enumerate(sums))
      sum = tile::PromoteOp::create(
          b, sum, loop.getRegionIterArgs()[i], Value(), scalesOfA, scales[i],
          ValueRange{m, n, k},
          b.getI64IntegerAttr(problem.factors[i].b.scaledRows),
          schedule.late ? b.getUnitAttr() : UnitAttr(), UnitAttr());
  }

  //===--------------------------------------------------------------------===//
  // Epilogue
  //===--------------------------------------------------------------------===//

  SmallVector<Value> loadUniforms() {
    SmallVector<Value> uniforms;
    for (auto [operand, memref] : llvm::zip(epilogue.operands, operands))
      if (operand.kind == EpilogueOperand::Uniform)
        uniforms.push_back(memref::LoadOp::create(b, memref, index(0)));
    return uniforms;
  }

  SmallVector<Value> getOperands(EpilogueOperand::Kind kind) const {
    SmallVector<Value> list;
    for (auto [operand, memref] : llvm::zip(epilogue.operands, operands))
      if (operand.kind == kind)
        list.push_back(memref);
    return list;
  }

  void addEpilogue(ValueRange sums, Value m, Value n) {
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

  /// Of the operands in the order in which the body gets them.
  std::array<EpilogueOperand::Kind, 3> getKinds() const {
    if (schedule.swapped)
      return {EpilogueOperand::Column, EpilogueOperand::Row,
              EpilogueOperand::Element};
    return {EpilogueOperand::Row, EpilogueOperand::Column,
            EpilogueOperand::Element};
  }

  /// Arguments of the body in the order of the epilogue's operands.
  SmallVector<Value> inOrder(ValueRange args) const {
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

  void addBody(tile::EpilogueOp op) {
    Block *body = b.createBlock(&op.getBody());
    auto add = [&](Type element) {
      body->addArgument(VectorType::get({GemmEpilogue::kWidth}, element),
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

  void store(Value fragment, Value result, Value m, Value n) {
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
    tile::StoreOp::create(b, fragment, result, coords,
                          b.getI64IntegerAttr(panel),
                          b.getI64IntegerAttr(schedule.buffers),
                          schedule.swapped ? b.getUnitAttr() : UnitAttr());
  }

  GemmProblem &problem;
  GemmEpilogue &epilogue;
  const GemmSchedule &schedule;
  const nibble::gpu::GpuTarget &chip;
  ImplicitLocOpBuilder b;
  tile::KernelOp kernel;
  Value ring, a, scalesOfA;
  SmallVector<Value> factors, scales, operands, results, passed;
  std::vector<nibble::gpu::KernelArg> args;
};

/// The same for Blackwell: one thread loads, one multiplies into tensor memory,
/// and four warps finish a tile while the next one is multiplied.
class TensorGemmBuilder : public GemmBuilder {
public:
  using GemmBuilder::GemmBuilder;

  TileGemm run(StringRef name) {
    kernel = tile::KernelOp::create(b, name, chip.chip, getGrid(), getCluster(),
                                    IntegerAttr());
    b.createBlock(&kernel.getBody());
    addArguments();
    ring = tile::RingOp::create(b, getStages());
    SmallVector<Type> accs(factors.size(), getAccType());
    sums = tile::RingOp::create(
        b,
        tile::RingType::get(b.getContext(),
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

private:
  bool isExpanded() const { return problem.factors[0].expanded.has_value(); }

  /// 64 k of each weight.
  tile::RingType getOperands() {
    SmallVector<Type> types(factors.size(),
                            tile::OperandType::get(b.getContext(),
                                                   {rowsOfB(), getTileK()},
                                                   problem.a.element));
    return tile::RingType::get(b.getContext(), GemmSchedule::kOperandStages,
                               types);
  }

  /// An operand in a stage: the slot of its codes, and those of its scales.
  struct Side {
    Value codes, scales;
    bool isM;
    int64_t rows;
    bool spread;
    const ExpandedWeight *expanded = nullptr;
    unsigned slot = 0;
  };

  /// A, then the weights.
  SmallVector<Side> getSides() const {
    auto inStage = [&](Value scale) {
      return groups.exist() ? Value() : scale;
    };
    SmallVector<Side> sides{{a, inStage(scalesOfA), !schedule.swapped,
                             rowsOfA(), problem.a.spread}};
    for (auto [codes, scale] : llvm::zip(factors, scales))
      sides.push_back({codes, inStage(scale), schedule.swapped, rowsOfB(),
                       problem.factors[0].b.spread,
                       isExpanded() ? &*problem.factors[0].expanded : nullptr});
    unsigned next = 0;
    for (Side &side : sides) {
      side.slot = next;
      next += 1 + countScaleSlots(side);
    }
    return sides;
  }
  static unsigned countScaleSlots(const Side &side) {
    if (!side.scales)
      return 0;
    return side.isM || side.expanded ? 1 : getScaleTiles(side.rows);
  }

  /// Tiles of scales along k in a stage.
  int64_t getScalesAlongK() const {
    return getTileK() / problem.a.scaleBlock / 4;
  }

  tile::RingType getStages() {
    SmallVector<Type> slots;
    for (const Side &side : getSides()) {
      if (side.expanded) {
        addLaneSlots(*side.expanded, slots);
        continue;
      }
      slots.push_back(tile::SlotType::get(
          b.getContext(), {side.rows, getTileK()},
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

  void addLaneSlots(const ExpandedWeight &weight,
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

  tile::RoleOp addPlainRole(StringRef name, int64_t warps) {
    auto role = tile::RoleOp::create(b, b.getStringAttr(name),
                                     b.getI64IntegerAttr(warps), IntegerAttr(),
                                     IntegerAttr());
    b.createBlock(&role.getBody());
    return role;
  }

  void addFinishRole() {
    OpBuilder::InsertionGuard guard(b);
    addPlainRole("finish", 4);
    epilogue.emitUniform(b, loadUniforms());
    tile::ForTilesOp tiles = addTiles();
    Value m = tiles.getBody().getArgument(0),
          n = tiles.getBody().getArgument(1);
    if (groups.exist())
      addEpilogue(groups.addSums(sums, m, n, scalesOfA, scales), m, n);
    else
      addEpilogue(tile::WaitOp::create(b, sums).getSlots(), m, n);
    tile::ReleaseOp::create(b, sums);
  }

  void addLoadTilesRole() {
    OpBuilder::InsertionGuard guard(b);
    addPlainRole("load", 1);
    if (!problem.passed.empty())
      addPassed();
    tile::ForTilesOp tiles = addTiles();
    Value m = tiles.getBody().getArgument(0),
          n = tiles.getBody().getArgument(1);
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
                           tile::AxisAttr());
      loadScales(side, first, k, stage);
    }
    tile::PublishOp::create(b, ring, ValueRange());
  }

  /// Codes of each stage become operands.
  void addExpandRole() {
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
      auto per = side.scales ? b.getI64IntegerAttr(weight.format.block)
                             : IntegerAttr();
      tile::ExpandIntoOp::create(b, operand, stage.getSlots()[side.slot],
                                 TypeAttr::get(weight.storage), scale, per,
                                 b.getI64IntegerAttr(weight.exponent));
    }
    tile::PublishOp::create(b, operandRing, ValueRange());
    tile::ReleaseOp::create(b, ring);
  }

  /// The tile of 128 rows of scales in which the rows of a tile begin.
  Value getFirstScaleTile(const Side &side, Value number) {
    if (!side.scales || side.rows == 128)
      return number;
    Value row = arith::MulIOp::create(b, number, index(side.rows));
    return arith::DivUIOp::create(b, row, index(128));
  }

  void loadScales(const Side &side, Value first, Value k,
                  tile::AcquireOp stage) {
    for (unsigned i = 0; i < countScaleSlots(side); ++i) {
      Value at = i ? arith::AddIOp::create(b, first, index(i)) : first;
      tile::LoadOp::create(
          b, side.scales, ValueRange{at, k, index(0), index(0)},
          stage.getSlots()[side.slot + 1 + i], tile::AxisAttr());
    }
  }

  void addMultiplyTilesRole() {
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
    auto loop = scf::ForOp::create(
        b, index(0), index(groups.countStagesOfSum()), index(1), zeros);
    {
      OpBuilder::InsertionGuard inside(b);
      b.setInsertionPointToEnd(loop.getBody());
      addTensorProducts(loop, row);
    }
    tile::PublishOp::create(b, sums, loop.getResults());
  }

  /// Where the tile begins in its first 128 rows of scales, if not there.
  Value getRowOfScales(Value n) {
    if (!problem.a.scaleBlock || schedule.tileN % 128 == 0)
      return Value();
    Value row = arith::MulIOp::create(b, n, index(schedule.tileN));
    return arith::RemUIOp::create(b, row, index(128));
  }

  Value addScales(const Side &side, Value row, tile::WaitOp stage) {
    auto type = tile::ScaleTileType::get(
        b.getContext(),
        {int64_t(llvm::alignTo(side.rows, 128)), 4 * getScalesAlongK()},
        problem.a.scaleElement);
    auto slots = stage.getSlots().slice(side.slot + 1, countScaleSlots(side));
    return tile::ScalesOp::create(b, type, slots, side.isM ? Value() : row);
  }

  void addTensorProducts(scf::ForOp loop, Value row) {
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
            right = isExpanded() ? expanded[i]
                                 : stage.getSlots()[sides[1 + i].slot];
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

  GroupSums groups{b, problem, schedule};
  Value sums, operandRing;
};

} // namespace

std::optional<GemmShape>
nibble::getTileGemmShape(Block &body, bool tensorMemory, std::string &why) {
  GemmProblem problem(body.getParentOp()->getContext(), tensorMemory);
  if (failed(problem.read(body, why)))
    return std::nullopt;
  GemmEpilogue epilogue(problem);
  if (failed(epilogue.make(why)))
    return std::nullopt;
  return epilogue.getShape();
}

static bool hasTensorMemory(const nibble::gpu::GpuTarget &chip) {
  return tile::getTarget(chip.chip)->hasTensorMemory();
}

std::optional<GemmSchedule>
nibble::estimateSchedule(Block &body, const nibble::gpu::GpuTarget &chip,
                         std::string &why) {
  std::optional<GemmShape> shape =
      getTileGemmShape(body, hasTensorMemory(chip), why);
  if (!shape)
    return std::nullopt;
  auto candidates =
      getCandidates(*shape, kSm90SharedBytes, chip.multiprocessors);
  if (!candidates.empty())
    return candidates.front();
  why = whyNoCandidates(*shape, kSm90SharedBytes);
  return std::nullopt;
}

FailureOr<TileGemm> nibble::buildTileGemm(func::FuncOp kernel,
                                          const GemmSchedule &schedule,
                                          const nibble::gpu::GpuTarget &chip,
                                          ModuleOp target, std::string &why) {
  GemmProblem problem(kernel.getContext(), hasTensorMemory(chip));
  if (failed(problem.read(kernel.front(), why)))
    return failure();
  GemmEpilogue epilogue(problem);
  if (failed(epilogue.make(why)))
    return failure();
  why = whyNotSchedule(schedule, epilogue.getShape(), kSm90SharedBytes);
  if (!why.empty())
    return failure();
  if (problem.tensorMemory)
    return TensorGemmBuilder(problem, epilogue, schedule, chip, kernel.getLoc(),
                             target)
        .run(kernel.getSymName());
  return GemmBuilder(problem, epilogue, schedule, chip, kernel.getLoc(), target)
      .run(kernel.getSymName());
}
