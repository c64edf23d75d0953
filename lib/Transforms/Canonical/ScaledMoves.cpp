// Ops that only move elements, on scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ScaledMoves.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

bool nibble::isMove(Operation *op) {
  if (!isa<linalg::TransposeOp, linalg::BroadcastOp, tensor::ExpandShapeOp,
           tensor::CollapseShapeOp, tensor::ExtractSliceOp, tensor::ConcatOp>(
          op) ||
      op->getNumResults() != 1)
    return false;
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    if (!slice.getOffsets().empty() || !slice.getSizes().empty() ||
        !slice.getStrides().empty())
      return false;
  return llvm::all_of(llvm::concat<Value>(SmallVector<Value>(op->getOperands()),
                                          SmallVector<Value>(op->getResults())),
                      [](Value value) {
                        auto type = dyn_cast<RankedTensorType>(value.getType());
                        return type && type.hasStaticShape() &&
                               !type.getEncoding();
                      });
}

OperandRange nibble::getMoved(Operation *move) {
  return isa<tensor::ConcatOp>(move) ? move->getOperands()
                                     : move->getOperands().take_front(1);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

namespace {
/// Extents of blocks along one dimension: 1, k, or `full` for `?`.
constexpr int64_t full = ShapedType::kDynamic;

/// The dimensions of a tensor with the extents of blocks along them.
struct Blocks {
  SmallVector<int64_t> shape, extents;

  Blocks(RankedTensorType tensor, ScaledType type)
      : shape(tensor.getShape()), extents(tensor.getRank(), 1) {
    size_t covered = type.getBlock().size();
    for (size_t i = 0; i < covered && i < extents.size(); ++i)
      extents[extents.size() - 1 - i] = type.getBlock()[covered - 1 - i];
  }
  /// One scale serves the whole (single) extent whatever the block.
  bool isUnit(int64_t d) const { return shape[d] == 1; }
  /// Each element along `d` has scales of its own.
  bool isSingle(int64_t d) const { return isUnit(d) || extents[d] == 1; }
};
} // namespace

static std::string describe(StringRef what, int64_t dim) {
  return (what + " (dimension " + Twine(dim) + ")").str();
}

/// Dimension `i` of the result is dimension `from[i]` of the input, or new if
/// that is -1.
static std::string matchDims(const Blocks &in, const Blocks &out,
                             ArrayRef<int64_t> from) {
  for (auto [i, d] : llvm::enumerate(from)) {
    bool same = d < 0 ? out.isSingle(i)
                      : out.extents[i] == in.extents[d] ||
                            (in.isSingle(d) && out.isSingle(i));
    if (!same)
      return describe("a blocked dimension goes where the type has other "
                      "blocks",
                      i);
  }
  return {};
}

/// Several dimensions of `many` are one dimension of `one`, row-major.
static std::string matchGroup(const Blocks &many, ArrayRef<int64_t> group,
                              const Blocks &one, int64_t d) {
  auto all = [&](auto predicate) { return llvm::all_of(group, predicate); };
  if (one.isSingle(d) && all([&](int64_t g) { return many.isSingle(g); }))
    return {};
  if (one.extents[d] == full &&
      all([&](int64_t g) { return many.isUnit(g) || many.extents[g] == full; }))
    return {};
  SmallVector<int64_t> real;
  for (int64_t g : group)
    if (!many.isUnit(g))
      real.push_back(g);
  if (real.size() == 1 && many.extents[real[0]] == one.extents[d])
    return {};
  // Blocks along the last one that tile it exactly.
  int64_t last = group.empty() ? -1 : group.back();
  bool tiled = last >= 0 && one.extents[d] != full &&
               many.extents[last] == one.extents[d] &&
               many.shape[last] % many.extents[last] == 0;
  for (int64_t g : group)
    tiled &= g == last || many.isSingle(g);
  return tiled ? std::string()
               : describe("the reshape cuts or merges blocks", d);
}

static std::string matchReshape(const Blocks &many, const Blocks &one,
                                ArrayRef<ReassociationIndices> groups) {
  for (auto [d, group] : llvm::enumerate(groups))
    if (auto why = matchGroup(many, group, one, d); !why.empty())
      return why;
  return {};
}

static std::string matchSlice(tensor::ExtractSliceOp op, const Blocks &in,
                              const Blocks &out) {
  llvm::SmallBitVector dropped = op.getDroppedDims();
  SmallVector<int64_t> kept;
  for (int64_t d = 0; d < int64_t(in.shape.size()); ++d) {
    if (!dropped[d])
      kept.push_back(d);
    if (in.isSingle(d) || in.extents[d] == full)
      continue;
    if (op.getStaticOffsets()[d] % in.extents[d] != 0 ||
        op.getStaticStrides()[d] != 1)
      return describe("the slice starts inside of a block", d);
  }
  return matchDims(in, out, kept);
}

static std::string matchConcat(tensor::ConcatOp op, ScaledType type) {
  int64_t dim = op.getDim();
  for (Value input : op.getInputs().drop_back()) {
    Blocks in(typeOf(input), type);
    if (in.extents[dim] == full)
      return describe("blocks span the dimension of the concat", dim);
    if (in.shape[dim] % in.extents[dim] != 0)
      return describe("a part ends inside of a block", dim);
  }
  Blocks last(typeOf(op.getInputs().back()), type);
  return last.extents[dim] == full
             ? describe("blocks span the dimension of the concat", dim)
             : std::string();
}

static SmallVector<int64_t> getSourceDims(linalg::BroadcastOp op) {
  SmallVector<int64_t> from;
  int64_t next = 0;
  for (int64_t i = 0; i < typeOf(op.getInit()).getRank(); ++i)
    from.push_back(llvm::is_contained(op.getDimensions(), i) ? -1 : next++);
  return from;
}

std::string nibble::whyBlocksBreak(Operation *move, ScaledType type) {
  if (type.isPerTensor())
    return {};
  RankedTensorType input = typeOf(getMoved(move).front()),
                   result = typeOf(move->getResult(0));
  int64_t covered = type.getBlock().size();
  if (input.getRank() < covered || result.getRank() < covered)
    return "one side has fewer dimensions than the blocks";
  Blocks in(input, type), out(result, type);
  return llvm::TypeSwitch<Operation *, std::string>(move)
      .Case<linalg::TransposeOp>(
          [&](auto op) { return matchDims(in, out, op.getPermutation()); })
      .Case<linalg::BroadcastOp>(
          [&](auto op) { return matchDims(in, out, getSourceDims(op)); })
      .Case<tensor::CollapseShapeOp>([&](auto op) {
        return matchReshape(in, out, op.getReassociationIndices());
      })
      .Case<tensor::ExpandShapeOp>([&](auto op) {
        return matchReshape(out, in, op.getReassociationIndices());
      })
      .Case<tensor::ExtractSliceOp>(
          [&](auto op) { return matchSlice(op, in, out); })
      .Case<tensor::ConcatOp>([&](auto op) { return matchConcat(op, type); })
      .Default([](Operation *) { return "not a move"; });
}

//===----------------------------------------------------------------------===//
// Rebuilding
//===----------------------------------------------------------------------===//

Value nibble::applyMove(OpBuilder &builder, Operation *move,
                        ValueRange inputs) {
  Location loc = move->getLoc();
  Type element = typeOf(inputs.front()).getElementType();
  auto type =
      RankedTensorType::get(typeOf(move->getResult(0)).getShape(), element);
  auto makeInit = [&] {
    return tensor::EmptyOp::create(builder, loc, type.getShape(), element);
  };
  return llvm::TypeSwitch<Operation *, Value>(move)
      .Case<linalg::TransposeOp>([&](auto op) {
        return linalg::TransposeOp::create(builder, loc, inputs[0], makeInit(),
                                           op.getPermutation())
            ->getResult(0);
      })
      .Case<linalg::BroadcastOp>([&](auto op) {
        return linalg::BroadcastOp::create(builder, loc, inputs[0], makeInit(),
                                           op.getDimensions())
            ->getResult(0);
      })
      .Case<tensor::CollapseShapeOp>([&](auto op) {
        return tensor::CollapseShapeOp::create(builder, loc, type, inputs[0],
                                               op.getReassociationIndices());
      })
      .Case<tensor::ExpandShapeOp>([&](auto op) {
        return tensor::ExpandShapeOp::create(builder, loc, type, inputs[0],
                                             op.getReassociationIndices());
      })
      .Case<tensor::ExtractSliceOp>([&](auto op) {
        return tensor::ExtractSliceOp::create(
            builder, loc, type, inputs[0], op.getMixedOffsets(),
            op.getMixedSizes(), op.getMixedStrides());
      })
      .Case<tensor::ConcatOp>([&](auto op) {
        return tensor::ConcatOp::create(builder, loc, type, op.getDim(),
                                        inputs);
      });
}
