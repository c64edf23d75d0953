// Three orders of steps, and the peak of an order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/OrderSteps.h"
#include "nibble/Support/StableSort.h"

#include "llvm/ADT/STLExtras.h"

#include <set>

using namespace nibble;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace {

/// Which steps depend on which.
struct Edges {
  std::vector<SmallVector<unsigned>> before, behind;

  explicit Edges(const StepGraph &graph) {
    std::vector<int> writer(graph.sizes.size(), -1);
    for (auto [i, step] : llvm::enumerate(graph.steps))
      for (unsigned buffer : step.writes)
        writer[buffer] = i;
    before.resize(graph.steps.size());
    behind.resize(graph.steps.size());
    for (auto [i, step] : llvm::enumerate(graph.steps)) {
      for (unsigned buffer : step.reads)
        if (writer[buffer] >= 0)
          add(writer[buffer], i);
      for (unsigned other : step.after)
        add(other, i);
    }
  }

private:
  void add(unsigned from, unsigned to) {
    if (llvm::is_contained(before[to], from))
      return;
    before[to].push_back(from);
    behind[from].push_back(to);
  }
};

/// The bytes that live while steps run one by one.
class Memory {
public:
  explicit Memory(const StepGraph &graph)
      : graph(graph), readers(graph.sizes.size(), 0) {
    for (const Step &step : graph.steps)
      for (unsigned buffer : step.reads)
        ++readers[buffer];
  }

  /// Bytes during a step and after it, if it ran now.
  std::pair<int64_t, int64_t> weigh(const Step &step) const {
    int64_t during = live, freed = 0;
    for (unsigned buffer : step.writes) {
      during += graph.sizes[buffer];
      if (readers[buffer] == 0)
        freed += graph.sizes[buffer];
    }
    for (unsigned buffer : step.reads)
      if (readers[buffer] == 1)
        freed += graph.sizes[buffer];
    int64_t after = during - freed;
    SmallVector<unsigned> reused;
    for (auto [from, to] : step.reuse)
      if (readers[from] == 1 && !llvm::is_contained(reused, to)) {
        during -= graph.sizes[to];
        reused.push_back(to);
      }
    return {during, after};
  }

  void run(const Step &step) {
    auto [during, after] = weigh(step);
    peak = std::max(peak, during);
    live = after;
    for (unsigned buffer : step.reads)
      --readers[buffer];
  }

  int64_t peak = 0;

private:
  const StepGraph &graph;
  std::vector<unsigned> readers; ///< still to come
  int64_t live = 0;
};

/// Runs ready steps as `pick` chooses from their (ordered) set.
template <typename Pick> StepOrder runReady(const Edges &edges, Pick pick) {
  size_t count = edges.before.size();
  std::vector<unsigned> missing(count);
  std::set<unsigned> ready;
  for (size_t i = 0; i < count; ++i) {
    missing[i] = edges.before[i].size();
    if (!missing[i])
      ready.insert(i);
  }
  StepOrder order;
  while (!ready.empty()) {
    unsigned next = pick(ready);
    ready.erase(next);
    order.push_back(next);
    for (unsigned step : edges.behind[next])
      if (--missing[step] == 0)
        ready.insert(step);
  }
  if (order.size() != count)
    order.clear();
  return order;
}

StepOrder getGreedyOrder(const StepGraph &graph, const Edges &edges) {
  Memory memory(graph);
  return runReady(edges, [&](const std::set<unsigned> &ready) {
    auto key = [&](unsigned i) {
      auto [during, after] = memory.weigh(graph.steps[i]);
      return std::make_tuple(after, during, i);
    };
    unsigned best = *std::min_element(
        ready.begin(), ready.end(),
        [&](unsigned a, unsigned b) { return key(a) < key(b); });
    memory.run(graph.steps[best]);
    return best;
  });
}

/// Depth first from the last steps; operands with the most memory beyond their
/// own result first.
class DepthFirst {
public:
  DepthFirst(const StepGraph &graph, const Edges &edges,
             const StepOrder &stable)
      : edges(edges), result(graph.steps.size()), need(graph.steps.size()),
        operands(graph.steps.size()) {
    for (unsigned i : stable) {
      for (unsigned buffer : graph.steps[i].writes)
        result[i] += graph.sizes[buffer];
      estimate(i);
    }
  }

  StepOrder run() {
    done.assign(result.size(), false);
    for (unsigned i = 0; i < result.size(); ++i)
      if (edges.behind[i].empty())
        visit(i);
    return order;
  }

private:
  /// As if the graph were a tree.
  void estimate(unsigned i) {
    operands[i] = edges.before[i];
    stableSort(operands[i], [&](unsigned a, unsigned b) {
      return need[a] - result[a] > need[b] - result[b];
    });
    int64_t held = 0;
    for (unsigned operand : operands[i]) {
      need[i] = std::max(need[i], held + need[operand]);
      held += result[operand];
    }
    need[i] = std::max(need[i], held + result[i]);
  }

  /// Without recursion: a network is thousands of steps deep.
  void visit(unsigned root) {
    std::vector<std::pair<unsigned, unsigned>> stack{{root, 0}};
    while (!stack.empty()) {
      auto &[step, next] = stack.back();
      if (next < operands[step].size()) {
        unsigned operand = operands[step][next++];
        if (!done[operand])
          stack.push_back({operand, 0});
        continue;
      }
      if (!done[step])
        order.push_back(step);
      done[step] = true;
      stack.pop_back();
    }
  }

  const Edges &edges;
  std::vector<int64_t> result, need;
  std::vector<SmallVector<unsigned>> operands;
  std::vector<bool> done;
  StepOrder order;
};

} // namespace

int64_t nibble::getPeak(const StepGraph &graph, ArrayRef<unsigned> order) {
  Memory memory(graph);
  for (unsigned i : order)
    memory.run(graph.steps[i]);
  return memory.peak;
}

StepOrder nibble::getStableOrder(const StepGraph &graph) {
  return runReady(Edges(graph), [](const std::set<unsigned> &ready) {
    return *ready.begin();
  });
}

StepOrder nibble::findOrder(const StepGraph &graph) {
  Edges edges(graph);
  StepOrder best = getStableOrder(graph);
  if (best.empty())
    return best;
  int64_t peak = getPeak(graph, best);
  for (StepOrder order :
       {getGreedyOrder(graph, edges), DepthFirst(graph, edges, best).run()}) {
    int64_t other = getPeak(graph, order);
    if (other >= peak)
      continue;
    peak = other;
    best = std::move(order);
  }
  return best;
}
