// Whether a layer can get a format, and why not.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_QUANTIZE_FEASIBILITY_H
#define NIBBLE_LIB_TRANSFORMS_QUANTIZE_FEASIBILITY_H

#include "nibble/Transforms/Quantize/Layers.h"

namespace nibble {

/// What applying a format to a layer comes to.
struct Verdict {
  enum Kind {
    Apply,     ///< the layer must be rewritten
    Satisfied, ///< it is like that already; `reason` says how
    NoFormat,  ///< ops of this kind have no such format of their own
    Impossible ///< `reason` says why
  } kind;
  std::string reason;
  float weightAmax = 0; ///< of layers with a weight that Apply
  /// A format to suggest instead of an impossible one.
  const char *alternative = nullptr;
};

/// Reads the weight if the format depends on its values.
Verdict judge(const Layer &layer, const LayerFormat &format);

/// "" if `op` can be quantized, else why not; `weightAmax` is the weight's.
std::string whyNotQuantizable(nq::MatmulOp op, const LayerFormat &format,
                              float &weightAmax);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_QUANTIZE_FEASIBILITY_H
