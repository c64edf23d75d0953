// Bias and residual run on the accumulators; what reads the product elsewhere stays apart.
// RUN: nibble-opt %s --fuse-matmul-epilogue | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>

// CHECK-LABEL: func.func @residual
func.func @residual(%x: tensor<4x32xf16>, %w: tensor<64x32xf16>, %bias: tensor<64xf16>, %r: tensor<4x64xf16>) -> tensor<4x64xf16> {
  // CHECK-NEXT: tensor.empty
  // CHECK-NEXT: %[[R:.*]] = nq.region "gemm"({{.*}}) fused ["fuse-matmul-epilogue"]
  // CHECK: nq.matmul
  // CHECK: linalg.generic
  // CHECK: linalg.generic
  // CHECK: nq.yield
  // CHECK: return %[[R]]
  %init = tensor.empty() : tensor<4x64xf16>
  %m = nq.matmul %x, %w transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %b1 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%m, %bias : tensor<4x64xf16>, tensor<64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.addf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  %b2 = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%r, %b1 : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.addf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %b2 : tensor<4x64xf16>
}

// The sum needs a softmax of the product: it cannot run on the accumulators.
// CHECK-LABEL: func.func @loops_back
// CHECK-NOT: nq.region
func.func @loops_back(%x: tensor<4x32xf16>, %w: tensor<64x32xf16>) -> tensor<4x64xf16> {
  %init = tensor.empty() : tensor<4x64xf16>
  %m = nq.matmul %x, %w transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %s = linalg.softmax dimension(1) ins(%m : tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) -> tensor<4x64xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%m, %s : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.addf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %h : tensor<4x64xf16>
}
