// compile-kernels-to-cpu: the code generator as a pass, for reproducers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"
#include "nibble/Target/Cpu/CpuTarget.h"

#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

/// Once per process: the linker, a library, resets all command line options.
class CompileKernelsToCpu
    : public PassWrapper<CompileKernelsToCpu, OperationPass<ModuleOp>> {
public:
  CompileKernelsToCpu() = default;
  CompileKernelsToCpu(const CompileKernelsToCpu &other) : PassWrapper(other) {}

  StringRef getArgument() const final { return "compile-kernels-to-cpu"; }
  StringRef getDescription() const final {
    return "Compile CPU kernels to a shared object, as `nibble compile` does, "
           "and "
           "leave the module as it is: fails with what the code generator or "
           "the "
           "linker says";
  }
  static StringRef getPassName() { return "CompileKernelsToCpu"; }

  void runOnOperation() override {
    OwningOpRef<ModuleOp> copy = getOperation().clone();
    CpuTargetOptions options;
    options.cpu = cpu;
    auto code = compileToSharedObject(*copy, options);
    if (code)
      return;
    emitError(getOperation().getLoc()) << llvm::toString(code.takeError());
    signalPassFailure();
  }

private:
  Option<std::string> cpu{*this, "cpu",
                          llvm::cl::desc("an LLVM CPU name, or native"),
                          llvm::cl::init(CpuTargetOptions().cpu)};
};

} // namespace

std::unique_ptr<Pass> createCompileKernelsToCpuPass() {
  return std::make_unique<CompileKernelsToCpu>();
}

} // namespace cpu
} // namespace nibble
