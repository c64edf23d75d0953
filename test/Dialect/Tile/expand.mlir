// Weights of 4 bits as operand A in registers, with scales of codes, and with scales of sums.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !x, !c, !s>
!acc = !tile.acc<64x64xf32>

// CHECK-LABEL: tile.kernel @nvfp4
tile.kernel @nvfp4 target "sm_90a" grid 1
    (%x: memref<64x64xf16>, %codes: memref<4x1x128xi32>, %scales: memref<4x1x64xf8E4M3FN>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    %sx, %sc, %ss = tile.acquire %ring : !stages
    tile.load %x[%c0, %c0] to %sx : memref<64x64xf16>, !x
    tile.load %codes[%c0, %c0, %c0] to %sc : memref<4x1x128xi32>, !c
    tile.load %scales[%c0, %c0, %c0] to %ss : memref<4x1x64xf8E4M3FN>, !s
    tile.publish %ring : !stages
  }
  tile.role @multiply warps 4 {
    %zero = tile.zero : !acc
    // CHECK: %[[T:.*]]:3 = tile.wait
    %sx, %sc, %ss = tile.wait %ring : !stages
    // CHECK: %[[W:.*]] = tile.expand %[[T]]#1 from f4E2M1FN scales(%[[T]]#2 : !{{.*}}) per 16 exponent -7 : !{{.*}} -> !tile.expanded<64x64xf16>
    %w = tile.expand %sc from f4E2M1FN scales(%ss : !s) per 16 exponent -7 : !c -> !tile.expanded<64x64xf16>
    // CHECK: tile.mma %[[W]], %[[T]]#0 into %{{.*}} : !tile.expanded<64x64xf16>, !{{.*}}, !tile.acc<64x64xf32>
    %d = tile.mma %w, %sx into %zero : !tile.expanded<64x64xf16>, !x, !acc
    tile.release %ring : !stages
  }
}

!g = !tile.slot<4x1x16xf32>
!groups = !tile.ring<2, !x, !c, !g>
// CHECK-LABEL: tile.kernel @int4
tile.kernel @int4 target "sm_90a" grid 1
    (%x: memref<64x64xf16>, %codes: memref<4x1x128xi32>, %scales: memref<4x1x16xf32>,
     %rows: memref<64x1xf32>, %cols: memref<1x1xf32>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !groups
  tile.role @load warps 4 {
    %sx, %sc, %ss = tile.acquire %ring : !groups
    tile.load %x[%c0, %c0] to %sx : memref<64x64xf16>, !x
    tile.load %codes[%c0, %c0, %c0] to %sc : memref<4x1x128xi32>, !c
    tile.load %scales[%c0, %c0, %c0] to %ss : memref<4x1x16xf32>, !g
    tile.publish %ring : !groups
  }
  tile.role @multiply warps 4 {
    %sum = tile.zero : !acc
    %zero = tile.zero : !acc
    %sx, %sc, %ss = tile.wait %ring : !groups
    // CHECK: tile.expand %{{.*}} from si4 exponent 0
    %w = tile.expand %sc from si4 exponent 0 : !c -> !tile.expanded<64x64xf16>
    %p = tile.mma %w, %sx into %zero : !tile.expanded<64x64xf16>, !x, !acc
    // CHECK: %[[SUM:.*]] = tile.promote %{{.*}} into %{{.*}} packed(%{{.*}} : !{{.*}}) : !tile.acc<64x64xf32>, !tile.acc<64x64xf32>
    %d = tile.promote %p into %sum packed(%ss : !g) : !acc, !acc
    tile.release %ring : !groups
    %q = tile.zero : !acc
    // CHECK: tile.promote %{{.*}} into %[[SUM]] at[%{{.*}}, %{{.*}}, %{{.*}}] rows(%{{.*}} : memref<64x1xf32>) cols(%{{.*}} : memref<1x1xf32>) group 128
    %e = tile.promote %q into %d at [%c0, %c0, %c0] rows(%rows : memref<64x1xf32>) cols(%cols : memref<1x1xf32>) group 128 : !acc, !acc
  }
}
