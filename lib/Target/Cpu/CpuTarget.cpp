// compileToSharedObject: lower, translate, optimize, emit, link.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Target/Cpu/CpuTarget.h"
#include "EmitObject.h"

#include "nibble/Target/DiagnosticText.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

LogicalResult lower(ModuleOp module) {
  PassManager pm(module.getContext());
  buildCpuLowerKernelsPipeline(pm);
  return pm.run(module);
}

} // namespace

void registerCpuTarget(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

llvm::Expected<std::string>
compileToSharedObject(ModuleOp module, const CpuTargetOptions &options) {
  DiagnosticText diagnostics(module.getContext());
  auto machine = createTargetMachine(options);
  if (!machine)
    return machine.takeError();
  if (failed(lower(module)))
    return diagnostics.error("lowering kernels to LLVM failed:");

  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code =
      translateModuleToLLVMIR(module, context, "kernels");
  if (!code)
    return diagnostics.error("translation to LLVM IR failed:");
  auto object = emitObject(*code, **machine, options);
  if (!object)
    return object.takeError();
  return linkSharedObject(*object, **machine);
}

} // namespace cpu
} // namespace nibble
