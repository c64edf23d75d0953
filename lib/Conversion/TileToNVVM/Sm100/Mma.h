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

/// What tcgen05.mma issues for one tile.mma; by one thread.
class Mma {
public:
  explicit Mma(Sm100Kernel &kernel) : kernel(kernel), code(kernel.getCode()) {}

  /// Refuses what is not written.
  mlir::LogicalResult check(tile::MmaOp op);
  /// Issues the products of a K block. `scales`: none, or of A and of B.
  Acc multiply(tile::MmaOp op, const Acc &acc, const Slot &a, const Slot &b,
               llvm::ArrayRef<Scales> scales);
  /// The same with A in tensor memory, from a column on.
  Acc multiply(tile::MmaOp op, const Acc &acc, Int a, const Slot &b);
  /// Copies the scales in slots to tensor memory.
  Scales copyScales(tile::ScalesOp op, llvm::ArrayRef<Slot> slots, Int from);

private:
  Int getAddress(const Slot &slot, int64_t bytes);
  mlir::Value getDescriptor(const Slot &slot, tile::SlotType type,
                            int64_t bytes);
  mlir::Value getScale(const Scales &scales, int64_t group);

  Sm100Kernel &kernel;
  Code &code;
};

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_MMA_H
