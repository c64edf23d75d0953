// What select-kernels chose for a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/KernelSelect/ProductClass.h"

namespace nibble {
namespace gpu {

/// Of a kernel without a class, that of `Threads`; so on chips for which there
/// is no other generator.
inline ProductClass getProductClass(mlir::func::FuncOp kernel,
                                    const GpuTarget &options) {
  auto name = kernel->getAttrOfType<mlir::StringAttr>(kKernelClassAttr);
  if (!name)
    return {};
  ProductClass chosen = nibble::getProductClass(name.getValue());
  if (options.chip != "sm_90a")
    chosen.generator = ProductGenerator::Threads;
  return chosen;
}

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H
