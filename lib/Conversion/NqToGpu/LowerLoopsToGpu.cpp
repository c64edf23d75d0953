// lower-loops-to-gpu: the generator of kernels without products as a pass.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToGpu/Loops.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Support/GpuChip.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace nibble {
#define GEN_PASS_DEF_LOWERLOOPSTOGPU
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

struct LowerLoopsToGpuPass
    : nibble::impl::LowerLoopsToGpuBase<LowerLoopsToGpuPass> {
  using LowerLoopsToGpuBase::LowerLoopsToGpuBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    auto code =
        mlir::gpu::GPUModuleOp::create(builder, module.getLoc(), "gpu_kernels");
    setChip(code, chip);
    for (auto kernel : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (kernel.isPrivate() && !kernel.isExternal() && !hasProducts(kernel) &&
          failed(lower(kernel, code)))
        return signalPassFailure();
  }

private:
  static bool hasProducts(func::FuncOp kernel) {
    return kernel
        .walk([](Operation *op) {
          return isa<nq::MatmulOp, nq::AttentionOp>(op)
                     ? WalkResult::interrupt()
                     : WalkResult::advance();
        })
        .wasInterrupted();
  }

  LogicalResult lower(func::FuncOp kernel, mlir::gpu::GPUModuleOp code) {
    nibble::gpu::GpuTarget target;
    target.chip = chip;
    auto lowered = nibble::gpu::lowerLoopsToGpu(kernel, code, target);
    if (failed(lowered))
      return failure();
    Builder b(&getContext());
    for (const nibble::gpu::KernelLaunch &launch : lowered->launches) {
      Operation *function = code.lookupSymbol(launch.symbol);
      function->setAttr("nibble.blocks", b.getI64IntegerAttr(launch.grid[0]));
      if (lowered->workspaceBytes)
        function->setAttr("nibble.workspace",
                          b.getI64IntegerAttr(lowered->workspaceBytes));
    }
    return success();
  }
};

} // namespace
