// How weights are stored that are expanded to operand A of wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A warp multiplies 16 rows by 16 k in one instruction. A thread (g, t), g =
// lane / 4, holds k = 2t, 2t+1, 2t+8, 2t+9 of rows g and g + 8, eight codes of
// 4 bits: a word. In a stage of 64 k they are 16 bytes of each lane, lane after
// lane (8 bytes in one of 32 k):
//
//   codes:  [row / 16][k / stage][row % 8][k / 2 % 4][k / 16][k % 2][k / 8 % 2]
//           [row / 8 % 2]: one shift brings two neighbours along k to the same
//           bits of both halves of a word.
//           Of 8 bits: [row / 16][k / stage][k / 32][row % 8][k / 2 % 4]
//           [k / 16 % 2][k / 8 % 2][row / 8 % 2][k % 2]: halves of words are
//           pairs of neighbours, 16 bytes of a lane 32 k.
//   scales: [row / 16][k / stage][row % 8][block of the stage][row / 8 % 2]
//
// Rows end at a multiple of 16 and k at one of the stage, padded with zeros. A
// block that is longer than a stage is stored once.
#ifndef NIBBLE_KERNELSELECT_FRAGMENTLAYOUT_H
#define NIBBLE_KERNELSELECT_FRAGMENTLAYOUT_H

#include "nibble/KernelSelect/Layouts.h"

#include <optional>

namespace nibble {

struct FragmentFormat {
  int64_t bits = 4;    ///< of a code
  int64_t stageK = 64; ///< elements along k that are loaded together
  int64_t block = 0;   ///< elements along k with one scale; 0: all
  /// Sums of a stage are multiplied by scales; otherwise codes are, before the
  /// product.
  bool scalesSums = false;
  /// Scales along k in a stage.
  int64_t stageBlocks() const {
    return block ? std::max<int64_t>(stageK / block, 1) : 0;
  }
  /// Stages that share a scale.
  int64_t sharing() const { return std::max<int64_t>(block / stageK, 1); }
};

/// The format of a weight next to activations of `element` (f16 or bf16);
/// nothing, with the reason in `why`, if such kernels do not take it. Taken are
/// matrices of E4M3, E5M2 and 8-bit integers with scales per tensor or row, or
/// in blocks of a row: floats of 32 k (E8M0) or 128 k (float scales), integers
/// of 32, 64 or 128 k (float scales); of E2M1 with blocks of 16 or
/// 32 k (scales E4M3) or 32 (E8M0), and of 4-bit integers with blocks of 32,
/// 64, 128 (float scales) or all of k. E8M0 scales are exact in bf16 only; next
/// to f16 they scale sums of 32 k.
std::optional<FragmentFormat> getFragmentFormat(mlir::RankedTensorType type,
                                                MatrixDims dims,
                                                mlir::Type element,
                                                std::string &why);

/// The layout above; null if there is no such format.
nq::LayoutAttr getFragmentLayout(mlir::RankedTensorType type, MatrixDims dims,
                                 mlir::Type element);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_FRAGMENTLAYOUT_H
