// split-regions-for-cpu: regions that are no single CPU kernel come apart.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_SPLITREGIONSFORCPU
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct SplitRegionsForCpuPass
    : nibble::impl::SplitRegionsForCpuBase<SplitRegionsForCpuPass> {
  void runOnOperation() override {
    SmallVector<nq::RegionOp> regions;
    getOperation().walk([&](nq::RegionOp op) { regions.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (nq::RegionOp region : regions) {
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
