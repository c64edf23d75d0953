// Gather, GatherElements, GatherND, Compress, ReverseSequence.
//
// Negative indices count from the back. Constant indices out of range are
// refused; at run time such an index reads the nearest element, because a
// kernel cannot report and must not read outside of its buffer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace mlir;
using namespace nibble::onnx;

static LogicalResult requireIntegerInput(NodeContext &n, size_t i,
                                         StringRef what) {
  if (isInteger(n.input(i).type))
    return success();
  return n.fail(what + " have type " + getName(n.input(i).type) +
                " instead of an integer type");
}

/// Element of `indices` as an index into `extent` elements, safe to read at.
static Value loadPosition(ScalarBuilder &s, Tensor indices, ValueRange at,
                          int64_t extent) {
  Value index = loadIndex(s, indices, at);
  return clampIndex(s, wrapIndex(s, index, extent), extent);
}

/// Gather with one constant index is a slice.
static Tensor gatherOne(NodeContext &n, Tensor x, int64_t axis, int64_t index,
                        ArrayRef<int64_t> shape) {
  Shape starts(x.rank(), 0), sizes(x.shape()), ones(x.rank(), 1);
  starts[axis] = index < 0 ? index + x.dim(axis) : index;
  sizes[axis] = 1;
  return n.build.reshape(n.build.slice(x, starts, sizes, ones), shape);
}

static LogicalResult importGather(NodeContext &n) {
  Tensor x = n.input(0), indices = n.input(1);
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), x.rank());
  if (failed(axis) || failed(requireIntegerInput(n, 1, "indices")) ||
      failed(checkIndices(n, 1, x.dim(*axis))))
    return failure();
  Shape shape(x.shape().take_front(*axis));
  llvm::append_range(shape, indices.shape());
  llvm::append_range(shape, x.shape().drop_front(*axis + 1));
  if (llvm::is_contained(shape, 0))
    return n.setOutput(0, {n.build.empty(shape, x.type), x.type});
  int64_t extent = x.dim(*axis), rank = indices.rank();
  if (extent == 0)
    return n.fail("input " + toString(x.shape()) + " is empty along axis " +
                  Twine(*axis) + ", so there is nothing to gather");
  if (auto known = n.constantInts(1); known && known->size() == 1)
    return n.setOutput(0, gatherOne(n, x, *axis, known->front(), shape));
  Tensor y =
      n.build.generate(shape, x.type, [&](ScalarBuilder &s, ValueRange at) {
        SmallVector<Value> from(at.take_front(*axis));
        from.push_back(loadPosition(s, indices, at.slice(*axis, rank), extent));
        llvm::append_range(from, at.drop_front(*axis + rank));
        return s.load(x, from);
      });
  return n.setOutput(0, y);
}

static LogicalResult importGatherElements(NodeContext &n) {
  Tensor x = n.input(0), indices = n.input(1);
  auto axis = n.normalizeAxis(n.intAttr("axis", 0), x.rank());
  if (failed(axis) || failed(requireIntegerInput(n, 1, "indices")))
    return failure();
  bool fits = indices.rank() == x.rank();
  for (int64_t d = 0; fits && d < x.rank(); ++d)
    fits = d == *axis || indices.dim(d) <= x.dim(d);
  if (!fits)
    return n.fail("indices " + toString(indices.shape()) +
                  " reach beyond the data " + toString(x.shape()) +
                  " outside of axis " + Twine(*axis));
  if (failed(checkIndices(n, 1, x.dim(*axis))))
    return failure();
  if (indices.numElements() == 0)
    return n.setOutput(0, {n.build.empty(indices.shape(), x.type), x.type});
  if (x.dim(*axis) == 0)
    return n.fail("input " + toString(x.shape()) + " is empty along axis " +
                  Twine(*axis) + ", so there is nothing to gather");
  Tensor y = n.build.generate(
      indices.shape(), x.type, [&](ScalarBuilder &s, ValueRange at) {
        SmallVector<Value> from(at);
        from[*axis] = loadPosition(s, indices, at, x.dim(*axis));
        return s.load(x, from);
      });
  return n.setOutput(0, y);
}

//===----------------------------------------------------------------------===//
// GatherND
//===----------------------------------------------------------------------===//

static LogicalResult checkGatherND(NodeContext &n, Tensor x, Tensor indices,
                                   int64_t batch) {
  if (indices.rank() == 0 || batch < 0 || batch >= indices.rank() ||
      batch > x.rank())
    return n.fail("batch_dims = " + Twine(batch) + " does not fit data " +
                  toString(x.shape()) + " and indices " +
                  toString(indices.shape()));
  if (x.shape().take_front(batch) != indices.shape().take_front(batch))
    return n.fail("data " + toString(x.shape()) + " and indices " +
                  toString(indices.shape()) + " differ in the first " +
                  Twine(batch) + " (batch) dimensions");
  int64_t depth = indices.shape().back();
  if (batch + depth > x.rank())
    return n.fail("index tuples of " + Twine(depth) +
                  " do not fit data of rank " + Twine(x.rank()));
  auto known = n.constantInts(1);
  for (size_t i = 0; known && i < known->size(); ++i) {
    int64_t extent = x.dim(batch + i % depth), index = (*known)[i];
    if (index < -extent || index >= extent)
      return n.fail("index " + Twine(index) + " is outside of [-" +
                    Twine(extent) + ", " + Twine(extent) + ")");
  }
  return success();
}

static LogicalResult importGatherND(NodeContext &n) {
  Tensor x = n.input(0), indices = n.input(1);
  int64_t batch = n.intAttr("batch_dims", 0);
  if (failed(requireIntegerInput(n, 1, "indices")) ||
      failed(checkGatherND(n, x, indices, batch)))
    return failure();
  int64_t depth = indices.shape().back(), outer = indices.rank() - 1;
  Shape shape(indices.shape().drop_back());
  llvm::append_range(shape, x.shape().drop_front(batch + depth));
  if (llvm::is_contained(shape, 0))
    return n.setOutput(0, {n.build.empty(shape, x.type), x.type});
  if (x.numElements() == 0)
    return n.fail("data " + toString(x.shape()) +
                  " are empty, so there is nothing to gather");
  Tensor y =
      n.build.generate(shape, x.type, [&](ScalarBuilder &s, ValueRange at) {
        SmallVector<Value> from(at.take_front(batch)),
            tuple(at.take_front(outer));
        tuple.push_back({});
        for (int64_t i = 0; i < depth; ++i) {
          tuple.back() = s.index(i);
          from.push_back(loadPosition(s, indices, tuple, x.dim(batch + i)));
        }
        llvm::append_range(from, at.drop_front(outer));
        return s.load(x, from);
      });
  return n.setOutput(0, y);
}

//===----------------------------------------------------------------------===//
// Compress, ReverseSequence
//===----------------------------------------------------------------------===//

static LogicalResult importCompress(NodeContext &n) {
  Tensor x = n.input(0);
  auto condition = n.constantInts(1);
  if (!condition)
    return n.fail("condition is computed at run time, so the output's shape "
                  "depends on data and engines have static shapes; use Where "
                  "or Mul with a mask");
  int64_t axis = 0;
  if (n.hasAttr("axis")) {
    auto given = n.normalizeAxis(n.intAttr("axis", 0), x.rank());
    if (failed(given))
      return failure();
    axis = *given;
  } else {
    x = n.build.reshape(x, x.numElements());
  }
  if (int64_t(condition->size()) > x.dim(axis))
    return n.fail("condition has " + Twine(condition->size()) +
                  " elements but the axis only " + Twine(x.dim(axis)));
  SmallVector<int64_t> kept;
  for (auto [i, wanted] : llvm::enumerate(*condition))
    if (wanted)
      kept.push_back(i);
  return n.setOutput(0, take(n.build, x, axis, kept));
}

static LogicalResult importReverseSequence(NodeContext &n) {
  Tensor x = n.input(0), lengths = n.input(1);
  auto time = n.normalizeAxis(n.intAttr("time_axis", 0), x.rank());
  auto batch = n.normalizeAxis(n.intAttr("batch_axis", 1), x.rank());
  if (failed(time) || failed(batch) ||
      failed(requireIntegerInput(n, 1, "sequence_lens")))
    return failure();
  if (*time == *batch || lengths.shape() != ArrayRef(x.dim(*batch)))
    return n.fail(
        "sequence_lens " + toString(lengths.shape()) +
        " do not give one length for each entry of the batch axis of " +
        toString(x.shape()));
  Tensor y =
      n.build.generate(x.shape(), x.type, [&](ScalarBuilder &s, ValueRange at) {
        ScalarBuilder i = asSigned(s);
        Value last = i.sub(loadIndex(s, lengths, at[*batch]), i.index(1));
        Value mirrored = clampIndex(s, i.sub(last, at[*time]), x.dim(*time));
        SmallVector<Value> from(at);
        from[*time] = i.select(i.le(at[*time], last), mirrored, at[*time]);
        return s.load(x, from);
      });
  return n.setOutput(0, y);
}

void nibble::onnx::registerGatherOps(OpRegistry &r) {
  r.add("", "Gather", importGather, 2);
  r.add("", "GatherElements", importGatherElements, 2);
  r.add("", "GatherND", importGatherND, 2);
  r.add("", "Compress", importCompress, 2);
  r.add("", "ReverseSequence", importReverseSequence, 2);
}
