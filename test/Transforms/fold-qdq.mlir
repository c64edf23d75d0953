// Q/DQ notation becomes scaled tensors; codes and scales stay those of the file.
// RUN: nibble-opt %s --fold-qdq --canonicalize | FileCheck %s

// The form in which ModelOpt writes an NVFP4 linear layer: dynamic activation, weight
// in two levels, casts to f16, Transpose + MatMul.
// CHECK-LABEL: @nvfp4_linear
// CHECK-SAME: (%[[X:.*]]: tensor<2x32xf16>)
func.func @nvfp4_linear(%x: tensor<2x32xf16>) -> tensor<2x4xf16> {
  // CHECK-DAG: %[[W:.*]] = nq.constant codes(dense_resource<wc> : tensor<64xi8>) scales(dense_resource<ws> : tensor<8xi8>) global(dense<2.500000e-01> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  // CHECK-DAG: %[[Q:.*]] = nq.quantize %[[X]] recipe("trt-dynamic") global(%{{.*}} : tensor<f32>)
  // CHECK: %[[Y:.*]] = nq.matmul %[[Q]], %[[W]] transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
  // CHECK-NEXT: return %[[Y]]
  %g = arith.constant dense<0.5> : tensor<f32>
  %g2 = arith.constant dense<0.5> : tensor<1xf32>
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %codes = nq.codes %q : tensor<2x32x!nq.nvfp4> -> tensor<2x32xf4E2M1FN>
  %scales = nq.scales %q : tensor<2x32x!nq.nvfp4> -> tensor<2x2xf8E4M3FN>
  %s0 = nq.assemble %scales scales(%g2 : tensor<1xf32>) : tensor<2x2xf8E4M3FN> -> tensor<2x2x!nq.fp8>
  %s1 = nq.dequantize %s0 : tensor<2x2x!nq.fp8> -> tensor<2x2xf32>
  %a = nq.assemble %codes scales(%s1 : tensor<2x2xf32>) : tensor<2x32xf4E2M1FN> -> tensor<2x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>
  %xd = nq.dequantize %a : tensor<2x32x!nq.scaled<f4E2M1FN, f32 per 1x16>> -> tensor<2x32xf32>
  %xh = nq.cast %xd : tensor<2x32xf32> -> tensor<2x32xf16>
  %wc = nq.constant codes(dense_resource<wc> : tensor<4x32xf4E2M1FN>) : tensor<4x32xf4E2M1FN>
  %ws = nq.constant codes(dense_resource<ws> : tensor<4x2xf8E4M3FN>) : tensor<4x2xf8E4M3FN>
  %wg = arith.constant dense<0.25> : tensor<1xf32>
  %w0 = nq.assemble %ws scales(%wg : tensor<1xf32>) : tensor<4x2xf8E4M3FN> -> tensor<4x2x!nq.fp8>
  %w1 = nq.dequantize %w0 : tensor<4x2x!nq.fp8> -> tensor<4x2xf32>
  %w2 = nq.assemble %wc scales(%w1 : tensor<4x2xf32>) : tensor<4x32xf4E2M1FN> -> tensor<4x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>
  %wd = nq.dequantize %w2 : tensor<4x32x!nq.scaled<f4E2M1FN, f32 per 1x16>> -> tensor<4x32xf32>
  %e = tensor.empty() : tensor<32x4xf32>
  %wt = linalg.transpose ins(%wd : tensor<4x32xf32>) outs(%e : tensor<32x4xf32>) permutation = [1, 0]
  %wh = nq.cast %wt : tensor<32x4xf32> -> tensor<32x4xf16>
  %y = nq.matmul %xh, %wh : (tensor<2x32xf16>, tensor<32x4xf16>) -> tensor<2x4xf16>
  return %y : tensor<2x4xf16>
}

// Q and DQ with different scales are not a pair: the value changes.
// CHECK-LABEL: @different_scales
func.func @different_scales(%x: tensor<2x32xf32>) -> tensor<2x32xf32> {
  // CHECK: nq.quantize
  // CHECK: nq.codes
  // CHECK: nq.assemble
  // CHECK: nq.dequantize
  %s = arith.constant dense<0.5> : tensor<f32>
  %t = arith.constant dense<0.25> : tensor<f32>
  %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x32xf32> -> tensor<2x32x!nq.fp8>
  %c = nq.codes %q : tensor<2x32x!nq.fp8> -> tensor<2x32xf8E4M3FN>
  %a = nq.assemble %c scales(%t : tensor<f32>) : tensor<2x32xf8E4M3FN> -> tensor<2x32x!nq.fp8>
  %d = nq.dequantize %a : tensor<2x32x!nq.fp8> -> tensor<2x32xf32>
  return %d : tensor<2x32xf32>
}

// A combined scale that the file declares in f16 keeps that rounding in its type.
// CHECK-LABEL: @edge_llm_global
func.func @edge_llm_global(%x: tensor<2x32xf16>, %y: tensor<2x2xf8E4M3FN>) -> tensor<2x32xf16> {
  // CHECK: nq.assemble %{{.*}} scales(%{{.*}} : tensor<2x2xf8E4M3FN>) global(%{{.*}} : tensor<f16>)
  // CHECK-SAME: !nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>
  %g = arith.constant dense<0.5> : tensor<f32>
  %h = arith.constant dense<0.5> : tensor<f16>
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %codes = nq.codes %q : tensor<2x32x!nq.nvfp4> -> tensor<2x32xf4E2M1FN>
  %scales = nq.scales %q : tensor<2x32x!nq.nvfp4> -> tensor<2x2xf8E4M3FN>
  %s0 = nq.assemble %scales scales(%h : tensor<f16>) : tensor<2x2xf8E4M3FN> -> tensor<2x2x!nq.scaled<f8E4M3FN, f16 per tensor>>
  %s1 = nq.dequantize %s0 : tensor<2x2x!nq.scaled<f8E4M3FN, f16 per tensor>> -> tensor<2x2xf16>
  %a = nq.assemble %codes scales(%s1 : tensor<2x2xf16>) : tensor<2x32xf4E2M1FN> -> tensor<2x32x!nq.scaled<f4E2M1FN, f16 per 1x16>>
  %d = nq.dequantize %a : tensor<2x32x!nq.scaled<f4E2M1FN, f16 per 1x16>> -> tensor<2x32xf16>
  return %d : tensor<2x32xf16>
}

{-#
  dialect_resources: {
    builtin: {
      wc: "0x0100000021212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121212121",
      ws: "0x010000003838383838383838"
    }
  }
#-}
