// Kernels become loops in a nested module; launches get their extents; meanings stay.
// RUN: nibble-opt %s --lower-kernels-to-cpu | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x32xf32>, %w: tensor<32x8xf32>) -> tensor<4x8xf16> attributes {nibble.entry} {
  // CHECK: exec.launch @k0_matmul({{.*}}) layer "fc" kind "matmul" extent {{[1-9][0-9]*}} grain {{[1-9][0-9]*}} scratch {{[0-9]+}} {flops = 2048 : i64}
  %0 = exec.launch @k0_matmul(%x, %w) layer "fc" kind "matmul" : (tensor<4x32xf32>, tensor<32x8xf32>) -> tensor<4x8xf32>
  // CHECK: exec.launch @k1_cast({{.*}}) layer "half" kind "cast" extent {{[1-9][0-9]*}}
  %1 = exec.launch @k1_cast(%0) layer "half" kind "cast" : (tensor<4x8xf32>) -> tensor<4x8xf16>
  return %1 : tensor<4x8xf16>
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

// CHECK: module @cpu_kernels
// CHECK: func.func @k0_matmul({{.*}}: memref<128xf32>, {{.*}}: memref<256xf32>, {{.*}}: memref<32xf32>, {{.*}}: index, {{.*}}: index
// CHECK: vector.fma
// CHECK: func.func @k1_cast(
// CHECK: arith.truncf
