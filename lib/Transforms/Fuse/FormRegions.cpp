// form-regions: what no fusion took becomes a region of its own.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

namespace nibble {
#define GEN_PASS_DEF_FORMREGIONS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// Who reads a value, maybe in another shape.
static void findReaders(Value value, llvm::SetVector<Operation *> &readers) {
  for (Operation *user : value.getUsers()) {
    Operation *op = value.getParentBlock()->findAncestorOpInBlock(*user);
    if (fuse::isReshape(op))
      findReaders(op->getResult(0), readers);
    else
      readers.insert(op);
  }
}

static std::string whyAlone(Operation *op) {
  llvm::SetVector<Operation *> readers;
  for (Value result : op->getResults())
    findReaders(result, readers);
  if (readers.size() > 1)
    return std::to_string(readers.size()) +
           " ops read it: each would compute it again";
  Operation *reader = readers.front();
  if (reader->hasTrait<OpTrait::IsTerminator>())
    return "it makes an output, and the kernels of its operands cannot take it";
  return "its only reader, the " + fuse::getKernelClass(reader) +
         " kernel of layer '" + getLayerName(reader->getLoc()).str() +
         "', takes this operand as it is stored";
}

/// Products and rows are kernels by right, and quantizers were explained.
static bool needsReason(Operation *op) {
  std::string kind = fuse::getKernelClass(op);
  return kind != "gemm" && kind != "attention" && kind != "rowwise" &&
         kind != "quantize";
}

namespace {
struct FormRegionsPass : nibble::impl::FormRegionsBase<FormRegionsPass> {
  using nibble::impl::FormRegionsBase<FormRegionsPass>::FormRegionsBase;

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
    if (explain)
      for (Operation *op : ops)
        if (!op->use_empty() && needsReason(op))
          remarkMissed(op->getLoc(), "form-regions")
              << RemarkArg("chosen", "a kernel of its own")
              << RemarkArg("reason", whyAlone(op));
    for (Operation *op : ops)
      if (!op->use_empty())
        fuse::makeRegion(rewriter, op, fuse::getKernelClass(op), "");
  }
};
} // namespace
