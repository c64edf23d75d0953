// Writes a planned nest as loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "EmitNest.h"
#include "Fold.h"
#include "LaneMath.h"
#include "LoopEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

using BodyFn = function_ref<void()>;

class NestEmitter {
public:
  NestEmitter(ImplicitLocOpBuilder &b, Nest &nest)
      : b(b), nest(nest), plan(nest.plan), loops(b, nest.dag, plan.mergedInto) {
  }

  void emitAll(ArrayRef<Value> row) {
    for (auto [dim, value] : llvm::enumerate(row))
      loops.bind(dim, value);
    emitOuter(plan.outer, {}, {});
  }

  void emitUnits(Value low, Value high) {
    if (plan.unitDims == 0 && plan.outer.empty())
      return emitFlat(low, high);
    auto unitLoop = scf::ForOp::create(b, low, high, index(1));
    b.setInsertionPoint(unitLoop.getBody()->getTerminator());
    NestEmitter inner(b, nest);
    inner.emitUnit(unitLoop.getInductionVar());
    b.setInsertionPointAfter(unitLoop);
  }

private:
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }
  int64_t extentOf(unsigned dim) const {
    return nest.dag.getDims()[dim].extent;
  }

  //===--------------------------------------------------------------------===//
  // Units
  //===--------------------------------------------------------------------===//

  /// Units are runs of the only loop, or there is only one.
  void emitFlat(Value low, Value high) {
    if (plan.vectorDim < 0 || !plan.chunk) {
      // One unit: the range is empty or all.
      auto once = scf::ForOp::create(b, low, high, index(1));
      b.setInsertionPoint(once.getBody()->getTerminator());
      NestEmitter inner(b, nest);
      inner.emitAll({});
      b.setInsertionPointAfter(once);
      return;
    }
    Value run = index(plan.chunk), end = index(extentOf(plan.vectorDim));
    // An empty range at the end must stay empty: the last run may be short.
    Value from =
        arith::MinSIOp::create(b, arith::MulIOp::create(b, low, run), end);
    Value to =
        arith::MinSIOp::create(b, arith::MulIOp::create(b, high, run), end);
    emitOuter({}, from, to);
  }

  void emitUnit(Value unit) {
    Value from, to;
    if (plan.chunk) {
      int64_t extent = extentOf(plan.vectorDim);
      Value chunks = index((extent + plan.chunk - 1) / plan.chunk);
      Value chunk = arith::RemUIOp::create(b, unit, chunks);
      unit = arith::DivUIOp::create(b, unit, chunks);
      from = arith::MulIOp::create(b, chunk, index(plan.chunk));
      to = arith::MinSIOp::create(
          b, arith::AddIOp::create(b, from, index(plan.chunk)), index(extent));
    }
    ArrayRef<unsigned> dims(plan.outer);
    for (unsigned i = plan.unitDims; i-- > 1;) {
      Value extent = index(extentOf(dims[i]));
      loops.bind(dims[i], arith::RemUIOp::create(b, unit, extent));
      unit = arith::DivUIOp::create(b, unit, extent);
    }
    if (plan.unitDims)
      loops.bind(dims[0], unit);
    emitOuter(dims.drop_front(plan.unitDims), from, to);
  }

  //===--------------------------------------------------------------------===//
  // Parallel loops
  //===--------------------------------------------------------------------===//

  /// Loops over `dims`, then the vector loop over [from, to) (all if null).
  void emitOuter(ArrayRef<unsigned> dims, Value from, Value to) {
    if (dims.empty())
      return emitVectorLoop(from, to);
    loops.open(dims[0], index(0), loops.bound(dims[0]));
    emitOuter(dims.drop_front(), from, to);
    loops.close();
  }

  void emitVectorLoop(Value from, Value to) {
    if (plan.vectorDim < 0)
      return emitBody();
    unsigned dim = plan.vectorDim;
    if (from || nest.dag.getDims()[dim].total)
      return emitDynamic(dim, from ? from : index(0),
                         to ? to : loops.bound(dim));
    // Constant bounds: the rest runs in ever narrower vectors, unless the body
    // is large.
    int64_t at = 0, end = extentOf(dim);
    for (int64_t width = plan.width; width >= 1; width /= 2) {
      bool use = width == 1 || width == plan.width || plan.bodySize < 60 ||
                 (plan.packs && width == 2);
      int64_t steps = use ? (end - at) / width : 0;
      if (steps == 0)
        continue;
      emitRange(dim, index(at), index(at + steps * width), width);
      at += steps * width;
    }
  }

  void emitRange(unsigned dim, Value low, Value high, int64_t width) {
    loops.open(dim, low, high, width);
    emitBody();
    loops.close();
  }

  void emitDynamic(unsigned dim, Value low, Value high) {
    SmallVector<int64_t> widths{plan.width};
    if (plan.packs && plan.width > 2)
      widths.push_back(2);
    for (int64_t width : widths) {
      if (width == 1)
        continue;
      Value count = arith::SubIOp::create(b, high, low);
      Value rest = arith::RemUIOp::create(b, count, index(width));
      Value end = arith::SubIOp::create(b, high, rest);
      emitRange(dim, low, end, width);
      low = end;
    }
    emitRange(dim, low, high, 1);
  }

  /// One element, or `width` of them.
  void emitBody() {
    if (plan.innerDim < 0)
      return emitElements();
    unsigned inner = plan.innerDim;
    int64_t extent = extentOf(inner), at = 0;
    if (plan.tile && loops.getWidth() % plan.tile == 0) {
      at = extent / plan.tile * plan.tile;
      loops.open(inner, index(0), index(at), plan.tile, {}, /*lanes=*/false);
      loops.transposeTile(nest.stores[0], inner, plan.tile);
      loops.close();
    }
    if (at == extent)
      return;
    loops.open(inner, index(at), index(extent));
    emitElements();
    loops.close();
  }

  void emitElements() {
    if (nest.reduction)
      emitFold();
    for (const Store &store : nest.stores)
      loops.store(*store.buffer, store.offset, store.bits);
  }

  //===--------------------------------------------------------------------===//
  // Reductions
  //===--------------------------------------------------------------------===//

  Value combine(unsigned i, Value term, Value accumulator) {
    return cpu::combine(b, *nest.reduction, i, term, accumulator);
  }

  Value neutral(unsigned i, Type type) {
    return cpu::neutral(b, *nest.reduction, i, type);
  }

  using Values = SmallVector<Value>;

  /// The accumulators after one more element.
  Values step(ArrayRef<Value> accumulators) {
    Values next;
    if (!nest.terms.empty()) {
      for (auto [i, term] : llvm::enumerate(nest.terms))
        next.push_back(combine(i, loops.emitWide(term), accumulators[i]));
      return next;
    }
    for (auto [node, value] : llvm::zip(nest.accumulators, accumulators))
      loops.setValue(node, value);
    for (Node *node : nest.updates)
      next.push_back(loops.emitWide(node));
    return next;
  }

  /// Loops over `dims` around `inner`.
  Values foldOver(ArrayRef<unsigned> dims, ArrayRef<Value> carried,
                  function_ref<Values(ArrayRef<Value>)> inner) {
    if (dims.empty())
      return inner(carried);
    ValueRange arguments =
        loops.open(dims[0], index(0), loops.bound(dims[0]), 1, carried);
    Values next = foldOver(dims.drop_front(),
                           llvm::to_vector_of<Value>(arguments), inner);
    return loops.close(next);
  }

  void emitFold() {
    Values result = plan.foldVectorDim >= 0 ? foldLanes() : foldInOrder();
    for (auto [node, value] : llvm::zip(nest.finals, result))
      loops.setValue(node, value);
  }

  Values foldInOrder() {
    Values carried;
    for (Node *init : nest.inits)
      carried.push_back(loops.emitWide(init));
    return foldOver(plan.folded, carried,
                    [&](ArrayRef<Value> values) { return step(values); });
  }

  /// Lanes run along a folded dimension: one accumulator per lane, and one for
  /// what does not fill the lanes.
  Values foldLanes() {
    unsigned dim = plan.foldVectorDim;
    size_t count = nest.inits.size();
    Values carried;
    for (size_t i = 0; i < count; ++i) {
      auto type = VectorType::get({plan.width}, nest.reduction->types[i]);
      carried.push_back(neutral(i, type));
    }
    for (Node *init : nest.inits)
      carried.push_back(loops.emit(init));
    Values all = foldOver(plan.folded, carried, [&](ArrayRef<Value> values) {
      Value end = loops.bound(dim);
      Value rest = arith::RemUIOp::create(b, end, index(plan.width));
      Value full = arith::SubIOp::create(b, end, rest);
      bool whole =
          !nest.dag.getDims()[dim].total && extentOf(dim) % plan.width == 0;
      Values next =
          foldRange(dim, index(0), full, plan.width, values.take_front(count));
      llvm::append_range(
          next, whole ? Values(values.drop_front(count))
                      : foldRange(dim, full, end, 1, values.drop_front(count)));
      return next;
    });
    Values result;
    for (size_t i = 0; i < count; ++i) {
      arith::FastMathFlags flags = arith::FastMathFlags::none;
      if (isa<FloatType>(nest.reduction->types[i]))
        flags = arith::FastMathFlags::reassoc;
      Value lanes = vector::ReductionOp::create(b, nest.reduction->kinds[i],
                                                all[i], flags);
      result.push_back(combine(i, lanes, all[count + i]));
    }
    return result;
  }

  Values foldRange(unsigned dim, Value low, Value high, int64_t width,
                   ArrayRef<Value> carried) {
    ValueRange arguments = loops.open(dim, low, high, width, carried);
    Values next = step(llvm::to_vector_of<Value>(arguments));
    return loops.close(next);
  }

  ImplicitLocOpBuilder &b;
  Nest &nest;
  NestPlan &plan;
  LoopEmitter loops;
};

} // namespace

void emitNest(ImplicitLocOpBuilder &b, Nest &nest, ArrayRef<Value> row) {
  NestEmitter(b, nest).emitAll(row);
}

void emitUnits(ImplicitLocOpBuilder &b, Nest &nest, Value low, Value high) {
  NestEmitter(b, nest).emitUnits(low, high);
}

} // namespace cpu
} // namespace nibble
