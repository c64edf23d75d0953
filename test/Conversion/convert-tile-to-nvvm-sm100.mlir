// NVFP4: tensor memory, block scales that begin inside of 128 rows, products of
// one thread, an epilogue of four warps while the next tile is multiplied.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 | FileCheck %s
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 --compile-kernels-to-ptx="chip=sm_110a output=-" -o /dev/null | FileCheck %s --check-prefix=PTX

!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<96x256xf4E2M1FN, swizzle 128>
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!stages = !tile.ring<4, !a, !s, !b, !s, !s>
!acc = !tile.acc<128x96xf32>
!accs = !tile.ring<2, !acc>
!sa = !tile.scales<128x16xf8E4M3FN>
!sb = !tile.scales<128x16xf8E4M3FN>

// 4-bit elements are mapped as bytes; a warp stores 32 rows.
// CHECK: llvm.func @nvfp4
// CHECK-SAME: "map 0 type 0 of 970x1024 box 128x128 swizzle 3"
// CHECK-SAME: "map 2 type 0 of 8x32x2x256 box 1x4x2x256 swizzle 0"
// CHECK-SAME: "map 4 type 6 of 970x16384 box 32x32 swizzle 2"
// CHECK-SAME: block = array<i64: 192, 1, 1>
// 2 x 96 columns of accumulators, 16 + 32 of scales: 256.
// CHECK-DAG: %[[COLUMNS:.*]] = llvm.mlir.constant(256 : i32)
// E2M1 x E2M1, N = 96, UE4M3, M = 128.
// CHECK-DAG: %[[FORM:.*]] = llvm.mlir.constant(135791744 : i32)
// CHECK: nvvm.tcgen05.alloc %{{.*}}, %[[COLUMNS]]
// CHECK: nvvm.tcgen05.relinquish_alloc_permit
// PTX: tcgen05.alloc.cta_group::1
tile.kernel @nvfp4 target "sm_110a" grid 20
    (%a: memref<970x2048xf4E2M1FN>, %b: memref<16384x2048xf4E2M1FN>,
     %a_scales: memref<8x32x2x256xf8E4M3FN>, %b_scales: memref<128x32x2x256xf8E4M3FN>,
     %d: memref<970x16384xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c96 = arith.constant 96 : index
  %c128 = arith.constant 128 : index
  %blocks = arith.constant 8 : index
  %ring = tile.ring : !stages
  %accs = tile.ring : !accs
  tile.role @finish warps 4 {
    tile.for_tiles [8, 171] raster <m, group 8> (%m: index, %n: index) {
      // CHECK: nvvm.mbarrier.try_wait
      // CHECK: nvvm.tcgen05.fence <after>
      %acc = tile.wait %accs : !accs
      // CHECK: tcgen05.ld.sync.aligned.32x32b.x32.b32
      // CHECK-SAME: tcgen05.wait::ld.sync.aligned
      // CHECK: nvvm.cp.async.bulk.wait_group 2 {read}
      // CHECK-COUNT-4: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
      // CHECK: nvvm.fence.proxy
      // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
      %out = tile.epilogue %acc at [%m, %n] (%x: vector<2xf32>) {
        %h = arith.truncf %x : vector<2xf32> to vector<2xf16>
        tile.yield %h : vector<2xf16>
      } : !acc -> !tile.fragment<128x96xf16>
      tile.store %out to %d[%m, %n] panel 32 buffers 3 : !tile.fragment<128x96xf16>, memref<970x16384xf16>
      // CHECK: nvvm.tcgen05.fence <before>
      // CHECK: nvvm.mbarrier.arrive
      tile.release %accs : !accs
    }
  }
  tile.role @load warps 1 {
    tile.for_tiles [8, 171] raster <m, group 8> (%m: index, %n: index) {
      %row = arith.muli %n, %c96 : index
      %first = arith.divui %row, %c128 : index
      %second = arith.addi %first, %c1 : index
      scf.for %k = %c0 to %blocks step %c1 {
        %sa, %ssa, %sb, %lower, %upper = tile.acquire %ring : !stages
        tile.load %a[%m, %k] to %sa : memref<970x2048xf4E2M1FN>, !a
        tile.load %a_scales[%m, %k, %c0, %c0] to %ssa : memref<8x32x2x256xf8E4M3FN>, !s
        tile.load %b[%n, %k] to %sb : memref<16384x2048xf4E2M1FN>, !b
        tile.load %b_scales[%first, %k, %c0, %c0] to %lower : memref<128x32x2x256xf8E4M3FN>, !s
        tile.load %b_scales[%second, %k, %c0, %c0] to %upper : memref<128x32x2x256xf8E4M3FN>, !s
        tile.publish %ring : !stages
      }
    }
  }
  // CHECK: nvvm.elect.sync
  tile.role @multiply warps 1 {
    tile.for_tiles [8, 171] raster <m, group 8> (%m: index, %n: index) {
      %row = arith.muli %n, %c96 : index
      %inside = arith.remui %row, %c128 : index
      %empty = tile.acquire %accs : !accs
      %zero = tile.clear %empty : !acc
      %sum = scf.for %k = %c0 to %blocks step %c1 iter_args(%c = %zero) -> !acc {
        %sa, %ssa, %sb, %lower, %upper = tile.wait %ring : !stages
        // 4 x 4 scales of 128 rows, and of 256.
        // CHECK-COUNT-12: nvvm.tcgen05.cp
        %ta = tile.scales %ssa : !s -> !sa
        %tb = tile.scales %lower, %upper from %inside : !s, !s -> !sb
        // CHECK-COUNT-4: nvvm.tcgen05.mma.block_scale %{{.*}}, %{{.*}}, %{{.*}}, %[[FORM]], {{.*}}block16{{.*}}mxf4nvf4
        %next = tile.mma %sa, %sb into %c scales(%ta, %tb : !sa, !sb) : !a, !b, !acc
        // CHECK: nvvm.tcgen05.commit
        tile.release %ring : !stages
        scf.yield %next : !acc
      }
      // CHECK: nvvm.tcgen05.commit
      tile.publish %accs(%sum : !acc) : !accs
    }
  }
  // CHECK: nvvm.barrier0
  // CHECK: nvvm.tcgen05.dealloc %{{.*}}, %[[COLUMNS]]
}
