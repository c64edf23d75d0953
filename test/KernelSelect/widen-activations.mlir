// Activations of FP8 (and FP4) next to weights of 4 bits on sm_90a: the kernel that quantizes stores the same codes as f16, bf16 next to E8M0.
// RUN: nibble-opt %s --widen-activations --canonicalize --select-kernels=target=sm_90a --split-input-file | FileCheck %s
// RUN: nibble-opt %s --widen-activations --split-input-file --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=TOLD
// RUN: nibble-opt %s --widen-activations=target=sm_110a --split-input-file | FileCheck %s --check-prefix=THOR

// THOR-LABEL: func.func @only_reader
// THOR: nq.widen

// TOLD: widen-activations {{.*}}bytes=8324, chosen="activations as f16 numbers", instead=4164, kernel=gemm.wgmma.f16.expand, layer=down, reason="{{.*}}stored by the kernel that makes them"
// CHECK-LABEL: func.func @only_reader
// CHECK: %[[Q:.*]] = nq.region "quantize"({{.*}}) fused ["widen-activations"]{{.*}} : (tensor<65x64xf16>, tensor<f32>) -> tensor<65x64x!nq.scaled<f16, f32 per tensor>>
// CHECK: %[[N:.*]] = nq.quantize
// CHECK: nq.widen %[[N]]
// CHECK: nq.region "gemm"({{.*}}%[[Q]]) {nibble.kernel_class = "gemm.wgmma.f16.expand"
func.func @only_reader(%x: tensor<65x64xf16>, %s: tensor<f32>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %q = nq.region "quantize"(%x, %s) : (tensor<65x64xf16>, tensor<f32>) -> tensor<65x64x!nq.fp8> {
  ^bb0(%a: tensor<65x64xf16>, %b: tensor<f32>):
    %0 = nq.quantize %a scale(%b : tensor<f32>) : tensor<65x64xf16> -> tensor<65x64x!nq.fp8>
    nq.yield %0 : tensor<65x64x!nq.fp8>
  }
  %y = nq.region "gemm"(%q, %w) : (tensor<65x64x!nq.fp8>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64x!nq.fp8>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64x!nq.fp8>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> loc("down")
    nq.yield %0 : tensor<65x32xf16>
  } loc("down")
  return %y : tensor<65x32xf16>
}

// -----

// Codes that somebody else reads stay; both are stored by one kernel, once for all that want them so.
// CHECK-LABEL: func.func @readers
// CHECK: %[[Q:.*]]:2 = nq.region "quantize"({{.*}}) fused ["widen-activations"]{{.*}} : (tensor<4x64xf16>, tensor<4x1xf32>) -> (tensor<4x64x!nq.scaled<f8E4M3FN, f32 per 1x?>>, tensor<4x64x!nq.scaled<f16, f32 per 1x?>>)
// CHECK-COUNT-1: nq.widen
// CHECK: nq.region "gemm"({{.*}}%[[Q]]#1) {nibble.kernel_class = "gemm.stream.f16.expand"
// CHECK: nq.region "gemm"({{.*}}%[[Q]]#1) {nibble.kernel_class = "gemm.stream.f16.expand"
// CHECK: return {{.*}}%[[Q]]#0
!x8 = tensor<4x64x!nq.scaled<f8E4M3FN, f32 per 1x?>>
!w4 = tensor<32x64x!nq.scaled<si4, f32 per 1x32>>
func.func @readers(%x: tensor<4x64xf16>, %s: tensor<4x1xf32>) -> (tensor<4x32xf16>, tensor<4x32xf16>, !x8) attributes {nibble.entry} {
  %v = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<256xi8>) : !w4
  %w = nq.constant codes(dense<3> : tensor<1024xi8>) scales(dense<56> : tensor<256xi8>) : !w4
  %q = nq.region "quantize"(%x, %s) : (tensor<4x64xf16>, tensor<4x1xf32>) -> !x8 {
  ^bb0(%a: tensor<4x64xf16>, %b: tensor<4x1xf32>):
    %0 = nq.quantize %a scale(%b : tensor<4x1xf32>) : tensor<4x64xf16> -> !x8
    nq.yield %0 : !x8
  }
  %y = nq.region "gemm"(%q, %v) : (!x8, !w4) -> tensor<4x32xf16> {
  ^bb0(%a: !x8, %b: !w4):
    %0 = nq.matmul %a, %b transpose_b : (!x8, !w4) -> tensor<4x32xf16> loc("one")
    nq.yield %0 : tensor<4x32xf16>
  } loc("one")
  %z = nq.region "gemm"(%q, %w) : (!x8, !w4) -> tensor<4x32xf16> {
  ^bb0(%a: !x8, %b: !w4):
    %0 = nq.matmul %a, %b transpose_b : (!x8, !w4) -> tensor<4x32xf16> loc("two")
    nq.yield %0 : tensor<4x32xf16>
  } loc("two")
  return %y, %z, %q : tensor<4x32xf16>, tensor<4x32xf16>, !x8
}

// -----

// What no kernel makes is converted by one; E8M0 is exact in bf16. Reshapes on the way are repeated.
// TOLD: widen-activations {{.*}}chosen="activations as bf16 numbers",{{.*}}layer=input,{{.*}}converted by a kernel of its own"
// CHECK-LABEL: func.func @input
// CHECK: %[[Q:.*]] = nq.region "elementwise"({{.*}}) fused ["widen-activations"]
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[Q]] {{.*}} into tensor<66x64x!nq.scaled<bf16, f32 per tensor>>
// CHECK: nq.region "gemm"({{.*}}%[[R]]) {nibble.kernel_class = "gemm.wgmma.bf16.expand"
func.func @input(%x: tensor<2x33x64x!nq.fp8>) -> tensor<66x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<127> : tensor<64xi8>) : tensor<32x64x!nq.mxfp4>
  %r = tensor.collapse_shape %x [[0, 1], [2]] : tensor<2x33x64x!nq.fp8> into tensor<66x64x!nq.fp8>
  %y = nq.region "gemm"(%r, %w) : (tensor<66x64x!nq.fp8>, tensor<32x64x!nq.mxfp4>) -> tensor<66x32xf16> {
  ^bb0(%a: tensor<66x64x!nq.fp8>, %b: tensor<32x64x!nq.mxfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<66x64x!nq.fp8>, tensor<32x64x!nq.mxfp4>) -> tensor<66x32xf16> loc("input")
    nq.yield %0 : tensor<66x32xf16>
  } loc("input")
  return %y : tensor<66x32xf16>
}

// -----

// Both operands of 4 bits: codes take their block scales, the global scale stays.
// CHECK-LABEL: func.func @fp4
// CHECK: nq.widen %{{.*}} : tensor<65x64x!nq.nvfp4> -> tensor<65x64x!nq.scaled<f16, f32 per tensor>>
// CHECK: {nibble.kernel_class = "gemm.wgmma.f16.expand"
func.func @fp4(%x: tensor<65x64x!nq.nvfp4>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64x!nq.nvfp4>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> loc("up")
    nq.yield %0 : tensor<65x32xf16>
  } loc("up")
  return %y : tensor<65x32xf16>
}

// -----

// FP8 multiplies FP8 as it is; where nothing takes the product, the reason is told.
// TOLD: widen-activations {{.*}}layer=odd,{{.*}}reason="no class takes the product with them, either;{{.*}}rows of the result are 66 bytes; the copy engine wants multiples of 16
// CHECK-LABEL: func.func @as_they_are
// CHECK-NOT: nq.widen
func.func @as_they_are(%x: tensor<65x64x!nq.fp8>) -> (tensor<65x32xf16>, tensor<65x33xf16>) attributes {nibble.entry} {
  %v = nq.constant codes(dense<1> : tensor<2048xi8>) scales(dense<56> : tensor<4xi8>) : tensor<32x64x!nq.fp8>
  %w = nq.constant codes(dense<1> : tensor<1056xi8>) scales(dense<56> : tensor<132xi8>) global(dense<0.5> : tensor<f32>) : tensor<33x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %v) : (tensor<65x64x!nq.fp8>, tensor<32x64x!nq.fp8>) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64x!nq.fp8>, %b: tensor<32x64x!nq.fp8>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64x!nq.fp8>, tensor<32x64x!nq.fp8>) -> tensor<65x32xf16> loc("f8")
    nq.yield %0 : tensor<65x32xf16>
  } loc("f8")
  %z = nq.region "gemm"(%x, %w) : (tensor<65x64x!nq.fp8>, tensor<33x64x!nq.nvfp4>) -> tensor<65x33xf16> {
  ^bb0(%a: tensor<65x64x!nq.fp8>, %b: tensor<33x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64x!nq.fp8>, tensor<33x64x!nq.nvfp4>) -> tensor<65x33xf16> loc("odd")
    nq.yield %0 : tensor<65x33xf16>
  } loc("odd")
  return %y, %z : tensor<65x32xf16>, tensor<65x33xf16>
}
