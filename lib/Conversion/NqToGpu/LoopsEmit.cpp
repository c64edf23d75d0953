// Writes the units of jobs as code of a thread.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopsEmit.h"
#include "HiddenUse.h"
#include "LaneMath.h"
#include "LoopEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {

//===----------------------------------------------------------------------===//
// The elements of a unit
//===----------------------------------------------------------------------===//

/// Code with all dimensions of a unit bound.
class JobEmitter::Body {
public:
  explicit Body(JobEmitter &job) : Body(job, job.nest) {}
  Body(JobEmitter &job, cpu::Nest &nest)
      : e(job), b(job.b), nest(nest),
        loops(job.b, nest.dag, nest.plan.mergedInto) {
    loops.setAligned();
    for (auto [dim, value] : llvm::enumerate(e.row))
      loops.bind(dim, value);
    for (auto [dim, value] : e.bound)
      loops.bind(dim, value);
  }

  void emit() {
    if (!nest.reduction)
      return store();
    if (e.phase == Finals)
      return finish(withStart(loadParts()));
    Values results = e.job.inOrder ? foldInOrder() : foldShared();
    if (e.team > 1) {
      loops.moveInside();
      Value first =
          arith::CmpIOp::create(b, arith::CmpIPredicate::eq, e.lane, index(0));
      return e.when(first, [&] { Body(e).leave(results); });
    }
    leave(results);
  }

  cpu::LoopEmitter &getLoops() { return loops; }

private:
  Value index(int64_t value) { return e.index(value); }

  void store() {
    if (llvm::any_of(nest.stores, [](auto &store) { return store.guard; }))
      readBeforeGuards();
    for (const cpu::Store &store : nest.stores)
      loops.store(*store.buffer, store.offset, store.bits, store.guard);
  }

  /// What guards depend on comes from memory, too: that and what is stored
  /// shall be read at the same time, not behind the branch on the guard.
  void readBeforeGuards() {
    HiddenUse reads(b);
    for (cpu::Node &node : nest.dag.getNodes()) {
      if (node.kind != cpu::Node::Kind::Load || !node.lin.terms.empty())
        continue;
      Value value = loops.emit(&node);
      if (!isa<VectorType>(value.getType()))
        continue;
      loops.moveInside();
      reads.add(value);
    }
    if (reads.empty())
      return;
    Value zero = arith::ConstantOp::create(b, b.getI32IntegerAttr(0));
    loops.setCondition(
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, reads.zero(), zero));
  }

  void set(ArrayRef<Value> results) {
    for (auto [node, value] : llvm::zip(nest.finals, results))
      loops.setValue(node, value);
  }

  void finish(ArrayRef<Value> results) {
    set(results);
    store();
  }

  /// What has been folded, without the start unless it was in order.
  void leave(ArrayRef<Value> results) {
    if (e.phase == Parts)
      return storePart(results);
    finish(e.job.inOrder ? Values(results) : withStart(results));
  }

  //===--------------------------------------------------------------------===//
  // Parts
  //===--------------------------------------------------------------------===//

  /// Accumulators in memory: as many lanes as a run has elements.
  Value partBuffer(unsigned i) {
    return e.f.workspaceView(e.job.partOffsets[i], partType(i),
                             e.job.parts * e.job.units * e.job.width);
  }

  Type partType(unsigned i) {
    Type type = nest.reduction->types[i];
    return type.isIndex() ? b.getI32Type() : type;
  }

  Value partOffset(Value part) {
    Value at = arith::AddIOp::create(
        b, arith::MulIOp::create(b, part, index(e.job.units)), e.unitNumber);
    return arith::MulIOp::create(b, at, index(e.job.width));
  }

  void storePart(ArrayRef<Value> results) {
    loops.moveInside();
    Value at = partOffset(e.part);
    for (auto [i, result] : llvm::enumerate(results)) {
      Value memory = partBuffer(i), value = fitStored(result, memory);
      if (isa<VectorType>(value.getType()))
        vector::StoreOp::create(b, value, memory, at);
      else
        memref::StoreOp::create(b, value, memory, at);
    }
  }

  /// i1 lies in bytes.
  Value fitStored(Value value, Value memory) {
    Type element = cast<MemRefType>(memory.getType()).getElementType();
    Type type = cpu::shapedLike(value.getType(), element);
    if (type == value.getType())
      return value;
    if (getElementTypeOrSelf(value).isIndex())
      return arith::IndexCastOp::create(b, type, value);
    return arith::ExtUIOp::create(b, type, value);
  }

  Value fitLoaded(Value value, Type element) {
    Type type = cpu::shapedLike(value.getType(), element);
    if (type == value.getType())
      return value;
    if (element.isIndex())
      return arith::IndexCastOp::create(b, type, value);
    return arith::TruncIOp::create(b, type, value);
  }

  /// All parts in order, from the neutral element on.
  Values loadParts() {
    loops.moveInside();
    Values carried;
    for (auto [i, element] : llvm::enumerate(nest.reduction->types))
      carried.push_back(cpu::neutral(b, *nest.reduction, i, widened(element)));
    auto [part, sums] =
        loops.openRange(index(0), index(e.job.parts), index(1), carried);
    Value at = partOffset(part);
    Values next;
    for (auto [i, element] : llvm::enumerate(nest.reduction->types)) {
      Value memory = partBuffer(i), value;
      Type stored = cast<MemRefType>(memory.getType()).getElementType();
      if (loops.getWidth() > 1)
        value = vector::LoadOp::create(b, loops.widened(stored), memory, at);
      else
        value = memref::LoadOp::create(b, memory, at);
      next.push_back(cpu::combine(b, *nest.reduction, i,
                                  fitLoaded(value, element), sums[i]));
    }
    return loops.close(next);
  }

  Type widened(Type type) { return loops.widened(type); }

  //===--------------------------------------------------------------------===//
  // Folds
  //===--------------------------------------------------------------------===//

  Values withStart(ArrayRef<Value> values) {
    Values result;
    for (auto [i, value] : llvm::enumerate(values)) {
      Value start = loops.emitWide(nest.inits[i]);
      result.push_back(cpu::combine(b, *nest.reduction, i, value, start));
    }
    return result;
  }

  /// The accumulators after one more element.
  Values step(ArrayRef<Value> accumulators) {
    Values next;
    if (!nest.terms.empty()) {
      for (auto [i, term] : llvm::enumerate(nest.terms)) {
        Value value = loops.emitWide(term);
        next.push_back(
            cpu::combine(b, *nest.reduction, i, value, accumulators[i]));
      }
      return next;
    }
    for (auto [node, value] : llvm::zip(nest.accumulators, accumulators))
      loops.setValue(node, value);
    for (cpu::Node *node : nest.updates)
      next.push_back(loops.emitWide(node));
    return next;
  }

  /// Values of the outermost folded dimension, or runs, of this part.
  std::pair<Value, Value> partRange(int64_t length) {
    loops.moveInside();
    if (e.phase != Parts)
      return {index(0), index(length)};
    Value low = arith::MulIOp::create(b, e.part, index(e.job.partLength));
    Value high = arith::AddIOp::create(b, low, index(e.job.partLength));
    if (length % e.job.partLength)
      high = arith::MinSIOp::create(b, high, index(length));
    return {low, high};
  }

  Values foldOver(ArrayRef<unsigned> dims, ArrayRef<Value> carried) {
    if (dims.empty())
      return step(carried);
    Value low = index(0), high = loops.bound(dims[0]);
    if (e.phase == Parts && dims.size() == e.job.folded.size())
      std::tie(low, high) = partRange(e.extentOf(dims[0]));
    ValueRange arguments = loops.open(dims[0], low, high, 1, carried);
    Values next =
        foldOver(dims.drop_front(), llvm::to_vector_of<Value>(arguments));
    return loops.close(next);
  }

  Values foldInOrder() {
    Values carried;
    for (auto [i, init] : llvm::enumerate(nest.inits)) {
      loops.moveInside();
      carried.push_back(e.phase == Parts ? cpu::neutral(b, *nest.reduction, i,
                                                        widened(init->type))
                                         : loops.emitWide(init));
    }
    return foldOver(e.job.folded, carried);
  }

  /// Every team-th run of the folded elements, then the threads of the team.
  Values foldShared() {
    Values carried;
    loops.moveInside();
    for (auto [i, element] : llvm::enumerate(nest.reduction->types)) {
      Type type = element;
      if (e.job.foldWidth > 1)
        type = VectorType::get({e.job.foldWidth}, element);
      carried.push_back(cpu::neutral(b, *nest.reduction, i, type));
    }
    auto [first, end] = partRange(e.job.foldRuns);
    if (e.lane)
      first = arith::AddIOp::create(b, first, e.lane);
    auto [run, arguments] = loops.openRange(first, end, index(e.team), carried);
    bindRun(run);
    Values all = loops.close(step(llvm::to_vector_of<Value>(arguments)));
    loops.moveInside();
    for (auto [i, value] : llvm::enumerate(all))
      value = foldLanes(b, *nest.reduction, i, value);
    if (e.team == 1)
      return all;
    return foldTeam(e.f, e.exchange, *nest.reduction, e.team, all);
  }

  void bindRun(Value run) {
    ArrayRef<unsigned> dims(e.job.folded);
    Value rest = run;
    for (size_t i = dims.size(); i-- > 0;) {
      bool isLast = i + 1 == dims.size();
      int64_t extent = e.extentOf(dims[i]) / (isLast ? e.job.foldWidth : 1);
      loops.moveInside();
      Value at = rest;
      if (i > 0) {
        at = arith::RemUIOp::create(b, rest, index(extent));
        rest = arith::DivUIOp::create(b, rest, index(extent));
      }
      if (isLast && e.job.foldWidth > 1)
        at = arith::MulIOp::create(b, at, index(e.job.foldWidth));
      if (isLast)
        loops.bindLanes(dims[i], at, e.job.foldWidth);
      else
        loops.bind(dims[i], at);
    }
  }

  JobEmitter &e;
  ImplicitLocOpBuilder &b;
  cpu::Nest &nest;
  cpu::LoopEmitter loops;
};

//===----------------------------------------------------------------------===//
// Units
//===----------------------------------------------------------------------===//

void JobEmitter::when(Value condition, function_ref<void()> body) {
  if (!condition)
    return body();
  auto branch = scf::IfOp::create(b, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(branch.thenYield());
  body();
}

void JobEmitter::emitUnit(Value unit) {
  bound.clear();
  Value first;
  if (phase == Parts) {
    part = arith::DivUIOp::create(b, unit, index(job.units));
    unit = arith::RemUIOp::create(b, unit, index(job.units));
  }
  unitNumber = unit;
  if (job.lanesDim >= 0) {
    first = unit;
    if (!job.outer.empty()) {
      first = arith::RemUIOp::create(b, unit, index(job.runs));
      unit = arith::DivUIOp::create(b, unit, index(job.runs));
    }
    if (job.width > 1)
      first = arith::MulIOp::create(b, first, index(job.width));
  }
  for (size_t i = job.outer.size(); i-- > 0;) {
    Value at = unit;
    if (i > 0) {
      Value extent = index(extentOf(job.outer[i]));
      at = arith::RemUIOp::create(b, unit, extent);
      unit = arith::DivUIOp::create(b, unit, extent);
    }
    bound.push_back({job.outer[i], at});
  }
  // The last block of a dimension may be partial.
  Value inside;
  auto require = [&](unsigned dim, Value at) {
    if (!nest.dag.getDims()[dim].total)
      return;
    Value limit = Body(*this).getLoops().bound(dim);
    Value here = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, at, limit);
    inside = inside ? arith::AndIOp::create(b, inside, here).getResult() : here;
  };
  for (auto [dim, at] : llvm::to_vector(bound))
    require(dim, at);
  if (first)
    require(job.lanesDim, first);
  when(inside, [&] { emitRun(first); });
}

void JobEmitter::emitRun(Value first) {
  if (!first || extentOf(job.lanesDim) % job.width == 0)
    return emitElements(first, job.width);
  Value end = arith::AddIOp::create(b, first, index(job.width));
  Value whole = arith::CmpIOp::create(b, arith::CmpIPredicate::ule, end,
                                      index(extentOf(job.lanesDim)));
  auto branch = scf::IfOp::create(b, whole, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(branch.thenYield());
  emitElements(first, job.width);
  b.setInsertionPoint(branch.elseYield());
  emitRest(first);
}

namespace {
/// What nests with the same loops have read in one unit.
class UnitCache : public cpu::LoadCache {
public:
  Value find(const cpu::Node &load) override {
    for (auto &[known, value] : loads)
      if (known->buffer == load.buffer && known->lin == load.lin)
        return value;
    return {};
  }
  void keep(const cpu::Node &load, Value value) override {
    if (load.lin.terms.empty())
      loads.push_back({&load, value});
  }

private:
  SmallVector<std::pair<const cpu::Node *, Value>> loads;
};
} // namespace

void JobEmitter::emitElements(Value first, int64_t width) {
  UnitCache cache;
  emitNest(nest, cache, first, width);
  for (cpu::Nest *other : job.more)
    emitNest(*other, cache, first, width);
}

void JobEmitter::emitNest(cpu::Nest &which, cpu::LoadCache &cache, Value first,
                          int64_t width) {
  Body body(*this, which);
  if (!which.reduction)
    body.getLoops().setCache(&cache);
  if (first)
    body.getLoops().bindLanes(job.lanesDim, first, width);
  body.emit();
}

/// What is behind the last whole run: one by one, but 4-bit elements in pairs.
void JobEmitter::emitRest(Value first) {
  int64_t rest = extentOf(job.lanesDim) % job.width, at = 0;
  for (int64_t width : {int64_t(2), int64_t(1)}) {
    int64_t end = rest / width * width;
    if (at == end || (width == 2 && !nest.plan.packs))
      continue;
    Value low = arith::AddIOp::create(b, first, index(at));
    Value high = arith::AddIOp::create(b, first, index(end));
    for (size_t i = 0; i <= job.more.size(); ++i) {
      Body body(*this, i ? *job.more[i - 1] : nest);
      body.getLoops().open(job.lanesDim, low, high, width);
      body.emit();
      body.getLoops().close();
    }
    at = end;
  }
}

//===----------------------------------------------------------------------===//
// Grids and blocks
//===----------------------------------------------------------------------===//

int64_t JobEmitter::countBlocks(const LoopJob &job, Phase phase,
                                int64_t threads) {
  return llvm::divideCeil(unitsOf(job, phase), threads / teamOf(job, phase));
}

void JobEmitter::emitGrid(int64_t first) {
  int64_t threads = f.getThreads(), perBlock = threads / team;
  Value block = f.blockId(), unit;
  if (first > 0)
    block = arith::SubIOp::create(b, block, index(first));
  unit = arith::MulIOp::create(b, block, index(perBlock));
  if (team == 1) {
    unit = arith::AddIOp::create(b, unit, f.threadId());
  } else if (perBlock > 1) {
    Value number = arith::DivUIOp::create(b, f.threadId(), index(team));
    unit = arith::AddIOp::create(b, unit, number);
  }
  if (team > 1)
    lane = arith::RemUIOp::create(b, f.threadId(), index(team));
  if (units % perBlock == 0)
    return emitUnit(unit);
  // Threads of a warp that belong to no unit would be missed in its folds.
  Value inside =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ult, unit, index(units));
  if (team > 1 && team < 32) {
    lane = arith::SelectOp::create(b, inside, lane, index(team));
    unit = arith::SelectOp::create(b, inside, unit, index(0));
    return emitUnit(unit);
  }
  when(inside, [&] { emitUnit(unit); });
}

void JobEmitter::emitBlock() {
  int64_t threads = f.getThreads(), teams = threads / team;
  Value number = f.threadId();
  if (team > 1) {
    number = arith::DivUIOp::create(b, f.threadId(), index(team));
    lane = arith::RemUIOp::create(b, f.threadId(), index(team));
  }
  if (teams == 1)
    number = index(0);
  // All threads of a warp go through the same number of units.
  int64_t rounds = llvm::divideCeil(units, teams);
  bool partial = units % teams != 0;
  Value mine = lane;
  auto emitAt = [&](Value unit, bool mayEnd) {
    if (!mayEnd)
      return emitUnit(unit);
    Value inside =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ult, unit, index(units));
    if (team > 1) {
      lane = arith::SelectOp::create(b, inside, mine, index(team));
      unit = arith::SelectOp::create(b, inside, unit, index(0));
      emitUnit(unit);
      lane = mine;
      return;
    }
    when(inside, [&] { emitUnit(unit); });
  };
  if (rounds <= 4) {
    for (int64_t i = 0; i < rounds; ++i) {
      Value unit =
          i ? arith::AddIOp::create(b, number, index(i * teams)).getResult()
            : number;
      emitAt(unit, partial && i + 1 == rounds);
    }
    return;
  }
  auto loop = scf::ForOp::create(b, index(0), index(rounds), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop.getBody()->getTerminator());
  Value done = arith::MulIOp::create(b, loop.getInductionVar(), index(teams));
  emitAt(arith::AddIOp::create(b, done, number), partial);
}

} // namespace gpu
} // namespace nibble
