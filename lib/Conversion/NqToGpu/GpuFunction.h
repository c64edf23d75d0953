// One GPU kernel: its parameters, its threads and its shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_GPUFUNCTION_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_GPUFUNCTION_H

#include "KernelBuffers.h"
#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// A `gpu.func kernel` on flat memrefs: operands, results, workspace (if it has
/// bytes). Blocks and threads are one-dimensional. `b` stands in its body.
class GpuFunction : public cpu::KernelBuffers {
public:
  GpuFunction(mlir::func::FuncOp kernel, mlir::gpu::GPUModuleOp target,
              llvm::StringRef symbol, int64_t threads, int64_t workspaceBytes);

  void bindArguments(cpu::KernelGraph &graph, const cpu::KernelStages &stages);
  /// `count` elements from byte `offset` (a multiple of 64) of the workspace.
  mlir::Value workspaceView(int64_t offset, mlir::Type element, int64_t count);
  /// `count` elements in memory that the threads of a block share, as they
  /// are stored; `element` as for viewOf.
  mlir::Value makeShared(mlir::Type element, int64_t count);

  mlir::Value threadId(); ///< an index
  mlir::Value blockId();  ///< an index
  int64_t getThreads() const { return warp ? 32 : threads; }
  /// What is written to shared memory before is seen by others after it.
  void barrier();

  /// In `body`, which gets the number of its warp, each warp is as a block is
  /// elsewhere: it has 32 threads, shared memory of its own, and a barrier that
  /// no other warp comes to.
  void forWarps(llvm::function_ref<void(mlir::Value)> body);

  /// Parameters in order; `blocks` blocks.
  KernelLaunch makeLaunch(int64_t blocks);

  mlir::gpu::GPUFuncOp function;

private:
  void markAliases();
  mlir::Value addShared(mlir::MemRefType type);

  int64_t threads;
  bool hasWorkspace;
  mlir::Value thread, block;
  mlir::Value warp, lane; ///< in forWarps
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_GPUFUNCTION_H
