// The transposition of heads and positions behind attention is part of its store.
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
