// fuse-views: readers of a slice of a product take it where it lies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ColumnSlices.h"

#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEVIEWS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using fuse::MovedReader;

namespace {
struct FuseViewsPass : nibble::impl::FuseViewsBase<FuseViewsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> slices;
    for (Operation &op : getOperation().front())
      if (fuse::isSliceOfProduct(&op))
        slices.push_back(&op);
    IRRewriter rewriter(&getContext());
    for (Operation *slice : slices)
      fuseReaders(rewriter, slice);
  }

  static void fuseReaders(IRRewriter &rewriter, Operation *slice) {
    SmallVector<Operation *> dead{slice};
    for (MovedReader &reader : fuse::getMovedReaders(slice->getResult(0))) {
      dead.append(reader.moves);
      std::string why = fuse::whyNotReadInPlace(reader.op);
      if (why.empty()) {
        fuseReader(rewriter, slice, reader);
        continue;
      }
      remarkMissed(slice->getLoc(), "fuse-views")
          << RemarkArg("chosen", "a copy") << RemarkArg("rejected", "a view")
          << RemarkArg("reason", why);
    }
    eraseDead(rewriter, dead);
  }

  /// Moves are repeated for each reader: they cost nothing.
  static void fuseReader(IRRewriter &rewriter, Operation *slice,
                         const MovedReader &reader) {
    rewriter.setInsertionPoint(reader.op);
    IRMapping mapping;
    SmallVector<Operation *> ops{rewriter.clone(*slice, mapping)};
    for (Operation *move : reader.moves)
      ops.push_back(rewriter.clone(*move, mapping));
    replaceReads(reader.op, mapping);
    ops.push_back(reader.op);
    nq::RegionOp region = fuse::makeRegion(
        rewriter, ops, fuse::getKernelClass(reader.op), "fuse-views");
    remarkDone(region.getLoc(), "fuse-views")
        << RemarkArg("chosen", "a view")
        << RemarkArg("with", getLayerName(slice->getLoc()))
        << RemarkArg("reason",
                     "which columns it reads is a choice of addresses");
  }

  static void replaceReads(Operation *op, const IRMapping &mapping) {
    op->walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        if (Value view = mapping.lookupOrNull(operand.get()))
          operand.set(view);
    });
  }

  static void eraseDead(IRRewriter &rewriter, ArrayRef<Operation *> ops) {
    SmallVector<Operation *> sorted(ops);
    llvm::sort(sorted, [](Operation *a, Operation *b) {
      return b->isBeforeInBlock(a);
    });
    sorted.erase(llvm::unique(sorted), sorted.end());
    for (Operation *op : sorted)
      if (op->use_empty())
        rewriter.eraseOp(op);
  }
};
} // namespace
