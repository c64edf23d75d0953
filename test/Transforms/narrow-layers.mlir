// f16 and bf16: constants are rounded here, activations by casts, tables widened where they are read.
// RUN: nibble-opt %s --narrow-layers --split-input-file | FileCheck %s

// CHECK-LABEL: @matmul
func.func @matmul(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {
  // CHECK: %[[X:.*]] = nq.cast %arg0 : tensor<2x4xf32> -> tensor<2x4xbf16>
  // CHECK: %[[W:.*]] = nq.constant codes(dense_resource<weight.bf16> : tensor<4x2xbf16>) : tensor<4x2xbf16>
  // CHECK: nq.matmul %[[X]], %[[W]] : (tensor<2x4xbf16>, tensor<4x2xbf16>) -> tensor<2x2xf32>
  // 1 + 2^-8 lies in the middle of two bf16 numbers: the even one is 1; 1 + 3 * 2^-8 goes up.
  %w = arith.constant dense<[[1.0, 1.00390625], [1.01171875, 2.0], [0.0, -0.0], [-1.5, 3.0]]> : tensor<4x2xf32>
  %y = nq.matmul %x, %w attributes {nibble.precision = "bf16"} : (tensor<2x4xf32>, tensor<4x2xf32>) -> tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}
// CHECK: weight.bf16: "0x{{........}}803F803F823F004000000080C0BF4040"

// -----
// CHECK-LABEL: @attention
func.func @attention(%q: tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32> {
  // CHECK-COUNT-3: nq.cast %arg0 : tensor<1x2x4x8xf32> -> tensor<1x2x4x8xf16>
  // CHECK: nq.attention {{.*}} : (tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf32>
  %y = nq.attention %q, %q, %q {scale = 0.5 : f64, nibble.precision = "f16"}
    : (tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf32>
  return %y : tensor<1x2x4x8xf32>
}

// -----
#map = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-LABEL: @embedding
func.func @embedding(%ids: tensor<8xi64>) -> tensor<8x32xf32> {
  // CHECK: %[[T:.*]] = nq.constant codes(dense_resource<weight.bf16> : tensor<100x32xbf16>) : tensor<100x32xbf16>
  // CHECK: %[[V:.*]] = tensor.extract %[[T]][%{{.*}}, %{{.*}}] : tensor<100x32xbf16>
  // CHECK-NEXT: %[[E:.*]] = arith.extf %[[V]] : bf16 to f32
  // CHECK-NEXT: linalg.yield %[[E]] : f32
  %table = nq.constant codes(dense<0.5> : tensor<100x32xf32>) : tensor<100x32xf32>
  %e = tensor.empty() : tensor<8x32xf32>
  %y = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<8x32xf32>) attrs = {nibble.precision = "bf16"} {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %id = tensor.extract %ids[%i] : tensor<8xi64>
    %row = arith.index_cast %id : i64 to index
    %v = tensor.extract %table[%row, %j] : tensor<100x32xf32>
    linalg.yield %v : f32
  } -> tensor<8x32xf32>
  return %y : tensor<8x32xf32>
}
