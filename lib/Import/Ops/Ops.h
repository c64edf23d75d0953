// One registration function per file of operators. To add a file: declare it
// here, call it in RegisterOps.cpp, list the file in ../CMakeLists.txt.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_OPS_H
#define NIBBLE_LIB_IMPORT_OPS_OPS_H

#include "nibble/Import/OpImporter.h"

namespace nibble::onnx {

void registerCoreOps(OpRegistry &registry);        // Constant, Cast, Shape, ...
void registerElementwiseOps(OpRegistry &registry); // Add, Where, Clip, ...
void registerActivationOps(OpRegistry &registry);  // Gelu, Relu, Softmax, ...
void registerMatmulOps(OpRegistry &registry);      // MatMul, Gemm, ...
void registerNormOps(OpRegistry &registry);        // LayerNorm, RMSNorm
void registerAttentionOps(OpRegistry &registry);   // Attention, RotaryEmbedding
void registerQuantOps(OpRegistry &registry);       // Q/DQ in every spelling

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_OPS_H
