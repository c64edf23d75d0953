// Quantization in an epilogue: maxima of blocks along both axes, codes in halves of the columns, a scale per block.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>

// CHECK-LABEL: tile.kernel @columns
tile.kernel @columns target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %d: memref<60x32xi8>, %s: memref<60x4xf8E4M3FN>) {
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
      %codes, %scales = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        // CHECK: %[[MOST:.*]] = tile.block_max %{{.*}} along n block 16 : vector<2xi32>
        %most = tile.block_max %bits along n block 16 : vector<2xi32>
        // CHECK: arith.bitcast %[[MOST]]
        %amax = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        %scale = arith.truncf %amax : vector<2xf32> to vector<2xf8E4M3FN>
        %q = arith.divf %v, %amax : vector<2xf32>
        %first = vector.extract %q[0] : f32 from vector<2xf32>
        %code = arith.fptosi %first : f32 to i8
        %byte = vector.broadcast %code : i8 to vector<1xi8>
        tile.yield %byte, %scale : vector<1xi8>, vector<2xf8E4M3FN>
      } : !acc -> !tile.fragment<64x32xi8>, !tile.fragment<64x64xf8E4M3FN>
      tile.store %codes to %d[%m, %n] panel 32 buffers 1 : !tile.fragment<64x32xi8>, memref<60x32xi8>
      // CHECK: tile.store_blocks %{{.*}} to %{{.*}} block 16 : !tile.fragment<64x64xf8E4M3FN>, memref<60x4xf8E4M3FN>
      tile.store_blocks %scales to %s block 16 : !tile.fragment<64x64xf8E4M3FN>, memref<60x4xf8E4M3FN>
    }
  }
}

// CHECK-LABEL: tile.kernel @rows
tile.kernel @rows target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %s: memref<64x2xf32>) {
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
      %scales = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %h = arith.truncf %v : vector<2xf32> to vector<2xf16>
        %bits = arith.bitcast %h : vector<2xf16> to vector<2xi16>
        // CHECK: tile.block_max %{{.*}} along m block 32 : vector<2xi16>
        %most = tile.block_max %bits along m block 32 : vector<2xi16>
        %wide = arith.uitofp %most : vector<2xi16> to vector<2xf32>
        tile.yield %wide : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
      // CHECK: tile.store_blocks %{{.*}} to %{{.*}} transposed block 32 : !tile.fragment<64x64xf32>, memref<64x2xf32>
      tile.store_blocks %scales to %s transposed block 32 : !tile.fragment<64x64xf32>, memref<64x2xf32>
    }
  }
}
