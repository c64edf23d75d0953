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
void registerTrtOps(OpRegistry &registry);         // TRT_*, un-lowered
void registerReduceOps(OpRegistry &registry);      // ReduceSum, ...
void registerRankOps(OpRegistry &registry);        // ArgMax, TopK, Hardmax
void registerCumulativeOps(OpRegistry &registry);  // CumSum, CumProd
void registerGatherOps(OpRegistry &registry);      // Gather, GatherND, ...
void registerScatterOps(OpRegistry &registry);     // ScatterND, TensorScatter
void registerSliceOps(OpRegistry &registry);       // Slice, Concat, Pad, ...
void registerSpaceOps(OpRegistry &registry);       // DepthToSpace, Col2Im
void registerGeneratorOps(OpRegistry &registry);   // Trilu, OneHot, Range, ...
void registerConvOps(OpRegistry &registry);        // Conv, ConvTranspose, ...
void registerPoolOps(OpRegistry &registry);        // MaxPool, AveragePool, ...
void registerChannelNormOps(OpRegistry &registry); // Batch, Group, LRN, ...
void registerResizeOps(OpRegistry &registry);      // Resize, Upsample
void registerGridSampleOps(OpRegistry &registry);  // GridSample
void registerEinsumOps(OpRegistry &registry);      // Einsum
void registerLossOps(OpRegistry &registry);        // NegativeLogLikelihood...
void registerGatedOps(OpRegistry &registry);       // SwiGLU
void registerRecurrentOps(OpRegistry &registry);   // RNN, GRU, LSTM
void registerRefusedOps(OpRegistry &registry);     // with the reason

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_OPS_H
