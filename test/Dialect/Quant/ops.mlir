// Every op and type of nq survives a round trip, in short and long form.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s
// RUN: nibble-opt %s --mlir-print-op-generic | nibble-opt | FileCheck %s

// CHECK-LABEL: @types
// CHECK-SAME: !nq.nvfp4>, tensor<2x32x!nq.mxfp4>, tensor<2x32x!nq.mxfp8>, tensor<4x!nq.fp8>
// CHECK-SAME: tensor<4x8x!nq.scaled<si4, f16 per 1x?, zero_point>>
// CHECK-SAME: tensor<4x16x!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>>
// CHECK-SAME: tensor<128x128x!nq.scaled<f8E4M3FN, f32 per 128x128>>
func.func private @types(
  tensor<2x32x!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f32>>,
  tensor<2x32x!nq.mxfp4>, tensor<2x32x!nq.mxfp8>, tensor<4x!nq.fp8>,
  tensor<4x8x!nq.scaled<si4, f16 per 1x?, zero_point>>,
  tensor<4x16x!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>>,
  tensor<128x128x!nq.scaled<f8E4M3FN, f32 per 128x128>>)

// CHECK-LABEL: @layouts
// CHECK-SAME: #nq.layout<tiles {{\[\[}}4, 32], [4]] order [0, 3, 2, 1, 4]>
// CHECK-SAME: #nq.layout<tiles {{\[\[}}16], []] order [0, 2, 1] scales <tiles {{\[\[}}16], []] order [0, 2, 1]>>
// CHECK-SAME: #nq.layout<tiles {{\[\[}}], [64]] order [1, 0, 2] swizzle [3, 4, 3]>
func.func private @layouts(
  tensor<256x8xf8E4M3FN, #nq.layout<tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>,
  tensor<32x32x!nq.nvfp4, #nq.layout<tiles [[16], []] order [0, 2, 1] scales <tiles [[16], []] order [0, 2, 1]>>>,
  tensor<8x128xf16, #nq.layout<tiles [[], [64]] order [1, 0, 2] swizzle [3, 4, 3]>>)

// CHECK-LABEL: @quantized_matmul
func.func @quantized_matmul(%x: tensor<2x32xf16>, %g: tensor<f32>, %s: tensor<f32>) -> tensor<2x4xf16> {
  // CHECK: nq.constant codes({{.*}}) scales({{.*}}) global(dense<5.000000e-01> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  %w = nq.constant codes(dense<1> : tensor<64xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  // CHECK: nq.quantize %{{.*}} recipe("trt-dynamic") global(%{{.*}} : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  // CHECK: nq.matmul %{{.*}}, %{{.*}} transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
  %y = nq.matmul %q, %w transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
  return %y : tensor<2x4xf16>
}

// CHECK-LABEL: @notation
func.func @notation(%x: tensor<2x32xf32>, %s: tensor<f32>) -> tensor<2x32xf32> {
  // CHECK: nq.quantize %{{.*}} scale(%{{.*}} : tensor<f32>) {saturate = false}
  %q = nq.quantize %x scale(%s : tensor<f32>) {saturate = false} : tensor<2x32xf32> -> tensor<2x32x!nq.fp8>
  // CHECK: nq.codes
  %c = nq.codes %q : tensor<2x32x!nq.fp8> -> tensor<2x32xf8E4M3FN>
  // CHECK: nq.assemble %{{.*}} scales(%{{.*}} : tensor<f32>)
  %a = nq.assemble %c scales(%s : tensor<f32>) : tensor<2x32xf8E4M3FN> -> tensor<2x32x!nq.fp8>
  // CHECK: nq.dequantize
  %d = nq.dequantize %a : tensor<2x32x!nq.fp8> -> tensor<2x32xf32>
  return %d : tensor<2x32xf32>
}

// CHECK-LABEL: @epilogue
func.func @epilogue(%x: tensor<2x8xf32>, %w: tensor<8x4xf32>, %b: tensor<4xf32>) -> tensor<2x4xf32> {
  // CHECK: nq.matmul %{{.*}}, %{{.*}} epilogue(%{{.*}} : tensor<4xf32>)
  %y = nq.matmul %x, %w epilogue(%b : tensor<4xf32>) {
  ^bb0(%acc: f32, %bias: f32):
    %r = arith.addf %acc, %bias : f32
    // CHECK: nq.yield
    nq.yield %r : f32
  } : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// CHECK-LABEL: @blocks
func.func @blocks(%q: tensor<1x8x4x16xf16>, %k: tensor<1x2x6x16xf16>, %m: tensor<4x6xi1>,
                  %cos: tensor<1x4x8xf32>, %s: tensor<16xf16>) -> tensor<1x8x4x16xf16> {
  // CHECK: nq.rope
  %r = nq.rope %q, %cos, %cos : (tensor<1x8x4x16xf16>, tensor<1x4x8xf32>, tensor<1x4x8xf32>) -> tensor<1x8x4x16xf16>
  // CHECK: nq.norm rms
  %n = nq.norm rms %r scale(%s : tensor<16xf16>) {axis = 3 : i64, epsilon = 1.0e-6 : f64} : tensor<1x8x4x16xf16> -> tensor<1x8x4x16xf16>
  // CHECK: nq.attention
  %a = nq.attention %n, %k, %k mask(%m : tensor<4x6xi1>) {scale = 0.25 : f64} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf16>
  // CHECK: nq.cast
  %c = nq.cast %a : tensor<1x8x4x16xf16> -> tensor<1x8x4x16xf32>
  // CHECK: nq.reformat
  %f = nq.reformat %a {reason = "test"} : tensor<1x8x4x16xf16> -> tensor<1x8x4x16xf16>
  return %f : tensor<1x8x4x16xf16>
}

// CHECK-LABEL: @lengths
func.func @lengths(%q: tensor<2x8x4x16xf16>, %k: tensor<2x2x6x16xf16>, %m: tensor<6xi1>, %n: tensor<2xi32>, %p: tensor<1xi64>) -> (tensor<2x8x4x16xf16>, tensor<2x8x4x16xf16>) {
  // CHECK: nq.attention %{{.*}}, %{{.*}}, %{{.*}} mask(%{{.*}} : tensor<6xi1>) lengths(%{{.*}} : tensor<2xi32>) {scale
  %a = nq.attention %q, %k, %k mask(%m : tensor<6xi1>) lengths(%n : tensor<2xi32>) {scale = 0.25 : f64} : (tensor<2x8x4x16xf16>, tensor<2x2x6x16xf16>, tensor<2x2x6x16xf16>) -> tensor<2x8x4x16xf16>
  // CHECK: nq.attention %{{.*}}, %{{.*}}, %{{.*}} lengths(%{{.*}} : tensor<1xi64>) {bottom_right, causal, scale
  %b = nq.attention %q, %k, %k lengths(%p : tensor<1xi64>) {scale = 0.25 : f64, causal, bottom_right} : (tensor<2x8x4x16xf16>, tensor<2x2x6x16xf16>, tensor<2x2x6x16xf16>) -> tensor<2x8x4x16xf16>
  return %a, %b : tensor<2x8x4x16xf16>, tensor<2x8x4x16xf16>
}

// CHECK-LABEL: @weights
func.func @weights(%q: tensor<1x8x4x16x!nq.fp8>, %k: tensor<1x2x6x16x!nq.fp8>) -> tensor<1x8x4x16xf16> {
  // CHECK: nq.attention %{{.*}} {scale = 2.500000e-01 : f64, weight_scale = 3.906250e-03 : f32, weight_type = f8E4M3FN} :
  %a = nq.attention %q, %k, %k {scale = 0.25 : f64, weight_type = f8E4M3FN, weight_scale = 0.00390625 : f32} : (tensor<1x8x4x16x!nq.fp8>, tensor<1x2x6x16x!nq.fp8>, tensor<1x2x6x16x!nq.fp8>) -> tensor<1x8x4x16xf16>
  return %a : tensor<1x8x4x16xf16>
}

// CHECK-LABEL: @wide
func.func @wide(%q: tensor<4x32x!nq.fp8>, %f: tensor<4x32x!nq.nvfp4>) -> tensor<4x32x!nq.scaled<f16, f32 per tensor>> {
  // CHECK: nq.widen %{{.*}} : tensor<4x32x!nq.fp8> -> tensor<4x32x!nq.scaled<f16, f32 per tensor>>
  %w = nq.widen %q : tensor<4x32x!nq.fp8> -> tensor<4x32x!nq.scaled<f16, f32 per tensor>>
  // CHECK: nq.widen
  %b = nq.widen %f : tensor<4x32x!nq.nvfp4> -> tensor<4x32x!nq.scaled<bf16, f32 per tensor>>
  return %w : tensor<4x32x!nq.scaled<f16, f32 per tensor>>
}

// CHECK-LABEL: @statistics
func.func @statistics(%x: tensor<4x300xf16>, %y: tensor<2x4x300xf64>, %g: tensor<300xf16>) -> tensor<4x300xf16> {
  // CHECK: nq.statistics rms %{{.*}} tile 128 : (tensor<4x300xf16>) -> tensor<4x3xf32>
  %s = nq.statistics rms %x tile 128 : (tensor<4x300xf16>) -> tensor<4x3xf32>
  // CHECK: %[[S:.*]]:2 = nq.statistics layer %{{.*}} tile 512 : (tensor<2x4x300xf64>) -> (tensor<2x4x1xf64>, tensor<2x4x1xf64>)
  %t:2 = nq.statistics layer %y tile 512 : (tensor<2x4x300xf64>) -> (tensor<2x4x1xf64>, tensor<2x4x1xf64>)
  // CHECK: nq.norm layer %{{.*}} statistics(%[[S]]#0, %[[S]]#1 : tensor<2x4x1xf64>, tensor<2x4x1xf64>) tile 512
  %m = nq.norm layer %y statistics(%t#0, %t#1 : tensor<2x4x1xf64>, tensor<2x4x1xf64>) tile 512 {axis = 2 : i64, epsilon = 1.0e-5 : f64}
         : tensor<2x4x300xf64> -> tensor<2x4x300xf64>
  // CHECK: nq.norm rms %{{.*}} scale({{.*}}) statistics(%{{.*}} : tensor<4x3xf32>) tile 128
  %n = nq.norm rms %x scale(%g : tensor<300xf16>) statistics(%s : tensor<4x3xf32>) tile 128 {axis = 1 : i64, epsilon = 1.0e-6 : f64}
         : tensor<4x300xf16> -> tensor<4x300xf16>
  return %n : tensor<4x300xf16>
}

// CHECK: nq.state @cache : tensor<1x2x6x16xf16>
nq.state @cache : tensor<1x2x6x16xf16>
// CHECK-LABEL: @states
func.func @states(%v: tensor<1x2x6x16xf16>) {
  // CHECK: nq.state_read @cache
  %old = nq.state_read @cache : tensor<1x2x6x16xf16>
  // CHECK: nq.state_write @cache
  nq.state_write @cache, %v : tensor<1x2x6x16xf16>
  return
}
// CHECK-LABEL: @update
func.func @update(%old: tensor<1x2x6x16xf16>, %rows: tensor<1x2x3x16xf16>, %at: tensor<1xi32>) -> tensor<1x2x6x16xf16> {
  // CHECK: nq.update %{{.*}}[%{{.*}}] with %{{.*}} axis 2 : tensor<1x2x6x16xf16>, tensor<1xi32>, tensor<1x2x3x16xf16>
  %new = nq.update %old[%at] with %rows axis 2 : tensor<1x2x6x16xf16>, tensor<1xi32>, tensor<1x2x3x16xf16>
  return %new : tensor<1x2x6x16xf16>
}
