// A gpu.func that is being written for a product, and its buffers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTFUNCTION_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTFUNCTION_H

#include "GemmCode.h"
#include "KernelBuffers.h"
#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace nibble {
namespace gpu {

/// The graph of one product part (ProductCut.h): operands are functions of an
/// index, of arguments in memory.
struct ProductGraph {
  explicit ProductGraph(mlir::func::FuncOp part);
  mlir::LogicalResult read();

  mlir::func::FuncOp part;
  mlir::Operation *product; ///< nq.matmul or nq.attention
  cpu::KernelGraph graph;
  cpu::KernelStages stages; ///< without stages: nothing is stored
};

/// A kernel in a gpu.module. Its parameters are the buffers of the operands and
/// of the result of a part, then an optional workspace of f32, optional
/// counters of 32 bits, then optional tensor maps (pointers;
/// convert-gpu-to-llvm makes them constants of a grid).
class ProductFunction : public cpu::KernelBuffers {
public:
  /// Registers are left for `blocks` blocks of `threads` on a multiprocessor.
  ProductFunction(ProductGraph &product, mlir::gpu::GPUModuleOp target,
                  const llvm::Twine &symbol, int64_t threads, int64_t blocks,
                  int64_t workspaceFloats, unsigned maps = 0,
                  int64_t counters = 0);

  /// `count` f32 in shared memory, 16-byte aligned.
  mlir::Value addShared(int64_t count);
  void barrier();
  mlir::Value thread();
  /// Number of the block.
  mlir::Value block();
  mlir::Value getWorkspace() {
    return function.getArgument(getCountersNumber() - hasCounters);
  }
  /// Number of the argument behind the workspace.
  unsigned getCountersNumber() {
    return function.getFunctionType().getNumInputs() - 1 - maps;
  }
  mlir::Value getMap() {
    return function.getArgument(function.getFunctionType().getNumInputs() -
                                maps);
  }
  /// The same values, computed here and not where they are used first: sums
  /// that sink into the branches that store them leave all their factors in
  /// registers.
  llvm::SmallVector<mlir::Value> pin(mlir::ValueRange values);
  mlir::Value zero() { return constant(0); }
  mlir::Value constant(double value);

  /// Ends the function; a launch of `blocks` blocks, whose parameters count
  /// from the values of the part. Arguments of tensor maps are the caller's.
  KernelLaunch finish(int64_t blocks);

  mlir::gpu::GPUFuncOp function;
  cpu::GemmCode code; ///< stands in the body

private:
  int64_t threads;
  unsigned maps;
  bool hasCounters;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTFUNCTION_H
