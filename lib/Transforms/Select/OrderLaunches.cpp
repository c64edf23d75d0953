// order-launches: the order in which the arena needs least.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PlanUses.h"
#include "nibble/Analysis/InPlace.h"
#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Analysis/OrderSteps.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include <numeric>

namespace nibble {
#define GEN_PASS_DEF_ORDERLAUNCHES
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

/// Launches as steps; buffers are the roots of their operands and results.
class GraphBuilder {
public:
  explicit GraphBuilder(const PlanUses &uses) : uses(uses) {}

  StepGraph run() {
    for (exec::LaunchOp launch : uses.getLaunches())
      addStep(launch);
    for (auto [name, state] : uses.getStates())
      if (state.read && state.write)
        overwriteLast(state.read.getResult(),
                      exec::getRoot(state.write.getValue())
                          .getDefiningOp<exec::LaunchOp>());
    for (exec::LaunchOp launch : uses.getLaunches())
      for (auto [operand, result] : getUpdatedOperands(getKernel(launch)))
        overwriteLast(exec::getRoot(launch.getInputs()[operand]), launch);
    return std::move(graph);
  }

private:
  unsigned getBuffer(Value root) {
    auto [it, isNew] = numbers.try_emplace(root, graph.sizes.size());
    if (isNew) {
      auto type = cast<RankedTensorType>(root.getType());
      graph.sizes.push_back(
          uses.isInArena(root) ? nq::getStorageRegions(type).total : 0);
    }
    return it->second;
  }

  void addStep(exec::LaunchOp launch) {
    Step &step = graph.steps.emplace_back();
    for (Value input : launch.getInputs()) {
      unsigned buffer = getBuffer(exec::getRoot(input));
      if (!llvm::is_contained(step.reads, buffer))
        step.reads.push_back(buffer);
    }
    for (Value result : launch.getResults())
      step.writes.push_back(getBuffer(result));
    if (launch.getNumResults() == 1 && uses.isInArena(launch.getResult(0)))
      addReuse(launch, step);
  }

  void addReuse(exec::LaunchOp launch, Step &step) {
    for (auto [i, input] : llvm::enumerate(launch.getInputs())) {
      Value root = exec::getRoot(input);
      if (uses.isInArena(root) && getOnlyOperand(launch, root) == int(i) &&
          whyNotInPlace(getKernel(launch), i, 0).empty())
        step.reuse.push_back({getBuffer(root), step.writes[0]});
    }
  }

  /// `writer` puts something in the place of `root`: better after all who read
  /// it, if they do not need what it writes.
  void overwriteLast(Value root, exec::LaunchOp writer) {
    if (!writer)
      return;
    unsigned number = uses.getNumber(writer);
    llvm::DenseSet<unsigned> needIt = findBehind(number);
    for (unsigned reader : uses.getReaders(root))
      if (!needIt.contains(reader)) {
        graph.steps[number].after.push_back(reader);
        behind[reader].push_back(number);
      }
  }

  /// The steps that depend on step `from`, itself included.
  llvm::DenseSet<unsigned> findBehind(unsigned from) {
    if (behind.empty()) {
      behind.resize(graph.steps.size());
      for (auto [i, launch] : llvm::enumerate(uses.getLaunches()))
        for (Value result : launch->getResults())
          llvm::append_range(behind[i], uses.getReaders(result));
    }
    llvm::DenseSet<unsigned> found{from};
    SmallVector<unsigned> stack{from};
    while (!stack.empty())
      for (unsigned next : behind[stack.pop_back_val()])
        if (found.insert(next).second)
          stack.push_back(next);
    return found;
  }

  const PlanUses &uses;
  StepGraph graph;
  llvm::DenseMap<Value, unsigned> numbers;
  std::vector<SmallVector<unsigned>> behind;
};

struct OrderLaunchesPass : nibble::impl::OrderLaunchesBase<OrderLaunchesPass> {
  void runOnOperation() override {
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (entry->hasAttr(kEntryAttr))
        run(entry);
  }

  static void run(func::FuncOp entry) {
    PlanUses uses(entry);
    StepGraph graph = GraphBuilder(uses).run();
    StepOrder given(graph.steps.size());
    std::iota(given.begin(), given.end(), 0);
    StepOrder order = findOrder(graph);
    if (order.empty() || order == given)
      return;
    report(entry, getPeak(graph, given), getPeak(graph, order));
    arrange(entry, uses, order);
  }

  static void report(func::FuncOp entry, int64_t before, int64_t after) {
    remarkDone(entry.getLoc(), "order-launches")
        << RemarkArg("entry", entry.getName())
        << RemarkArg("chosen", "peak of " + formatBytes(after))
        << RemarkArg("rejected",
                     "order of the model, peak of " + formatBytes(before))
        << RemarkArg("reason", after < before
                                   ? "fewer bytes live at the fullest launch"
                                   : "states are overwritten after their last "
                                     "reader");
  }

  /// Constants and reads of states first, writes of states last, aliases right
  /// behind their sources.
  static void arrange(func::FuncOp entry, const PlanUses &uses,
                      const StepOrder &order) {
    Block &block = entry.front();
    SmallVector<Operation *> sources, writes;
    for (Operation &op : block.without_terminator()) {
      if (isa<nq::StateWriteOp>(op))
        writes.push_back(&op);
      else if (!isa<exec::LaunchOp, exec::AliasOp>(op))
        sources.push_back(&op);
    }
    Operation *terminator = block.getTerminator();
    for (BlockArgument argument : block.getArguments())
      moveAliases(argument, terminator);
    for (Operation *op : sources)
      moveWithAliases(op, terminator);
    for (unsigned i : order)
      moveWithAliases(uses.getLaunches()[i], terminator);
    for (Operation *op : writes)
      op->moveBefore(terminator);
  }

  static void moveWithAliases(Operation *op, Operation *before) {
    op->moveBefore(before);
    for (Value result : op->getResults())
      moveAliases(result, before);
  }

  static void moveAliases(Value value, Operation *before) {
    SmallVector<Operation *> users;
    for (Operation *user : value.getUsers())
      if (isa<exec::AliasOp>(user))
        users.push_back(user);
    for (Operation *user : llvm::reverse(users)) // uses are listed last first
      moveWithAliases(user, before);
  }
};

} // namespace
