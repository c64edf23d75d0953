// Constant weights become codes and scales [N, K] by the named recipe; formats of docs/quantize.md.
// RUN: nibble-opt %s --quantize-weights --canonicalize --split-input-file | FileCheck %s

// The largest magnitude of a block is 6 g: scale 1 under the global scale 6/2688 / ..., so codes are those of
// 6, 3, -1.5 and 0.5 where the weight is. Weights [K, N] are transposed.
// CHECK-LABEL: @nvfp4
func.func @nvfp4(%x: tensor<2x16xf32>) -> tensor<2x2xf16> {
  // CHECK: %[[W:.*]] = nq.constant codes(dense_resource<weight.codes> : tensor<16xi8>) scales(dense_resource<weight.scales> : tensor<2xi8>) global(dense<1.000000e+00> : tensor<f32>) : tensor<2x16x!nq.nvfp4>
  // CHECK: nq.matmul %{{.*}}, %[[W]] transpose_b attributes {nibble.precision = "nvfp4"} : (tensor<2x16xf32>, tensor<2x16x!nq.nvfp4>) -> tensor<2x2xf16>
  // Column 0: 2688 = 6 * 448, 1344, then zeros; column 1: -1.5, 0.5, then zeros.
  %w = arith.constant dense<[[2688.0, -1.5], [1344.0, 0.5], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0],
                             [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]> : tensor<16x2xf32>
  %y = nq.matmul %x, %w attributes {nibble.precision = "nvfp4"} : (tensor<2x16xf32>, tensor<16x2xf32>) -> tensor<2x2xf16>
  return %y : tensor<2x2xf16>
}
// Codes: 6 is 7, 3 is 5; -1.5 / 0.25 = -6 is F, 0.5 / 0.25 = 2 is 4. Scales: 448 is 7E, 0.25 is 28.
// CHECK-DAG: weight.codes: "0x{{........}}57000000000000004F00000000000000"
// CHECK-DAG: weight.scales: "0x{{........}}7E28"

// -----
// Scale types and block shapes of the other formats.
// CHECK-LABEL: @types
func.func @types(%x: tensor<2x128xf32>) {
  %w0 = nq.constant codes(dense<1.0> : tensor<4x128xf16>) : tensor<4x128xf16>
  // CHECK-DAG: : tensor<4x128x!nq.mxfp4>
  %0 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "mxfp4"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // CHECK-DAG: : tensor<4x128x!nq.mxfp8>
  %1 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "mxfp8"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // CHECK-DAG: : tensor<4x128x!nq.fp8>
  %2 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "fp8"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // CHECK-DAG: : tensor<4x128x!nq.scaled<f8E4M3FN, f32 per 1x?>>
  %3 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "fp8 scales=channel"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // CHECK-DAG: : tensor<4x128x!nq.scaled<si4, f32 per 1x128>>
  %4 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "int4"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // Block scales of W4A8 stay below 448/6: the global scale is 1/448.
  // CHECK-DAG: global(dense<0.00223214296> : tensor<f32>) : tensor<4x128x!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f32>>
  %5 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "w4a8"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  // CHECK-DAG: global(dense<3.72023816E-4> : tensor<f32>) : tensor<4x128x!nq.nvfp4>
  %6 = nq.matmul %x, %w0 transpose_b attributes {nibble.precision = "w4a16"} : (tensor<2x128xf32>, tensor<4x128xf16>) -> tensor<2x4xf32>
  check.expect_eq %0, %1 : tensor<2x4xf32>
  check.expect_eq %2, %3 : tensor<2x4xf32>
  check.expect_eq %4, %5 : tensor<2x4xf32>
  check.expect_eq %6, %6 : tensor<2x4xf32>
  return
}

// -----
// Layers that share a weight in one format share its codes; the file's weight goes, casts and all.
// CHECK-LABEL: @shared
func.func @shared(%x: tensor<2x32xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  // CHECK: %[[W:.*]] = nq.constant
  // CHECK-NOT: nq.constant
  // CHECK: nq.matmul %{{.*}}, %[[W]] transpose_b
  // CHECK: nq.matmul %{{.*}}, %[[W]] transpose_b
  %w = nq.constant codes(dense<1.0> : tensor<32x4xf16>) : tensor<32x4xf16>
  %wide = nq.cast %w : tensor<32x4xf16> -> tensor<32x4xf32>
  %y = nq.matmul %x, %wide attributes {nibble.precision = "mxfp8"} : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32>
  %z = nq.matmul %x, %wide attributes {nibble.precision = "mxfp8"} : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32>
  return %y, %z : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----
// A batch of weights: one global scale, blocks along K of each matrix.
// CHECK-LABEL: @batch
func.func @batch(%x: tensor<3x2x16xf32>) -> tensor<3x2x4xf32> {
  // CHECK: tensor<3x4x16x!nq.nvfp4>
  %w = nq.constant codes(dense<1.0> : tensor<3x16x4xf32>) : tensor<3x16x4xf32>
  %y = nq.matmul %x, %w attributes {nibble.precision = "nvfp4"} : (tensor<3x2x16xf32>, tensor<3x16x4xf32>) -> tensor<3x2x4xf32>
  return %y : tensor<3x2x4xf32>
}
