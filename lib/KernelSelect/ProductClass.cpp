// What the name of a kernel class says of products on tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/ProductClass.h"

using namespace nibble;

llvm::StringRef nibble::getTunedName(llvm::StringRef kernelClass) {
  kernelClass.consume_back(".lossy");
  return kernelClass;
}

ProductClass nibble::getProductClass(llvm::StringRef kernelClass) {
  if (kernelClass.starts_with("gemm.stream."))
    return {ProductGenerator::Streams, /*plainOperands=*/true};
  if (!kernelClass.starts_with("gemm.wgmma.") &&
      !kernelClass.starts_with("gemm.tcgen05."))
    return {};
  // Packed codes, and scales that change along k.
  bool plain =
      kernelClass.ends_with(".expand") || kernelClass.ends_with(".expand8") ||
      kernelClass.ends_with(".promote32") ||
      kernelClass.ends_with(".block128") || kernelClass.contains(".mxf");
  return {ProductGenerator::TensorCores, plain};
}
