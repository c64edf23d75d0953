// emitPtx: lower, translate, optimize, emit.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Target/Gpu/GpuTarget.h"

#include "nibble/Target/DiagnosticText.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/IndexToLLVM/IndexToLLVM.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm-c/Target.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

void initializeNvptx() {
  static bool done = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)done;
}

using MachinePtr = std::unique_ptr<llvm::TargetMachine>;

llvm::CodeGenOptLevel getCodeGenLevel(unsigned level) {
  return level <= 1   ? llvm::CodeGenOptLevel::Less
         : level == 2 ? llvm::CodeGenOptLevel::Default
                      : llvm::CodeGenOptLevel::Aggressive;
}

llvm::Expected<MachinePtr> createMachine(const GpuCodeOptions &options) {
  initializeNvptx();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string reason;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, reason);
  if (!target)
    return llvm::createStringError("LLVM has no NVPTX target: " + reason);
  // PTX 9.0 is that of CUDA 13.0, the oldest that has sm_110a.
  MachinePtr machine(target->createTargetMachine(
      triple, options.chip, "+ptx90", {}, std::nullopt, std::nullopt,
      getCodeGenLevel(options.optLevel)));
  if (!machine)
    return llvm::createStringError("LLVM refused the chip " + options.chip);
  return machine;
}

void optimize(llvm::Module &module, llvm::TargetMachine &machine,
              unsigned level) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(&machine);
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(sccs);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, sccs, modules);
  llvm::OptimizationLevel levels[] = {llvm::OptimizationLevel::O1,
                                      llvm::OptimizationLevel::O2,
                                      llvm::OptimizationLevel::O3};
  unsigned index = std::min(std::max(level, 1u), 3u) - 1;
  passes.buildPerModuleDefaultPipeline(levels[index]).run(module, modules);
}

/// Nothing is linked: all that kernels call must be there.
llvm::Error checkDefined(const llvm::Module &module) {
  std::string names;
  for (const llvm::Function &function : module)
    if (function.isDeclaration() && !function.isIntrinsic())
      names += (names.empty() ? "" : ", ") + function.getName().str();
  if (names.empty())
    return llvm::Error::success();
  return llvm::createStringError("kernels call functions that do not exist on "
                                 "a GPU: " +
                                 names);
}

llvm::Expected<std::string> generate(llvm::Module &module,
                                     llvm::TargetMachine &machine) {
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream os(text);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, os, nullptr,
                                  llvm::CodeGenFileType::AssemblyFile))
    return llvm::createStringError("the NVPTX target cannot emit assembly");
  passes.run(module);
  return text.str().str();
}

llvm::Expected<std::string> compile(llvm::Module &module,
                                    const GpuCodeOptions &options) {
  auto machine = createMachine(options);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple((*machine)->getTargetTriple());
  module.setDataLayout((*machine)->createDataLayout());
  std::string broken;
  llvm::raw_string_ostream os(broken);
  if (llvm::verifyModule(module, &os))
    return llvm::createStringError("invalid LLVM IR: " + broken);
  optimize(module, **machine, options.optLevel);
  if (llvm::Error error = checkDefined(module))
    return error;
  if (options.llvmText) {
    llvm::raw_string_ostream text(*options.llvmText);
    module.print(text, nullptr);
  }
  return generate(module, **machine);
}

LogicalResult lower(mlir::gpu::GPUModuleOp module) {
  PassManager pm(module.getContext(),
                 mlir::gpu::GPUModuleOp::getOperationName());
  buildGpuLowerKernelsPipeline(pm);
  return pm.run(module);
}

} // namespace

void registerGpuTarget(DialectRegistry &registry) {
  registry.insert<mlir::gpu::GPUDialect, NVVM::NVVMDialect>();
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  arith::registerConvertArithToLLVMInterface(registry);
  cf::registerConvertControlFlowToLLVMInterface(registry);
  registerConvertFuncToLLVMInterface(registry);
  index::registerConvertIndexToLLVMInterface(registry);
  registerConvertMathToLLVMInterface(registry);
  registerConvertMemRefToLLVMInterface(registry);
  registerConvertNVVMToLLVMInterface(registry);
  ub::registerConvertUBToLLVMInterface(registry);
  vector::registerConvertVectorToLLVMInterface(registry);
}

llvm::Expected<std::string> emitPtx(mlir::gpu::GPUModuleOp module,
                                    const GpuCodeOptions &options) {
  DiagnosticText diagnostics(module.getContext());
  if (failed(lower(module)))
    return diagnostics.error("lowering kernels to NVVM failed:");
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> code =
      translateModuleToLLVMIR(module, context, "kernels");
  if (!code)
    return diagnostics.error("translation to LLVM IR failed:");
  return compile(*code, options);
}

} // namespace gpu
} // namespace nibble
