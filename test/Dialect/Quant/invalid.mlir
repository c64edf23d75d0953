// Verifiers say what is wrong and what was expected.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{storage type 'f32' is not one of f4E2M1FN}}
func.func private @storage(tensor<4x!nq.scaled<f32, f32 per tensor>>)

// -----
// expected-error @below {{scale type 'i8' is not one of f32}}
func.func private @scale(tensor<4x!nq.scaled<si8, i8 per tensor>>)

// -----
// expected-error @below {{zero_point needs an integer storage type}}
func.func private @zero_point(tensor<4x!nq.scaled<f8E4M3FN, f32 per tensor, zero_point>>)

// -----
// expected-error @below {{block extent 0 is not positive}}
func.func private @block(tensor<4x!nq.scaled<si8, f32 per 0>>)

// -----
// expected-error @below {{global scale type 'f8E4M3FN' is not one of f32, f16, bf16}}
func.func private @global(tensor<4x!nq.scaled<si8, f32 per 4, global f8E4M3FN>>)

// -----
// expected-error @below {{unknown nq type 'int3'}}
func.func private @alias(tensor<4x!nq.int3>)

// -----
// expected-error @below {{order is not a permutation of the 3 digits}}
func.func private @layout(tensor<4x4xf32, #nq.layout<tiles [[2], []] order [0, 0, 1]>>)

// -----
// expected-error @below {{tile factor 0 is not positive}}
func.func private @tile(tensor<4x4xf32, #nq.layout<tiles [[0], []] order [0, 1, 2]>>)

// -----
func.func @constant_bytes() {
  // expected-error @below {{codes hold 63 bytes, the type needs 64}}
  %w = nq.constant codes(dense<1> : tensor<63xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  return
}

// -----
func.func @constant_scales() {
  // expected-error @below {{scaled result 'tensor<4x32x!nq.nvfp4>' has no scales}}
  %w = nq.constant codes(dense<1> : tensor<64xi8>) : tensor<4x32x!nq.nvfp4>
  return
}

// -----
func.func @quantize_scale(%x: tensor<4x32xf32>, %s: tensor<3xf32>) {
  // expected-error @below {{scale has shape [3] but the grid of scales of '!nq.fp8' over [4, 32] is [1, 1]}}
  %q = nq.quantize %x scale(%s : tensor<3xf32>) : tensor<4x32xf32> -> tensor<4x32x!nq.fp8>
  return
}

// -----
func.func @quantize_neither(%x: tensor<4x32xf32>) {
  // expected-error @below {{needs either a scale (static) or a recipe (dynamic)}}
  %q = nq.quantize %x : tensor<4x32xf32> -> tensor<4x32x!nq.fp8>
  return
}

// -----
func.func @quantize_global(%x: tensor<4x32xf32>) {
  // expected-error @below {{needs a global scale operand}}
  %q = nq.quantize %x recipe("trt-dynamic") : tensor<4x32xf32> -> tensor<4x32x!nq.nvfp4>
  return
}

// -----
func.func @assemble_codes(%c: tensor<4x32xi8>, %s: tensor<f32>) {
  // expected-error @below {{codes of type 'i8' cannot be stored as 'f8E4M3FN'}}
  %q = nq.assemble %c scales(%s : tensor<f32>) : tensor<4x32xi8> -> tensor<4x32x!nq.fp8>
  return
}

// -----
func.func @matmul_shapes(%a: tensor<2x8xf32>, %b: tensor<4x8xf32>) {
  // expected-error @below {{operand shapes do not multiply}}
  %y = nq.matmul %a, %b : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x8xf32>
  return
}

// -----
func.func @matmul_result(%a: tensor<2x8xf32>, %b: tensor<4x8xf32>) {
  // expected-error @below {{should have shape [2, 4]}}
  %y = nq.matmul %a, %b transpose_b : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x8xf32>
  return
}

// -----
func.func @attention_heads(%q: tensor<1x3x4x16xf16>, %k: tensor<1x2x6x16xf16>) {
  // expected-error @below {{3 query heads are not a multiple of 2 kv heads}}
  %a = nq.attention %q, %k, %k {scale = 0.25 : f64} : (tensor<1x3x4x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x3x4x16xf16>
  return
}

// -----
func.func @reformat(%x: tensor<4xf32>) {
  // expected-error @below {{changes the element type from 'f32' to 'f16'}}
  %y = nq.reformat %x : tensor<4xf32> -> tensor<4xf16>
  return
}

// -----
// expected-error @below {{type 'tensor<?xf32>' is not a tensor of static shape}}
nq.state @dynamic : tensor<?xf32>

// -----
func.func @state_inside() {
  // expected-error @below {{symbol's parent must have the SymbolTable trait}}
  nq.state @inside : tensor<4xf32>
  return
}

// -----
func.func @no_state() -> tensor<4xf32> {
  // expected-error @below {{@missing is not a state of this module}}
  %0 = nq.state_read @missing : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// -----
nq.state @cache : tensor<4xf32>
func.func @state_type(%x: tensor<5xf32>) {
  // expected-error @below {{state @cache holds 'tensor<4xf32>', not 'tensor<5xf32>'}}
  nq.state_write @cache, %x : tensor<5xf32>
  return
}

// -----
func.func @update_axis(%x: tensor<4x8xf32>, %p: tensor<i64>, %r: tensor<1x8xf32>) {
  // expected-error @below {{axis 2 is outside of 'tensor<4x8xf32>'}}
  %0 = nq.update %x[%p] with %r axis 2 : tensor<4x8xf32>, tensor<i64>, tensor<1x8xf32>
  return
}

// -----
func.func @update_rows(%x: tensor<4x8xf32>, %p: tensor<i64>, %r: tensor<5x8xf32>) {
  // expected-error @below {{rows 'tensor<5x8xf32>' do not fit 'tensor<4x8xf32>': only axis 0 may be shorter}}
  %0 = nq.update %x[%p] with %r axis 0 : tensor<4x8xf32>, tensor<i64>, tensor<5x8xf32>
  return
}

// -----
func.func @update_position(%x: tensor<4x8xf32>, %p: tensor<2xi64>, %r: tensor<1x8xf32>) {
  // expected-error @below {{position 'tensor<2xi64>' is not one element of type i64 or i32}}
  %0 = nq.update %x[%p] with %r axis 0 : tensor<4x8xf32>, tensor<2xi64>, tensor<1x8xf32>
  return
}

// -----
func.func @update_scaled(%x: tensor<4x16x!nq.nvfp4>, %p: tensor<i64>, %r: tensor<1x16x!nq.nvfp4>) {
  // expected-error @below {{elements must be plain, row-major, of whole bytes}}
  %0 = nq.update %x[%p] with %r axis 0 : tensor<4x16x!nq.nvfp4>, tensor<i64>, tensor<1x16x!nq.nvfp4>
  return
}

// -----
func.func @statistics_count(%x: tensor<4x300xf16>) {
  // expected-error @below {{statistics of a layer norm are 2 tensors, not 1}}
  %0 = nq.statistics layer %x tile 128 : (tensor<4x300xf16>) -> tensor<4x3xf32>
  return
}

// -----
func.func @statistics_shape(%x: tensor<4x300xf16>) {
  // expected-error @below {{statistics 'tensor<4x2xf32>' should be 'tensor<4x3xf32>': tiles of 128 in rows of 'tensor<4x300xf16>'}}
  %0 = nq.statistics rms %x tile 128 : (tensor<4x300xf16>) -> tensor<4x2xf32>
  return
}

// -----
func.func @statistics_type(%x: tensor<4x300xf16>) {
  // expected-error @below {{statistics 'tensor<4x3xf16>' should be 'tensor<4x3xf32>'}}
  %0 = nq.statistics rms %x tile 128 : (tensor<4x300xf16>) -> tensor<4x3xf16>
  return
}

// -----
func.func @statistics_rank(%x: tensor<f16>) {
  // expected-error @below {{a tensor of rank 0 has no rows}}
  %0 = nq.statistics rms %x tile 128 : (tensor<f16>) -> tensor<f32>
  return
}

// -----
func.func @statistics_tile(%x: tensor<4x300xf16>) {
  // expected-error @below {{attribute 'tile' failed to satisfy constraint: 64-bit signless integer attribute whose value is positive}}
  %0 = nq.statistics rms %x tile 0 : (tensor<4x300xf16>) -> tensor<4x3xf32>
  return
}

// -----
func.func @norm_statistics_axis(%x: tensor<4x300xf16>, %s: tensor<4x3xf32>) {
  // expected-error @below {{statistics are of the last dimension, axis is 0}}
  %0 = nq.norm rms %x statistics(%s : tensor<4x3xf32>) tile 128 {axis = 0 : i64, epsilon = 1.0e-5 : f64} : tensor<4x300xf16> -> tensor<4x300xf16>
  return
}

// -----
func.func @norm_statistics_tile(%x: tensor<4x300xf16>, %s: tensor<4x3xf32>) {
  // expected-error @below {{statistics 'tensor<4x3xf32>' should be 'tensor<4x5xf32>': tiles of 64 in rows of 'tensor<4x300xf16>'}}
  %0 = nq.norm rms %x statistics(%s : tensor<4x3xf32>) tile 64 {axis = 1 : i64, epsilon = 1.0e-5 : f64} : tensor<4x300xf16> -> tensor<4x300xf16>
  return
}

// -----
func.func @norm_statistics_kind(%x: tensor<4x300xf16>, %s: tensor<4x3xf32>) {
  // expected-error @below {{statistics of a rms norm are 1 tensors, not 2}}
  %0 = nq.norm rms %x statistics(%s, %s : tensor<4x3xf32>, tensor<4x3xf32>) tile 128 {axis = 1 : i64, epsilon = 1.0e-5 : f64} : tensor<4x300xf16> -> tensor<4x300xf16>
  return
}

// -----
func.func @norm_tile_alone(%x: tensor<4x300xf16>) {
  // expected-error @below {{tile without statistics}}
  %0 = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-5 : f64, tile = 128 : i64} : tensor<4x300xf16> -> tensor<4x300xf16>
  return
}

// -----
func.func @norm_statistics_without_tile(%x: tensor<4x300xf16>, %s: tensor<4x3xf32>) {
  // expected-error @below {{statistics without a tile}}
  %0 = "nq.norm"(%x, %s) <{kind = #nq<norm_kind rms>, axis = 1 : i64, epsilon = 1.0e-5 : f64, operandSegmentSizes = array<i32: 1, 0, 0, 1>}>
         : (tensor<4x300xf16>, tensor<4x3xf32>) -> tensor<4x300xf16>
  return
}

// -----
func.func @lengths_shape(%q: tensor<3x2x4x16xf16>, %n: tensor<2xi64>) -> tensor<3x2x4x16xf16> {
  // expected-error @below {{lengths 'tensor<2xi64>' are not one per batch entry (3), or one for all}}
  %a = nq.attention %q, %q, %q lengths(%n : tensor<2xi64>) {scale = 0.25 : f64} : (tensor<3x2x4x16xf16>, tensor<3x2x4x16xf16>, tensor<3x2x4x16xf16>) -> tensor<3x2x4x16xf16>
  return %a : tensor<3x2x4x16xf16>
}

// -----
func.func @lengths_type(%q: tensor<1x2x4x16xf16>, %n: tensor<1xf32>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{lengths are i32 or i64, not 'f32'}}
  %a = nq.attention %q, %q, %q lengths(%n : tensor<1xf32>) {scale = 0.25 : f64} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @weights_without_scale(%q: tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{has a type or a scale of its weights, but not both}}
  %a = nq.attention %q, %q, %q {scale = 0.25 : f64, weight_type = f8E4M3FN} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @weights_without_type(%q: tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{has a type or a scale of its weights, but not both}}
  %a = nq.attention %q, %q, %q {scale = 0.25 : f64, weight_scale = 0.01 : f32} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @weights_of_f16(%q: tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{weights are quantized to f8E4M3FN or f8E5M2, not f16}}
  %a = nq.attention %q, %q, %q {scale = 0.25 : f64, weight_type = f16, weight_scale = 0.01 : f32} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @weights_of_no_scale(%q: tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{the scale of weights, 0.000000e+00, is no positive normal number}}
  %a = nq.attention %q, %q, %q {scale = 0.25 : f64, weight_type = f8E5M2, weight_scale = 0.0 : f32} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @weights_of_negative_scale(%q: tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16> {
  // expected-error @below {{the scale of weights, -1.000000e+00, is no positive normal number}}
  %a = nq.attention %q, %q, %q {scale = 0.25 : f64, weight_type = f8E5M2, weight_scale = -1.0 : f32} : (tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>, tensor<1x2x4x16xf16>) -> tensor<1x2x4x16xf16>
  return %a : tensor<1x2x4x16xf16>
}

// -----
func.func @widen_e8m0_to_f16(%x: tensor<4x32x!nq.mxfp4>) {
  // expected-error @below {{codes times E8M0 scales are exact for floats in bf16 only}}
  %0 = nq.widen %x : tensor<4x32x!nq.mxfp4> -> tensor<4x32x!nq.scaled<f16, f32 per tensor>>
  return
}

// -----
func.func @widen_scales(%x: tensor<4x32x!nq.scaled<f8E4M3FN, f32 per 1x?>>) {
  // expected-error @below {{f32 per 1x?>' to '!nq.scaled<f16, f32 per 1x?>', not '!nq.scaled<f16, f32 per tensor>'}}
  %0 = nq.widen %x : tensor<4x32x!nq.scaled<f8E4M3FN, f32 per 1x?>> -> tensor<4x32x!nq.scaled<f16, f32 per tensor>>
  return
}

// -----
func.func @widen_levels(%x: tensor<4x32x!nq.scaled<f8E4M3FN, f16 per 1x16, global f16>>) {
  // expected-error @below {{scales of two levels are rounded before they are multiplied}}
  %0 = nq.widen %x : tensor<4x32x!nq.scaled<f8E4M3FN, f16 per 1x16, global f16>> -> tensor<4x32x!nq.scaled<f16, f16 per 1x16>>
  return
}
