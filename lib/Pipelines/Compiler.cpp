// The compiler as a library: a model file in, an engine file out.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/Compiler.h"

#include "Reproducer.h"

#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Engine/WriteEngine.h"
#include "nibble/Import/OnnxImporter.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/Pipelines/Calibration.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/Report/Explain.h"
#include "nibble/Report/Lint.h"
#include "nibble/Target/Cpu/CpuTarget.h"
#include "nibble/Target/Gpu/GpuTarget.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Quantize/AssignPrecision.h"

#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/xxhash.h"
#include "llvm/TargetParser/Host.h"

#include <chrono>

using namespace mlir;
using namespace nibble;

std::string nibble::hashBytes(StringRef bytes) {
  std::string text;
  llvm::raw_string_ostream(text)
      << "xxh3:"
      << llvm::format_hex_no_prefix(
             llvm::xxh3_64bits(llvm::arrayRefFromStringRef(bytes)), 16);
  return text;
}

/// Maps a file; null if it cannot be read.
static std::unique_ptr<llvm::MemoryBuffer> mapFile(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  return buffer ? std::move(*buffer) : nullptr;
}

FailureOr<std::string> nibble::hashFile(StringRef path) {
  std::unique_ptr<llvm::MemoryBuffer> file = mapFile(path);
  if (!file)
    return failure();
  return hashBytes(file->getBuffer());
}

Compiler::Compiler(MLIRContext &context, CompileOptions options)
    : context(context), options(std::move(options)) {
  collectDecisions(context, decisions);
}

llvm::json::Value Compiler::getReport() const {
  return explain(*decisions, {options.input, options.target, options.command,
                              getModelHash(), stageDone, problems});
}

Compiler::Compiler(MLIRContext &context, CompileOptions options,
                   OwningOpRef<ModuleOp> module, Stage next)
    : context(context), options(std::move(options)), module(std::move(module)),
      next(next) {}

/// Reports a problem with a file rather than a layer.
static LogicalResult fail(MLIRContext &context, const Twine &message) {
  return emitError(UnknownLoc::get(&context)) << message.str();
}

/// What the user wants of precision, before any time is spent on the model.
LogicalResult Compiler::readPolicies() {
  auto permissions =
      FallbackPolicy::parse(options.allowFallback, getPrecisionNames());
  if (!permissions)
    return fail(context, llvm::toString(permissions.takeError()));
  fallbacks = std::move(*permissions);
  if (!options.policy.empty()) {
    auto policy = PrecisionPolicy::load(options.policy);
    if (!policy)
      return fail(context, llvm::toString(policy.takeError()));
    precisionPolicy = std::move(*policy);
  }
  if (options.quantize.empty())
    return success();
  auto format = LayerFormat::parse(options.quantize);
  if (!format)
    return fail(context, "--quantize: " + llvm::toString(format.takeError()));
  if (!precisionPolicy)
    precisionPolicy.emplace();
  precisionPolicy->addDefault(*format);
  return success();
}

/// A gigabyte takes a fifth of a second, and nobody needs the hash before the
/// end.
LogicalResult Compiler::startHash() {
  std::unique_ptr<llvm::MemoryBuffer> buffer = mapFile(options.input);
  if (!buffer)
    return fail(context, "cannot read model '" + options.input + "'");
  modelHash = std::async(std::launch::async, [file = std::move(buffer)] {
                return hashBytes(file->getBuffer());
              }).share();
  return success();
}

std::string Compiler::getModelHash() const {
  return modelHash.valid() ? modelHash.get() : std::string();
}

static FailureOr<ElementsAttr> evaluate(Value value) {
  if (auto attr = ref::evaluateToAttr(value))
    return *attr;
  return failure();
}

LogicalResult Compiler::import() {
  if (failed(readPolicies()))
    return failure();
  if (failed(startHash()))
    return failure();
  next = Stage::Canonical;
  if (StringRef(options.input).ends_with(".mlir")) {
    if (!options.entries.empty())
      return fail(context, "--entry needs an ONNX model, and '" +
                               options.input +
                               "' is MLIR: put the entry "
                               "points into one module");
    module = parseSourceFile<ModuleOp>(options.input, &context);
    return success(bool(module));
  }
  onnx::ImportOptions importOptions;
  for (const std::string &text : options.shapes) {
    auto binding = onnx::parseShapeBinding(text);
    if (failed(binding))
      return fail(context, "--shape '" + text + "' is not NAME=1x970x2048");
    importOptions.shapes.push_back(*binding);
  }
  importOptions.evaluator = evaluate;
  auto imported = onnx::importOnnx(options.input, importOptions, &context);
  if (failed(imported))
    return failure();
  module = std::move(*imported);
  for (const std::string &entry : options.entries)
    if (failed(importEntry(entry)))
      return failure();
  return success();
}

/// Imports "NAME=MODEL.onnx" and moves its function beside the others.
LogicalResult Compiler::importEntry(StringRef text) {
  auto [name, file] = text.split('=');
  if (name.empty() || !file.ends_with(".onnx"))
    return fail(context, "--entry '" + text + "' is not NAME=MODEL.onnx");
  if (module->lookupSymbol(name))
    return fail(context, "--entry '" + text + "': there is an entry point '" +
                             name + "' already; give it another name");
  onnx::ImportOptions importOptions;
  importOptions.entryName = name.str();
  importOptions.evaluator = evaluate;
  auto imported = onnx::importOnnx(file, importOptions, &context);
  if (failed(imported))
    return failure();
  Block *body = module->getBody(), *other = (*imported)->getBody();
  body->getOperations().splice(body->end(), other->getOperations());
  return success();
}

static void buildStage(OpPassManager &pm, Stage stage,
                       const CompileOptions &options,
                       FallbackPolicy &fallbacks) {
  std::string target = StringRef(options.target).split(':').first.str();
  switch (stage) {
  case Stage::Canonical: {
    CanonicalOptions canonical;
    canonical.disabled.assign(options.disabledFusions.begin(),
                              options.disabledFusions.end());
    canonical.states.assign(options.states.begin(), options.states.end());
    canonical.allowed.assign(options.allowedRewrites.begin(),
                             options.allowedRewrites.end());
    return buildCanonicalPipeline(pm, canonical);
  }
  case Stage::Fuse: {
    FuseOptions fuse;
    fuse.disabled.assign(options.disabledFusions.begin(),
                         options.disabledFusions.end());
    fuse.forced.assign(options.forcedFusions.begin(),
                       options.forcedFusions.end());
    fuse.target = target;
    if (options.splitOutputRounding) {
      pm.addNestedPass<func::FuncOp>(createSplitOutputRounding());
      // Accumulators can be seen only between kernels.
      for (StringRef name : getFusionNames())
        if (name != "fuse-elementwise")
          fuse.disabled.push_back(name.str());
    }
    return buildFusePipeline(pm, fuse);
  }
  case Stage::Layout:
    return buildLayoutPipeline(pm, {target, &fallbacks});
  case Stage::Select:
    return buildSelectPipeline(pm, {target, &fallbacks, options.tuningDb,
                                    options.locked, options.candidates});
  case Stage::Lower:
    return buildLowerPipeline(pm, {target});
  case Stage::Quantize:
    return buildQuantizePipeline(pm);
  case Stage::Import:
  case Stage::Engine:
    return;
  }
}

/// Without a policy, models are obeyed as they are.
LogicalResult Compiler::quantize() {
  if (!precisionPolicy)
    return success();
  PrecisionSummary summary;
  PassManager assign(&context), apply(&context);
  assign.addPass(
      createAssignPrecisionPass(*precisionPolicy, fallbacks, summary));
  buildStage(apply, Stage::Quantize, options, fallbacks);
  if (failed(assign.run(*module)) ||
      failed(calibrate(*module, options, *decisions)) ||
      failed(runPasses(apply, Stage::Quantize)))
    return failure();
  emitRemark(UnknownLoc::get(&context))
      << "matmuls with weights: " << summary.str();
  return success();
}

LogicalResult Compiler::runStage(Stage stage) {
  if (options.progress)
    options.progress(stage);
  if (stage == Stage::Import) {
    if (failed(import()))
      return failure();
  } else if (stage == Stage::Quantize) {
    if (failed(quantize()))
      return failure();
  } else {
    PassManager pm(&context);
    buildStage(pm, stage, options, fallbacks);
    if (failed(runPasses(pm, stage)))
      return failure();
  }
  if (stage == Stage::Lower &&
      (failed(checkMemory()) || (options.emitCode && failed(emitCode()))))
    return failure();
  if (failed(dump(stage)))
    return failure();
  return stage == Stage::Engine ? write() : success();
}

/// Runs the passes of a stage, with a copy of the IR at hand in case they fail:
/// constants are shared, so that it costs little.
LogicalResult Compiler::runPasses(PassManager &pm, Stage stage) {
  OwningOpRef<ModuleOp> before;
  if (options.reproducerDir)
    before = module->clone();
  if (succeeded(pm.run(*module))) {
    if (stage == Stage::Canonical)
      remarkHazards(*module, lint(*module));
    return success();
  }
  std::string pipeline;
  llvm::raw_string_ostream os(pipeline);
  pm.printAsTextualPipeline(os);
  if (before)
    reproduce(*before, pipeline, getStageName(stage));
  return failure();
}

/// Nothing for what a model asked for and cannot get: that is no bug, and is
/// told as a remark.
void Compiler::reproduce(ModuleOp before, StringRef pipeline, StringRef stage) {
  if (llvm::any_of(decisions->all(), [](const Decision &decision) {
        return decision.kind == Decision::Kind::Failed;
      }))
    return;
  auto folder =
      writeReproducer({before, stage, pipeline, options.command, getReport()},
                      *options.reproducerDir);
  if (!folder) {
    emitWarning(UnknownLoc::get(&context))
        << "no reproducer: " << llvm::toString(folder.takeError());
    return;
  }
  emitRemark(UnknownLoc::get(&context))
      << "stage '" << stage
      << "' failed, which is a bug of nibble; please report it and attach the "
         "folder "
      << *folder;
}

/// Keeps what is told to people for the report.
static Problem getProblem(Diagnostic &diagnostic) {
  Problem problem{
      getLayerName(diagnostic.getLocation()).str(), diagnostic.str(), {}};
  for (Diagnostic &note : diagnostic.getNotes())
    problem.notes.push_back(note.str());
  return problem;
}

LogicalResult Compiler::runTo(Stage last) {
  ScopedDiagnosticHandler recorder(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
      problems.push_back(getProblem(diagnostic));
    return failure(); // others print it
  });
  for (int stage = int(next); stage <= int(last); ++stage) {
    auto begin = std::chrono::steady_clock::now();
    if (failed(runStage(Stage(stage))))
      return failure();
    std::chrono::duration<double> spent =
        std::chrono::steady_clock::now() - begin;
    seconds.push_back({Stage(stage), spent.count()});
    next = Stage(stage + 1);
    stageDone = getStageName(Stage(stage)).str();
  }
  return success();
}

LogicalResult Compiler::run() {
  if (failed(runTo(options.stopAfter.value_or(Stage::Engine))))
    return failure();
  for (const std::string &text : fallbacks.unused())
    emitRemark(UnknownLoc::get(&context))
        << "--allow-fallback '" << text << "' was not needed by any layer";
  return success();
}

/// Creates `folder`/`name` with `text`.
static LogicalResult writeText(MLIRContext &context, StringRef folder,
                               StringRef name, StringRef text) {
  SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return fail(context,
                "cannot create folder '" + folder + "': " + error.message());
  std::error_code error;
  llvm::ToolOutputFile file(path, error, llvm::sys::fs::OF_None);
  if (error)
    return fail(context,
                "cannot write '" + path.str() + "': " + error.message());
  file.os() << text;
  file.keep();
  return success();
}

LogicalResult Compiler::checkMemory() {
  if (options.maxMemory == 0)
    return success();
  PassManager pm(&context);
  pm.addPass(createCheckMemory({options.maxMemory}));
  return pm.run(*module);
}

/// The kernels live in a nested module of their own; it leaves the plan here
/// and becomes code.
LogicalResult Compiler::emitCode() {
  return isGpuTarget(options.target) ? emitGpuCode() : emitCpuCode();
}

LogicalResult Compiler::emitCpuCode() {
  auto kernels = module->lookupSymbol<ModuleOp>(kCpuKernelsModule);
  if (!kernels)
    return fail(context, "stage 'lower' left no kernels");
  cpu::CpuTargetOptions target;
  if (StringRef(options.target).ends_with(":native"))
    target.cpu = "native";
  std::string ir, assembly;
  if (!options.dumpKernels.empty()) {
    target.llvmText = &ir;
    target.asmText = &assembly;
  }
  std::string loops = printKernels(kernels);
  // Compiling takes the loops apart.
  OwningOpRef<ModuleOp> before;
  if (options.reproducerDir)
    before = kernels.clone();
  auto code = cpu::compileToSharedObject(kernels, target);
  if (!code)
    return failCode(code.takeError(), std::move(before),
                    "builtin.module(compile-kernels-to-cpu{cpu=" + target.cpu +
                        "})");
  object = std::move(*code);
  kernels->erase();
  return dumpCode(
      {{"kernels.mlir", loops}, {"kernels.ll", ir}, {"kernels.s", assembly}});
}

LogicalResult Compiler::emitGpuCode() {
  auto kernels =
      module->lookupSymbol<mlir::gpu::GPUModuleOp>(kGpuKernelsModule);
  if (!kernels)
    return fail(context, "stage 'lower' left no kernels");
  gpu::GpuCodeOptions target;
  target.chip = options.target;
  std::string ir;
  if (!options.dumpKernels.empty())
    target.llvmText = &ir;
  std::string text = printKernels(kernels);
  OwningOpRef<ModuleOp> before;
  if (options.reproducerDir) {
    before = ModuleOp::create(kernels.getLoc());
    before->push_back(kernels.clone());
  }
  auto code = gpu::emitPtx(kernels, target);
  if (!code)
    return failCode(
        code.takeError(), std::move(before),
        "builtin.module(compile-kernels-to-ptx{chip=" + target.chip + "})");
  object = std::move(*code);
  kernels->erase();
  if (failed(dumpCode({{"kernels.mlir", text},
                       {"kernels.ll", ir},
                       {"kernels.ptx", object}})))
    return failure();
  return checkAssembly();
}

/// Where there is ptxas, what it thinks of the code: local memory and
/// serialized matrix instructions are bugs of ours, not of the model.
LogicalResult Compiler::checkAssembly() {
  std::string ptxas = gpu::findPtxas();
  if (ptxas.empty())
    return success();
  auto assembled = gpu::assemble(object, options.target, ptxas);
  if (!assembled)
    return fail(context, llvm::toString(assembled.takeError()));
  for (const std::string &warning : assembled->warnings)
    emitWarning(UnknownLoc::get(&context)) << "ptxas: " << warning;
  cubin = std::move(assembled->cubin);
  for (const gpu::KernelResources &kernel : assembled->kernels)
    if (kernel.stackBytes || kernel.spillBytes)
      emitWarning(UnknownLoc::get(&context))
          << "kernel '" << kernel.symbol << "' uses " << kernel.stackBytes
          << " bytes of local memory (" << kernel.spillBytes
          << " of spills): it is slow, which is a bug of nibble";
  return success();
}

std::string Compiler::printKernels(Operation *kernels) const {
  std::string text;
  if (!options.dumpKernels.empty())
    llvm::raw_string_ostream(text) << *kernels;
  return text;
}

LogicalResult Compiler::failCode(llvm::Error error,
                                 OwningOpRef<ModuleOp> before,
                                 const std::string &pipeline) {
  (void)fail(context, llvm::toString(std::move(error)));
  if (before)
    reproduce(*before, pipeline, "code");
  return failure();
}

LogicalResult
Compiler::dumpCode(ArrayRef<std::pair<StringRef, StringRef>> files) {
  if (options.dumpKernels.empty())
    return success();
  for (auto [name, text] : files)
    if (failed(writeText(context, options.dumpKernels, name, text)))
      return failure();
  return success();
}

LogicalResult Compiler::dump(Stage stage) {
  if (options.dumpStages.empty() || stage == Stage::Engine)
    return success();
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, OpPrintingFlags()
                        .enableDebugInfo(true, false)
                        .elideLargeElementsAttrs(64)
                        .elideLargeResourceString(64));
  std::string name = "0" + std::to_string(int(stage) + 1) + "-" +
                     getStageName(stage).str() + ".mlir";
  return writeText(context, options.dumpStages, name, text);
}

/// What code for this host may use beyond x86-64-v3; a loader on another host
/// checks them.
static std::vector<std::string> getHostVectorFeatures() {
  std::vector<std::string> features;
  for (const auto &feature : llvm::sys::getHostCPUFeatures())
    if (feature.second &&
        (feature.first().starts_with("avx") || feature.first() == "fma" ||
         feature.first() == "f16c"))
      features.push_back(feature.first().str());
  llvm::sort(features);
  return features;
}

LogicalResult Compiler::write() {
  WriteEngineOptions engine;
  engine.path = options.output;
  engine.target = isGpuTarget(options.target) ? options.target : "cpu";
  engine.cubin = cubin;
  engine.overlap = options.overlapLaunches;
  engine.model = options.input;
  engine.modelHash = getModelHash();
  engine.command = options.command;
  llvm::raw_string_ostream(engine.report) << getReport();
  if (StringRef(options.target).ends_with(":native"))
    engine.cpuFeatures = getHostVectorFeatures();
  return writeEngine(*module, object, engine);
}
