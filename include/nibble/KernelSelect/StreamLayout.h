// How weights are stored that are streamed through registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels of the classes gemm.stream.* multiply 16 rows of the weight by 16 k,
// operand A of mma.sync.m16n8k16 and of a warp's part of wgmma. A thread (g, t)
// of a warp, g = lane / 4, needs k = 2t, 2t+1, 2t+8, 2t+9 of rows g and g + 8.
//
// Codes lie so that 16 bytes of a lane, lane after lane, are its part of 512
// bytes: half of them of row g, half of row g + 8 of a tile of 16 rows.
//   4 bits: 64 k, [g][t][row half][32 k][k % 2][8 k]: one shift brings two
//           neighbours to bits 12-15 and 28-31.
//   8 bits: 32 k, [g][t][row half][16 k][8 k][k % 2].
//  16 bits: 16 k, [g][t][row half][8 k][k % 2].
// Two such loads make a piece, in which k ends (padded with zeros). Pieces of k
// follow one another, then tiles of rows. Scales that change along k
// follow in pieces of 128 k, [g][row half][block].
#ifndef NIBBLE_KERNELSELECT_STREAMLAYOUT_H
#define NIBBLE_KERNELSELECT_STREAMLAYOUT_H

#include "nibble/KernelSelect/Layouts.h"

#include <optional>

namespace nibble {

struct StreamFormat {
  int64_t bits = 16;
  int64_t block = 0; ///< elements along k with one scale; 0: all
  /// Codes are multiplied by their scales before the product, as the product of
  /// both is exact in 16 bits; otherwise sums are multiplied.
  bool scalesCodes() const { return block == 16; }
  /// Elements along k of a piece, 1024 bytes for 16 rows.
  int64_t pieceK() const { return 512 / bits; }
};

/// The format of a weight; nothing, with the reason in `why`, if such kernels
/// do not take it. Taken are matrices of f16, bf16, E4M3, E5M2 and 8-bit
/// integers (scales per tensor or row), E2M1 with blocks of 16 (scales E4M3) or
/// 32 (E4M3, E8M0) along k, and 4-bit integers with blocks of 32, 64, 128 or
/// all of k; zero points are not taken, nor combined scales that are rounded to
/// 16 bits.
std::optional<StreamFormat> getStreamFormat(mlir::RankedTensorType type,
                                            MatrixDims dims, std::string &why);

/// The layout above, next to activations of `element` (f16 or bf16); null if
/// there is no such format.
nq::LayoutAttr getStreamLayout(mlir::RankedTensorType type, MatrixDims dims,
                               mlir::Type element);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_STREAMLAYOUT_H
