// Writes the units of jobs as code of a thread.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopsEmit.h"
#include "LoopEmitter.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
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
  explicit Body(JobEmitter &job)
      : e(job), b(job.b), nest(job.nest),
        loops(job.b, job.nest.dag, job.nest.plan.mergedInto) {
    loops.setAligned();
    for (auto [dim, value] : llvm::enumerate(e.row))
      loops.bind(dim, value);
    for (auto [dim, value] : e.bound)
      loops.bind(dim, value);
  }

  void emit() {
    if (!nest.reduction)
      return store();
    Values results = e.job.inOrder ? foldInOrder() : foldShared();
    if (e.job.team > 1)
      return storeFirst(results);
    set(results);
    store();
  }

  cpu::LoopEmitter &getLoops() { return loops; }

private:
  Value index(int64_t value) { return e.index(value); }

  void store() {
    for (const cpu::Store &store : nest.stores)
      loops.store(*store.buffer, store.offset, store.bits, store.guard);
  }

  void set(ArrayRef<Value> results) {
    for (auto [node, value] : llvm::zip(nest.finals, results))
      loops.setValue(node, value);
  }

  /// The first thread of the team adds the start and writes.
  void storeFirst(ArrayRef<Value> results) {
    loops.moveInside();
    Value first =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, e.lane, index(0));
    e.when(first, [&] {
      Body inner(e);
      inner.set(inner.withStart(results));
      inner.store();
    });
  }

  Values withStart(ArrayRef<Value> values) {
    Values result;
    for (auto [i, value] : llvm::enumerate(values)) {
      Value start = loops.emit(nest.inits[i]);
      loops.moveInside();
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

  Values foldOver(ArrayRef<unsigned> dims, ArrayRef<Value> carried) {
    if (dims.empty())
      return step(carried);
    ValueRange arguments =
        loops.open(dims[0], index(0), loops.bound(dims[0]), 1, carried);
    Values next =
        foldOver(dims.drop_front(), llvm::to_vector_of<Value>(arguments));
    return loops.close(next);
  }

  Values foldInOrder() {
    Values carried;
    for (cpu::Node *init : nest.inits)
      carried.push_back(loops.emitWide(init));
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
    Value first = e.lane ? e.lane : index(0);
    auto [run, arguments] = loops.openRange(first, index(e.job.foldRuns),
                                            index(e.job.team), carried);
    bindRun(run);
    Values all = loops.close(step(llvm::to_vector_of<Value>(arguments)));
    loops.moveInside();
    for (auto [i, value] : llvm::enumerate(all))
      value = foldLanes(b, *nest.reduction, i, value);
    if (e.job.team == 1)
      return withStart(all);
    return foldTeam(e.f, e.exchange, *nest.reduction, e.job.team, all);
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

void JobEmitter::emitElements(Value first, int64_t width) {
  Body body(*this);
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
    Body body(*this);
    body.getLoops().open(job.lanesDim, low, high, width);
    body.emit();
    body.getLoops().close();
    at = end;
  }
}

//===----------------------------------------------------------------------===//
// Grids and blocks
//===----------------------------------------------------------------------===//

int64_t JobEmitter::blocksOf(const LoopJob &job, int64_t threads) {
  return llvm::divideCeil(job.units, threads / job.team);
}

void JobEmitter::emitGrid(int64_t first) {
  int64_t threads = f.getThreads(), perBlock = threads / job.team;
  Value block = f.blockId(), unit;
  if (first > 0)
    block = arith::SubIOp::create(b, block, index(first));
  unit = arith::MulIOp::create(b, block, index(perBlock));
  if (job.team == 1) {
    unit = arith::AddIOp::create(b, unit, f.threadId());
  } else if (perBlock > 1) {
    Value team = arith::DivUIOp::create(b, f.threadId(), index(job.team));
    unit = arith::AddIOp::create(b, unit, team);
  }
  if (job.team > 1)
    lane = arith::RemUIOp::create(b, f.threadId(), index(job.team));
  if (job.units % perBlock == 0)
    return emitUnit(unit);
  // Threads of a warp that belong to no unit would be missed in its folds.
  Value inside = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, unit,
                                       index(job.units));
  if (job.team > 1 && job.team < 32) {
    lane = arith::SelectOp::create(b, inside, lane, index(job.team));
    unit = arith::SelectOp::create(b, inside, unit, index(0));
    return emitUnit(unit);
  }
  when(inside, [&] { emitUnit(unit); });
}

void JobEmitter::emitBlock() {
  int64_t threads = f.getThreads(), teams = threads / job.team;
  Value team = f.threadId();
  if (job.team > 1) {
    team = arith::DivUIOp::create(b, f.threadId(), index(job.team));
    lane = arith::RemUIOp::create(b, f.threadId(), index(job.team));
  }
  if (teams == 1)
    team = index(0);
  // All threads of a warp go through the same number of units.
  int64_t rounds = llvm::divideCeil(job.units, teams);
  bool partial = job.units % teams != 0;
  Value mine = lane;
  auto emitAt = [&](Value unit, bool mayEnd) {
    if (!mayEnd)
      return emitUnit(unit);
    Value inside = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, unit,
                                         index(job.units));
    if (job.team > 1) {
      lane = arith::SelectOp::create(b, inside, mine, index(job.team));
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
          i ? arith::AddIOp::create(b, team, index(i * teams)).getResult()
            : team;
      emitAt(unit, partial && i + 1 == rounds);
    }
    return;
  }
  auto loop = scf::ForOp::create(b, index(0), index(rounds), index(1));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop.getBody()->getTerminator());
  Value done = arith::MulIOp::create(b, loop.getInductionVar(), index(teams));
  emitAt(arith::AddIOp::create(b, done, team), partial);
}

} // namespace gpu
} // namespace nibble
