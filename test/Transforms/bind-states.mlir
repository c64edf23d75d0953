// Pairs of inputs and outputs become states that entry points share.
// RUN: nibble-opt %s "--bind-states=states=past.*.k=present.*.k,past.v=present.v" | FileCheck %s

// CHECK-DAG: nq.state @past.0.k : tensor<2x8xf16>
// CHECK-DAG: nq.state @past.1.k : tensor<2x8xf16>
// CHECK-DAG: nq.state @past.v : tensor<4xf32>

// CHECK-LABEL: func.func @step(%arg0: tensor<2x8xf16> {nibble.name = "x"}) -> (tensor<2x8xf16> {nibble.name = "y"})
func.func @step(%k0: tensor<2x8xf16> {nibble.name = "past.0.k"}, %x: tensor<2x8xf16> {nibble.name = "x"},
                %k1: tensor<2x8xf16> {nibble.name = "past.1.k"}, %v: tensor<4xf32> {nibble.name = "past.v"})
    -> (tensor<2x8xf16> {nibble.name = "present.0.k"}, tensor<4xf32> {nibble.name = "present.v"},
        tensor<2x8xf16> {nibble.name = "y"}, tensor<2x8xf16> {nibble.name = "present.1.k"}) attributes {nibble.entry} {
  // CHECK-DAG: %[[K0:.*]] = nq.state_read @past.0.k
  // CHECK-DAG: %[[K1:.*]] = nq.state_read @past.1.k
  // CHECK-DAG: %[[V:.*]] = nq.state_read @past.v
  // CHECK: %[[A:.*]] = arith.addf %[[K0]], %arg0
  %a = arith.addf %k0, %x : tensor<2x8xf16>
  // CHECK: %[[B:.*]] = arith.addf %[[K1]], %[[A]]
  %b = arith.addf %k1, %a : tensor<2x8xf16>
  // CHECK-DAG: nq.state_write @past.0.k, %[[A]]
  // CHECK-DAG: nq.state_write @past.1.k, %[[B]]
  // CHECK-DAG: nq.state_write @past.v, %[[V]]
  // CHECK: return %[[B]] : tensor<2x8xf16>
  return %a, %v, %b, %b : tensor<2x8xf16>, tensor<4xf32>, tensor<2x8xf16>, tensor<2x8xf16>
}

// CHECK-LABEL: func.func @prefill(%arg0: tensor<2x8xf16> {nibble.name = "x"})
// CHECK-NOT: tensor<2x8xf16> {nibble.name = "past
func.func @prefill(%x: tensor<2x8xf16> {nibble.name = "x"}, %k0: tensor<2x8xf16> {nibble.name = "past.0.k"})
    -> (tensor<2x8xf16> {nibble.name = "present.0.k"}) attributes {nibble.entry} {
  // CHECK: %[[S:.*]] = nq.state_read @past.0.k
  // CHECK: %[[Y:.*]] = arith.mulf %[[S]], %arg0
  %y = arith.mulf %k0, %x : tensor<2x8xf16>
  // CHECK: nq.state_write @past.0.k, %[[Y]]
  return %y : tensor<2x8xf16>
}

// Has no such input, and stays as it is.
// CHECK-LABEL: func.func @other(%{{.*}}: tensor<4xf32> {nibble.name = "x"}) -> (tensor<4xf32> {nibble.name = "y"})
func.func @other(%x: tensor<4xf32> {nibble.name = "x"}) -> (tensor<4xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  return %x : tensor<4xf32>
}
