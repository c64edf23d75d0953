// Storage layouts that kernels ask for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_LAYOUTS_H
#define NIBBLE_KERNELSELECT_LAYOUTS_H

#include "nibble/Dialect/Quant/NqOps.h"

namespace nibble {

/// Which dimensions of a tensor are rows (M or N) and K of a product.
struct MatrixDims {
  int64_t row, k;
};

/// K-major storage: rows of K, each beginning at a multiple of 16 bytes as the
/// copy engine wants it. Where K does not divide, there are gaps: zeros in
/// constants, anything in what kernels store, since copies end with K.
/// Null if the tensor is stored so anyway.
nq::LayoutAttr getKMajorLayout(mlir::RankedTensorType type, MatrixDims dims);

/// The same, with block scales K by rows: those of one block of K lie together.
nq::LayoutAttr getKMajorScalesLayout(mlir::RankedTensorType type,
                                     MatrixDims dims);

/// The same, with block scales in the 128x4 tiles that tcgen05 reads: rows
/// padded to 128, scales along K padded to 4, byte
/// ((m/128)*ceil(kb/4) + kb/4)*512 + (m%32)*16 + (m/32%4)*4 + kb%4 (PTX ISA,
/// scale-factor layout; 512 bytes are one tcgen05.cp of 128x4).
nq::LayoutAttr getBlockScaledLayout(mlir::RankedTensorType type,
                                    MatrixDims dims);

/// The same for codes of 4 bits that the copy engine spreads to a byte each,
/// next to codes of 8 bits: rows are whole boxes of 128 codes. Only constants
/// may have gaps, as copies read them.
nq::LayoutAttr getSpreadLayout(mlir::RankedTensorType type, MatrixDims dims);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_LAYOUTS_H
