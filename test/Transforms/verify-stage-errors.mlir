// What a border refuses, by op, layer and stage.
// RUN: not nibble-opt %s --split-input-file --verify-stage=stage=select 2>&1 | FileCheck %s

// CHECK: after stage 'select': layer 'cast7': 'nq.cast' is not a launch, an alias or a constant
func.func @not_a_launch(%x: tensor<4xf32>) -> tensor<4xf16> attributes {nibble.entry} {
  %y = nq.cast %x : tensor<4xf32> -> tensor<4xf16> loc("cast7")
  return %y : tensor<4xf16>
}

// -----
// CHECK: after stage 'select': layer 'probe1': 'check.expect_eq' is an op for tests; remove it before compiling
func.func @op_for_tests(%x: tensor<4xf32>) attributes {nibble.entry} {
  check.expect_eq %x, %x : tensor<4xf32> loc("probe1")
  return
}
