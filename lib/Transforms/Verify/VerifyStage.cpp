// verify-stage: what is legal at the border after each stage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Check/CheckOps.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_VERIFYSTAGE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct VerifyStagePass : nibble::impl::VerifyStageBase<VerifyStagePass> {
  using nibble::impl::VerifyStageBase<VerifyStagePass>::VerifyStageBase;

  void runOnOperation() override {
    bool ok = true;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        ok &= checkEntry(function);
    if (!ok)
      signalPassFailure();
  }

  bool checkEntry(func::FuncOp function) {
    bool ok = true;
    bool planned = stage == "select" || stage == "lower" || stage == "engine";
    function.walk([&](Operation *op) {
      if (planned && op->getParentOp() == function)
        ok &= checkPlanned(op);
      if (stage != "import")
        ok &= checkScalesBound(op);
    });
    return ok;
  }

  bool fail(Operation *op, StringRef what, StringRef fix) {
    op->emitError() << "after stage '" << stage << "': layer '"
                    << getLayerName(op->getLoc()) << "': '" << op->getName()
                    << "' " << what << "; " << fix;
    return false;
  }

  bool checkPlanned(Operation *op) {
    if (isa<exec::LaunchOp, exec::AliasOp, nq::ConstantOp, arith::ConstantOp,
            nq::StateReadOp, nq::StateWriteOp, func::ReturnOp>(op))
      return true;
    return fail(op, "is not a launch, an alias or a constant",
                "the target has no kernel for it");
  }

  /// Codes travel without their scales only into or out of an entry point.
  bool checkScalesBound(Operation *op) {
    if (isa_and_present<check::CheckDialect>(op->getDialect()) &&
        stage != "canonical" && stage != "quantize" && stage != "fuse")
      return fail(op, "is an op for tests", "remove it before compiling");
    auto codes = dyn_cast<nq::CodesOp>(op);
    if (!codes)
      return true;
    for (Operation *user : codes.getResult().getUsers())
      if (auto matmul = dyn_cast<nq::MatmulOp>(user))
        return fail(op, "feeds codes without scales to a matmul",
                    "dequantize them with the scales they were made with");
    return true;
  }
};
} // namespace
