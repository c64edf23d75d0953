// Attention on Blackwell's tensor cores: scores and sums in tensor memory, weights in place of scores, values as they lie.
// RUN: nibble-opt %s --lower-products-to-gpu="chip=sm_110a multiprocessors=32" -o %t
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --input-file=%t --check-prefix=CODE
// RUN: nibble-opt %s --lower-products-to-gpu="chip=sm_110a multiprocessors=32" --compile-kernels-to-ptx="chip=sm_110a output=-" -o /dev/null | FileCheck %s --check-prefix=PTX
// RUN: nibble-opt %s --lower-products-to-gpu="chip=sm_100a multiprocessors=32" --compile-kernels-to-ptx="chip=sm_100a output=-" -o /dev/null > %t.100.ptx
// RUN: FileCheck %s --input-file=%t.100.ptx --check-prefix=PTX
// RUN: FileCheck %s --input-file=%t.100.ptx --check-prefix=LARGE

// Maxima as scores are loaded, of sm_110a alone.
// LARGE: .target sm_100a
// LARGE-NOT: tcgen05.ld.red

// Eight heads of one kv head are rows: 61 blocks of 128. A head of 256 comes in pieces of 128 elements, and two tiles of 128 scores with 256 sums are all
// columns of tensor memory.
// CHECK: func.func @wide
// CHECK-SAME: "wide_product0_flash grid 61x1x1 block 192 values [0, 1, 2, 3]"
// CODE: llvm.func @wide_product0_flash
// f16, M = N = 128; the same with the columns of B together. Matrices of 128-byte rows; panels of columns 16384 bytes apart.
// CODE-DAG: %[[ALL:.*]] = llvm.mlir.constant(512 : i32)
// CODE-DAG: %[[SCORES:.*]] = llvm.mlir.constant(136314896 : i32)
// CODE-DAG: %[[SUMS:.*]] = llvm.mlir.constant(136380432 : i32)
// CODE-DAG: %[[ROWS:.*]] = llvm.mlir.constant(4611756662049472512 : i64)
// CODE-DAG: %[[COLUMNS:.*]] = llvm.mlir.constant(4611756662116581376 : i64)
// CODE: nvvm.tcgen05.alloc %{{.*}}, %[[ALL]]
// CODE: nvvm.tcgen05.fence <before>
// CODE: nvvm.barrier0
// CODE: nvvm.tcgen05.fence <after>
// Q, the first keys.
// CODE-COUNT-8: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %arg0
// CODE-COUNT-4: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %arg1
// The scores of the first tile: two pieces, each of which gives its slot back, and then the scores.
// CODE: nvvm.mbarrier.try_wait
// CODE: nvvm.tcgen05.fence <after>
// CODE: llvm.or %{{.*}}, %[[ROWS]]
// CODE-COUNT-8: nvvm.tcgen05.mma %{{.*}}, %{{.*}}, %{{.*}}, %[[SCORES]], {{.*}} : (!llvm.ptr<6>, i64, i64, i32, i1)
// CODE: nvvm.tcgen05.commit
// CODE-COUNT-8: nvvm.tcgen05.mma
// CODE-COUNT-2: nvvm.tcgen05.commit
// In the loop those of the next one, then the values: weights are an operand in tensor memory.
// CODE-COUNT-16: %[[SCORES]]
// CODE: llvm.or %{{.*}}, %[[COLUMNS]]
// CODE-COUNT-8: nvvm.tcgen05.mma %{{.*}}, %{{.*}}, %{{.*}}, %[[SUMS]], {{.*}} : (!llvm.ptr<6>, !llvm.ptr<6>, i64, i32, i1)
// Softmax: a row for each thread, so that only a look for growing maxima needs others.
// CODE: tcgen05.ld.red.sync.aligned.32x32b.x32.max.f32
// CODE-SAME: tcgen05.wait::ld.sync.aligned;
// CODE-NOT: nvvm.shfl
// CODE-COUNT-2: tcgen05.st.sync.aligned.32x32b.x32.b32
// CODE: nvvm.mbarrier.try_wait
// CODE: nvvm.vote.sync any
// CODE: tcgen05.ld.sync
// CODE: tcgen05.st.sync
// CODE: tcgen05.wait::st.sync.aligned;
// CODE-NEXT: nvvm.tcgen05.fence <before>
// CODE: nvvm.mbarrier.arrive
// CODE: nvvm.tcgen05.dealloc %{{.*}}, %[[ALL]]
// PTX: .visible .entry wide_product0_flash
// PTX-DAG: tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32
// PTX-DAG: tcgen05.mma.cta_group::1.kind::f16
// PTX-DAG: tcgen05.commit.cta_group::1.mbarrier::arrive::one
// PTX-DAG: ex2.approx.ftz.f32
// PTX-DAG: cvt.rn.f16x2.f32
// PTX: tcgen05.dealloc
func.func @wide(%q: tensor<1x8x970x256xf16>, %k: tensor<1x1x970x256xf16>, %v: tensor<1x1x970x256xf16>) -> tensor<1x8x970x256xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x256xf16>, tensor<1x1x970x256xf16>, tensor<1x1x970x256xf16>) -> tensor<1x8x970x256xf16>
  return %0 : tensor<1x8x970x256xf16>
}

// 72 elements of a head: five steps along K, the last one half zeros; 80 columns of sums, read 16 at a time.
// CHECK: func.func @padded
// CHECK-SAME: "padded_product0_flash grid 32x1x1 block 192
// CODE: llvm.func @padded_product0_flash
// CODE-DAG: llvm.mlir.constant(136316048 : i32)
// CODE-DAG: llvm.mlir.constant(135595152 : i32)
// CODE: tcgen05.ld.sync.aligned.32x32b.x16.b32
// PTX: .visible .entry padded_product0_flash
// PTX: cvt.rn.bf16x2.f32
func.func @padded(%q: tensor<1x16x256x72xbf16>, %k: tensor<1x16x256x72xbf16>, %v: tensor<1x16x256x72xbf16>) -> tensor<1x16x256x72xbf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.1 : f64} : (tensor<1x16x256x72xbf16>, tensor<1x16x256x72xbf16>, tensor<1x16x256x72xbf16>) -> tensor<1x16x256x72xbf16>
  return %0 : tensor<1x16x256x72xbf16>
}

// Where keys end is loaded; values behind it in the last tile become zeros, which products are told of. Eight blocks share the keys of eight rows, and read
// each other's sums.
// CHECK: func.func @bounded
// CHECK-SAME: "bounded_product0_flash grid 16x1x1 block 192 values [0, 1, 2, 4, 3]"
// PTX: .visible .entry bounded_product0_flash
// PTX: ld.global.b64
// PTX: tcgen05.alloc
// PTX: st.shared.v2.b64
// PTX: fence.proxy.async
// PTX: barrier.cluster.arrive
// PTX: ld.shared::cluster.v4.f32
// PTX: barrier.cluster.wait
func.func @bounded(%q: tensor<1x8x1x128xf16>, %k: tensor<1x2x4096x128xf16>, %v: tensor<1x2x4096x128xf16>, %n: tensor<1xi64>) -> tensor<1x8x1x128xf16> {
  %0 = nq.attention %q, %k, %v lengths(%n : tensor<1xi64>) {scale = 0.1 : f64} : (tensor<1x8x1x128xf16>, tensor<1x2x4096x128xf16>, tensor<1x2x4096x128xf16>) -> tensor<1x8x1x128xf16>
  return %0 : tensor<1x8x1x128xf16>
}

// Codes of queries and keys are multiplied as they are; two more warps expand those of values.
// CHECK: func.func @codes
// CHECK-SAME: block 256
// PTX: .visible .entry codes_product0_flash
// PTX-DAG: tcgen05.mma.cta_group::1.kind::f8f6f4
// PTX-DAG: tcgen05.mma.cta_group::1.kind::f16
// PTX-DAG: cvt.rn.f16x2.e4m3x2
func.func @codes(%q: tensor<1x8x970x128x!nq.fp8>, %k: tensor<1x8x970x128x!nq.fp8>, %v: tensor<1x8x970x128x!nq.fp8>) -> tensor<1x8x970x128xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64} : (tensor<1x8x970x128x!nq.fp8>, tensor<1x8x970x128x!nq.fp8>, tensor<1x8x970x128x!nq.fp8>) -> tensor<1x8x970x128xf16>
  return %0 : tensor<1x8x970x128xf16>
}

// Codes of weights are multiplied with those of values, as they are: nobody expands. Eight blocks tell each other totals of their rows.
// CHECK: func.func @weights
// CHECK-SAME: block 192
// PTX: .visible .entry weights_product0_flash
// PTX-NOT: kind::f16
// PTX: barrier.cluster.arrive
// PTX-NOT: kind::f16
// PTX: cvt.rn.satfinite.e4m3x2.f32
// PTX-NOT: kind::f16
// PTX: .visible .entry
func.func @weights(%q: tensor<1x8x1x128x!nq.fp8>, %k: tensor<1x1x4096x128x!nq.fp8>, %v: tensor<1x1x4096x128x!nq.fp8>) -> tensor<1x8x1x128xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.0625 : f64, weight_type = f8E4M3FN, weight_scale = 0.00223214296 : f32} : (tensor<1x8x1x128x!nq.fp8>, tensor<1x1x4096x128x!nq.fp8>, tensor<1x1x4096x128x!nq.fp8>) -> tensor<1x8x1x128xf16>
  return %0 : tensor<1x8x1x128xf16>
}

// The copy engine steps by 16 bytes: FMA units.
// CHECK: func.func @odd
// PTX-SAME: odd_product0_flash
// PTX-NOT: tcgen05
func.func @odd(%q: tensor<1x2x50x20xf16>, %k: tensor<1x2x50x20xf16>, %v: tensor<1x2x50x20xf16>) -> tensor<1x2x50x20xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.1 : f64} : (tensor<1x2x50x20xf16>, tensor<1x2x50x20xf16>, tensor<1x2x50x20xf16>) -> tensor<1x2x50x20xf16>
  return %0 : tensor<1x2x50x20xf16>
}
