// Attention as one kernel of the CPU target.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_ATTENTIONKERNEL_H
#define NIBBLE_CONVERSION_NQTOCPU_ATTENTIONKERNEL_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <string>

namespace nibble {
namespace cpu {

/// "" if the CPU target computes this attention as one kernel, or what stands
/// in the way: operands and results are f32, f16 or bf16 without scales, a mask
/// is one of these or i1, and the scores of a few rows fit into the scratch.
std::string whyNoAttention(nq::AttentionOp op);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_ATTENTIONKERNEL_H
