// Codes by the conversions that Blackwell has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_BLACKWELLCODES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_BLACKWELLCODES_H

#include "LaneMath.h"

namespace nibble {
namespace cpu {

/// The saturating E2M1 codes (i8) of f32, NaN as 6. Nothing but in code for
/// Blackwell, for whole words of eight codes.
std::optional<Lanes> e2m1ByConversion(Lanes x);

/// Codes (i8) of 4 or 8 bits, whole words of them, if the scalar `keep` is
/// true; else zeros.
Lanes keepCodes(Lanes codes, Lanes keep, int64_t bits);

/// The E2M1 codes (i8) of x / scale, a scalar; any code of NaN, codes of 0 if
/// the scale is not positive. Nothing but in code for Blackwell, for whole
/// words.
std::optional<Lanes> e2m1OfQuotients(Lanes x, Lanes scale);

/// A number with the same E4M3 code as x / 6 / scale, without a branch; x is
/// not negative and a number of 16 bits. Nothing but in code for Blackwell.
std::optional<Lanes> sixthOfHalf(Lanes x, Lanes scale);

/// The E8M0 code (i8) of x / largest, rounded up; x is not negative. Nothing
/// but in code for Blackwell.
std::optional<Lanes> e8m0OfQuotient(Lanes x, double largest);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_BLACKWELLCODES_H
