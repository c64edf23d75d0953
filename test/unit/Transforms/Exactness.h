// Passes that claim to be exact, on random graphs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   TEST(MyPass, IsExact) {
//     expectExact("my-pass", [](OpPassManager &pm) {
//       pm.addNestedPass<func::FuncOp>(createMyPass());
//     }, Seeds{1, 400});
//   }
//
// For each seed a graph (RandomGraph.h) and a clone that went through the
// pipeline are evaluated by the reference interpreter on the same inputs. All
// results must be equal bit by bit: floats as the interpreter has them (f32
// without rounding), codes, scales and zero points of scaled tensors. Any NaN
// equals any other, as a code, too. A pass that fails, leaves invalid IR, or
// ops the interpreter does not know, has failed, too.
//
// A failure is shrunk (fewer steps, smaller sizes, then outputs and ops dropped
// as long as it still fails) and printed with its seed.
//
// Environment: NIBBLE_GRAPH_SEED=n runs that seed only and prints its graph
// before and after; NIBBLE_GRAPH_COUNT=n runs n seeds instead of the number in
// the test.
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_EXACTNESS_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_EXACTNESS_H

#include "RandomGraph.h"

#include "mlir/Pass/PassManager.h"

#include <functional>
#include <optional>
#include <string>

namespace nibble::test {

/// What a pipeline may change: floats of f32 and f64 by `relative` times the
/// largest magnitude of the result (at least 1), narrower ones and codes not at
/// all, as nothing that small is near one of their borders by accident.
struct Slack {
  double relative = 0;
};

using PipelineBuilder = std::function<void(mlir::OpPassManager &)>;

/// Seeds first .. first + count - 1.
struct Seeds {
  uint64_t first = 1;
  unsigned count = 400;
};

/// A graph on which a pipeline is not exact.
struct Counterexample {
  uint64_t seed;
  unsigned ops;        ///< in the shrunk graph, constants included
  std::string graph;   ///< the shrunk graph
  std::string after;   ///< what the pipeline made of it
  std::string message; ///< first difference, or diagnostics
};

struct ExactnessRun {
  unsigned graphs = 0;  ///< evaluated
  unsigned changed = 0; ///< by the pipeline
  std::optional<Counterexample> failure;
};

/// Stops at the first failure and shrinks it.
ExactnessRun checkExact(const PipelineBuilder &build, Seeds seeds,
                        const GraphOptions &options = {}, Slack slack = {});

/// The same as a test: fails with the counterexample, prints the seeds, and
/// fails if the pipeline changed less than `minChanged` percent of the graphs,
/// so that the generator is known to exercise it.
void expectExact(const std::string &name, const PipelineBuilder &build,
                 Seeds seeds, unsigned minChanged = 5,
                 const GraphOptions &options = {}, Slack slack = {});

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_EXACTNESS_H
