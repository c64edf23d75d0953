// The arithmetic of quantization recipes on lanes; bit for bit that of
// nibble/rt/quantize.h.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_QUANTIZERECIPES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_QUANTIZERECIPES_H

#include "LaneMath.h"

#include "nibble/rt/recipes.h"

namespace nibble {
namespace cpu {

/// Block scale of NVFP4: the E4M3FN code (i8) of blocks with maximum `amax`.
Lanes nvfp4ScaleCode(Lanes amax, Lanes global, rt::Nvfp4Recipe recipe);
/// What elements are divided (or multiplied, see nvfp4Multiplies) by.
Lanes nvfp4Factor(Lanes amax, Lanes code, Lanes global, rt::Nvfp4Recipe recipe);
bool nvfp4Multiplies(rt::Nvfp4Recipe recipe);
/// The E2M1 codes (i8) of elements x.
Lanes nvfp4Code(Lanes x, Lanes factor, rt::Nvfp4Recipe recipe);

/// Block scale of MXFP4 and MXFP8: the E8M0 code (i8).
Lanes mxScaleCode(Lanes amax, mlir::Type storage, rt::MxRecipe recipe);
/// 2^-e of a scale code; NaN if the scale is NaN.
Lanes mxFactor(Lanes code);
/// The codes (i8) of elements x.
Lanes mxCode(Lanes x, Lanes factor, mlir::Type storage, rt::MxRecipe recipe);

/// amax / largest(storage), with a 1 for blocks of (nearly) zeros.
Lanes symmetricScale(Lanes amax, mlir::Type storage);

/// Codes of x under a scale: round(x / scale) + zero point, saturated. Floats:
/// `saturate` as in encodeBits; integers: `zeroPoint` is an i32, may be null;
/// the code is an i8.
Lanes staticCode(Lanes x, Lanes scale, mlir::Value zeroPoint,
                 mlir::Type storage, bool saturate);

/// What the saturating code of x >= 0 in f8E4M3FN or f8E5M2 stands for; NaN
/// stays.
Lanes codeNumber(Lanes x, mlir::Type storage);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_QUANTIZERECIPES_H
