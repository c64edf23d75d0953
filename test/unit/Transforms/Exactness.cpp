// Passes that claim to be exact, on random graphs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Exactness.h"

#include "Trial.h"
#include "nibble/Pipelines/RegisterAll.h"

#include "gtest/gtest.h"

#include <cstdlib>

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

/// Contexts keep types, attributes and resources for ever.
constexpr unsigned graphsPerContext = 100;

static std::unique_ptr<MLIRContext> makeContext() {
  DialectRegistry registry;
  registerAllDialects(registry);
  auto context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os, OpPrintingFlags().enableDebugInfo(false));
  return text;
}

/// The seed's graph with the fewest steps and smallest sizes that fails.
static OwningOpRef<ModuleOp>
remakeSmaller(MLIRContext &context, const PipelineBuilder &build, uint64_t seed,
              const GraphOptions &options, Slack slack) {
  auto fails = [&](const GraphOptions &tried) {
    auto module = makeRandomGraph(context, seed, tried);
    Outcome outcome = tryPipeline(*module, build, seed, slack);
    return outcome.valid && !outcome.problem.empty();
  };
  GraphOptions best = options;
  for (int64_t extent : {1, 2, 3, 4, 8, 16, 32}) {
    GraphOptions tried = best;
    tried.maxExtent = extent;
    if (extent < best.maxExtent && fails(tried)) {
      best = tried;
      break;
    }
  }
  for (unsigned steps = 1; steps < best.steps; ++steps) {
    GraphOptions tried = best;
    tried.steps = steps;
    if (fails(tried)) {
      best = tried;
      break;
    }
  }
  return makeRandomGraph(context, seed, best);
}

static Counterexample explain(MLIRContext &context,
                              const PipelineBuilder &build, uint64_t seed,
                              const GraphOptions &options, Slack slack) {
  auto module = remakeSmaller(context, build, seed, options, slack);
  auto small = shrink(*module, build, seed, slack);
  Outcome outcome = tryPipeline(*small, build, seed, slack);
  unsigned ops = 0;
  for (Operation &op : getMain(*small).front().without_terminator())
    ops += op.getNumResults() > 0;
  return {seed, ops, print(*small), outcome.after, outcome.problem};
}

ExactnessRun nibble::test::checkExact(const PipelineBuilder &build, Seeds seeds,
                                      const GraphOptions &options,
                                      Slack slack) {
  ExactnessRun run;
  std::unique_ptr<MLIRContext> context;
  for (uint64_t seed = seeds.first; seed < seeds.first + seeds.count; ++seed) {
    if (run.graphs % graphsPerContext == 0)
      context = makeContext();
    ++run.graphs;
    auto module = makeRandomGraph(*context, seed, options);
    Outcome outcome = tryPipeline(*module, build, seed, slack);
    run.changed += outcome.changed;
    if (outcome.problem.empty())
      continue;
    if (outcome.valid)
      run.failure = explain(*context, build, seed, options, slack);
    else
      run.failure = {seed, 0, print(*module), "", outcome.problem};
    return run;
  }
  return run;
}

static std::optional<uint64_t> getNumber(const char *variable) {
  const char *text = std::getenv(variable);
  return text ? std::optional<uint64_t>(std::strtoull(text, nullptr, 10))
              : std::nullopt;
}

/// Shows the graph of one seed.
static void show(const PipelineBuilder &build, uint64_t seed,
                 const GraphOptions &options, Slack slack) {
  auto context = makeContext();
  auto module = makeRandomGraph(*context, seed, options);
  Outcome outcome = tryPipeline(*module, build, seed, slack);
  std::printf("%s// after the pipeline:\n%s", print(*module).c_str(),
              outcome.after.c_str());
}

void nibble::test::expectExact(const std::string &name,
                               const PipelineBuilder &build, Seeds seeds,
                               unsigned minChanged, const GraphOptions &options,
                               Slack slack) {
  if (auto count = getNumber("NIBBLE_GRAPH_COUNT"))
    seeds.count = *count;
  if (auto seed = getNumber("NIBBLE_GRAPH_SEED")) {
    seeds = {*seed, 1};
    minChanged = 0;
    show(build, *seed, options, slack);
  }
  ExactnessRun run = checkExact(build, seeds, options, slack);
  std::printf("%s: seeds %llu to %llu, %u of %u graphs changed\n", name.c_str(),
              static_cast<unsigned long long>(seeds.first),
              static_cast<unsigned long long>(seeds.first + run.graphs - 1),
              run.changed, run.graphs);
  if (run.failure) {
    ADD_FAILURE() << name
                  << " is not exact; NIBBLE_GRAPH_SEED=" << run.failure->seed
                  << " repeats it\n"
                  << run.failure->message << "\nsmallest graph ("
                  << run.failure->ops << " ops):\n"
                  << run.failure->graph << "after the pipeline:\n"
                  << run.failure->after;
    return;
  }
  EXPECT_GE(run.changed * 100, minChanged * run.graphs)
      << name << " changes too few graphs to be tested by them";
}
