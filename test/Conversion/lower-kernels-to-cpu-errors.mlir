// A kernel without an emitter is an error that names the layer.
// RUN: not nibble-opt %s --lower-kernels-to-cpu 2>&1 | FileCheck %s

// CHECK: the CPU target cannot run kernel 'k0' with its matrix products as one: 'nq.attention' has no kernel: operands and results are f32, f16 or bf16, not f64
// CHECK: layer 'attn' (attention) cannot be lowered for the CPU
func.func @main(%q: tensor<1x1x4x8xf64>) -> tensor<1x1x4x8xf64> attributes {nibble.entry} {
  %0 = exec.launch @k0(%q) layer "attn" kind "attention" : (tensor<1x1x4x8xf64>) -> tensor<1x1x4x8xf64>
  return %0 : tensor<1x1x4x8xf64>
}
func.func private @k0(%q: tensor<1x1x4x8xf64>) -> tensor<1x1x4x8xf64> {
  %0 = nq.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<1x1x4x8xf64>, tensor<1x1x4x8xf64>, tensor<1x1x4x8xf64>) -> tensor<1x1x4x8xf64>
  return %0 : tensor<1x1x4x8xf64>
}
