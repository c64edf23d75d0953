// Packs constants into their layout, piece by piece.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ENGINE_PACKLAYOUT_H
#define NIBBLE_ENGINE_PACKLAYOUT_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/status.h"

#include <functional>

namespace nibble {

/// Takes the next `size` bytes of a constant.
using AppendBytes = std::function<rt::Status(const void *data, uint64_t size)>;

/// Writes a row-major array of `shape` (`bits` 4 or a multiple of 8 per
/// element; 4-bit elements two per byte, element 2i low) in the order of
/// `layout`; padding is zero. A null layout is row-major. At most 1 MiB is held
/// in memory.
rt::Status packLayout(llvm::ArrayRef<char> linear, unsigned bits,
                      llvm::ArrayRef<int64_t> shape, nq::LayoutAttr layout,
                      const AppendBytes &append);

/// Writes the whole value of a constant as it lies in run-time storage: codes,
/// scales, global scale, zero points, each in its region (nq::getStorageRegions
/// of `type`, which may carry a layout). Missing data is an error.
rt::Status packConstant(mlir::RankedTensorType type, mlir::ElementsAttr codes,
                        mlir::ElementsAttr scales, mlir::ElementsAttr global,
                        mlir::ElementsAttr zeroPoints,
                        const AppendBytes &append);

} // namespace nibble

#endif // NIBBLE_ENGINE_PACKLAYOUT_H
