// Attention on tensor cores: rows fill the machine, or blocks of a cluster share the keys.
// RUN: nibble-opt %s --lower-products-to-gpu | FileCheck %s
// RUN: nibble-opt %s --lower-products-to-gpu --compile-kernels-to-ptx=output=- -o /dev/null | FileCheck %s --check-prefix=PTX

// Eight heads of one kv head are rows: 61 blocks of 128, two of a cluster each, which send each other their sums.
// CHECK: func.func @shared
// CHECK-SAME: "shared_product0_flash grid 122x1x1 {{.*}}block 384
// PTX: .visible .entry shared_product0_flash
// PTX-DAG: setmaxnreg.inc
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16
// PTX-DAG: cp.async.bulk.tensor.4d
// PTX-DAG: barrier.cluster.arrive.relaxed
// PTX-DAG: st.async.weak.shared::cluster
func.func @shared(%q: tensor<1x8x970x256xf16>, %k: tensor<1x1x970x256xf16>, %v: tensor<1x1x970x256xf16>) -> tensor<1x8x970x256xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x256xf16>, tensor<1x1x970x256xf16>, tensor<1x1x970x256xf16>) -> tensor<1x8x970x256xf16>
  return %0 : tensor<1x8x970x256xf16>
}

// 72 elements of a head come as two panels of 64, the second one filled with zeros.
// CHECK: func.func @padded
// PTX: .visible .entry padded_product0_flash
// PTX: wgmma.mma_async.sync.aligned.m64n72k16.f32.bf16.bf16
func.func @padded(%q: tensor<1x16x256x72xbf16>, %k: tensor<1x16x256x72xbf16>, %v: tensor<1x16x256x72xbf16>) -> tensor<1x16x256x72xbf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.1 : f64} : (tensor<1x16x256x72xbf16>, tensor<1x16x256x72xbf16>, tensor<1x16x256x72xbf16>) -> tensor<1x16x256x72xbf16>
  return %0 : tensor<1x16x256x72xbf16>
}

// The copy engine steps by 16 bytes: FMA units.
// CHECK: func.func @odd
// CHECK-SAME: "odd_product0_flash grid {{.*}}block 256
// PTX: .visible .entry odd_product0_flash
// PTX-NOT: wgmma
func.func @odd(%q: tensor<1x2x50x20xf16>, %k: tensor<1x2x50x20xf16>, %v: tensor<1x2x50x20xf16>) -> tensor<1x2x50x20xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.1 : f64} : (tensor<1x2x50x20xf16>, tensor<1x2x50x20xf16>, tensor<1x2x50x20xf16>) -> tensor<1x2x50x20xf16>
  return %0 : tensor<1x2x50x20xf16>
}

// More rows than multiprocessors: blocks walk over them, and copy the next ones ahead. Wide heads have tiles of 80 keys.
// CHECK: func.func @walking
// CHECK-SAME: "walking_product0_flash grid 132x1x1 {{.*}}block 384
// PTX: .visible .entry walking_product0_flash
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n80k16.f32.f16.f16
// PTX-DAG: bar.arrive
func.func @walking(%q: tensor<2x16x2048x256xf16>, %k: tensor<2x16x2048x256xf16>, %v: tensor<2x16x2048x256xf16>) -> tensor<2x16x2048x256xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<2x16x2048x256xf16>, tensor<2x16x2048x256xf16>, tensor<2x16x2048x256xf16>) -> tensor<2x16x2048x256xf16>
  return %0 : tensor<2x16x2048x256xf16>
}

// The grid is that of all keys; where they end is loaded, and what lies behind it in the last tile of values becomes zeros.
// CHECK: func.func @bounded
// CHECK-SAME: "bounded_product0_flash grid 16x1x1 block 160 values [0, 1, 2, 4, 3]"
// PTX: .visible .entry bounded_product0_flash
// PTX: ld.global.b64
// PTX: barrier.cluster.arrive.relaxed
// PTX: shfl.sync.idx
// PTX: st.shared.v4
// PTX: fence.proxy.async
func.func @bounded(%q: tensor<1x8x1x128xf16>, %k: tensor<1x2x4096x128xf16>, %v: tensor<1x2x4096x128xf16>, %n: tensor<1xi64>) -> tensor<1x8x1x128xf16> {
  %0 = nq.attention %q, %k, %v lengths(%n : tensor<1xi64>) {scale = 0.1 : f64} : (tensor<1x8x1x128xf16>, tensor<1x2x4096x128xf16>, tensor<1x2x4096x128xf16>) -> tensor<1x8x1x128xf16>
  return %0 : tensor<1x8x1x128xf16>
}

// Codes of queries and keys are multiplied as they are; those of values come to tiles of their own, and three warps expand them.
// CHECK: func.func @codes
// CHECK-SAME: "codes_product0_flash grid {{.*}}block 384
// PTX: .visible .entry codes_product0_flash
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3
// PTX-DAG: wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16
// PTX-DAG: cvt.rn.f16x2.e4m3x2
// PTX-DAG: fence.proxy.async.shared::cta
// PTX-DAG: bar.sync {{.*}}, 96
func.func @codes(%q: tensor<1x8x970x128x!nq.fp8>, %k: tensor<1x8x970x128x!nq.fp8>, %v: tensor<1x8x970x128x!nq.fp8>) -> tensor<1x8x970x128xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x128x!nq.fp8>, tensor<1x8x970x128x!nq.fp8>, tensor<1x8x970x128x!nq.fp8>) -> tensor<1x8x970x128xf16>
  return %0 : tensor<1x8x970x128xf16>
}

// A cache of codes next to queries of bf16: keys are expanded, too.
// CHECK: func.func @cached
// CHECK-SAME: "cached_product0_flash grid 8x1x1 block 256
// PTX: .visible .entry cached_product0_flash
// PTX-NOT: e4m3.e4m3
// PTX: cvt.rn.bf16x2.f32
// PTX-NOT: e4m3.e4m3
func.func @cached(%q: tensor<1x8x1x128xbf16>, %k: tensor<1x1x1024x128x!nq.fp8>, %v: tensor<1x1x1024x128x!nq.fp8>) -> tensor<1x8x1x128xbf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x1x128xbf16>, tensor<1x1x1024x128x!nq.fp8>, tensor<1x1x1024x128x!nq.fp8>) -> tensor<1x8x1x128xbf16>
  return %0 : tensor<1x8x1x128xbf16>
}

// The result is stored as codes, 16 bytes at a time, and its scale behind them: one launch.
// CHECK: func.func @quantized
// CHECK-SAME: "quantized_product0_flash grid
// CHECK-NOT: quantized_loops
// PTX: .visible .entry quantized_product0_flash
// PTX-DAG: cvt.rn.satfinite.e4m3x2.f32
// PTX-DAG: st.global.v4.b32
func.func @quantized(%q: tensor<1x8x970x128xf16>, %k: tensor<1x1x970x128xf16>, %v: tensor<1x1x970x128xf16>, %s: tensor<f32>) -> tensor<1x970x1024x!nq.fp8> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x128xf16>, tensor<1x1x970x128xf16>, tensor<1x1x970x128xf16>) -> tensor<1x8x970x128xf16>
  %init = tensor.empty() : tensor<1x970x8x128xf16>
  %t = linalg.transpose ins(%0 : tensor<1x8x970x128xf16>) outs(%init : tensor<1x970x8x128xf16>) permutation = [0, 2, 1, 3]
  %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x970x8x128xf16> into tensor<1x970x1024xf16>
  %y = nq.quantize %c scale(%s : tensor<f32>) : tensor<1x970x1024xf16> -> tensor<1x970x1024x!nq.fp8>
  return %y : tensor<1x970x1024x!nq.fp8>
}

// A scale of the values themselves is known when they are: a launch of its own.
// CHECK: func.func @dynamic
// CHECK-SAME: "dynamic_product0_flash grid
// CHECK-SAME: "dynamic_loops1
func.func @dynamic(%q: tensor<1x8x970x128xf16>, %k: tensor<1x1x970x128xf16>, %v: tensor<1x1x970x128xf16>) -> tensor<1x8x970x128x!nq.mxfp8> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x128xf16>, tensor<1x1x970x128xf16>, tensor<1x1x970x128xf16>) -> tensor<1x8x970x128xf16>
  %y = nq.quantize %0 recipe("ocp") : tensor<1x8x970x128xf16> -> tensor<1x8x970x128x!nq.mxfp8>
  return %y : tensor<1x8x970x128x!nq.mxfp8>
}

// Weights are codes: keys are multiplied in a first pass for maximum and sum, and again for the weights, whose codes become f16. Blocks of a cluster send
// each other what they found before, and sums behind.
// CHECK: func.func @weights
// CHECK-SAME: "weights_product0_flash grid
// PTX: .visible .entry weights_product0_flash
// PTX: m64n128k32.f32.e4m3.e4m3
// PTX: st.async.weak.shared::cluster
// PTX: m64n128k32.f32.e4m3.e4m3
// PTX: cvt.rn.satfinite.e4m3x2.f32
// PTX: cvt.rn.f16x2.e4m3x2
// PTX: m64n128k32.f32.e4m3.e4m3
// PTX: m64n128k16.f32.f16.f16
// PTX: st.async.weak.shared::cluster
func.func @weights(%q: tensor<1x8x1x128x!nq.fp8>, %k: tensor<1x1x4096x128x!nq.fp8>, %v: tensor<1x1x4096x128x!nq.fp8>) -> tensor<1x8x1x128xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64, weight_type = f8E4M3FN, weight_scale = 0.00390625 : f32} : (tensor<1x8x1x128x!nq.fp8>, tensor<1x1x4096x128x!nq.fp8>, tensor<1x1x4096x128x!nq.fp8>) -> tensor<1x8x1x128xf16>
  return %0 : tensor<1x8x1x128xf16>
}
