// Orders of steps: always legal, never worse than the given one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/OrderSteps.h"

#include "llvm/ADT/STLExtras.h"
#include "gtest/gtest.h"

#include <random>

using namespace nibble;

namespace {

Step step(std::initializer_list<unsigned> reads,
          std::initializer_list<unsigned> writes,
          std::initializer_list<unsigned> after = {}) {
  Step result;
  result.reads = reads;
  result.writes = writes;
  result.after = after;
  return result;
}

/// Every step once, after all it depends on.
bool isLegal(const StepGraph &graph, const StepOrder &order) {
  std::vector<bool> written(graph.sizes.size(), true);
  std::vector<bool> ran(graph.steps.size(), false);
  for (const Step &s : graph.steps)
    for (unsigned buffer : s.writes)
      written[buffer] = false;
  for (unsigned i : order) {
    for (unsigned buffer : graph.steps[i].reads)
      if (!written[buffer])
        return false;
    for (unsigned other : graph.steps[i].after)
      if (!ran[other])
        return false;
    for (unsigned buffer : graph.steps[i].writes)
      written[buffer] = true;
    if (ran[i])
      return false;
    ran[i] = true;
  }
  return order.size() == graph.steps.size();
}

TEST(OrderSteps, PeakCountsOperandsAndResultsOfAStep) {
  StepGraph graph;
  graph.sizes = {10, 20, 30};
  graph.steps = {step({}, {0}), step({0}, {1}), step({1}, {2})};
  EXPECT_EQ(getPeak(graph, {0, 1, 2}), 50);
  graph.steps[2].reuse = {{1, 2}};
  EXPECT_EQ(getPeak(graph, {0, 1, 2}), 30);
}

TEST(OrderSteps, AResultThatNobodyReadsLivesForOneStep) {
  StepGraph graph;
  graph.sizes = {10, 20};
  graph.steps = {step({}, {0}), step({}, {1})};
  EXPECT_EQ(getPeak(graph, {0, 1}), 20);
}

/// Branches that each expand and shrink: all expansions first is the worst.
TEST(OrderSteps, FinishesABranchBeforeTheNext) {
  StepGraph graph;
  const unsigned branches = 6;
  for (unsigned i = 0; i < branches; ++i) { // large results
    graph.sizes.push_back(1000);
    graph.steps.push_back(step({}, {i}));
  }
  for (unsigned i = 0; i < branches; ++i) { // small ones made of them
    graph.sizes.push_back(10);
    graph.steps.push_back(step({i}, {branches + i}));
  }
  StepOrder order = findOrder(graph);
  EXPECT_TRUE(isLegal(graph, order));
  EXPECT_EQ(getPeak(graph, getStableOrder(graph)), 6010);
  EXPECT_LE(getPeak(graph, order), 1060);
}

TEST(OrderSteps, KeepsTheOrderIfNothingIsGained) {
  StepGraph graph;
  graph.sizes = {10, 10, 10, 10};
  graph.steps = {step({}, {0}), step({}, {1}), step({0, 1}, {2}),
                 step({2}, {3})};
  EXPECT_EQ(findOrder(graph), (StepOrder{0, 1, 2, 3}));
}

TEST(OrderSteps, RespectsFurtherDependences) {
  StepGraph graph;
  graph.sizes = {10, 10, 10};
  graph.steps = {step({}, {0}), step({0}, {1}, {2}), step({0}, {2})};
  EXPECT_EQ(getStableOrder(graph), (StepOrder{0, 2, 1}));
  EXPECT_TRUE(isLegal(graph, findOrder(graph)));
  graph.steps[2].after = {1};
  EXPECT_TRUE(getStableOrder(graph).empty()) << "a circle";
  EXPECT_TRUE(findOrder(graph).empty());
}

TEST(OrderSteps, RandomGraphs) {
  std::mt19937 random(1);
  int lowered = 0;
  double gain = 0;
  for (int round = 0; round < 300; ++round) {
    StepGraph graph;
    unsigned count = 2 + random() % 60;
    for (unsigned i = 0; i < count; ++i) {
      graph.sizes.push_back(1 + random() % 100);
      Step s = step({}, {i});
      for (int reads = random() % 3; reads-- > 0 && i > 0;) {
        unsigned buffer = i - 1 - random() % std::min(i, 20u);
        if (!llvm::is_contained(s.reads, buffer))
          s.reads.push_back(buffer);
      }
      if (i > 0 && random() % 8 == 0)
        s.after.push_back(random() % i);
      if (!s.reads.empty() && graph.sizes[s.reads[0]] == graph.sizes[i])
        s.reuse.push_back({s.reads[0], i});
      graph.steps.push_back(s);
    }
    StepOrder stable = getStableOrder(graph), order = findOrder(graph);
    ASSERT_TRUE(isLegal(graph, stable));
    ASSERT_TRUE(isLegal(graph, order));
    int64_t before = getPeak(graph, stable), after = getPeak(graph, order);
    ASSERT_LE(after, before);
    lowered += after < before;
    gain += double(after) / before;
  }
  printf(
      "peak lowered in %d of 300 graphs, to %.3f of what it was on average\n",
      lowered, gain / 300);
  EXPECT_GT(lowered, 150);
}

} // namespace
