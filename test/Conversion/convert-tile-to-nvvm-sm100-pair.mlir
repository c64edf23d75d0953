// Two blocks that multiply together: each loads its rows of A and one half of
// those of B, block 0 issues for both, and two products that have the same A
// read it once.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 | FileCheck %s
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 --compile-kernels-to-ptx="chip=sm_110a output=-" -o /dev/null | FileCheck %s --check-prefix=PTX

!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<4, !a, !b, !b>
!acc = !tile.acc<128x128xf32>
!accs = !tile.ring<2, !acc, !acc>

// CHECK: llvm.func @gated
// CHECK-SAME: "map 1 type 0 of 16384x2048 box 64x128 swizzle 3"
// CHECK-SAME: nvvm.cluster_dim = array<i32: 2, 1, 1>
// E4M3 x E4M3, N = 128, M = 256.
// CHECK-DAG: %[[FORM:.*]] = llvm.mlir.constant(270532624 : i32)
// Block 0 expects what both load: 2 x (128 + 64 + 64) x 128 bytes.
// CHECK-DAG: %[[BYTES:.*]] = llvm.mlir.constant(65536 : i32)
// CHECK: nvvm.tcgen05.alloc {{.*}}group = #nvvm.cta_group<cta_2>
// CHECK: nvvm.cluster.wait
// PTX: tcgen05.alloc.cta_group::2
// PTX: tcgen05.relinquish_alloc_permit.cta_group::2
tile.kernel @gated target "sm_110a" grid 20 cluster [2, 1] pair
    (%a: memref<970x2048xf8E4M3FN>, %gate: memref<16384x2048xf8E4M3FN>,
     %up: memref<16384x2048xf8E4M3FN>, %d: memref<970x16384xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %blocks = arith.constant 16 : index
  %ring = tile.ring : !stages
  %accs = tile.ring : !accs
  tile.role @finish warps 4 {
    tile.for_tiles [8, 128] raster <m, group 8> (%m: index, %n: index) {
      %g, %u = tile.wait %accs : !accs
      %out = tile.epilogue %g, %u at [%m, %n] (%x: vector<2xf32>, %y: vector<2xf32>) {
        %p = arith.mulf %x, %y : vector<2xf32>
        %h = arith.truncf %p : vector<2xf32> to vector<2xf16>
        tile.yield %h : vector<2xf16>
      } : !acc, !acc -> !tile.fragment<128x128xf16>
      tile.store %out to %d[%m, %n] panel 32 buffers 2 : !tile.fragment<128x128xf16>, memref<970x16384xf16>
      // Accumulators are empty in block 0.
      // CHECK: nvvm.mbarrier.arrive {{.*}} !llvm.ptr<7>
      tile.release %accs : !accs
    }
  }
  tile.role @load warps 1 {
    tile.for_tiles [8, 128] raster <m, group 8> (%m: index, %n: index) {
      scf.for %k = %c0 to %blocks step %c1 {
        // CHECK: nvvm.mbarrier.arrive.expect_tx %{{.*}}, %[[BYTES]]
        // CHECK: nvvm.mapa
        // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global{{.*}}cta_2
        // PTX: cp.async.bulk.tensor.2d.shared::cluster.global{{.*}}cta_group::2
        %sa, %sg, %su = tile.acquire %ring : !stages
        tile.load %a[%m, %k] to %sa : memref<970x2048xf8E4M3FN>, !a
        tile.load %gate[%n, %k] to %sg half : memref<16384x2048xf8E4M3FN>, !b
        tile.load %up[%n, %k] to %su half : memref<16384x2048xf8E4M3FN>, !b
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps 1 {
    tile.for_tiles [8, 128] raster <m, group 8> (%m: index, %n: index) {
      %e0, %e1 = tile.acquire %accs : !accs
      %z0 = tile.clear %e0 : !acc
      %z1 = tile.clear %e1 : !acc
      %s:2 = scf.for %k = %c0 to %blocks step %c1 iter_args(%p = %z0, %q = %z1) -> (!acc, !acc) {
        // In turn for each 32 bytes of K.
        // CHECK: nvvm.tcgen05.mma {{.*}}, %[[FORM]], {{.*}}collectorOp = #nvvm.tcgen05_mma_collectorop<fill>, ctaGroup = #nvvm.cta_group<cta_2>
        // CHECK: nvvm.tcgen05.mma {{.*}}collectorOp = #nvvm.tcgen05_mma_collectorop<lastuse>
        // CHECK: nvvm.tcgen05.mma {{.*}}collectorOp = #nvvm.tcgen05_mma_collectorop<fill>
        // CHECK: nvvm.tcgen05.commit {{.*}}multicast_mask
        // PTX: tcgen05.mma.cta_group::2.kind::f8f6f4.collector::a::fill
        // PTX: tcgen05.mma.cta_group::2.kind::f8f6f4.collector::a::lastuse
        // PTX: tcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.multicast::cluster
        %ta, %tg, %tu = tile.wait %ring : !stages
        %r0 = tile.mma %ta, %tg into %p : !a, !b, !acc
        %r1 = tile.mma %ta, %tu into %q : !a, !b, !acc
        tile.release %ring : !stages
        scf.yield %r0, %r1 : !acc, !acc
      }
      tile.publish %accs(%s#0, %s#1 : !acc, !acc) : !accs
    }
  }
  // CHECK: nvvm.cluster.wait
  // CHECK: nvvm.tcgen05.dealloc {{.*}}cta_2
}
