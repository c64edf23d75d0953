// Reads the ops of a kernel function; helpers shared by all readers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"
#include "LaneMath.h"

#include "nibble/Dialect/Quant/WordCode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
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

/// Element `at` (0 to 7) of a stored word.
static Value unmixElement(ImplicitLocOpBuilder &b, const nq::WordRecipe &recipe,
                          Lanes word, Lanes at) {
  auto shifted = [&](int left) {
    return left < 0 ? word >> -left : left ? word << left : word;
  };
  Lanes elements = word.c(0);
  for (auto [i, shifts] : llvm::enumerate(recipe.shifts)) {
    Lanes pair = shifted(*shifts[0]);
    if (shifts[1])
      pair = pair.wrap(arith::XOrIOp::create(b, pair.v, shifted(*shifts[1]).v));
    pair = pair & int64_t(recipe.mask);
    elements = elements | ((((pair >> 12) & 0x00080008) |
                            ((pair >> recipe.magnitude) & 0x00070007))
                           << int64_t(4 * i));
  }
  Value code = arith::ShRUIOp::create(b, elements.v, (at << 2).v).getResult();
  return (elements.wrap(code) & 15).resize(8).v;
}

/// Codes whose bits do not lie together (WordCode.h), from the words.
static Node *pullMixed(Dag &dag, const Tensor &codes, IndexRef index) {
  Type i32 = IntegerType::get(dag.context, 32);
  Lin offset = layoutOffset(dag, codes.layout, index, codes.shape);
  Lin word = dag.floorDiv(offset, 8);
  const nq::WordRecipe &recipe =
      nq::getWordRecipe(nq::getWordCode(codes.layout));
  Node *bits = dag.compute(
      IntegerType::get(dag.context, 8),
      {dag.pull(*codes.sources[0], {word}), dag.index(offset - word * 8, i32)},
      [&recipe](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) {
        return unmixElement(b, recipe, {&b, values[0]}, {&b, values[1]});
      });
  return dag.decode(codes.element, bits);
}

static bool isMixed(const Tensor &codes) {
  return nq::getWordCode(codes.layout) != nq::WordCode::Plain;
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
  if (isMixed(*result.codes)) {
    Tensor *codes = result.codes;
    Type i32 = IntegerType::get(context, 32);
    int64_t words = layout.getStorageSize(type.getShape()) / 8;
    codes->sources = {&add(i32, {words}, {}, nullptr)};
    codes->compute = [codes](Dag &dag, IndexRef index) {
      return pullMixed(dag, *codes, index);
    };
  }
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
  Tensor *codes = tensor.codes;
  SmallVector<Tensor *> parts{isMixed(*codes) ? codes->sources[0] : codes,
                              tensor.scales};
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
                         << "' cannot be part of a loop kernel";
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
      .Case<nq::WidenOp>([&](auto o) { return readWiden(o); })
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
