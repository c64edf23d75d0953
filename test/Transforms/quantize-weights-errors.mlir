// What the pass refuses when no other pass has looked at the layer before.
// RUN: not nibble-opt %s --quantize-weights --split-input-file 2>&1 | FileCheck %s

func.func @not_constant(%x: tensor<2x32xf32>, %w: tensor<32x4xf32>) -> tensor<2x4xf32> {
  // CHECK: error: {{.*}}layer 'up': requested nvfp4, refused: its weight is an input of the model, not a constant; give the layer another format
  %y = nq.matmul %x, %w attributes {nibble.precision = "nvfp4"} : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("up")
  return %y : tensor<2x4xf32>
}

// -----
func.func @odd(%x: tensor<2x24xf32>) -> tensor<2x4xf32> {
  %w = nq.constant codes(dense<1.0> : tensor<24x4xf32>) : tensor<24x4xf32>
  // CHECK: error: {{.*}}requested mxfp8, refused: K = 24 is not a multiple of the block of 32
  %y = nq.matmul %x, %w attributes {nibble.precision = "mxfp8"} : (tensor<2x24xf32>, tensor<24x4xf32>) -> tensor<2x4xf32> loc("up")
  return %y : tensor<2x4xf32>
}

// -----
func.func @malformed(%x: tensor<2x24xf32>) -> tensor<2x4xf32> {
  %w = nq.constant codes(dense<1.0> : tensor<24x4xf32>) : tensor<24x4xf32>
  // CHECK: error: {{.*}}'nq.matmul' op nibble.precision: unknown option 'blok', did you mean 'block'?
  %y = nq.matmul %x, %w attributes {nibble.precision = "int4 blok=32"} : (tensor<2x24xf32>, tensor<24x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
