// Rows whose elements stay in registers from stage to stage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ROWPLAN_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ROWPLAN_H

#include "KernelStages.h"

#include <set>

namespace nibble {
namespace gpu {

using Nests = std::vector<std::unique_ptr<cpu::Nest>>;

/// A nest as a walk over the positions of a row: 0 .. RowPlan::size - 1, which
/// are what the longest nest has elements, folded ones included.
struct RowNest {
  cpu::Nest *nest = nullptr;
  llvm::SmallVector<unsigned> outer, folded; ///< outside in, without those of 1
  int64_t weight = 1;  ///< positions per point of all its loops
  int64_t granule = 1; ///< positions per result
  /// A fold of few elements that are no positions: every warp does it as a
  /// whole.
  bool isSmall = false;
  int64_t smallSize = 0;

  bool isFull() const { return weight == 1 && !isSmall; }
  llvm::SmallVector<unsigned> loops() const;
  int64_t extent(unsigned dim) const { return nest->dag.getDims()[dim].extent; }
};

/// What element of a buffer belongs to a position, such that equal keys are
/// equal elements: empty if that cannot be said.
using ElementKey = llvm::SmallVector<int64_t>;

/// Thread t of the team of a row has the positions (j * team + t) * width + 0
/// .. width - 1 for j = 0 .. runs - 1, in all nests.
struct RowPlan {
  unsigned rowDims = 0;
  int64_t rows = 1, size = 1, width = 1;
  int64_t team = 32;         ///< a power of two, or a multiple of `group`
  int64_t group = 32;        ///< threads of a warp that have one row, at most
  int64_t runs = 1;          ///< per thread
  int64_t rowsPerBlock = 1;  ///< block = team * rowsPerBlock threads
  bool hasOwnBlocks = false; ///< a thread folds blocks of a row alone
  std::vector<RowNest> nests;

  int64_t allRuns() const { return size / width; }
  int64_t threads() const { return team * rowsPerBlock; }
  int64_t blocks() const { return (rows + rowsPerBlock - 1) / rowsPerBlock; }
  ElementKey keyOf(const RowNest &nest, const cpu::Buffer &buffer,
                   const cpu::Lin &offset) const;
  /// Whether the element is the same for all positions.
  static bool isRowWide(const ElementKey &key);
};

/// What plans depend on.
struct RowMachine {
  int64_t threads;          ///< there to be used
  int64_t accessBits = 128; ///< of a thread's loads and stores, at most
};

/// Of stages `numbers` with their nests, which are planned here. Nothing if a
/// thread would need what another one has: rows in shared memory can do that.
std::optional<RowPlan> planRow(const cpu::KernelStages &stages,
                               llvm::ArrayRef<int> numbers,
                               llvm::ArrayRef<Nests> nests, unsigned rowDims,
                               int64_t rows, RowMachine machine);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ROWPLAN_H
