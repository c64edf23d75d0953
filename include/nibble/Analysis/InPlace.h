// Which kernels may write a result where an operand lies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ANALYSIS_INPLACE_H
#define NIBBLE_ANALYSIS_INPLACE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <string>

namespace nibble {

/// "" if the code of `kernel` (a function on tensors, as `outline-kernels`
/// leaves it) may be given the same address for argument `operand` and for
/// result `result`; else what stands in the way.
///
/// Safe is what reads each element of the operand for the last time before, or
/// in the step in which, it writes that element of the result, and never reads
/// other elements that are written already, whatever ranges run at the same
/// time. That holds for a result, whatever else the kernel computes, that is
///  - an nq.update of the operand, which cannot be run in any other way: the
///    kernel writes the new rows and reads nothing of the operand;
/// and for kernels with one result (or results that are nq.statistics of it
/// besides, made of what is stored) that are
///  - an nq.matmul with the operand among its extras, of the shape of the
///    result: the epilogue reads an element right before it is stored;
///  - any number of ops of which those on the way from the operand to the
///  result
///    are: linalg.generic with parallel loops only, if operand and result are
///    accessed by identity maps (or by tensor.extract at linalg.index 0, 1,
///    ..); nq.cast; linalg.softmax and nq.norm of it. The code writes the
///    result in its last pass over a row, in which it reads the operand element
///    by element at most; earlier passes over the row are complete by then.
/// Operand and result have one type: plain, row-major, of whole bytes.
std::string whyNotInPlace(mlir::func::FuncOp kernel, unsigned operand,
                          unsigned result);

/// A result and the operand whose buffer it takes over.
struct InPlacePair {
  unsigned operand, result;
};

/// Results that must take over a buffer: what an nq.update of an argument
/// makes. The kernel stores the new rows only, the rest has to be there.
llvm::SmallVector<InPlacePair> getUpdatedOperands(mlir::func::FuncOp kernel);

} // namespace nibble

#endif // NIBBLE_ANALYSIS_INPLACE_H
