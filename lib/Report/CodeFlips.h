// Codes and block scales that a kernel rounded to another neighbour.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REPORT_CODEFLIPS_H
#define NIBBLE_LIB_REPORT_CODEFLIPS_H

#include "nibble/Reference/RefTensor.h"
#include "nibble/Report/Verify.h"

namespace nibble {

/// Compares two scaled tensors of one type (layouts may differ). Codes of
/// blocks whose scales differ are other codes for that reason, and not counted.
CodeFlips countCodeFlips(const ref::RefTensor &actual,
                         const ref::RefTensor &expected);

} // namespace nibble

#endif // NIBBLE_LIB_REPORT_CODEFLIPS_H
