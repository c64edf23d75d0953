// The transposition of heads and positions behind attention is part of its store, the scales of codes in front of it part of its loads.
// RUN: nibble-opt %s --fuse-attention | FileCheck %s

// CHECK-LABEL: func.func @merged
func.func @merged(%q: tensor<1x2x4x16xf16>, %k: tensor<1x1x4x16xf16>, %v: tensor<1x1x4x16xf16>) -> tensor<1x4x32xf16> {
  // CHECK: nq.region "attention"({{.*}}) fused ["fuse-attention"] : {{.*}} -> tensor<1x4x32xf16> {
  // CHECK: nq.attention
  // CHECK: linalg.transpose
  // CHECK: tensor.collapse_shape
  // CHECK: nq.yield
  %a = nq.attention %q, %k, %v {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x2x4x16xf16>
  %init = tensor.empty() : tensor<1x4x2x16xf16>
  %t = linalg.transpose ins(%a : tensor<1x2x4x16xf16>) outs(%init : tensor<1x4x2x16xf16>) permutation = [0, 2, 1, 3]
  %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x4x2x16xf16> into tensor<1x4x32xf16>
  return %c : tensor<1x4x32xf16>
}

// The scale of a cache's codes is a factor in the kernel; by itself it would copy the cache.
// CHECK-LABEL: func.func @cached
func.func @cached(%q: tensor<1x2x4x16xf16>, %k: tensor<1x1x4x16xf8E4M3FN>, %v: tensor<1x1x4x16xf8E4M3FN>, %s: tensor<f32>) -> tensor<1x2x4x16xf16> {
  // CHECK: nq.region "attention"(%arg1, %arg3, %arg2, %arg0) fused ["fuse-attention"]
  // CHECK-COUNT-2: nq.assemble
  // CHECK: nq.attention
  // CHECK: nq.yield
  %0 = nq.assemble %k scales(%s : tensor<f32>) : tensor<1x1x4x16xf8E4M3FN> -> tensor<1x1x4x16x!nq.fp8>
  %1 = nq.assemble %v scales(%s : tensor<f32>) : tensor<1x1x4x16xf8E4M3FN> -> tensor<1x1x4x16x!nq.fp8>
  %a = nq.attention %q, %0, %1 {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16x!nq.fp8>, tensor<1x1x4x16x!nq.fp8>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// What others read, too, is made once.
// CHECK-LABEL: func.func @shared
func.func @shared(%q: tensor<1x2x4x16xf16>, %k: tensor<1x1x4x16xf8E4M3FN>, %s: tensor<f32>) -> (tensor<1x2x4x16xf16>, tensor<1x1x4x16x!nq.fp8>) {
  // CHECK: nq.assemble
  // CHECK-NOT: nq.region
  %0 = nq.assemble %k scales(%s : tensor<f32>) : tensor<1x1x4x16xf8E4M3FN> -> tensor<1x1x4x16x!nq.fp8>
  %a = nq.attention %q, %0, %0 {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16x!nq.fp8>, tensor<1x1x4x16x!nq.fp8>) -> tensor<1x2x4x16xf16>
  return %a, %0 : tensor<1x2x4x16xf16>, tensor<1x1x4x16x!nq.fp8>
}
