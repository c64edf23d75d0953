// Sums of blocks of K: scales that are one number of a thread come a block before their products, which are read, scaled and added
// before the stage is given back; the last sums go back to where they came from, for the epilogue.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 | FileCheck %s

!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<3, !a, !b>
!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<2, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<4, !s>
!out = !tile.fragment<128x64xf16>
// CHECK-LABEL: llvm.func @blocks
tile.kernel @blocks target "sm_110a" grid 20
    (%a: memref<256x512xf8E4M3FN>, %b: memref<640x512xf8E4M3FN>, %rows: memref<256x4xf32>, %cols: memref<4x5xf32>,
     %more: memref<2x4x128xf16>, %d: memref<256x640xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %ring = tile.ring : !stages
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    tile.for_tiles [2, 10] raster <m, group 2> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // Of the first block, its row and its columns, then of the next one.
      // CHECK: %[[ROW:.*]] = llvm.load %{{.*}} invariant {alignment = 4 : i64} : !llvm.ptr<1> -> f32
      // CHECK: %[[COL:.*]] = llvm.load %{{.*}} invariant {alignment = 4 : i64} : !llvm.ptr<1> -> f32
      // CHECK: llvm.br ^{{.*}}, %[[ROW]], %[[COL]], %{{[0-9]+}} :
      // CHECK-COUNT-2: llvm.load %{{.*}} invariant
      %sum = scf.for %k = %c0 to %c3 step %c1 iter_args(%c = %zero) -> !acc {
        // CHECK-COUNT-2: nvvm.mbarrier.try_wait
        %s = tile.wait %scales : !scales
        %p = tile.wait %accs : !accs
        // CHECK: ld.shared.u16
        // CHECK-COUNT-2: llvm.fmul
        // CHECK: tcgen05.ld.sync.aligned.32x32b.x32.b32
        // CHECK-COUNT-16: llvm.intr.fma({{.*}} : (vector<2xf32>,
        // CHECK: // added
        // CHECK: tcgen05.ld.sync.aligned.32x32b.x32.b32
        // CHECK-COUNT-16: llvm.intr.fma({{.*}} : (vector<2xf32>,
        // CHECK: // added
        %q = tile.promote %p into %c at [%m, %n, %k] packed(%s : !s) rows(%rows : memref<256x4xf32>) cols(%cols : memref<4x5xf32>) group 128 : !acc, !acc
        // CHECK: nvvm.mbarrier.arrive
        tile.release %scales : !scales
        // CHECK: nvvm.tcgen05.fence <before>
        // CHECK: nvvm.mbarrier.arrive
        tile.release %accs : !accs
        scf.yield %q : !acc
      }
      %s = tile.wait %scales : !scales
      %p = tile.wait %accs : !accs
      // CHECK-COUNT-4: tcgen05.st.sync.aligned.32x32b.x16.b32
      // CHECK: tcgen05.wait::st.sync.aligned
      %q = tile.promote %p into %sum packed(%s : !s) : !acc, !acc
      tile.release %scales : !scales
      // CHECK: tcgen05.ld.sync.aligned.32x32b.x32.b32
      %out = tile.epilogue %q at [%m, %n] (%x: vector<2xf32>) {
        %h = arith.truncf %x : vector<2xf32> to vector<2xf16>
        tile.yield %h : vector<2xf16>
      } : !acc -> !out
      tile.store %out to %d[%m, %n] panel 64 buffers 2 : !out, memref<256x640xf16>
      tile.release %accs : !accs
    }
  }
  tile.role @load warps 1 {
    tile.for_tiles [2, 10] raster <m, group 2> (%m: index, %n: index) {
      scf.for %k = %c0 to %c4 step %c1 {
        %s = tile.acquire %scales : !scales
        tile.load %more[%m, %k, %c0] to %s : memref<2x4x128xf16>, !s
        tile.publish %scales : !scales
        %x:2 = tile.acquire %ring : !stages
        tile.load %a[%m, %k] to %x#0 : memref<256x512xf8E4M3FN>, !a
        tile.load %b[%n, %k] to %x#1 : memref<640x512xf8E4M3FN>, !b
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps 1 {
    tile.for_tiles [2, 10] raster <m, group 2> (%m: index, %n: index) {
      scf.for %k = %c0 to %c4 step %c1 {
        %empty = tile.acquire %accs : !accs
        %zero = tile.clear %empty : !acc
        %x:2 = tile.wait %ring : !stages
        %sum = tile.mma %x#0, %x#1 into %zero : !a, !b, !acc
        tile.release %ring : !stages
        tile.publish %accs(%sum : !acc) : !accs
      }
    }
  }
}
