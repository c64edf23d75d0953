// Maxima of blocks of neighbours, which several threads have parts of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MAXIMA_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MAXIMA_H

#include "Kernel.h"

namespace nibble {
namespace sm90 {

/// The ops of a body by what they are computed from: nothing but values from
/// outside; elements; maxima alone; both.
struct BodyParts {
  explicit BodyParts(tile::EpilogueOp op);
  llvm::SmallVector<tile::BlockMaxOp> maxima;
  llvm::SmallVector<mlir::Operation *> outside, before, ofBlock, after;
  /// Values of blocks that elements, or results, are computed from.
  llvm::SetVector<mlir::Value> shared;
};

/// What a thread computes of an element: two columns of a unit, in a row.
struct UnitRow {
  int64_t unit, r;
  mlir::IRMapping values;
};

/// Blocks along n are in the four threads of a row, in several of their units;
/// blocks along m in the eight threads of a column, in both rows of each, and
/// in several warps. A thread has as many blocks, a group, as there are threads
/// for them: each of these gets the maximum of one (half of what a thread has
/// goes to its neighbour, step by step), computes what depends on it alone, and
/// the others fetch that.
class Maxima {
public:
  /// `warp` in the role.
  Maxima(Kernel &kernel, tile::RoleOp role, tile::EpilogueOp op, Int warp);

  bool any() const { return !parts.maxima.empty(); }
  /// Refuses what is not written.
  mlir::LogicalResult check(int64_t width);
  /// Once per tile, before the first group.
  void begin();

  /// Blocks of a group, as their elements in the thread.
  using Group = llvm::SmallVector<llvm::SmallVector<UnitRow>>;
  Group getGroup(int64_t unit, int64_t r);
  /// Elements know their arguments; afterwards also all other values.
  void run(Group &group, int64_t part);

private:
  using Words = llvm::SmallVector<mlir::Value>;
  int64_t countUnits() { return op.getAccType().getShape()[1] / 8; }
  bool isAlongM() { return axis == tile::Axis::m; }
  void copy(llvm::ArrayRef<mlir::Operation *> ops, mlir::IRMapping &values);

  // Words of 32 bits.
  Words pack(mlir::Value value);
  mlir::Value unpack(mlir::Type type, llvm::ArrayRef<mlir::Value> words);
  mlir::Value packScalar(mlir::Value scalar);
  mlir::Value unpackScalar(mlir::Type type, mlir::Value word);
  mlir::Value shuffle(mlir::Value word, Int lane, bool butterfly);

  /// All of a thread's elements of a block.
  Words getOwn(llvm::ArrayRef<UnitRow> block, tile::BlockMaxOp max);
  Words maximum(llvm::ArrayRef<mlir::Value> a, llvm::ArrayRef<mlir::Value> b,
                tile::BlockMaxOp max);
  Words distribute(llvm::SmallVector<Words> blocks, tile::BlockMaxOp max);
  void exchangeWarps(llvm::MutableArrayRef<Words> maxima, int64_t part,
                     int64_t group);
  void sync();
  void share(Group &group, const mlir::IRMapping &ofBlock);

  Kernel &kernel;
  Code &code;
  tile::RoleOp role;
  tile::EpilogueOp op;
  Int warp;
  BodyParts parts;
  tile::Axis axis = tile::Axis::n;
  int64_t block = 0;
  llvm::SmallVector<int64_t> bits; ///< of lanes that share a block
};

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MAXIMA_H
