// Stage canonical is exact, pass by pass and as a whole; a wrong rewrite is
// found and made small.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Exactness.h"

#include "nibble/Pipelines/Stages.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

#include "gtest/gtest.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

namespace {

/// Counts graphs that have an nq.statistics.
struct CountStatistics : PassWrapper<CountStatistics, OperationPass<ModuleOp>> {
  explicit CountStatistics(unsigned &count) : count(&count) {}
  void runOnOperation() override {
    *count +=
        getOperation()
            .walk([](nq::StatisticsOp) { return WalkResult::interrupt(); })
            .wasInterrupted();
  }
  StringRef getArgument() const override { return "count-statistics"; }
  static StringRef getPassName() { return "count-statistics"; }
  unsigned *count;
};

TEST(Exactness, NothingChangesNothing) {
  ExactnessRun run = checkExact([](OpPassManager &) {}, {1, 100});
  EXPECT_FALSE(run.failure) << run.failure->message << run.failure->graph;
  EXPECT_EQ(run.changed, 0u);
}

TEST(Exactness, CanonicalizerAndCse) {
  expectExact("canonicalize,cse",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createCanonicalizerPass());
                pm.addNestedPass<func::FuncOp>(createCSEPass());
              },
              {1000, 300});
}

TEST(Exactness, FoldQdq) {
  expectExact("fold-qdq",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createFoldQdq());
              },
              {2000, 500});
}

TEST(Exactness, MergeCasts) {
  expectExact("merge-casts",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createMergeCasts());
              },
              {3000, 500});
}

TEST(Exactness, MoveQdq) {
  expectExact("move-qdq",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createMoveQdq());
              },
              {4000, 800});
}

TEST(Exactness, CancelQdq) {
  expectExact("cancel-qdq",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createCancelQdq());
              },
              {5000, 800});
}

/// Cancels more, as pairs have become neighbors.
TEST(Exactness, MoveThenCancel) {
  expectExact("fold-qdq,merge-casts,move-qdq,cancel-qdq",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createFoldQdq());
                pm.addNestedPass<func::FuncOp>(createMergeCasts());
                pm.addNestedPass<func::FuncOp>(createMoveQdq());
                pm.addNestedPass<func::FuncOp>(createCancelQdq());
              },
              {6000, 800});
}

TEST(Exactness, ShareConstants) {
  expectExact("share-constants,cse",
              [](OpPassManager &pm) {
                pm.addPass(createShareConstants());
                pm.addNestedPass<func::FuncOp>(createCSEPass());
              },
              {7000, 500});
}

TEST(Exactness, FoldConstants) {
  expectExact("fold-constants",
              [](OpPassManager &pm) {
                pm.addNestedPass<func::FuncOp>(createFoldConstants());
              },
              {8000, 300});
}

TEST(Exactness, StageCanonical) {
  expectExact(
      "nibble-canonical",
      [](OpPassManager &pm) { buildCanonicalPipeline(pm, {}); }, {10000, 2000},
      90);
}

/// Fusion keeps every rounding: regions compute what their ops computed.
TEST(Exactness, StageFuse) {
  expectExact(
      "nibble-canonical,nibble-fuse",
      [](OpPassManager &pm) {
        buildCanonicalPipeline(pm, {});
        buildFusePipeline(pm, {});
      },
      {20000, 500}, 90);
}

/// Sums of tiles instead of rows, in another order: in f64, as the reference
/// computes, a rounding or two of each sum. Small tiles, so that there are
/// many.
static void fuseStatistics(OpPassManager &pm, int64_t tile, bool force) {
  buildFusePipeline(pm, {});
  FuseNormStatisticsOptions options;
  options.tile = tile;
  options.force = force;
  pm.addNestedPass<func::FuncOp>(createFuseNormStatistics(options));
}

static GraphOptions makeNormedProducts() {
  GraphOptions options;
  options.normedProducts = 35;
  return options;
}

TEST(Exactness, FuseNormStatistics) {
  for (int64_t tile : {1, 4, 16})
    expectExact(
        "nibble-fuse,fuse-norm-statistics tile=" + std::to_string(tile),
        [=](OpPassManager &pm) { fuseStatistics(pm, tile, true); },
        {30000 + uint64_t(tile) * 1000, 400}, 50, makeNormedProducts(),
        Slack{1e-12});
}

/// What the number above counts: most graphs have statistics.
TEST(Exactness, GraphsHaveNormsBehindProducts) {
  unsigned fused = 0;
  GraphOptions graphOptions = makeNormedProducts();
  checkExact(
      [&](OpPassManager &pm) {
        fuseStatistics(pm, 4, true);
        pm.addPass(std::make_unique<CountStatistics>(fused));
      },
      {30000, 200}, graphOptions, Slack{1e-12});
  EXPECT_GE(fused, 100u);
}

//===----------------------------------------------------------------------===//
// Wrong rewrites
//===----------------------------------------------------------------------===//

/// cast(cast(x)) -> x whatever the type in between.
struct DropCastPair : OpRewritePattern<nq::CastOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(nq::CastOp op,
                                PatternRewriter &rewriter) const override {
    auto inner = op.getInput().getDefiningOp<nq::CastOp>();
    if (!inner || inner.getInput().getType() != op.getResult().getType())
      return rewriter.notifyMatchFailure(op, "not there and back");
    rewriter.replaceOp(op, inner.getInput());
    return success();
  }
};

/// quantize(dequantize(q)) -> q whatever the scales.
struct IgnoreScales : OpRewritePattern<nq::QuantizeOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(nq::QuantizeOp op,
                                PatternRewriter &rewriter) const override {
    auto dequantize = op.getInput().getDefiningOp<nq::DequantizeOp>();
    if (!dequantize ||
        dequantize.getInput().getType() != op.getResult().getType())
      return rewriter.notifyMatchFailure(op, "no pair");
    rewriter.replaceOp(op, dequantize.getInput());
    return success();
  }
};

template <typename Pattern>
struct WrongPass
    : PassWrapper<WrongPass<Pattern>, OperationPass<func::FuncOp>> {
  void runOnOperation() override {
    RewritePatternSet patterns(&this->getContext());
    patterns.add<Pattern>(&this->getContext());
    (void)applyPatternsGreedily(this->getOperation(), std::move(patterns));
  }
  StringRef getArgument() const override { return "wrong"; }
  static StringRef getPassName() { return "wrong"; }
};

template <typename Pattern> ExactnessRun runWrong() {
  return checkExact(
      [](OpPassManager &pm) {
        pm.addNestedPass<func::FuncOp>(std::make_unique<WrongPass<Pattern>>());
      },
      {1, 2000});
}

TEST(Exactness, FindsDroppedRounding) {
  ExactnessRun run = runWrong<DropCastPair>();
  ASSERT_TRUE(run.failure);
  EXPECT_LE(run.failure->ops, 2u) << run.failure->graph;
  EXPECT_NE(run.failure->message.find("result 0: element"), std::string::npos)
      << run.failure->message;
  EXPECT_NE(run.failure->graph.find("nq.cast"), std::string::npos);
}

TEST(Exactness, FindsIgnoredScales) {
  ExactnessRun run = runWrong<IgnoreScales>();
  ASSERT_TRUE(run.failure);
  // dequantize, quantize and its constants
  EXPECT_LE(run.failure->ops, 5u) << run.failure->graph;
  EXPECT_NE(run.failure->graph.find("nq.quantize"), std::string::npos);
}

/// A pass that fails is a failure, too, with its diagnostic.
struct FailingPass : PassWrapper<FailingPass, OperationPass<func::FuncOp>> {
  void runOnOperation() override {
    getOperation().emitError() << "no luck";
    signalPassFailure();
  }
};

TEST(Exactness, ReportsFailingPasses) {
  ExactnessRun run = checkExact(
      [](OpPassManager &pm) {
        pm.addNestedPass<func::FuncOp>(std::make_unique<FailingPass>());
      },
      {1, 1});
  ASSERT_TRUE(run.failure);
  EXPECT_NE(run.failure->message.find("no luck"), std::string::npos);
}

} // namespace
