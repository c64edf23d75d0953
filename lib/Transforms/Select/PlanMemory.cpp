// plan-memory: static addresses from lifetimes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PlanUses.h"
#include "nibble/Analysis/InPlace.h"
#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Analysis/PackBuffers.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/IR/Remarks.h"
#include "llvm/Support/JSON.h"

namespace nibble {
#define GEN_PASS_DEF_PLANMEMORY
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct PlanMemoryPass : nibble::impl::PlanMemoryBase<PlanMemoryPass> {
  void runOnOperation() override {
    // Entry points share the arena, and all launches its counters.
    int64_t counters = 0;
    getOperation().walk([&](exec::LaunchOp launch) {
      counters = std::max<int64_t>(counters, launch.getCounters().value_or(0));
    });
    counters = llvm::alignTo(counters, kCountersAlignment);
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (entry->hasAttr(kEntryAttr) && failed(plan(entry, counters)))
        return signalPassFailure();
  }

  static constexpr int64_t kCountersAlignment = 256;

  /// Buffers lie behind `counters` bytes.
  static LogicalResult plan(func::FuncOp entry, int64_t counters) {
    PlanUses uses(entry);
    if (failed(uses.checkStates()) || failed(checkPlaces(uses)))
      return failure();
    MemoryPlan plan = computeMemoryPlan(entry);
    std::vector<Lifetime> lifetimes;
    for (const MemoryBuffer &buffer : plan.buffers)
      lifetimes.push_back({buffer.size, buffer.first, buffer.last});
    int64_t arena = counters + packBuffers(lifetimes);
    llvm::DenseMap<Value, int64_t> offsets;
    for (auto [buffer, lifetime] : llvm::zip(plan.buffers, lifetimes)) {
      for (Value value : buffer.values)
        offsets[value] = counters + lifetime.offset;
      if (buffer.workspaceOf)
        cast<exec::LaunchOp>(buffer.workspaceOf)
            .setWorkspaceOffset(counters + lifetime.offset);
    }
    record(entry, uses, offsets, arena, counters + plan.bound);
    report(entry);
    return success();
  }

  //===--------------------------------------------------------------------===//
  // What reuse-buffers guarantees
  //===--------------------------------------------------------------------===//

  static LogicalResult checkPlaces(const PlanUses &uses) {
    for (exec::LaunchOp launch : uses.getLaunches()) {
      func::FuncOp kernel = getKernel(launch);
      for (auto [operand, result] : getUpdatedOperands(kernel))
        if (launch.getInPlaceOperand(result) != launch.getInputs()[operand])
          return fail(launch, "must run in place");
      for (unsigned i = 0; i < launch.getNumResults(); ++i)
        if (launch.getInPlaceOperand(i) &&
            failed(checkInPlace(uses, launch, kernel, i)))
          return failure();
    }
    for (auto [name, state] : uses.getStates())
      if (state.write && failed(checkState(uses, state)))
        return failure();
    return success();
  }

  static LogicalResult fail(exec::LaunchOp launch, const Twine &what) {
    return launch.emitError()
           << "layer '" << launch.getLayer() << "' (" << launch.getKind()
           << ") " << what << "; run reuse-buffers before plan-memory";
  }

  static LogicalResult checkInPlace(const PlanUses &uses, exec::LaunchOp launch,
                                    func::FuncOp kernel, unsigned i) {
    unsigned operand = (*launch.getInPlace())[i];
    Value root = exec::getRoot(launch.getInputs()[operand]);
    std::string why = whyNotInPlace(kernel, operand, i);
    if (!why.empty())
      return fail(launch, "cannot run in place: " + why);
    if (uses.getReaders(root).back() != uses.getNumber(launch) ||
        getOnlyOperand(launch, root) < 0)
      return fail(launch, "writes over an operand that is still read");
    auto read = root.getDefiningOp<nq::StateReadOp>();
    nq::StateWriteOp write = uses.getWrite(launch.getResult(i));
    bool sameState =
        read && write && read.getStateAttr() == write.getStateAttr();
    bool bothInArena =
        uses.isInArena(root) && uses.isInArena(launch.getResult(i));
    if (sameState || bothInArena)
      return success();
    return fail(launch, "runs in place, but operand and result are not in one "
                        "buffer");
  }

  static LogicalResult checkState(const PlanUses &uses,
                                  const PlanUses::State &state) {
    nq::StateWriteOp write = state.write;
    Value root = exec::getRoot(write.getValue());
    auto writer = root.getDefiningOp<exec::LaunchOp>();
    if (!writer || uses.isOutput(root) || uses.getWrite(root) != write)
      return write.emitOpError()
             << "state @" << write.getState()
             << " gets a value that no launch can write into it; run "
                "reuse-buffers before plan-memory";
    if (!state.read)
      return success();
    nq::StateReadOp read = state.read;
    for (unsigned reader : uses.getReaders(read.getResult())) {
      exec::LaunchOp launch = uses.getLaunches()[reader];
      Value inPlace =
          writer.getInPlaceOperand(cast<OpResult>(root).getResultNumber());
      bool isSafe = launch == writer && inPlace &&
                    exec::getRoot(inPlace) == read.getResult();
      if (reader >= uses.getNumber(writer) && !isSafe)
        return fail(launch, "reads state '" + read.getState() +
                                "' when layer '" + writer.getLayer() +
                                "' writes over it");
    }
    return success();
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  static void record(func::FuncOp entry, const PlanUses &uses,
                     const llvm::DenseMap<Value, int64_t> &offsetOf,
                     int64_t arena, int64_t bound) {
    for (exec::LaunchOp launch : uses.getLaunches()) {
      SmallVector<int64_t> offsets;
      for (Value result : launch.getResults()) {
        auto it = offsetOf.find(result);
        offsets.push_back(it == offsetOf.end() ? -1 : it->second);
      }
      launch.setOffsets(offsets);
    }
    Builder builder(entry.getContext());
    entry->setAttr(kArenaAttr, builder.getI64IntegerAttr(arena));
    entry->setAttr(kArenaBoundAttr, builder.getI64IntegerAttr(bound));
  }

  /// All facts for the report; `buffers` and `launches` are JSON.
  static void report(func::FuncOp entry) {
    MemoryPlan plan = computeMemoryPlan(entry);
    StringRef layer, kind;
    if (plan.peak >= 0) {
      layer = plan.steps[plan.peak].layer;
      kind = plan.steps[plan.peak].kind;
    }
    remark::analysis(
        entry.getLoc(),
        remark::RemarkOpts::name("plan-memory").category(kRemarkCategory))
        << RemarkArg("layer", layer) << RemarkArg("entry", entry.getName())
        << RemarkArg("arena", plan.arena) << RemarkArg("bound", plan.bound)
        << RemarkArg("peak", plan.peak)
        << RemarkArg("reason",
                     "most bytes live during this layer (" + kind.str() + ")")
        << RemarkArg("buffers", toJson(plan.buffers, describeBuffer))
        << RemarkArg("launches", toJson(plan.steps, describeStep));
  }

  template <typename List, typename Fn>
  static std::string toJson(const List &list, Fn describe) {
    llvm::json::Array array;
    for (const auto &item : list)
      array.push_back(describe(item));
    std::string text;
    llvm::raw_string_ostream(text) << llvm::json::Value(std::move(array));
    return text;
  }

  static llvm::json::Value describeBuffer(const MemoryBuffer &buffer) {
    return llvm::json::Object{{"layer", buffer.layer},
                              {"kind", buffer.kind},
                              {"offset", buffer.offset},
                              {"size", buffer.size},
                              {"first", buffer.first},
                              {"last", buffer.last},
                              {"values", int64_t(buffer.values.size())}};
  }

  static llvm::json::Value describeStep(const MemoryStep &step) {
    return llvm::json::Object{
        {"layer", step.layer}, {"kind", step.kind}, {"live", step.live}};
  }
};
} // namespace
