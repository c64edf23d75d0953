// Nests of loops that write the tensors of one stage: what they compute, and
// how their loops are merged, ordered, vectorized and split over threads.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_NEST_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_NEST_H

#include "KernelTensor.h"

#include <memory>

namespace nibble {
namespace cpu {

/// Tensors that one set of nests writes: the results of one reduction, or
/// elementwise tensors of one shape.
struct Stage {
  llvm::SmallVector<Tensor *> tensors;
};

struct Store {
  const Buffer *buffer;
  Lin offset;
  Node *bits;
  Node *guard = nullptr; ///< if set, whether to store (i1, equal in all lanes)
};

/// How the loops of a nest run.
struct NestPlan {
  llvm::SmallVector<unsigned> mergedInto; ///< per dimension
  llvm::SmallVector<unsigned> outer;      ///< parallel loops, outside in
  llvm::SmallVector<unsigned> folded;     ///< loops of the reduction
  int vectorDim = -1;     ///< parallel dimension of the lanes, innermost
  int foldVectorDim = -1; ///< or folded dimension of the lanes, innermost
  int64_t width = 1;
  /// Parallel loop inside of the vector loop, or -1: the loads that are not
  /// contiguous along the lanes are so along this one. `tile` > 0: nothing but
  /// such a copy, which is transposed by squares of this size.
  int innerDim = -1;
  int64_t tile = 0;
  unsigned bodySize = 0; ///< nodes per element, roughly
  bool packs = false;    ///< writes 4-bit elements: the loop goes in pairs
  bool unpacks = false;  ///< reads 4-bit elements: ranges begin at even ones

  /// Partition: units are the values of the first `unitDims` outer loops, times
  /// chunks of the vector loop (1 if there are no outer loops and units are
  /// elements of it).
  unsigned unitDims = 0;
  int64_t chunk = 0; ///< elements of the vector dimension per unit; 0: all
  int64_t units = 1, grain = 1;
  int64_t work = 0; ///< elements in all
};

struct Nest {
  explicit Nest(mlir::MLIRContext *context) : dag(context) {}
  Dag dag;
  llvm::SmallVector<unsigned> dims; ///< parallel, without those of the row
  llvm::SmallVector<Store> stores;

  Reduction *reduction = nullptr;
  llvm::SmallVector<unsigned> folded;
  NodeList inits, terms, accumulators, updates, finals;

  NestPlan plan;
};

/// The nests of a stage; the first `rowDims` dimensions are those of the row.
/// Nothing if an element of another row is needed or if a row is not a whole
/// number of bytes. With `layouts`, tensors in a layout have rows, too: padding
/// behind the columns of a row is zero (of 4-bit codes it is not written), rows
/// of padding are not written (without rows, all of the padding is zero).
std::optional<std::vector<std::unique_ptr<Nest>>>
buildNests(const Stage &stage, int number, unsigned rowDims,
           mlir::MLIRContext *context, bool layouts = false);

/// The nests of a stage whose tensors have a place: over one block of columns
/// of one row, dimensions 0 and 1. Nothing if another block is needed, or if a
/// block is no rectangle of the tensors or no whole number of bytes.
std::optional<std::vector<std::unique_ptr<Nest>>>
buildNests(const Stage &stage, int number, const ColumnBlocks &columns,
           mlir::MLIRContext *context);

/// What a nest reads, writes and computes.
struct NestAccess {
  Lin lin;
  uint64_t termDeps; ///< dimensions of its index nodes
  bool isStore, packed;
  const Buffer *buffer;
};
struct NestBody {
  llvm::SmallVector<NestAccess> accesses;
  llvm::SmallVector<const Node *> computes;
  uint64_t pinned = 0; ///< dimensions whose value is used as a number
  unsigned widestBits = 8;
};
NestBody scanNest(const Nest &nest);

/// Bytes that the address of element `lin` is surely a multiple of where
/// `lanesDim` is a multiple of `lanes`, in a buffer that begins at a multiple
/// of 64.
int64_t alignmentOf(const Dag &dag, llvm::ArrayRef<unsigned> mergedInto,
                    const Buffer &buffer, const Lin &lin, int lanesDim,
                    int64_t lanes);

struct PlanOptions {
  int64_t vectorBits = 512;     ///< lanes per loop: this / widest lane
  int64_t grainElements = 4096; ///< elements that are worth a task
};
void planNest(Nest &nest, const PlanOptions &options);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_NEST_H
