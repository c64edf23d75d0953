// fuse-reduce: reductions, and what is computed from the same rows.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEREDUCE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// What one block may move of a tensor alone: about as long as two launches
/// take.
static constexpr int64_t kMaxRowBytes = 256 * 1024;

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

static unsigned countEqual(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  unsigned count = 0;
  while (count < std::min(a.size(), b.size()) && a[count] == b[count])
    ++count;
  return count;
}

/// Loops or a reshape: what has rows.
static bool isCandidate(Operation *op) {
  if (fuse::isReshape(op))
    return true;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic->getNumResults() == 1 &&
         fuse::getKernelClass(op) != "gather";
}

static bool isReduction(Operation *op) {
  return isCandidate(op) && fuse::getKernelClass(op) == "reduce";
}

namespace {
/// Ops that compute row by row: for each index of the first dimensions, which
/// all results share, what they make depends on that index only.
class Rows {
public:
  explicit Rows(Operation *root) { ops.insert(root); }

  ArrayRef<Operation *> getOps() const { return ops.getArrayRef(); }
  bool contains(Operation *op) const { return ops.contains(op); }
  bool hasWork() const {
    return llvm::count_if(
               ops, [](Operation *op) { return !fuse::isReshape(op); }) > 1;
  }

  /// "" if `op` was added, or why not.
  std::string add(Operation *op) {
    SmallVector<Operation *> all(ops.getArrayRef());
    all.push_back(op);
    std::string why = fuse::whyNotOneRegion(all);
    if (!why.empty())
      return why;
    ops.insert(op);
    why = whyNotRows();
    if (!why.empty())
      ops.remove(op);
    return why;
  }

  std::string whyNotRows() const {
    unsigned dims = getSharedDims();
    if (dims == 0)
      return "they share no leading dimension";
    int64_t rows = ShapedType::getNumElements(
        shapeOf(ops.front()->getResult(0)).take_front(dims));
    int64_t bytes = 0;
    for (Value value : getInputs())
      bytes = std::max(bytes, getBytes(value));
    for (Operation *op : ops)
      bytes = std::max(bytes, getBytes(op->getResult(0)));
    bytes /= std::max<int64_t>(rows, 1);
    if (bytes > kMaxRowBytes)
      return "one block would move " + std::to_string(bytes / 1024) +
             " KiB alone, more than " + std::to_string(kMaxRowBytes / 1024);
    return "";
  }

private:
  static int64_t getBytes(Value value) {
    return nq::getStorageRegions(cast<RankedTensorType>(value.getType())).total;
  }

  /// Tensors that come from outside and are not constants.
  SmallVector<Value> getInputs() const {
    SmallVector<Value> inputs;
    for (Operation *op : ops)
      for (Value value : op->getOperands()) {
        Operation *producer = value.getDefiningOp();
        bool own =
            producer && (ops.contains(producer) || fuse::isRepeated(producer) ||
                         isa<nq::ConstantOp>(producer) ||
                         producer->hasTrait<OpTrait::ConstantLike>());
        if (!own && isa<RankedTensorType>(value.getType()))
          inputs.push_back(value);
      }
    return inputs;
  }

  unsigned getSharedDims() const {
    ArrayRef<int64_t> first = shapeOf(ops.front()->getResult(0));
    unsigned dims = first.size();
    for (Operation *op : ops)
      dims = std::min(
          {dims, countEqual(first, shapeOf(op->getResult(0))), countOwn(op)});
    return dims;
  }

  /// Leading dimensions of the result that the op does not mix.
  unsigned countOwn(Operation *op) const {
    if (fuse::isReshape(op))
      return countEqual(shapeOf(op->getOperand(0)), shapeOf(op->getResult(0)));
    auto generic = cast<linalg::GenericOp>(op);
    auto loops = generic.getIteratorTypesArray();
    AffineMap result = generic.getIndexingMapsArray().back();
    unsigned count = 0;
    while (count < result.getNumResults() &&
           loops[count] == utils::IteratorType::parallel &&
           result.getResult(count) ==
               getAffineDimExpr(count, op->getContext()) &&
           readsOwnRow(generic, count))
      ++count;
    return count;
  }

  /// No operand is read at another index of loop `i` than the result's. What
  /// comes from outside may be the same for all.
  bool readsOwnRow(linalg::GenericOp op, unsigned i) const {
    for (OpOperand *operand : op.getDpsInputOperands()) {
      AffineMap map = op.getMatchingIndexingMap(operand);
      Operation *producer = operand->get().getDefiningOp();
      bool own = map.getNumResults() > i &&
                 map.getResult(i) == getAffineDimExpr(i, op.getContext());
      bool mixes = map.isFunctionOfDim(i) || (producer && contains(producer));
      if (!own && mixes)
        return false;
    }
    return true;
  }

  llvm::SetVector<Operation *> ops;
};

struct FuseReducePass : nibble::impl::FuseReduceBase<FuseReducePass> {
  void runOnOperation() override {
    IRRewriter rewriter(&getContext());
    llvm::SmallPtrSet<Operation *, 8> seen;
    while (Operation *root = findReduction(seen)) {
      Rows rows(root);
      grow(rows);
      for (Operation *op : rows.getOps())
        seen.insert(op);
      if (rows.hasWork())
        fuse(rewriter, rows);
    }
  }

  Operation *findReduction(const llvm::SmallPtrSetImpl<Operation *> &seen) {
    for (Operation &op : getOperation().front())
      if (isReduction(&op) && !seen.contains(&op))
        return &op;
    return nullptr;
  }

  /// Readers, and producers that nobody else needs, until nothing more fits.
  static void grow(Rows &rows) {
    llvm::MapVector<Operation *, std::string> refused;
    bool found = rows.whyNotRows().empty();
    if (!found)
      refused[rows.getOps().front()] = rows.whyNotRows();
    while (found) {
      found = false;
      for (Operation *op : getNeighbours(rows)) {
        std::string why = rows.add(op);
        found |= why.empty();
        if (why.empty())
          refused.erase(op);
        else
          refused[op] = why;
      }
    }
    for (auto &[op, why] : refused)
      if (!fuse::isReshape(op))
        remarkMissed(op->getLoc(), "fuse-reduce")
            << RemarkArg("chosen", "a kernel of its own")
            << RemarkArg("reason", why);
  }

  static SmallVector<Operation *> getNeighbours(const Rows &rows) {
    llvm::SetVector<Operation *> found;
    for (Operation *op : rows.getOps()) {
      for (Value operand : op->getOperands())
        if (Operation *producer = operand.getDefiningOp();
            producer && isCandidate(producer) &&
            llvm::all_of(producer->getUsers(),
                         [&](Operation *user) { return rows.contains(user); }))
          found.insert(producer);
      for (Operation *user : op->getUsers())
        if (isCandidate(user) && user->getBlock() == op->getBlock())
          found.insert(user);
    }
    found.remove_if([&](Operation *op) { return rows.contains(op); });
    return found.takeVector();
  }

  static void fuse(IRRewriter &rewriter, const Rows &rows) {
    SmallVector<Operation *> ops(rows.getOps());
    // A reshape at either end is no work: it stays outside.
    llvm::erase_if(ops, [&](Operation *op) {
      Operation *producer =
          fuse::isReshape(op) ? op->getOperand(0).getDefiningOp() : nullptr;
      bool last = llvm::none_of(
          op->getUsers(), [&](Operation *user) { return rows.contains(user); });
      return fuse::isReshape(op) &&
             (last || !producer || !rows.contains(producer));
    });
    size_t count =
        llvm::count_if(ops, [](Operation *op) { return !fuse::isReshape(op); });
    nq::RegionOp region =
        fuse::makeRegion(rewriter, ops, "rowwise", "fuse-reduce");
    remarkDone(region.getLoc(), "fuse-reduce")
        << RemarkArg("chosen", "one pass over the rows of " +
                                   std::to_string(count) + " ops")
        << RemarkArg("reason", "all of them need one index of the leading "
                               "dimensions at a time");
  }
};
} // namespace
