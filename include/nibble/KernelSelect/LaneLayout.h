// How weights are stored that are expanded to operand A in tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread expands one of 128 rows, 64 k at a time. What threads read at once
// are 16 bytes of neighbouring rows, side by side:
//
//   codes:  [row / 128][k / 64][k / 32 % 2][row % 128][k / 8 % 4][k % 2]
//           [k / 2 % 4]: one shift brings two neighbours along k to the same
//           bits of both halves of a word.
//           Of 8 bits: [row / 128][k / 64][k / 16 % 4][row % 128][k % 16].
//   scales: [row / 128][k / 64][row % 128][block of the 64 k]
//
// Rows end at a multiple of 128 and k at one of 64, padded with zeros.
#ifndef NIBBLE_KERNELSELECT_LANELAYOUT_H
#define NIBBLE_KERNELSELECT_LANELAYOUT_H

#include "nibble/KernelSelect/FragmentLayout.h"

namespace nibble {

/// The format of a weight next to activations of `element` (f16 or bf16);
/// nothing, with the reason in `why`, if such kernels do not take it: those of
/// getFragmentFormat whose scales multiply codes, or are the same for all k.
std::optional<FragmentFormat> getLaneFormat(mlir::RankedTensorType type,
                                            MatrixDims dims, mlir::Type element,
                                            std::string &why);

/// The layout above; null if there is no such format.
nq::LayoutAttr getLaneLayout(mlir::RankedTensorType type, MatrixDims dims,
                             mlir::Type element);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_LANELAYOUT_H
