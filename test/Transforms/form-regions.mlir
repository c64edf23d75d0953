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

// Loops that no kernel took say why: who reads them.
// RUN: nibble-opt %s --form-regions --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: nibble-opt %s --form-regions=explain=false --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=QUIET --allow-empty
// QUIET-NOT: form-regions
// REMARK: [Missed] form-regions {{.*}}reason="it makes an output, and the kernels of its operands cannot take it"
// REMARK: [Missed] form-regions {{.*}}layer=mask, reason="2 ops read it: each would compute it again"
// REMARK: [Missed] form-regions {{.*}}layer=input, reason="its only reader, the gemm kernel of layer 'product', takes this operand as it is stored"
// REMARK-NOT: Missed
func.func @reasons(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<8x8xf32>) : tensor<8x8xf32>
  %init = tensor.empty() : tensor<4x8xf32>
  %m = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<4x8xf32>) outs(%init : tensor<4x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %n = arith.negf %p : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32> loc("mask")
  %i = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%m : tensor<4x8xf32>) outs(%init : tensor<4x8xf32>) {
  ^bb0(%p: f32, %o: f32):
    %n = math.exp %p : f32
    linalg.yield %n : f32
  } -> tensor<4x8xf32> loc("input")
  %a = nq.matmul %i, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("product")
  %b = nq.matmul %m, %w : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32> loc("other")
  return %a, %b : tensor<4x8xf32>, tensor<4x8xf32>
}
