// A layer whose outputs nobody reads is not compiled: stage canonical drops it with its weights.
// RUN: nibble-opt %s --nibble-canonical | FileCheck %s

// The last layer of a prefix model of which only the KV cache is wanted: q, attention, projection
// and MLP are dead, the norm and k are not. A state write is no result, but it stays.
// CHECK-LABEL: @prefix
func.func @prefix(%x: tensor<4x64xf16>) -> tensor<4x32xf16> attributes {nibble.entry} {
  // CHECK: %[[WK:.*]] = nq.constant {{.*}} : tensor<32x64x!nq.nvfp4>
  // CHECK-NOT: nq.constant
  // CHECK: nq.norm rms
  // CHECK-NEXT: %[[K:.*]] = nq.matmul %{{.*}}, %[[WK]] transpose_b
  // CHECK-NEXT: nq.state_write @cache, %[[K]]
  // CHECK-NEXT: return %[[K]]
  %wq = nq.constant codes(dense<33> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %wk = nq.constant codes(dense<34> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %wo = nq.constant codes(dense<35> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<64x32x!nq.nvfp4>
  %n = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<4x64xf16> -> tensor<4x64xf16>
  %q = nq.matmul %n, %wq transpose_b : (tensor<4x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16>
  %k = nq.matmul %n, %wk transpose_b : (tensor<4x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16>
  nq.state_write @cache, %k : tensor<4x32xf16>
  %s = nq.matmul %q, %k transpose_b : (tensor<4x32xf16>, tensor<4x32xf16>) -> tensor<4x4xf16>
  %e = tensor.empty() : tensor<4x4xf16>
  %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xf16>) outs(%e : tensor<4x4xf16>) -> tensor<4x4xf16>
  %a = nq.matmul %p, %k : (tensor<4x4xf16>, tensor<4x32xf16>) -> tensor<4x32xf16>
  %o = nq.matmul %a, %wo transpose_b : (tensor<4x32xf16>, tensor<64x32x!nq.nvfp4>) -> tensor<4x64xf16>
  %r = nq.norm rms %o {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<4x64xf16> -> tensor<4x64xf16>
  return %k : tensor<4x32xf16>
}

nq.state @cache : tensor<4x32xf16>
