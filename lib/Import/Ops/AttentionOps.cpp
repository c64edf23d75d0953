// Placeholder.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
void nibble::onnx::registerAttentionOps(OpRegistry &r) {}
