// Constant matmul operands get panels of 16 columns; shared weights stay shared.
// RUN: nibble-opt %s --pack-cpu-weights --canonicalize --split-input-file | FileCheck %s

// CHECK-LABEL: @dense_kn
func.func @dense_kn(%x: tensor<2x8xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  // CHECK: %[[W:.*]] = nq.constant {{.*}} : tensor<8x4xf32, #nq.layout<tiles {{\[\[}}], [16]] order [1, 0, 2]>>
  // CHECK-NEXT: nq.matmul %{{.*}}, %[[W]]
  // CHECK-NEXT: nq.matmul %{{.*}}, %[[W]]
  %w = nq.constant codes(dense<1.0> : tensor<8x4xf32>) : tensor<8x4xf32>
  %y = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  %z = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y, %z : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----
// NVFP4: codes interleaved in nibble panels, scales in panels of their own.
// CHECK-LABEL: @nvfp4_nk
func.func @nvfp4_nk(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: tensor<4x32x!nq.nvfp4, #nq.layout<tiles {{\[\[}}2, 2, 4], [2, 2]] order [0, 4, 2, 6, 3, 1, 5] scales <tiles {{\[\[}}16], []] order [0, 2, 1]>>>
  %w = nq.constant codes(dense<1> : tensor<64xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// One scale for the tensor: it stays where it is.
// CHECK-LABEL: @fp8_per_tensor
func.func @fp8_per_tensor(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: tensor<4x32x!nq.fp8, #nq.layout<tiles {{\[\[}}16], []] order [0, 2, 1]>>
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// Computed operands are packed by the kernel at run time.
// CHECK-LABEL: @computed
func.func @computed(%x: tensor<2x8xf32>, %w: tensor<8x4xf32>) -> tensor<2x4xf32> {
  // CHECK-NOT: nq.layout
  %y = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// A NaN among the codes asks for the decoding that keeps it.
// CHECK-LABEL: @nan_code
func.func @nan_code(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: nq.matmul {{.*}} {nibble.special_codes}
  %w = nq.constant codes(dense<127> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
