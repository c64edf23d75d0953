// Shape, layout and type changes; matrix products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TensorLoader.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Import/GraphBuilder.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

/// Data of a value that is a constant op, or null.
static ElementsAttr getConstantData(Value value) {
  if (auto op = value.getDefiningOp<arith::ConstantOp>())
    return dyn_cast<ElementsAttr>(op.getValue());
  auto op = value.getDefiningOp<nq::ConstantOp>();
  return op && !op.getScales() ? op.getCodes() : ElementsAttr();
}

//===----------------------------------------------------------------------===//
// Reshape
//===----------------------------------------------------------------------===//

static Value collapse(GraphBuilder &build, Value x, RankedTensorType type,
                      ArrayRef<ReassociationIndices> groups) {
  return tensor::CollapseShapeOp::create(build.builder, build.loc, type, x,
                                         groups);
}

static Value expand(GraphBuilder &build, Value x, RankedTensorType type,
                    ArrayRef<ReassociationIndices> groups) {
  return tensor::ExpandShapeOp::create(build.builder, build.loc, type, x,
                                       groups);
}

static SmallVector<ReassociationIndices> getOneGroup(int64_t rank) {
  if (rank == 0)
    return {};
  return {llvm::to_vector<2>(llvm::seq<int64_t>(0, rank))};
}

Tensor GraphBuilder::reshape(Tensor x, ArrayRef<int64_t> shape) {
  if (x.shape() == shape)
    return x;
  if (ElementsAttr data = getConstantData(x.value))
    return constant(retype(data, x.type, shape), x.type);
  RankedTensorType from = x.getType(), to = tensorType(shape, x.type);
  auto groups = getReassociationIndicesForReshape(from, to);
  if (groups && from.getRank() > to.getRank())
    return {collapse(*this, x.value, to, *groups), x.type};
  if (groups && from.getRank() < to.getRank())
    return {expand(*this, x.value, to, *groups), x.type};
  // By way of one dimension, or of none if either side has none.
  Value flat = x.value;
  bool scalar = to.getRank() == 0 || from.getRank() == 0;
  auto middle = scalar ? tensorType({}, x.type)
                       : tensorType({from.getNumElements()}, x.type);
  if (from != middle)
    flat = collapse(*this, flat, middle,
                    scalar ? SmallVector<ReassociationIndices>()
                           : getOneGroup(from.getRank()));
  if (middle != to)
    flat = expand(*this, flat, to,
                  scalar ? SmallVector<ReassociationIndices>()
                         : getOneGroup(to.getRank()));
  return {flat, x.type};
}

//===----------------------------------------------------------------------===//
// Data movement
//===----------------------------------------------------------------------===//

Tensor GraphBuilder::transpose(Tensor x, ArrayRef<int64_t> perm) {
  if (llvm::equal(perm, llvm::seq<int64_t>(0, x.rank())))
    return x;
  Shape shape;
  for (int64_t p : perm)
    shape.push_back(x.dim(p));
  auto op = linalg::TransposeOp::create(builder, loc, x.value,
                                        empty(shape, x.type), perm);
  return {op->getResult(0), x.type};
}

Tensor GraphBuilder::broadcastTo(Tensor x, ArrayRef<int64_t> shape) {
  if (x.shape() == shape)
    return x;
  if (auto dense =
          dyn_cast_if_present<DenseElementsAttr>(getConstantData(x.value));
      dense && dense.isSplat())
    return constant(dense.resizeSplat(tensorType(shape, x.type)), x.type);
  // linalg.broadcast adds dimensions: drop those that are stretched first.
  Shape kept;
  SmallVector<int64_t> added;
  int64_t offset = int64_t(shape.size()) - x.rank();
  for (int64_t d = 0; d < int64_t(shape.size()); ++d) {
    if (d >= offset && x.dim(d - offset) == shape[d])
      kept.push_back(shape[d]);
    else
      added.push_back(d);
  }
  Tensor source = reshape(x, kept);
  auto op = linalg::BroadcastOp::create(builder, loc, source.value,
                                        empty(shape, x.type), added);
  return {op->getResult(0), x.type};
}

/// Slices with negative strides read backwards through a gather.
static Tensor sliceBackwards(GraphBuilder &build, Tensor x,
                             ArrayRef<int64_t> starts, ArrayRef<int64_t> sizes,
                             ArrayRef<int64_t> strides) {
  return build.generate(
      sizes, x.type, [&](ScalarBuilder &s, ValueRange indices) {
        SmallVector<Value> from;
        for (auto [d, index] : llvm::enumerate(indices))
          from.push_back(
              s.add(s.index(starts[d]), s.mul(index, s.index(strides[d]))));
        return s.load(x, from);
      });
}

Tensor GraphBuilder::slice(Tensor x, ArrayRef<int64_t> starts,
                           ArrayRef<int64_t> sizes, ArrayRef<int64_t> strides) {
  bool ones = llvm::all_of(strides, [](int64_t s) { return s == 1; });
  if (ones && x.shape() == sizes)
    return x;
  if (llvm::is_contained(sizes, 0))
    return {empty(sizes, x.type), x.type};
  if (llvm::any_of(strides, [](int64_t s) { return s < 0; }))
    return sliceBackwards(*this, x, starts, sizes, strides);
  SmallVector<OpFoldResult> offsetAttrs, sizeAttrs, strideAttrs;
  for (size_t d = 0; d < sizes.size(); ++d) {
    offsetAttrs.push_back(builder.getIndexAttr(starts[d]));
    sizeAttrs.push_back(builder.getIndexAttr(sizes[d]));
    // One element: any stride will do, and 1 is always in bounds.
    strideAttrs.push_back(builder.getIndexAttr(sizes[d] == 1 ? 1 : strides[d]));
  }
  return {tensor::ExtractSliceOp::create(builder, loc,
                                         tensorType(sizes, x.type), x.value,
                                         offsetAttrs, sizeAttrs, strideAttrs),
          x.type};
}

Tensor GraphBuilder::concat(ArrayRef<Tensor> inputs, int64_t axis) {
  Shape shape(inputs.front().shape());
  shape[axis] = 0;
  SmallVector<Value> values;
  for (const Tensor &input : inputs) {
    shape[axis] += input.dim(axis);
    if (input.dim(axis) != 0)
      values.push_back(input.value);
  }
  ElemType type = inputs.front().type;
  if (values.size() == 1)
    return {values.front(), type};
  if (values.empty())
    return {empty(shape, type), type};
  return {tensor::ConcatOp::create(builder, loc, tensorType(shape, type), axis,
                                   values),
          type};
}

Tensor GraphBuilder::pad(Tensor x, ArrayRef<int64_t> low,
                         ArrayRef<int64_t> high, double value) {
  Shape starts, sizes, result;
  SmallVector<OpFoldResult> lowAttrs, highAttrs;
  for (int64_t d = 0; d < x.rank(); ++d) {
    starts.push_back(std::max<int64_t>(0, -low[d]));
    int64_t crop = std::max<int64_t>(0, -high[d]);
    sizes.push_back(std::max<int64_t>(0, x.dim(d) - starts[d] - crop));
    result.push_back(x.dim(d) + low[d] + high[d]);
    lowAttrs.push_back(builder.getIndexAttr(std::max<int64_t>(0, low[d])));
    highAttrs.push_back(builder.getIndexAttr(std::max<int64_t>(0, high[d])));
  }
  Shape ones(x.rank(), 1);
  Tensor cropped = slice(x, starts, sizes, ones);
  if (cropped.shape() == ArrayRef<int64_t>(result))
    return cropped;
  if (cropped.numElements() == 0)
    return splat(x.type, result, value);
  ScalarBuilder s(builder, loc, isUnsigned(x.type));
  Value scalar = s.constant(value, x.elementType());
  auto op = tensor::PadOp::create(builder, loc, tensorType(result, x.type),
                                  cropped.value, lowAttrs, highAttrs, scalar);
  return {op.getResult(), x.type};
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

static Tensor castFloats(GraphBuilder &build, Tensor x, ElemType type,
                         bool saturate, StringRef roundMode) {
  StringAttr mode;
  if (type == ElemType::Float8E8M0)
    mode = build.builder.getStringAttr(roundMode);
  return {nq::CastOp::create(build.builder, build.loc,
                             build.tensorType(x.shape(), type), x.value,
                             build.builder.getBoolAttr(saturate), mode),
          type};
}

/// True for floats that scalar arithmetic can produce.
static bool isArithmeticFloat(ElemType type) {
  return isWideFloat(type) || type == ElemType::Float16 ||
         type == ElemType::BFloat16;
}

/// The low two bits of bytes, extended to bytes again.
static Tensor keepTwoBits(GraphBuilder &build, Tensor x, ElemType type) {
  return build.elementwiseRaw(
      x, type, [&](ScalarBuilder &s, ValueRange args) -> Value {
        Value mask = s.constantInt(3, args[0].getType());
        if (isUnsigned(type))
          return s.bitAnd(args[0], mask);
        Value by = s.constantInt(6, args[0].getType());
        Value up = arith::ShLIOp::create(s.builder, s.loc, args[0], by);
        return arith::ShRSIOp::create(s.builder, s.loc, up, by);
      });
}

Tensor GraphBuilder::cast(Tensor x, ElemType type, bool saturate,
                          StringRef roundMode) {
  if (x.type == type)
    return x;
  if (getHeldType(type) != type)
    return keepTwoBits(*this, cast(x, getHeldType(type)), type);
  if (isFloat(x.type) && isFloat(type))
    return castFloats(*this, x, type, saturate, roundMode);
  if (isFloat(type) && !isArithmeticFloat(type))
    return castFloats(*this, cast(x, ElemType::Float), type, saturate,
                      roundMode);
  if (x.elementType() == elementType(type))
    return {x.value, type};
  // Out of range is undefined in ONNX; do as numpy does, which keeps low bits.
  if (isFloat(x.type) && isInteger(type) && getBitWidth(type) < 32)
    return cast(cast(x, ElemType::Int32), type);
  Type to = elementType(type);
  return elementwise(x, type, [&](ScalarBuilder &s, ValueRange args) {
    return s.convert(args[0], to, isUnsigned(x.type), isUnsigned(type));
  });
}

Tensor GraphBuilder::bitcast(Tensor x, ElemType type) {
  if (x.elementType() == elementType(type))
    return {x.value, type};
  if (ElementsAttr data = getConstantData(x.value))
    return constant(retype(data, type, x.shape()), type);
  Type to = elementType(type);
  return elementwiseRaw(x, type, [&](ScalarBuilder &s, ValueRange args) {
    return arith::BitcastOp::create(s.builder, s.loc, to, args[0]);
  });
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Operands as matrices: a vector is a row on the left, a column on the right.
static Shape asMatrix(ArrayRef<int64_t> shape, bool isLeft) {
  Shape result(shape);
  if (result.size() == 1)
    result.insert(isLeft ? result.begin() : result.end(), 1);
  return result;
}

FailureOr<Shape> GraphBuilder::matmulShape(ArrayRef<int64_t> a,
                                           ArrayRef<int64_t> b) {
  if (a.empty() || b.empty())
    return failure();
  auto shape = nq::MatmulOp::inferShape(asMatrix(a, true), asMatrix(b, false),
                                        /*transposeB=*/false);
  if (failed(shape))
    return failure();
  Shape result(*shape);
  if (b.size() == 1)
    result.pop_back();
  if (a.size() == 1)
    result.erase(result.end() - (b.size() == 1 ? 1 : 2));
  return result;
}

/// Integer product: exact in the accumulator type, which wraps.
static Tensor contractInts(GraphBuilder &build, Tensor a, Tensor b,
                           ArrayRef<int64_t> shape, ElemType type,
                           bool transposeB) {
  MLIRContext *ctx = build.builder.getContext();
  int64_t rank = shape.size(), k = rank;
  SmallVector<int64_t> space(shape);
  space.push_back(a.shape().back());
  auto map = [&](Tensor x, int64_t row, int64_t column) {
    SmallVector<AffineExpr> exprs;
    for (int64_t d = 0; d + 2 < x.rank(); ++d)
      exprs.push_back(x.dim(d) == 1
                          ? getAffineConstantExpr(0, ctx)
                          : getAffineDimExpr(rank - x.rank() + d, ctx));
    exprs.push_back(getAffineDimExpr(row, ctx));
    exprs.push_back(getAffineDimExpr(column, ctx));
    return AffineMap::get(rank + 1, 0, exprs, ctx);
  };
  AffineMap right = transposeB ? map(b, rank - 1, k) : map(b, k, rank - 1);
  return build.contract(space, rank, {a, b}, {map(a, rank - 2, k), right}, type,
                        0, [](ScalarBuilder &s, ValueRange args) {
                          return s.add(args[2], s.mul(args[0], args[1]));
                        });
}

Tensor GraphBuilder::matmul(Tensor a, Tensor b, ElemType resultType,
                            bool transposeB) {
  bool leftVector = a.rank() == 1, rightVector = b.rank() == 1;
  a = reshape(a, asMatrix(a.shape(), true));
  b = reshape(b, asMatrix(b.shape(), false));
  transposeB &= !rightVector;
  Shape shape = *nq::MatmulOp::inferShape(a.shape(), b.shape(), transposeB);
  Tensor result;
  if (isFloat(resultType))
    result = {nq::MatmulOp::create(builder, loc, tensorType(shape, resultType),
                                   a.value, b.value, transposeB),
              resultType};
  else
    result = contractInts(*this, a, b, shape, resultType, transposeB);
  if (rightVector)
    shape.pop_back();
  if (leftVector)
    shape.erase(shape.end() - (rightVector ? 1 : 2));
  return reshape(result, shape);
}
