// Every op becomes a launch; equal kernels are one function; reshapes are aliases.
// RUN: nibble-opt %s --outline-kernels --canonicalize --plan-memory --verify-stage=stage=select | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: nibble.arena = 128
func.func @main(%x: tensor<4x8xf32>, %w: tensor<8x8xf32>) -> (tensor<32xf32>, tensor<4x8xf32>) attributes {nibble.entry} {
  // CHECK: %[[A:.*]] = exec.launch @[[MATMUL:k0_matmul]](%{{.*}}, %{{.*}}) layer "one" kind "matmul" offsets [0]
  %a = nq.matmul %x, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("one")
  // The output of the second matmul goes to the caller: no address.
  // CHECK: %[[B:.*]] = exec.launch @[[MATMUL]](%[[A]], %{{.*}}) layer "two" kind "matmul" offsets [-1]
  %b = nq.matmul %a, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("two")
  // CHECK: %[[C:.*]] = exec.alias %[[B]]
  %c = tensor.collapse_shape %b [[0, 1]] : tensor<4x8xf32> into tensor<32xf32>
  // An output that is an argument is copied.
  // CHECK: %[[X:.*]] = exec.launch @k1_copy
  // CHECK: return %[[C]], %[[X]]
  return %c, %x : tensor<32xf32>, tensor<4x8xf32>
}

// CHECK: func.func private @k0_matmul
// CHECK-NEXT: nq.matmul
// CHECK: func.func private @k1_copy
// CHECK-NOT: func.func
