// expand-candidates: an entry point for every schedule worth measuring.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/Gemm.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/KernelSelect/ProductClass.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/JSON.h"

namespace nibble {
#define GEN_PASS_DEF_EXPANDCANDIDATES
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// What a row of the tuning database says of a shape (TuningDb.h).
static std::string getKey(StringRef kernel, const GemmShape &shape) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::json::Value(
      llvm::json::Object{{"kernel", kernel},
                         {"m", shape.m},
                         {"n", shape.n},
                         {"k", shape.k},
                         {"products", shape.products},
                         {"result_bytes", shape.getResultBytes()}});
  return text;
}

namespace {
struct ExpandCandidatesPass
    : nibble::impl::ExpandCandidatesBase<ExpandCandidatesPass> {
  using ExpandCandidatesBase::ExpandCandidatesBase;

  void runOnOperation() override {
    SmallVector<func::FuncOp> kernels, others;
    for (auto function : getOperation().getOps<func::FuncOp>())
      (function->hasAttr(kScheduleAttr) ? kernels : others).push_back(function);
    if (kernels.empty()) {
      getOperation().emitError()
          << "no kernel of the model has a schedule to choose: products on "
             "tensor cores of sm_90a have";
      return signalPassFailure();
    }
    for (func::FuncOp kernel : kernels)
      expand(kernel);
    for (func::FuncOp kernel : kernels)
      kernel.erase();
    for (func::FuncOp function : others)
      function.erase();
    for (auto state :
         llvm::make_early_inc_range(getOperation().getOps<nq::StateOp>()))
      state.erase();
  }

  void expand(func::FuncOp kernel) {
    std::string why;
    std::optional<Machine> machine = getMachine(target);
    if (!machine)
      return;
    std::optional<GemmShape> shape = getTileGemmShape(
        kernel.front(), machine->family == TargetFamily::Sm100, why);
    if (!shape)
      return;
    auto candidates =
        getCandidates(*shape, kSm90SharedBytes, machine->multiprocessors);
    StringRef name =
        kernel->getAttrOfType<StringAttr>(kKernelClassAttr).getValue();
    for (auto [i, schedule] : llvm::enumerate(candidates)) {
      if (int64_t(i) == max)
        break;
      addEntry(kernel, schedule.str(), getKey(getTunedName(name), *shape), i);
    }
  }

  void addEntry(func::FuncOp kernel, StringRef schedule, StringRef key,
                unsigned number) {
    OpBuilder b = OpBuilder::atBlockEnd(getOperation().getBody());
    std::string name = (kernel.getSymName() + "_c" + Twine(number)).str();
    func::FuncOp copy = kernel.clone();
    copy.setSymName(name);
    copy->setAttr(kScheduleAttr, b.getStringAttr(schedule));
    b.insert(copy);
    auto entry = func::FuncOp::create(
        b, kernel.getLoc(), (kernel.getSymName() + "/" + Twine(number)).str(),
        kernel.getFunctionType());
    entry->setAttr(kEntryAttr, b.getUnitAttr());
    for (unsigned i = 0; i < entry.getNumArguments(); ++i)
      entry.setArgAttr(i, kNameAttr, b.getStringAttr("x" + Twine(i)));
    for (unsigned i = 0; i < entry.getNumResults(); ++i)
      entry.setResultAttr(i, kNameAttr, b.getStringAttr("y" + Twine(i)));
    b.setInsertionPointToStart(entry.addEntryBlock());
    auto launch =
        exec::LaunchOp::create(b, kernel.getLoc(), kernel.getResultTypes(),
                               FlatSymbolRefAttr::get(copy.getSymNameAttr()),
                               entry.getArguments(), schedule, key);
    func::ReturnOp::create(b, kernel.getLoc(), launch.getResults());
  }
};
} // namespace
