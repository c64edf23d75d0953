// What select-kernels chose for a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H

#include "nibble/KernelSelect/Passes.h"
#include "nibble/KernelSelect/ProductClass.h"

namespace nibble {
namespace gpu {

/// Of a kernel without a class, that of `Threads`.
inline ProductClass getProductClass(mlir::func::FuncOp kernel) {
  auto name = kernel->getAttrOfType<mlir::StringAttr>(kKernelClassAttr);
  if (!name)
    return {};
  return nibble::getProductClass(name.getValue());
}

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_CHOSENCLASS_H
