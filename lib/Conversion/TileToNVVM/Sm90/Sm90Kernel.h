// Kernels for Hopper: roles on registers and wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_SM90KERNEL_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_SM90KERNEL_H

#include "Kernel.h"

namespace nibble {
namespace sm90 {

std::unique_ptr<tilecode::Kernel> createKernel(tile::KernelOp op);

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_SM90KERNEL_H
