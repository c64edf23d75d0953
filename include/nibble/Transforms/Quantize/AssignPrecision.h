// assign-precision from C++: with a parsed policy and shared permissions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_QUANTIZE_ASSIGNPRECISION_H
#define NIBBLE_TRANSFORMS_QUANTIZE_ASSIGNPRECISION_H

#include "nibble/Support/FallbackPolicy.h"
#include "nibble/Transforms/Quantize/PrecisionPolicy.h"

#include "mlir/Pass/Pass.h"

#include <map>

namespace nibble {

/// What the pass decided, counted.
struct PrecisionSummary {
  std::map<std::string, unsigned> chosen; ///< layers by name of the format
  unsigned fallbacks = 0;
  unsigned untouchedLinear = 0; ///< matmuls with weights no rule speaks of
  std::string str() const;
};

/// The pass `assign-precision`; all arguments must outlive it.
std::unique_ptr<mlir::Pass>
createAssignPrecisionPass(const PrecisionPolicy &policy,
                          FallbackPolicy &fallbacks, PrecisionSummary &summary);

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_QUANTIZE_ASSIGNPRECISION_H
