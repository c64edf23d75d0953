// fuse-rowwise: normalization or softmax with the elementwise ops around it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEROWWISE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static bool isRowwise(Operation *op) {
  return fuse::getKernelClass(op) == "rowwise";
}

namespace {
struct FuseRowwisePass : nibble::impl::FuseRowwiseBase<FuseRowwisePass> {
  void runOnOperation() override {
    SmallVector<Operation *> rows;
    for (Operation &op : getOperation().front())
      if (isRowwise(&op))
        rows.push_back(&op);
    IRRewriter rewriter(&getContext());
    for (Operation *op : rows) {
      op = takeProducers(rewriter, op);
      takeConsumers(rewriter, op);
    }
  }

  static Operation *fuseWith(IRRewriter &rewriter, Operation *row,
                             Operation *other) {
    if (!fuse::whyNotOneRegion({row, other}).empty())
      return nullptr;
    std::string name = getLayerName(other->getLoc()).str();
    nq::RegionOp region =
        fuse::makeRegion(rewriter, {row, other}, "rowwise", "fuse-rowwise");
    remarkDone(region.getLoc(), "fuse-rowwise")
        << RemarkArg("chosen", "one pass over the rows")
        << RemarkArg("with", name)
        << RemarkArg("reason", "it works element by element on the same rows");
    return region;
  }

  /// Rows of tables, looked up for this kernel alone.
  static bool isLookup(Operation *producer, Operation *row) {
    auto generic = dyn_cast<linalg::GenericOp>(producer);
    return generic && generic->getNumResults() == 1 &&
           fuse::getKernelClass(producer) == "gather" &&
           generic.getNumReductionLoops() == 0 &&
           generic.getIndexingMapsArray().back().isIdentity() &&
           fuse::getOnlyUser(producer->getResult(0)) == row;
  }

  /// Elementwise ops that compute the input: alone for the rows, or as a result
  /// of the kernel besides (a residual that goes on); look-ups.
  static Operation *takeProducers(IRRewriter &rewriter, Operation *row) {
    bool found = true;
    while (found) {
      found = false;
      for (Value operand : row->getOperands()) {
        Operation *producer = operand.getDefiningOp();
        if (!producer || !isSameRows(operand, row) ||
            !(fuse::isElementwise(producer) || isLookup(producer, row)))
          continue;
        if (Operation *fused = fuseWith(rewriter, row, producer)) {
          row = fused;
          found = true;
          break;
        }
      }
    }
    return row;
  }

  /// The operand has the shape of the rows, it is no gain or bias.
  static bool isSameRows(Value operand, Operation *row) {
    return cast<ShapedType>(operand.getType()).getShape() ==
           cast<ShapedType>(row->getResult(0).getType()).getShape();
  }

  static void takeConsumers(IRRewriter &rewriter, Operation *row) {
    bool found = true;
    while (found) {
      found = false;
      for (Value result : row->getResults()) {
        Operation *user = fuse::getOnlyUser(result);
        if (!user || !fuse::isElementwise(user) ||
            !fuse::readsSameIndex(user, result))
          continue;
        if (Operation *fused = fuseWith(rewriter, row, user)) {
          row = fused;
          found = true;
          break;
        }
      }
    }
  }
};
} // namespace
