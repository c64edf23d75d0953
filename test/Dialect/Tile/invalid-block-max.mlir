// Maxima of blocks that an epilogue cannot take, and stores of blocks that are none.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        // expected-error @below {{blocks of 24; powers of 2 from 8 on work}}
        %most = tile.block_max %bits along n block 24 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
    }
  }
}

// -----
!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        // expected-error @below {{blocks of 128 do not make up the epilogue's 64 of 64 rows}}
        %most = tile.block_max %bits along m block 128 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
    }
  }
}

// -----
!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        %once = tile.block_max %bits along n block 16 : vector<2xi32>
        %both = arith.addi %once, %bits : vector<2xi32>
        // expected-error @below {{takes the maximum of what follows from one}}
        %most = tile.block_max %both along n block 16 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
    }
  }
}

// -----
!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        // expected-error @below {{has other blocks than another maximum of the epilogue; one kind works}}
        %other = tile.block_max %bits along n block 32 : vector<2xi32>
        %most = tile.block_max %bits along n block 16 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
    }
  }
}

// -----
!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %s: memref<60x4xf16>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        %most = tile.block_max %bits along n block 16 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
      // expected-error @below {{stores 'f32' into a matrix, not into 'memref<60x4xf16>'}}
      tile.store_blocks %out to %s block 16 : !tile.fragment<64x64xf32>, memref<60x4xf16>
    }
  }
}

// -----
!w = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !w>
!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%x: memref<60x64xf16>, %y: memref<64x64xf16>, %s: memref<60x4xf32>) {
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
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        %most = tile.block_max %bits along n block 16 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
      // expected-error @below {{blocks of 24 do not make up the 64 columns; multiples of 8 work}}
      tile.store_blocks %out to %s block 24 : !tile.fragment<64x64xf32>, memref<60x4xf32>
    }
  }
}
