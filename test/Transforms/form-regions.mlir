// Every op that computes becomes a region; constants, reshapes and initial values do not.
// RUN: nibble-opt %s --form-regions --canonicalize | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x8xf32>) -> tensor<32xf32> attributes {nibble.entry} {
  // CHECK: %[[W:.*]] = nq.constant
  %w = nq.constant codes(dense<1.0> : tensor<8x8xf32>) : tensor<8x8xf32>
  // CHECK: %[[A:.*]] = nq.region "gemm"(%{{.*}}, %[[W]]) : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> {
  // CHECK-NEXT: ^bb0(%[[P:.*]]: tensor<4x8xf32>, %[[Q:.*]]: tensor<8x8xf32>):
  // CHECK-NEXT: %[[Y:.*]] = nq.matmul %[[P]], %[[Q]]
  // CHECK-NEXT: nq.yield %[[Y]] : tensor<4x8xf32>
  %a = nq.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("one")
  %init = tensor.empty() : tensor<4x8xf32>
  // The initial value is repeated inside, the repeated input is one.
  // CHECK: nq.region "elementwise"(%[[A]]) : (tensor<4x8xf32>) -> tensor<4x8xf32> {
  // CHECK-NEXT: ^bb0(%[[P:.*]]: tensor<4x8xf32>):
  // CHECK-NEXT: tensor.empty
  // CHECK-NEXT: linalg.generic {{.*}} ins(%[[P]], %[[P]]
  %b = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %a : tensor<4x8xf32>, tensor<4x8xf32>) outs(%init : tensor<4x8xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %m = arith.mulf %p, %q : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  // CHECK: tensor.collapse_shape
  %c = tensor.collapse_shape %b [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
  return %c : tensor<32xf32>
}
