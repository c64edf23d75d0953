// Kernels without matrix products, from tensors to loops for the CPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_KERNELTOLOOPS_H
#define NIBBLE_CONVERSION_NQTOCPU_KERNELTOLOOPS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace nibble {
namespace cpu {

struct CpuKernelOptions {
  /// Bits of data that one vector operation of the code handles; the back end
  /// cuts it into registers.
  int64_t vectorBits = 512;
  /// Elements that are worth a task of their own.
  int64_t grainElements = 4096;
};

/// How a kernel is launched: the thread pool covers [0, extent) by ranges whose
/// borders are multiples of `grain` (the last one ends at `extent`). Ranges are
/// independent of each other, any borders give the same result.
struct KernelInfo {
  int64_t extent = 1;
  int64_t grain = 1;
  int64_t scratchBytes = 0; ///< per thread, 64-byte aligned
};

/// Writes `kernel` (a function on tensors that `select` outlined: one cluster
/// of graph ops) as the function `name` (empty: the name of the kernel) on
/// memrefs into `target`:
///
///   func.func @name(%a: memref<Nxf32>, ..., %result: memref<Mxf16>, ...,
///                   %lo: index, %hi: index, %scratch: memref<?xi8>)
///       attributes {nibble.kernel}
///
/// in terms of arith, math, memref, scf and vector, as buildCpuLowerKernels-
/// Pipeline takes it. All memrefs are flat: operands first, then results.
/// Elements of i1, of 8-bit and of 4-bit types (two per byte) are bytes; a
/// scaled tensor is one buffer of bytes as nq::getStorageRegions lays it out.
///
/// Takes linalg ops on tensors, tensor shape ops, and all nq ops but matmul,
/// attention and state. Everything else is reported at its location, and
/// nothing is left in `target`. Bodies on f16 and bf16 compute in f32 and round
/// where a graph op ends. Indices of tensor.extract that are out of range read
/// the nearest element.
mlir::FailureOr<KernelInfo>
lowerKernelToLoops(mlir::func::FuncOp kernel, mlir::ModuleOp target,
                   llvm::StringRef name = {},
                   const CpuKernelOptions &options = {});

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_KERNELTOLOOPS_H
