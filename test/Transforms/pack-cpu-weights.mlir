// Constant matmul operands get panels of 16 columns; shared weights stay shared.
// RUN: nibble-opt %s --pack-cpu-weights --canonicalize --split-input-file | FileCheck %s
// RUN: nibble-opt %s --pack-cpu-weights --split-input-file --remarks-filter=nibble --remark-format=emitRemark 2>&1 >/dev/null | FileCheck %s --check-prefix=REMARK

// CHECK-LABEL: @dense_kn
func.func @dense_kn(%x: tensor<2x8xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  // CHECK: %[[W:.*]] = nq.constant {{.*}} : tensor<8x4xf32, #nq.layout<tiles {{\[\[}}], [16]] order [1, 0, 2]>>
  // CHECK-NEXT: nq.matmul %{{.*}}, %[[W]]
  // CHECK-NEXT: nq.matmul %{{.*}}, %[[W]]
  %w = nq.constant codes(dense<1.0> : tensor<8x4xf32>) : tensor<8x4xf32>
  %y = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  %z = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y, %z : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----
// NVFP4: codes interleaved in nibble panels, scales in panels of their own.
// CHECK-LABEL: @nvfp4_nk
func.func @nvfp4_nk(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: tensor<4x32x!nq.nvfp4, #nq.layout<tiles {{\[\[}}2, 2, 4], [2, 2]] order [0, 4, 2, 6, 3, 1, 5] scales <tiles {{\[\[}}16], []] order [0, 2, 1]>>>
  %w = nq.constant codes(dense<1> : tensor<64xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// One scale for the tensor: it stays where it is.
// CHECK-LABEL: @fp8_per_tensor
func.func @fp8_per_tensor(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: tensor<4x32x!nq.fp8, #nq.layout<tiles {{\[\[}}16], []] order [0, 2, 1]>>
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// Computed operands are packed by the kernel at run time.
// CHECK-LABEL: @computed
func.func @computed(%x: tensor<2x8xf32>, %w: tensor<8x4xf32>) -> tensor<2x4xf32> {
  // CHECK-NOT: nq.layout
  %y = nq.matmul %x, %w : (tensor<2x8xf32>, tensor<8x4xf32>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// A NaN among the codes asks for the decoding that keeps it.
// CHECK-LABEL: @nan_code
func.func @nan_code(%x: tensor<2x32xf32>) -> tensor<2x4xf32> {
  // CHECK: nq.matmul {{.*}} {nibble.special_codes}
  %w = nq.constant codes(dense<127> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// -----
// 4-bit activations: groups of 8 k, multiplied as integers. The same weight with
// an f32 activation is packed a second time.
// CHECK-LABEL: @nvfp4_times_nvfp4
// REMARK-DAG: pack-cpu-weights{{.*}}chosen="panels of 8 k, multiplied as integers", layer=up, reason="both operands
// REMARK-DAG: pack-cpu-weights{{.*}}chosen="panels of 4 k, multiplied in f32", layer=plain, reason="not both operands
func.func @nvfp4_times_nvfp4(%x: tensor<2x32x!nq.nvfp4>, %z: tensor<2x32xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  // CHECK: %[[O:.*]] = nq.constant {{.*}} : tensor<4x32x!nq.nvfp4, #nq.layout<tiles {{\[\[}}16], [8]] order [0, 2, 1, 3] scales <tiles {{\[\[}}16], []] order [0, 2, 1]>>>
  // CHECK: %[[F:.*]] = nq.constant {{.*}} : tensor<4x32x!nq.nvfp4, #nq.layout<tiles {{\[\[}}2, 2, 4], [2, 2]]
  // CHECK: nq.matmul %{{.*}}, %[[O]] transpose_b
  // CHECK: nq.matmul %{{.*}}, %[[F]] transpose_b
  %w = nq.constant codes(dense<1> : tensor<64xi8>) scales(dense<56> : tensor<8xi8>)
         global(dense<0.5> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
  %y = nq.matmul %x, %w transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf32> loc("up")
  %v = nq.matmul %z, %w transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf32> loc("plain")
  return %y, %v : tensor<2x4xf32>, tensor<2x4xf32>
}

// -----
// K in rows: the groups follow k.
// CHECK-LABEL: @mxfp4_kn
func.func @mxfp4_kn(%x: tensor<2x64x!nq.mxfp4>) -> tensor<2x4xf32> {
  // CHECK: #nq.layout<tiles {{\[\[}}8], [16]] order [2, 0, 3, 1] scales <tiles {{\[\[}}], [16]] order [1, 0, 2]>>
  %w = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<127> : tensor<8xi8>) : tensor<64x4x!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>>
  %y = nq.matmul %x, %w : (tensor<2x64x!nq.mxfp4>, tensor<64x4x!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>>) -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
