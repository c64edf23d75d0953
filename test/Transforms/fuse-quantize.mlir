// Quantizers join their producers; graph inputs and scales of whole tensors do not.
// RUN: nibble-opt %s --fuse-quantize | FileCheck %s

// CHECK-LABEL: func.func @norm
func.func @norm(%x: tensor<4x64xf16>, %g: tensor<f32>) -> (tensor<4x64x!nq.nvfp4>, tensor<4x64xf16>) {
  // The unquantized value has another reader: it stays a result.
  // CHECK: nq.region "rowwise"({{.*}}) fused ["fuse-quantize"] : (tensor<4x64xf16>, tensor<f32>) -> (tensor<4x64xf16>, tensor<4x64x!nq.nvfp4>)
  %n = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x64xf16> -> tensor<4x64xf16>
  %q = nq.quantize %n recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<4x64xf16> -> tensor<4x64x!nq.nvfp4>
  return %q, %n : tensor<4x64x!nq.nvfp4>, tensor<4x64xf16>
}

// CHECK-LABEL: func.func @product
func.func @product(%x: tensor<4x32xf16>, %w: tensor<64x32xf16>, %s: tensor<f32>) -> tensor<4x64x!nq.fp8> {
  // CHECK: nq.region "gemm"
  %m = nq.matmul %x, %w transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
  %q = nq.quantize %m scale(%s : tensor<f32>) : tensor<4x64xf16> -> tensor<4x64x!nq.fp8>
  return %q : tensor<4x64x!nq.fp8>
}

// CHECK-LABEL: func.func @input
// CHECK-NOT: nq.region
func.func @input(%x: tensor<4x64xf16>, %g: tensor<f32>) -> tensor<4x64x!nq.nvfp4> {
  %q = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<4x64xf16> -> tensor<4x64x!nq.nvfp4>
  return %q : tensor<4x64x!nq.nvfp4>
}
