// gpu-overlap-launches: kernels that may begin before the one before them ends.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

class OverlapLaunches
    : public PassWrapper<OverlapLaunches,
                         OperationPass<mlir::gpu::GPUModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(OverlapLaunches)
  StringRef getArgument() const final { return "gpu-overlap-launches"; }
  StringRef getDescription() const final {
    return "Let every kernel wait for those before it where it begins, and let "
           "the next one start then";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<NVVM::NVVMDialect>();
  }

  void runOnOperation() override {
    for (auto function : getOperation().getOps<FunctionOpInterface>())
      if (isKernel(function) && !function.isExternal() && !waits(function))
        addWait(function);
  }

private:
  static bool isKernel(Operation *function) {
    if (auto gpu = dyn_cast<mlir::gpu::GPUFuncOp>(function))
      return gpu.isKernel();
    return function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName());
  }

  static bool waits(Operation *function) {
    return function
        ->walk([](NVVM::GriddepcontrolOp) { return WalkResult::interrupt(); })
        .wasInterrupted();
  }

  static void addWait(FunctionOpInterface function) {
    OpBuilder b = OpBuilder::atBlockBegin(&function.getFunctionBody().front());
    for (auto kind : {NVVM::GridDepActionKind::wait,
                      NVVM::GridDepActionKind::launch_dependents})
      NVVM::GriddepcontrolOp::create(b, function.getLoc(), kind);
  }
};

} // namespace

std::unique_ptr<Pass> createOverlapLaunchesPass() {
  return std::make_unique<OverlapLaunches>();
}

} // namespace gpu
} // namespace nibble
