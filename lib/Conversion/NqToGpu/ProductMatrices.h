// The operands and results of products as batches of matrices.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTMATRICES_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTMATRICES_H

#include "ResultWriter.h"
#include "TileLoader.h"

#include "nibble/Dialect/Quant/NqOps.h"

namespace nibble {
namespace gpu {

/// An element of a plain or scaled operand as an f32. Scaled: code * scale,
/// rounded; or the code alone, without its scale.
cpu::Node *elementOf(cpu::KernelGraph &graph, mlir::Value value, cpu::Dag &dag,
                     cpu::IndexRef index, bool withoutScale = false);

/// A[batch] * B[batch]^T = C[batch]: rows of A, rows of B are columns of C. If
/// B is the same for all of a batch, rows of all batches are rows of one
/// matrix.
struct MatrixProduct {
  MatrixProduct(cpu::KernelGraph &graph, nq::MatmulOp op);

  MatrixOperand a, b;
  MatrixResult c;
  int64_t depth;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTMATRICES_H
