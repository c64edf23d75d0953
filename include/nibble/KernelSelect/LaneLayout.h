// How weights are stored that are expanded to operand A in tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread expands one of 128 rows, a stage of 64 k at a time (32, if sums of
// 32 have scales). What threads read at once are 16 bytes of neighbouring rows,
// side by side:
//
//   codes:  [row / 128][k / stage][k / 32][row % 128][k / 8 % 4][k % 2]
//           [k / 2 % 4]: one shift brings two neighbours along k to the same
//           bits of both halves of a word.
//           Of 8 bits: [row / 128][k / stage][k / 16][row % 128][k % 16].
//   scales: [row / 128][k / stage][row % 128][block of the stage]; those of
//   sums
//           [row / 128][block][row % 128]
//
// Rows end at a multiple of 128 and k at one of the stage, padded with zeros.
#ifndef NIBBLE_KERNELSELECT_LANELAYOUT_H
#define NIBBLE_KERNELSELECT_LANELAYOUT_H

#include "nibble/KernelSelect/FragmentLayout.h"

namespace nibble {

/// The layout above of what getFragmentFormat takes; null if that is nothing.
nq::LayoutAttr getLaneLayout(mlir::RankedTensorType type, MatrixDims dims,
                             mlir::Type element);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_LANELAYOUT_H
