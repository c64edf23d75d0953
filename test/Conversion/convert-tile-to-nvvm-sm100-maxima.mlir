// Maxima of a thread's columns: magnitudes of f16 are compared in pairs, and of all 16 columns at once; those of f32 three at once. What
// follows from a maximum is computed once for both parts of a block.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 | FileCheck %s

!a = !tile.slot<128x64xf16, swizzle 128>
!b = !tile.slot<32x64xf16, swizzle 128>
!stages = !tile.ring<2, !a, !b>
!acc = !tile.acc<128x32xf32>
!accs = !tile.ring<2, !acc>

// CHECK: llvm.func @maxima
tile.kernel @maxima target "sm_110a" grid 1
    (%a: memref<128x64xf16>, %b: memref<32x64xf16>, %d: memref<128x32xf16>, %s: memref<128x2xi8>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  %accs = tile.ring : !accs
  tile.role @finish warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %acc = tile.wait %accs : !accs
      // CHECK: tcgen05.ld
      // Seven comparisons of words, and one of the halves of the last, in each of the two blocks.
      // CHECK-COUNT-8: max.NaN.xorsign.abs.f16x2
      // CHECK: arith.addi %{{.*}} : vector<8xi16>
      // CHECK-NOT: arith.addi
      // CHECK-COUNT-8: max.NaN.xorsign.abs.f16x2
      // CHECK: arith.addi %{{.*}} : vector<8xi16>
      // CHECK-NOT: arith.addi
      // CHECK-COUNT-4: llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
      %out, %scale = tile.epilogue %acc at [%m, %n] (%x: vector<8xf32>) {
        %mask = arith.constant dense<32767> : vector<8xi16>
        %three = arith.constant dense<3> : vector<8xi16>
        %h = arith.truncf %x : vector<8xf32> to vector<8xf16>
        %bits = arith.bitcast %h : vector<8xf16> to vector<8xi16>
        %size = arith.andi %bits, %mask : vector<8xi16>
        %most = tile.block_max %size along n block 16 : vector<8xi16>
        %sum = arith.addi %most, %three : vector<8xi16>
        %code = arith.trunci %sum : vector<8xi16> to vector<8xi8>
        tile.yield %h, %code : vector<8xf16>, vector<8xi8>
      } : !acc -> !tile.fragment<128x32xf16>, !tile.fragment<128x32xi8>
      tile.store %out to %d[%m, %n] panel 32 buffers 2 : !tile.fragment<128x32xf16>, memref<128x32xf16>
      tile.store_blocks %scale to %s block 16 : !tile.fragment<128x32xi8>, memref<128x2xi8>
      tile.release %accs : !accs
    }
  }
  tile.role @load warps 1 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %sa, %sb = tile.acquire %ring : !stages
      tile.load %a[%m, %c0] to %sa : memref<128x64xf16>, !a
      tile.load %b[%n, %c0] to %sb : memref<32x64xf16>, !b
      tile.publish %ring : !stages
    }
  }
  tile.role @multiply warps 1 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %empty = tile.acquire %accs : !accs
      %zero = tile.clear %empty : !acc
      %sa, %sb = tile.wait %ring : !stages
      %sum = tile.mma %sa, %sb into %zero : !a, !b, !acc
      tile.release %ring : !stages
      tile.publish %accs(%sum : !acc) : !accs
    }
  }
}
