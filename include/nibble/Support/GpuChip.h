// Which chip a gpu.module is for, where its code depends on that.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_SUPPORT_GPUCHIP_H
#define NIBBLE_SUPPORT_GPUCHIP_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Operation.h"

namespace nibble {

/// On a gpu.module: the chip of its kernels, if it is a Blackwell.
inline constexpr llvm::StringLiteral kBlackwellChipAttr = "nibble.chip";

/// True for chips that convert from and to E2M1, and whose PTX has pairs of
/// f32.
inline bool isBlackwell(llvm::StringRef chip) {
  return chip.starts_with("sm_10") || chip.starts_with("sm_11");
}

/// Says so, for all code that is written into the module or lowered in it.
inline void setChip(mlir::Operation *module, llvm::StringRef chip) {
  if (isBlackwell(chip))
    module->setAttr(kBlackwellChipAttr,
                    mlir::StringAttr::get(module->getContext(), chip));
}

/// True if `op` is, or is inside of, a module of which setChip has said so, or
/// a tile.kernel for such a chip.
inline bool isForBlackwell(mlir::Operation *op) {
  for (; op; op = op->getParentOp()) {
    llvm::StringRef name = kBlackwellChipAttr;
    if (op->getName().getStringRef() == "tile.kernel")
      name = "target";
    if (auto chip = op->getAttrOfType<mlir::StringAttr>(name))
      return isBlackwell(chip.getValue());
  }
  return false;
}

} // namespace nibble

#endif // NIBBLE_SUPPORT_GPUCHIP_H
