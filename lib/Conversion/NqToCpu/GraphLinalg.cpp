// linalg ops with a body as tensors of a kernel: maps and reductions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BodyReader.h"
#include "KernelGraph.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace nibble {
namespace cpu {

/// For each loop, the result dimension that walks it, or -1 (folded). Failure
/// if a result dimension is not a loop (or the constant 0).
static FailureOr<SmallVector<int>> loopsOfResult(linalg::LinalgOp op,
                                                 AffineMap map) {
  SmallVector<int> dimOfLoop(op.getNumLoops(), -1);
  for (auto [i, expr] : llvm::enumerate(map.getResults())) {
    if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      if (constant.getValue() == 0)
        continue;
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (!dim || dimOfLoop[dim.getPosition()] >= 0)
      return op.emitError() << "result map " << AffineMapAttr::get(map)
                            << " is not a projected permutation";
    dimOfLoop[dim.getPosition()] = i;
  }
  return dimOfLoop;
}

/// Loop values for a result index and folded indices.
static Index loopIndex(ArrayRef<int> dimOfLoop, IndexRef index,
                       IndexRef folded) {
  Index loops;
  unsigned next = 0;
  for (int dim : dimOfLoop)
    loops.push_back(dim >= 0 ? index[dim] : folded[next++]);
  return loops;
}

static OperandTensors operandTensors(KernelGraph &graph, linalg::LinalgOp op) {
  OperandTensors tensors;
  auto note = [&](Value value) {
    if (isa<RankedTensorType>(value.getType()) && !graph.isScaled(value))
      tensors[value] = &graph.plainOf(value);
  };
  for (Value operand : op->getOperands())
    note(operand);
  op.getBlock()->walk(
      [&](tensor::ExtractOp extract) { note(extract.getTensor()); });
  return tensors;
}

/// The tensors that the body really reads, in a stable order.
static SmallVector<Tensor *> sourcesOf(linalg::LinalgOp op,
                                       const OperandTensors &tensors) {
  SmallVector<Tensor *> sources;
  for (OpOperand &operand : op->getOpOperands())
    if (Tensor *tensor = tensors.lookup(operand.get()))
      if (!op.getMatchingBlockArgument(&operand).use_empty())
        sources.push_back(tensor);
  op.getBlock()->walk([&](tensor::ExtractOp extract) {
    sources.push_back(tensors.lookup(extract.getTensor()));
  });
  return sources;
}

LogicalResult KernelGraph::readLinalg(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics())
    return op.emitError() << "is not on tensors";
  if (failed(checkBody(op)))
    return failure();
  SmallVector<Tensor *> sources = sourcesOf(op, operandTensors(*this, op));
  return op.getNumReductionLoops() ? readReduction(op, sources)
                                   : readMap(op, sources);
}

/// Whether a map reads one element and does nothing to it, and neighbours in
/// memory stay neighbours: a transpose of outer dimensions.
static bool isView(linalg::LinalgOp op, Value yielded, AffineMap resultMap) {
  auto argument = dyn_cast<BlockArgument>(yielded);
  if (!argument || argument.getOwner() != op.getBlock() ||
      op.getNumLoops() == 0 || !resultMap.isPermutation())
    return false;
  AffineMap map = op.getMatchingIndexingMap(op.getMatchingOpOperand(argument));
  return map.isPermutation() &&
         map.getResults().back() == resultMap.getResults().back();
}

LogicalResult KernelGraph::readMap(linalg::LinalgOp op,
                                   ArrayRef<Tensor *> sources) {
  OperandTensors tensors = operandTensors(*this, op);
  for (auto [i, result] : llvm::enumerate(op->getResults())) {
    AffineMap map = op.getIndexingMapMatchingResult(cast<OpResult>(result));
    auto dimOfLoop = loopsOfResult(op, map);
    if (failed(dimOfLoop))
      return failure();
    if (llvm::is_contained(*dimOfLoop, -1))
      return op.emitError()
             << "result " << i << " does not depend on every parallel loop";
    Value yielded = op.getBlock()->getTerminator()->getOperand(i);
    Type element = cast<RankedTensorType>(result.getType()).getElementType();
    Tensor &tensor = define(result, sources, [=](Dag &dag, IndexRef index) {
      Index loops = loopIndex(*dimOfLoop, index, {});
      BodyReader reader(dag, op, tensors, loops, {});
      return dag.roundTo(element, reader.read(yielded));
    });
    tensor.expensive = isExpensiveBody(op);
    tensor.view = isView(op, yielded, map);
  }
  return success();
}

/// The combination of accumulator `i` with something else, or nothing.
static std::optional<vector::CombiningKind>
combiningKind(linalg::LinalgOp op, unsigned i, Value &term) {
  using vector::CombiningKind;
  BlockArgument accumulator =
      op.getBlock()->getArgument(op.getNumDpsInputs() + i);
  Operation *combine =
      op.getBlock()->getTerminator()->getOperand(i).getDefiningOp();
  if (!combine || combine->getBlock() != op.getBlock() ||
      combine->getNumOperands() != 2 || !accumulator.hasOneUse() ||
      *accumulator.user_begin() != combine)
    return std::nullopt;
  term = combine->getOperand(combine->getOperand(0) == accumulator);
  return llvm::TypeSwitch<Operation *, std::optional<CombiningKind>>(combine)
      .Case<arith::AddFOp, arith::AddIOp>(
          [](auto) { return CombiningKind::ADD; })
      .Case<arith::MulFOp, arith::MulIOp>(
          [](auto) { return CombiningKind::MUL; })
      .Case<arith::MaximumFOp>([](auto) { return CombiningKind::MAXIMUMF; })
      .Case<arith::MinimumFOp>([](auto) { return CombiningKind::MINIMUMF; })
      .Case<arith::MaxNumFOp>([](auto) { return CombiningKind::MAXNUMF; })
      .Case<arith::MinNumFOp>([](auto) { return CombiningKind::MINNUMF; })
      .Case<arith::MaxSIOp>([](auto) { return CombiningKind::MAXSI; })
      .Case<arith::MaxUIOp>([](auto) { return CombiningKind::MAXUI; })
      .Case<arith::MinSIOp>([](auto) { return CombiningKind::MINSI; })
      .Case<arith::MinUIOp>([](auto) { return CombiningKind::MINUI; })
      .Case<arith::AndIOp>([](auto) { return CombiningKind::AND; })
      .Case<arith::OrIOp>([](auto) { return CombiningKind::OR; })
      .Case<arith::XOrIOp>([](auto) { return CombiningKind::XOR; })
      .Default([](auto) { return std::nullopt; });
}

LogicalResult KernelGraph::readReduction(linalg::LinalgOp op,
                                         ArrayRef<Tensor *> sources) {
  OperandTensors tensors = operandTensors(*this, op);
  AffineMap map =
      op.getIndexingMapMatchingResult(cast<OpResult>(op->getResult(0)));
  auto dimOfLoop = loopsOfResult(op, map);
  if (failed(dimOfLoop))
    return failure();
  auto reduction = std::make_shared<Reduction>();
  SmallVector<int64_t> extents = op.getStaticLoopRanges();
  auto iterators = op.getIteratorTypesArray();
  for (auto [loop, dim] : llvm::enumerate(*dimOfLoop)) {
    if (dim < 0)
      reduction->extents.push_back(extents[loop]);
    if ((dim < 0) != (iterators[loop] == utils::IteratorType::reduction))
      return op.emitError()
             << "parallel loop " << loop << " is not a dimension of the result";
  }
  reduction->bounds.resize(reduction->extents.size());

  SmallVector<Value> terms;
  for (auto [i, result] : llvm::enumerate(op->getResults())) {
    if (op.getIndexingMapMatchingResult(cast<OpResult>(result)) != map)
      return op.emitError() << "results have different maps";
    auto type = cast<RankedTensorType>(result.getType());
    reduction->types.push_back(computeType(type.getElementType()));
    if (auto kind = combiningKind(op, i, terms.emplace_back()))
      reduction->kinds.push_back(*kind);
    Tensor &tensor = define(result, sources, nullptr);
    tensor.reduction = reduction;
    reduction->results.push_back(&tensor);
  }
  if (reduction->kinds.size() != op->getNumResults())
    reduction->kinds.clear();
  for (Value init : op.getDpsInits())
    for (Value result : op->getResults())
      plainOf(result).sources.push_back(&plainOf(init));

  reduction->init = [=](Dag &dag, IndexRef index, unsigned i) {
    return dag.pull(*tensors.lookup(linalg::LinalgOp(op).getDpsInits()[i]),
                    index);
  };
  auto read = [=](Dag &dag, IndexRef index, IndexRef folded,
                  ArrayRef<Node *> accumulators, ArrayRef<Value> values) {
    Index loops = loopIndex(*dimOfLoop, index, folded);
    BodyReader reader(dag, op, tensors, loops, accumulators);
    NodeList nodes;
    for (Value value : values)
      nodes.push_back(reader.read(value));
    return nodes;
  };
  reduction->terms = [=](Dag &dag, IndexRef index, IndexRef folded) {
    return read(dag, index, folded, {}, terms);
  };
  SmallVector<Value> yielded(op.getBlock()->getTerminator()->getOperands());
  reduction->update = [=](Dag &dag, IndexRef index, IndexRef folded,
                          ArrayRef<Node *> accumulators) {
    return read(dag, index, folded, accumulators, yielded);
  };
  return success();
}

} // namespace cpu
} // namespace nibble
