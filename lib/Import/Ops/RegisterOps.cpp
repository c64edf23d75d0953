// The registry with every operator importer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"

using namespace nibble::onnx;

const OpRegistry &nibble::onnx::getOpRegistry() {
  static const OpRegistry registry = [] {
    OpRegistry r;
    registerCoreOps(r);
    registerElementwiseOps(r);
    registerActivationOps(r);
    registerMatmulOps(r);
    registerNormOps(r);
    registerAttentionOps(r);
    registerQuantOps(r);
    registerTrtOps(r);
    registerReduceOps(r);
    registerRankOps(r);
    registerCumulativeOps(r);
    registerGatherOps(r);
    registerScatterOps(r);
    registerSliceOps(r);
    registerSpaceOps(r);
    registerGeneratorOps(r);
    registerConvOps(r);
    registerPoolOps(r);
    registerChannelNormOps(r);
    registerResizeOps(r);
    registerGridSampleOps(r);
    registerEinsumOps(r);
    registerLossOps(r);
    registerGatedOps(r);
    registerRecurrentOps(r);
    registerRefusedOps(r);
    return r;
  }();
  return registry;
}
