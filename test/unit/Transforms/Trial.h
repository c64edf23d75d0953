// One graph, before and after a pipeline.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_TRIAL_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_TRIAL_H

#include "Exactness.h"

namespace nibble::test {

/// What came of it: `problem` is empty if all results are equal, up to the
/// slack.
struct Outcome {
  bool valid = true; ///< the graph itself verifies and evaluates
  bool changed = false;
  std::string problem, after;
};

/// Runs `build` on a clone of `module` and compares on the inputs of `seed`.
Outcome tryPipeline(mlir::ModuleOp module, const PipelineBuilder &build,
                    uint64_t seed, Slack slack);

/// The smallest graph found that still fails; `module` fails.
mlir::OwningOpRef<mlir::ModuleOp> shrink(mlir::ModuleOp module,
                                         const PipelineBuilder &build,
                                         uint64_t seed, Slack slack);

mlir::func::FuncOp getMain(mlir::ModuleOp module);

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_TRIAL_H
