// Hazards in the data of quantized weights: each one is planted once; layers are those that read the weight.
// RUN: nibble inspect %s --lint | FileCheck %s

// Codes 0x22 are 1.0, 0x77 are +6; E4M3 scales: 56 is 1.0, 48 is 0.5, 0 is zero, 127 is NaN, -72 is -1.0.

// CHECK: bad-scale: layer 'nan' (constant): weight 'w1': block scale 1 is not a finite number
func.func @nan(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<32xi8>) scales(dense<[56, 127, 48, 56]> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w1")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("nan")
  return %y : tensor<4x2xf16>
}

// CHECK: bad-scale: layer 'zero' (constant): weight 'w2': block scale 3 is zero, but its codes are not
func.func @zero(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<32xi8>) scales(dense<[56, 48, 48, 0]> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w2")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("zero")
  return %y : tensor<4x2xf16>
}

// A block of zeros may have the scale zero.
// CHECK-NOT: layer 'empty'
func.func @empty(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x1xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<[0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0, 0, 0, 0, 0, 0, 0, 0]> : tensor<16xi8>) scales(dense<[56, 0]> : tensor<2xi8>) global(dense<0.5> : tensor<f32>) : tensor<1x32x!nq.nvfp4> loc("w0")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<1x32x!nq.nvfp4>) -> tensor<4x1xf16> loc("empty")
  return %y : tensor<4x1xf16>
}

// CHECK: bad-scale: layer 'negative' (constant): weight 'w3': block scale 0 is negative (-1
func.func @negative(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<32xi8>) scales(dense<[-72, 48, 48, 56]> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w3")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("negative")
  return %y : tensor<4x2xf16>
}

// CHECK: bad-scale: layer 'codes' (constant): weight 'w4': 64 codes are NaN or infinite
func.func @codes(%x: tensor<4x32x!nq.fp8>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<127> : tensor<64xi8>) scales(dense<[0, 0, 0, 63]> : tensor<4xi8>) : tensor<2x32x!nq.fp8> loc("w4")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.fp8>, tensor<2x32x!nq.fp8>) -> tensor<4x2xf16> loc("codes")
  return %y : tensor<4x2xf16>
}

// CHECK: bad-scale: layer 'global' (constant): weight 'w5': the global scale is 0
func.func @global_zero(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<32xi8>) scales(dense<[56, 48, 48, 56]> : tensor<4xi8>) global(dense<0.0> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w5")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("global")
  return %y : tensor<4x2xf16>
}

// CHECK: equal-scales: layer 'equal' (constant): all 16 block scales of weight 'w6' are 1
func.func @equal(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x8xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<128xi8>) scales(dense<56> : tensor<16xi8>) global(dense<0.5> : tensor<f32>) : tensor<8x32x!nq.nvfp4> loc("w6")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<8x32x!nq.nvfp4>) -> tensor<4x8xf16> loc("equal")
  return %y : tensor<4x8xf16>
}

// CHECK: saturating-scale: layer 'clipped' (constant): 50.0% of the codes of weight 'w7' are +-6, the largest there is (blocks of 16 explain 26.0%)
func.func @clipped(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x72> : tensor<32xi8>) scales(dense<[56, 48, 48, 56]> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w7")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("clipped")
  return %y : tensor<4x2xf16>
}

// CHECK: global-one: layer 'left' (constant): the global scale of weight 'w8' was left at 1
func.func @left_at_one(%x: tensor<4x32x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<0x22> : tensor<32xi8>) scales(dense<[56, 48, 48, 56]> : tensor<4xi8>) global(dense<1.0> : tensor<f32>) : tensor<2x32x!nq.nvfp4> loc("w8")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) -> tensor<4x2xf16> loc("left")
  return %y : tensor<4x2xf16>
}

// The bytes of 1.0 in f32 are 0, 0, 128, 63.
// CHECK: default-scale: layer 'default' (constant): the scale of weight 'w9' is 1, the default
func.func @default(%x: tensor<4x32x!nq.fp8>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<56> : tensor<64xi8>) scales(dense<[0, 0, -128, 63]> : tensor<4xi8>) : tensor<2x32x!nq.fp8> loc("w9")
  %y = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.fp8>, tensor<2x32x!nq.fp8>) -> tensor<4x2xf16> loc("default")
  return %y : tensor<4x2xf16>
}
// CHECK: 9 hazards
