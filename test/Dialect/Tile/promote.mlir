// Sums of blocks of K on Blackwell: a stage of tensor memory each, scaled and added up in registers, one behind the other; the last
// stage is given back when an epilogue has read what is in it.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<3, !a, !b>
!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<2, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<4, !s>
!out = !tile.fragment<128x64xf16>
// CHECK-LABEL: tile.kernel @blocks
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
      // CHECK: tile.zero
      %zero = tile.zero : !acc
      %sum = scf.for %k = %c0 to %c3 step %c1 iter_args(%c = %zero) -> !acc {
        %s = tile.wait %scales : !scales
        %p = tile.wait %accs : !accs
        // CHECK: tile.promote %{{.*}} into %{{.*}} at[%{{.*}}, %{{.*}}, %{{.*}}] packed(%{{.*}} : !{{.*}}) rows(%{{.*}} : memref<256x4xf32>) cols(%{{.*}} : memref<4x5xf32>) group 128 :
        %q = tile.promote %p into %c at [%m, %n, %k] packed(%s : !s) rows(%rows : memref<256x4xf32>) cols(%cols : memref<4x5xf32>) group 128 : !acc, !acc
        tile.release %scales : !scales
        tile.release %accs : !accs
        scf.yield %q : !acc
      }
      %s = tile.wait %scales : !scales
      %p = tile.wait %accs : !accs
      // CHECK: tile.promote %{{.*}} into %{{.*}} packed(%{{.*}} : !{{.*}}) :
      %q = tile.promote %p into %sum packed(%s : !s) : !acc, !acc
      tile.release %scales : !scales
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
