// What a plan keeps in memory, launch by launch: for the planner, the limit
// and reports.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ANALYSIS_MEMORYPLAN_H
#define NIBBLE_ANALYSIS_MEMORYPLAN_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <string>
#include <vector>

namespace nibble {

/// Attributes of an entry point, set by `plan-memory`: size of the arena, and
/// the least any arena needs for this order of launches, both in bytes.
constexpr llvm::StringLiteral kArenaAttr = "nibble.arena";
constexpr llvm::StringLiteral kArenaBoundAttr = "nibble.arena_bound";

/// One address range of the arena, and the values that lie there one after the
/// other (several where launches run in place).
struct MemoryBuffer {
  std::string layer; ///< of the launch that writes it first
  std::string kind;
  int64_t offset = -1; ///< in the arena; -1 before `plan-memory`
  int64_t size = 0;    ///< bytes, a multiple of 64
  int64_t first = 0,
          last = 0; ///< launches between which it lives, both included
  std::vector<mlir::Value> values; ///< launch results; none in a workspace
  mlir::Operation *workspaceOf = nullptr; ///< the launch whose workspace it is
};

/// One launch, in program order.
struct MemoryStep {
  std::string layer, kind;
  int64_t live = 0; ///< bytes of all buffers that live during it
};

/// The arena of one entry point. Inputs, outputs, constants and states lie
/// elsewhere.
struct MemoryPlan {
  std::string entry;
  std::vector<MemoryStep> steps;
  std::vector<MemoryBuffer> buffers;
  int64_t arena = -1; ///< bytes; -1 before `plan-memory`
  int64_t bound = 0;  ///< the most live bytes of a step
  int64_t peak = -1;  ///< the first step with that many; -1 if there is none

  /// Numbers of the buffers that live during `step`, largest first.
  std::vector<unsigned> getLive(int64_t step) const;
};

/// Reads the plan of an entry point: launches and aliases, in_place and
/// offsets as far as they are set.
MemoryPlan computeMemoryPlan(mlir::func::FuncOp entry);

/// Bytes that running a module takes: what `--max-memory` limits, see
/// docs/memory.md.
struct MemoryUse {
  int64_t constants = 0; ///< each once, in its packed form
  int64_t states = 0;
  int64_t arena = 0; ///< the largest of all entry points: they share it
  int64_t inputs = 0, outputs = 0; ///< of all entry points

  int64_t total() const {
    return constants + states + arena + inputs + outputs;
  }
};
MemoryUse computeMemoryUse(mlir::ModuleOp module);

/// Constants of a module with their sizes in bytes, largest first, each once.
std::vector<std::pair<mlir::Operation *, int64_t>>
getConstantsBySize(mlir::ModuleOp module);

/// "512 MiB", "1.5 GiB", "17 bytes".
std::string formatBytes(int64_t bytes);
/// "512MiB", "2GiB", "64KiB", "1TiB" or plain bytes; a fraction is allowed
/// before a unit. Failure for anything else, or if it is not positive.
mlir::FailureOr<int64_t> parseBytes(llvm::StringRef text);

} // namespace nibble

#endif // NIBBLE_ANALYSIS_MEMORYPLAN_H
