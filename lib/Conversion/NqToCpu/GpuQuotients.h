// Quotients by a scale that lanes share, on GPUs, as codes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GPUQUOTIENTS_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GPUQUOTIENTS_H

#include "LaneMath.h"

namespace nibble {
namespace cpu {

/// 1 / s = high + low, both with the sign of s, but for infinite s not zero.
struct Reciprocal {
  Lanes high, low;

  /// Off by less than 2^-22 ulp of x / s before it is rounded.
  Lanes times(Lanes x) const;
};
/// Of s in [2^-60, 2^60); from 2^-90 to 2^70 for E2M1 codes alone.
Reciprocal quickReciprocal(Lanes s);
/// Of any s. Infinite s: zeros; s below 2^-129, where the quotient of anything
/// that is not tiny saturates, too: as large as it gets. No branches.
Reciprocal anyReciprocal(Lanes s);
/// About 1 / s: to 1 ulp (PTX ISA), for normal numbers.
Lanes roughReciprocal(Lanes s);

/// The scalar that all lanes have, in code for GPUs.
std::optional<Lanes> scalarOf(Lanes x);

/// A quotient that encodes to the same 4- or 8-bit float as x / scale. It is
/// x / scale, unless all lanes of a GPU have one scale, or those of blocks.
Lanes divideForCode(Lanes x, Lanes scale);

/// A number with the same E4M3 code as x / 6 / scale; x is not negative.
Lanes sixthForCode(Lanes x, Lanes scale);

/// The E2M1 codes (i8) of x / scale; any code of NaN. Nothing if that is not
/// worth code of its own: on CPUs, and where lanes have scales of their own.
/// `byDivision` gives them (as i32) for scales that are no numbers or not
/// positive, tiny or huge.
std::optional<Lanes> e2m1CodeOnGpu(Lanes x, Lanes scale,
                                   llvm::function_ref<Lanes()> byDivision);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GPUQUOTIENTS_H
