// Writes nests of loops and the nodes inside of them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loops are opened from the outside in. A node is emitted once per loop level,
// in the outermost open loop that has all dimensions it depends on. Inside of a
// loop that was opened with a width, nodes that depend on its dimension are
// vectors of that many consecutive indices.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEMITTER_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEMITTER_H

#include "Nest.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace nibble {
namespace cpu {

/// Elements that are known without a look at memory. Asked before a load is
/// written, and told of every one that is.
class LoadCache {
public:
  virtual ~LoadCache() = default;
  /// Null if not known; shaped like what the load would give.
  virtual mlir::Value find(const Node &load) = 0;
  virtual void keep(const Node &load, mlir::Value value) = 0;
};

class LoopEmitter {
public:
  /// Emits at the current insertion point of `b`. `mergedInto[d]` is the
  /// dimension that walks d as well (d itself if none).
  LoopEmitter(mlir::ImplicitLocOpBuilder &b, const Dag &dag,
              llvm::ArrayRef<unsigned> mergedInto);

  /// Gives a dimension a value at the current level.
  void bind(unsigned dim, mlir::Value value);

  /// Opens a loop over [low, high) in steps of `width`; its body is a level.
  /// Results: the values carried by the loop.
  /// Not `lanes`: a scalar loop that steps by `width`.
  mlir::ValueRange open(unsigned dim, mlir::Value low, mlir::Value high,
                        int64_t width = 1, mlir::ValueRange carried = {},
                        bool lanes = true);
  /// A loop over integers that are no dimension: bind dimensions inside of it.
  /// Results: its induction variable, and the values carried.
  std::pair<mlir::Value, mlir::ValueRange>
  openRange(mlir::Value low, mlir::Value high, mlir::Value step,
            mlir::ValueRange carried = {});
  /// Gives a dimension `lanes` consecutive values from `first` on, a multiple
  /// of `lanes`, until the innermost loop is closed.
  void bindLanes(unsigned dim, mlir::Value first, int64_t lanes);
  /// Code that is written next goes into the innermost loop.
  void moveInside() { moveTo(stack.size() - 1); }
  /// Accesses say how far they are aligned, in buffers that begin at multiples
  /// of 64 bytes.
  void setAligned() { aligned = true; }
  void setCache(LoadCache *known) { cache = known; }
  /// Stores are written only if `value` (i1) is true; null: always.
  void setCondition(mlir::Value value) { condition = value; }

  /// Closes the innermost loop. Results: what it carried at its end.
  llvm::SmallVector<mlir::Value> close(mlir::ValueRange carried = {});

  /// Bound of a dimension: its extent, or less for the last partial block.
  mlir::Value bound(unsigned dim);

  /// Value of a node at the current level: a vector if the node depends on the
  /// dimension of a loop with a width.
  mlir::Value emit(Node *node);
  /// The same, as a vector even if all lanes are equal.
  mlir::Value emitWide(Node *node);
  void setValue(Node *accumulator, mlir::Value value);
  /// Writes the bits `node` to element `offset` of `buffer`; with a guard, only
  /// if that is true.
  void store(const Buffer &buffer, const Lin &offset, Node *node,
             Node *guard = nullptr);

  /// Copies `width` x `size` elements whose bits are a load that is contiguous
  /// along `inner`, at the current value of that dimension.
  void transposeTile(const Store &store, unsigned inner, int64_t size);

  int64_t getWidth() const { return width; }
  mlir::Value constantIndex(int64_t value);
  /// `type` with the lanes of the current loop.
  mlir::Type widened(mlir::Type type) const;

  mlir::ImplicitLocOpBuilder &b;

private:
  struct Level {
    mlir::Block *block;
    mlir::Operation *child = nullptr; ///< the open loop inside
    llvm::DenseMap<const Node *, mlir::Value> values;
    int64_t outerWidth = 1;
    int outerVectorDim = -1;
  };

  void enter(Node *guard);
  unsigned levelOf(uint64_t deps) const;
  void moveTo(unsigned level);
  bool isWide(uint64_t deps) const;
  uint64_t vectorMask() const;
  /// Offset without the lane part.
  mlir::Value scalarOffset(const Lin &lin, int64_t divisor = 1);
  mlir::Value emitIndex(Node *node);
  mlir::Value emitLoad(Node *node);
  mlir::Value loadNode(Node *node);
  // Vectors of elements, loaded at a level.
  mlir::Value loadRun(const Buffer &buffer, const Lin &lin, int64_t factor,
                      int64_t prefetch, unsigned level);
  mlir::Value loadPacked(const Buffer &buffer, const Lin &lin, unsigned level);
  mlir::Value loadScalar(const Buffer &buffer, mlir::Value offset);
  mlir::Value loadLanes(const Buffer &buffer, const Lin &lin, unsigned level);
  llvm::SmallVector<mlir::Value> laneOffsets(const Lin &lin, unsigned level);
  mlir::Value emitCompute(Node *node);
  mlir::Value broadcast(mlir::Value value);
  bool isRun(const Lin &lin, int64_t factor) const;
  bool isEven(const Lin &lin) const;
  int64_t vectorFactor(const Lin &lin) const;
  llvm::MaybeAlign alignOf(const Buffer &buffer, const Lin &lin) const;

  const Dag &dag;
  llvm::SmallVector<unsigned> mergedInto;
  llvm::SmallVector<mlir::Value> ivs; ///< per dimension, null if not bound
  llvm::SmallVector<int> levels;      ///< per dimension
  std::vector<Level> stack;
  int64_t width = 1;
  int vectorDim = -1;
  bool aligned = false, isGpu;
  LoadCache *cache = nullptr;
  mlir::Value condition;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_LOOPEMITTER_H
