// LLVM IR to an ELF object: target machine, optimization, code generation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "EmitObject.h"

#include "llvm-c/Target.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/SubtargetFeature.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/TargetParser/X86TargetParser.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace llvm;

namespace nibble {
namespace cpu {
namespace {

void initializeX86() {
  static bool done = [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    return true;
  }();
  (void)done;
}

/// The features of this machine, for cpu "native", sorted.
std::string hostFeatures() {
  SubtargetFeatures features;
  std::vector<std::pair<std::string, bool>> sorted;
  for (const auto &entry : sys::getHostCPUFeatures())
    sorted.emplace_back(entry.first().str(), entry.second);
  llvm::sort(sorted);
  for (const auto &[name, enabled] : sorted)
    features.AddFeature(name, enabled);
  return features.getString();
}

CodeGenOptLevel codeGenLevel(unsigned level) {
  return level == 0   ? CodeGenOptLevel::None
         : level == 1 ? CodeGenOptLevel::Less
         : level == 2 ? CodeGenOptLevel::Default
                      : CodeGenOptLevel::Aggressive;
}

OptimizationLevel passLevel(unsigned level) {
  return level == 0   ? OptimizationLevel::O0
         : level == 1 ? OptimizationLevel::O1
         : level == 2 ? OptimizationLevel::O2
                      : OptimizationLevel::O3;
}

void setAttributes(Module &module, TargetMachine &machine) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
  for (Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", machine.getTargetCPU());
    function.addFnAttr("target-features", machine.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", "256");
    function.addFnAttr(Attribute::NoUnwind);
    // There is no C library: loops stay loops.
    function.addFnAttr("no-builtins");
  }
}

void optimize(Module &module, TargetMachine &machine, unsigned level) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager sccs;
  ModuleAnalysisManager modules;
  PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.LoopInterleaving = level > 1;
  tuning.SLPVectorization = level > 1;
  PassBuilder passes(&machine, tuning);
  TargetLibraryInfoImpl library(machine.getTargetTriple());
  library.disableAllFunctions();
  functions.registerPass([&] { return TargetLibraryAnalysis(library); });
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(sccs);
  passes.registerFunctionAnalyses(functions);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, functions, sccs, modules);
  passes.buildPerModuleDefaultPipeline(passLevel(level)).run(module, modules);
}

Expected<Bytes> generate(Module &module, TargetMachine &machine,
                         CodeGenFileType type) {
  Bytes bytes;
  raw_svector_ostream os(bytes);
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, os, nullptr, type))
    return createStringError("the LLVM target cannot emit this kind of file");
  passes.run(module);
  return bytes;
}

} // namespace

static CpuFeatures featuresOf(const TargetMachine &machine) {
  const MCSubtargetInfo *info = machine.getMCSubtargetInfo();
  CpuFeatures features;
  features.avx2 = info->checkFeatures("+avx2");
  features.fma = info->checkFeatures("+fma");
  features.f16c = info->checkFeatures("+f16c");
  features.avx512 = info->checkFeatures("+avx512f,+avx512vl,+avx512bw");
  return features;
}

Expected<std::unique_ptr<TargetMachine>>
createTargetMachine(const CpuTargetOptions &options) {
  initializeX86();
  Triple triple("x86_64-unknown-linux-gnu");
  std::string reason;
  const Target *target = TargetRegistry::lookupTarget(triple, reason);
  if (!target)
    return createStringError("LLVM has no x86-64 target: " + reason);
  bool native = options.cpu == "native";
  std::string cpu = native ? sys::getHostCPUName().str() : options.cpu;
  std::string features = native ? hostFeatures() : "";
  if (X86::parseArchX86(cpu, /*Only64Bit=*/true) == X86::CK_None)
    return createStringError("unknown CPU '" + cpu +
                             "'; use x86-64-v3, x86-64-v4, native or a CPU "
                             "name of LLVM");
  if (!options.features.empty())
    features += (features.empty() ? "" : ",") + options.features;
  TargetOptions targetOptions;
  std::unique_ptr<TargetMachine> machine(target->createTargetMachine(
      triple, cpu, features, targetOptions, Reloc::PIC_, CodeModel::Small,
      codeGenLevel(options.optLevel)));
  if (!machine)
    return createStringError("LLVM refused the target x86-64, cpu " + cpu);
  CpuFeatures have = featuresOf(*machine);
  if (!have.avx2 || !have.fma || !have.f16c)
    return createStringError("CPU '" + cpu +
                             "' has no AVX2, FMA or F16C, which kernels are "
                             "made of; use x86-64-v3 or better");
  return machine;
}

Expected<CpuFeatures> getCpuFeatures(const CpuTargetOptions &options) {
  auto machine = createTargetMachine(options);
  if (!machine)
    return machine.takeError();
  return featuresOf(**machine);
}

Expected<Bytes> emitObject(Module &module, TargetMachine &machine,
                           const CpuTargetOptions &options) {
  setAttributes(module, machine);
  std::string broken;
  raw_string_ostream os(broken);
  if (verifyModule(module, &os))
    return createStringError("invalid LLVM IR: " + broken);
  optimize(module, machine, options.optLevel);
  if (options.llvmText) {
    raw_string_ostream text(*options.llvmText);
    module.print(text, nullptr);
  }
  if (options.asmText) {
    auto text =
        generate(*CloneModule(module), machine, CodeGenFileType::AssemblyFile);
    if (!text)
      return text.takeError();
    options.asmText->assign(text->begin(), text->end());
  }
  return generate(module, machine, CodeGenFileType::ObjectFile);
}

} // namespace cpu
} // namespace nibble
