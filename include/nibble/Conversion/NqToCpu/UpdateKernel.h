// nq.update kernels: rows copied into a buffer, in place.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_UPDATEKERNEL_H
#define NIBBLE_CONVERSION_NQTOCPU_UPDATEKERNEL_H

#include "nibble/Conversion/NqToCpu/KernelToLoops.h"

namespace nibble {
namespace cpu {

/// True if the kernel function holds one nq.update and nothing else.
bool isUpdateKernel(mlir::func::FuncOp kernel);

/// Appends the code of an update kernel to `module`, under the name of the
/// kernel: operands, result, range and scratch as in KernelToLoops.h. The first
/// operand and the result are one buffer, of which only the rows are written;
/// nothing outside of it is, whatever the position. Units are rows: the slices
/// of `rows` along the axis, times the dimensions before it.
KernelInfo lowerUpdateKernel(mlir::func::FuncOp kernel, mlir::ModuleOp module);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_UPDATEKERNEL_H
