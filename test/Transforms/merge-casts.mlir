// Chains of conversions become the one conversion that is equal for every value, or stay.
// RUN: nibble-opt %s --merge-casts --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks

// CHECK-LABEL: @exact_first_cast
// CHECK-SAME: (%[[X:.*]]: tensor<4xf16>)
func.func @exact_first_cast(%x: tensor<4xf16>) -> tensor<4xf8E4M3FN> {
  // CHECK-NEXT: %[[Y:.*]] = nq.cast %[[X]] {saturate = false} : tensor<4xf16> -> tensor<4xf8E4M3FN>
  // CHECK-NEXT: return %[[Y]]
  // REMARK-DAG: remark: [Passed] merge-casts {{.*}}chosen="f16 -> f8E4M3FN", {{.*}}rejected="f16 -> f32 -> f8E4M3FN"
  %a = nq.cast %x : tensor<4xf16> -> tensor<4xf32>
  %b = nq.cast %a {saturate = false} : tensor<4xf32> -> tensor<4xf8E4M3FN>
  return %b : tensor<4xf8E4M3FN>
}

// CHECK-LABEL: @there_and_back
// CHECK-SAME: (%[[X:.*]]: tensor<4xbf16>)
func.func @there_and_back(%x: tensor<4xbf16>) -> tensor<4xbf16> {
  // CHECK-NEXT: return %[[X]]
  %a = nq.cast %x : tensor<4xbf16> -> tensor<4xf32>
  %b = nq.cast %a : tensor<4xf32> -> tensor<4xf64>
  %c = nq.cast %b : tensor<4xf64> -> tensor<4xbf16>
  return %c : tensor<4xbf16>
}

// 1.0625 + 2^-20 is 1.0625 in f16, a tie for E4M3; directly it rounds up.
// CHECK-LABEL: @rounds_twice
func.func @rounds_twice(%x: tensor<4xf32>) -> tensor<4xf8E4M3FN> {
  // CHECK-COUNT-2: nq.cast
  // REMARK-DAG: remark: [Missed] merge-casts {{.*}}chosen="f32 -> f16 -> f8E4M3FN", {{.*}}reason="rounding to f16 first gives other results
  %a = nq.cast %x : tensor<4xf32> -> tensor<4xf16>
  %b = nq.cast %a : tensor<4xf16> -> tensor<4xf8E4M3FN>
  return %b : tensor<4xf8E4M3FN>
}

// The same with a source of 16 bits, where all values are tried.
// CHECK-LABEL: @rounds_twice_f16
func.func @rounds_twice_f16(%x: tensor<4xf16>) -> tensor<4xf4E2M1FN> {
  // CHECK-COUNT-2: nq.cast
  %a = nq.cast %x : tensor<4xf16> -> tensor<4xbf16>
  %b = nq.cast %a : tensor<4xbf16> -> tensor<4xf4E2M1FN>
  return %b : tensor<4xf4E2M1FN>
}

// Rounding is lost, not repeated: the two casts are no identity.
// CHECK-LABEL: @narrow_and_back
func.func @narrow_and_back(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-COUNT-2: nq.cast
  %a = nq.cast %x : tensor<4xf32> -> tensor<4xbf16>
  %b = nq.cast %a : tensor<4xbf16> -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// What E4M3 rounds of E5M2 lies outside of E2M1, or is zero there.
// CHECK-LABEL: @tried_and_equal
// CHECK-SAME: (%[[X:.*]]: tensor<4xf8E5M2>)
func.func @tried_and_equal(%x: tensor<4xf8E5M2>) -> tensor<4xf4E2M1FN> {
  // CHECK-NEXT: %[[Y:.*]] = nq.cast %[[X]] : tensor<4xf8E5M2> -> tensor<4xf4E2M1FN>
  // CHECK-NEXT: return %[[Y]]
  // REMARK-DAG: reason="equal for every code of the source format", rejected="f8E5M2 -> f8E4M3FN -> f4E2M1FN"
  %a = nq.cast %x : tensor<4xf8E5M2> -> tensor<4xf8E4M3FN>
  %b = nq.cast %a : tensor<4xf8E4M3FN> -> tensor<4xf4E2M1FN>
  return %b : tensor<4xf4E2M1FN>
}

// Without saturation, what overflows E4M3 is NaN, which E2M1 writes as +6.
// CHECK-LABEL: @overflow_matters
func.func @overflow_matters(%x: tensor<4xf8E5M2>) -> tensor<4xf4E2M1FN> {
  // CHECK-COUNT-2: nq.cast
  %a = nq.cast %x {saturate = false} : tensor<4xf8E5M2> -> tensor<4xf8E4M3FN>
  %b = nq.cast %a : tensor<4xf8E4M3FN> -> tensor<4xf4E2M1FN>
  return %b : tensor<4xf4E2M1FN>
}

// A saturating cast makes the infinities of E5M2 finite.
// CHECK-LABEL: @infinities
func.func @infinities(%x: tensor<4xf8E5M2>) -> (tensor<4xf8E5M2>, tensor<4xf8E5M2>) {
  // CHECK: %[[Y:.*]] = nq.cast %{{.*}} : tensor<4xf8E5M2> -> tensor<4xf8E5M2>
  // CHECK: return %[[Y]], %arg0
  %a = nq.cast %x : tensor<4xf8E5M2> -> tensor<4xf32>
  %b = nq.cast %a : tensor<4xf32> -> tensor<4xf8E5M2>
  %c = nq.cast %a {saturate = false} : tensor<4xf32> -> tensor<4xf8E5M2>
  return %b, %c : tensor<4xf8E5M2>, tensor<4xf8E5M2>
}

#id = affine_map<(d0) -> (d0)>
#reverse = affine_map<(d0, d1) -> (d1, d0)>
#id2 = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: @generic
// CHECK-SAME: (%[[X:.*]]: tensor<4xf16>)
func.func @generic(%x: tensor<4xf16>) -> tensor<4xf16> {
  // CHECK-NEXT: return %[[X]]
  %e = tensor.empty() : tensor<4xf32>
  %a = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
    ins(%x : tensor<4xf16>) outs(%e : tensor<4xf32>) {
  ^bb0(%i: f16, %o: f32):
    %w = arith.extf %i : f16 to f32
    linalg.yield %w : f32
  } -> tensor<4xf32>
  %b = nq.cast %a : tensor<4xf32> -> tensor<4xf16>
  return %b : tensor<4xf16>
}

// Moves elements, too: not a conversion.
// CHECK-LABEL: @generic_transpose
func.func @generic_transpose(%x: tensor<4x2xf16>) -> tensor<2x4xf32> {
  // CHECK: linalg.generic
  %e = tensor.empty() : tensor<2x4xf32>
  %a = linalg.generic {indexing_maps = [#reverse, #id2], iterator_types = ["parallel", "parallel"]}
    ins(%x : tensor<4x2xf16>) outs(%e : tensor<2x4xf32>) {
  ^bb0(%i: f16, %o: f32):
    %w = arith.extf %i : f16 to f32
    linalg.yield %w : f32
  } -> tensor<2x4xf32>
  return %a : tensor<2x4xf32>
}

// Under this scale, no code needs more bits than f32 has; f16 then rounds once.
// CHECK-LABEL: @dequantize
func.func @dequantize(%x: tensor<2x4xf32>, %t: tensor<f32>) -> (tensor<2x4xf16>, tensor<2x4xf16>) {
  // CHECK: %[[Q:.*]] = nq.quantize %{{.*}} scale(%cst
  // CHECK: %[[H:.*]] = nq.dequantize %[[Q]] : tensor<2x4x!nq.fp8> -> tensor<2x4xf16>
  // CHECK: nq.dequantize %{{.*}} : tensor<2x4x!nq.fp8> -> tensor<2x4xf32>
  // CHECK: %[[I:.*]] = nq.cast
  // CHECK: return %[[H]], %[[I]]
  %s = arith.constant dense<0.0123> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x4xf32> -> tensor<2x4x!nq.fp8>
  %d = nq.dequantize %q : tensor<2x4x!nq.fp8> -> tensor<2x4xf32>
  %h = nq.cast %d : tensor<2x4xf32> -> tensor<2x4xf16>
  %r = nq.quantize %x scale(%t : tensor<f32>) : tensor<2x4xf32> -> tensor<2x4x!nq.fp8>
  %e = nq.dequantize %r : tensor<2x4x!nq.fp8> -> tensor<2x4xf32>
  %i = nq.cast %e : tensor<2x4xf32> -> tensor<2x4xf16>
  return %h, %i : tensor<2x4xf16>, tensor<2x4xf16>
}

// Exporters widen to f32 in front of a quantize, which does so itself.
// CHECK-LABEL: @quantize
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf16>
func.func @quantize(%x: tensor<2x4xf16>, %s: tensor<f32>) -> tensor<2x4x!nq.fp8> {
  // CHECK-NEXT: nq.quantize %[[X]] scale(%{{.*}} : tensor<f32>) : tensor<2x4xf16> -> tensor<2x4x!nq.fp8>
  %w = nq.cast %x : tensor<2x4xf16> -> tensor<2x4xf32>
  %q = nq.quantize %w scale(%s : tensor<f32>) : tensor<2x4xf32> -> tensor<2x4x!nq.fp8>
  return %q : tensor<2x4x!nq.fp8>
}
