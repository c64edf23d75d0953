// quantize(dequantize(q)) is q where every code comes back; otherwise a remark says what does not.
// RUN: nibble-opt %s --cancel-qdq --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks

// Two copies of the scale, a cast to f16 in between.
// CHECK-LABEL: @equal_scales
func.func @equal_scales(%x: tensor<2x4xf16>) -> tensor<2x4x!nq.fp8> {
  // CHECK: %[[Q:.*]] = nq.quantize
  // CHECK-NOT: nq.dequantize
  // CHECK: return %[[Q]]
  // REMARK-DAG: remark: [Passed] cancel-qdq {{.*}}rejected="dequantize -> f32 -> f16 -> quantize
  %s = arith.constant dense<0.0123> : tensor<f32>
  %t = arith.constant dense<0.0123> : tensor<1xf32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x4xf16> -> tensor<2x4x!nq.fp8>
  %d = nq.dequantize %q : tensor<2x4x!nq.fp8> -> tensor<2x4xf32>
  %h = nq.cast %d : tensor<2x4xf32> -> tensor<2x4xf16>
  %r = nq.quantize %h scale(%t : tensor<1xf32>) : tensor<2x4xf16> -> tensor<2x4x!nq.fp8>
  return %r : tensor<2x4x!nq.fp8>
}

// Per channel with zero points; the moves in between keep one scale per tensor known.
// CHECK-LABEL: @integers
func.func @integers(%x: tensor<2x3xf32>) -> tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>> {
  // CHECK: %[[Q:.*]] = nq.quantize
  // CHECK-NOT: nq.quantize
  // CHECK: return %[[Q]]
  %s = arith.constant dense<[[0.1, 0.2, 0.3]]> : tensor<1x3xf32>
  %z = arith.constant dense<[[-128, 10, 0]]> : tensor<1x3xi8>
  %q = nq.quantize %x scale(%s : tensor<1x3xf32>) zero_point(%z : tensor<1x3xi8>) : tensor<2x3xf32> -> tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>>
  %d = nq.dequantize %q : tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>> -> tensor<2x3xf32>
  %r = nq.quantize %d scale(%s : tensor<1x3xf32>) zero_point(%z : tensor<1x3xi8>) : tensor<2x3xf32> -> tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>>
  return %r : tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>>
}

// CHECK-LABEL: @moved
func.func @moved(%x: tensor<2x4xf16>) -> tensor<4x2x!nq.fp8> {
  // CHECK: %[[T:.*]] = linalg.transpose
  // CHECK: return %[[T]]
  %s = arith.constant dense<0.5> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x4xf16> -> tensor<2x4x!nq.fp8>
  %e = tensor.empty() : tensor<4x2x!nq.fp8>
  %t = linalg.transpose ins(%q : tensor<2x4x!nq.fp8>) outs(%e : tensor<4x2x!nq.fp8>) permutation = [1, 0]
  %d = nq.dequantize %t : tensor<4x2x!nq.fp8> -> tensor<4x2xf16>
  %r = nq.quantize %d scale(%s : tensor<f32>) : tensor<4x2xf16> -> tensor<4x2x!nq.fp8>
  return %r : tensor<4x2x!nq.fp8>
}

// 448 * 1000 is infinite in f16 and comes back as 448; 416 * 1000 does, too.
// CHECK-LABEL: @overflows_f16
func.func @overflows_f16(%x: tensor<2x4xf32>) -> tensor<2x4x!nq.fp8> {
  // CHECK-COUNT-2: nq.quantize
  // REMARK-DAG: remark: [Missed] cancel-qdq {{.*}}chosen="dequantize -> f16 -> quantize"{{.*}}comes back as {{0x[7f]e}} under scale 1.000000e+03
  %s = arith.constant dense<1000.0> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x4xf32> -> tensor<2x4x!nq.fp8>
  %d = nq.dequantize %q : tensor<2x4x!nq.fp8> -> tensor<2x4xf16>
  %r = nq.quantize %d scale(%s : tensor<f32>) : tensor<2x4xf16> -> tensor<2x4x!nq.fp8>
  return %r : tensor<2x4x!nq.fp8>
}

// bf16 rounds by at most 2^-9, less than half a step at 127.
// CHECK-LABEL: @int8_through_bf16
func.func @int8_through_bf16(%x: tensor<4xf32>) -> tensor<4x!nq.scaled<si8, f32 per tensor>> {
  // CHECK: %[[Q:.*]] = nq.quantize
  // CHECK-NOT: nq.quantize
  // CHECK: return %[[Q]]
  %s = arith.constant dense<0.0123> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<si8, f32 per tensor>>
  %d = nq.dequantize %q : tensor<4x!nq.scaled<si8, f32 per tensor>> -> tensor<4xbf16>
  %r = nq.quantize %d scale(%s : tensor<f32>) : tensor<4xbf16> -> tensor<4x!nq.scaled<si8, f32 per tensor>>
  return %r : tensor<4x!nq.scaled<si8, f32 per tensor>>
}

// An f8E4M3FN on the way has only 4 bits.
// CHECK-LABEL: @int8_through_f8
func.func @int8_through_f8(%x: tensor<4xf32>) -> tensor<4x!nq.scaled<si8, f32 per tensor>> {
  // CHECK-COUNT-2: nq.quantize
  %s = arith.constant dense<1.0> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<si8, f32 per tensor>>
  %d = nq.dequantize %q : tensor<4x!nq.scaled<si8, f32 per tensor>> -> tensor<4xf32>
  %c = nq.cast %d : tensor<4xf32> -> tensor<4xf8E4M3FN>
  %w = nq.cast %c : tensor<4xf8E4M3FN> -> tensor<4xf32>
  %r = nq.quantize %w scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<si8, f32 per tensor>>
  return %r : tensor<4x!nq.scaled<si8, f32 per tensor>>
}

// A saturating quantize never wrote an infinity; codes from outside may hold them.
// CHECK-LABEL: @infinities
func.func @infinities(%x: tensor<4xf32>, %c: tensor<4xf8E5M2>) -> (tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>, tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>) {
  // CHECK: %[[Q:.*]] = nq.quantize
  // CHECK: nq.assemble
  // CHECK: %[[T:.*]] = nq.quantize
  // CHECK: return %[[Q]], %[[T]]
  // REMARK-DAG: remark: [Missed] cancel-qdq {{.*}}code 0x7c (INF) comes back as 0x7b
  %s = arith.constant dense<0.5> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>
  %d = nq.dequantize %q : tensor<4x!nq.scaled<f8E5M2, f32 per tensor>> -> tensor<4xf32>
  %r = nq.quantize %d scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>
  %a = nq.assemble %c scales(%s : tensor<f32>) : tensor<4xf8E5M2> -> tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>
  %f = nq.dequantize %a : tensor<4x!nq.scaled<f8E5M2, f32 per tensor>> -> tensor<4xf32>
  %t = nq.quantize %f scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>
  return %r, %t : tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>, tensor<4x!nq.scaled<f8E5M2, f32 per tensor>>
}

// CHECK-LABEL: @other_scale
func.func @other_scale(%x: tensor<4xf32>, %u: tensor<f32>) -> (tensor<4x!nq.fp8>, tensor<4x!nq.fp8>) {
  // CHECK-COUNT-3: nq.quantize
  // REMARK-DAG: reason="the scales differ: the value is quantized anew
  // REMARK-DAG: reason="the scale is not a constant
  %s = arith.constant dense<0.5> : tensor<f32>
  %t = arith.constant dense<0.25> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.fp8>
  %d = nq.dequantize %q : tensor<4x!nq.fp8> -> tensor<4xf32>
  %r = nq.quantize %d scale(%t : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.fp8>
  %v = nq.quantize %d scale(%u : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.fp8>
  return %r, %v : tensor<4x!nq.fp8>, tensor<4x!nq.fp8>
}

// CHECK-LABEL: @dynamic
func.func @dynamic(%x: tensor<2x32xf16>, %g: tensor<f32>) -> tensor<2x32x!nq.nvfp4> {
  // CHECK-COUNT-2: nq.quantize
  // REMARK-DAG: reason="recipe 'trt-dynamic' takes its block scales from the data
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %d = nq.dequantize %q : tensor<2x32x!nq.nvfp4> -> tensor<2x32xf16>
  %r = nq.quantize %d recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  return %r : tensor<2x32x!nq.nvfp4>
}

// What a quantize rounds away is meant to be gone.
// CHECK-LABEL: @dequantize_of_quantize
func.func @dequantize_of_quantize(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: nq.quantize
  // CHECK: nq.dequantize
  %s = arith.constant dense<0.5> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<4xf32> -> tensor<4x!nq.fp8>
  %d = nq.dequantize %q : tensor<4x!nq.fp8> -> tensor<4xf32>
  return %d : tensor<4xf32>
}
