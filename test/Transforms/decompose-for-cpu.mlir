// Attention becomes matmul, mask, softmax, matmul; scaled activations become f32.
// RUN: nibble-opt %s --decompose-for-cpu --split-input-file | FileCheck %s

// Four query heads on each of two kv heads are rows of one product.
// CHECK-LABEL: @grouped_queries
func.func @grouped_queries(%q: tensor<1x8x4x16xf16>, %k: tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf16> {
  // CHECK-NOT: nq.attention
  // CHECK: nq.matmul {{.*}} transpose_b : (tensor<1x2x16x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x2x16x6xf32>
  // CHECK: arith.mulf
  // CHECK: arith.cmpi sgt
  // CHECK: linalg.softmax dimension(3)
  // CHECK: arith.cmpf uno
  // CHECK: nq.matmul {{.*}} : (tensor<1x2x16x6xf32>, tensor<1x2x6x16xf16>) -> tensor<1x2x16x16xf16>
  %a = nq.attention %q, %k, %k {scale = 0.25 : f64, causal} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf16>
  return %a : tensor<1x8x4x16xf16>
}

// -----
// CHECK-LABEL: @scaled_activation
func.func @scaled_activation(%x: tensor<2x32x!nq.mxfp8>) -> tensor<2x4xf16> {
  // CHECK: %[[A:.*]] = nq.dequantize %{{.*}} : tensor<2x32x!nq.mxfp8> -> tensor<2x32xf32>
  // CHECK: nq.matmul %[[A]], %{{.*}} transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>)
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32x!nq.mxfp8>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16>
  return %y : tensor<2x4xf16>
}
