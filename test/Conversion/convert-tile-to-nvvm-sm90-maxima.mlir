// Maxima of blocks: a thread's own elements, then half of its blocks to its neighbour at each step; what depends on a
// maximum alone is computed once, by the thread that gets it, and fetched by the others.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm90 --split-input-file | FileCheck %s

!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>

// Two rows of two blocks of 16 are one of each of the four threads of a row: two steps, one division, then four from their owners.
// CHECK-LABEL: llvm.func @columns
tile.kernel @columns target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %d: memref<60x64xf32>, %s: memref<60x4xf32>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %sx, %sy = tile.acquire %ring : !stages
      tile.load %x[%m, %c0] to %sx : memref<60x64xf16>, !w
      tile.load %y[%n, %c0] to %sy : memref<64x64xf16>, !w
      tile.publish %ring : !stages
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sx, %sy = tile.wait %ring : !stages
      %sum = tile.mma %sx, %sy into %zero : !w, !w, !acc
      tile.release %ring : !stages
      // CHECK-COUNT-8: arith.bitcast %{{.*}} : vector<2xf32> to vector<2xi32>
      // CHECK: arith.maxui %{{.*}} : vector<2xi32>
      // CHECK-COUNT-3: nvvm.shfl.sync bfly
      // CHECK-NOT: nvvm.shfl.sync bfly
      // CHECK: arith.divf
      // CHECK-NOT: arith.divf
      // CHECK-COUNT-4: nvvm.shfl.sync idx
      // CHECK-NOT: nvvm.shfl.sync
      // CHECK-COUNT-8: arith.mulf
      // CHECK-NOT: arith.divf
      // CHECK-COUNT-3: nvvm.shfl.sync bfly
      // CHECK: arith.divf
      %out, %scales = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        %most = tile.block_max %bits along n block 16 : vector<2xi32>
        %one = arith.constant dense<1.0> : vector<2xf32>
        %amax = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        %inverse = arith.divf %one, %amax : vector<2xf32>
        %q = arith.mulf %v, %inverse : vector<2xf32>
        tile.yield %q, %inverse : vector<2xf32>, vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>, !tile.fragment<64x64xf32>
      tile.store %out to %d[%m, %n] panel 32 buffers 1 : !tile.fragment<64x64xf32>, memref<60x64xf32>
      // CHECK: llvm.store %{{.*}}, %{{.*}} {alignment = 4 : i64} : f32, !llvm.ptr<1>
      tile.store_blocks %scales to %s block 16 : !tile.fragment<64x64xf32>, memref<60x4xf32>
    }
  }
}

// -----

!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>

// Rows of a warp: eight threads of a column have eight units, 64 columns; two numbers of 16 bits are one word. 32 rows
// are two warps', which meet twice: where a tile begins, and where all have written.
// CHECK-LABEL: llvm.func @rows
tile.kernel @rows target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %d: memref<64x64xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %sx, %sy = tile.acquire %ring : !stages
      tile.load %x[%m, %c0] to %sx : memref<60x64xf16>, !w
      tile.load %y[%n, %c0] to %sy : memref<64x64xf16>, !w
      tile.publish %ring : !stages
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sx, %sy = tile.wait %ring : !stages
      %sum = tile.mma %sx, %sy into %zero : !w, !w, !acc
      tile.release %ring : !stages
      // CHECK: nvvm.barrier id
      // CHECK-COUNT-7: nvvm.shfl.sync bfly
      // CHECK-NOT: nvvm.shfl.sync bfly
      // CHECK: llvm.store %{{.*}} : i32, !llvm.ptr<3>
      // CHECK: nvvm.barrier id
      // CHECK: llvm.load %{{.*}} : !llvm.ptr<3> -> i32
      // CHECK: arith.maxui %{{.*}} : vector<2xi16>
      // CHECK: arith.uitofp
      // CHECK-NOT: arith.uitofp
      // CHECK-COUNT-16: nvvm.shfl.sync idx
      // CHECK-NOT: nvvm.shfl.sync
      // CHECK: nvvm.stmatrix
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %h = arith.truncf %v : vector<2xf32> to vector<2xf16>
        %bits = arith.bitcast %h : vector<2xf16> to vector<2xi16>
        %most = tile.block_max %bits along m block 32 : vector<2xi16>
        %wide = arith.uitofp %most : vector<2xi16> to vector<2xf32>
        %q = arith.divf %v, %wide : vector<2xf32>
        %r = arith.truncf %q : vector<2xf32> to vector<2xf16>
        tile.yield %r : vector<2xf16>
      } : !acc -> !tile.fragment<64x64xf16>
      tile.store %out to %d[%n, %m] transposed panel 64 buffers 1 : !tile.fragment<64x64xf16>, memref<64x64xf16>
    }
  }
}
