// The GEMM classes of every target family.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H
#define NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H

#include "nibble/KernelSelect/KernelClass.h"

namespace nibble {
llvm::ArrayRef<KernelClass> getSm100Gemms();
llvm::ArrayRef<KernelClass> getSm90Gemms();
/// Few rows: the weight is read once, and reading it is what takes time.
constexpr int64_t kStreamedRows = 64;
/// "" if weights of the region were rounded to FP8, by permission.
std::string whyNotRounded(nq::RegionOp region);
} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_GEMMCLASSES_H
