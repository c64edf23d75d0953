// The passes of stage canonical together: pairs meet across moves and cancel, matmuls read codes.
// RUN: nibble-opt %s --nibble-canonical | FileCheck %s

// Q -> DQ -> cast -> Transpose -> Reshape -> Q -> DQ -> MatMul, a scale of its own at each Q:
// one quantize, its codes moved, no dequantize.
// CHECK-LABEL: @pairs_meet
// CHECK-SAME: (%[[X:.*]]: tensor<2x8x16xf32>
func.func @pairs_meet(%x: tensor<2x8x16xf32>) -> tensor<16x4xf16> attributes {nibble.entry} {
  // CHECK: %[[Q:.*]] = nq.quantize %[[X]]
  // CHECK: %[[T:.*]] = linalg.transpose ins(%[[Q]] : tensor<2x8x16x!nq.fp8>)
  // CHECK: %[[R:.*]] = tensor.collapse_shape %[[T]] {{.*}} : tensor<8x2x16x!nq.fp8> into tensor<16x16x!nq.fp8>
  // CHECK: nq.matmul %[[R]], %{{.*}} transpose_b : (tensor<16x16x!nq.fp8>, tensor<4x16x!nq.fp8>) -> tensor<16x4xf16>
  // CHECK-NOT: nq.dequantize
  %s0 = nq.constant codes(dense<0.0123> : tensor<f32>) : tensor<f32>
  %s1 = nq.constant codes(dense<0.0123> : tensor<1xf32>) : tensor<1xf32>
  %s2 = arith.constant dense<0.0123> : tensor<f32>
  %q = nq.quantize %x scale(%s0 : tensor<f32>) : tensor<2x8x16xf32> -> tensor<2x8x16x!nq.fp8>
  %c = nq.codes %q : tensor<2x8x16x!nq.fp8> -> tensor<2x8x16xf8E4M3FN>
  %a = nq.assemble %c scales(%s1 : tensor<1xf32>) : tensor<2x8x16xf8E4M3FN> -> tensor<2x8x16x!nq.fp8>
  %d = nq.dequantize %a : tensor<2x8x16x!nq.fp8> -> tensor<2x8x16xf32>
  %h = nq.cast %d : tensor<2x8x16xf32> -> tensor<2x8x16xf16>
  %e = tensor.empty() : tensor<8x2x16xf16>
  %t = linalg.transpose ins(%h : tensor<2x8x16xf16>) outs(%e : tensor<8x2x16xf16>) permutation = [1, 0, 2]
  %r = tensor.collapse_shape %t [[0, 1], [2]] : tensor<8x2x16xf16> into tensor<16x16xf16>
  %w = nq.cast %r : tensor<16x16xf16> -> tensor<16x16xf32>
  %p = nq.quantize %w scale(%s2 : tensor<f32>) : tensor<16x16xf32> -> tensor<16x16x!nq.fp8>
  %f = nq.dequantize %p : tensor<16x16x!nq.fp8> -> tensor<16x16xf32>
  %v = nq.constant codes(dense<56> : tensor<64xi8>) scales(dense<[0, 0, 128, 63]> : tensor<4xi8>) : tensor<4x16x!nq.fp8>
  %y = nq.matmul %f, %v transpose_b : (tensor<16x16xf32>, tensor<4x16x!nq.fp8>) -> tensor<16x4xf16>
  return %y : tensor<16x4xf16>
}

// ModelOpt writes a quantizer per consumer: q, k and v projections read one.
// CHECK-LABEL: @one_quantize_for_three
func.func @one_quantize_for_three(%x: tensor<4x32xf16>) -> (tensor<4x8xf16>, tensor<4x8xf16>) attributes {nibble.entry} {
  // CHECK: %[[Q:.*]] = nq.quantize
  // CHECK-NOT: nq.quantize
  // CHECK: nq.matmul %[[Q]]
  // CHECK: nq.matmul %[[Q]]
  %g0 = nq.constant codes(dense<0.5> : tensor<f32>) : tensor<f32>
  %g1 = arith.constant dense<0.5> : tensor<f32>
  %q0 = nq.quantize %x recipe("trt-dynamic") global(%g0 : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.nvfp4>
  %q1 = nq.quantize %x recipe("trt-dynamic") global(%g1 : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.nvfp4>
  %w0 = nq.constant codes(dense<33> : tensor<128xi8>) scales(dense<56> : tensor<16xi8>) global(dense<0.5> : tensor<f32>) : tensor<8x32x!nq.nvfp4>
  %w1 = nq.constant codes(dense<34> : tensor<128xi8>) scales(dense<56> : tensor<16xi8>) global(dense<0.5> : tensor<f32>) : tensor<8x32x!nq.nvfp4>
  %d0 = nq.dequantize %q0 : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf16>
  %d1 = nq.dequantize %q1 : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf16>
  %y0 = nq.matmul %d0, %w0 transpose_b : (tensor<4x32xf16>, tensor<8x32x!nq.nvfp4>) -> tensor<4x8xf16>
  %y1 = nq.matmul %d1, %w1 transpose_b : (tensor<4x32xf16>, tensor<8x32x!nq.nvfp4>) -> tensor<4x8xf16>
  return %y0, %y1 : tensor<4x8xf16>, tensor<4x8xf16>
}

// An f8 in front of a matmul is no notation: it rounds on purpose and stays.
// CHECK-LABEL: @rounding_to_f8_stays
func.func @rounding_to_f8_stays(%q: tensor<4x16x!nq.fp8>, %w: tensor<16x4xf16>) -> tensor<4x4xf16> attributes {nibble.entry} {
  // CHECK: nq.dequantize
  // CHECK: nq.cast %{{.*}} -> tensor<4x16xf8E4M3FN>
  // CHECK: nq.matmul
  %d = nq.dequantize %q : tensor<4x16x!nq.fp8> -> tensor<4x16xf32>
  %c = nq.cast %d : tensor<4x16xf32> -> tensor<4x16xf8E4M3FN>
  %h = nq.cast %c : tensor<4x16xf8E4M3FN> -> tensor<4x16xf16>
  %y = nq.matmul %h, %w : (tensor<4x16xf16>, tensor<16x4xf16>) -> tensor<4x4xf16>
  return %y : tensor<4x4xf16>
}
