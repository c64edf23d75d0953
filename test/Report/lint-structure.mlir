// Hazards in the structure of a graph: each one is planted once.
// RUN: nibble inspect %s --lint | FileCheck %s
// RUN: not nibble inspect %s --lint --strict
// RUN: nibble inspect %s --lint --json | FileCheck %s --check-prefix=JSON

// JSON: "counts": {
// JSON-NEXT: "bad-scale": 1,
// JSON-NEXT: "default-scale": 1,
// JSON-NEXT: "global-one": 1,
// JSON-NEXT: "misaligned-k": 2,
// JSON-NEXT: "qdq-island": 2,
// JSON-NEXT: "reformat-chain": 3
// JSON: "schema": "nibble.lint/1"

// CHECK: qdq-island: layer 'dq1' (dequantize): 'linalg.generic' of layer 'relu' computes with values that were rounded to fp8, without a product that gains by it
// CHECK-NEXT: fix: let it read the tensor in front of the quantizer
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func @island(%x: tensor<4x32xf32>) -> tensor<4x32xf32> attributes {nibble.entry} {
  %s = arith.constant dense<0.5> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4x32xf32> -> tensor<4x32x!nq.fp8> loc("q1")
  %d = nq.dequantize %q : tensor<4x32x!nq.fp8> -> tensor<4x32xf32> loc("dq1")
  %init = tensor.empty() : tensor<4x32xf32>
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%d : tensor<4x32xf32>) outs(%init : tensor<4x32xf32>) {
  ^bb0(%a: f32, %o: f32):
    %z = arith.constant 0.0 : f32
    %m = arith.maximumf %a, %z : f32
    linalg.yield %m : f32
  } -> tensor<4x32xf32> loc("relu")
  return %y : tensor<4x32xf32>
}

// A slice through the middle of blocks has no scales: its product is computed in float.
// CHECK: qdq-island: layer 'dq2' (dequantize): 'nq.matmul' of layer 'mm' multiplies values that were dequantized from nvfp4: no scaled product covers these scales
func.func @multiplied_in_float(%x: tensor<4x32xf16>, %w: tensor<16x16x!nq.nvfp4>) -> tensor<4x16xf16> attributes {nibble.entry} {
  %g = arith.constant dense<0.5> : tensor<f32>
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.nvfp4> loc("q2")
  %d = nq.dequantize %q : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf16> loc("dq2")
  %s = tensor.extract_slice %d[0, 8] [4, 16] [1, 1] : tensor<4x32xf16> to tensor<4x16xf16>
  %y = nq.matmul %s, %w transpose_b : (tensor<4x16xf16>, tensor<16x16x!nq.nvfp4>) -> tensor<4x16xf16> loc("mm")
  return %y : tensor<4x16xf16>
}

// CHECK: global-one: layer 'q5' (quantize): the global scale of the activation was left at 1
// CHECK: reformat-chain: layer 'q5' (quantize): values go from fp8 ('nq.dequantize' of layer 'dq4') to nvfp4 and are rounded twice
func.func @requantized(%x: tensor<4x32x!nq.fp8>, %w: tensor<16x32x!nq.nvfp4>) -> tensor<4x16xf16> attributes {nibble.entry} {
  %d = nq.dequantize %x : tensor<4x32x!nq.fp8> -> tensor<4x32xf16> loc("dq4")
  %g = arith.constant dense<1.0> : tensor<f32>
  %q = nq.quantize %d recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.nvfp4> loc("q5")
  %y = nq.matmul %q, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<16x32x!nq.nvfp4>) -> tensor<4x16xf16>
  return %y : tensor<4x16xf16>
}

// CHECK: reformat-chain: layer 'c2' (cast): values go from f32 over f16 to bf16: the rounding in between cannot be merged
// CHECK: reformat-chain: layer 't2' (transpose): the tensor is transposed by 'linalg.transpose' of layer 't1' and then again: it moves twice
func.func @chains(%x: tensor<4x32xf32>, %z: tensor<2x4x32xf16>) -> (tensor<4x32xbf16>, tensor<32x2x4xf16>) attributes {nibble.entry} {
  %a = nq.cast %x : tensor<4x32xf32> -> tensor<4x32xf16> loc("c1")
  %b = nq.cast %a : tensor<4x32xf16> -> tensor<4x32xbf16> loc("c2")
  %e1 = tensor.empty() : tensor<4x2x32xf16>
  %t1 = linalg.transpose ins(%z : tensor<2x4x32xf16>) outs(%e1 : tensor<4x2x32xf16>) permutation = [1, 0, 2] loc("t1")
  %r1 = tensor.collapse_shape %t1 [[0, 1], [2]] : tensor<4x2x32xf16> into tensor<8x32xf16>
  %r2 = tensor.expand_shape %r1 [[0, 1], [2]] output_shape [2, 4, 32] : tensor<8x32xf16> into tensor<2x4x32xf16>
  %e2 = tensor.empty() : tensor<32x2x4xf16>
  %t2 = linalg.transpose ins(%r2 : tensor<2x4x32xf16>) outs(%e2 : tensor<32x2x4xf16>) permutation = [2, 0, 1] loc("t2")
  return %b, %t2 : tensor<4x32xbf16>, tensor<32x2x4xf16>
}

// CHECK: misaligned-k: layer 'patches' (matmul): K = 588 of f16 makes rows that are no multiple of 16 bytes: they are stored with padding to K = 592
// CHECK-NEXT: fix: make K a multiple of 8
func.func @pitch(%x: tensor<4x588xf16>) -> tensor<4x16xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<588x16xf16>) : tensor<588x16xf16>
  %y = nq.matmul %x, %w : (tensor<4x588xf16>, tensor<588x16xf16>) -> tensor<4x16xf16> loc("patches")
  return %y : tensor<4x16xf16>
}

// CHECK: misaligned-k: layer 'partial' (matmul): K = 40 is not a multiple of the block of 16: the last block of every row is partial
// CHECK-NEXT: fix: pad K to 48 in the model
func.func @partial_block(%x: tensor<4x40x!nq.nvfp4>) -> tensor<4x2xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<40xi8>) scales(dense<[56, 57, 58, 56, 57, 58]> : tensor<6xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x40x!nq.nvfp4>
  %y = nq.matmul %x, %w transpose_b : (tensor<4x40x!nq.nvfp4>, tensor<2x40x!nq.nvfp4>) -> tensor<4x2xf16> loc("partial")
  return %y : tensor<4x2xf16>
}

// CHECK: default-scale: layer 'q6' (quantize): the scale of the activation is 1, the default: it was never calibrated
// CHECK: bad-scale: layer 'q7' (quantize): a scale of the activation is nan
func.func @scales(%x: tensor<4x32xf16>, %w: tensor<16x32x!nq.fp8>) -> (tensor<4x16xf16>, tensor<4x16xf16>) attributes {nibble.entry} {
  %one = arith.constant dense<1.0> : tensor<f32>
  %nan = arith.constant dense<0x7FC00000> : tensor<f32>
  %q = nq.quantize %x scale(%one : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.fp8> loc("q6")
  %p = nq.quantize %x scale(%nan : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.fp8> loc("q7")
  %y = nq.matmul %q, %w transpose_b : (tensor<4x32x!nq.fp8>, tensor<16x32x!nq.fp8>) -> tensor<4x16xf16>
  %z = nq.matmul %p, %w transpose_b : (tensor<4x32x!nq.fp8>, tensor<16x32x!nq.fp8>) -> tensor<4x16xf16>
  return %y, %z : tensor<4x16xf16>, tensor<4x16xf16>
}
// CHECK: 10 hazards
