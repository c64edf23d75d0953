// The transposition of heads and positions behind attention is part of its store.
// RUN: nibble-opt %s --fuse-attention | FileCheck %s
// RUN: nibble-opt %s --fuse-attention --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

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

// A mask that is computed is a kernel of its own, with the reason; one that is an input needs none.
// REMARK: [Missed] fuse-attention {{.*}}layer=mask, reason="2 attentions read this mask: each would compute it again"
// REMARK-NOT: Missed
// CHECK-LABEL: func.func @mask
func.func @mask(%q: tensor<1x2x4x16xf16>, %k: tensor<1x1x4x16xf16>, %v: tensor<1x1x4x16xf16>, %m: tensor<1x1x1x4xi1>, %given: tensor<1x1x1x4xi1>)
    -> (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) {
  %e = tensor.empty() : tensor<1x1x1x4xi1>
  %true = arith.constant true
  // CHECK: linalg.generic
  %n = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%m : tensor<1x1x1x4xi1>) outs(%e : tensor<1x1x1x4xi1>) {
  ^bb0(%x: i1, %o: i1):
    %r = arith.xori %x, %true : i1
    linalg.yield %r : i1
  } -> tensor<1x1x1x4xi1> loc("mask")
  // CHECK-COUNT-3: nq.attention
  %a = nq.attention %q, %k, %v mask(%n : tensor<1x1x1x4xi1>) {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x2x4x16xf16>
  %b = nq.attention %q, %v, %k mask(%n : tensor<1x1x1x4xi1>) {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x2x4x16xf16>
  %c = nq.attention %q, %v, %k mask(%given : tensor<1x1x1x4xi1>) {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a, %b, %c : tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>
}
