// K in slices: three blocks of a cluster do a tile together, each a third of the K blocks, then a third of the columns.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

!a = !tile.slot<64x64xf16, swizzle 128>
!b = !tile.slot<40x64xf16, swizzle 128>
!stages = !tile.ring<4, !a, !b>
!acc = !tile.acc<64x40xf32>
!part = !tile.acc<64x16xf32>
!frag = !tile.fragment<64x16xf16>

// CHECK-LABEL: tile.kernel @split target "sm_90a" grid 12 cluster [1, 1, 3] (
tile.kernel @split target "sm_90a" grid 12 cluster [1, 1, 3]
    (%a: memref<100x400xf16>, %b: memref<80x400xf16>, %d: memref<100x80xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [2, 2] raster <m, group 2> (%m: index, %n: index) {
      // CHECK: scf.for %[[I:.*]] =
      scf.for %i = %c0 to %c3 step %c1 {
        // CHECK: %[[K:.*]] = tile.slice %[[I]] of 7
        %k = tile.slice %i of 7
        %s:2 = tile.acquire %ring : !stages
        // CHECK: tile.load %{{.*}}[%{{.*}}, %[[K]]]
        tile.load %a[%m, %k] to %s#0 : memref<100x400xf16>, !a
        tile.load %b[%n, %k] to %s#1 : memref<80x400xf16>, !b
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 2] raster <m, group 2> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sum = scf.for %i = %c0 to %c3 step %c1 iter_args(%c = %zero) -> (!acc) {
        %s:2 = tile.wait %ring : !stages
        %next = tile.mma %s#0, %s#1 into %c : !a, !b, !acc
        tile.release %ring : !stages
        scf.yield %next : !acc
      }
      // CHECK: %[[PART:.*]] = tile.reduce %{{.*}} : !tile.acc<64x40xf32> -> !tile.acc<64x16xf32>
      %part = tile.reduce %sum : !acc -> !part
      // CHECK: tile.epilogue %[[PART]] at
      %out = tile.epilogue %part at [%m, %n] (%x: vector<2xf32>) {
        %y = arith.truncf %x : vector<2xf32> to vector<2xf16>
        tile.yield %y : vector<2xf16>
      } : !part -> !frag
      tile.store %out to %d[%m, %n] panel 16 buffers 2 : !frag, memref<100x80xf16>
    }
  }
}
