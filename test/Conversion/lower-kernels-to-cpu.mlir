// Kernels become loops in a nested module; launches get their extents; meanings stay.
// RUN: nibble-opt %s --lower-kernels-to-cpu | FileCheck %s

#octets = #nq.layout<tiles [[16], [8]] order [0, 2, 1, 3] scales <tiles [[16], []] order [0, 2, 1]>>
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x32xf32>, %w: tensor<32x8xf32>, %a: tensor<4x32x!nq.fp8>, %b: tensor<4x32x!nq.nvfp4>,
                %v: tensor<16x32x!nq.nvfp4, #octets>) -> (tensor<4x8xf16>, tensor<4x8xf32>, tensor<4x16xf32>) attributes {nibble.entry} {
  // CHECK: exec.launch @k0_matmul({{.*}}) layer "fc" kind "matmul" extent {{[1-9][0-9]*}} grain {{[1-9][0-9]*}} scratch {{[0-9]+}} {flops = 2048 : i64}
  %0 = exec.launch @k0_matmul(%x, %w) layer "fc" kind "matmul" : (tensor<4x32xf32>, tensor<32x8xf32>) -> tensor<4x8xf32>
  // CHECK: exec.launch @k1_cast({{.*}}) layer "half" kind "cast" extent {{[1-9][0-9]*}}
  %1 = exec.launch @k1_cast(%0) layer "half" kind "cast" : (tensor<4x8xf32>) -> tensor<4x8xf16>
  // Scaled activations are read as they are stored.
  // CHECK: exec.launch @k2_matmul({{.*}}) layer "fp8" kind "matmul"
  %2 = exec.launch @k2_matmul(%a, %w) layer "fp8" kind "matmul" : (tensor<4x32x!nq.fp8>, tensor<32x8xf32>) -> tensor<4x8xf32>
  // CHECK: exec.launch @k3_matmul({{.*}}) layer "fp4" kind "matmul"
  %3 = exec.launch @k3_matmul(%b, %v) layer "fp4" kind "matmul" : (tensor<4x32x!nq.nvfp4>, tensor<16x32x!nq.nvfp4, #octets>) -> tensor<4x16xf32>
  return %1, %2, %3 : tensor<4x8xf16>, tensor<4x8xf32>, tensor<4x16xf32>
}

// CHECK: func.func private @k0_matmul
// CHECK-NEXT: nq.matmul
func.func private @k0_matmul(%x: tensor<4x32xf32>, %w: tensor<32x8xf32>) -> tensor<4x8xf32> {
  %0 = nq.matmul %x, %w : (tensor<4x32xf32>, tensor<32x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}
func.func private @k1_cast(%x: tensor<4x8xf32>) -> tensor<4x8xf16> {
  %0 = nq.cast %x : tensor<4x8xf32> -> tensor<4x8xf16>
  return %0 : tensor<4x8xf16>
}

func.func private @k2_matmul(%x: tensor<4x32x!nq.fp8>, %w: tensor<32x8xf32>) -> tensor<4x8xf32> {
  %0 = nq.matmul %x, %w : (tensor<4x32x!nq.fp8>, tensor<32x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}
func.func private @k3_matmul(%x: tensor<4x32x!nq.nvfp4>, %w: tensor<16x32x!nq.nvfp4, #octets>) -> tensor<4x16xf32> {
  %0 = nq.matmul %x, %w transpose_b : (tensor<4x32x!nq.nvfp4>, tensor<16x32x!nq.nvfp4, #octets>) -> tensor<4x16xf32>
  return %0 : tensor<4x16xf32>
}

// CHECK: module @cpu_kernels
// CHECK: func.func @k0_matmul({{.*}}: memref<128xf32>, {{.*}}: memref<256xf32>, {{.*}}: memref<32xf32>, {{.*}}: index, {{.*}}: index
// CHECK: vector.fma
// CHECK: func.func @k1_cast(
// CHECK: arith.truncf
// 128 codes, padding to 64, one scale.
// CHECK: func.func @k2_matmul({{.*}}: memref<132xi8>, {{.*}}: memref<256xf32>
// CHECK: vector.fma
// CHECK: func.func @k3_matmul({{.*}}: memref<132xi8>, {{.*}}: memref<324xi8>, {{.*}}: memref<64xf32>
// CHECK: llvm.x86.avx2.pmadd.ub.sw
