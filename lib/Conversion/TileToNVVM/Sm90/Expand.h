// Operand A of wgmma from codes in shared memory, and scales of sums.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EXPAND_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EXPAND_H

#include "HalfPairs.h"
#include "Rings.h"

namespace nibble {
namespace sm90 {

/// What a tile.expand names: slots of a stage that is full.
struct ExpandedOperand {
  tile::ExpandOp op;
  Slot codes, scales;
};

/// Address of a slot in shared memory, as an i32.
Int getSlotAddress(Kernel &kernel, const Slot &slot);

/// The fragments of one warp: 16 rows, 16 k each. A thread (g, t) = (lane / 4,
/// lane % 4) holds k = 2 t, 2 t + 1 of rows g and g + 8, then the same 8 k
/// further on (PTX ISA, "wgmma register fragment A"): bits 4 i and 4 i + 16 of
/// the word of a fragment are register i. Of 8-bit codes, registers are the
/// halves of two words.
class Fragments {
public:
  /// Loads codes and scales of the warp's 16 rows, which are number `tile`.
  Fragments(Kernel &kernel, const ExpandedOperand &operand, Int tile);

  /// Four registers: products of codes and scales, times 2^exponent.
  llvm::SmallVector<mlir::Value> make(int64_t step);

private:
  void loadCodes(Int codes, Int tile, Int lane);
  void convertScales(int64_t block);
  llvm::SmallVector<mlir::Value> makeFromBytes(int64_t step);

  Code &code;
  tile::ExpandOp op;
  bool isBf16;
  HalfPairs pairs;
  llvm::SmallVector<mlir::Value> words, scaleWords;
  int64_t converted = -1;                    ///< block of which `factors` are
  llvm::SmallVector<mlir::Value, 2> factors; ///< pairs, of rows g and g + 8
};

/// Scales of rows g and g + 8 from a packed slot, as f32.
llvm::SmallVector<mlir::Value, 2> loadPackedScales(Kernel &kernel,
                                                   const Slot &slot,
                                                   mlir::Type element,
                                                   Int tile);

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EXPAND_H
