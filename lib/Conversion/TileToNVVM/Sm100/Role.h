// One role of a kernel for Blackwell: loads, products, or results.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_ROLE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_ROLE_H

#include "Mma.h"
#include "RoleWriter.h"

namespace nibble {
namespace sm100 {

class Promotion;
struct SumLoop;

class Role : public RoleWriter {
public:
  Role(Sm100Kernel &kernel, tile::RoleOp op)
      : RoleWriter(kernel, op), kernel(kernel), mma(kernel) {}
  mlir::LogicalResult write();

private:
  mlir::LogicalResult writeOp(mlir::Operation *op) override;
  bool isOfFirstBlock() override;
  void writeEnd() override;
  bool isTensorMemory(mlir::Value ring);
  void acquire(tile::AcquireOp op);
  void wait(tile::WaitOp op);
  void publish(tile::PublishOp op);
  void release(tile::ReleaseOp op);
  void releasePending();
  void addAccs(mlir::Value ring, mlir::ValueRange results);
  void writeExpand(tile::ExpandIntoOp op);
  mlir::LogicalResult writeScales(tile::ScalesOp op);
  Product getProduct(tile::MmaOp op);
  mlir::LogicalResult writeMma(tile::MmaOp op);
  mlir::LogicalResult writeStore(mlir::Operation *store);
  mlir::LogicalResult writeTiles(tile::ForTilesOp op);
  mlir::LogicalResult writeFor(mlir::scf::ForOp op);
  // Sums in registers (RolePromote.cpp).
  void writeZero(tile::ZeroOp op);
  bool carriesSums(mlir::scf::ForOp op);
  Promotion getPromotion(tile::PromoteOp op);
  mlir::LogicalResult writePromote(tile::PromoteOp op);
  mlir::LogicalResult beginSums(SumLoop &work, int64_t first);
  mlir::LogicalResult writeSumRound(SumLoop &work, Int index);
  mlir::LogicalResult writeSums(mlir::scf::ForOp op, int64_t first,
                                int64_t last, int64_t step);

  Sm100Kernel &kernel;
  Mma mma;
  llvm::DenseMap<mlir::Value, Acc> accs;
  llvm::DenseMap<mlir::Value, Int> operands; ///< columns
  llvm::DenseMap<mlir::Value, Scales> scales;
  /// Rings of accumulators that are given back when they have been read.
  llvm::SmallVector<mlir::Value> pending;
  /// Of a thread's row, in registers.
  llvm::DenseMap<mlir::Value, llvm::SmallVector<mlir::Value>> sums;
  /// Scales that were loaded before their tile.promote.
  struct SumScales {
    llvm::SmallVector<mlir::Value> scalars, columns;
  };
  llvm::DenseMap<mlir::Operation *, SumScales> loaded;
};

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_ROLE_H
