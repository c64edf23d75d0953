// Who writes and who reads the buffers of a plan.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_SELECT_PLANUSES_H
#define NIBBLE_LIB_TRANSFORMS_SELECT_PLANUSES_H

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"

namespace nibble {

/// Readers and places of the values of an entry point, as it is now. Values are
/// named by their roots (exec::getRoot).
class PlanUses {
public:
  explicit PlanUses(mlir::func::FuncOp entry);

  /// Launches in order.
  llvm::ArrayRef<exec::LaunchOp> getLaunches() const { return launches; }
  unsigned getNumber(exec::LaunchOp launch) const {
    return numbers.lookup(launch);
  }
  /// Numbers of the launches that read `root`, each once, ascending.
  llvm::ArrayRef<unsigned> getReaders(mlir::Value root) const;

  /// Output number, or nothing.
  bool isOutput(mlir::Value root) const { return outputs.contains(root); }
  /// The write that puts `root` into a state, or null.
  nq::StateWriteOp getWrite(mlir::Value root) const {
    return written.lookup(root);
  }
  /// A launch result that lives in the arena.
  bool isInArena(mlir::Value root) const {
    return root.getDefiningOp<exec::LaunchOp>() && !isOutput(root) &&
           !getWrite(root);
  }

  /// The read of the old value and the write of the new one, per state.
  struct State {
    nq::StateReadOp read;
    nq::StateWriteOp write;
  };
  const llvm::MapVector<mlir::StringAttr, State> &getStates() const {
    return states;
  }
  /// An error if a state is read or written twice, or read after it was
  /// written.
  mlir::LogicalResult checkStates();

private:
  mlir::func::FuncOp entry;
  llvm::SmallVector<exec::LaunchOp> launches;
  llvm::DenseMap<mlir::Operation *, unsigned> numbers;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<unsigned>> readers;
  llvm::DenseSet<mlir::Value> outputs;
  llvm::DenseMap<mlir::Value, nq::StateWriteOp> written;
  llvm::MapVector<mlir::StringAttr, State> states;
};

/// Operand number of `launch` whose root is `root`, if it is there exactly
/// once; else -1.
int getOnlyOperand(exec::LaunchOp launch, mlir::Value root);

/// The function that a launch runs.
mlir::func::FuncOp getKernel(exec::LaunchOp launch);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_SELECT_PLANUSES_H
