// Three products of one input, with split heads, rotation and transposition, are one region.
// RUN: nibble-opt %s --fuse-qkv | FileCheck %s
// RUN: nibble-opt %s --fuse-qkv=views | FileCheck %s --check-prefix=GPU

// CHECK-LABEL: func.func @qkv
func.func @qkv(%x: tensor<1x4x32xf16>, %cos: tensor<1x4x8xf32>, %sin: tensor<1x4x8xf32>)
    -> (tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x4x16xf16>) {
  %wq = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %wk = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %wv = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  // CHECK: %[[R:.*]]:3 = nq.region "gemm"({{.*}}) fused ["fuse-qkv"]
  // CHECK-COUNT-3: nq.matmul
  // CHECK: return %[[R]]#2, %[[R]]#1, %[[R]]#0
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x4x32xf16>, tensor<32x32xf16>) -> tensor<1x4x32xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x4x32xf16>, tensor<16x32xf16>) -> tensor<1x4x16xf16>
  %v = nq.matmul %x, %wv transpose_b : (tensor<1x4x32xf16>, tensor<16x32xf16>) -> tensor<1x4x16xf16>
  %qe = tensor.expand_shape %q [[0], [1], [2, 3]] output_shape [1, 4, 2, 16] : tensor<1x4x32xf16> into tensor<1x4x2x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 4, 1, 16] : tensor<1x4x16xf16> into tensor<1x4x1x16xf16>
  %qi = tensor.empty() : tensor<1x2x4x16xf16>
  %ki = tensor.empty() : tensor<1x1x4x16xf16>
  %qt = linalg.transpose ins(%qe : tensor<1x4x2x16xf16>) outs(%qi : tensor<1x2x4x16xf16>) permutation = [0, 2, 1, 3]
  %kt = linalg.transpose ins(%ke : tensor<1x4x1x16xf16>) outs(%ki : tensor<1x1x4x16xf16>) permutation = [0, 2, 1, 3]
  %qr = nq.rope %qt, %cos, %sin : (tensor<1x2x4x16xf16>, tensor<1x4x8xf32>, tensor<1x4x8xf32>) -> tensor<1x2x4x16xf16>
  return %qr, %kt, %v : tensor<1x2x4x16xf16>, tensor<1x1x4x16xf16>, tensor<1x4x16xf16>
}

nq.state @key : tensor<1x1x8x16xf16>
nq.state @value : tensor<1x1x8x16xf16>

// The rows of key and value go where the old value of the state lies: the writes are part of the region.
// CHECK-LABEL: func.func @stores_rows
func.func @stores_rows(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>)
    -> (tensor<1x1x32xf16>, tensor<1x1x8x16xf16>) attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %wk = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %wv = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  // CHECK: %[[K:.*]] = nq.state_read @key
  // CHECK: %[[V:.*]] = nq.state_read @value
  %k0 = nq.state_read @key : tensor<1x1x8x16xf16>
  %v0 = nq.state_read @value : tensor<1x1x8x16xf16>
  // CHECK: %[[R:.*]]:3 = nq.region "gemm"({{.*}}%[[K]]{{.*}}%[[V]]{{.*}}) fused ["fuse-qkv"]
  // CHECK-COUNT-2: nq.update
  // CHECK: nq.state_write @key, %[[R]]#1
  // CHECK: nq.state_write @value, %[[R]]#2
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<32x32xf16>) -> tensor<1x1x32xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %v = nq.matmul %x, %wv transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 1, 1, 16] : tensor<1x1x16xf16> into tensor<1x1x1x16xf16>
  %ve = tensor.expand_shape %v [[0], [1], [2, 3]] output_shape [1, 1, 1, 16] : tensor<1x1x16xf16> into tensor<1x1x1x16xf16>
  %k1 = nq.update %k0[%pos] with %ke axis 2 : tensor<1x1x8x16xf16>, tensor<1xi64>, tensor<1x1x1x16xf16>
  %v1 = nq.update %v0[%pos] with %ve axis 2 : tensor<1x1x8x16xf16>, tensor<1xi64>, tensor<1x1x1x16xf16>
  nq.state_write @key, %k1 : tensor<1x1x8x16xf16>
  nq.state_write @value, %v1 : tensor<1x1x8x16xf16>
  return %q, %k1 : tensor<1x1x32xf16>, tensor<1x1x8x16xf16>
}

nq.state @codes : tensor<1x1x8x16xf8E4M3FN>

// Kernels of GPUs quantize rows of a cache as they store them; those of the CPU do not.
// CHECK-LABEL: func.func @stores_codes
// CHECK: nq.region "gemm"
// CHECK-NOT: nq.quantize
// CHECK: nq.yield
// CHECK: nq.quantize
// GPU-LABEL: func.func @stores_codes
func.func @stores_codes(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>, %s: tensor<f16>)
    -> (tensor<1x1x32xf16>, tensor<1x1x8x16xf8E4M3FN>) attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<32x32xf16>) : tensor<32x32xf16>
  %wk = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  // GPU: %[[R:.*]]:2 = nq.region "gemm"({{.*}}) fused ["fuse-qkv"]
  // GPU: nq.quantize
  // GPU: nq.codes
  // GPU: nq.update
  // GPU: nq.yield
  // GPU: nq.state_write @codes, %[[R]]#1
  %k0 = nq.state_read @codes : tensor<1x1x8x16xf8E4M3FN>
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<32x32xf16>) -> tensor<1x1x32xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 1, 1, 16] : tensor<1x1x16xf16> into tensor<1x1x1x16xf16>
  %kq = nq.quantize %ke scale(%s : tensor<f16>) : tensor<1x1x1x16xf16> -> tensor<1x1x1x16x!nq.scaled<f8E4M3FN, f16 per tensor>>
  %kc = nq.codes %kq : tensor<1x1x1x16x!nq.scaled<f8E4M3FN, f16 per tensor>> -> tensor<1x1x1x16xf8E4M3FN>
  %k1 = nq.update %k0[%pos] with %kc axis 2 : tensor<1x1x8x16xf8E4M3FN>, tensor<1xi64>, tensor<1x1x1x16xf8E4M3FN>
  nq.state_write @codes, %k1 : tensor<1x1x8x16xf8E4M3FN>
  return %q, %k1 : tensor<1x1x32xf16>, tensor<1x1x8x16xf8E4M3FN>
}
