// form-regions: what no fusion took becomes a region of its own.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_FORMREGIONS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FormRegionsPass : nibble::impl::FormRegionsBase<FormRegionsPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!function->hasAttr(kEntryAttr))
      return;
    SmallVector<Operation *> ops;
    for (Operation &op : function.front().without_terminator())
      if (fuse::isKernelOp(&op) && !isa<nq::RegionOp>(op) &&
          fuse::isEffectFree(&op))
        ops.push_back(&op);
    IRRewriter rewriter(&getContext());
    for (Operation *op : ops)
      if (!op->use_empty())
        fuse::makeRegion(rewriter, op, fuse::getKernelClass(op), "");
  }
};
} // namespace
