// Matmul results stay in f32; a cast of its own rounds them.
// RUN: nibble-opt %s --split-output-rounding | FileCheck %s

// CHECK-LABEL: @half
func.func @half(%x: tensor<2x8xf16>, %w: tensor<8x4xf16>) -> tensor<2x4xf16> {
  // CHECK: %[[P:.*]] = nq.matmul {{.*}} -> tensor<2x4xf32>
  // CHECK: %[[R:.*]] = nq.cast %[[P]] : tensor<2x4xf32> -> tensor<2x4xf16>
  // CHECK: return %[[R]]
  %y = nq.matmul %x, %w : (tensor<2x8xf16>, tensor<8x4xf16>) -> tensor<2x4xf16>
  return %y : tensor<2x4xf16>
}

// CHECK-LABEL: @single
func.func @single(%x: tensor<2x8xf32>, %w: tensor<8x4xf32>) -> tensor<2x4xf32> {
  // CHECK-NOT: nq.cast
  %y = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
