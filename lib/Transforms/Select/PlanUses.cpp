// Who writes and who reads the buffers of a plan.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PlanUses.h"

using namespace mlir;
using namespace nibble;

PlanUses::PlanUses(func::FuncOp entry) : entry(entry) {
  for (Operation &op : entry.front()) {
    if (auto launch = dyn_cast<exec::LaunchOp>(op)) {
      unsigned number = launches.size();
      numbers[launch] = number;
      launches.push_back(launch);
      for (Value input : launch.getInputs()) {
        auto &list = readers[exec::getRoot(input)];
        if (list.empty() || list.back() != number)
          list.push_back(number);
      }
    } else if (auto read = dyn_cast<nq::StateReadOp>(op)) {
      State &state = states[read.getStateAttr().getAttr()];
      if (!state.read)
        state.read = read;
    } else if (auto write = dyn_cast<nq::StateWriteOp>(op)) {
      states[write.getStateAttr().getAttr()].write = write;
      written[exec::getRoot(write.getValue())] = write;
    } else if (isa<func::ReturnOp>(op)) {
      for (Value value : op.getOperands())
        outputs.insert(exec::getRoot(value));
    }
  }
}

ArrayRef<unsigned> PlanUses::getReaders(Value root) const {
  auto it = readers.find(root);
  return it == readers.end() ? ArrayRef<unsigned>() : it->second;
}

LogicalResult PlanUses::checkStates() {
  llvm::DenseSet<StringAttr> readBefore, writtenBefore;
  for (Operation &op : entry.front()) {
    auto read = dyn_cast<nq::StateReadOp>(op);
    auto write = dyn_cast<nq::StateWriteOp>(op);
    if (!read && !write)
      continue;
    StringAttr name =
        (read ? read.getStateAttr() : write.getStateAttr()).getAttr();
    bool again = writtenBefore.contains(name) ||
                 (read && !readBefore.insert(name).second);
    if (write)
      writtenBefore.insert(name);
    if (again)
      return op.emitOpError()
             << "state @" << name.getValue() << " is read or written again in '"
             << entry.getName()
             << "'; run forward-states before outline-kernels";
  }
  return success();
}

int nibble::getOnlyOperand(exec::LaunchOp launch, Value root) {
  int found = -1;
  for (auto [i, input] : llvm::enumerate(launch.getInputs())) {
    if (exec::getRoot(input) != root)
      continue;
    if (found >= 0)
      return -1;
    found = i;
  }
  return found;
}

func::FuncOp nibble::getKernel(exec::LaunchOp launch) {
  return SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
      launch, launch.getKernelAttr());
}
