// Block scales of packed weights and of activations as f32.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMSCALES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMSCALES_H

#include "GemmCode.h"

namespace nibble {
namespace cpu {

/// E4M3 codes (vector of i8) as f32 values / 256, subnormals included; a NaN
/// code gives 480 / 256 unless `keepNan`.
mlir::Value e4m3ToF32(GemmCode &code, mlir::Value codes, bool keepNan);

/// Raw scales (a vector of the scale's type, i8 for E4M3 and E8M0) as f32;
/// E4M3 as value / 256. E8M0 keeps NaN, E4M3 does if `keepNan`.
mlir::Value scaleToF32(GemmCode &code, rt::StorageFormat format,
                       mlir::Value raw, bool keepNan);

/// RNE_T(scale * global) of a result of `scaleToF32`, or the scale if
/// `globalFormat` is None. The factor 256 of E4M3 joins the global scale, where
/// it costs nothing. `global` is an f32 with a value of T.
mlir::Value applyGlobal(GemmCode &code, rt::StorageFormat format,
                        mlir::Value scale, rt::StorageFormat globalFormat,
                        mlir::Value global);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMSCALES_H
