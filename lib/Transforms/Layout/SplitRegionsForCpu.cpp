// split-regions-for-cpu: regions that are no single CPU kernel come apart.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

namespace nibble {
#define GEN_PASS_DEF_SPLITREGIONSFORCPU
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// The input that a value of the body is, or null.
static Value getInput(nq::RegionOp region, Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  return argument && argument.getOwner() == &region.getBlock()
             ? region.getInputs()[argument.getArgNumber()]
             : Value();
}

/// Result `i` of the region is the rows; the update stands behind it. Nothing
/// to do if the result is no update of inputs.
static void takeOutUpdate(IRRewriter &rewriter, nq::RegionOp region,
                          unsigned i) {
  Value yielded = region.getYield().getValues()[i];
  auto update = yielded.getDefiningOp<nq::UpdateOp>();
  if (!update || !update->hasOneUse())
    return;
  Value old = getInput(region, update.getInput());
  Value position = getInput(region, update.getPosition());
  if (!old || !position)
    return;
  OpResult rows = region->getResult(i);
  rewriter.setInsertionPointAfter(region);
  auto outside = nq::UpdateOp::create(rewriter, update.getLoc(), rows.getType(),
                                      old, position, rows, update.getAxis());
  rewriter.replaceAllUsesExcept(rows, outside.getResult(), outside);
  rows.setType(update.getRows().getType());
  region.getYield().getValuesMutable()[i].assign(update.getRows());
  rewriter.eraseOp(update);
  remarkMissed(outside.getLoc(), "split-regions-for-cpu")
      << RemarkArg("chosen", "rows copied by a kernel of their own")
      << RemarkArg("rejected", "rows stored by the product")
      << RemarkArg("reason", "CPU products store whole results only");
}

/// What decompose-for-cpu puts in front of an attention in its region stands in
/// front of the region; attention and what follows stay one kernel.
static void takeOutDequantized(IRRewriter &rewriter, nq::RegionOp region) {
  if (region.getKind() != "attention")
    return;
  for (Operation &op : llvm::make_early_inc_range(region.getBlock())) {
    IRMapping inputs;
    for (Value value : op.getOperands())
      if (Value input = getInput(region, value))
        inputs.map(value, input);
    if (!isa<nq::DequantizeOp, nq::AssembleOp>(op) ||
        !llvm::all_of(op.getOperands(),
                      [&](Value value) { return inputs.contains(value); }))
      continue;
    rewriter.setInsertionPoint(region);
    Value outside = rewriter.clone(op, inputs)->getResult(0);
    region.getInputsMutable().append(outside);
    Value inside =
        region.getBlock().addArgument(outside.getType(), op.getLoc());
    rewriter.replaceOp(&op, inside);
  }
}

namespace {
struct SplitRegionsForCpuPass
    : nibble::impl::SplitRegionsForCpuBase<SplitRegionsForCpuPass> {
  void runOnOperation() override {
    SmallVector<nq::RegionOp> regions;
    getOperation().walk([&](nq::RegionOp op) { regions.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (nq::RegionOp region : regions) {
      if (!isa<nq::UpdateOp>(region.getRoot()))
        for (unsigned i = 0; i < region.getNumResults(); ++i)
          takeOutUpdate(rewriter, region, i);
      takeOutDequantized(rewriter, region);
      std::string why = cpu::whyNoKernel(region);
      if (why.empty())
        continue;
      remarkMissed(region.getLoc(), "split-regions-for-cpu")
          << RemarkArg("chosen", "one kernel per op")
          << RemarkArg("rejected", "one kernel") << RemarkArg("reason", why);
      fuse::dissolveRegion(rewriter, region);
    }
  }
};
} // namespace
