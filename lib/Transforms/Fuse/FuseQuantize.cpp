// fuse-quantize: a quantizer runs in the kernel of its producer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEQUANTIZE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FuseQuantizePass : nibble::impl::FuseQuantizeBase<FuseQuantizePass> {
  void runOnOperation() override {
    SmallVector<nq::QuantizeOp> ops;
    for (auto op : getOperation().front().getOps<nq::QuantizeOp>())
      ops.push_back(op);
    IRRewriter rewriter(&getContext());
    for (nq::QuantizeOp op : ops)
      fuseIntoProducer(rewriter, op);
  }

  static std::string whyNot(nq::QuantizeOp op) {
    std::string why = fuse::whyNotQuantizedByProducer(op);
    return why.empty()
               ? fuse::whyNotOneRegion({op.getInput().getDefiningOp(), op})
               : why;
  }

  static void fuseIntoProducer(IRRewriter &rewriter, nq::QuantizeOp op) {
    std::string why = whyNot(op);
    if (!why.empty()) {
      remarkMissed(op.getLoc(), "fuse-quantize")
          << RemarkArg("chosen", "a kernel of its own")
          << RemarkArg("reason", why);
      return;
    }
    Operation *producer = op.getInput().getDefiningOp();
    nq::RegionOp region =
        fuse::makeRegion(rewriter, {producer, op},
                         fuse::getKernelClass(producer), "fuse-quantize");
    remarkDone(region.getLoc(), "fuse-quantize")
        << RemarkArg("chosen", "quantized by its producer")
        << RemarkArg("reason", "scales are constants, or lie within a row");
  }
};
} // namespace
