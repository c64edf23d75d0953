// forward-states: states become values inside an entry point.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "llvm/ADT/MapVector.h"

namespace nibble {
#define GEN_PASS_DEF_FORWARDSTATES
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

/// What is known of one state while walking down a block.
struct Access {
  nq::StateReadOp read;   ///< of the value at the beginning
  nq::StateWriteOp write; ///< the last one
};

struct ForwardStatesPass : nibble::impl::ForwardStatesBase<ForwardStatesPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (!function->hasAttr(kEntryAttr) || function.isExternal())
      return;
    if (failed(checkRegions(function)))
      return signalPassFailure();
    llvm::MapVector<StringAttr, Access> states;
    for (Operation &op :
         llvm::make_early_inc_range(function.front().without_terminator()))
      visit(&op, states);
    Operation *terminator = function.front().getTerminator();
    for (auto &[name, access] : states)
      finish(access, terminator);
  }

  /// Branches and loops would need control flow analysis; graphs have none.
  LogicalResult checkRegions(func::FuncOp function) {
    WalkResult result = function.walk([&](Operation *op) {
      if (!isa<nq::StateReadOp, nq::StateWriteOp>(op) ||
          op->getBlock() == &function.front())
        return WalkResult::advance();
      op->emitOpError() << "must stand in the body of an entry point, not "
                           "inside of '"
                        << op->getParentOp()->getName() << "'";
      return WalkResult::interrupt();
    });
    return failure(result.wasInterrupted());
  }

  static void visit(Operation *op,
                    llvm::MapVector<StringAttr, Access> &states) {
    if (auto read = dyn_cast<nq::StateReadOp>(op)) {
      Access &access = states[read.getStateAttr().getAttr()];
      Value known;
      if (access.write)
        known = access.write.getValue();
      else if (access.read)
        known = access.read.getResult();
      if (known) {
        read.getResult().replaceAllUsesWith(known);
        read->erase();
      } else {
        access.read = read;
        read->moveBefore(&read->getBlock()->front());
      }
    } else if (auto write = dyn_cast<nq::StateWriteOp>(op)) {
      Access &access = states[write.getStateAttr().getAttr()];
      if (access.write)
        access.write->erase();
      access.write = write;
    }
  }

  static void finish(Access &access, Operation *terminator) {
    if (access.write) {
      if (access.read && access.write.getValue() == access.read.getResult())
        access.write->erase();
      else
        access.write->moveBefore(terminator);
    }
    if (access.read && access.read->use_empty())
      access.read->erase();
  }
};

} // namespace
