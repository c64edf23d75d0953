// Gate and up become one region with two weights; other cases are left, with the reason.
// RUN: nibble-opt %s --fuse-gated-mlp --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>

// CHECK: remark: [Passed] fuse-gated-mlp {{.*}}reason="both read the same input
// CHECK: remark: [Missed] fuse-gated-mlp {{.*}}reason="the result of 'left' has other readers"
// CHECK: remark: [Missed] fuse-gated-mlp {{.*}}reason="the matmuls read different inputs"

// CHECK-LABEL: func.func @gated
func.func @gated(%x: tensor<4x32xf16>) -> tensor<4x64xf16> {
  %wg = nq.constant codes(dense<1.0> : tensor<64x32xf16>) : tensor<64x32xf16>
  %wu = nq.constant codes(dense<2.0> : tensor<64x32xf16>) : tensor<64x32xf16>
  // CHECK: nq.region "gemm"(%{{.*}}, %{{.*}}, %{{.*}}) fused ["fuse-gated-mlp"]
  // CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<4x32xf16>, %[[G:.*]]: tensor<64x32xf16>, %[[U:.*]]: tensor<64x32xf16>):
  // CHECK: %[[P:.*]] = nq.matmul %[[A]], %[[G]] transpose_b
  // CHECK: %[[Q:.*]] = nq.matmul %[[A]], %[[U]] transpose_b
  // CHECK: linalg.generic {{.*}} ins(%[[P]], %[[Q]]
  // CHECK: nq.yield
  %g = nq.matmul %x, %wg transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %u = nq.matmul %x, %wu transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %init = tensor.empty() : tensor<4x64xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%g, %u : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %h : tensor<4x64xf16>
}

// Another reader of one product keeps them apart.
// CHECK-LABEL: func.func @shared
// CHECK-NOT: nq.region
func.func @shared(%x: tensor<4x32xf16>) -> (tensor<4x64xf16>, tensor<4x64xf16>) {
  %wg = nq.constant codes(dense<1.0> : tensor<64x32xf16>) : tensor<64x32xf16>
  %wu = nq.constant codes(dense<2.0> : tensor<64x32xf16>) : tensor<64x32xf16>
  %g = nq.matmul %x, %wg transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16> loc("left")
  %u = nq.matmul %x, %wu transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %init = tensor.empty() : tensor<4x64xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%g, %u : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %h, %g : tensor<4x64xf16>, tensor<4x64xf16>
}

// So do different inputs.
// CHECK-LABEL: func.func @inputs
// CHECK-NOT: nq.region
func.func @inputs(%x: tensor<4x32xf16>, %y: tensor<4x32xf16>) -> tensor<4x64xf16> {
  %wg = nq.constant codes(dense<1.0> : tensor<64x32xf16>) : tensor<64x32xf16>
  %g = nq.matmul %x, %wg transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %u = nq.matmul %y, %wg transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %init = tensor.empty() : tensor<4x64xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%g, %u : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %h : tensor<4x64xf16>
}
