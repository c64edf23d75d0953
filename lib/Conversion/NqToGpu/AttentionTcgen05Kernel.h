// The code of attention on Blackwell's tensor cores, being written.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05KERNEL_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05KERNEL_H

#include "AttentionKernel.h"
#include "AttentionTcgen05.h"

#include "nibble/Dialect/Tile/TileTarget.h"

namespace nibble {
namespace gpu {

/// What a thread carries for its row from tile to tile of keys. A weight is
/// 2^(score * factor + exponent).
struct AttentionRow {
  mlir::Value top;      ///< largest score; -inf: nothing was seen
  mlir::Value exponent; ///< such that no weight is above 2^kMostExponent
  mlir::Value total;    ///< of the weights
  /// Of weights that become codes: what makes numbers of codes of them. All
  /// keys of the row have been seen then, and the rest stays as it is.
  mlir::Value share;
};

/// Writes the function. Row i of the block is lane i of tensor memory and
/// belongs to thread i, so that maxima and sums of rows need no other thread.
///
/// In the order of the thread that multiplies: scores of tile 0; then, for each
/// further tile, its scores and the values of the one before; at last values of
/// the last one. Weights take the place of their scores. So the softmax of a
/// tile runs beside the values of the one before and the scores of the next.
/// Weights that become codes need maximum and sum of the whole row: scores of
/// all tiles are multiplied once before, and tiles of the second walk have the
/// numbers behind those.
///
/// Barriers, one phase for each tile: scores (one for even and one for odd
/// tiles) say that scores are there, and that all products before are done;
/// weights, from four warps, that weights are stored, scores were read, and
/// sums may be added to; sums, that the products with values are done; read
/// (even, odd), from four warps, that scores of the first walk are in
/// registers.
class AttentionTcgen05Kernel : AttentionKernel {
public:
  AttentionTcgen05Kernel(const AttentionShape &shape,
                         const AttentionTcgen05Schedule &plan,
                         const tile::Target &chip, mlir::Location loc,
                         mlir::gpu::GPUModuleOp target,
                         const llvm::Twine &symbol);

  KernelLaunch write();

private:
  // AttentionTcgen05Kernel.cpp: the function, barriers, the thread that copies.
  void initializeBarriers();
  void setUp();
  void finish();
  void writeCopies();
  void copyRows();
  void copyPieces(bool isKey, Int tile, AttentionRing &ring,
                  AttentionRing &raw);
  /// Runs `body` for each tile as often as its keys and values come, in the
  /// order in which they are multiplied. The rings are carried.
  void forTiles(AttentionRing &ring, AttentionRing &raw,
                llvm::function_ref<void(bool isKey, Int tile)> body);
  void forFirstWalk(AttentionRing &ring, AttentionRing &raw,
                    llvm::function_ref<void(bool isKey, Int tile)> body);
  /// Runs `body` for piece after piece of a tile.
  void forPieces(bool isKey, AttentionRing &ring,
                 llvm::function_ref<void(int64_t piece, Int slot)> body);
  mlir::Value fullBarrier(mlir::Value stage) {
    return barrierAt(plan.fullBegin(), stage);
  }
  mlir::Value emptyBarrier(mlir::Value stage) {
    return barrierAt(plan.emptyBegin(), stage);
  }
  mlir::Value queriesBarrier() { return at(plan.barrierBegin()); }
  mlir::Value scoresBarrier(Int buffer);
  mlir::Value weightsBarrier() { return at(plan.barrierBegin() + 24); }
  mlir::Value sumsBarrier() { return at(plan.barrierBegin() + 32); }
  mlir::Value readBarrier(Int buffer);
  Int totalsBarrier() { return plan.barrierBegin() + 56; }
  /// And for tensor memory, too.
  void await(mlir::Value barrier, Int phase);
  /// Of the first tile with values.
  Int firstNumber() { return plan.walksTwice ? tiles : Int(0); }
  mlir::Type weightElement() {
    return plan.valueBytes == 1 ? shape.weightCodes->type : shape.narrow;
  }

  // AttentionTcgen05Expand.cpp: FP8 pieces as the products take them.
  void writeExpanders();
  void expandPiece(bool isKey, Int slot, const AttentionRing &ring,
                   const AttentionRing &raw);
  bool isRaw(bool isKey) const { return isKey ? plan.rawKeys : plan.rawValues; }

  // AttentionTcgen05Products.cpp: the thread that multiplies.
  void writeProducts();
  void multiplyFirstWalk(AttentionRing &ring);
  void awaitRead(Int number);
  void multiplyTileKeys(Int number, AttentionRing &ring);
  void multiplyTileValues(Int number, mlir::Value adds, AttentionRing &ring);
  mlir::Value getMatrix(Int bytes, uint64_t form);

  // AttentionTcgen05Rows.cpp: weights of scores.
  void writeRows();
  void clearBehindKeys();
  void clearRows(Int slot, Int keys, int64_t panels);
  /// The scores of a tile as the softmax takes them, and the largest one.
  struct TileScores {
    Values scores;
    mlir::Value top;
  };
  void writeTile(Int number, AttentionRow &row);
  void writeFirstWalk(AttentionRow &row);
  void writeFirstTile(Int number, AttentionRow &row);
  Values loadFloats(llvm::ArrayRef<Int> columns, int64_t count);
  /// When they are there. The largest one comes with them, if the chip finds
  /// it, nothing is done to scores before, and somebody wants it.
  TileScores loadScores(Int number, bool wantsTop);
  /// As masks say; tile `first` is the last one of keys.
  void maskScores(TileScores &tile, Int number, Int first);
  void adjustRow(Values &scores, Int firstKey);
  mlir::Value hideRow(Values &scores, Int firstKey);
  mlir::Value findTop(llvm::ArrayRef<mlir::Value> scores);
  /// The factor for earlier sums of the row; `grows`, if it is not 1.
  mlir::Value findExponent(mlir::Value topOfTile, mlir::Value factor,
                           AttentionRow &row, mlir::Value &grows);
  mlir::Value findWeight(mlir::Value score, mlir::Value factor,
                         const AttentionRow &row);
  mlir::Value sum(llvm::ArrayRef<mlir::Value> weights);
  /// Returns their sum.
  mlir::Value storeWeights(llvm::ArrayRef<mlir::Value> scores,
                           mlir::Value factor, const AttentionRow &row,
                           Int buffer);
  /// As words of the second product's operand.
  Values packRow(llvm::ArrayRef<mlir::Value> weights);
  void fadeSums(mlir::Value factor);
  mlir::Value isAny(mlir::Value condition);
  mlir::Value
  fold(llvm::ArrayRef<mlir::Value> values,
       llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  /// Of scores of tile `number`, or of sums, in the warp's lanes.
  Int scoresOf(Int buffer) {
    return code.add(lanesBase, code.mul(buffer, plan.keys));
  }
  Int sumsOf() { return code.add(lanesBase, plan.sumsColumn()); }

  // AttentionTcgen05Result.cpp.
  void writeRowResult(const AttentionRow &row);
  /// Of this thread's row to its place in shared memory: rounded, or as they
  /// are for blocks that share the keys.
  void stageRow(mlir::Value factor, bool isPart);
  void stageWords(llvm::ArrayRef<mlir::Value> words, mlir::Value place);
  Values wordsOf(llvm::ArrayRef<mlir::Value> floats);
  Values roundSums(llvm::ArrayRef<mlir::Value> sums);
  void copyResults();
  Int resultOffset(Int row);
  mlir::Value resultLine(Int offset);
  int64_t resultBytes() { return shape.result.bytes(); }

  // AttentionTcgen05Totals.cpp: between two walks.
  void findShare(AttentionRow &row);
  void exchangeTotals(AttentionRow &row);
  void sendTotals(const AttentionRow &row);

  // AttentionTcgen05Merge.cpp: what blocks of a cluster found, for some rows
  // each.
  void merge();
  void mergeRow(Int row);
  Values findShares(Int row);
  void mergeColumns(llvm::ArrayRef<mlir::Value> shares, Int row, Int column,
                    mlir::Value line);
  /// `count` f32 at an address of this block, of another one.
  Values loadFrom(int64_t block, Int address, int64_t count);

  const AttentionTcgen05Schedule &plan;
  const tile::Target &chip;
  Int tensorBase = 0; ///< address of the first column
  Int lanesBase = 0;  ///< and of the warp's 32 lanes
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05KERNEL_H
