// The compiler as a library: a model file in, an engine file out.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_PIPELINES_COMPILER_H
#define NIBBLE_PIPELINES_COMPILER_H

#include "nibble/Pipelines/Stages.h"
#include "nibble/Report/Decisions.h"
#include "nibble/Support/FallbackPolicy.h"
#include "nibble/Transforms/Quantize/PrecisionPolicy.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/JSON.h"

#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct CompileOptions {
  std::string input;          ///< .onnx, or .mlir in any stage before `lower`
  std::string output;         ///< engine file; may be empty with stopAfter
  std::string target = "cpu"; ///< one of getTargetNames()
  std::string tuningDb; ///< file of rows (TuningDb.h) besides the built-in ones
  bool locked = false;  ///< only schedules that were measured
  /// If positive: an engine of up to this many schedules per kernel, to be
  /// measured, in place of the model's own.
  int64_t candidates = 0;
  /// GPUs: kernels may begin before the one before them ends.
  bool overlapLaunches = false;
  /// "NAME=MODEL.onnx": models that become entry points of the same engine
  /// beside "main", which `input` is. Equal constants and states of the same
  /// name are shared.
  std::vector<std::string> entries;
  std::vector<std::string> shapes; ///< "NAME=1x970x2048", of `input`
  /// "INPUT=OUTPUT": pairs that become states, see bind-states.
  std::vector<std::string> states;
  /// Bytes that running the engine may take (docs/memory.md); 0: no limit.
  int64_t maxMemory = 0;
  /// Format of matmuls with weights ("nvfp4 recipe=modelopt-onnx", see
  /// LayerFormat.h) that no rule of `policy` decides; empty: as they are.
  std::string quantize;
  std::string policy; ///< file of rules (PrecisionPolicy.h), or empty
  /// Folder of samples (Calibration.h), or empty.
  std::string calib;
  std::string calibMethod = "max"; ///< or "percentile:99.9"
  /// "GLOB:FORMAT": layers that may fall to another format than requested.
  std::vector<std::string> allowFallback;
  std::optional<Stage> stopAfter;
  /// False leaves the kernels as loops at the end of stage lower: for reports,
  /// which need no code.
  bool emitCode = true;
  /// Folder for the IR after each stage: 01-import.mlir, ... Created if absent.
  std::string dumpStages;
  /// Folder for the kernels' code: kernels.mlir, kernels.ll, kernels.s (CPU) or
  /// kernels.ptx.
  std::string dumpKernels;
  /// Keep matmul results in f32 and round in an op of its own, so that `verify`
  /// sees the error before the output rounding.
  bool splitOutputRounding = false;
  /// Fusions and recognitions that must not run, by name; "all": all fusions.
  std::vector<std::string> disabledFusions;
  /// Fusions that run where they do not pay, by name (getForcibleFusionNames).
  std::vector<std::string> forcedFusions;
  /// Rewrites that are not exact and may run, by name (getInexactRewrites).
  std::vector<std::string> allowedRewrites;
  std::string command; ///< recorded in the engine
  /// Folder for the reproducer bundle of a stage that fails for a reason that
  /// no model should cause (of stage `lower`, the passes and, as "code", the
  /// code generator); nothing: none is written.
  std::optional<std::string> reproducerDir;
  /// Called when a stage begins.
  std::function<void(Stage)> progress;
};

/// Runs the stages on one model. Errors are diagnostics of the context, with
/// the layer as location; those that refuse a request carry a mark
/// (nibble/Support/Refusal.h). Not reusable: one Compiler, one compile.
class Compiler {
public:
  Compiler(mlir::MLIRContext &context, CompileOptions options);
  /// Goes on with a module that has gone through the stages before `next`.
  Compiler(mlir::MLIRContext &context, CompileOptions options,
           mlir::OwningOpRef<mlir::ModuleOp> module, Stage next);

  /// Stage import: reads the model. Symbolic dimensions must be bound.
  mlir::LogicalResult import();
  /// Runs all stages after the last one run, up to and including `last`.
  mlir::LogicalResult runTo(Stage last);
  /// Everything: import ... engine, or up to options.stopAfter.
  mlir::LogicalResult run();

  /// What was decided so far, as the document of `explain`.
  llvm::json::Value getReport() const;

  /// Seconds that each stage took, in order. Stage `engine` is packing the
  /// constants and writing the file.
  llvm::ArrayRef<std::pair<Stage, double>> getSeconds() const {
    return seconds;
  }

  mlir::ModuleOp getModule() { return *module; }
  /// The CPU's object code, or PTX; empty before stage `lower`.
  llvm::StringRef getObject() const { return object; }

private:
  mlir::LogicalResult startHash();
  mlir::LogicalResult importEntry(llvm::StringRef text);
  std::string getModelHash() const;
  mlir::LogicalResult readPolicies();
  mlir::LogicalResult runStage(Stage stage);
  mlir::LogicalResult runPasses(mlir::PassManager &pm, Stage stage);
  void reproduce(mlir::ModuleOp before, llvm::StringRef pipeline,
                 llvm::StringRef stage);
  mlir::LogicalResult checkMemory();
  mlir::LogicalResult quantize();
  mlir::LogicalResult emitCode();
  mlir::LogicalResult emitCpuCode();
  mlir::LogicalResult emitGpuCode();
  mlir::LogicalResult checkAssembly();
  std::string printKernels(mlir::Operation *kernels) const;
  mlir::LogicalResult failCode(llvm::Error error,
                               mlir::OwningOpRef<mlir::ModuleOp> before,
                               const std::string &pipeline);
  mlir::LogicalResult
  dumpCode(llvm::ArrayRef<std::pair<llvm::StringRef, llvm::StringRef>> files);
  mlir::LogicalResult dump(Stage stage);
  mlir::LogicalResult write();

  mlir::MLIRContext &context;
  CompileOptions options;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::shared_ptr<Decisions> decisions = std::make_shared<Decisions>();
  std::string object, cubin;
  std::shared_future<std::string> modelHash; ///< computed meanwhile
  std::optional<PrecisionPolicy> precisionPolicy;
  FallbackPolicy fallbacks;
  std::string stageDone; ///< name of the last stage that succeeded
  std::vector<Problem> problems;
  std::vector<std::pair<Stage, double>> seconds;
  Stage next = Stage::Import;
};

/// "xxh3:0123456789abcdef" of bytes.
std::string hashBytes(llvm::StringRef bytes);
/// The same of a file's bytes, or failure if it cannot be read.
mlir::FailureOr<std::string> hashFile(llvm::StringRef path);

} // namespace nibble

#endif // NIBBLE_PIPELINES_COMPILER_H
