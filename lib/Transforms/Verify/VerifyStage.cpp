// verify-stage: what is legal at the border after each stage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Check/CheckOps.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_VERIFYSTAGE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// What the kernel of a region asks for; row-major if nobody answers.
static nq::RequiredLayouts getRequired(nq::RegionOp region, StringRef target) {
  if (auto kernel = dyn_cast<nq::LayoutInterface>(region.getOperation()))
    return kernel.getRequiredLayouts(target);
  nq::RequiredLayouts layouts;
  layouts.operands.resize(region.getInputs().size());
  layouts.results.resize(region.getNumResults());
  return layouts;
}

static std::string print(nq::LayoutAttr layout) {
  std::string text;
  if (layout)
    llvm::raw_string_ostream(text) << layout;
  return text.empty() ? "row-major" : text;
}

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

  bool isStage(std::initializer_list<StringRef> names) const {
    return llvm::is_contained(names, stage);
  }

  bool checkEntry(func::FuncOp function) {
    bool ok = true;
    for (Operation &op : function.front())
      ok &= checkDirect(&op);
    if (!isStage({"import"}))
      function.walk([&](Operation *op) { ok &= checkScalesBound(op); });
    return ok;
  }

  /// An op of the entry point itself.
  bool checkDirect(Operation *op) {
    if (isStage({"select", "lower", "engine"}))
      return checkPlanned(op);
    if (!isStage({"fuse", "layout"}))
      return true;
    bool ok = checkFused(op);
    auto region = dyn_cast<nq::RegionOp>(op);
    return region && isStage({"layout"}) ? checkLayouts(region) && ok : ok;
  }

  bool fail(Operation *op, const Twine &what, StringRef fix) {
    op->emitError() << "after stage '" << stage << "': layer '"
                    << getLayerName(op->getLoc()) << "': '" << op->getName()
                    << "' " << what.str() << "; " << fix;
    return false;
  }

  bool checkPlanned(Operation *op) {
    if (isa<exec::LaunchOp, exec::AliasOp, nq::ConstantOp, arith::ConstantOp,
            nq::StateReadOp, nq::StateWriteOp, func::ReturnOp>(op))
      return true;
    return fail(op, "is not a launch, an alias or a constant",
                "the target has no kernel for it");
  }

  bool checkFused(Operation *op) {
    if (isa<nq::RegionOp, nq::ConstantOp, nq::StateReadOp, nq::StateWriteOp,
            func::ReturnOp>(op) ||
        op->hasTrait<OpTrait::ConstantLike>() || fuse::isReshape(op))
      return true;
    // Initial values, and tensors without elements.
    if (fuse::isRepeated(op))
      return true;
    if (isa_and_present<check::CheckDialect>(op->getDialect()))
      return true; // allowed, or refused by name, below
    return fail(op, "is in no fusion region",
                fuse::isEffectFree(op)
                    ? "form-regions should have made one of it"
                    : "no kernel can have its side effects");
  }

  /// Values have the layout that the kernel of the region asks for.
  bool checkLayouts(nq::RegionOp region) {
    nq::RequiredLayouts required = getRequired(region, target);
    bool operands =
        checkLayouts(region, "operand", region.getInputs(), required.operands);
    bool results =
        checkLayouts(region, "result", region.getResults(), required.results);
    return operands && results;
  }

  bool checkLayouts(nq::RegionOp region, StringRef what, ValueRange values,
                    ArrayRef<nq::RequiredLayout> required) {
    bool ok = true;
    for (auto [i, value, wanted] : llvm::enumerate(values, required)) {
      nq::LayoutAttr layout = nq::getLayout(value.getType());
      if (wanted.any || wanted.layout == layout)
        continue;
      ok = fail(region,
                what + " " + Twine(i) + " is stored as " + print(layout) +
                    ", its kernel for " + target + " wants " +
                    print(wanted.layout),
                "a pass after the assignment of layouts changed the region");
    }
    return ok;
  }

  /// Codes travel without their scales only into or out of an entry point.
  bool checkScalesBound(Operation *op) {
    if (isa_and_present<check::CheckDialect>(op->getDialect()) &&
        !isStage({"canonical", "quantize", "fuse"}))
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
