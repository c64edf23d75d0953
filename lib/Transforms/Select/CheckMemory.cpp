// check-memory: the limit of --max-memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Passes.h"

namespace nibble {
#define GEN_PASS_DEF_CHECKMEMORY
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// Buffers and constants that an error lists.
static constexpr size_t kListed = 5;

namespace {
struct CheckMemoryPass : nibble::impl::CheckMemoryBase<CheckMemoryPass> {
  using nibble::impl::CheckMemoryBase<CheckMemoryPass>::CheckMemoryBase;

  void runOnOperation() override {
    if (maxMemory <= 0)
      return;
    MemoryUse use = computeMemoryUse(getOperation());
    if (use.total() <= maxMemory)
      return;
    refuse(use);
    signalPassFailure();
  }

  void refuse(const MemoryUse &use) {
    std::string reason;
    llvm::raw_string_ostream(reason)
        << "memory of " << formatBytes(use.total())
        << " is needed, --max-memory allows " << formatBytes(maxMemory) << " ("
        << formatBytes(use.total() - maxMemory) << " less): constants "
        << formatBytes(use.constants) << ", arena " << formatBytes(use.arena)
        << ", states " << formatBytes(use.states) << ", inputs "
        << formatBytes(use.inputs) << ", outputs " << formatBytes(use.outputs);
    std::string limit = "at most " + formatBytes(maxMemory);
    InFlightDiagnostic diag = emitRefusal(
        getOperation().getLoc(), {"check-memory", "", limit, reason,
                                  "raise the limit or follow the notes"});
    notePeak(diag);
    noteConstants(diag);
    noteStates(diag);
    advise(diag, use);
  }

  /// The fullest launch of the entry point with the largest arena.
  void notePeak(InFlightDiagnostic &diag) {
    MemoryPlan largest;
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      if (!entry->hasAttr(kEntryAttr))
        continue;
      MemoryPlan plan = computeMemoryPlan(entry);
      if (plan.peak >= 0 && plan.arena > largest.arena)
        largest = std::move(plan);
    }
    if (largest.peak < 0)
      return;
    const MemoryStep &step = largest.steps[largest.peak];
    Diagnostic &note = diag.attachNote();
    note << "the arena is fullest in layer '" << step.layer << "' ("
         << step.kind << ") of '" << largest.entry << "', "
         << formatBytes(step.live) << " live:";
    std::vector<unsigned> live = largest.getLive(largest.peak);
    for (unsigned i : llvm::ArrayRef(live).take_front(kListed))
      note << (i == live.front() ? " " : ", ")
           << formatBytes(largest.buffers[i].size) << " of layer '"
           << largest.buffers[i].layer << "'";
  }

  void noteConstants(InFlightDiagnostic &diag) {
    auto constants = getConstantsBySize(getOperation());
    if (constants.empty())
      return;
    Diagnostic &note = diag.attachNote();
    note << "largest of " << constants.size() << " constants:";
    for (auto [i, constant] :
         llvm::enumerate(llvm::ArrayRef(constants).take_front(kListed)))
      note << (i ? ", " : " ") << formatBytes(constant.second) << " '"
           << getLayerName(constant.first->getLoc()) << "'";
  }

  void noteStates(InFlightDiagnostic &diag) {
    for (auto state : getOperation().getOps<nq::StateOp>())
      diag.attachNote() << "state '" << state.getSymName() << "' is "
                        << state.getType();
  }

  void advise(InFlightDiagnostic &diag, const MemoryUse &use) {
    int64_t rest = use.total() - use.constants;
    Diagnostic &note = diag.attachNote();
    if (use.constants >= rest)
      note << "to do: quantize the weights to fewer bits, or raise "
              "--max-memory";
    else
      note << "to do: bind smaller shapes with --shape (batch, sequence, "
              "length of the cache), or raise --max-memory";
  }
};
} // namespace
