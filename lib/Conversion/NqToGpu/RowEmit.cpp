// Code of rows whose elements stay in registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RowEmit.h"
#include "HiddenUse.h"
#include "LoopEmitter.h"
#include "LoopsTeam.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <map>

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using namespace cpu;
using Values = SmallVector<Value>;

/// Elements per thread up to which operands of later stages are read early,
/// before the threads of a row wait for each other.
constexpr int64_t kEarlyElements = 16;

/// Positions of rows are far below the largest index.
constexpr auto kNoOverflow =
    arith::IntegerOverflowFlags::nsw | arith::IntegerOverflowFlags::nuw;

class RowEmitter : public LoadCache {
public:
  RowEmitter(GpuFunction &f, const KernelStages &stages, const RowPlan &plan)
      : f(f), b(f.b), stages(stages), plan(plan), early(f.b) {}

  void run(ArrayRef<int64_t> rowShape, Value block) {
    // Or the assembler keeps a few variables in memory, so that registers are
    // left for one block more.
    if (plan.hasOwnBlocks)
      f.function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                          b.getI32IntegerAttr(1));
    place(block, rowShape);
    if (plan.runs * plan.width <= kEarlyElements)
      for (const RowNest &nest : plan.nests)
        readEarly(nest);
    for (const RowNest &nest : plan.nests) {
      if (!nest.nest->reduction)
        map(nest);
      else if (nest.isSmall)
        foldSmall(nest);
      else
        fold(nest);
    }
  }

private:
  Value index(int64_t value) { return f.index(value); }
  Value less(Value x, int64_t limit) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, x, index(limit));
  }
  Value isZero(Value x) {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, x, index(0));
  }
  Value divide(Value x, int64_t by) {
    return by == 1 ? x : arith::DivUIOp::create(b, x, index(by)).getResult();
  }
  Value rest(Value x, int64_t by) {
    return arith::RemUIOp::create(b, x, index(by));
  }
  Value both(Value x, Value y) {
    if (!x || !y)
      return x ? x : y;
    return arith::AndIOp::create(b, x, y);
  }

  //===--------------------------------------------------------------------===//
  // Places
  //===--------------------------------------------------------------------===//

  /// Threads without a row or a run do as if they had the last or the first
  /// one, and store nothing.
  void place(Value block, ArrayRef<int64_t> rowShape) {
    Value number = block;
    lane = f.threadId();
    if (plan.rowsPerBlock > 1) {
      lane = hideBits(rest(f.threadId(), plan.team));
      team = divide(f.threadId(), plan.team);
      number = arith::MulIOp::create(b, block, index(plan.rowsPerBlock));
      number = arith::AddIOp::create(b, number, team);
    }
    if (plan.rows % plan.rowsPerBlock) {
      hasRow = less(number, plan.rows);
      number = arith::SelectOp::create(b, hasRow, number, index(plan.rows - 1));
    }
    row.resize(rowShape.size());
    for (size_t d = rowShape.size(); d-- > 0;
         number = divide(number, rowShape[d]))
      row[d] = d ? rest(number, rowShape[d]) : number;
    for (int64_t j = 0; j < plan.runs; ++j)
      placeRun(j);
  }

  /// A number below the team's size. If compilers knew its bits, they would
  /// compute positions of runs by bitwise operations of their own, not as one
  /// address and constants.
  Value hideBits(Value number) {
    if (plan.runs == 1 || !llvm::isPowerOf2_64(plan.team))
      return number;
    Value word = arith::IndexCastOp::create(b, b.getI32Type(), number);
    return arith::IndexCastUIOp::create(b, b.getIndexType(),
                                        HiddenUse(b).hide(word));
  }

  void placeRun(int64_t j) {
    Value at = lane;
    if (j)
      at = arith::AddIOp::create(b, lane, index(j * plan.team), kNoOverflow);
    Value inside;
    if ((j + 1) * plan.team > plan.allRuns()) {
      inside = less(at, plan.allRuns());
      at = arith::SelectOp::create(b, inside, at, index(0));
    }
    runs.push_back(at);
    hasRun.push_back(inside);
  }

  /// Gives the loops of `nest` the values they have at a run.
  void bind(LoopEmitter &loops, const RowNest &nest, ArrayRef<unsigned> dims,
            int64_t weight, int64_t j, bool lanes) {
    loops.setAligned();
    loops.setCache(this);
    for (auto [d, value] : llvm::enumerate(row))
      loops.bind(d, value);
    // In runs: all weights but 1 are whole numbers of them.
    Value at = runs[j];
    if (!lanes && weight != 1)
      at = divide(at, weight / plan.width);
    for (size_t i = dims.size(); i-- > 0;) {
      bool last = lanes && i + 1 == dims.size();
      int64_t extent = nest.extent(dims[i]) / (last ? plan.width : 1);
      Value digit = i ? rest(at, extent) : at;
      at = i ? divide(at, extent) : at;
      if (!last) {
        loops.bind(dims[i], digit);
        continue;
      }
      if (plan.width > 1)
        digit = arith::MulIOp::create(b, digit, index(plan.width), kNoOverflow);
      loops.bindLanes(dims[i], digit, plan.width);
    }
  }

  /// All loops, at run j.
  void bindAll(LoopEmitter &loops, const RowNest &nest, int64_t j) {
    SmallVector<unsigned> dims = nest.loops();
    bind(loops, nest, dims, nest.weight, j, nest.isFull());
    enter(nest, j);
  }

  void enter(const RowNest &nest, int64_t j) {
    current = nest;
    turn = j;
  }

  LoopEmitter makeLoops(const RowNest &nest) {
    return LoopEmitter(b, nest.nest->dag, nest.nest->plan.mergedInto);
  }

  //===--------------------------------------------------------------------===//
  // Registers
  //===--------------------------------------------------------------------===//

  using Key = std::pair<std::vector<int64_t>, int64_t>;

  std::optional<Key> keyOf(const Buffer &buffer, const Lin &offset) const {
    ElementKey key = plan.keyOf(current, buffer, offset);
    if (key.empty())
      return std::nullopt;
    return Key{{key.begin(), key.end()}, RowPlan::isRowWide(key) ? 0 : turn};
  }

  Value find(const Node &load) override {
    auto key = keyOf(*load.buffer, load.lin);
    auto known = key ? registers.find(*key) : registers.end();
    return known == registers.end() ? Value() : known->second;
  }

  void keep(const Node &load, Value value) override {
    if (auto key = keyOf(*load.buffer, load.lin))
      registers[*key] = value;
  }

  const Tensor *findWritten(const Buffer *buffer) const {
    for (const Stage &stage : stages.stages)
      for (const Tensor *tensor : stage.tensors)
        if (&tensor->buffer == buffer)
          return tensor;
    return nullptr;
  }

  /// `nest`: at the points of its results.
  void store(LoopEmitter &loops, Value condition) {
    for (const Store &store : current.nest->stores) {
      Value bits = loops.getWidth() > 1 ? loops.emitWide(store.bits)
                                        : loops.emit(store.bits);
      if (auto key = keyOf(*store.buffer, store.offset))
        registers[*key] = bits;
      if (!stages.isResult(findWritten(store.buffer)))
        continue;
      loops.setCondition(condition);
      loops.store(*store.buffer, store.offset, store.bits, store.guard);
      loops.setCondition({});
    }
  }

  /// Whether a thread is the one to store what `granule` positions have in
  /// common.
  Value stores(int64_t j, int64_t granule) {
    Value condition = both(hasRow, hasRun[j]);
    if (granule == plan.size)
      return plan.team > 1 ? both(hasRow, isZero(lane)) : hasRow;
    int64_t lanes = granule / plan.width;
    if (lanes > 1)
      condition = both(condition, isZero(rest(runs[j], lanes)));
    return condition;
  }

  void readEarly(const RowNest &nest) {
    if (nest.isSmall)
      return;
    for (int64_t j = 0; j < runsOf(nest); ++j) {
      LoopEmitter loops = makeLoops(nest);
      bindAll(loops, nest, j);
      for (Node &node : nest.nest->dag.getNodes())
        if (node.kind == Node::Kind::Load && node.lin.terms.empty() &&
            !findWritten(node.buffer))
          noteEarly(nest, loops.emit(&node));
    }
  }

  /// What folds before `nest` do not use anyway, they wait for.
  void noteEarly(const RowNest &nest, Value value) {
    bool isNew = known.insert(value).second;
    if (isNew && &nest != &plan.nests.front())
      early.add(value);
  }

  //===--------------------------------------------------------------------===//
  // Nests
  //===--------------------------------------------------------------------===//

  int64_t runsOf(const RowNest &nest) const {
    return nest.weight == plan.size && plan.size > 1 ? 1 : plan.runs;
  }

  void map(const RowNest &nest) {
    for (int64_t j = 0; j < runsOf(nest); ++j) {
      Value condition = stores(j, nest.isFull() ? 1 : nest.granule);
      LoopEmitter loops = makeLoops(nest);
      bindAll(loops, nest, j);
      store(loops, condition);
    }
  }

  /// The terms where the loops stand.
  Values terms(const RowNest &nest, LoopEmitter &loops) {
    Values result;
    for (Node *term : nest.nest->terms)
      result.push_back(loops.emitWide(term));
    return result;
  }

  /// Neutral numbers if `inside` is false; null is true.
  void chooseIf(const RowNest &nest, Value inside, Values &numbers) {
    if (!inside)
      return;
    for (auto [i, value] : llvm::enumerate(numbers))
      value = arith::SelectOp::create(
          b, inside, value,
          neutral(b, *nest.nest->reduction, i, value.getType()));
  }

  void add(const RowNest &nest, Values &sums, ArrayRef<Value> more) {
    if (sums.empty())
      return sums.assign(more.begin(), more.end());
    for (auto [i, value] : llvm::enumerate(more))
      sums[i] = combine(b, *nest.nest->reduction, i, value, sums[i]);
  }

  void fold(const RowNest &nest) {
    if (nest.granule != plan.size)
      return foldGranules(nest);
    Values sums, last;
    for (int64_t j = 0; j < plan.runs; ++j) {
      LoopEmitter loops = makeLoops(nest);
      bindAll(loops, nest, j);
      Values here = terms(nest, loops);
      if (!hasRun[j]) {
        add(nest, sums, here);
        continue;
      }
      // One number is chosen, not each lane.
      foldOwn(nest, here);
      chooseIf(nest, hasRun[j], here);
      add(nest, last, here);
    }
    foldOwn(nest, sums);
    if (!last.empty())
      add(nest, sums, last);
    finish(nest, 0, foldThreads(nest, sums));
  }

  void foldGranules(const RowNest &nest) {
    for (int64_t j = 0; j < plan.runs; ++j) {
      LoopEmitter loops = makeLoops(nest);
      bindAll(loops, nest, j);
      Values here = terms(nest, loops);
      foldOwn(nest, here);
      here =
          foldWarp(b, *nest.nest->reduction, nest.granule / plan.width, here);
      finish(nest, j, here);
    }
  }

  void foldOwn(const RowNest &nest, Values &sums) {
    for (auto [i, value] : llvm::enumerate(sums))
      value = foldLanes(b, *nest.nest->reduction, i, value);
  }

  Values foldThreads(const RowNest &nest, Values sums) {
    const Reduction &reduction = *nest.nest->reduction;
    Type type = sums.front().getType();
    if (!early.empty() && (type.isF32() || type.isInteger(32))) {
      sums.front() = early.tie(sums.front());
      early.clear();
    }
    if (plan.team <= 32)
      return foldWarp(b, reduction, plan.team, sums);
    Value first;
    if (plan.rowsPerBlock > 1)
      first = arith::MulIOp::create(b, team, index(plan.team / plan.group));
    return foldGroups(f, reduction, plan.group, plan.team / plan.group, first,
                      sums);
  }

  /// Every warp, or team if that is smaller, has all elements.
  void foldSmall(const RowNest &nest) {
    int64_t lanes = std::min<int64_t>(plan.team, 32);
    Value mine = plan.team > 32 ? rest(lane, 32) : lane;
    Values sums;
    for (int64_t from = 0; from < nest.smallSize; from += lanes) {
      Value at = mine, inside;
      if (from)
        at = arith::AddIOp::create(b, at, index(from));
      if (from + lanes > nest.smallSize) {
        inside = less(at, nest.smallSize);
        at = arith::SelectOp::create(b, inside, at, index(0));
      }
      LoopEmitter loops = makeLoops(nest);
      bindSmall(loops, nest, at);
      Values here = terms(nest, loops);
      chooseIf(nest, inside, here);
      add(nest, sums, here);
    }
    finish(nest, 0, foldWarp(b, *nest.nest->reduction, lanes, sums));
  }

  void bindSmall(LoopEmitter &loops, const RowNest &nest, Value at) {
    bind(loops, nest, {}, 1, 0, false);
    for (size_t i = nest.folded.size(); i-- > 0;) {
      int64_t extent = nest.extent(nest.folded[i]);
      loops.bind(nest.folded[i], i ? rest(at, extent) : at);
      at = i ? divide(at, extent) : at;
    }
    enter(nest, 0);
  }

  /// Stores what folds have given, at the points of the results.
  void finish(const RowNest &nest, int64_t j, ArrayRef<Value> folded) {
    Value condition = stores(j, nest.granule);
    RowNest results = nest;
    results.folded.clear();
    results.weight = nest.granule;
    results.isSmall = false;
    LoopEmitter loops = makeLoops(nest);
    bind(loops, results, results.outer, results.weight, j, false);
    enter(results, j);
    for (auto [i, value] : llvm::enumerate(folded)) {
      Value start = loops.emit(nest.nest->inits[i]);
      loops.moveInside();
      loops.setValue(nest.nest->finals[i],
                     combine(b, *nest.nest->reduction, i, value, start));
    }
    store(loops, condition);
  }

  GpuFunction &f;
  ImplicitLocOpBuilder &b;
  const KernelStages &stages;
  const RowPlan &plan;
  Values row, runs, hasRun;
  Value team, lane, hasRow; ///< team: which one of the block, if it has more
  RowNest current;
  int64_t turn = 0;
  HiddenUse early; ///< reads for later stages than the first
  llvm::DenseSet<Value> known;
  std::map<Key, Value> registers;
};

} // namespace

void emitRowsInRegisters(GpuFunction &f, const KernelStages &stages,
                         const RowPlan &plan, ArrayRef<int64_t> rowShape,
                         Value block) {
  RowEmitter(f, stages, plan).run(rowShape, block);
}

} // namespace gpu
} // namespace nibble
