// What a border refuses, by op, layer and stage.
// RUN: not nibble-opt %s --split-input-file --verify-stage=stage=select 2>&1 | FileCheck %s
// RUN: not nibble-opt %s --split-input-file --verify-stage=stage=fuse 2>&1 | FileCheck %s --check-prefix=FUSE
// RUN: not nibble-opt %s --split-input-file --verify-stage="stage=layout target=sm_110a" 2>&1 | FileCheck %s --check-prefix=LAYOUT
// RUN: not nibble-opt %s --split-input-file --verify-stage=stage=canonical 2>&1 | FileCheck %s --check-prefix=CANONICAL

// CHECK: after stage 'select': layer 'cast7': 'nq.cast' is not a launch, an alias or a constant
// FUSE: after stage 'fuse': layer 'cast7': 'nq.cast' is in no fusion region; form-regions should have made one of it
// LAYOUT: after stage 'layout': layer 'cast7': 'nq.cast' is in no fusion region; form-regions should have made one of it
func.func @not_a_launch(%x: tensor<4xf32>) -> tensor<4xf16> attributes {nibble.entry} {
  %y = nq.cast %x : tensor<4xf32> -> tensor<4xf16> loc("cast7")
  return %y : tensor<4xf16>
}

// -----
// CHECK: after stage 'select': layer 'probe1': 'check.expect_eq' is an op for tests; remove it before compiling
// LAYOUT: after stage 'layout': layer 'probe1': 'check.expect_eq' is an op for tests; remove it before compiling
func.func @op_for_tests(%x: tensor<4xf32>) attributes {nibble.entry} {
  check.expect_eq %x, %x : tensor<4xf32> loc("probe1")
  return
}

// -----
// FUSE: after stage 'fuse': layer 'print': 'func.call' is in no fusion region; no kernel can have its side effects
func.func private @callee(tensor<4xf32>)
func.func @side_effect(%x: tensor<4xf32>) attributes {nibble.entry} {
  func.call @callee(%x) : (tensor<4xf32>) -> () loc("print")
  return
}

// -----
// CANONICAL: after stage 'canonical': layer 'codes3': 'nq.codes' feeds codes without scales to a matmul
func.func @codes(%x: tensor<4x32x!nq.fp8>, %w: tensor<32x8xf8E4M3FN>) -> tensor<4x8xf32> attributes {nibble.entry} {
  %c = nq.codes %x : tensor<4x32x!nq.fp8> -> tensor<4x32xf8E4M3FN> loc("codes3")
  %y = nq.matmul %c, %w : (tensor<4x32xf8E4M3FN>, tensor<32x8xf8E4M3FN>) -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}

// -----
// The weight is where its kernel wants it, the activation is not.
// LAYOUT: after stage 'layout': layer 'up': 'nq.region' operand 0 is stored as row-major, its kernel for sm_110a wants #nq.layout<tiles {{\[\[}}], [8]] order [0, 1, 2]>; a pass after the assignment of layouts changed the region
// LAYOUT-NOT: operand 1
#pitch = #nq.layout<tiles [[], [8]] order [0, 1, 2]>
func.func @operand(%x: tensor<4x588xf16>) -> tensor<4x64xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<64x588xf16>) : tensor<64x588xf16, #pitch>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x588xf16>, tensor<64x588xf16, #pitch>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x588xf16>, %b: tensor<64x588xf16, #pitch>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x588xf16>, tensor<64x588xf16, #pitch>) -> tensor<4x64xf16> loc("up")
    nq.yield %0 : tensor<4x64xf16>
  } loc("up")
  return %y : tensor<4x64xf16>
}
