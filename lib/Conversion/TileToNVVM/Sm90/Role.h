// One role being written: walks over its ops in order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_ROLE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_ROLE_H

#include "Epilogue.h"
#include "Mma.h"
#include "RoleWriter.h"

namespace nibble {
namespace sm90 {

class Role : public RoleWriter {
public:
  Role(Kernel &kernel, tile::RoleOp op);
  mlir::LogicalResult write();

private:
  mlir::LogicalResult writeOp(mlir::Operation *op) override;
  void writeEnd() override { settleBefore(nullptr); }
  mlir::LogicalResult writeMma(tile::MmaOp op);
  // Scales of sums (RolePromote.cpp).
  mlir::LogicalResult writePromote(tile::PromoteOp op);
  using RowScales = llvm::SmallVector<llvm::SmallVector<mlir::Value, 2>>;
  RowScales loadRowScales(tile::PromoteOp op, int64_t parts, Int block);
  llvm::SmallVector<mlir::Value> loadColumnScales(tile::PromoteOp op,
                                                  Int block);
  Int getBlockOfK(tile::PromoteOp op);
  void settlePartials(mlir::Block &block);
  // The same one round later (RoleLate.cpp).
  mlir::LogicalResult writeLate(tile::PromoteOp op);
  void settleLate(mlir::Block &block, int64_t groups);
  Acc addLate(tile::PromoteOp op);
  mlir::LogicalResult writeLateGroup(mlir::scf::ForOp loop, Int first,
                                     int64_t rounds, int64_t step);
  mlir::LogicalResult writeLateRounds(mlir::scf::ForOp loop, int64_t trips,
                                      int64_t lower, int64_t step);
  void zeroSums(mlir::scf::ForOp loop);
  // Slices of K (RoleReduce.cpp).
  Int getSlice(tile::SliceOp op);
  mlir::LogicalResult writeReduce(tile::ReduceOp op);
  Int getFirstColumn(tile::EpilogueOp epilogue);
  mlir::FailureOr<llvm::SmallVector<Acc>> settleAccs(mlir::Operation *op,
                                                     mlir::ValueRange values);
  mlir::LogicalResult writeEpilogue(tile::EpilogueOp op);
  llvm::SmallVector<Int> getCoords(mlir::ValueRange values);
  mlir::LogicalResult writeStore(tile::StoreOp op);
  mlir::LogicalResult writeStoreBlocks(tile::StoreBlocksOp op);

  // Loops (RoleLoops.cpp).
  mlir::LogicalResult writeTiles(tile::ForTilesOp op);
  mlir::LogicalResult writeTurn(tile::ForTilesOp op, Int index,
                                int64_t clusters, int64_t count);
  mlir::LogicalResult writeFor(mlir::scf::ForOp op);
  mlir::LogicalResult writeRounds(mlir::scf::ForOp op, int64_t done,
                                  int64_t trips, int64_t lower, int64_t step);
  mlir::LogicalResult writeRound(mlir::scf::ForOp op, Int index);
  void settleBefore(mlir::Operation *loop);

  void copyValue(mlir::Value from, mlir::Value to);

  Int team = 0, warpgroup = 0; ///< in the role, in the team
  std::unique_ptr<Mma> mma;
  llvm::DenseMap<mlir::Value, Acc> accs;
  llvm::DenseMap<mlir::Value, ExpandedOperand> expanded;
  llvm::DenseMap<mlir::Value, Fragment> fragments;
  /// Sums of a round that are added in the next one, and their scales.
  struct LateSums {
    Acc partial;
    RowScales rows;
    llvm::SmallVector<mlir::Value> columns;
  };
  llvm::DenseMap<mlir::Operation *, LateSums> late;
};

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_ROLE_H
