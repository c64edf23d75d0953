// Attention without a kernel of its own becomes matmul, mask, softmax, matmul.
// RUN: nibble-opt %s --decompose-for-cpu --split-input-file | FileCheck %s
// RUN: nibble-opt %s --decompose-for-cpu --split-input-file --remarks-filter=nibble --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// What one kernel computes stays.
// CHECK-LABEL: @one_kernel
func.func @one_kernel(%q: tensor<1x8x4x16xf16>, %k: tensor<1x2x6x16xf16>, %m: tensor<4x6xi1>) -> tensor<1x8x4x16xf32> {
  // CHECK-NEXT: nq.attention
  %a = nq.attention %q, %k, %k mask(%m : tensor<4x6xi1>) {scale = 0.25 : f64, softcap = 2.0 : f64} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16xf16>, tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf32>
  return %a : tensor<1x8x4x16xf32>
}

// -----
// Four query heads on each of two kv heads are rows of one product.
// CHECK-LABEL: @grouped_queries
// REMARK-DAG: decompose-for-cpu{{.*}}chosen="products and softmax one by one", layer=steps, reason="operands and results are f32, f16 or bf16, not f8E4M3FN", rejected="one kernel"
func.func @grouped_queries(%q: tensor<1x8x4x16xf16>, %k: tensor<1x2x6x16xf8E4M3FN>, %v: tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf16> {
  // CHECK-NOT: nq.attention
  // CHECK: %[[K:.*]] = nq.cast %{{.*}} : tensor<1x2x6x16xf8E4M3FN> -> tensor<1x2x6x16xf32>
  // CHECK: nq.matmul {{.*}}%[[K]] transpose_b : (tensor<1x2x16x16xf16>, tensor<1x2x6x16xf32>) -> tensor<1x2x16x6xf32>
  // CHECK: arith.mulf
  // CHECK: arith.cmpi sgt
  // CHECK: linalg.softmax dimension(3)
  // CHECK: arith.cmpf uno
  // CHECK: nq.matmul {{.*}} : (tensor<1x2x16x6xf32>, tensor<1x2x6x16xf16>) -> tensor<1x2x16x16xf16>
  %a = nq.attention %q, %k, %v {scale = 0.25 : f64, causal} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16xf8E4M3FN>, tensor<1x2x6x16xf16>) -> tensor<1x8x4x16xf16> loc("steps")
  return %a : tensor<1x8x4x16xf16>
}

// -----
// Values behind the last key may be NaN: they become zeros. Queries see keys up to their distance from the last one.
// CHECK-LABEL: @lengths
func.func @lengths(%q: tensor<2x2x4x16xf16>, %k: tensor<2x2x6x16xf8E4M3FN>, %v: tensor<2x2x6x16xf16>, %n: tensor<2xi64>) -> tensor<2x2x4x16xf16> {
  // CHECK-DAG: %[[N:.*]] = tensor.expand_shape %{{.*}} : tensor<2xi64> into tensor<2x1x1x1xi64>
  // CHECK-DAG: %[[LAST:.*]] = arith.constant 3 : i64
  // CHECK: arith.mulf
  // CHECK: %[[LATER:.*]] = arith.subi %[[LAST]]
  // CHECK: arith.addi %{{.*}}, %[[LATER]]
  // CHECK: arith.cmpi slt
  // CHECK: linalg.softmax dimension(3)
  // CHECK: arith.cmpf uno
  // CHECK: %[[V:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x2x6x16xf16>, tensor<2x1x1x1xi64>)
  // CHECK: arith.cmpi slt
  // CHECK: nq.matmul {{.*}}%[[V]] : (tensor<2x2x4x6xf32>, tensor<2x2x6x16xf16>) -> tensor<2x2x4x16xf16>
  %a = nq.attention %q, %k, %v lengths(%n : tensor<2xi64>) {scale = 0.25 : f64, causal, bottom_right} : (tensor<2x2x4x16xf16>, tensor<2x2x6x16xf8E4M3FN>, tensor<2x2x6x16xf16>) -> tensor<2x2x4x16xf16> loc("steps")
  return %a : tensor<2x2x4x16xf16>
}

// -----
// GEMMs read the codes of a scaled activation themselves.
// CHECK-LABEL: @scaled_activation
func.func @scaled_activation(%x: tensor<2x32x!nq.mxfp8>) -> tensor<2x4xf16> {
  // CHECK-NOT: nq.dequantize
  // CHECK: nq.matmul %{{.*}}, %{{.*}} transpose_b : (tensor<2x32x!nq.mxfp8>, tensor<4x32x!nq.fp8>)
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32x!nq.mxfp8>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16>
  return %y : tensor<2x4xf16>
}

// -----
// What they do not read becomes f32 first, and a remark says why.
// CHECK-LABEL: @unread_activations
// REMARK-DAG: decompose-for-cpu{{.*}}chosen="dequantized to f32", layer=square, reason="blocks of scales reach over several rows"
// REMARK-DAG: decompose-for-cpu{{.*}}layer=computed, reason="the right operand is not constant"
!square = !nq.scaled<f8E4M3FN, f32 per 2x2>
func.func @unread_activations(%x: tensor<2x32x!square>, %b: tensor<32x4x!nq.fp8>) -> (tensor<2x4xf16>, tensor<2x4xf16>) {
  // CHECK: %[[A:.*]] = nq.dequantize %{{.*}} : tensor<2x32x!nq.scaled<{{.*}}>> -> tensor<2x32xf32>
  // CHECK: nq.matmul %[[A]], %{{.*}} transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>)
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32x!square>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16> loc("square")
  %d = nq.dequantize %x : tensor<2x32x!square> -> tensor<2x32xf32>
  // CHECK: nq.dequantize %{{.*}} : tensor<32x4x!nq.fp8> -> tensor<32x4xf32>
  %z = nq.matmul %d, %b : (tensor<2x32xf32>, tensor<32x4x!nq.fp8>) -> tensor<2x4xf16> loc("computed")
  return %y, %z : tensor<2x4xf16>, tensor<2x4xf16>
}

// -----
// A result that no GEMM writes becomes loops, also where every operand has one batch: each loop indexes something.
// CHECK-DAG: #[[$A:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d3)>
// CHECK-DAG: #[[$B:.*]] = affine_map<(d0, d1, d2, d3) -> (d3, d2)>
// CHECK-DAG: #[[$Y:.*]] = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2)>
// CHECK-LABEL: @one_batch
func.func @one_batch(%a: tensor<1x1x1xf32>, %b: tensor<1x8xf16>) -> tensor<1x1x8xf64> {
  // CHECK: linalg.generic {indexing_maps = [#[[$A]], #[[$B]], #[[$Y]]]
  // CHECK: nq.cast {{.*}} : tensor<1x1x8xf32> -> tensor<1x1x8xf64>
  %y = nq.matmul %a, %b : (tensor<1x1x1xf32>, tensor<1x8xf16>) -> tensor<1x1x8xf64>
  return %y : tensor<1x1x8xf64>
}

// -----
// Weights that no GEMM reads: next to f64, and with scales of columns that panels do not hold.
// CHECK-LABEL: @unread_weights
// REMARK-DAG: decompose-for-cpu{{.*}}layer=wide, reason="the left operand is f64"
// REMARK-DAG: decompose-for-cpu{{.*}}layer=tiles, reason="scale blocks of 2 columns do not fit panels of 16"
!tiles = !nq.scaled<f8E4M3FN, f32 per 2x2>
func.func @unread_weights(%x: tensor<2x32xf64>, %y: tensor<2x32xf32>) -> (tensor<2x4xf64>, tensor<2x4xf32>) {
  // CHECK-DAG: nq.dequantize %{{.*}} : tensor<4x32x!nq.fp8> -> tensor<4x32xf32>
  // CHECK-DAG: nq.dequantize %{{.*}} : tensor<4x32x!nq.scaled<{{.*}}>> -> tensor<4x32xf32>
  // CHECK-DAG: linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : tensor<2x32xf64>, tensor<4x32xf32>)
  // CHECK-DAG: nq.matmul %{{.*}}, %{{.*}} transpose_b : (tensor<2x32xf32>, tensor<4x32xf32>)
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %t = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<0.5> : tensor<32xf32>) : tensor<4x32x!tiles>
  %a = nq.matmul %x, %w transpose_b : (tensor<2x32xf64>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf64> loc("wide")
  %b = nq.matmul %y, %t transpose_b : (tensor<2x32xf32>, tensor<4x32x!tiles>) -> tensor<2x4xf32> loc("tiles")
  return %a, %b : tensor<2x4xf64>, tensor<2x4xf32>
}

// -----
// Codes are dequantized; the kernel reads f32 next to f16.
// CHECK-LABEL: @codes
// REMARK-DAG: decompose-for-cpu{{.*}}chosen="dequantized to f32", layer=codes, reason="the CPU's kernel reads f32, f16 or bf16", rejected="codes read by the attention"
func.func @codes(%q: tensor<1x8x4x16xf16>, %k: tensor<1x2x6x16x!nq.fp8>) -> tensor<1x8x4x16xf16> {
  // CHECK: %[[K:.*]] = nq.dequantize %{{.*}} : tensor<1x2x6x16x!nq.fp8> -> tensor<1x2x6x16xf32>
  // CHECK: nq.attention %{{.*}}, %[[K]], %{{.*}} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16xf32>, tensor<1x2x6x16xf32>) -> tensor<1x8x4x16xf16>
  %a = nq.attention %q, %k, %k {scale = 0.25 : f64} : (tensor<1x8x4x16xf16>, tensor<1x2x6x16x!nq.fp8>, tensor<1x2x6x16x!nq.fp8>) -> tensor<1x8x4x16xf16> loc("codes")
  return %a : tensor<1x8x4x16xf16>
}

// -----
// Weights that the graph quantizes go through their codes.
// CHECK-LABEL: @weights
func.func @weights(%q: tensor<1x2x4x16xf16>, %k: tensor<1x2x6x16xf8E4M3FN>, %v: tensor<1x2x6x16xf16>) -> tensor<1x2x4x16xf16> {
  // CHECK-DAG: %[[S:.*]] = arith.constant dense<3.906250e-03> : tensor<f32>
  // CHECK: linalg.softmax dimension(3)
  // CHECK: %[[C:.*]] = nq.quantize %{{.*}} scale(%[[S]] : tensor<f32>) : tensor<1x2x4x6xf32> -> tensor<1x2x4x6x!nq.fp8>
  // CHECK: nq.matmul
  %a = nq.attention %q, %k, %v {scale = 0.25 : f64, weight_type = f8E4M3FN, weight_scale = 0.00390625 : f32} : (tensor<1x2x4x16xf16>, tensor<1x2x6x16xf8E4M3FN>, tensor<1x2x6x16xf16>) -> tensor<1x2x4x16xf16> loc("steps")
  return %a : tensor<1x2x4x16xf16>
}
