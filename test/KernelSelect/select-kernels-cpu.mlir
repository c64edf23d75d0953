// The layout that pack-cpu-weights gave a weight decides how the CPU multiplies.
// RUN: nibble-opt %s --select-kernels=target=cpu | FileCheck %s

// CHECK-LABEL: func.func @packed
// CHECK: nibble.kernel_class = "gemm.cpu.i8", nibble.math = "i8"
#octets = #nq.layout<tiles [[16], [8]] order [0, 2, 1, 3] scales <tiles [[16], []] order [0, 2, 1]>>
func.func @packed(%x: tensor<4x64x!nq.nvfp4>, %w: tensor<32x64x!nq.nvfp4, #octets>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %y = nq.region "gemm"(%x, %w) : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4, #octets>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64x!nq.nvfp4>, %b: tensor<32x64x!nq.nvfp4, #octets>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4, #octets>) -> tensor<4x32xf16> loc("packed")
    nq.yield %0 : tensor<4x32xf16>
  } loc("packed")
  return %y : tensor<4x32xf16>
}

// CHECK-LABEL: func.func @attention
// CHECK: nibble.kernel_class = "attention.cpu", nibble.math = "f32"
func.func @attention(%q: tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf16> attributes {nibble.entry} {
  %y = nq.region "attention"(%q) : (tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf16> {
  ^bb0(%a: tensor<1x2x4x8xf16>):
    %0 = nq.attention %a, %a, %a {scale = 1.0 : f64} : (tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf16> loc("attention")
    nq.yield %0 : tensor<1x2x4x8xf16>
  } loc("attention")
  return %y : tensor<1x2x4x8xf16>
}
