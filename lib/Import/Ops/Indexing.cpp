// Index arithmetic and small conventions that operator importers share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <limits>

using namespace mlir;
using namespace nibble::onnx;

bool nibble::onnx::exceeds(ArrayRef<int64_t> factors, int64_t limit) {
  if (llvm::is_contained(factors, 0))
    return false;
  int64_t total = 1;
  for (int64_t factor : factors) {
    if (factor > limit / total)
      return true;
    total *= factor;
  }
  return false;
}

int64_t nibble::onnx::product(ArrayRef<int64_t> factors) {
  int64_t total = 1;
  for (int64_t factor : factors)
    total *= factor;
  return total;
}

ElemType nibble::onnx::getAccumulator(ElemType type) {
  return isFloat(type) && !isWideFloat(type) ? ElemType::Float : type;
}

double nibble::onnx::getLowest(ElemType type) {
  return isUnsigned(type) ? 0.0 : -std::numeric_limits<double>::infinity();
}

ScalarBuilder nibble::onnx::withInts(ScalarBuilder &s, ElemType type) {
  return ScalarBuilder(s.builder, s.loc, isUnsigned(type));
}

ScalarBuilder nibble::onnx::asSigned(ScalarBuilder &s) {
  return ScalarBuilder(s.builder, s.loc, /*unsignedInts=*/false);
}

Value nibble::onnx::loadWide(ScalarBuilder &s, Tensor tensor,
                             ValueRange indices) {
  Value value = s.load(tensor, indices);
  auto type = dyn_cast<FloatType>(value.getType());
  if (!type || type.getWidth() >= 32)
    return value;
  return s.convert(value, s.builder.getF32Type(), false, false);
}

Value nibble::onnx::loadIndex(ScalarBuilder &s, Tensor tensor,
                              ValueRange indices) {
  return withInts(s, tensor.type).toIndex(s.load(tensor, indices));
}

Value nibble::onnx::clampIndex(ScalarBuilder &s, Value index, int64_t extent) {
  ScalarBuilder i = asSigned(s);
  return i.min(i.max(index, i.index(0)), i.index(extent - 1));
}

Value nibble::onnx::wrapIndex(ScalarBuilder &s, Value index, int64_t extent) {
  ScalarBuilder i = asSigned(s);
  return i.select(i.lt(index, i.index(0)), i.add(index, i.index(extent)),
                  index);
}

Value nibble::onnx::inRange(ScalarBuilder &s, Value index, int64_t lo,
                            int64_t hi) {
  ScalarBuilder i = asSigned(s);
  return i.bitAnd(i.ge(index, i.index(lo)), i.lt(index, i.index(hi)));
}

Tensor nibble::onnx::take(GraphBuilder &build, Tensor x, int64_t axis,
                          ArrayRef<int64_t> indices) {
  Shape shape(x.shape());
  shape[axis] = indices.size();
  if (llvm::is_contained(shape, 0))
    return {build.empty(shape, x.type), x.type};
  Tensor table = build.shapeVector(indices);
  return build.generate(shape, x.type, [&](ScalarBuilder &s, ValueRange at) {
    SmallVector<Value> from(at);
    from[axis] = loadIndex(s, table, at[axis]);
    return s.load(x, from);
  });
}

Tensor nibble::onnx::gatherAffine(GraphBuilder &build, Tensor x, AffineMap map,
                                  ArrayRef<int64_t> shape) {
  SmallVector<AffineMap> maps{
      map, AffineMap::getMultiDimIdentityMap(shape.size(), map.getContext())};
  SmallVector<utils::IteratorType> loops(shape.size(),
                                         utils::IteratorType::parallel);
  auto op = linalg::GenericOp::create(
      build.builder, build.loc, build.tensorType(shape, x.type), x.value,
      build.empty(shape, x.type), maps, loops,
      [](OpBuilder &b, Location loc, ValueRange args) {
        linalg::YieldOp::create(b, loc, args[0]);
      });
  return {op.getResult(0), x.type};
}

LogicalResult nibble::onnx::checkIndices(NodeContext &n, size_t input,
                                         int64_t extent) {
  auto known = n.constantInts(input);
  if (!known)
    return success();
  for (int64_t index : *known)
    if (index < -extent || index >= extent)
      return n.fail("index " + Twine(index) + " is outside of [-" +
                    Twine(extent) + ", " + Twine(extent) +
                    "), the extent of the data along the axis");
  return success();
}

Shape nibble::onnx::getStrides(ArrayRef<int64_t> shape) {
  Shape strides(shape.size(), 1);
  for (int64_t d = int64_t(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}
