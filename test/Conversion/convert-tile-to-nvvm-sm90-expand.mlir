// Operand A from registers: fragments of the next 16 k are made while products with the last are under way; sums times scales.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm90 | FileCheck %s

!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !x, !c, !s>
!acc = !tile.acc<64x64xf32>

// CHECK: llvm.func @nvfp4
// CHECK-SAME: "map 1 type 2 of 4x2x128 box 4x1x128 swizzle 0", "map 2 type 0 of 4x2x64 box 4x1x64 swizzle 0"
// CHECK: ld.shared.v4.b32
// CHECK: ld.shared.v2.b32
// CHECK: cvt.rn.f16x2.e4m3x2
// CHECK: prmt.b32
// CHECK-COUNT-4: mul.rn.f16x2
// CHECK: nvvm.wgmma.fence.aligned
// The first product overwrites.
// CHECK: setp.ne.b32 p, 0, 0;{{.*}}wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK: nvvm.wgmma.wait.group.sync.aligned 3
// CHECK: mul.rn.f16x2
// CHECK: setp.ne.b32 p, 1, 0;{{.*}}wgmma.mma_async
tile.kernel @nvfp4 target "sm_90a" grid 1
    (%x: memref<64x128xf16>, %codes: memref<4x2x128xi32>, %scales: memref<4x2x64xf8E4M3FN>, %d: memref<64x64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %k = %c0 to %c2 step %c1 {
        %sx, %sc, %ss = tile.acquire %ring : !stages
        tile.load %x[%n, %k] to %sx : memref<64x128xf16>, !x
        tile.load %codes[%m, %k, %c0] to %sc : memref<4x2x128xi32>, !c
        tile.load %scales[%m, %k, %c0] to %ss : memref<4x2x64xf8E4M3FN>, !s
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sum = scf.for %k = %c0 to %c2 step %c1 iter_args(%c = %zero) -> !acc {
        %sx, %sc, %ss = tile.wait %ring : !stages
        %w = tile.expand %sc from f4E2M1FN scales(%ss : !s) per 16 exponent -7 : !c -> !tile.expanded<64x64xf16>
        %next = tile.mma %w, %sx into %c : !tile.expanded<64x64xf16>, !x, !acc
        tile.release %ring : !stages
        scf.yield %next : !acc
      }
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        tile.yield %v : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
      tile.store %out to %d[%m, %n] panel 32 buffers 1 : !tile.fragment<64x64xf32>, memref<64x64xf32>
    }
  }
}

!a8 = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages8 = !tile.ring<2, !a8, !a8>
// Products of a stage are waited for, then times the scales of rows and columns.
// CHECK: llvm.func @blocks
// CHECK: nvvm.wgmma.mma_async {{.*}} D[<f32>, <zero>]
// CHECK: llvm.load {{.*}} invariant
// CHECK: wgmma.wait_group.sync.aligned 0;
// CHECK: llvm.fmul
// The next stage adds.
// CHECK: nvvm.wgmma.mma_async {{.*}} D[<f32>, <zero>]
// CHECK: wgmma.wait_group.sync.aligned 0;
// CHECK: llvm.intr.fma
tile.kernel @blocks target "sm_90a" grid 1
    (%a: memref<64x256xf8E4M3FN>, %b: memref<64x256xf8E4M3FN>, %rows: memref<64x2xf32>, %cols: memref<2x1xf32>, %d: memref<64x64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %ring = tile.ring : !stages8
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %k = %c0 to %c2 step %c1 {
        %sa, %sb = tile.acquire %ring : !stages8
        tile.load %a[%m, %k] to %sa : memref<64x256xf8E4M3FN>, !a8
        tile.load %b[%n, %k] to %sb : memref<64x256xf8E4M3FN>, !a8
        tile.publish %ring : !stages8
      }
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sum = scf.for %k = %c0 to %c2 step %c1 iter_args(%c = %zero) -> !acc {
        %sa, %sb = tile.wait %ring : !stages8
        %p0 = tile.zero : !acc
        %p = tile.mma %sa, %sb into %p0 : !a8, !a8, !acc
        %next = tile.promote %p into %c at [%m, %n, %k] rows(%rows : memref<64x2xf32>) cols(%cols : memref<2x1xf32>) group 128 : !acc, !acc
        tile.release %ring : !stages8
        scf.yield %next : !acc
      }
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        tile.yield %v : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
      tile.store %out to %d[%m, %n] panel 32 buffers 1 : !tile.fragment<64x64xf32>, memref<64x64xf32>
    }
  }
}
