// ScatterElements, ScatterND, TensorScatter, MaxUnpool.
//
// A graph value is written once, so a scatter is turned around: every output
// element looks for the updates that hit it. Without a reduction the last of
// them wins; `winner` maps name the number of that update, or -1. Updates
// out of range at run time hit nothing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

namespace {
enum class Combine { None, Add, Mul, Max, Min };
} // namespace

static FailureOr<Combine> getCombine(NodeContext &n) {
  std::string name = n.stringAttr("reduction", "none");
  if (name == "none")
    return Combine::None;
  if (name == "add")
    return Combine::Add;
  if (name == "mul")
    return Combine::Mul;
  if (name == "max")
    return Combine::Max;
  if (name == "min")
    return Combine::Min;
  return n.fail("reduction '" + name +
                "' is not one of none, add, mul, max, min");
}

static double getNeutral(Combine combine, ElemType type) {
  switch (combine) {
  case Combine::Mul:
    return 1;
  case Combine::Max:
    return getLowest(type);
  case Combine::Min:
    return HUGE_VAL;
  default:
    return 0;
  }
}

static Value apply(ScalarBuilder &s, Combine combine, Value a, Value b) {
  switch (combine) {
  case Combine::Mul:
    return s.mul(a, b);
  case Combine::Max:
    return s.max(a, b);
  case Combine::Min:
    return s.min(a, b);
  default:
    return s.add(a, b);
  }
}

/// Whether an update hits the output element at hand, and where it stands.
/// `at` are the indices of the output element and the number of the update.
using HitFn = llvm::function_ref<Value(ScalarBuilder &, ValueRange at)>;
using UpdateAtFn =
    llvm::function_ref<SmallVector<Value>(ScalarBuilder &, ValueRange at)>;

/// Number of the last of `count` updates that hits each element, or -1.
static Tensor findWinners(GraphBuilder &build, ArrayRef<int64_t> shape,
                          int64_t count, HitFn hit) {
  Shape space(shape);
  space.push_back(count);
  return build.reduceLoops(
      space, shape.size(), ElemType::Int64, -1,
      [&](ScalarBuilder &s, ValueRange at, Value acc) {
        Value number = s.fromIndex(at.back(), acc.getType());
        return s.select(hit(s, at), s.max(acc, number), acc);
      });
}

/// Data with the winning updates in place.
static Tensor replaceByWinners(GraphBuilder &build, Tensor data, Tensor updates,
                               Tensor winners, UpdateAtFn updateAt) {
  return build.generate(
      data.shape(), data.type, [&](ScalarBuilder &s, ValueRange at) {
        ScalarBuilder i = asSigned(s);
        Value winner = loadIndex(s, winners, at.take_front(winners.rank()));
        SmallVector<Value> extended(at);
        extended.push_back(i.max(winner, i.index(0)));
        return s.select(i.ge(winner, i.index(0)),
                        s.load(updates, updateAt(s, extended)),
                        s.load(data, at));
      });
}

/// data combined with all updates that hit; sums of f16 are taken in f32.
static Tensor combineAll(GraphBuilder &build, Tensor data, Tensor updates,
                         int64_t count, Combine combine, HitFn hit,
                         UpdateAtFn updateAt) {
  ElemType acc = getAccumulator(data.type);
  Shape space(data.shape());
  space.push_back(count);
  Type element = build.elementType(acc);
  Tensor total = build.reduceLoops(
      space, data.rank(), acc, getNeutral(combine, acc),
      [&](ScalarBuilder &s, ValueRange at, Value sum) {
        Value update = s.convert(s.load(updates, updateAt(s, at)), element,
                                 s.unsignedInts, s.unsignedInts);
        return s.select(hit(s, at), apply(s, combine, sum, update), sum);
      });
  return build.elementwise({data, total}, data.type,
                           [&](ScalarBuilder &s, ValueRange a) {
                             return apply(s, combine, a[0], a[1]);
                           });
}

static LogicalResult checkSteps(NodeContext &n, ArrayRef<int64_t> space) {
  if (!exceeds(space, maxLoopSteps))
    return success();
  return n.fail("every output element looks through all updates, which takes " +
                toString(space) +
                " steps; that is too many. Write the update as Where, Concat "
                "or TensorScatter");
}

//===----------------------------------------------------------------------===//
// ScatterElements
//===----------------------------------------------------------------------===//

static LogicalResult checkScatterElements(NodeContext &n, Tensor data,
                                          Tensor indices, Tensor updates,
                                          int64_t axis) {
  bool fits = indices.rank() == data.rank() && isInteger(indices.type) &&
              indices.shape() == updates.shape() && updates.type == data.type;
  for (int64_t d = 0; fits && d < data.rank(); ++d)
    fits = d == axis || indices.dim(d) <= data.dim(d);
  if (!fits)
    return n.fail("indices " + toString(indices.shape()) + ", updates " +
                  toString(updates.shape()) + " and data " +
                  toString(data.shape()) +
                  " do not fit: indices and updates need the same shape, "
                  "within that of the data, and updates the type of the data");
  return checkIndices(n, 1, data.dim(axis));
}

static LogicalResult importScatterElements(NodeContext &n) {
  Tensor data = n.input(0), indices = n.input(1), updates = n.input(2);
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), data.rank());
  auto combine = getCombine(n);
  if (failed(axis) || failed(combine) ||
      failed(checkScatterElements(n, data, indices, updates, *axis)))
    return failure();
  if (indices.numElements() == 0)
    return n.setOutput(0, data);
  int64_t count = indices.dim(*axis);
  if (failed(checkSteps(n, {data.numElements(), count})))
    return failure();
  auto updateAt = [&](ScalarBuilder &s, ValueRange at) {
    SmallVector<Value> from(at.drop_back());
    from[*axis] = at.back();
    for (int64_t d = 0; d < data.rank(); ++d)
      if (d != *axis && indices.dim(d) < data.dim(d))
        from[d] = clampIndex(s, from[d], indices.dim(d));
    return from;
  };
  auto hit = [&](ScalarBuilder &s, ValueRange at) {
    Value target = loadIndex(s, indices, updateAt(s, at));
    Value result = s.eq(wrapIndex(s, target, data.dim(*axis)), at[*axis]);
    for (int64_t d = 0; d < data.rank(); ++d)
      if (d != *axis && indices.dim(d) < data.dim(d))
        result = s.bitAnd(result, inRange(s, at[d], 0, indices.dim(d)));
    return result;
  };
  if (*combine != Combine::None)
    return n.setOutput(
        0, combineAll(n.build, data, updates, count, *combine, hit, updateAt));
  Tensor winners = findWinners(n.build, data.shape(), count, hit);
  return n.setOutput(
      0, replaceByWinners(n.build, data, updates, winners, updateAt));
}

//===----------------------------------------------------------------------===//
// ScatterND and relatives: cells of `slice` elements, updates by cell number
//===----------------------------------------------------------------------===//

namespace {
struct CellUpdate {
  Tensor data;    ///< [cells, slice]
  Tensor updates; ///< [count, slice]
  Tensor targets; ///< [count], cell numbers; out of range hits nothing
};
} // namespace

/// Cell numbers of tuples [count, depth] of constant indices.
static FailureOr<SmallVector<int64_t>>
getConstantTargets(NodeContext &n, ArrayRef<int64_t> indices,
                   ArrayRef<int64_t> extents) {
  Shape strides = getStrides(extents);
  SmallVector<int64_t> targets(indices.size() / extents.size(), 0);
  for (size_t i = 0; i < indices.size(); ++i) {
    size_t d = i % extents.size();
    int64_t index = indices[i];
    if (index < -extents[d] || index >= extents[d])
      return n.fail("index " + Twine(index) + " is outside of [-" +
                    Twine(extents[d]) + ", " + Twine(extents[d]) + ")");
    targets[i / extents.size()] +=
        (index < 0 ? index + extents[d] : index) * strides[d];
  }
  return targets;
}

/// The same at run time; -1 for a tuple that is out of range.
static Tensor computeTargets(GraphBuilder &build, Tensor tuples,
                             ArrayRef<int64_t> extents) {
  Shape strides = getStrides(extents);
  return build.generate(
      tuples.dim(0), ElemType::Int64, [&](ScalarBuilder &s, ValueRange at) {
        Value cell = s.index(0), valid;
        for (size_t d = 0; d < extents.size(); ++d) {
          Value index = loadIndex(s, tuples, {at[0], s.index(d)});
          index = wrapIndex(s, index, extents[d]);
          Value ok = inRange(s, index, 0, extents[d]);
          valid = valid ? s.bitAnd(valid, ok) : ok;
          cell = s.add(cell, s.mul(index, s.index(strides[d])));
        }
        return s.fromIndex(s.select(valid, cell, s.index(-1)),
                           s.builder.getI64Type());
      });
}

static Tensor makeWinners(GraphBuilder &build, const CellUpdate &u,
                          std::optional<SmallVector<int64_t>> known) {
  int64_t cells = u.data.dim(0);
  if (!known)
    return findWinners(build, cells, u.targets.dim(0),
                       [&](ScalarBuilder &s, ValueRange at) {
                         return s.eq(loadIndex(s, u.targets, at[1]), at[0]);
                       });
  SmallVector<int64_t> winners(cells, -1);
  for (auto [i, target] : llvm::enumerate(*known))
    winners[target] = i;
  return build.constantInts(ElemType::Int64, cells, winners);
}

static Tensor scatterCells(GraphBuilder &build, const CellUpdate &u,
                           Combine combine,
                           std::optional<SmallVector<int64_t>> known) {
  auto updateAt = [](ScalarBuilder &, ValueRange at) {
    return SmallVector<Value>{at[2], at[1]};
  };
  auto hit = [&](ScalarBuilder &s, ValueRange at) {
    return s.eq(loadIndex(s, u.targets, at[2]), at[0]);
  };
  if (combine != Combine::None)
    return combineAll(build, u.data, u.updates, u.targets.dim(0), combine, hit,
                      updateAt);
  return replaceByWinners(build, u.data, u.updates,
                          makeWinners(build, u, known), updateAt);
}

static LogicalResult checkScatterND(NodeContext &n, Tensor data, Tensor indices,
                                    Tensor updates) {
  bool fits = indices.rank() > 0 && isInteger(indices.type) &&
              updates.type == data.type &&
              indices.shape().back() <= data.rank();
  if (fits) {
    Shape wanted(indices.shape().drop_back());
    llvm::append_range(wanted, data.shape().drop_front(indices.shape().back()));
    fits = ArrayRef<int64_t>(wanted) == updates.shape();
  }
  if (fits)
    return success();
  return n.fail("indices " + toString(indices.shape()) + ", updates " +
                toString(updates.shape()) + " and data " +
                toString(data.shape()) +
                " do not fit: updates need the shape "
                "indices.shape[:-1] + data.shape[indices.shape[-1]:] and the "
                "type of the data");
}

static LogicalResult importScatterND(NodeContext &n) {
  Tensor data = n.input(0), indices = n.input(1), updates = n.input(2);
  auto combine = getCombine(n);
  if (failed(combine) || failed(checkScatterND(n, data, indices, updates)))
    return failure();
  if (updates.numElements() == 0)
    return n.setOutput(0, data);
  int64_t depth = indices.shape().back();
  ArrayRef<int64_t> extents = data.shape().take_front(depth);
  int64_t count = product(indices.shape().drop_back());
  int64_t cells = product(extents),
          slice = product(data.shape().drop_front(depth));
  if (depth == 0) // the whole of the data, `count` times
    return n.fail("index tuples are empty; every update replaces all data, so "
                  "use the last one");
  std::optional<SmallVector<int64_t>> known;
  if (auto constant = n.constantInts(1)) {
    auto targets = getConstantTargets(n, *constant, extents);
    if (failed(targets))
      return failure();
    known = *targets;
  }
  bool isSearch = *combine != Combine::None || !known;
  int64_t width = *combine == Combine::None ? 1 : slice;
  if (isSearch && failed(checkSteps(n, {cells, width, count})))
    return failure();
  GraphBuilder &b = n.build;
  CellUpdate u{
      b.reshape(data, {cells, slice}), b.reshape(updates, {count, slice}),
      known ? b.shapeVector(*known)
            : computeTargets(b, b.reshape(indices, {count, depth}), extents)};
  Tensor y = scatterCells(b, u, *combine, known);
  return n.setOutput(0, b.reshape(y, data.shape()));
}

static LogicalResult importMaxUnpool(NodeContext &n) {
  Tensor x = n.input(0), indices = n.input(1);
  size_t rank = x.rank() < 2 ? 0 : x.rank() - 2;
  Shape kernel(n.intsAttr("kernel_shape").value_or(Shape()));
  Shape strides(n.intsAttr("strides").value_or(Shape(rank, 1)));
  Shape pads(n.intsAttr("pads").value_or(Shape(2 * rank, 0)));
  if (rank == 0 || kernel.size() != rank || strides.size() != rank ||
      pads.size() != 2 * rank || indices.shape() != x.shape())
    return n.fail("kernel_shape, strides, pads and indices do not fit input " +
                  toString(x.shape()));
  Shape inferred(x.shape());
  for (size_t d = 0; d < rank; ++d)
    inferred[d + 2] =
        (x.dim(d + 2) - 1) * strides[d] - pads[d] - pads[rank + d] + kernel[d];
  auto wanted = n.requireInts(2, "output_shape", inferred);
  if (failed(wanted))
    return failure();
  bool fits = wanted->size() == inferred.size();
  for (size_t d = 0; fits && d < inferred.size(); ++d)
    fits = inferred[d] >= 0 && (*wanted)[d] >= inferred[d];
  if (!fits)
    return n.fail("output_shape " + toString(*wanted) + " is smaller than " +
                  toString(inferred) + ", which kernel and strides give");
  int64_t cells = product(inferred), count = x.numElements();
  if (failed(checkSteps(n, {cells, count})))
    return failure();
  GraphBuilder &b = n.build;
  Tensor zero = b.splat(x.type, {cells, 1}, 0);
  CellUpdate u{zero, b.reshape(x, {count, 1}), b.reshape(indices, count)};
  Tensor y = b.reshape(scatterCells(b, u, Combine::None, {}), inferred);
  Shape low(inferred.size(), 0), high(inferred.size());
  for (size_t d = 0; d < inferred.size(); ++d)
    high[d] = (*wanted)[d] - inferred[d];
  return n.setOutput(0, b.pad(y, low, high, 0));
}

//===----------------------------------------------------------------------===//
// TensorScatter
//===----------------------------------------------------------------------===//

static LogicalResult checkTensorScatter(NodeContext &n, Tensor cache,
                                        Tensor update, int64_t axis) {
  bool fits =
      axis > 0 && cache.rank() == update.rank() && cache.type == update.type;
  for (int64_t d = 0; fits && d < cache.rank(); ++d)
    fits = d == axis ? update.dim(d) <= cache.dim(d)
                     : update.dim(d) == cache.dim(d);
  if (fits && n.hasInput(2))
    fits = n.input(2).shape() == cache.shape().take_front(1);
  if (fits)
    return success();
  return n.fail("update " + toString(update.shape()) + " does not fit cache " +
                toString(cache.shape()) + " with axis " + Twine(axis) +
                ": only the axis may be shorter, it is not the first, and "
                "write_indices has one entry per batch");
}

/// One position for all, and elements that can be moved as bytes.
static bool canUpdate(NodeContext &n, Tensor cache) {
  unsigned bits = cache.elementType().getIntOrFloatBitWidth();
  return cache.dim(0) == 1 && bits % 8 == 0 && n.hasInput(2) &&
         (n.input(2).type == ElemType::Int64 ||
          n.input(2).type == ElemType::Int32);
}

/// The cache of one sequence: only the rows move, if it is a state.
static Tensor updateRows(NodeContext &n, Tensor cache, Tensor rows,
                         int64_t axis) {
  GraphBuilder &b = n.build;
  Value y = nibble::nq::UpdateOp::create(
      b.builder, b.loc, cache.getType(), cache.value, n.input(2).value,
      rows.value, b.builder.getI64IntegerAttr(axis));
  return {y, cache.type};
}

static LogicalResult importTensorScatter(NodeContext &n) {
  Tensor cache = n.input(0), update = n.input(1);
  auto axis = n.normalizeAxis(n.intAttr("axis", -2), cache.rank());
  std::string mode = n.stringAttr("mode", "linear");
  if (failed(axis) || failed(checkTensorScatter(n, cache, update, *axis)))
    return failure();
  if (mode != "linear" && mode != "circular")
    return n.fail("mode '" + mode + "' is not linear or circular");
  int64_t extent = cache.dim(*axis), length = update.dim(*axis);
  if (update.numElements() == 0)
    return n.setOutput(0, cache);
  if (mode == "linear" && canUpdate(n, cache))
    return n.setOutput(0, updateRows(n, cache, update, *axis));
  Tensor y = n.build.generate(
      cache.shape(), cache.type, [&](ScalarBuilder &s, ValueRange at) {
        ScalarBuilder i = asSigned(s);
        Value start =
            n.hasInput(2) ? loadIndex(s, n.input(2), at[0]) : i.index(0);
        Value offset = i.sub(at[*axis], start);
        if (mode == "circular") {
          offset = i.rem(offset, i.index(extent));
          offset = wrapIndex(s, offset, extent);
        }
        SmallVector<Value> from(at);
        from[*axis] = clampIndex(s, offset, length);
        return s.select(inRange(s, offset, 0, length), s.load(update, from),
                        s.load(cache, at));
      });
  return n.setOutput(0, y);
}

void nibble::onnx::registerScatterOps(OpRegistry &r) {
  r.add("", "ScatterElements", importScatterElements, 3);
  r.add("", "Scatter", importScatterElements, 3);
  r.add("", "ScatterND", importScatterND, 3);
  r.add("", "TensorScatter", importTensorScatter, 2);
  r.add("", "MaxUnpool", importMaxUnpool, 2);
}
