// Tensors of a kernel as functions of their index, or as reductions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every graph op becomes one or several of these. A tensor that is kept in
// memory (an argument, a result, or an intermediate worth keeping) has a
// buffer; all others are computed where they are used.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELTENSOR_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELTENSOR_H

#include "LoopExpr.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include <memory>

namespace nibble {
namespace cpu {

using ElementFn = std::function<Node *(Dag &, IndexRef)>;
using NodeList = llvm::SmallVector<Node *, 2>;

/// A rectangle of a tensor that is written by a nest of its own:
/// element offsets[d] + strides[d] * i[d] is compute(i).
struct Piece {
  llvm::SmallVector<int64_t> offsets, sizes, strides;
  ElementFn compute;
};

/// Results that are folded over additional dimensions; the index of a result is
/// the index of the fold.
struct Reduction {
  llvm::SmallVector<int64_t> extents; ///< of the folded dimensions
  /// If set: folded dimension i runs over block `index[dim]` of `total`
  /// elements in blocks of extents[i], the last one maybe partial.
  struct Bound {
    unsigned dim;
    int64_t total;
  };
  llvm::SmallVector<std::optional<Bound>> bounds;
  llvm::SmallVector<mlir::Type> types; ///< of the accumulators
  llvm::SmallVector<Tensor *> results; ///< one per accumulator; null if unused
  std::function<Node *(Dag &, IndexRef, unsigned)> init;
  /// Set if every accumulator is combined with a term by an associative and
  /// commutative operation; `terms` then gives the terms, otherwise `update`
  /// the new accumulators.
  llvm::SmallVector<mlir::vector::CombiningKind> kinds;
  bool looseMaximum = false; ///< a NaN need not win a maximum
  std::function<NodeList(Dag &, IndexRef index, IndexRef folded)> terms;
  std::function<NodeList(Dag &, IndexRef index, IndexRef folded,
                         llvm::ArrayRef<Node *> accumulators)>
      update;
};

/// Where the elements of a tensor lie in the index space (row, column) of a
/// matrix product: dimension d counts steps of `stride` rows or columns.
/// Dimensions of extent 1 have stride 0.
struct Placement {
  struct Digit {
    bool column = false;
    int64_t stride = 0;
    friend bool operator==(const Digit &a, const Digit &b) {
      return a.column == b.column && a.stride == b.stride;
    }
  };
  llvm::SmallVector<Digit, 4> digits;

  Lin rowOf(IndexRef index) const { return sum(index, false); }
  Lin columnOf(IndexRef index) const { return sum(index, true); }
  /// Columns between neighbours of the tensor; 1 if it has one column.
  int64_t columnStep() const;
  friend bool operator==(const Placement &a, const Placement &b) {
    return a.digits == b.digits;
  }

private:
  Lin sum(IndexRef index, bool column) const;
};

struct Tensor {
  mlir::Type element; ///< semantic element type: f16, i1, f4E2M1FN ...
  llvm::SmallVector<int64_t> shape;
  nq::LayoutAttr layout; ///< of the buffer; null if row-major

  ElementFn compute;
  std::shared_ptr<Reduction> reduction;
  llvm::SmallVector<Piece> pieces;

  llvm::SmallVector<Tensor *> sources; ///< what `compute` or terms pull
  bool expensive = false;              ///< not worth computing twice
  bool keep = false;                   ///< kept in memory if used at all
  bool view = false; ///< only renames the elements of its source
  unsigned uses = 0;

  /// Of tensors that depend on a matrix product: its group, and where their
  /// elements lie in its index space (of tensors with elements per column).
  int product = -1;
  std::optional<Placement> place;
  const Tensor *alike = nullptr; ///< has the same place

  /// If set, the buffer is that of a larger tensor, `extent` along `axis`, of
  /// which this one is the slices from `position` (one integer) on; those that
  /// would be outside are not written.
  struct Update {
    Tensor *position;
    unsigned axis;
    int64_t extent;
  };
  std::optional<Update> update;

  bool stored = false; ///< in memory: argument, constant, or written by `stage`
  Buffer buffer;
  int stage = -1;       ///< that writes the buffer; -1: argument or constant
  unsigned rowDims = 0; ///< leading dimensions the buffer does not have
  /// If set, the buffer holds this many elements: those of one block of columns
  /// of one row, in the order of columns.
  int64_t blockElements = 0;

  int64_t size() const { return mlir::ShapedType::getNumElements(shape); }
  bool isComputed() const { return compute || reduction; }
  /// Offset in elements of the element at `index` in the buffer.
  Lin offsetOf(Dag &dag, IndexRef index) const;
  /// Index along the axis of the larger tensor.
  Lin updatedSlice(Dag &dag, IndexRef index) const;
};

/// Codes, block scales (over the scale grid), global scale (one element) and
/// zero points (over the grid) of a scaled tensor; absent parts are null.
/// `codes` has the storage type as element type, integers signless.
struct ScaledTensor {
  nq::ScaledType type;
  llvm::SmallVector<int64_t> shape;
  Tensor *codes = nullptr, *scales = nullptr, *global = nullptr,
         *zeroPoints = nullptr;

  /// Index of the scale of element `index`.
  Index gridIndex(Dag &dag, IndexRef index) const;
  /// The effective scale of element `index`: f32, or f64 if the product of
  /// block scale and global scale needs it before it is rounded.
  Node *effectiveScale(Dag &dag, IndexRef index) const;
  /// code - zero point of element `index`, as f32 (exact).
  Node *codeValue(Dag &dag, IndexRef index) const;
};

/// condition ? x : y; no condition means true.
Node *choose(Dag &dag, Node *condition, Node *x, Node *y);
/// x and y, where null means true.
Node *both(Dag &dag, Node *x, Node *y);

/// Offset of `index` in a layout.
Lin layoutOffset(Dag &dag, nq::LayoutAttr layout, IndexRef index,
                 llvm::ArrayRef<int64_t> shape);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELTENSOR_H
