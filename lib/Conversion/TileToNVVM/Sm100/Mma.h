// Products of matrices in shared memory, into tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_MMA_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_MMA_H

#include "Rings.h"
#include "Sm100Kernel.h"

namespace nibble {
namespace sm100 {

/// An accumulator: row = lane, column = column (PTX ISA, "layout D").
struct Acc {
  Int column = 0;
  /// i1: products add to what is there, or overwrite it.
  mlir::Value adds;
};

/// Block scales in tensor memory: for each 4 along K, 4 columns for each of
/// `tiles` of 128 rows; those of rows 32 i.. in column i.
struct Scales {
  Int column = 0;
  int64_t tiles = 1;
};

/// A tile.mma with its operands where they are now: A in shared memory, or in
/// tensor memory from a column on; no scales, or those of A and of B.
struct Product {
  tile::MmaOp op;
  Acc acc;
  Slot a, b;
  Int columnOfA = 0;
  llvm::SmallVector<Scales, 2> scales;
};

/// What tcgen05.mma issues for products of one stage; by one thread.
class Mma {
public:
  explicit Mma(Sm100Kernel &kernel) : kernel(kernel), code(kernel.getCode()) {}

  /// Refuses what is not written.
  mlir::LogicalResult check(tile::MmaOp op);
  /// Issues the products of a K block, which have the same A, in turn: the
  /// tensor core reads a piece of A once for all of them. Gives the sums.
  llvm::SmallVector<Acc> multiply(llvm::ArrayRef<Product> products);
  /// Copies the scales in slots to tensor memory.
  Scales copyScales(tile::ScalesOp op, llvm::ArrayRef<Slot> slots, Int from);

private:
  mlir::Value getDescriptor(const Slot &slot, uint64_t form, int64_t bytes);
  mlir::Value getMatrix(const Slot &slot, tile::SlotType type, int64_t bytes);
  mlir::Value getScale(const Scales &scales, int64_t group);
  void multiplyStep(const Product &product, int64_t bytes, mlir::Value adds,
                    Collector keep);
  void multiplyScaled(const Product &product, int64_t bytes, mlir::Value left,
                      mlir::Value right, mlir::Value adds, Collector keep);

  Sm100Kernel &kernel;
  Code &code;
};

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_MMA_H
