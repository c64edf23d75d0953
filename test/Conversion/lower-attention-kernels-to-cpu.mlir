// Attention is one function: scores of a block of rows live in the scratch only, results go where the next reader
// wants them.
// RUN: nibble-opt %s --lower-kernels-to-cpu | FileCheck %s

func.func @main(%q: tensor<1x4x96x32xf16>, %q1: tensor<1x8x1x32xf16>, %k: tensor<1x4x256x32xf16>, %v: tensor<1x4x256x64xf16>)
    -> (tensor<1x96x256xf16>, tensor<1x8x1x64xf16>) attributes {nibble.entry} {
  // A block of rows of a head is a unit. Scores of all rows would be 393216 bytes; the scratch holds a head's keys and values, too.
  // CHECK: exec.launch @k0_attention({{.*}}) layer "attn" kind "attention" extent 4 grain 1 scratch 251904 {flops = 18874368 : i64}
  %0 = exec.launch @k0_attention(%q, %k, %v) layer "attn" kind "attention"
    : (tensor<1x4x96x32xf16>, tensor<1x4x256x32xf16>, tensor<1x4x256x64xf16>) -> tensor<1x96x256xf16>
  // Both query heads of a kv head are one unit; keys and values are not copied.
  // CHECK: exec.launch @k1_attention({{.*}}) layer "step" kind "attention" extent 4 grain 4 scratch 3200 {flops = 393216 : i64}
  %1 = exec.launch @k1_attention(%q1, %k, %v) layer "step" kind "attention"
    : (tensor<1x8x1x32xf16>, tensor<1x4x256x32xf16>, tensor<1x4x256x64xf16>) -> tensor<1x8x1x64xf16>
  return %0, %1 : tensor<1x96x256xf16>, tensor<1x8x1x64xf16>
}

func.func private @k0_attention(%q: tensor<1x4x96x32xf16>, %k: tensor<1x4x256x32xf16>, %v: tensor<1x4x256x64xf16>) -> tensor<1x96x256xf16> {
  %a = nq.attention %q, %k, %v {scale = 0.25 : f64} : (tensor<1x4x96x32xf16>, tensor<1x4x256x32xf16>, tensor<1x4x256x64xf16>) -> tensor<1x4x96x64xf16>
  %e = tensor.empty() : tensor<1x96x4x64xf16>
  %t = linalg.transpose ins(%a : tensor<1x4x96x64xf16>) outs(%e : tensor<1x96x4x64xf16>) permutation = [0, 2, 1, 3]
  %c = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<1x96x4x64xf16> into tensor<1x96x256xf16>
  return %c : tensor<1x96x256xf16>
}

func.func private @k1_attention(%q: tensor<1x8x1x32xf16>, %k: tensor<1x4x256x32xf16>, %v: tensor<1x4x256x64xf16>) -> tensor<1x8x1x64xf16> {
  %a = nq.attention %q, %k, %v {scale = 0.25 : f64, causal, bottom_right} : (tensor<1x8x1x32xf16>, tensor<1x4x256x32xf16>, tensor<1x4x256x64xf16>) -> tensor<1x8x1x64xf16>
  return %a : tensor<1x8x1x64xf16>
}

// CHECK-LABEL: module @cpu_kernels
// CHECK: func.func @k0_attention(%{{.*}}: memref<24576xi8>, %{{.*}}: memref<65536xi8>, %{{.*}}: memref<131072xi8>, %[[Y:.*]]: memref<24576xf16>, %{{.*}}: index, %{{.*}}: index, %{{.*}}: memref<?xi8>)
// Keys and values are packed, then come scores, one division per row, sums.
// CHECK: vector.load %{{.*}} : memref<32768xf16>, vector<8xf16>
// CHECK: vector.shuffle
// CHECK: vector.load %{{.*}} : memref<65536xf16>, vector<8xf16>
// CHECK: vector.fma
// CHECK: arith.divf {{.*}} : f32
// CHECK: vector.fma
// A row of a head lies among those of the other heads.
// CHECK: vector.load %{{.*}} : memref<64xf16>, vector<32xf16>
// CHECK: vector.store %{{.*}}, %[[Y]]

// Eight keys meet a query where they lie.
// CHECK: func.func @k1_attention(
// CHECK-NOT: memref<8192xf32>
// CHECK: vector.load %{{.*}} : memref<32768xf16>, vector<8xf16>
// CHECK: vector.fma
// CHECK: arith.divf {{.*}} : f32
// CHECK: vector.load %{{.*}} : memref<65536xf16>, vector<8xf16>
// CHECK: vector.fma
