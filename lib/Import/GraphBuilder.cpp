// Constants, elementwise ops and reductions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Import/GraphBuilder.h"
#include "TensorLoader.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

FailureOr<Shape>
nibble::onnx::broadcastShapes(ArrayRef<ArrayRef<int64_t>> shapes) {
  size_t rank = 0;
  for (ArrayRef<int64_t> shape : shapes)
    rank = std::max(rank, shape.size());
  Shape result(rank, 1);
  for (ArrayRef<int64_t> shape : shapes) {
    for (size_t i = 0; i < shape.size(); ++i) {
      int64_t &dim = result[rank - shape.size() + i];
      if (dim != 1 && shape[i] != 1 && dim != shape[i])
        return failure();
      dim = dim == 1 ? shape[i] : dim;
    }
  }
  return result;
}

std::string nibble::onnx::toString(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Type GraphBuilder::elementType(ElemType type) {
  return getMlirType(type, builder.getContext());
}

RankedTensorType GraphBuilder::tensorType(ArrayRef<int64_t> shape,
                                          ElemType type) {
  return RankedTensorType::get(shape, elementType(type));
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// Small data and splats are ordinary constants; the rest is held in resources.
Tensor GraphBuilder::constant(ElementsAttr attr, ElemType type) {
  auto tensor = llvm::cast<RankedTensorType>(attr.getType());
  if (isa<DenseElementsAttr>(attr))
    return {arith::ConstantOp::create(builder, loc, attr), type};
  return {nq::ConstantOp::create(builder, loc, tensor, attr, ElementsAttr(),
                                 ElementsAttr(), ElementsAttr()),
          type};
}

/// Encodes numbers as raw ONNX bytes of `type`.
static std::string encodeFloats(ElemType type, ArrayRef<double> values) {
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(type));
  std::string bytes(onnx::getRawBytes(type, values.size()), '\0');
  rt::encodeArray(format, values.data(), 0, values.size(), bytes.data());
  return bytes;
}

static std::string encodeInts(ElemType type, ArrayRef<int64_t> values) {
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(type));
  std::string bytes(onnx::getRawBytes(type, values.size()), '\0');
  for (size_t i = 0; i < values.size(); ++i)
    rt::storeCode(format, bytes.data(), i,
                  type == ElemType::Bool ? values[i] != 0 : values[i]);
  return bytes;
}

static ElementsAttr makeConstant(RankedTensorType type, ElemType elem,
                                 bool isSplat, StringRef bytes) {
  if (!isSplat)
    return makeElements(type.getContext(), elem, type.getShape(), bytes, "",
                        nullptr);
  auto one = cast<DenseElementsAttr>(
      makeElements(type.getContext(), elem, {}, bytes, "", nullptr));
  return DenseElementsAttr::get(type, one.getSplatValue<Attribute>());
}

Tensor GraphBuilder::constantInts(ElemType type, ArrayRef<int64_t> shape,
                                  ArrayRef<int64_t> values) {
  if (isFloat(type)) {
    SmallVector<double> floats(values.begin(), values.end());
    return constantFloats(type, shape, floats);
  }
  ElemType held = getHeldType(type);
  RankedTensorType tensor = tensorType(shape, held);
  return constant(
      makeConstant(tensor, held, values.size() == 1, encodeInts(held, values)),
      type);
}

Tensor GraphBuilder::constantFloats(ElemType type, ArrayRef<int64_t> shape,
                                    ArrayRef<double> values) {
  if (!isFloat(type)) {
    SmallVector<int64_t> ints(values.begin(), values.end());
    return constantInts(type, shape, ints);
  }
  RankedTensorType tensor = tensorType(shape, type);
  return constant(makeConstant(tensor, type, values.size() == 1,
                               encodeFloats(type, values)),
                  type);
}

Tensor GraphBuilder::splat(ElemType type, ArrayRef<int64_t> shape,
                           double value) {
  return constantFloats(type, shape, value);
}

Tensor GraphBuilder::shapeVector(ArrayRef<int64_t> values) {
  return constantInts(ElemType::Int64, int64_t(values.size()), values);
}

Value GraphBuilder::empty(ArrayRef<int64_t> shape, ElemType type) {
  return tensor::EmptyOp::create(builder, loc, shape, elementType(type));
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// Map from the loops of `result` to an operand that numpy broadcasts to it.
static AffineMap getBroadcastMap(ArrayRef<int64_t> operand,
                                 ArrayRef<int64_t> result, MLIRContext *ctx) {
  SmallVector<AffineExpr> exprs;
  size_t offset = result.size() - operand.size();
  for (size_t i = 0; i < operand.size(); ++i)
    exprs.push_back(operand[i] == result[offset + i]
                        ? getAffineDimExpr(offset + i, ctx)
                        : getAffineConstantExpr(0, ctx));
  return AffineMap::get(result.size(), 0, exprs, ctx);
}

static bool isNarrowFloat(Type type) {
  auto floatType = dyn_cast<FloatType>(type);
  return floatType && floatType.getWidth() < 32;
}

static Value widen(ScalarBuilder &s, Value value) {
  if (!isNarrowFloat(value.getType()))
    return value;
  return arith::ExtFOp::create(s.builder, s.loc, s.builder.getF32Type(), value);
}

/// One rounding to the declared result, if the body computed in f32.
static Value narrow(ScalarBuilder &s, Value value, Type type) {
  if (value.getType() == type || !isNarrowFloat(type))
    return value;
  return arith::TruncFOp::create(s.builder, s.loc, type, value);
}

static Tensor emitElementwise(GraphBuilder &build, ArrayRef<Tensor> inputs,
                              ElemType resultType, bool raw,
                              GraphBuilder::ScalarBody body) {
  SmallVector<ArrayRef<int64_t>> shapes;
  for (const Tensor &input : inputs)
    shapes.push_back(input.shape());
  Shape shape = *broadcastShapes(shapes);
  MLIRContext *ctx = build.builder.getContext();
  SmallVector<AffineMap> maps;
  SmallVector<Value> operands;
  for (const Tensor &input : inputs) {
    maps.push_back(getBroadcastMap(input.shape(), shape, ctx));
    operands.push_back(input.value);
  }
  maps.push_back(AffineMap::getMultiDimIdentityMap(shape.size(), ctx));
  SmallVector<utils::IteratorType> loops(shape.size(),
                                         utils::IteratorType::parallel);
  Type element = build.elementType(resultType);
  bool unsignedInts = isUnsigned(inputs.front().type);
  auto emitBody = [&](OpBuilder &b, Location l, ValueRange args) {
    ScalarBuilder s(b, l, unsignedInts);
    SmallVector<Value> scalars(args.drop_back());
    if (!raw)
      for (Value &scalar : scalars)
        scalar = widen(s, scalar);
    Value result = body(s, scalars);
    linalg::YieldOp::create(b, l, raw ? result : narrow(s, result, element));
  };
  auto op = linalg::GenericOp::create(
      build.builder, build.loc, build.tensorType(shape, resultType), operands,
      build.empty(shape, resultType), maps, loops, emitBody);
  return {op.getResult(0), resultType};
}

Tensor GraphBuilder::elementwise(ArrayRef<Tensor> inputs, ElemType resultType,
                                 ScalarBody body) {
  return emitElementwise(*this, inputs, resultType, /*raw=*/false, body);
}

Tensor GraphBuilder::elementwiseRaw(ArrayRef<Tensor> inputs,
                                    ElemType resultType, ScalarBody body) {
  return emitElementwise(*this, inputs, resultType, /*raw=*/true, body);
}

Tensor
GraphBuilder::unary(Tensor x,
                    llvm::function_ref<Value(ScalarBuilder &, Value)> body) {
  return elementwise(x, x.type, [&](ScalarBuilder &s, ValueRange args) {
    return body(s, args[0]);
  });
}

Tensor GraphBuilder::binary(
    Tensor a, Tensor b,
    llvm::function_ref<Value(ScalarBuilder &, Value, Value)> body) {
  return elementwise({a, b}, a.type, [&](ScalarBuilder &s, ValueRange args) {
    return body(s, args[0], args[1]);
  });
}

//===----------------------------------------------------------------------===//
// Reductions, gathers
//===----------------------------------------------------------------------===//

/// Tensor whose elements all are `init`, as the start of a reduction.
static Value fill(GraphBuilder &build, ArrayRef<int64_t> shape, ElemType type,
                  double init) {
  ScalarBuilder s(build.builder, build.loc, isUnsigned(type));
  Value scalar = s.constant(init, build.elementType(type));
  Value out = build.empty(shape, type);
  return linalg::FillOp::create(build.builder, build.loc, scalar, out)
      .getResult(0);
}

static SmallVector<utils::IteratorType> getLoops(size_t count,
                                                 int64_t parallel) {
  SmallVector<utils::IteratorType> loops(count, utils::IteratorType::reduction);
  std::fill(loops.begin(), loops.begin() + parallel,
            utils::IteratorType::parallel);
  return loops;
}

Tensor GraphBuilder::contract(ArrayRef<int64_t> space, int64_t parallel,
                              ArrayRef<Tensor> operands,
                              ArrayRef<AffineMap> operandMaps,
                              ElemType accumulator, double init,
                              ScalarBody body) {
  MLIRContext *ctx = builder.getContext();
  ArrayRef<int64_t> shape = space.take_front(parallel);
  SmallVector<AffineMap> maps(operandMaps);
  maps.push_back(AffineMap::getMinorIdentityMap(parallel, parallel, ctx));
  maps.back() = AffineMap::get(space.size(), 0, maps.back().getResults(), ctx);
  SmallVector<Value> inputs;
  for (const Tensor &operand : operands)
    inputs.push_back(operand.value);
  Type element = elementType(accumulator);
  auto emitBody = [&](OpBuilder &b, Location l, ValueRange args) {
    ScalarBuilder s(b, l, isUnsigned(accumulator));
    SmallVector<Value> scalars(args);
    for (size_t i = 0; i < operands.size(); ++i)
      scalars[i] = s.convert(args[i], element, isUnsigned(operands[i].type),
                             isUnsigned(accumulator));
    linalg::YieldOp::create(b, l, body(s, scalars));
  };
  auto op = linalg::GenericOp::create(
      builder, loc, tensorType(shape, accumulator), inputs,
      fill(*this, shape, accumulator, init), maps,
      getLoops(space.size(), parallel), emitBody);
  return {op.getResult(0), accumulator};
}

Tensor GraphBuilder::reduce(
    Tensor x, ArrayRef<int64_t> dims, bool keepDims, ElemType accumulator,
    double init,
    llvm::function_ref<Value(ScalarBuilder &, Value, Value)> body) {
  MLIRContext *ctx = builder.getContext();
  // Loops: kept dimensions first, then the reduced ones.
  SmallVector<int64_t> space, kept;
  SmallVector<AffineExpr> exprs(x.rank());
  for (bool reduced : {false, true})
    for (int64_t d = 0; d < x.rank(); ++d)
      if (llvm::is_contained(dims, d) == reduced) {
        exprs[d] = getAffineDimExpr(space.size(), ctx);
        space.push_back(x.dim(d));
      }
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (!llvm::is_contained(dims, d))
      kept.push_back(x.dim(d));
    else if (keepDims)
      kept.push_back(1);
  }
  Tensor result = contract(space, x.rank() - int64_t(dims.size()), x,
                           AffineMap::get(x.rank(), 0, exprs, ctx), accumulator,
                           init, [&](ScalarBuilder &s, ValueRange args) {
                             return body(s, args[1], args[0]);
                           });
  return reshape(result, kept);
}

static SmallVector<Value> getLoopIndices(OpBuilder &builder, Location loc,
                                         size_t count) {
  SmallVector<Value> indices;
  for (size_t i = 0; i < count; ++i)
    indices.push_back(linalg::IndexOp::create(builder, loc, i));
  return indices;
}

Tensor GraphBuilder::reduceLoops(
    ArrayRef<int64_t> space, int64_t parallel, ElemType accumulator,
    double init,
    llvm::function_ref<Value(ScalarBuilder &, ValueRange, Value)> body) {
  // The extents of the reduction loops come from an operand that nobody reads.
  MLIRContext *ctx = builder.getContext();
  SmallVector<AffineExpr> exprs;
  for (size_t i = parallel; i < space.size(); ++i)
    exprs.push_back(getAffineDimExpr(i, ctx));
  Tensor extents{empty(space.drop_front(parallel), accumulator), accumulator};
  return contract(
      space, parallel, extents, AffineMap::get(space.size(), 0, exprs, ctx),
      accumulator, init, [&](ScalarBuilder &s, ValueRange args) {
        return body(s, getLoopIndices(s.builder, s.loc, space.size()), args[1]);
      });
}

Tensor GraphBuilder::generate(ArrayRef<int64_t> shape, ElemType type,
                              ScalarBody body) {
  MLIRContext *ctx = builder.getContext();
  auto emitBody = [&](OpBuilder &b, Location l, ValueRange) {
    ScalarBuilder s(b, l, isUnsigned(type));
    linalg::YieldOp::create(b, l, body(s, getLoopIndices(b, l, shape.size())));
  };
  auto op = linalg::GenericOp::create(
      builder, loc, tensorType(shape, type), ValueRange(), empty(shape, type),
      AffineMap::getMultiDimIdentityMap(shape.size(), ctx),
      getLoops(shape.size(), shape.size()), emitBody);
  return {op.getResult(0), type};
}
