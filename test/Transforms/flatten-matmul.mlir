// The batch of A becomes part of M when B has no batch.
// RUN: nibble-opt %s --flatten-matmul | FileCheck %s

// CHECK-LABEL: @batched
func.func @batched(%x: tensor<2x3x8xf32>, %w: tensor<8x4xf32>) -> tensor<2x3x4xf32> {
  // CHECK: %[[A:.*]] = tensor.collapse_shape %{{.*}} {{\[\[}}0, 1], [2]] : tensor<2x3x8xf32> into tensor<6x8xf32>
  // CHECK: %[[P:.*]] = nq.matmul %[[A]], %{{.*}} : (tensor<6x8xf32>, tensor<8x4xf32>) -> tensor<6x4xf32>
  // CHECK: tensor.expand_shape %[[P]]
  %y = nq.matmul %x, %w : (tensor<2x3x8xf32>, tensor<8x4xf32>) -> tensor<2x3x4xf32>
  return %y : tensor<2x3x4xf32>
}

// CHECK-LABEL: @both_batched
func.func @both_batched(%x: tensor<2x3x8xf32>, %w: tensor<2x8x4xf32>) -> tensor<2x3x4xf32> {
  // CHECK-NOT: collapse_shape
  %y = nq.matmul %x, %w : (tensor<2x3x8xf32>, tensor<2x8x4xf32>) -> tensor<2x3x4xf32>
  return %y : tensor<2x3x4xf32>
}

// Blocks of 16 along the last dimension would survive, but a scaled operand keeps its shape.
// CHECK-LABEL: @scaled
func.func @scaled(%x: tensor<2x3x32x!nq.mxfp8>, %w: tensor<32x4xf32>) -> tensor<2x3x4xf32> {
  // CHECK-NOT: collapse_shape
  %y = nq.matmul %x, %w : (tensor<2x3x32x!nq.mxfp8>, tensor<32x4xf32>) -> tensor<2x3x4xf32>
  return %y : tensor<2x3x4xf32>
}
