// Moves of elements on scaled tensors: codes move as elements, scales and zero
// points as elements of the grid.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"
#include "LaneMath.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace nibble {
namespace cpu {

bool KernelGraph::isScaledMove(Operation &op) {
  return isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::ExpandShapeOp,
             tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::ConcatOp>(
             op) &&
         nq::getScaledElement(op.getResult(0).getType());
}

/// Only as the destination of a move, which overwrites all of it.
LogicalResult KernelGraph::readScaledEmpty(tensor::EmptyOp op) {
  for (OpOperand &use : op->getUses()) {
    auto dest = dyn_cast<DestinationStyleOpInterface>(use.getOwner());
    if (!dest || !dest.isDpsInit(&use) || !isScaledMove(*use.getOwner()))
      return op.emitError() << "scaled tensor.empty is read by '"
                            << use.getOwner()->getName() << "'";
  }
  addScaled(op);
  return success();
}

//===----------------------------------------------------------------------===//
// One part: codes, scales or zero points
//===----------------------------------------------------------------------===//

/// `to` reads `from` at where(index).
static void pullFrom(Tensor &to, Tensor *from, bool view,
                     std::function<Index(Dag &, IndexRef)> where) {
  to.sources = {from};
  to.compute = [from, where](Dag &dag, IndexRef index) {
    return dag.pull(*from, where(dag, index));
  };
  to.view = view;
}

static void transposePart(Tensor &to, Tensor *from, ArrayRef<int64_t> perm) {
  SmallVector<int64_t> order(perm);
  pullFrom(to, from, /*view=*/false, [order](Dag &, IndexRef index) {
    Index at(order.size());
    for (auto [lin, d] : llvm::zip(index, order))
      at[d] = lin;
    return at;
  });
}

static void broadcastPart(Tensor &to, Tensor *from, ArrayRef<int64_t> added) {
  SmallVector<int64_t> dims(added);
  pullFrom(to, from, /*view=*/false, [dims](Dag &, IndexRef index) {
    Index at;
    for (auto [d, lin] : llvm::enumerate(index))
      if (!llvm::is_contained(dims, static_cast<int64_t>(d)))
        at.push_back(lin);
    return at;
  });
}

static void reshapePart(Tensor &to, Tensor *from) {
  SmallVector<int64_t> shape = to.shape;
  pullFrom(to, from, /*view=*/true, [shape, from](Dag &dag, IndexRef index) {
    return dag.delinearize(linearize(index, shape), from->shape);
  });
}

/// `block` has the extents of blocks of the source (1 for codes). Slices start
/// at blocks, and step over whole elements only.
static void slicePart(Tensor &to, Tensor *from, tensor::ExtractSliceOp op,
                      ArrayRef<int64_t> block) {
  SmallVector<int64_t> offsets(op.getStaticOffsets()),
      strides(op.getStaticStrides()), extents(block);
  llvm::SmallBitVector dropped = op.getDroppedDims();
  pullFrom(to, from, /*view=*/true, [=](Dag &, IndexRef index) {
    Index at;
    unsigned next = 0;
    for (unsigned d = 0; d < offsets.size(); ++d) {
      Lin lin = dropped[d] ? Lin() : index[next++];
      if (from->shape[d] == 1)
        at.push_back(Lin());
      else
        at.push_back(lin * (extents[d] == 1 ? strides[d] : 1) +
                     Lin(offsets[d] / extents[d]));
    }
    return at;
  });
}

static void concatPart(Tensor &to, ArrayRef<Tensor *> from, int64_t dim) {
  SmallVector<Tensor *> inputs;
  SmallVector<int64_t> starts;
  int64_t at = 0;
  for (Tensor *input : from) {
    if (input->shape[dim] == 0)
      continue;
    inputs.push_back(input);
    starts.push_back(at);
    at += input->shape[dim];
  }
  to.sources = inputs;
  to.compute = [inputs, starts, dim](Dag &dag, IndexRef index) {
    Node *value = nullptr;
    for (auto [input, start] : llvm::zip(inputs, starts)) {
      Index shifted(index.begin(), index.end());
      Lin relative = index[dim] - Lin(start);
      Node *condition = dag.inside(relative, input->shape[dim]);
      shifted[dim] = dag.clamp(relative, input->shape[dim]);
      Node *here = dag.pull(*input, shifted);
      value = value ? choose(dag, condition, here, value) : here;
    }
    return value;
  };
}

/// One number for the whole tensor, which all inputs share.
static void copyPart(Tensor &to, Tensor *from) {
  pullFrom(to, from, /*view=*/true,
           [from](Dag &, IndexRef) { return Index(from->shape.size()); });
}

/// `block` has the extents of blocks of the source along its dimensions, 1 for
/// codes.
static void movePart(Tensor &to, ArrayRef<Tensor *> from, Operation &op,
                     ArrayRef<int64_t> block) {
  llvm::TypeSwitch<Operation *>(&op)
      .Case<linalg::TransposeOp>(
          [&](auto o) { transposePart(to, from[0], o.getPermutation()); })
      .Case<linalg::BroadcastOp>(
          [&](auto o) { broadcastPart(to, from[0], o.getDimensions()); })
      .Case<tensor::ExtractSliceOp>(
          [&](auto o) { slicePart(to, from[0], o, block); })
      .Case<tensor::ConcatOp>([&](auto o) { concatPart(to, from, o.getDim()); })
      .Default([&](Operation *) { reshapePart(to, from[0]); });
}

LogicalResult KernelGraph::readScaledMove(Operation &op) {
  Value result = op.getResult(0);
  auto first = cast<RankedTensorType>(op.getOperand(0).getType());
  nq::ScaledType type = nq::getScaledElement(result.getType());
  SmallVector<int64_t> block = type.getBlockFor(first.getShape()),
                       single(first.getRank(), 1);
  addScaled(result);
  SmallVector<Tensor *> parts = partsOf(result);
  unsigned inputs = isa<tensor::ConcatOp>(op) ? op.getNumOperands() : 1;
  for (unsigned p = 0; p < parts.size(); ++p) {
    SmallVector<Tensor *> from;
    for (Value operand : op.getOperands().take_front(inputs))
      from.push_back(partsOf(operand)[p]);
    bool isCodes = p == 0;
    if (!isCodes && (parts[p]->shape.empty() || type.isPerTensor()))
      copyPart(*parts[p], from[0]);
    else
      movePart(*parts[p], from, op, isCodes ? single : block);
  }
  return success();
}

} // namespace cpu
} // namespace nibble
