// Which tensors of a kernel are kept in memory, and in which stages they are
// written.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELSTAGES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELSTAGES_H

#include "KernelGraph.h"
#include "Nest.h"

#include "llvm/ADT/DenseSet.h"

namespace nibble {
namespace cpu {

class KernelStages {
public:
  explicit KernelStages(KernelGraph &graph) : graph(graph) {}

  /// Decides for a graph whose `returned` values are the results: sets
  /// `stored`, `stage` and `uses` of its tensors. A stage reads only stages
  /// before it.
  void choose(mlir::ValueRange returned);

  /// A returned tensor has the buffer of its result.
  struct Result {
    Tensor *tensor;
    unsigned value, part; ///< which part of which returned value
  };
  llvm::SmallVector<Result> results;
  std::vector<Stage> stages;

  bool isResult(const Tensor *tensor) const;
  /// Earlier stages whose buffers computing this stage reads.
  llvm::SmallDenseSet<int> getReads(int stage) const;

private:
  void collectResults(mlir::ValueRange returned);
  Tensor *copyOf(Tensor &source);
  void visit(Tensor *tensor);
  void chooseStored();
  void makeStages();
  void addReads(Tensor *tensor, int stage,
                llvm::SmallDenseSet<int> &reads) const;

  KernelGraph &graph;
  llvm::DenseSet<Tensor *> seen;
  std::vector<Tensor *> order;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELSTAGES_H
