// What the CPU runs as one kernel stays a region; the others come apart, with the reason.
// RUN: nibble-opt %s --split-regions-for-cpu --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>
#column = affine_map<(d0, d1) -> (d0)>

// CHECK-NOT: layer=loops
// CHECK-NOT: layer=product
// CHECK-NOT: layer=attention
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer="attention and norm", {{.*}}reason="'nq.norm' needs whole rows of a product"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=norm, {{.*}}reason="'nq.norm' needs whole rows of a product"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=sum, {{.*}}reason="'linalg.generic' reduces over elements of a product"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=token, {{.*}}reason="runs of 4096 columns that belong together are longer than a block"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=computed, {{.*}}reason="'nq.matmul' has an operand that is computed in the kernel"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=odd, {{.*}}reason="rows of an odd number of 4-bit codes share bytes"
// CHECK: [Missed] split-regions-for-cpu {{.*}}layer=flat, {{.*}}reason="'tensor.collapse_shape' merges rows and columns of a product"
// CHECK: [Missed] split-regions-for-cpu {{.*}}chosen="rows copied by a kernel of their own", layer=rows,

// CHECK-LABEL: func.func @accepted
func.func @accepted(%x: tensor<4x32xf16>, %s: tensor<f32>, %w: tensor<8x32xf16>, %k: tensor<1x2x4x8xf16>) -> (tensor<4x32x!nq.fp8>, tensor<4x8xf16>, tensor<4x8x!nq.fp8>, tensor<1x2x4x8xf32>) {
  // CHECK: nq.region "rowwise"
  %a = nq.region "rowwise"(%x, %s) fused ["fuse-quantize"] : (tensor<4x32xf16>, tensor<f32>) -> tensor<4x32x!nq.fp8> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<f32>):
    %n = nq.norm rms %p {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x32xf16> -> tensor<4x32xf16>
    %z = nq.quantize %n scale(%q : tensor<f32>) : tensor<4x32xf16> -> tensor<4x32x!nq.fp8>
    nq.yield %z : tensor<4x32x!nq.fp8>
  } loc("loops")
  // CHECK: nq.region "gemm"
  %b = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<8x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16>
    nq.yield %m : tensor<4x8xf16>
  } loc("product")
  // CHECK: nq.region "gemm"
  %c = nq.region "gemm"(%x, %w, %s) fused ["fuse-quantize"] : (tensor<4x32xf16>, tensor<8x32xf16>, tensor<f32>) -> tensor<4x8x!nq.fp8> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<8x32xf16>, %t: tensor<f32>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<8x32xf16>) -> tensor<4x8xf16>
    %z = nq.quantize %m scale(%t : tensor<f32>) : tensor<4x8xf16> -> tensor<4x8x!nq.fp8>
    nq.yield %z : tensor<4x8x!nq.fp8>
  } loc("product and quantizer")
  // CHECK: nq.region "attention"
  %d = nq.region "attention"(%k) fused ["fuse-attention"] : (tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf32> {
  ^bb0(%p: tensor<1x2x4x8xf16>):
    %y = nq.attention %p, %p, %p {scale = 1.0 : f64} : (tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>, tensor<1x2x4x8xf16>) -> tensor<1x2x4x8xf16>
    %e = nq.cast %y : tensor<1x2x4x8xf16> -> tensor<1x2x4x8xf32>
    nq.yield %e : tensor<1x2x4x8xf32>
  } loc("attention")
  return %a, %b, %c, %d : tensor<4x32x!nq.fp8>, tensor<4x8xf16>, tensor<4x8x!nq.fp8>, tensor<1x2x4x8xf32>
}

// CHECK-LABEL: func.func @refused
// CHECK-NOT: nq.region
func.func @refused(%x: tensor<4x32xf16>, %w: tensor<9x32xf16>, %wide: tensor<4096x32xf16>, %g: tensor<f32>, %k: tensor<1x1x4x8xf16>)
    -> (tensor<1x1x4x8xf32>, tensor<4x9xf16>, tensor<4xf16>, tensor<4x4096x!nq.scaled<si8, f32 per 1x?>>, tensor<4x9xf16>, tensor<4x9x!nq.scaled<si4, f32 per tensor>>, tensor<36xf16>) {
  %d = nq.region "attention"(%k) fused ["fuse-attention"] : (tensor<1x1x4x8xf16>) -> tensor<1x1x4x8xf32> {
  ^bb0(%p: tensor<1x1x4x8xf16>):
    %a = nq.attention %p, %p, %p {scale = 1.0 : f64} : (tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>, tensor<1x1x4x8xf16>) -> tensor<1x1x4x8xf16>
    %n = nq.norm rms %a {axis = 3 : i64, epsilon = 1.0e-6} : tensor<1x1x4x8xf16> -> tensor<1x1x4x8xf16>
    %e = nq.cast %n : tensor<1x1x4x8xf16> -> tensor<1x1x4x8xf32>
    nq.yield %e : tensor<1x1x4x8xf32>
  } loc("attention and norm")
  %0 = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<9x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16>
    %n = nq.norm rms %m {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x9xf16> -> tensor<4x9xf16>
    nq.yield %n : tensor<4x9xf16>
  } loc("norm")
  %1 = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<9x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16>
    %zero = arith.constant 0.0 : f16
    %e = tensor.empty() : tensor<4xf16>
    %f = linalg.fill ins(%zero : f16) outs(%e : tensor<4xf16>) -> tensor<4xf16>
    %r = linalg.generic {indexing_maps = [#id, #column], iterator_types = ["parallel", "reduction"]}
        ins(%m : tensor<4x9xf16>) outs(%f : tensor<4xf16>) {
    ^bb0(%a: f16, %o: f16):
      %t = arith.addf %a, %o : f16
      linalg.yield %t : f16
    } -> tensor<4xf16>
    nq.yield %r : tensor<4xf16>
  } loc("sum")
  %2 = nq.region "gemm"(%x, %wide) : (tensor<4x32xf16>, tensor<4096x32xf16>) -> tensor<4x4096x!nq.scaled<si8, f32 per 1x?>> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<4096x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<4096x32xf16>) -> tensor<4x4096xf16>
    %z = nq.quantize %m recipe("symmetric") : tensor<4x4096xf16> -> tensor<4x4096x!nq.scaled<si8, f32 per 1x?>>
    nq.yield %z : tensor<4x4096x!nq.scaled<si8, f32 per 1x?>>
  } loc("token")
  %3 = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<9x32xf16>):
    %n = nq.norm rms %p {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x32xf16> -> tensor<4x32xf16>
    %m = nq.matmul %n, %q transpose_b : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16>
    nq.yield %m : tensor<4x9xf16>
  } loc("computed")
  // Rows of an odd number of 4-bit codes share a byte.
  %4 = nq.region "gemm"(%x, %w, %g) : (tensor<4x32xf16>, tensor<9x32xf16>, tensor<f32>) -> tensor<4x9x!nq.scaled<si4, f32 per tensor>> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<9x32xf16>, %t: tensor<f32>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16>
    %z = nq.quantize %m scale(%t : tensor<f32>) : tensor<4x9xf16> -> tensor<4x9x!nq.scaled<si4, f32 per tensor>>
    nq.yield %z : tensor<4x9x!nq.scaled<si4, f32 per tensor>>
  } loc("odd")
  %5 = nq.region "gemm"(%x, %w) : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<36xf16> {
  ^bb0(%p: tensor<4x32xf16>, %q: tensor<9x32xf16>):
    %m = nq.matmul %p, %q transpose_b : (tensor<4x32xf16>, tensor<9x32xf16>) -> tensor<4x9xf16>
    %f = tensor.collapse_shape %m [[0, 1]] : tensor<4x9xf16> into tensor<36xf16>
    nq.yield %f : tensor<36xf16>
  } loc("flat")
  return %d, %0, %1, %2, %3, %4, %5 : tensor<1x1x4x8xf32>, tensor<4x9xf16>, tensor<4xf16>, tensor<4x4096x!nq.scaled<si8, f32 per 1x?>>, tensor<4x9xf16>, tensor<4x9x!nq.scaled<si4, f32 per tensor>>, tensor<36xf16>
}

// Rows of a state: the copy is a kernel of its own behind the product, which stays one kernel and returns the rows.
nq.state @key : tensor<1x8x16xf16>
// CHECK-LABEL: @rows_of_a_state
func.func @rows_of_a_state(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>) -> tensor<1x1x16xf16> attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %old = nq.state_read @key : tensor<1x8x16xf16>
  // CHECK: %[[OLD:.*]] = nq.state_read
  // CHECK: %[[R:.*]]:2 = nq.region "gemm"({{.*}}) {{.*}} -> (tensor<1x1x16xf16>, tensor<1x1x16xf16>)
  // CHECK-NOT: nq.update
  // CHECK: nq.yield
  // CHECK: nq.update %[[OLD]][%{{.*}}] with %[[R]]#1 axis 1
  %r:2 = nq.region "gemm"(%x, %wq, %old, %pos) fused ["fuse-qkv"] : (tensor<1x1x32xf16>, tensor<16x32xf16>, tensor<1x8x16xf16>, tensor<1xi64>) -> (tensor<1x1x16xf16>, tensor<1x8x16xf16>) {
  ^bb0(%a: tensor<1x1x32xf16>, %b: tensor<16x32xf16>, %c: tensor<1x8x16xf16>, %p: tensor<1xi64>):
    %m = nq.matmul %a, %b transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
    %u = nq.update %c[%p] with %m axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16> loc("rows")
    nq.yield %m, %u : tensor<1x1x16xf16>, tensor<1x8x16xf16>
  } loc("rows")
  nq.state_write @key, %r#1 : tensor<1x8x16xf16>
  return %r#0 : tensor<1x1x16xf16>
}

// What is dequantized for an attention stands in front of it; what follows stays with it.
// CHECK-LABEL: func.func @codes
func.func @codes(%q: tensor<1x2x4x8xf16>, %k: tensor<1x2x4x8x!nq.fp8>) -> tensor<1x4x2x8xf16> attributes {nibble.entry} {
  // CHECK: %[[K:.*]] = nq.dequantize
  // CHECK: nq.region "attention"({{.*}}%[[K]]
  // CHECK-NEXT: ^bb0
  // CHECK-NEXT: nq.attention
  // CHECK: linalg.transpose
  // CHECK: nq.yield
  %y = nq.region "attention"(%q, %k) fused ["fuse-attention"] : (tensor<1x2x4x8xf16>, tensor<1x2x4x8x!nq.fp8>) -> tensor<1x4x2x8xf16> {
  ^bb0(%a: tensor<1x2x4x8xf16>, %b: tensor<1x2x4x8x!nq.fp8>):
    %d = nq.dequantize %b : tensor<1x2x4x8x!nq.fp8> -> tensor<1x2x4x8xf32>
    %0 = nq.attention %a, %d, %d {scale = 1.0 : f64} : (tensor<1x2x4x8xf16>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x4x8xf16>
    %e = tensor.empty() : tensor<1x4x2x8xf16>
    %t = linalg.transpose ins(%0 : tensor<1x2x4x8xf16>) outs(%e : tensor<1x4x2x8xf16>) permutation = [0, 2, 1, 3]
    nq.yield %t : tensor<1x4x2x8xf16>
  } loc("attention")
  return %y : tensor<1x4x2x8xf16>
}
