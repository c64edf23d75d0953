// split-regions-for-cpu: regions that are no single CPU kernel come apart.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"

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
      remark::missed(
          region.getLoc(),
          remark::RemarkOpts::name("split-regions-for-cpu").category("nibble"))
          << remark::detail::Remark::Arg("layer", getLayerName(region.getLoc()))
          << remark::detail::Remark::Arg("chosen", "one kernel per op")
          << remark::detail::Remark::Arg("rejected", "one kernel")
          << remark::detail::Remark::Arg("reason", why);
      fuse::dissolveRegion(rewriter, region);
    }
  }
};
} // namespace
