// Reads panels of a packed weight as f32 vectors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMDECODE_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMDECODE_H

#include "GemmCode.h"

namespace nibble {
namespace cpu {

/// Emits the decoding of one packed weight, held in a byte buffer.
class GemmDecoder {
public:
  GemmDecoder(GemmCode &code, const GemmWeight &weight, mlir::Value bytes)
      : code(code), weight(weight), layout(gemmPanels(weight)), bytes(bytes) {}

  /// How many k one call of `decode` gives: 4 for 4-bit codes, else 1.
  int64_t step() const { return weight.fourBit() ? 4 : 1; }

  /// Rows k .. k + step() of a panel, unscaled; `k` is a multiple of step().
  /// Codes are multiplied by the constant that `scale` divides out again. Zero
  /// points, if any, are subtracted: `zeroPoint` is that of the block.
  llvm::SmallVector<PanelRow> decode(mlir::Value panel, mlir::Value k,
                                     const PanelRow *zeroPoint);

  /// Values `table[code]`, one byte each, of 32 bytes of two 4-bit codes: of
  /// the low nibbles and of the high ones.
  PanelRow lookupNibbles(mlir::Value bytes, llvm::ArrayRef<uint8_t> table);

  /// Sixteen k of a panel of octets (GemmWeight::octets) through a table, as
  /// four pairs of 32 bytes: 4 k of each column, columns 0-7 and 8-15. k in
  /// that order: 0 2 4 6, 8 10 12 14, 1 3 5 7, 9 11 13 15.
  llvm::SmallVector<PanelRow> decodeOctets(mlir::Value panel, mlir::Value block,
                                           llvm::ArrayRef<uint8_t> table);

  /// Asks for the codes of k .. k + count, and their scales if there is one per
  /// column, some kilobytes ahead of use. Weights that are used once come at
  /// the speed of the memory only if many lines are on their way.
  void prefetch(mlir::Value panel, mlir::Value k, int64_t count);

  /// Effective scale of block `kb`, times the decoder's constant.
  PanelRow scale(mlir::Value panel, mlir::Value kb);
  PanelRow zeroPoint(mlir::Value panel, mlir::Value kb);

private:
  llvm::SmallVector<PanelRow> decodeNibbles(mlir::Value at);
  void prefetchBytes(mlir::Value at, int64_t count);
  PanelRow splitNibbles(mlir::Value bytes);
  PanelRow decodeBytes(mlir::Value at);
  PanelRow decodeE4M3(mlir::Value bytes16);
  mlir::Value lookup(mlir::Value nibbles, llvm::ArrayRef<uint8_t> table);
  mlir::Value tableConstant(llvm::ArrayRef<uint8_t> table);
  mlir::Value gridOffset(mlir::Value panel, mlir::Value kb);

  GemmCode &code;
  const GemmWeight &weight;
  GemmPanels layout;
  mlir::Value bytes;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMDECODE_H
