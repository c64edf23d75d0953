// Which tensors of a kernel are kept in memory, and in which stages they are
// written.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelStages.h"

using namespace mlir;

namespace nibble {
namespace cpu {

void KernelStages::choose(ValueRange returned) {
  collectResults(returned);
  chooseStored();
  makeStages();
}

bool KernelStages::isResult(const Tensor *tensor) const {
  return llvm::any_of(
      results, [&](const Result &result) { return result.tensor == tensor; });
}

//===----------------------------------------------------------------------===//
// What is kept in memory
//===----------------------------------------------------------------------===//

/// A returned tensor gets the buffer of its result. If it has another buffer
/// already, the result is a copy.
void KernelStages::collectResults(ValueRange returned) {
  llvm::DenseSet<Tensor *> taken;
  for (auto [i, value] : llvm::enumerate(returned))
    for (auto [part, tensor] : llvm::enumerate(graph.partsOf(value))) {
      Tensor *own = tensor;
      if (!tensor->isComputed() || !taken.insert(tensor).second)
        own = copyOf(*tensor);
      results.push_back({own, unsigned(i), unsigned(part)});
    }
}

Tensor *KernelStages::copyOf(Tensor &source) {
  Tensor &copy = graph.tensors.emplace_back();
  copy.element = source.element;
  copy.shape = source.shape;
  copy.layout = source.layout;
  copy.place = source.place;
  copy.product = source.product;
  copy.sources = {&source};
  copy.compute = [from = &source](Dag &dag, IndexRef index) {
    return dag.pull(*from, index);
  };
  return &copy;
}

void KernelStages::visit(Tensor *tensor) {
  if (!seen.insert(tensor).second)
    return;
  for (Tensor *source : tensor->sources)
    visit(source);
  // Results of one reduction are written together.
  if (tensor->reduction)
    for (Tensor *sibling : tensor->reduction->results)
      if (sibling && sibling != tensor && seen.insert(sibling).second)
        order.push_back(sibling);
  order.push_back(tensor);
}

void KernelStages::chooseStored() {
  for (Result &result : results)
    visit(result.tensor);
  for (Tensor *tensor : order) {
    SmallVector<Tensor *> unique;
    for (Tensor *source : tensor->sources)
      if (!llvm::is_contained(unique, source))
        unique.push_back(source);
    for (Tensor *source : unique)
      ++source->uses;
  }
  for (Tensor &tensor : graph.tensors) {
    tensor.stored = !tensor.isComputed();
    // Nests are planned before buffers are bound.
    tensor.buffer.element = tensor.element;
  }
  for (Tensor *tensor : order)
    if (tensor->isComputed() && tensor->uses)
      tensor->stored = tensor->reduction || tensor->keep ||
                       (tensor->expensive && tensor->uses > 1);
  for (Result &result : results)
    result.tensor->stored = true;
}

//===----------------------------------------------------------------------===//
// Stages
//===----------------------------------------------------------------------===//

static bool mayJoin(const Stage &stage, const Tensor &tensor) {
  const Tensor &first = *stage.tensors.front();
  auto simple = [](const Tensor &t) {
    return !t.reduction && t.pieces.empty() && !t.layout && !t.update;
  };
  return simple(first) && simple(tensor) && first.shape == tensor.shape &&
         first.product == tensor.product && first.place == tensor.place;
}

void KernelStages::makeStages() {
  llvm::DenseSet<Reduction *> done;
  for (Tensor *tensor : order) {
    if (!tensor->stored || !tensor->isComputed())
      continue;
    if (tensor->reduction) {
      if (done.insert(tensor->reduction.get()).second) {
        Stage &stage = stages.emplace_back();
        for (Tensor *result : tensor->reduction->results)
          if (result)
            stage.tensors.push_back(result);
      }
    } else if (!stages.empty() && mayJoin(stages.back(), *tensor)) {
      stages.back().tensors.push_back(tensor);
    } else {
      stages.emplace_back().tensors.push_back(tensor);
    }
  }
  for (auto [i, stage] : llvm::enumerate(stages))
    for (Tensor *tensor : stage.tensors)
      tensor->stage = i;
}

void KernelStages::addReads(Tensor *tensor, int stage,
                            llvm::SmallDenseSet<int> &reads) const {
  for (Tensor *source : tensor->sources) {
    if (source->stored && source->stage != stage) {
      if (source->stage >= 0)
        reads.insert(source->stage);
    } else if (source != tensor) {
      addReads(source, stage, reads);
    }
  }
}

llvm::SmallDenseSet<int> KernelStages::getReads(int stage) const {
  llvm::SmallDenseSet<int> reads;
  for (Tensor *tensor : stages[stage].tensors)
    addReads(tensor, stage, reads);
  return reads;
}

} // namespace cpu
} // namespace nibble
