// lower-products-to-gpu: the generator of products as a pass.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToGpu/Products.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Support/GpuChip.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace nibble {
#define GEN_PASS_DEF_LOWERPRODUCTSTOGPU
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;

namespace {

std::string describe(const nibble::gpu::KernelLaunch &launch) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << launch.symbol << " grid " << launch.grid[0] << "x" << launch.grid[1]
     << "x" << launch.grid[2] << " block " << launch.block[0] << " values [";
  llvm::interleaveComma(launch.args, os,
                        [&](const nibble::gpu::KernelArg &arg) {
                          os << arg.value;
                          if (arg.offset)
                            os << "+" << arg.offset;
                        });
  os << "]";
  return text;
}

struct LowerProductsToGpuPass
    : nibble::impl::LowerProductsToGpuBase<LowerProductsToGpuPass> {
  using LowerProductsToGpuBase::LowerProductsToGpuBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto kernels = llvm::to_vector(
        llvm::make_filter_range(module.getOps<func::FuncOp>(), [](auto func) {
          return !func.isExternal() && nibble::gpu::isProductKernel(func);
        }));
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    auto target =
        mlir::gpu::GPUModuleOp::create(b, module.getLoc(), "gpu_kernels");
    nibble::setChip(target, chip);
    nibble::gpu::GpuTarget machine;
    machine.multiprocessors = multiprocessors;
    machine.chip = chip;
    for (func::FuncOp kernel : kernels) {
      auto lowered = nibble::gpu::lowerProductsToGpu(kernel, target, machine);
      if (failed(lowered))
        return signalPassFailure();
      SmallVector<Attribute> launches;
      for (const nibble::gpu::KernelLaunch &launch : lowered->launches)
        launches.push_back(b.getStringAttr(describe(launch)));
      kernel->setAttr("nibble.launches", b.getArrayAttr(launches));
      kernel->setAttr("nibble.workspace",
                      b.getI64IntegerAttr(lowered->workspaceBytes));
    }
  }
};

} // namespace
