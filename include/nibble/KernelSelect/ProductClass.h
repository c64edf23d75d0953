// What the name of a kernel class says of products on tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_PRODUCTCLASS_H
#define NIBBLE_KERNELSELECT_PRODUCTCLASS_H

#include "llvm/ADT/StringRef.h"

namespace nibble {

/// What writes the kernel.
enum class ProductGenerator {
  Threads,    ///< FMA units; all classes that are none of those below
  Streams,    ///< gemm.stream.*: few rows, a weight that is read once
  TensorCores ///< gemm.wgmma.*, gemm.tcgen05.*: NqToTile, TileToNVVM
};

struct ProductClass {
  ProductGenerator generator = ProductGenerator::Threads;
  /// Operands of products have to lie in memory as they are.
  bool plainOperands = false;
};

/// Of any class.
ProductClass getProductClass(llvm::StringRef kernelClass);

/// The class under whose name schedules are measured: weights that were rounded
/// are multiplied as others.
llvm::StringRef getTunedName(llvm::StringRef kernelClass);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_PRODUCTCLASS_H
