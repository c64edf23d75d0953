// Ops that move elements: tensor.*, arith.constant, reshapes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

//===----------------------------------------------------------------------===//
// Strided copies
//===----------------------------------------------------------------------===//

/// A box of elements of a flat array.
struct Box {
  int64_t offset = 0;
  SmallVector<int64_t> strides;
};

static SmallVector<int64_t> rowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

/// The box at `offsets`, stepping by `steps`, of a tensor of `shape`.
static Box makeBox(ArrayRef<int64_t> shape, ArrayRef<int64_t> offsets,
                   ArrayRef<int64_t> steps) {
  Box box{0, rowMajorStrides(shape)};
  for (size_t d = 0; d < shape.size(); ++d) {
    box.offset += offsets[d] * box.strides[d];
    box.strides[d] *= steps[d];
  }
  return box;
}

/// Copies one run along the innermost dimension.
template <typename T>
static void copyRun(const RefTensor &from, int64_t begin, int64_t fromStride,
                    T *to, int64_t toStride, int64_t count,
                    std::vector<T> &scratch) {
  if (fromStride == 1 && toStride == 1)
    return from.read(begin, count, to);
  scratch.resize(count);
  if (fromStride == 1)
    from.read(begin, count, scratch.data());
  else
    for (int64_t i = 0; i < count; ++i)
      from.read(begin + i * fromStride, 1, &scratch[i]);
  for (int64_t i = 0; i < count; ++i)
    to[i * toStride] = scratch[i];
}

template <typename T>
static void copyBox(const RefTensor &from, const Box &fromBox, T *to,
                    const Box &toBox, ArrayRef<int64_t> sizes) {
  if (llvm::is_contained(sizes, 0))
    return;
  int64_t inner = sizes.empty() ? 1 : sizes.back();
  int64_t fromStride = sizes.empty() ? 1 : fromBox.strides.back();
  int64_t toStride = sizes.empty() ? 1 : toBox.strides.back();
  size_t outer = sizes.empty() ? 0 : sizes.size() - 1;
  SmallVector<int64_t> index(outer, 0);
  std::vector<T> scratch;
  for (;;) {
    int64_t begin = fromBox.offset, at = toBox.offset;
    for (size_t d = 0; d < outer; ++d) {
      begin += index[d] * fromBox.strides[d];
      at += index[d] * toBox.strides[d];
    }
    copyRun(from, begin, fromStride, to + at, toStride, inner, scratch);
    int64_t d = static_cast<int64_t>(outer) - 1;
    for (; d >= 0 && ++index[d] == sizes[d]; --d)
      index[d] = 0;
    if (d < 0)
      return;
  }
}

namespace {
/// A result under construction, of floats or of integers.
struct TensorBuilder {
  RankedTensorType type;
  Buffer<double> floats;
  Buffer<int64_t> ints;

  explicit TensorBuilder(RankedTensorType type) : type(type) {
    if (type.getElementType().isIntOrIndex())
      ints = allocate<int64_t>(type.getNumElements());
    else
      floats = allocate<double>(type.getNumElements());
  }
  void fill(const RefTensor &from) {
    if (ints)
      from.read(0, from.size(), ints.get());
    else
      from.read(0, from.size(), floats.get());
  }
  /// All elements take the value of a scalar.
  void fillWith(const RefTensor &scalar) {
    if (ints)
      std::fill_n(ints.get(), type.getNumElements(), scalar.intAt(0));
    else
      std::fill_n(floats.get(), type.getNumElements(), scalar.floatAt(0));
  }
  void copy(const RefTensor &from, const Box &fromBox, const Box &toBox,
            ArrayRef<int64_t> sizes) {
    if (ints)
      copyBox(from, fromBox, ints.get(), toBox, sizes);
    else
      copyBox(from, fromBox, floats.get(), toBox, sizes);
  }
  Results take() const {
    return {ints ? RefTensor::ints(type, ints)
                 : RefTensor::floats(type, floats)};
  }
};
} // namespace

/// Elements of scaled tensors have no place of their own: blocks share a scale.
static LogicalResult refuseScaled(const OpCall &call) {
  for (const RefTensor &operand : call.operands)
    if (operand.isScaled())
      return call.error() << "cannot move elements of scaled tensor "
                          << operand.getType() << "; dequantize it first";
  return success();
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

static FailureOr<Results> evalConstant(const OpCall &call) {
  auto op = cast<arith::ConstantOp>(call.op);
  RankedTensorType type = call.resultType();
  if (auto number = dyn_cast<FloatAttr>(op.getValue()))
    return Results{RefTensor::splat(type, number.getValueAsDouble())};
  if (auto integer = dyn_cast<IntegerAttr>(op.getValue())) {
    bool isBool = type.getElementType().isInteger(1);
    return Results{RefTensor::splat(
        type, isBool ? int64_t(integer.getValue().getBoolValue())
                     : integer.getValue().getSExtValue())};
  }
  auto elements = dyn_cast<ElementsAttr>(op.getValue());
  if (!elements)
    return call.error() << "value " << op.getValue() << " is not supported";
  auto tensor = RefTensor::fromAttr(elements, [&] { return call.error(); });
  if (failed(tensor))
    return failure();
  return Results{tensor->withType(type)};
}

static FailureOr<Results> evalEmpty(const OpCall &call) {
  return Results{RefTensor::undefined(call.resultType())};
}

static FailureOr<Results> evalSplat(const OpCall &call) {
  RankedTensorType type = call.resultType();
  const RefTensor &scalar = call.operands[0];
  return Results{scalar.isInteger()
                     ? RefTensor::splat(type, scalar.intAt(0))
                     : RefTensor::splat(type, scalar.floatAt(0))};
}

static FailureOr<Results> evalFromElements(const OpCall &call) {
  TensorBuilder builder(call.resultType());
  for (auto [i, scalar] : llvm::enumerate(call.operands))
    if (builder.ints)
      builder.ints[i] = scalar.intAt(0);
    else
      builder.floats[i] = scalar.floatAt(0);
  return builder.take();
}

static FailureOr<Results> evalExtract(const OpCall &call) {
  const RefTensor &tensor = call.operands[0];
  if (failed(refuseScaled(call)))
    return failure();
  int64_t offset = 0;
  for (auto [i, index] : llvm::enumerate(call.operands.drop_front())) {
    int64_t extent = tensor.getShape()[i], at = index.intAt(0);
    if (at < 0 || at >= extent)
      return call.error() << "index " << at << " of dimension " << i
                          << " is outside of " << tensor.getType();
    offset = offset * extent + at;
  }
  TensorBuilder builder(call.resultType());
  builder.copy(tensor, {offset, {}}, {}, {});
  return builder.take();
}

/// Same elements, other shape; element types are equal.
static FailureOr<Results> evalReshape(const OpCall &call) {
  RankedTensorType type = call.resultType();
  const RefTensor &input = call.operands[0];
  if (input.size() != type.getNumElements() ||
      input.getElementType() != type.getElementType())
    return call.error() << "cannot reshape " << input.getType() << " to "
                        << type;
  if (input.isScaled())
    return evalScaledMove(call);
  return Results{input.withType(type)};
}

/// Offsets, sizes and strides, which must be constants.
template <typename Op>
static LogicalResult checkStatic(const OpCall &call, Op op) {
  if (op.getOffsets().empty() && op.getSizes().empty() &&
      op.getStrides().empty())
    return success();
  return call.error() << "has offsets, sizes or strides that are not constant";
}

/// The box lies within the tensor.
static LogicalResult checkBounds(const OpCall &call, RankedTensorType type,
                                 ArrayRef<int64_t> offsets,
                                 ArrayRef<int64_t> sizes,
                                 ArrayRef<int64_t> strides) {
  for (auto [d, extent] : llvm::enumerate(type.getShape())) {
    int64_t last = offsets[d] + (sizes[d] - 1) * strides[d];
    if (sizes[d] > 0 &&
        (offsets[d] < 0 || offsets[d] >= extent || last < 0 || last >= extent))
      return call.error() << "slice [" << offsets[d] << ".." << last
                          << "] of dimension " << d << " leaves " << type;
  }
  return success();
}

static FailureOr<Results> evalExtractSlice(const OpCall &call) {
  auto op = cast<tensor::ExtractSliceOp>(call.op);
  const RefTensor &input = call.operands[0];
  if (failed(checkStatic(call, op)) ||
      failed(checkBounds(call, input.getType(), op.getStaticOffsets(),
                         op.getStaticSizes(), op.getStaticStrides())))
    return failure();
  if (input.isScaled())
    return evalScaledMove(call);
  TensorBuilder builder(call.resultType());
  ArrayRef<int64_t> sizes = op.getStaticSizes();
  builder.copy(
      input,
      makeBox(input.getShape(), op.getStaticOffsets(), op.getStaticStrides()),
      {0, rowMajorStrides(sizes)}, sizes);
  return builder.take();
}

static FailureOr<Results> evalInsertSlice(const OpCall &call) {
  auto op = cast<tensor::InsertSliceOp>(call.op);
  const RefTensor &source = call.operands[0], &dest = call.operands[1];
  if (failed(refuseScaled(call)) || failed(checkStatic(call, op)) ||
      failed(checkBounds(call, dest.getType(), op.getStaticOffsets(),
                         op.getStaticSizes(), op.getStaticStrides())))
    return failure();
  TensorBuilder builder(call.resultType());
  builder.fill(dest);
  ArrayRef<int64_t> sizes = op.getStaticSizes();
  builder.copy(
      source, {0, rowMajorStrides(sizes)},
      makeBox(dest.getShape(), op.getStaticOffsets(), op.getStaticStrides()),
      sizes);
  return builder.take();
}

/// Slices beyond the ends of the input are dropped.
static FailureOr<Results> evalUpdate(const OpCall &call) {
  if (failed(refuseScaled(call)))
    return failure();
  auto op = cast<nq::UpdateOp>(call.op);
  const RefTensor &input = call.operands[0], &rows = call.operands[2];
  int64_t axis = op.getAxis(), extent = input.getShape()[axis];
  int64_t count = rows.getShape()[axis];
  TensorBuilder builder(call.resultType());
  builder.fill(input);
  // Far out is as good as just out, and cannot overflow.
  int64_t position = std::clamp(call.operands[1].intAt(0), -count, extent);
  int64_t first = std::max<int64_t>(0, -position);
  SmallVector<int64_t> from(input.getRank(), 0), to(from),
      sizes(rows.getShape()), steps(input.getRank(), 1);
  from[axis] = first;
  to[axis] = position + first;
  sizes[axis] =
      std::max<int64_t>(0, std::min(count, extent - position) - first);
  builder.copy(rows, makeBox(rows.getShape(), from, steps),
               makeBox(input.getShape(), to, steps), sizes);
  return builder.take();
}

static FailureOr<Results> evalConcat(const OpCall &call) {
  if (call.operands[0].isScaled())
    return evalScaledMove(call);
  auto op = cast<tensor::ConcatOp>(call.op);
  TensorBuilder builder(call.resultType());
  SmallVector<int64_t> steps(builder.type.getRank(), 1),
      offsets(builder.type.getRank(), 0);
  for (const RefTensor &part : call.operands) {
    builder.copy(part, {0, rowMajorStrides(part.getShape())},
                 makeBox(builder.type.getShape(), offsets, steps),
                 part.getShape());
    offsets[op.getDim()] += part.getShape()[op.getDim()];
  }
  return builder.take();
}

/// The scalar that a pad region yields: a constant in it, or a value outside.
static FailureOr<RefTensor> getPadding(const OpCall &call) {
  auto yield =
      cast<tensor::YieldOp>(call.op->getRegion(0).front().getTerminator());
  Value value = yield.getValue();
  if (const RefTensor *outside = call.lookup(value))
    return *outside;
  RankedTensorType type = getTensorType(value);
  TypedAttr attr;
  if (!type || !matchPattern(value, m_Constant(&attr)))
    return call.error() << "pads with a value that is not constant";
  if (auto number = dyn_cast<FloatAttr>(attr))
    return RefTensor::splat(type, number.getValueAsDouble());
  if (auto integer = dyn_cast<IntegerAttr>(attr))
    return RefTensor::splat(type,
                            integer.getType().isInteger(1)
                                ? int64_t(integer.getValue().getBoolValue())
                                : integer.getValue().getSExtValue());
  return call.error() << "pads with " << attr << ", which is not a number";
}

/// Negative padding crops.
static FailureOr<Results> evalPad(const OpCall &call) {
  auto op = cast<tensor::PadOp>(call.op);
  const RefTensor &input = call.operands[0];
  if (failed(refuseScaled(call)))
    return failure();
  if (!op.getLow().empty() || !op.getHigh().empty())
    return call.error() << "has padding that is not constant";
  auto padding = getPadding(call);
  if (failed(padding))
    return failure();
  TensorBuilder builder(call.resultType());
  builder.fillWith(*padding);
  ArrayRef<int64_t> low = op.getStaticLow();
  SmallVector<int64_t> from, to, sizes, steps(low.size(), 1);
  for (size_t d = 0; d < low.size(); ++d) {
    from.push_back(std::max<int64_t>(0, -low[d]));
    to.push_back(std::max<int64_t>(0, low[d]));
    sizes.push_back(
        std::max<int64_t>(0, std::min(input.getShape()[d] - from[d],
                                      builder.type.getDimSize(d) - to[d])));
  }
  builder.copy(input, makeBox(input.getShape(), from, steps),
               makeBox(builder.type.getShape(), to, steps), sizes);
  return builder.take();
}

static FailureOr<Results> evalDim(const OpCall &call) {
  int64_t dim = call.operands[1].intAt(0);
  const RefTensor &input = call.operands[0];
  if (dim < 0 || dim >= input.getRank())
    return call.error() << "dimension " << dim << " is outside of "
                        << input.getType();
  return Results{RefTensor::splat(call.resultType(), input.getShape()[dim])};
}

void nibble::ref::addTensorEvals(EvalTable &table) {
  table["arith.constant"] = evalConstant;
  table["tensor.empty"] = evalEmpty;
  table["tensor.splat"] = evalSplat;
  table["tensor.from_elements"] = evalFromElements;
  table["tensor.extract"] = evalExtract;
  table["tensor.expand_shape"] = evalReshape;
  table["tensor.collapse_shape"] = evalReshape;
  table["tensor.reshape"] = evalReshape;
  table["tensor.cast"] = evalReshape;
  table["exec.alias"] = evalReshape;
  table["tensor.extract_slice"] = evalExtractSlice;
  table["tensor.insert_slice"] = evalInsertSlice;
  table["tensor.concat"] = evalConcat;
  table["nq.update"] = evalUpdate;
  table["tensor.pad"] = evalPad;
  table["tensor.dim"] = evalDim;
}
