// split-regions-for-cpu: regions that are no single CPU kernel come apart.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
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

/// "" if the CPU target has one kernel for the region, or what stands in the
/// way. Loops cover any ops but matmuls and attention; a GEMM covers a matmul.
static std::string whyNoCpuKernel(nq::RegionOp region) {
  unsigned products = 0, others = 0;
  for (Operation &op : region.getBlock().without_terminator()) {
    if (isa<nq::AttentionOp>(op))
      return "the CPU target computes attention in steps";
    products += isa<nq::MatmulOp>(op);
    others += !isa<nq::MatmulOp>(op) && !fuse::isRepeated(&op);
  }
  if (products == 0 || (products == 1 && others == 0))
    return "";
  return "the CPU target has no GEMM with these ops around it";
}

namespace {
struct SplitRegionsForCpuPass
    : nibble::impl::SplitRegionsForCpuBase<SplitRegionsForCpuPass> {
  void runOnOperation() override {
    SmallVector<nq::RegionOp> regions;
    getOperation().walk([&](nq::RegionOp op) { regions.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (nq::RegionOp region : regions) {
      std::string why = whyNoCpuKernel(region);
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
