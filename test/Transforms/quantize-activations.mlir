// Activations are quantized with calibrated scales, or by the data; readers of one tensor share.
// RUN: nibble-opt %s --quantize-activations | FileCheck %s

// CHECK-LABEL: @main
func.func @main(%x: tensor<2x32xf16>) -> tensor<2x4xf32> {
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  // Scale 896 / 448.
  // CHECK: %[[S:.*]] = arith.constant dense<2.000000e+00> : tensor<f32>
  // CHECK: %[[Q:.*]] = nq.quantize %arg0 scale(%[[S]] : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.fp8>
  // CHECK: nq.matmul %[[Q]], %{{.*}} transpose_b attributes {nibble.requested = "w4a8"} : (tensor<2x32x!nq.fp8>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  // CHECK-NOT: nq.quantize
  // CHECK: nq.matmul %[[Q]], %{{.*}} transpose_b :
  %0 = nq.matmul %x, %w transpose_b attributes {nibble.precision = "w4a8", nibble.requested = "w4a8", nibble.amax = 896.0 : f32}
    : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  %1 = nq.matmul %x, %w transpose_b attributes {nibble.precision = "fp8", nibble.amax = 896.0 : f32} : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  // Global scale 5376 / 2688.
  // CHECK: %[[G:.*]] = arith.constant dense<2.000000e+00> : tensor<f32>
  // CHECK: nq.quantize %arg0 recipe("torchao") global(%[[G]] : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %2 = nq.matmul %x, %w transpose_b attributes {nibble.precision = "nvfp4 activation-recipe=torchao", nibble.amax = 5376.0 : f32}
    : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  // CHECK: nq.quantize %arg0 recipe("trt-dynamic") : tensor<2x32xf16> -> tensor<2x32x!nq.mxfp8>
  %3 = nq.matmul %x, %w transpose_b attributes {nibble.precision = "mxfp4 activations=mxfp8"} : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  // CHECK: nq.matmul %arg0, %{{.*}} transpose_b :
  %4 = nq.matmul %x, %w transpose_b attributes {nibble.precision = "w4a16"} : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  return %4 : tensor<2x4xf32>
}
