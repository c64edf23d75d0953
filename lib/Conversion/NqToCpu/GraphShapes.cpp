// Constants and data movement as tensors of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"
#include "LaneMath.h"

#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;

namespace nibble {
namespace cpu {

/// Larger constants are operands of kernels.
constexpr int64_t kLargestConstant = 64 * 1024;

Tensor &KernelGraph::addConstant(Type element, ArrayRef<int64_t> shape,
                                 ArrayRef<char> bytes) {
  Tensor &tensor = add(element, shape, {}, nullptr);
  constants.push_back({&tensor, SmallVector<char>(bytes)});
  return tensor;
}

LogicalResult KernelGraph::readConstant(arith::ConstantOp op) {
  auto type = dyn_cast<RankedTensorType>(op.getType());
  if (!type)
    return success(); // scalars are read by the bodies that use them
  auto attr = cast<ElementsAttr>(op.getValue());
  auto dense = dyn_cast<DenseElementsAttr>(attr);
  if (dense && dense.isSplat()) {
    auto value = dense.getSplatValue<TypedAttr>();
    define(op, {}, [value](Dag &dag, IndexRef) {
      if (auto number = dyn_cast<FloatAttr>(value))
        return dag.constant(computeType(number.getType()),
                            number.getValueAsDouble());
      return dag.constant(value);
    });
    return success();
  }
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = nq::getRawBytes(attr, scratch);
  if (failed(bytes))
    return op.emitError() << "constant without data";
  if (static_cast<int64_t>(bytes->size()) > kLargestConstant)
    return op.emitError() << "constant of " << bytes->size()
                          << " bytes inside of a kernel; pass it as an operand";
  plain[op] = &addConstant(type.getElementType(), type.getShape(), *bytes);
  return success();
}

LogicalResult KernelGraph::readConstant(nq::ConstantOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  if (nq::getLayout(type))
    return op.emitError() << "constant with a layout inside of a kernel; pass "
                             "it as an operand";
  auto data = [&](ElementsAttr attr, Tensor &tensor) -> LogicalResult {
    SmallVector<char> scratch;
    FailureOr<ArrayRef<char>> bytes = nq::getRawBytes(attr, scratch);
    if (failed(bytes))
      return op.emitError() << "constant without data";
    if (static_cast<int64_t>(bytes->size()) > kLargestConstant)
      return op.emitError()
             << "constant of " << bytes->size()
             << " bytes inside of a kernel; pass it as an operand";
    constants.push_back({&tensor, SmallVector<char>(*bytes)});
    return success();
  };
  if (!nq::getScaledElement(type))
    return data(op.getCodes(), define(op, {}, nullptr));
  ScaledTensor &result = addScaled(op);
  if (failed(data(op.getCodes(), *result.codes)) ||
      failed(data(*op.getScales(), *result.scales)))
    return failure();
  if (result.global && failed(data(*op.getGlobal(), *result.global)))
    return failure();
  return result.zeroPoints ? data(*op.getZeroPoints(), *result.zeroPoints)
                           : success();
}

LogicalResult KernelGraph::readSplat(tensor::SplatOp op) {
  auto constant = op.getInput().getDefiningOp<arith::ConstantOp>();
  if (!constant)
    return op.emitError() << "the value is not a constant";
  auto value = cast<TypedAttr>(constant.getValue());
  define(op, {}, [value](Dag &dag, IndexRef) {
    if (auto number = dyn_cast<FloatAttr>(value))
      return dag.constant(computeType(number.getType()),
                          number.getValueAsDouble());
    return dag.constant(value);
  });
  return success();
}

LogicalResult KernelGraph::readReshape(Value input, Value result) {
  Tensor *source = &plainOf(input);
  SmallVector<int64_t> shape(
      cast<RankedTensorType>(result.getType()).getShape());
  Tensor &tensor = define(result, {source}, [=](Dag &dag, IndexRef index) {
    Lin offset = linearize(index, shape);
    return dag.pull(*source, dag.delinearize(offset, source->shape));
  });
  tensor.view = true;
  return success();
}

LogicalResult KernelGraph::readExtract(tensor::ExtractSliceOp op) {
  Tensor *source = &plainOf(op.getSource());
  SmallVector<int64_t> offsets(op.getStaticOffsets()),
      strides(op.getStaticStrides());
  if (llvm::any_of(llvm::concat<int64_t>(offsets, strides),
                   ShapedType::isDynamic))
    return op.emitError() << "offsets and strides must be constants";
  llvm::SmallBitVector dropped = op.getDroppedDims();
  Tensor &tensor = define(op, {source}, [=](Dag &dag, IndexRef index) {
    Index at;
    unsigned next = 0;
    for (unsigned d = 0; d < offsets.size(); ++d)
      at.push_back(dropped[d] ? Lin(offsets[d])
                              : index[next++] * strides[d] + Lin(offsets[d]));
    return dag.pull(*source, at);
  });
  tensor.view = true;
  return success();
}

//===----------------------------------------------------------------------===//
// Rectangles inside of others
//===----------------------------------------------------------------------===//

/// `inner` on the rectangle at `offsets` of size `sizes`, `outer` around it.
/// Inside of `inner`, indices are relative to the rectangle.
static ElementFn rectangle(SmallVector<int64_t> offsets,
                           SmallVector<int64_t> sizes, ElementFn inner,
                           ElementFn outer) {
  return [=](Dag &dag, IndexRef index) {
    Index at;
    Node *condition = nullptr;
    for (auto [lin, offset, size] : llvm::zip(index, offsets, sizes)) {
      Lin relative = lin - Lin(offset);
      condition = both(dag, condition, dag.inside(relative, size));
      at.push_back(dag.clamp(relative, size));
    }
    Node *value = inner(dag, at);
    return condition ? choose(dag, condition, value, outer(dag, index)) : value;
  };
}

static Piece makePiece(SmallVector<int64_t> offsets, SmallVector<int64_t> sizes,
                       ElementFn compute) {
  SmallVector<int64_t> strides(offsets.size(), 1);
  return {std::move(offsets), std::move(sizes), std::move(strides),
          std::move(compute)};
}

/// The pieces of `shape` around a rectangle: per dimension one before and one
/// behind it.
static void addPiecesAround(Tensor &tensor, ArrayRef<int64_t> offsets,
                            ArrayRef<int64_t> sizes, const ElementFn &outer) {
  SmallVector<int64_t> from(tensor.shape.size(), 0), extent = tensor.shape;
  auto add = [&](size_t d, int64_t begin, int64_t end) {
    if (begin >= end)
      return;
    SmallVector<int64_t> at = from, size = extent;
    at[d] = begin;
    size[d] = end - begin;
    tensor.pieces.push_back(makePiece(at, size, [=](Dag &dag, IndexRef index) {
      Index shifted;
      for (auto [lin, offset] : llvm::zip(index, at))
        shifted.push_back(lin + Lin(offset));
      return outer(dag, shifted);
    }));
  };
  for (size_t d = 0; d < tensor.shape.size(); ++d) {
    add(d, 0, offsets[d]);
    add(d, offsets[d] + sizes[d], tensor.shape[d]);
    from[d] = offsets[d];
    extent[d] = sizes[d];
  }
}

LogicalResult KernelGraph::readInsert(tensor::InsertSliceOp op) {
  Tensor *source = &plainOf(op.getSource()), *dest = &plainOf(op.getDest());
  SmallVector<int64_t> offsets(op.getStaticOffsets()),
      sizes(op.getStaticSizes()), strides(op.getStaticStrides());
  if (llvm::any_of(llvm::concat<int64_t>(offsets, sizes, strides),
                   ShapedType::isDynamic))
    return op.emitError() << "offsets, sizes and strides must be constants";
  if (llvm::any_of(strides, [](int64_t stride) { return stride != 1; }))
    return op.emitError() << "strides other than 1 are not supported";
  llvm::SmallBitVector dropped = op.getDroppedDims();
  ElementFn inner = [=](Dag &dag, IndexRef index) {
    Index at;
    for (unsigned d = 0; d < index.size(); ++d)
      if (!dropped[d])
        at.push_back(index[d]);
    return dag.pull(*source, at);
  };
  ElementFn outer = [=](Dag &dag, IndexRef index) {
    return dag.pull(*dest, index);
  };
  Tensor &tensor =
      define(op, {source, dest}, rectangle(offsets, sizes, inner, outer));
  tensor.pieces.push_back(makePiece(offsets, sizes, inner));
  addPiecesAround(tensor, offsets, sizes, outer);
  return success();
}

LogicalResult KernelGraph::readPad(tensor::PadOp op) {
  Tensor *source = &plainOf(op.getSource());
  auto constant = dyn_cast_if_present<arith::ConstantOp>(
      op.getConstantPaddingValue()
          ? op.getConstantPaddingValue().getDefiningOp()
          : nullptr);
  if (!constant)
    return op.emitError() << "the padding is not a constant";
  SmallVector<int64_t> low(op.getStaticLow());
  if (llvm::any_of(low, [](int64_t x) { return x < 0; }) ||
      llvm::any_of(op.getStaticHigh(), [](int64_t x) { return x < 0; }))
    return op.emitError() << "low and high must be constants, not negative";
  auto value = cast<TypedAttr>(constant.getValue());
  ElementFn inner = [=](Dag &dag, IndexRef index) {
    return dag.pull(*source, index);
  };
  ElementFn outer = [value](Dag &dag, IndexRef) {
    if (auto number = dyn_cast<FloatAttr>(value))
      return dag.constant(computeType(number.getType()),
                          number.getValueAsDouble());
    return dag.constant(value);
  };
  Tensor &tensor =
      define(op, {source}, rectangle(low, source->shape, inner, outer));
  tensor.pieces.push_back(makePiece(low, source->shape, inner));
  addPiecesAround(tensor, low, source->shape, outer);
  return success();
}

LogicalResult KernelGraph::readConcat(tensor::ConcatOp op) {
  int64_t dim = op.getDim(), at = 0;
  SmallVector<Tensor *> inputs;
  SmallVector<int64_t> starts;
  for (Value input : op.getInputs()) {
    Tensor &tensor = plainOf(input);
    if (tensor.shape[dim] == 0)
      continue;
    inputs.push_back(&tensor);
    starts.push_back(at);
    at += tensor.shape[dim];
  }
  auto element = op.getType().getElementType();
  Tensor &result = define(op, inputs, [=](Dag &dag, IndexRef index) {
    Node *value = nullptr;
    for (auto [input, start] : llvm::zip(inputs, starts)) {
      Index shifted(index.begin(), index.end());
      Lin relative = index[dim] - Lin(start);
      Node *condition = dag.inside(relative, input->shape[dim]);
      shifted[dim] = dag.clamp(relative, input->shape[dim]);
      Node *here = dag.pull(*input, shifted);
      value = value ? choose(dag, condition, here, value) : here;
    }
    return value ? value : dag.constant(computeType(element), 0.0);
  });
  for (auto [input, start] : llvm::zip(inputs, starts)) {
    SmallVector<int64_t> offsets(result.shape.size(), 0);
    offsets[dim] = start;
    Tensor *source = input;
    result.pieces.push_back(
        makePiece(offsets, source->shape, [source](Dag &dag, IndexRef index) {
          return dag.pull(*source, index);
        }));
  }
  return success();
}

LogicalResult KernelGraph::readUpdate(nq::UpdateOp op) {
  auto old = dyn_cast<BlockArgument>(op.getInput());
  if (!old || !old.hasOneUse() || !op->hasOneUse() ||
      !op->user_begin()->hasTrait<OpTrait::IsTerminator>())
    return op.emitError()
           << "rows are written in place, so that only this op may know the "
              "old value, which must be an argument, and the new one must be a "
              "result of the kernel";
  Tensor *rows = &plainOf(op.getRows()), *position = &plainOf(op.getPosition());
  auto type = cast<RankedTensorType>(op.getType());
  unsigned axis = op.getAxis();
  Tensor &tensor =
      add(type.getElementType(), rows->shape, {rows, position},
          [rows](Dag &dag, IndexRef index) { return dag.pull(*rows, index); });
  tensor.pieces = rows->pieces;
  tensor.update = Tensor::Update{position, axis, type.getDimSize(axis)};
  plain[op.getResult()] = &tensor;
  return success();
}

LogicalResult KernelGraph::readReformat(nq::ReformatOp op) {
  auto copy = [](Tensor &to, Tensor *from) {
    to.sources = {from};
    to.compute = [from](Dag &dag, IndexRef index) {
      return dag.pull(*from, index);
    };
    to.view = true;
  };
  if (!isScaled(op.getInput())) {
    copy(define(op, {}, nullptr), &plainOf(op.getInput()));
    return success();
  }
  addScaled(op);
  for (auto [to, from] : llvm::zip(partsOf(op), partsOf(op.getInput())))
    copy(*to, from);
  return success();
}

} // namespace cpu
} // namespace nibble
