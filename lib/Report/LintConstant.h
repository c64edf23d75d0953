// Hazards in the data of one quantized constant.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REPORT_LINTCONSTANT_H
#define NIBBLE_LIB_REPORT_LINTCONSTANT_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Report/Lint.h"

namespace nibble {

/// Appends the hazards of `constant`, which `layer` reads, to `hazards`:
///   bad-scale         a scale is NaN, infinite, negative, or zero above codes
///                     that are not; codes are NaN
///   equal-scales      all of many block scales are equal
///   saturating-scale  more codes at +-max than the block size explains
///   global-one        the global scale is 1
///   default-scale     the one scale of the tensor is 1
void lintConstant(nq::ConstantOp constant, llvm::StringRef layer,
                  std::vector<Hazard> &hazards);

/// Hazards of scales alone, for quantizers: `what` names them.
bool isExactlyOne(mlir::ElementsAttr scale);
/// "" or what is wrong with one of the scales: "scale 3 is NaN".
std::string whyBadScale(mlir::ElementsAttr scales, mlir::Type type);

} // namespace nibble

#endif // NIBBLE_LIB_REPORT_LINTCONSTANT_H
