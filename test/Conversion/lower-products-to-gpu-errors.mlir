// RUN: nibble-opt %s --lower-products-to-gpu --split-input-file --verify-diagnostics

func.func @k(%x: tensor<4x8xf64>, %w: tensor<8x8xf64>) -> tensor<4x8xf64> {
  // expected-error @below {{has an operand of type 'tensor<4x8xf64>'; GPU kernels multiply in f32: convert the model to f32}}
  %0 = nq.matmul %x, %w : (tensor<4x8xf64>, tensor<8x8xf64>) -> tensor<4x8xf64>
  return %0 : tensor<4x8xf64>
}

// -----

func.func @k(%q: tensor<1x1x4x8xf16>, %v: tensor<1x1x4x2000xf16>) -> tensor<1x1x4x2000xf16> {
  // expected-error @below {{has values of 2000 elements; a block of rows keeps its sums in registers, which hold at most 1024}}
  %0 = nq.attention %q, %q, %v {scale = 1.0 : f64} : (tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>, tensor<1x1x4x2000xf16>) -> tensor<1x1x4x2000xf16>
  return %0 : tensor<1x1x4x2000xf16>
}
