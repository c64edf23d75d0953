// Fusion regions: round trip, unused and repeated inputs, unused results, errors.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @slim
// CHECK-SAME: (%[[X:.*]]: tensor<4xf32>, %{{.*}}: tensor<2xf32>)
func.func @slim(%x: tensor<4xf32>, %y: tensor<2xf32>) -> tensor<4xf16> {
  // CHECK: %[[R:.*]] = nq.region "elementwise"(%[[X]]) fused ["fuse-elementwise"] : (tensor<4xf32>) -> tensor<4xf16> {
  // CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<4xf32>):
  // CHECK-NEXT: %[[C:.*]] = nq.cast %[[A]]
  // CHECK-NEXT: nq.yield %[[C]] : tensor<4xf16>
  %r:2 = nq.region "elementwise"(%x, %y, %x) fused ["fuse-elementwise"] : (tensor<4xf32>, tensor<2xf32>, tensor<4xf32>) -> (tensor<4xbf16>, tensor<4xf16>) {
  ^bb0(%a: tensor<4xf32>, %b: tensor<2xf32>, %c: tensor<4xf32>):
    %d = nq.cast %a : tensor<4xf32> -> tensor<4xbf16>
    %e = nq.cast %c : tensor<4xf32> -> tensor<4xf16>
    nq.yield %d, %e : tensor<4xbf16>, tensor<4xf16>
  }
  // CHECK: return %[[R]]
  return %r#1 : tensor<4xf16>
}

// -----

func.func @arguments(%x: tensor<4xf32>) -> tensor<4xf16> {
  // expected-error @+1 {{block arguments ('tensor<4xf16>') do not match the inputs ('tensor<4xf32>')}}
  %r = nq.region "elementwise"(%x) : (tensor<4xf32>) -> tensor<4xf16> {
  ^bb0(%a: tensor<4xf16>):
    nq.yield %a : tensor<4xf16>
  }
  return %r : tensor<4xf16>
}

// -----

func.func @results(%x: tensor<4xf32>) -> tensor<4xf16> {
  // expected-error @+1 {{yielded values ('tensor<4xf32>') do not match the results ('tensor<4xf16>')}}
  %r = nq.region "elementwise"(%x) : (tensor<4xf32>) -> tensor<4xf16> {
  ^bb0(%a: tensor<4xf32>):
    nq.yield %a : tensor<4xf32>
  }
  return %r : tensor<4xf16>
}
