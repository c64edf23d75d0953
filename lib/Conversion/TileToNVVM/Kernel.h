// A kernel being written: what all its roles share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_KERNEL_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_KERNEL_H

#include "Code.h"
#include "Params.h"
#include "SharedMemory.h"

#include "mlir/IR/IRMapping.h"

#include <memory>

namespace nibble {
namespace tilecode {

/// Indices of the running thread, and of its block in the cluster: rank =
/// m + (blocks along m) * (n + (blocks along n) * k).
struct Threads {
  mlir::Value thread, lane, warp;
  Int cluster = 0; ///< number of the cluster in the grid
  Int rank = 0, rankM = 0, rankN = 0, rankK = 0;
};

/// Of a warp of a role, counted from its first.
Int getTeam(Code &code, tile::RoleOp role, Int warp);
/// In the team.
Int getWarpgroup(Code &code, tile::RoleOp role, Int warp);

/// The array that dynamic shared memory is; one for all kernels of a module.
mlir::LLVM::GlobalOp getDynamicMemory(mlir::LLVM::LLVMFuncOp function);

/// Prologue, barriers and roles; targets write what a role does.
class Kernel {
public:
  explicit Kernel(tile::KernelOp op) : op(op), shared(op) {}
  virtual ~Kernel() = default;

  /// Writes the function. On failure the caller erases it.
  mlir::LogicalResult write(mlir::LLVM::LLVMFuncOp function);

  int64_t getThreads();
  /// Blocks of the cluster along m (0), n (1) and k (2).
  int64_t getBlocks(unsigned axis) { return op.getBlocks(axis); }
  int64_t getClusterSize() { return op.getClusterSize(); }
  /// Tiles that a cluster does side by side.
  int64_t getClusterTiles() { return getBlocks(0) * getBlocks(1); }
  /// Rank of the first block with the running block's slice of K.
  Int getFirstOfSlice() { return code->mul(threads.rankK, getClusterTiles()); }
  Code &getCode() { return *code; }

  tile::KernelOp op;
  SharedMemory shared;
  Params params;
  Threads threads;
  mlir::Value memory; ///< begin of shared memory
  /// Scalars and constants outside of roles.
  mlir::IRMapping values;

protected:
  virtual mlir::LogicalResult writeRole(tile::RoleOp role) = 0;
  /// Before the barrier behind which roles begin; behind it; and when all roles
  /// are done.
  virtual void writeSetUp() {}
  virtual void writeBegin() {}
  virtual void writeEnd() {}
  void writeClusterBarrier(bool aligned);

private:
  void writeThreads();
  void writeBarriers();
  mlir::LogicalResult writeOutside();
  void writeRegisters(tile::RoleOp role);
  mlir::LogicalResult writeRoles();

  std::unique_ptr<Code> code;
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_KERNEL_H
