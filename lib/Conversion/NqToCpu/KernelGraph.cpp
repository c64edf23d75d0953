// Reads the ops of a kernel function; helpers shared by all readers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace nibble {
namespace cpu {

/// Storage type as it appears in plain tensors: integers lose their sign.
static Type plainStorage(nq::ScaledType type) {
  if (auto integer = dyn_cast<IntegerType>(type.getStorage()))
    return IntegerType::get(type.getContext(), integer.getWidth());
  return type.getStorage();
}

Tensor &KernelGraph::add(Type element, ArrayRef<int64_t> shape,
                         ArrayRef<Tensor *> sources, ElementFn compute) {
  Tensor &tensor = tensors.emplace_back();
  tensor.element = element;
  tensor.shape.assign(shape.begin(), shape.end());
  tensor.sources.assign(sources.begin(), sources.end());
  tensor.compute = std::move(compute);
  return tensor;
}

Tensor &KernelGraph::define(Value result, ArrayRef<Tensor *> sources,
                            ElementFn compute) {
  auto type = cast<RankedTensorType>(result.getType());
  Tensor &tensor =
      add(type.getElementType(), type.getShape(), sources, std::move(compute));
  tensor.layout = nq::getLayout(type);
  plain[result] = &tensor;
  return tensor;
}

ScaledTensor &KernelGraph::addScaled(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  auto element = cast<nq::ScaledType>(type.getElementType());
  ScaledTensor result;
  result.type = element;
  result.shape.assign(type.getShape().begin(), type.getShape().end());
  nq::LayoutAttr layout = nq::getLayout(type);
  SmallVector<int64_t> grid = element.getScaleGrid(type.getShape());
  result.codes = &add(plainStorage(element), type.getShape(), {}, nullptr);
  result.codes->layout = layout;
  result.scales = &add(element.getScale(), grid, {}, nullptr);
  if (layout)
    result.scales->layout = layout.getScales();
  if (element.getGlobal())
    result.global = &add(element.getGlobal(), {}, {}, nullptr);
  if (element.getZeroPoint()) {
    result.zeroPoints = &add(IntegerType::get(context, 8), grid, {}, nullptr);
    result.zeroPoints->layout = result.scales->layout;
  }
  return scaled[value] = result;
}

void KernelGraph::addArgument(Value value) {
  if (nq::getScaledElement(value.getType()))
    addScaled(value);
  else
    define(value, {}, nullptr);
}

SmallVector<Tensor *> KernelGraph::partsOf(Value value) {
  if (!isScaled(value))
    return {&plainOf(value)};
  ScaledTensor &tensor = scaledOf(value);
  SmallVector<Tensor *> parts{tensor.codes, tensor.scales};
  for (Tensor *part : {tensor.global, tensor.zeroPoints})
    if (part)
      parts.push_back(part);
  return parts;
}

Tensor &
KernelGraph::fold(Type element, ArrayRef<int64_t> shape,
                  ArrayRef<int64_t> extents, vector::CombiningKind kind,
                  ArrayRef<Tensor *> sources,
                  std::function<Node *(Dag &, IndexRef, IndexRef)> term) {
  Tensor &tensor = add(element, shape, sources, nullptr);
  auto reduction = std::make_shared<Reduction>();
  reduction->extents.assign(extents.begin(), extents.end());
  reduction->bounds.resize(extents.size());
  reduction->types = {element};
  reduction->results = {&tensor};
  reduction->kinds = {kind};
  double start = kind == vector::CombiningKind::MAXNUMF
                     ? -std::numeric_limits<double>::infinity()
                     : 0;
  reduction->init = [element, start](Dag &dag, IndexRef, unsigned) {
    return dag.constant(element, start);
  };
  reduction->terms = [term](Dag &dag, IndexRef index, IndexRef folded) {
    return NodeList{term(dag, index, folded)};
  };
  tensor.reduction = std::move(reduction);
  return tensor;
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

static LogicalResult checkScaledOperands(KernelGraph &graph, Operation &op) {
  StringRef dialect = op.getName().getDialectNamespace();
  if (dialect == "nq" || dialect == "func" || KernelGraph::isScaledMove(op))
    return success();
  for (Value operand : op.getOperands())
    if (graph.isScaled(operand))
      return op.emitError()
             << "'" << op.getName() << "' has a scaled operand of type "
             << operand.getType()
             << "; only nq ops and moves of elements take scaled tensors";
  return success();
}

static LogicalResult notInLoops(Operation *op) {
  return op->emitError() << "'" << op->getName()
                         << "' cannot be part of a loop kernel of the CPU "
                            "target";
}

LogicalResult KernelGraph::readOp(Operation &op) {
  if (failed(checkScaledOperands(*this, op)))
    return failure();
  if (isScaledMove(op))
    return readScaledMove(op);
  return llvm::TypeSwitch<Operation *, LogicalResult>(&op)
      .Case<func::ReturnOp, nq::YieldOp>([](auto) { return success(); })
      .Case<nq::MatmulOp, nq::AttentionOp>([&](auto product) {
        if (!takesProducts)
          return notInLoops(product);
        define(product, {}, nullptr);
        return success();
      })
      .Case<tensor::EmptyOp>([&](tensor::EmptyOp empty) {
        Type element = empty.getType().getElementType();
        if (nq::getScaledElement(empty.getType()))
          return readScaledEmpty(empty);
        define(empty, {}, [element](Dag &dag, IndexRef) {
          return dag.constant(computeType(element), 0.0);
        });
        return success();
      })
      .Case<arith::ConstantOp>([&](auto o) { return readConstant(o); })
      .Case<nq::ConstantOp>([&](auto o) { return readConstant(o); })
      .Case<tensor::SplatOp>([&](auto o) { return readSplat(o); })
      .Case<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::ReshapeOp,
            tensor::CastOp>([&](auto o) {
        return readReshape(o->getOperand(0), o->getResult(0));
      })
      .Case<tensor::ExtractSliceOp>([&](auto o) { return readExtract(o); })
      .Case<tensor::InsertSliceOp>([&](auto o) { return readInsert(o); })
      .Case<tensor::PadOp>([&](auto o) { return readPad(o); })
      .Case<tensor::ConcatOp>([&](auto o) { return readConcat(o); })
      .Case<linalg::SoftmaxOp>([&](auto o) { return readSoftmax(o); })
      .Case<linalg::LinalgOp>([&](auto o) { return readLinalg(o); })
      .Case<nq::UpdateOp>(
          [&](auto o) { return takesUpdates ? readUpdate(o) : notInLoops(o); })
      .Case<nq::ReformatOp>([&](auto o) { return readReformat(o); })
      .Case<nq::NormOp>([&](auto o) { return readNorm(o); })
      .Case<nq::StatisticsOp>([&](auto o) { return readStatistics(o); })
      .Case<nq::RopeOp>([&](auto o) { return readRope(o); })
      .Case<nq::QuantizeOp>([&](auto o) { return readQuantize(o); })
      .Case<nq::DequantizeOp>([&](auto o) { return readDequantize(o); })
      .Case<nq::CastOp>([&](auto o) { return readCast(o); })
      .Case<nq::AssembleOp>([&](auto o) { return readAssemble(o); })
      .Case<nq::CodesOp>([&](auto o) { return readCodes(o); })
      .Case<nq::ScalesOp>([&](auto o) { return readScales(o); })
      .Default([&](Operation *other) { return notInLoops(other); });
}

LogicalResult KernelGraph::read(func::FuncOp func) {
  if (!func.getBody().hasOneBlock())
    return func.emitError()
           << "kernel '" << func.getName() << "' must have one block";
  return read(func.getBody().front(), /*products=*/false);
}

LogicalResult KernelGraph::read(Block &body, bool products) {
  takesProducts = products;
  for (BlockArgument argument : body.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type || !type.hasStaticShape())
      return body.getParentOp()->emitError()
             << "argument " << argument.getArgNumber() << " has type "
             << argument.getType() << "; kernels take tensors of static shape";
    addArgument(argument);
  }
  for (Operation &op : body)
    if (failed(readOp(op)))
      return failure();
  return success();
}

} // namespace cpu
} // namespace nibble
