// compile-kernels-to-ptx: the code generator as a pass.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"
#include "nibble/Target/Gpu/GpuTarget.h"

#include "llvm/Support/FileSystem.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

class CompileKernelsToPtx
    : public PassWrapper<CompileKernelsToPtx, OperationPass<ModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CompileKernelsToPtx)
  CompileKernelsToPtx() = default;
  CompileKernelsToPtx(const CompileKernelsToPtx &other) : PassWrapper(other) {}

  StringRef getArgument() const final { return "compile-kernels-to-ptx"; }
  StringRef getDescription() const final {
    return "Compile every gpu.module to PTX, as `nibble compile` does, and "
           "leave the module as it is: fails with what the code generator says";
  }

  void runOnOperation() override {
    OwningOpRef<ModuleOp> copy = getOperation().clone();
    for (auto module : copy->getOps<mlir::gpu::GPUModuleOp>())
      if (llvm::Error error = compile(module)) {
        emitError(module.getLoc()) << llvm::toString(std::move(error));
        return signalPassFailure();
      }
  }

private:
  llvm::Error compile(mlir::gpu::GPUModuleOp module) {
    GpuCodeOptions options;
    options.chip = chip;
    auto ptx = emitPtx(module, options);
    if (!ptx)
      return ptx.takeError();
    if (output.empty())
      return llvm::Error::success();
    std::error_code error;
    llvm::raw_fd_ostream(output, error, llvm::sys::fs::OF_Append) << *ptx;
    return llvm::errorCodeToError(error);
  }

  Option<std::string> chip{*this, "chip", llvm::cl::desc("sm_90a, sm_110a ..."),
                           llvm::cl::init(GpuCodeOptions().chip)};
  Option<std::string> output{
      *this, "output", llvm::cl::desc("file that gets the PTX, - for stdout")};
};

} // namespace

std::unique_ptr<Pass> createCompileKernelsToPtxPass() {
  return std::make_unique<CompileKernelsToPtx>();
}

} // namespace gpu
} // namespace nibble
