// Operators whose output follows from positions: Trilu, EyeLike, OneHot, Range,
// NonZero, window functions, AffineGrid.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"
#include "Precision.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <cmath>

using namespace mlir;
using namespace nibble::onnx;

constexpr int64_t maxGenerated = int64_t(1) << 26;

//===----------------------------------------------------------------------===//
// Triangles, diagonals, one-hot
//===----------------------------------------------------------------------===//

static LogicalResult importTrilu(NodeContext &n) {
  Tensor x = n.input(0);
  if (x.rank() < 2)
    return n.fail("input " + toString(x.shape()) + " is not a matrix");
  if (n.hasInput(1) && n.input(1).numElements() != 1)
    return n.fail("k has " + Twine(n.input(1).numElements()) +
                  " elements instead of one");
  bool upper = n.intAttr("upper", 1) != 0;
  auto known = n.hasInput(1) ? n.constantInts(1) : Shape{0};
  // Beyond +-2^32 every diagonal is outside of the matrix.
  int64_t limit = int64_t(1) << 32;
  int64_t fixed = known ? std::clamp((*known)[0], -limit, limit) : 0;
  Tensor y =
      n.build.elementwiseRaw(x, x.type, [&](ScalarBuilder &s, ValueRange a) {
        ScalarBuilder i = asSigned(s);
        Value row = linalg::IndexOp::create(s.builder, s.loc, x.rank() - 2);
        Value column = linalg::IndexOp::create(s.builder, s.loc, x.rank() - 1);
        Value k = i.index(fixed);
        if (!known) {
          Tensor diagonal = n.input(1);
          SmallVector<Value> zeros(diagonal.rank(), i.index(0));
          k = loadIndex(s, diagonal, zeros);
        }
        Value distance = i.sub(column, row);
        Value kept = upper ? i.ge(distance, k) : i.le(distance, k);
        return s.select(kept, a[0], s.constant(0, a[0]));
      });
  return n.setOutput(0, y);
}

/// Type named by attribute `name`, or failure if Nibble does not carry it.
static FailureOr<ElemType> getTypeAttr(NodeContext &n, StringRef name,
                                       ElemType otherwise) {
  auto type = ElemType(n.intAttr(name, int64_t(otherwise)));
  if (n.build.elementType(type))
    return type;
  return n.fail("element type " + getName(type) + " is not supported");
}

static LogicalResult importEyeLike(NodeContext &n) {
  Tensor x = n.input(0);
  auto type = getTypeAttr(n, "dtype", x.type);
  if (failed(type))
    return failure();
  if (x.rank() != 2)
    return n.fail("input " + toString(x.shape()) + " is not a matrix");
  int64_t limit = int64_t(1) << 32;
  int64_t k = std::clamp(n.intAttr("k", 0), -limit, limit);
  Tensor y =
      n.build.generate(x.shape(), *type, [&](ScalarBuilder &s, ValueRange at) {
        ScalarBuilder i = asSigned(s);
        Type element = n.build.elementType(*type);
        return s.select(i.eq(i.sub(at[1], at[0]), i.index(k)),
                        s.constant(1, element), s.constant(0, element));
      });
  return n.setOutput(0, y);
}

static FailureOr<int64_t> getDepth(NodeContext &n) {
  int64_t depth = -1;
  if (isFloat(n.input(1).type)) {
    auto given = n.requireFloats(1, "depth");
    if (failed(given))
      return failure();
    if (given->size() == 1 && (*given)[0] >= 0 && (*given)[0] < maxGenerated)
      depth = int64_t((*given)[0]);
  } else {
    auto given = n.requireInts(1, "depth");
    if (failed(given))
      return failure();
    depth = given->size() == 1 ? given->front() : -1;
  }
  if (depth < 0 || depth > maxGenerated)
    return n.fail("depth must be one number between 0 and 2^26");
  return depth;
}

static LogicalResult importOneHot(NodeContext &n) {
  Tensor indices = n.input(0), values = n.input(2);
  auto depth = getDepth(n);
  if (failed(depth))
    return failure();
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), indices.rank() + 1);
  if (failed(axis))
    return failure();
  if (values.shape() != ArrayRef<int64_t>(2))
    return n.fail("values " + toString(values.shape()) +
                  " are not [off_value, on_value]");
  if (isFloat(indices.type))
    indices = n.build.cast(indices, ElemType::Int64);
  Shape shape(indices.shape());
  shape.insert(shape.begin() + *axis, *depth);
  Tensor y = n.build.generate(
      shape, values.type, [&](ScalarBuilder &s, ValueRange at) {
        SmallVector<Value> from(at);
        from.erase(from.begin() + *axis);
        Value hot = wrapIndex(s, loadIndex(s, indices, from), *depth);
        return s.select(s.eq(hot, at[*axis]), s.load(values, s.index(1)),
                        s.load(values, s.index(0)));
      });
  return n.setOutput(0, y);
}

//===----------------------------------------------------------------------===//
// Range, NonZero
//===----------------------------------------------------------------------===//

template <typename T>
static SmallVector<T> getRange(T start, T delta, int64_t count) {
  SmallVector<T> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(start + T(i) * delta);
  return values;
}

static LogicalResult importRange(NodeContext &n) {
  ElemType type = n.input(0).type;
  if (n.input(1).type != type || n.input(2).type != type)
    return n.fail("start, limit and delta differ in type");
  bool isNarrow = type == ElemType::Float16 || type == ElemType::BFloat16;
  if (!isNarrow)
    (void)n.hasAttr("stash_type"); // by ONNX, without effect here
  else if (failed(checkPrecision(n, "stash_type", type)))
    return failure();
  SmallVector<double, 3> bounds;
  for (size_t i : {0, 1, 2}) {
    auto value = n.requireFloats(i, i == 0   ? "start"
                                    : i == 1 ? "limit"
                                             : "delta");
    if (failed(value))
      return failure();
    if (value->size() != 1)
      return n.fail("start, limit and delta must have one element each");
    bounds.push_back(value->front());
  }
  double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  if (bounds[2] == 0 || !(count < double(maxGenerated)))
    return n.fail("delta is 0 or the range has more than 2^26 elements");
  int64_t extent = count > 0 ? int64_t(count) : 0;
  if (isFloat(type))
    return n.setOutput(
        0, n.build.constantFloats(type, extent,
                                  getRange(bounds[0], bounds[2], extent)));
  // Exact in 64 bits, even where a double is not.
  int64_t start = n.constantInts(0)->front(),
          delta = n.constantInts(2)->front();
  SmallVector<int64_t> values;
  for (int64_t i = 0; i < extent; ++i)
    values.push_back(int64_t(uint64_t(start) + uint64_t(i) * uint64_t(delta)));
  return n.setOutput(0, n.build.constantInts(type, extent, values));
}

static LogicalResult importNonZero(NodeContext &n) {
  Tensor x = n.input(0);
  SmallVector<bool> isSet;
  if (auto ints = n.constantInts(0)) {
    for (int64_t v : *ints)
      isSet.push_back(v != 0);
  } else if (auto floats = n.constantFloats(0)) {
    for (double v : *floats)
      isSet.push_back(v != 0);
  } else {
    return n.fail(
        "input is computed at run time, so the output's shape depends "
        "on data and engines have static shapes; use a mask with "
        "Where or Mul");
  }
  Shape strides = getStrides(x.shape());
  int64_t count = llvm::count(isSet, true);
  SmallVector<int64_t> positions;
  for (int64_t d = 0; d < x.rank(); ++d)
    for (auto [i, set] : llvm::enumerate(isSet))
      if (set)
        positions.push_back(int64_t(i) / strides[d] % x.dim(d));
  return n.setOutput(
      0, n.build.constantInts(ElemType::Int64, {x.rank(), count}, positions));
}

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

/// c[0] + c[1] cos(2 pi i / N) + c[2] cos(4 pi i / N).
static LogicalResult makeWindow(NodeContext &n, ArrayRef<double> c) {
  auto type = getTypeAttr(n, "output_datatype", ElemType::Float);
  auto size = n.requireInts(0, "size");
  if (failed(type) || failed(size))
    return failure();
  if (size->size() != 1 || (*size)[0] < 0 || (*size)[0] > maxGenerated)
    return n.fail("size must be one number between 0 and 2^26");
  int64_t extent = size->front();
  double period = double(n.intAttr("periodic", 1) ? extent : extent - 1);
  SmallVector<double> values;
  for (int64_t i = 0; i < extent; ++i) {
    double angle = period == 0 ? 0 : 2 * M_PI * double(i) / period;
    values.push_back(c[0] + c[1] * std::cos(angle) +
                     c[2] * std::cos(2 * angle));
  }
  return n.setOutput(0, n.build.constantFloats(*type, extent, values));
}

static LogicalResult importHann(NodeContext &n) {
  return makeWindow(n, {0.5, -0.5, 0});
}
static LogicalResult importHamming(NodeContext &n) {
  return makeWindow(n, {25.0 / 46, -21.0 / 46, 0});
}
static LogicalResult importBlackman(NodeContext &n) {
  return makeWindow(n, {0.42, -0.5, 0.08});
}

//===----------------------------------------------------------------------===//
// AffineGrid
//===----------------------------------------------------------------------===//

/// Homogeneous positions [points, rank + 1], x first, of a regular grid.
static SmallVector<double> getBasePositions(ArrayRef<int64_t> spatial,
                                            bool alignCorners) {
  SmallVector<double> positions;
  Shape strides = getStrides(spatial);
  for (int64_t i = 0; i < product(spatial); ++i) {
    for (int64_t d = int64_t(spatial.size()) - 1; d >= 0; --d) {
      int64_t at = i / strides[d] % spatial[d], extent = spatial[d];
      double step = 2.0 / double(alignCorners ? extent - 1 : extent);
      positions.push_back(alignCorners ? (extent == 1 ? -1 : -1 + at * step)
                                       : -1 + step / 2 + at * step);
    }
    positions.push_back(1);
  }
  return positions;
}

static LogicalResult importAffineGrid(NodeContext &n) {
  Tensor theta = n.input(0);
  auto size = n.requireInts(1, "size");
  if (failed(size))
    return failure();
  int64_t rank = int64_t(size->size()) - 2;
  if ((rank != 2 && rank != 3) || !isFloat(theta.type) ||
      theta.shape() != ArrayRef<int64_t>({size->front(), rank, rank + 1}) ||
      llvm::any_of(*size, [](int64_t d) { return d < 1; }) ||
      exceeds(ArrayRef(*size).drop_front(2), maxGenerated))
    return n.fail("theta " + toString(theta.shape()) + " and size " +
                  toString(*size) +
                  " do not fit: wanted [N, 2, 3] with [N, C, H, W] or "
                  "[N, 3, 4] with [N, C, D, H, W]");
  ArrayRef<int64_t> spatial = ArrayRef(*size).drop_front(2);
  Tensor base = n.build.constantFloats(
      theta.type, {product(spatial), rank + 1},
      getBasePositions(spatial, n.intAttr("align_corners", 0) != 0));
  Shape shape{size->front()};
  llvm::append_range(shape, spatial);
  shape.push_back(rank);
  Tensor y = n.build.matmul(base, theta, theta.type, /*transposeB=*/true);
  return n.setOutput(0, n.build.reshape(y, shape));
}

void nibble::onnx::registerGeneratorOps(OpRegistry &r) {
  r.add("", "Trilu", importTrilu);
  r.add("", "EyeLike", importEyeLike);
  r.add("", "OneHot", importOneHot, 3);
  r.add("", "Range", importRange, 3);
  r.add("", "NonZero", importNonZero);
  r.add("", "HannWindow", importHann);
  r.add("", "HammingWindow", importHamming);
  r.add("", "BlackmanWindow", importBlackman);
  r.add("", "AffineGrid", importAffineGrid, 2);
}
