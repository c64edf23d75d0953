// Ops on constants become constants by the reference's arithmetic; data never grows much.
// RUN: nibble-opt %s --fold-constants=max-growth=64 | FileCheck %s

#id = affine_map<(d0) -> (d0)>
// CHECK-LABEL: @arithmetic
func.func @arithmetic() -> tensor<2xf32> {
  // CHECK: arith.constant dense<[3.000000e+00, 5.000000e+00]> : tensor<2xf32>
  // CHECK-NOT: linalg.generic
  %a = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %e = tensor.empty() : tensor<2xf32>
  %one = arith.constant 1.0 : f32
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
    ins(%a : tensor<2xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%x: f32, %o: f32):
    %d = arith.addf %x, %x : f32
    %s = arith.addf %d, %one : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  return %0 : tensor<2xf32>
}

// A quantizer on a weight leaves codes and scales: 6 is the largest E2M1 value, so the block
// scale is 1 and the codes are those of 6, 3, 0 and -1.5.
// CHECK-LABEL: @quantizer_on_weight
func.func @quantizer_on_weight() -> tensor<1x16x!nq.nvfp4> {
  // CHECK: nq.constant codes(dense_resource<folded_codes> : tensor<8xi8>) scales(dense_resource<folded_scales> : tensor<1xi8>) global(dense<1.000000e+00> : tensor<f32>)
  %w = arith.constant dense<[[6.0, 3.0, 0.0, -1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]> : tensor<1x16xf32>
  %g = arith.constant dense<1.0> : tensor<f32>
  %q = nq.quantize %w recipe("modelopt-torch") global(%g : tensor<f32>) : tensor<1x16xf32> -> tensor<1x16x!nq.nvfp4>
  return %q : tensor<1x16x!nq.nvfp4>
}

// A packed weight is not expanded.
// CHECK-LABEL: @dequantized_weight
func.func @dequantized_weight() -> tensor<4x32xf32> {
  // CHECK: nq.dequantize
  %w = nq.constant codes(dense<1> : tensor<64xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  %d = nq.dequantize %w : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf32>
  return %d : tensor<4x32xf32>
}

// CHECK-LABEL: @depends_on_argument
func.func @depends_on_argument(%x: tensor<4xf32>) -> tensor<4xf16> {
  // CHECK: nq.cast
  %0 = nq.cast %x : tensor<4xf32> -> tensor<4xf16>
  return %0 : tensor<4xf16>
}

// CHECK-DAG: folded_codes: "0x{{[0-9A-F]*}}57B0000000000000"
// CHECK-DAG: folded_scales: "0x{{[0-9A-F]*}}38"
