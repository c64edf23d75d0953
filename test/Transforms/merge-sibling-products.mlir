// Products of one activation become one, with the weights side by side; slices of its columns take the place of the results.
// RUN: nibble-opt %s --merge-sibling-products --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks

// Weights as [N, K] and biases: rows, and elements, one behind the other.
// CHECK-LABEL: func.func @with_biases
// CHECK: %[[W:.*]] = nq.constant codes(dense_resource<[[$W0:.*]]> : tensor<3x2xf16>)
// CHECK: %[[P:.*]] = nq.matmul %arg0, %[[W]] transpose_b : {{.*}} -> tensor<1x4x3xf16>
// CHECK: %[[B:.*]] = nq.constant codes(dense_resource<[[$B0:.*]]> : tensor<3xf16>)
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[P]], %[[B]] : tensor<1x4x3xf16>, tensor<3xf16>)
// CHECK: tensor.extract_slice %[[S]][0, 0, 0] [1, 4, 2] [1, 1, 1]
// CHECK: tensor.extract_slice %[[S]][0, 0, 2] [1, 4, 1] [1, 1, 1]
// CHECK-NOT: nq.matmul
// WHY: merge-sibling-products{{.*}}one product of 3 columns
// WHY-SAME: what follows is the same for all
func.func @with_biases(%x: tensor<1x4x2xf16>) -> (tensor<1x4x2xf16>, tensor<1x4x1xf16>) {
  %w0 = nq.constant codes(dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf16>) : tensor<2x2xf16>
  %w1 = nq.constant codes(dense<[[5.0, 6.0]]> : tensor<1x2xf16>) : tensor<1x2xf16>
  %b0 = nq.constant codes(dense<[7.0, 8.0]> : tensor<2xf16>) : tensor<2xf16>
  %b1 = nq.constant codes(dense<[9.0]> : tensor<1xf16>) : tensor<1xf16>
  %p0 = nq.matmul %x, %w0 transpose_b : (tensor<1x4x2xf16>, tensor<2x2xf16>) -> tensor<1x4x2xf16> loc("q")
  %p1 = nq.matmul %x, %w1 transpose_b : (tensor<1x4x2xf16>, tensor<1x2xf16>) -> tensor<1x4x1xf16> loc("k")
  %e0 = tensor.empty() : tensor<1x4x2xf16>
  %e1 = tensor.empty() : tensor<1x4x1xf16>
  %s0 = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (c)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%p0, %b0 : tensor<1x4x2xf16>, tensor<2xf16>) outs(%e0 : tensor<1x4x2xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %n = arith.addf %a, %b : f16
    linalg.yield %n : f16
  } -> tensor<1x4x2xf16>
  %s1 = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, b, c)>, affine_map<(a, b, c) -> (c)>, affine_map<(a, b, c) -> (a, b, c)>],
      iterator_types = ["parallel", "parallel", "parallel"]} ins(%p1, %b1 : tensor<1x4x1xf16>, tensor<1xf16>) outs(%e1 : tensor<1x4x1xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %n = arith.addf %a, %b : f16
    linalg.yield %n : f16
  } -> tensor<1x4x1xf16>
  %i0 = tensor.empty() : tensor<4x1x2xf16>
  %i1 = tensor.empty() : tensor<4x1x1xf16>
  %t0 = linalg.transpose ins(%s0 : tensor<1x4x2xf16>) outs(%i0 : tensor<4x1x2xf16>) permutation = [1, 0, 2]
  %t1 = linalg.transpose ins(%s1 : tensor<1x4x1xf16>) outs(%i1 : tensor<4x1x1xf16>) permutation = [1, 0, 2]
  %r0 = tensor.collapse_shape %t0 [[0], [1, 2]] : tensor<4x1x2xf16> into tensor<4x2xf16>
  %r1 = tensor.collapse_shape %t1 [[0], [1, 2]] : tensor<4x1x1xf16> into tensor<4x1xf16>
  %z0 = tensor.expand_shape %r0 [[0, 1], [2]] output_shape [1, 4, 2] : tensor<4x2xf16> into tensor<1x4x2xf16>
  %z1 = tensor.expand_shape %r1 [[0, 1], [2]] output_shape [1, 4, 1] : tensor<4x1xf16> into tensor<1x4x1xf16>
  return %z0, %z1 : tensor<1x4x2xf16>, tensor<1x4x1xf16>
}

// Weights as [K, N]: columns, row by row. Different scales per tensor become one per column: 0x3c00 twice, 0x4000 once.
// CHECK-LABEL: func.func @per_tensor_scales
// CHECK: nq.constant codes(dense_resource<[[$W1:.*]]> : tensor<6xi8>) scales(dense_resource<[[$S1:.*]]> : tensor<6xi8>) : tensor<2x3x!nq.scaled<f8E4M3FN, f16 per ?x1>>
// WHY: merge-sibling-products{{.*}}scales per tensor became scales per column
func.func @per_tensor_scales(%x: tensor<4x2x!nq.scaled<f8E4M3FN, f16 per tensor>>) -> (tensor<2x4xf16>, tensor<1x4xf16>) {
  %w0 = nq.constant codes(dense<[1, 2, 3, 4]> : tensor<4xi8>) scales(dense<[0, 60]> : tensor<2xi8>) : tensor<2x2x!nq.scaled<f8E4M3FN, f16 per tensor>>
  %w1 = nq.constant codes(dense<[5, 6]> : tensor<2xi8>) scales(dense<[0, 64]> : tensor<2xi8>) : tensor<2x1x!nq.scaled<f8E4M3FN, f16 per tensor>>
  %p0 = nq.matmul %x, %w0 : (tensor<4x2x!nq.scaled<f8E4M3FN, f16 per tensor>>, tensor<2x2x!nq.scaled<f8E4M3FN, f16 per tensor>>) -> tensor<4x2xf16>
  %p1 = nq.matmul %x, %w1 : (tensor<4x2x!nq.scaled<f8E4M3FN, f16 per tensor>>, tensor<2x1x!nq.scaled<f8E4M3FN, f16 per tensor>>) -> tensor<4x1xf16>
  %i0 = tensor.empty() : tensor<2x4xf16>
  %i1 = tensor.empty() : tensor<1x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  %t1 = linalg.transpose ins(%p1 : tensor<4x1xf16>) outs(%i1 : tensor<1x4xf16>) permutation = [1, 0]
  return %t0, %t1 : tensor<2x4xf16>, tensor<1x4xf16>
}

// Equal scales stay one. Codes of 4 bits, and the scales of blocks along K, are rows one behind the other; the global scale is the same.
// CHECK-LABEL: func.func @blocks
// CHECK: nq.constant codes(dense_resource<[[$W2:.*]]> : tensor<16xi8>) scales(dense_resource<[[$S2:.*]]> : tensor<2xi8>) global(dense<5.000000e-01> : tensor<f32>) : tensor<2x16x!nq.nvfp4>
func.func @blocks(%x: tensor<4x16xf16>) -> (tensor<1x4xf16>, tensor<1x4xf16>) {
  %w0 = nq.constant codes(dense<17> : tensor<8xi8>) scales(dense<56> : tensor<1xi8>) global(dense<0.5> : tensor<f32>) : tensor<1x16x!nq.nvfp4>
  %w1 = nq.constant codes(dense<34> : tensor<8xi8>) scales(dense<64> : tensor<1xi8>) global(dense<0.5> : tensor<f32>) : tensor<1x16x!nq.nvfp4>
  %p0 = nq.matmul %x, %w0 transpose_b : (tensor<4x16xf16>, tensor<1x16x!nq.nvfp4>) -> tensor<4x1xf16>
  %p1 = nq.matmul %x, %w1 transpose_b : (tensor<4x16xf16>, tensor<1x16x!nq.nvfp4>) -> tensor<4x1xf16>
  %i0 = tensor.empty() : tensor<1x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x1xf16>) outs(%i0 : tensor<1x4xf16>) permutation = [1, 0]
  %t1 = linalg.transpose ins(%p1 : tensor<4x1xf16>) outs(%i0 : tensor<1x4xf16>) permutation = [1, 0]
  return %t0, %t1 : tensor<1x4xf16>, tensor<1x4xf16>
}

// Data, behind four bytes of alignment.
// CHECK-DAG: [[$W0]]: "0x40000000003C00400042004400450046"
// CHECK-DAG: [[$B0]]: "0x40000000004700488048"
// CHECK-DAG: [[$W1]]: "0x40000000010205030406"
// CHECK-DAG: [[$S1]]: "0x40000000003C003C0040"
// CHECK-DAG: [[$W2]]: "0x4000000011111111111111112222222222222222"
// CHECK-DAG: [[$S2]]: "0x400000003840"
