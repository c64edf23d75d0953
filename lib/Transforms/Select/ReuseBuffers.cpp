// reuse-buffers: results take over the buffers of operands that die, and
// results that are a state's next value go straight into the state.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CopyKernel.h"
#include "PlanUses.h"
#include "nibble/Analysis/InPlace.h"
#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace nibble {
#define GEN_PASS_DEF_REUSEBUFFERS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

std::string describe(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return formatBytes(nq::getStorageRegions(type).total);
}

constexpr StringLiteral kUpdateAdvice =
    "write the new rows into the old value (TensorScatter), and let all layers "
    "read the new value";

class Reuse {
public:
  Reuse(ModuleOp module, func::FuncOp entry)
      : module(module), entry(entry), builder(module.getContext()) {}

  LogicalResult run() {
    if (failed(PlanUses(entry).checkStates()))
      return failure();
    // Copies of outputs may stand behind them.
    for (nq::StateWriteOp write : SmallVector<nq::StateWriteOp>(
             entry.front().getOps<nq::StateWriteOp>()))
      write->moveBefore(entry.front().getTerminator());
    makeWritesLaunches();
    makeUpdatesOwn();
    placeStates();
    shareInArena();
    return success();
  }

private:
  //===--------------------------------------------------------------------===//
  // Copies
  //===--------------------------------------------------------------------===//

  Value copy(Value value, Operation *before, StringRef layer,
             const std::string &reason, StringRef suggestion) {
    builder.setInsertionPoint(before);
    exec::LaunchOp launch = createCopy(builder, module, value, layer);
    remarkMissed(launch.getLoc(), "reuse-buffers")
        << RemarkArg("chosen", "copy of " + describe(value))
        << RemarkArg("rejected", "in place") << RemarkArg("reason", reason)
        << RemarkArg("suggestion", suggestion);
    return launch.getResult(0);
  }

  /// The first op of the run of state writes at the end.
  Operation *getEnd() {
    Operation *end = entry.front().getTerminator();
    while (end->getPrevNode() && isa<nq::StateWriteOp>(end->getPrevNode()))
      end = end->getPrevNode();
    return end;
  }

  void copyForState(nq::StateWriteOp write, Operation *before,
                    const std::string &reason, StringRef suggestion) {
    std::string layer = ("state " + write.getState()).str();
    write.getValueMutable().assign(
        copy(write.getValue(), before, layer, reason, suggestion));
  }

  //===--------------------------------------------------------------------===//
  // States
  //===--------------------------------------------------------------------===//

  /// Afterwards every value that a state takes is a launch result of its own.
  /// What comes from another state that is written, too, is saved first:
  /// states may swap their values.
  void makeWritesLaunches() {
    PlanUses uses(entry);
    llvm::DenseSet<Value> taken;
    for (auto [name, state] : uses.getStates()) {
      if (!state.write)
        continue;
      Value root = exec::getRoot(state.write.getValue());
      auto read = root.getDefiningOp<nq::StateReadOp>();
      bool launched = root.getDefiningOp<exec::LaunchOp>() != nullptr;
      if (read && uses.getStates().lookup(read.getStateAttr().getAttr()).write)
        copyForState(state.write, read->getNextNode(),
                     "the value is that of another state, which changes, too",
                     "");
      else if (!launched)
        copyForState(state.write, getEnd(), "no launch makes the value", "");
      else if (uses.isOutput(root) || !taken.insert(root).second)
        copyForState(state.write, getEnd(),
                     "the value is an output or another state, too",
                     "drop the output if only the state is wanted");
    }
  }

  /// Results stay in the state if its old value is not needed any more.
  void placeStates() {
    SmallVector<nq::StateWriteOp> writes(
        entry.front().getOps<nq::StateWriteOp>());
    for (nq::StateWriteOp write : writes) {
      PlanUses uses(entry);
      auto name = write.getStateAttr().getAttr();
      nq::StateReadOp read = uses.getStates().lookup(name).read;
      std::string why = read ? placeState(uses, read, write) : "";
      if (!why.empty())
        copyForState(write, getEnd(), why, kUpdateAdvice);
    }
  }

  std::string placeState(const PlanUses &uses, nq::StateReadOp read,
                         nq::StateWriteOp write) {
    Value old = read.getResult(), root = exec::getRoot(write.getValue());
    auto writer = root.getDefiningOp<exec::LaunchOp>();
    unsigned result = cast<OpResult>(root).getResultNumber();
    int inPlace = -1;
    for (unsigned number : uses.getReaders(old)) {
      exec::LaunchOp reader = uses.getLaunches()[number];
      if (number > uses.getNumber(writer))
        return ("layer '" + reader.getLayer() +
                "' reads the old value after the new one is made")
            .str();
      if (reader != writer)
        continue;
      inPlace = getOnlyOperand(writer, old);
      std::string why = "it reads the operand twice";
      if (inPlace >= 0)
        why = whyNotInPlace(getKernel(writer), inPlace, result);
      if (!why.empty())
        return ("layer '" + writer.getLayer() +
                "' cannot write where it reads: " + why)
            .str();
    }
    if (inPlace >= 0)
      setInPlace(writer, {unsigned(inPlace), result},
                 "state " + write.getState().str());
    return "";
  }

  //===--------------------------------------------------------------------===//
  // Updates
  //===--------------------------------------------------------------------===//

  /// An update, alone or at the end of a kernel, writes into its operand: it
  /// needs one that nobody else wants, and a result that can lie there.
  void makeUpdatesOwn() {
    SmallVector<exec::LaunchOp> launches(
        entry.front().getOps<exec::LaunchOp>());
    for (exec::LaunchOp launch : launches)
      for (InPlacePair pair : getUpdatedOperands(getKernel(launch)))
        makeOwn(launch, pair);
  }

  void makeOwn(exec::LaunchOp launch, InPlacePair pair) {
    Value result = launch.getResult(pair.result);
    if (PlanUses(entry).isOutput(result))
      copyOutput(launch, result);
    std::string why = whyNotOwn(launch, pair);
    nq::StateWriteOp write = PlanUses(entry).getWrite(result);
    if (!why.empty() && write) {
      // Made in the arena instead, and moved into the state afterwards.
      copyForState(write, getEnd(), why, kUpdateAdvice);
      why = whyNotOwn(launch, pair);
    }
    if (!why.empty())
      launch.getInputsMutable()[pair.operand].set(
          copy(launch.getInputs()[pair.operand], launch, launch.getLayer(), why,
               kUpdateAdvice));
    setInPlace(launch, pair, "");
  }

  /// Why what an update reads cannot be where its result lies; "" if it can.
  std::string whyNotOwn(exec::LaunchOp launch, InPlacePair pair) {
    PlanUses uses(entry);
    Value root = exec::getRoot(launch.getInputs()[pair.operand]);
    if (getOnlyOperand(launch, root) != int(pair.operand))
      return "the update reads what it writes";
    for (unsigned number : uses.getReaders(root)) {
      exec::LaunchOp reader = uses.getLaunches()[number];
      if (number > uses.getNumber(launch))
        return ("layer '" + reader.getLayer() + "' reads the old value later")
            .str();
    }
    nq::StateWriteOp write = uses.getWrite(launch.getResult(pair.result));
    auto read = root.getDefiningOp<nq::StateReadOp>();
    if (read && write && read.getStateAttr() == write.getStateAttr())
      return "";
    if (!uses.isInArena(root))
      return "the old value is not a buffer of the arena";
    return write ? "the old value is not that of the state" : "";
  }

  void copyOutput(exec::LaunchOp launch, Value result) {
    Operation *terminator = entry.front().getTerminator();
    for (OpOperand &operand : terminator->getOpOperands())
      if (exec::getRoot(operand.get()) == result)
        operand.set(copy(operand.get(), getEnd(), launch.getLayer(),
                         "the value is an output, and made in place",
                         "keep the cache in a state"));
  }

  //===--------------------------------------------------------------------===//
  // Arena
  //===--------------------------------------------------------------------===//

  void shareInArena() {
    PlanUses uses(entry);
    for (exec::LaunchOp launch : uses.getLaunches())
      if (!launch.getInPlace() && launch.getNumResults() == 1 &&
          uses.isInArena(launch.getResult(0)))
        share(uses, launch);
  }

  void share(const PlanUses &uses, exec::LaunchOp launch) {
    std::string why;
    for (auto [i, input] : llvm::enumerate(launch.getInputs())) {
      Value root = exec::getRoot(input);
      bool dies = uses.isInArena(root) &&
                  uses.getReaders(root).back() == uses.getNumber(launch);
      if (!dies || input.getType() != launch.getResult(0).getType() ||
          getOnlyOperand(launch, root) != int(i))
        continue;
      why = whyNotInPlace(getKernel(launch), i, 0);
      if (why.empty())
        return setInPlace(launch, {unsigned(i), 0}, "");
    }
    if (!why.empty())
      remarkMissed(launch.getLoc(), "reuse-buffers")
          << RemarkArg("chosen", "buffer of its own")
          << RemarkArg("rejected", "in place") << RemarkArg("reason", why);
  }

  void setInPlace(exec::LaunchOp launch, InPlacePair pair, std::string where) {
    SmallVector<int64_t> places(launch.getNumResults(), -1);
    if (auto known = launch.getInPlace())
      places.assign(known->begin(), known->end());
    if (places[pair.result] >= 0)
      return;
    places[pair.result] = pair.operand;
    launch.setInPlace(places);
    if (where.empty())
      where = "operand " + std::to_string(pair.operand);
    remarkDone(launch.getLoc(), "reuse-buffers")
        << RemarkArg("chosen", "in place of " + where)
        << RemarkArg("rejected",
                     "buffer of " + describe(launch.getResult(pair.result)))
        << RemarkArg("reason", "the operand is not read afterwards");
  }

  ModuleOp module;
  func::FuncOp entry;
  OpBuilder builder;
};

struct ReuseBuffersPass : nibble::impl::ReuseBuffersBase<ReuseBuffersPass> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        entries.push_back(function);
    for (func::FuncOp entry : entries)
      if (failed(Reuse(getOperation(), entry).run()))
        return signalPassFailure();
  }
};

} // namespace
