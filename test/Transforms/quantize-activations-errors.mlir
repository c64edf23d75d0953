// Static scales come from calibration: without it, or with a useless one, the layer is refused.
// RUN: not nibble-opt %s --quantize-activations --split-input-file 2>&1 | FileCheck %s

func.func @missing(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  // CHECK: error: {{.*}}layer 'up': requested fp8, refused: its activations need a calibrated amax and there is none; give samples with --calib DIR, or leave the activations alone with the option activations=none
  %y = nq.matmul %x, %w transpose_b attributes {nibble.precision = "fp8"} : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32> loc("up")
  return %y : tensor<2x4xf32>
}

// -----
func.func @zero(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  // CHECK: error: {{.*}}refused: its activations need a calibrated amax above 0, not 0;
  %y = nq.matmul %x, %w transpose_b attributes {nibble.precision = "nvfp4", nibble.amax = 0.0 : f32} : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32> loc("up")
  return %y : tensor<2x4xf32>
}
