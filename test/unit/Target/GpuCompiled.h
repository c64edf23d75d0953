// A kernel function compiled by a generator for GPUs, on the emulated driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPUCOMPILED_H
#define NIBBLE_TEST_UNIT_TARGET_GPUCOMPILED_H

#include "GpuAssembly.h"
#include "GpuRun.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Dialect/Tile/TileOps.h"
#include "nibble/Support/GpuChip.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"

namespace nibble {
namespace test {

/// To derive from, next to what has the function.
class GpuCompiled {
public:
  using Generator = std::function<mlir::FailureOr<gpu::GpuKernel>(
      mlir::func::FuncOp, mlir::gpu::GPUModuleOp)>;

  gpu::GpuKernel gpuKernel;
  std::string gpuError, gpuCode, ptx;

  void checkAssembly() { expectAssembles(ptx); }
  /// With NIBBLE_TEST_PTXAS in the environment.
  void checkAssemblyIfAsked() {
    if (!getenv("NIBBLE_TEST_PTXAS"))
      return;
    if (gpu::findPtxas().empty())
      GTEST_SKIP() << "there is no ptxas";
    checkAssembly();
  }

protected:
  /// `device` is null, with the reason in `gpuError`, if that fails.
  void compileForGpu(mlir::func::FuncOp kernel, const Generator &generator) {
    mlir::MLIRContext *context = kernel.getContext();
    mlir::DialectRegistry registry;
    gpu::registerGpuTarget(registry);
    registry.insert<tile::TileDialect>();
    context->appendDialectRegistry(registry);
    context->loadAllAvailableDialects();
    mlir::ScopedDiagnosticHandler handler(context,
                                          [&](mlir::Diagnostic &diagnostic) {
                                            gpuError += diagnostic.str() + "\n";
                                            return mlir::success();
                                          });
    if (mlir::failed(writePtx(kernel, generator)))
      return;
    device = std::make_unique<GpuRun>(ptx, gpuKernel);
    if (device->error.empty())
      return;
    gpuError += device->error + "\n" + ptx;
    device.reset();
  }

  /// Poisoned.
  static std::vector<GpuRun::Buffer> makeGpuOutputs(mlir::func::FuncOp kernel) {
    std::vector<GpuRun::Buffer> buffers;
    for (mlir::Type type : kernel.getResultTypes()) {
      auto tensor = llvm::cast<mlir::RankedTensorType>(type);
      buffers.emplace_back(nq::getStorageRegions(tensor).total,
                           GpuRun::kPoison);
    }
    return buffers;
  }

  std::unique_ptr<GpuRun> device;

private:
  mlir::LogicalResult writePtx(mlir::func::FuncOp kernel,
                               const Generator &generator) {
    mlir::OwningOpRef<mlir::ModuleOp> code =
        mlir::ModuleOp::create(kernel.getLoc());
    auto builder = mlir::OpBuilder::atBlockEnd(code->getBody());
    auto module =
        mlir::gpu::GPUModuleOp::create(builder, kernel.getLoc(), "gpu_kernels");
    setChip(module, getTestTarget().chip);
    auto lowered = generator(kernel, module);
    if (mlir::failed(lowered))
      return mlir::failure();
    gpuKernel = *lowered;
    llvm::raw_string_ostream(gpuCode) << *code;
    if (mlir::failed(mlir::verify(*code)))
      return mlir::failure();
    gpu::GpuCodeOptions options;
    options.chip = getTestTarget().chip;
    auto text = gpu::emitPtx(module, options);
    if (!text) {
      gpuError += llvm::toString(text.takeError());
      return mlir::failure();
    }
    ptx = *text;
    return mlir::success();
  }
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPUCOMPILED_H
