// The pipelines of the stages.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/Stages.h"

#include "nibble/Conversion/Passes.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace nibble;

static constexpr llvm::StringLiteral kNames[] = {
    "import", "canonical", "quantize", "fuse",
    "layout", "select",    "lower",    "engine"};

StringRef nibble::getStageName(Stage stage) { return kNames[int(stage)]; }

std::optional<Stage> nibble::parseStage(StringRef name) {
  for (auto [i, known] : llvm::enumerate(kNames))
    if (name == known)
      return Stage(i);
  return std::nullopt;
}

static void addVerifier(OpPassManager &pm, Stage stage,
                        const std::string &target = "cpu") {
  pm.addPass(createVerifyStage({getStageName(stage).str(), target}));
}

static void addCleanup(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
}

ArrayRef<StringLiteral> nibble::getRecognitionNames() {
  static constexpr StringLiteral kRecognitions[] = {
      "recognize-norm", "recognize-rope", "recognize-attention",
      "recognize-lengths"};
  return kRecognitions;
}

ArrayRef<InexactRewrite> nibble::getInexactRewrites() {
  static constexpr InexactRewrite kRewrites[] = {
      {"allow-less-rounding", "recognize-norm",
       "norms with steps rounded to f16 or bf16 are recognized, and round "
       "once"},
      {"trust-large-masks", "recognize-attention",
       "masks of finite values up to -1e4 mask out, whatever the scores"},
      {"fold-norm-weight", "fold-norm-weight",
       "gains of norms go into the weights behind them, rounded once more"}};
  return kRewrites;
}

bool nibble::isInexactRewrite(StringRef name) {
  return llvm::any_of(getInexactRewrites(), [&](const InexactRewrite &rewrite) {
    return rewrite.name == name;
  });
}

std::string nibble::listInexactRewrites() {
  return llvm::join(llvm::map_range(getInexactRewrites(),
                                    [](const InexactRewrite &rewrite) {
                                      return rewrite.name.str();
                                    }),
                    ", ");
}

/// Ops that exporters spell out become one op of nq again.
static void addRecognition(OpPassManager &pm, const CanonicalOptions &options) {
  auto add = [&](StringRef name, std::unique_ptr<Pass> pass) {
    if (!llvm::is_contained(options.disabled, name))
      pm.addNestedPass<func::FuncOp>(std::move(pass));
  };
  RecognizeNormOptions norm;
  norm.allowLessRounding =
      llvm::is_contained(options.allowed, "allow-less-rounding");
  add("recognize-norm", createRecognizeNorm(norm));
  add("recognize-rope", createRecognizeRope());
  RecognizeAttentionOptions attention;
  attention.trustLargeMasks =
      llvm::is_contained(options.allowed, "trust-large-masks");
  add("recognize-attention", createRecognizeAttention(attention));
  RecognizeLengthsOptions lengths;
  lengths.trustLargeMasks = attention.trustLargeMasks;
  add("recognize-lengths", createRecognizeLengths(lengths));
}

void nibble::buildCanonicalPipeline(OpPassManager &pm,
                                    const CanonicalOptions &options) {
  if (!options.states.empty()) {
    BindStatesOptions bind;
    bind.states = options.states;
    pm.addPass(createBindStates(bind));
  }
  pm.addNestedPass<func::FuncOp>(createForwardStates());
  addCleanup(pm);
  // Files keep one copy of a scale per consumer: equal by value, then equal.
  pm.addPass(createShareConstants());
  addCleanup(pm);
  pm.addNestedPass<func::FuncOp>(createFoldQdq());
  pm.addNestedPass<func::FuncOp>(createMergeCasts());
  pm.addNestedPass<func::FuncOp>(createMoveQdq());
  pm.addNestedPass<func::FuncOp>(createCancelQdq());
  // Matmuls read what now stands next to them.
  pm.addNestedPass<func::FuncOp>(createFoldQdq());
  addCleanup(pm);
  if (options.foldConstants) {
    pm.addNestedPass<func::FuncOp>(createFoldConstants());
    // Quantizers folded into weights expose more of both.
    pm.addNestedPass<func::FuncOp>(createFoldQdq());
    pm.addNestedPass<func::FuncOp>(createFoldConstants());
    pm.addPass(createShareConstants());
  }
  addCleanup(pm);
  addRecognition(pm, options);
  addCleanup(pm);
  if (llvm::is_contained(options.allowed, "fold-norm-weight")) {
    pm.addNestedPass<func::FuncOp>(createFoldNormWeight());
    addCleanup(pm);
  }
  addVerifier(pm, Stage::Canonical);
}

void nibble::buildQuantizePipeline(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createNarrowLayers());
  pm.addNestedPass<func::FuncOp>(createQuantizeWeights());
  pm.addNestedPass<func::FuncOp>(createQuantizeActivations());
  addCleanup(pm);
  addVerifier(pm, Stage::Quantize);
}

ArrayRef<StringLiteral> nibble::getFusionNames() {
  static constexpr StringLiteral kFusions[] = {
      "fuse-elementwise", "fuse-gated-mlp",      "merge-sibling-products",
      "fuse-qkv",         "fuse-attention",      "fuse-matmul-epilogue",
      "fuse-rowwise",     "fuse-reduce",         "fuse-quantize",
      "fuse-views",       "fuse-norm-statistics"};
  return kFusions;
}

ArrayRef<StringLiteral> nibble::getForcibleFusionNames() {
  static constexpr StringLiteral kFusions[] = {"fuse-norm-statistics"};
  return kFusions;
}

void nibble::buildFusePipeline(OpPassManager &pm, const FuseOptions &options) {
  auto runs = [&](StringRef name) {
    return !llvm::is_contained(options.disabled, name) &&
           !llvm::is_contained(options.disabled, "all");
  };
  auto add = [&](StringRef name, std::unique_ptr<Pass> (*create)()) {
    if (runs(name))
      pm.addNestedPass<func::FuncOp>(create());
  };
  add("fuse-elementwise", createFuseElementwise);
  addCleanup(pm);
  add("fuse-gated-mlp", createFuseGatedMlp);
  // Kernels of GPUs have one product each, and addresses for every operand. The
  // CPU's walk several weights for one packed A.
  bool isGpu = isGpuTarget(options.target);
  if (isGpu)
    add("merge-sibling-products", createMergeSiblingProducts);
  if (runs("fuse-qkv"))
    pm.addNestedPass<func::FuncOp>(createFuseQkv({/*views=*/isGpu}));
  add("fuse-attention", createFuseAttention);
  add("fuse-matmul-epilogue", createFuseMatmulEpilogue);
  add("fuse-rowwise", createFuseRowwise);
  add("fuse-reduce", createFuseReduce);
  add("fuse-quantize", createFuseQuantize);
  if (isGpu)
    add("fuse-views", createFuseViews);
  pm.addNestedPass<func::FuncOp>(createFormRegions());
  if (runs("fuse-norm-statistics")) {
    FuseNormStatisticsOptions statistics;
    statistics.target = options.target;
    statistics.force =
        llvm::is_contained(options.forced, "fuse-norm-statistics");
    pm.addNestedPass<func::FuncOp>(createFuseNormStatistics(statistics));
  }
  addCleanup(pm);
  addVerifier(pm, Stage::Fuse);
}

void nibble::buildLayoutPipeline(OpPassManager &pm,
                                 const LayoutOptions &options) {
  pm.addNestedPass<func::FuncOp>(createPermitFallbacksPass(options.fallbacks));
  pm.addNestedPass<func::FuncOp>(createRoundWeights({options.target}));
  if (options.target == "cpu") {
    pm.addNestedPass<func::FuncOp>(createDecomposeForCpu());
    // Whether a region is one kernel depends on the layout of its weights.
    pm.addNestedPass<func::FuncOp>(createPackCpuWeights());
    pm.addNestedPass<func::FuncOp>(createSplitRegionsForCpu());
    addCleanup(pm);
    // What the split brings to light: chains to fuse. It gave its reasons.
    pm.addNestedPass<func::FuncOp>(createFuseElementwise());
    addCleanup(pm);
    pm.addNestedPass<func::FuncOp>(createFormRegions({/*explain=*/false}));
    pm.addNestedPass<func::FuncOp>(createPackCpuWeights());
  } else {
    pm.addNestedPass<func::FuncOp>(createAbsorbZeroPoints({options.target}));
    pm.addNestedPass<func::FuncOp>(createRepeatScales({options.target}));
    pm.addNestedPass<func::FuncOp>(createWidenActivations({options.target}));
    addCleanup(pm);
    pm.addNestedPass<func::FuncOp>(createAssignLayouts({options.target}));
  }
  addCleanup(pm);
  addVerifier(pm, Stage::Layout, options.target);
}

void nibble::buildSelectPipeline(OpPassManager &pm,
                                 const SelectOptions &options) {
  // Again, for regions that stage layout made.
  pm.addNestedPass<func::FuncOp>(createPermitFallbacksPass(options.fallbacks));
  pm.addNestedPass<func::FuncOp>(createSelectKernelsPass(
      options.target, options.fallbacks, options.tuning, options.locked));
  pm.addPass(createOutlineKernels());
  if (options.candidates > 0)
    pm.addPass(createExpandCandidates({options.target, options.candidates}));
  pm.addPass(createOrderLaunches());
  pm.addPass(createReuseBuffers());
  addVerifier(pm, Stage::Select);
}

void nibble::buildLowerPipeline(OpPassManager &pm,
                                const LowerOptions &options) {
  if (options.target == "cpu")
    pm.addPass(createLowerKernelsToCpu());
  else
    pm.addPass(createLowerKernelsToGpu({options.target}));
  pm.addPass(createPlanMemory());
  addVerifier(pm, Stage::Lower);
}

void nibble::registerStagePipelines() {
  PassPipelineRegistration<> canonical(
      "nibble-canonical", "stage canonical",
      [](OpPassManager &pm) { buildCanonicalPipeline(pm, {}); });
  PassPipelineRegistration<> quantize(
      "nibble-quantize", "stage quantize, after assign-precision",
      [](OpPassManager &pm) { buildQuantizePipeline(pm); });
  PassPipelineRegistration<> fuse(
      "nibble-fuse", "stage fuse",
      [](OpPassManager &pm) { buildFusePipeline(pm, {}); });
  PassPipelineRegistration<> layout(
      "nibble-layout", "stage layout for the CPU",
      [](OpPassManager &pm) { buildLayoutPipeline(pm, {}); });
  PassPipelineRegistration<> select(
      "nibble-select", "stage select for the CPU",
      [](OpPassManager &pm) { buildSelectPipeline(pm, {}); });
  PassPipelineRegistration<> lower(
      "nibble-lower", "stage lower for the CPU",
      [](OpPassManager &pm) { buildLowerPipeline(pm, {}); });
}
