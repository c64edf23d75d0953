// The GEMM classes of every target family.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H
#define NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H

#include "nibble/KernelSelect/KernelClass.h"

namespace nibble {
llvm::ArrayRef<KernelClass> getSm100Gemms();
llvm::ArrayRef<KernelClass> getSm90Gemms();
} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H
