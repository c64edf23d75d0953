// The stages of a compile: their names are an API (--stop-after, tests, docs).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_PIPELINES_STAGES_H
#define NIBBLE_PIPELINES_STAGES_H

#include "mlir/Pass/PassManager.h"

#include <optional>
#include <string>

namespace nibble {

class FallbackPolicy;

enum class Stage {
  Import,
  Canonical,
  Quantize,
  Fuse,
  Layout,
  Select,
  Lower,
  Engine
};

/// "import", "canonical", ...
llvm::StringRef getStageName(Stage stage);
/// The stage of a name, or nothing.
std::optional<Stage> parseStage(llvm::StringRef name);

struct CanonicalOptions {
  /// Evaluate ops on constants at compile time.
  bool foldConstants = true;
  /// Names of recognitions that must not run ("recognize-attention").
  llvm::SmallVector<std::string> disabled;
  /// Pairs INPUT=OUTPUT that become states (bind-states).
  llvm::SmallVector<std::string> states;
  /// Names of rewrites that change values and may run nevertheless.
  llvm::SmallVector<std::string> allowed;
};
/// A rewrite that is not exact: off unless allowed by name. What it does to
/// values is in Passes.td, at the pass.
struct InexactRewrite {
  llvm::StringLiteral name, pass, effect;
};
llvm::ArrayRef<InexactRewrite> getInexactRewrites();
bool isInexactRewrite(llvm::StringRef name);
/// "allow-less-rounding, trust-large-masks, ...".
std::string listInexactRewrites();
/// Names of the recognitions that can be switched off, in the order they run.
llvm::ArrayRef<llvm::StringLiteral> getRecognitionNames();
/// import form -> canonical graph: constants folded, Q/DQ notation turned into
/// scaled tensors, casts merged, dead code gone; norms, rotations and attention
/// in one op each.
void buildCanonicalPipeline(mlir::OpPassManager &pm,
                            const CanonicalOptions &options);

/// Layers with assigned formats (`nibble.precision`) and calibrated amax get
/// them. Which formats: the pass assign-precision, which comes before; between
/// the two, calibrate() (Calibration.h).
void buildQuantizePipeline(mlir::OpPassManager &pm);

struct FuseOptions {
  /// Names of fusions that must not run ("fuse-elementwise"), or "all".
  llvm::SmallVector<std::string> disabled;
  /// Names of fusions that run where they do not pay, too.
  llvm::SmallVector<std::string> forced;
  /// Target whose costs decide whether a fusion pays.
  std::string target = "cpu";
};
/// Names of the fusions that can be switched off, in the order they run.
llvm::ArrayRef<llvm::StringLiteral> getFusionNames();
/// Those of them that a target's costs decide on, so that they can be forced.
llvm::ArrayRef<llvm::StringLiteral> getForcibleFusionNames();
void buildFusePipeline(mlir::OpPassManager &pm, const FuseOptions &options);

struct LayoutOptions {
  std::string target = "cpu";
  /// Layers that may compute in another format than asked for; may be null.
  const FallbackPolicy *fallbacks = nullptr;
};
void buildLayoutPipeline(mlir::OpPassManager &pm, const LayoutOptions &options);

struct SelectOptions {
  std::string target = "cpu";
  /// Layers that may compute in another format than asked for; may be null.
  FallbackPolicy *fallbacks = nullptr;
  std::string tuning;  ///< database besides the built-in one, or empty
  bool locked = false; ///< refuse shapes that were not measured
  /// If positive: entry points for up to this many schedules per kernel, in
  /// place of the model's.
  int64_t candidates = 0;
};
void buildSelectPipeline(mlir::OpPassManager &pm, const SelectOptions &options);

struct LowerOptions {
  std::string target = "cpu";
};
/// Kernels become loops in the nested module `cpu_kernels`, launches get
/// extents and addresses.
void buildLowerPipeline(mlir::OpPassManager &pm, const LowerOptions &options);

/// Registers every stage as a pipeline of nibble-opt: --nibble-canonical ...
void registerStagePipelines();

} // namespace nibble

#endif // NIBBLE_PIPELINES_STAGES_H
