// What no kernel covers, or only with less than was asked for, is an error: layer, why each class refused, fix.
// RUN: not nibble-opt %s --split-input-file --select-kernels=target=sm_110a 2>&1 | FileCheck %s

// CHECK: error: {{.*}}'odd'{{.*}}sm_110a has no kernel for gemm of scaled<f4E2M1FN, f32 per 1x16>
// CHECK: note: {{.*}}gemm.tcgen05.mxf4nvf4: operands are scaled<f4E2M1FN, f32 per 1x16>, the instruction takes nvfp4 x nvfp4
func.func @format(%x: tensor<4x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>, %w: tensor<32x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %y = nq.region "gemm"(%x, %w) : (tensor<4x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>, tensor<32x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>, %b: tensor<32x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>, tensor<32x64x!nq.scaled<f4E2M1FN, f32 per 1x16>>) -> tensor<4x32xf16> loc("odd")
    nq.yield %0 : tensor<4x32xf16>
  } loc("odd")
  return %y : tensor<4x32xf16>
}

// -----
// K = 40 has a partial block: the tensor core cannot, the FMA units could, but that is not what the model asks for.
// CHECK: error: {{.*}}'partial'{{.*}}sm_110a has no kernel for gemm of nvfp4; pad K to 48 in the model, or permit it with --allow-fallback 'partial:f32'
// CHECK: note: {{.*}}gemm.tcgen05.mxf4nvf4: K = 40 is not a multiple of the block 16
func.func @partial(%x: tensor<4x40x!nq.nvfp4>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<640xi8>) scales(dense<56> : tensor<96xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x40x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x40x!nq.nvfp4>, tensor<32x40x!nq.nvfp4>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x40x!nq.nvfp4>, %b: tensor<32x40x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x40x!nq.nvfp4>, tensor<32x40x!nq.nvfp4>) -> tensor<4x32xf16> loc("partial")
    nq.yield %0 : tensor<4x32xf16>
  } loc("partial")
  return %y : tensor<4x32xf16>
}

// -----
// CHECK: error: {{.*}}'double'{{.*}}sm_110a has no kernel for elementwise of these types
// CHECK: note: {{.*}}loops.simt: 'nq.cast' of layer 'double' computes in f64
func.func @f64(%x: tensor<4xf32>) -> tensor<4xf64> attributes {nibble.entry} {
  %y = nq.region "elementwise"(%x) : (tensor<4xf32>) -> tensor<4xf64> {
  ^bb0(%a: tensor<4xf32>):
    %0 = nq.cast %a : tensor<4xf32> -> tensor<4xf64> loc("double")
    nq.yield %0 : tensor<4xf64>
  } loc("double")
  return %y : tensor<4xf64>
}
