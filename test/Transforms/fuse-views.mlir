// Attention reads query, key and value out of one product; the copy of an output has a reason.
// RUN: nibble-opt %s --fuse-qkv=views=true --fuse-views --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks

// CHECK-LABEL: func.func @in_place
// CHECK: %[[P:.*]] = nq.matmul
// CHECK-NOT: tensor.extract_slice
// CHECK: nq.region "attention"(%[[P]]) fused ["fuse-views"]
// CHECK-COUNT-3: tensor.extract_slice
// CHECK: nq.attention
// CHECK: return
// WHY: fuse-views{{.*}}a view
func.func @in_place(%x: tensor<1x4x32xf16>) -> tensor<1x1x4x16xf16> {
  %w = nq.constant codes(dense<1.0> : tensor<48x32xf16>) : tensor<48x32xf16>
  %p = nq.matmul %x, %w transpose_b : (tensor<1x4x32xf16>, tensor<48x32xf16>) -> tensor<1x4x48xf16>
  %q = tensor.extract_slice %p[0, 0, 0] [1, 4, 16] [1, 1, 1] : tensor<1x4x48xf16> to tensor<1x4x16xf16>
  %k = tensor.extract_slice %p[0, 0, 16] [1, 4, 16] [1, 1, 1] : tensor<1x4x48xf16> to tensor<1x4x16xf16>
  %v = tensor.extract_slice %p[0, 0, 32] [1, 4, 16] [1, 1, 1] : tensor<1x4x48xf16> to tensor<1x4x16xf16>
  %qe = tensor.expand_shape %q [[0], [1], [2, 3]] output_shape [1, 4, 1, 16] : tensor<1x4x16xf16> into tensor<1x4x1x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 4, 1, 16] : tensor<1x4x16xf16> into tensor<1x4x1x16xf16>
  %ve = tensor.expand_shape %v [[0], [1], [2, 3]] output_shape [1, 4, 1, 16] : tensor<1x4x16xf16> into tensor<1x4x1x16xf16>
  %i = tensor.empty() : tensor<1x1x4x16xf16>
  %qt = linalg.transpose ins(%qe : tensor<1x4x1x16xf16>) outs(%i : tensor<1x1x4x16xf16>) permutation = [0, 2, 1, 3]
  %kt = linalg.transpose ins(%ke : tensor<1x4x1x16xf16>) outs(%i : tensor<1x1x4x16xf16>) permutation = [0, 2, 1, 3]
  %vt = linalg.transpose ins(%ve : tensor<1x4x1x16xf16>) outs(%i : tensor<1x1x4x16xf16>) permutation = [0, 2, 1, 3]
  %a = nq.attention %qt, %kt, %vt {scale = 0.25 : f64} : (tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x1x4x16xf16>
  return %a : tensor<1x1x4x16xf16>
}

// What rotates is computed behind the product; the value is read in place.
// CHECK-LABEL: func.func @rotated
// CHECK: %[[R:.*]]:2 = nq.region "gemm"({{.*}}) fused ["fuse-qkv"]
// CHECK: nq.matmul
// CHECK: tensor.extract_slice {{.*}}[0, 0, 0]
// CHECK: nq.rope
// CHECK: nq.region "attention"(%[[R]]#0, %[[R]]#1) fused ["fuse-views"]
// CHECK: tensor.extract_slice {{.*}}[0, 0, 16]
// CHECK: return
func.func @rotated(%x: tensor<1x4x32xf16>, %cos: tensor<1x4x8xf32>, %sin: tensor<1x4x8xf32>) -> tensor<1x1x4x16xf16> {
  %w = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %p = nq.matmul %x, %w transpose_b : (tensor<1x4x32xf16>, tensor<32x32xf16>) -> tensor<1x4x32xf16>
  %q = tensor.extract_slice %p[0, 0, 0] [1, 4, 16] [1, 1, 1] : tensor<1x4x32xf16> to tensor<1x4x16xf16>
  %v = tensor.extract_slice %p[0, 0, 16] [1, 4, 16] [1, 1, 1] : tensor<1x4x32xf16> to tensor<1x4x16xf16>
  %qe = tensor.expand_shape %q [[0], [1, 2], [3]] output_shape [1, 1, 4, 16] : tensor<1x4x16xf16> into tensor<1x1x4x16xf16>
  %ve = tensor.expand_shape %v [[0], [1, 2], [3]] output_shape [1, 1, 4, 16] : tensor<1x4x16xf16> into tensor<1x1x4x16xf16>
  %qr = nq.rope %qe, %cos, %sin : (tensor<1x1x4x16xf16>, tensor<1x4x8xf32>, tensor<1x4x8xf32>) -> tensor<1x1x4x16xf16>
  %a = nq.attention %qr, %ve, %ve {scale = 0.25 : f64} : (tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x1x4x16xf16>) -> tensor<1x1x4x16xf16>
  return %a : tensor<1x1x4x16xf16>
}

// CHECK-LABEL: func.func @output
// CHECK: nq.region "gemm"
// CHECK: tensor.extract_slice
// WHY-DAG: fuse-qkv{{.*}}one product, slices of its columns
func.func @output(%x: tensor<4x32xf16>) -> tensor<4x16xf16> {
  %w = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %p = nq.matmul %x, %w transpose_b : (tensor<4x32xf16>, tensor<32x32xf16>) -> tensor<4x32xf16>
  %q = tensor.extract_slice %p[0, 16] [4, 16] [1, 1] : tensor<4x32xf16> to tensor<4x16xf16>
  return %q : tensor<4x16xf16>
}

// A slice that meets what another product computes from its sibling: it stays outside, the rest is a region.
// CHECK-LABEL: func.func @comes_back
// CHECK: nq.region "gemm"({{.*}}) fused ["fuse-qkv"]
// CHECK: arith.negf
// CHECK: nq.matmul
// CHECK: nq.region "elementwise"({{.*}}) fused ["fuse-views"]
// CHECK: tensor.extract_slice {{.*}}[0, 16]
// WHY-DAG: fuse-qkv{{.*}}a value leaves the region and comes back
func.func @comes_back(%x: tensor<4x32xf16>) -> tensor<4x16xf16> {
  %w = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %u = nq.constant codes(dense<1.0> : tensor<16x16xf16>) : tensor<16x16xf16>
  %p = nq.matmul %x, %w transpose_b : (tensor<4x32xf16>, tensor<32x32xf16>) -> tensor<4x32xf16>
  %a = tensor.extract_slice %p[0, 0] [4, 16] [1, 1] : tensor<4x32xf16> to tensor<4x16xf16>
  %b = tensor.extract_slice %p[0, 16] [4, 16] [1, 1] : tensor<4x32xf16> to tensor<4x16xf16>
  %e = tensor.empty() : tensor<4x16xf16>
  %n = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%a : tensor<4x16xf16>) outs(%e : tensor<4x16xf16>) {
  ^bb0(%s: f16, %o: f16):
    %m = arith.negf %s : f16
    linalg.yield %m : f16
  } -> tensor<4x16xf16>
  %c = nq.matmul %n, %u transpose_b : (tensor<4x16xf16>, tensor<16x16xf16>) -> tensor<4x16xf16>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%b, %c : tensor<4x16xf16>, tensor<4x16xf16>) outs(%e : tensor<4x16xf16>) {
  ^bb0(%s: f16, %t: f16, %o: f16):
    %m = arith.addf %s, %t : f16
    linalg.yield %m : f16
  } -> tensor<4x16xf16>
  return %r : tensor<4x16xf16>
}
