// Casts merge exactly when the inner one loses nothing.
// RUN: nibble-opt %s --canonicalize | FileCheck %s

// CHECK-LABEL: @exact_inner_cast
// CHECK-SAME: (%[[X:.*]]: tensor<4xf16>)
func.func @exact_inner_cast(%x: tensor<4xf16>) -> tensor<4xf8E4M3FN> {
  // CHECK-NEXT: %[[Y:.*]] = nq.cast %[[X]] : tensor<4xf16> -> tensor<4xf8E4M3FN>
  // CHECK-NEXT: return %[[Y]]
  %a = nq.cast %x : tensor<4xf16> -> tensor<4xf32>
  %b = nq.cast %a : tensor<4xf32> -> tensor<4xf8E4M3FN>
  return %b : tensor<4xf8E4M3FN>
}

// CHECK-LABEL: @rounding_inner_cast
func.func @rounding_inner_cast(%x: tensor<4xf32>) -> tensor<4xf8E4M3FN> {
  // CHECK-COUNT-2: nq.cast
  %a = nq.cast %x : tensor<4xf32> -> tensor<4xf16>
  %b = nq.cast %a : tensor<4xf16> -> tensor<4xf8E4M3FN>
  return %b : tensor<4xf8E4M3FN>
}

// E8M0 reaches 2^127, beyond f16.
// CHECK-LABEL: @e8m0_through_f16
func.func @e8m0_through_f16(%x: tensor<4xf8E8M0FNU>) -> tensor<4xf32> {
  // CHECK-COUNT-2: nq.cast
  %a = nq.cast %x : tensor<4xf8E8M0FNU> -> tensor<4xf16>
  %b = nq.cast %a : tensor<4xf16> -> tensor<4xf32>
  return %b : tensor<4xf32>
}

// CHECK-LABEL: @there_and_back
// CHECK-SAME: (%[[X:.*]]: tensor<4xf16>)
func.func @there_and_back(%x: tensor<4xf16>) -> tensor<4xf16> {
  // CHECK-NEXT: return %[[X]]
  %a = nq.cast %x : tensor<4xf16> -> tensor<4xf64>
  %b = nq.cast %a : tensor<4xf64> -> tensor<4xf16>
  return %b : tensor<4xf16>
}

// A saturating cast of E5M2 to itself clamps infinities; others change nothing.
// CHECK-LABEL: @same_type
func.func @same_type(%x: tensor<4xf8E5M2>, %y: tensor<4xf8E4M3FN>) -> (tensor<4xf8E5M2>, tensor<4xf8E5M2>, tensor<4xf8E4M3FN>) {
  // CHECK-NEXT: %[[A:.*]] = nq.cast %arg0 : tensor<4xf8E5M2> -> tensor<4xf8E5M2>
  // CHECK-NEXT: return %[[A]], %arg0, %arg1
  %a = nq.cast %x : tensor<4xf8E5M2> -> tensor<4xf8E5M2>
  %b = nq.cast %x {saturate = false} : tensor<4xf8E5M2> -> tensor<4xf8E5M2>
  %c = nq.cast %y : tensor<4xf8E4M3FN> -> tensor<4xf8E4M3FN>
  return %a, %b, %c : tensor<4xf8E5M2>, tensor<4xf8E5M2>, tensor<4xf8E4M3FN>
}

!panels = tensor<32x8xf16, #nq.layout<tiles [[16], []] order [0, 2, 1]>>
// CHECK-LABEL: @reformat_and_back
// CHECK-SAME: (%[[X:.*]]: tensor<32x8xf16>)
func.func @reformat_and_back(%x: tensor<32x8xf16>) -> tensor<32x8xf16> {
  // CHECK-NEXT: return %[[X]]
  %a = nq.reformat %x : tensor<32x8xf16> -> !panels
  %b = nq.reformat %a : !panels -> tensor<32x8xf16>
  return %b : tensor<32x8xf16>
}
