// Loops, a product, a product with a quantizer are one kernel each; attention comes apart.
// RUN: nibble-opt %s --split-regions-for-cpu | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x32xf16>, %s: tensor<f32>, %w: tensor<8x32xf16>, %k: tensor<1x1x4x8xf16>) -> (tensor<4x32x!nq.fp8>, tensor<4x8xf16>, tensor<4x8x!nq.fp8>, tensor<1x1x4x8xf32>) attributes {nibble.entry} {
  // CHECK: nq.region "rowwise"
  %a = nq.region "rowwise"(%x, %s) fused ["fuse-quantize"] : (tensor<4x32xf16>, tensor<f32>) -> tensor<4x32x!nq.fp8> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<f32>):
    %n = nq.norm rms %p {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x32xf16> -> tensor<4x32xf16>
    %z = nq.quantize %n scale(%q : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.fp8>
    nq.yield %z : tensor<4x32x!nq.fp8>
  }
  // CHECK: nq.region "gemm"
  %b = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<8x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16>
    nq.yield %m : tensor<4x8xf16>
  }
  // A quantizer behind the product runs on its tiles.
  // CHECK: nq.region "gemm"{{.*}}fused
  %c = nq.region "gemm"(%x, %w, %s) fused ["fuse-quantize"] : (tensor<4x32xf16>, tensor<8x32xf16>, tensor<f32>) -> tensor<4x8x!nq.fp8> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<8x32xf16>, %t: tensor<f32>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16>
    %z = nq.quantize %m scale(%t : tensor<f32>) : tensor<4x8xf16> -> tensor<4x8x!nq.fp8>
    nq.yield %z : tensor<4x8x!nq.fp8>
  }
  // Attention and what follows it comes apart.
  // CHECK-NOT: nq.region
  // CHECK: %[[A:.*]] = nq.attention
  // CHECK: nq.cast %[[A]]
  %d = nq.region "attention"(%k) fused ["fuse-attention"] : (tensor<1x1x4x8xf16>) -> tensor<1x1x4x8xf32> {
  ^bb0(%p: tensor<1x1x4x8xf16>):
    %a4 = nq.attention %p, %p, %p {scale = 1.0 : f64} : (tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>) -> tensor<1x1x4x8xf16>
    %e = nq.cast %a4 : tensor<1x1x4x8xf16> -> tensor<1x1x4x8xf32>
    nq.yield %e : tensor<1x1x4x8xf32>
  }
  return %a, %b, %c, %d : tensor<4x32x!nq.fp8>, tensor<4x8xf16>, tensor<4x8x!nq.fp8>, tensor<1x1x4x8xf32>
}
