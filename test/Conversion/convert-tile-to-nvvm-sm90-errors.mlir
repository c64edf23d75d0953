// RUN: nibble-opt %s --convert-tile-to-nvvm-sm90 --split-input-file --verify-diagnostics

!s = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<2, !s, !s>
!acc = !tile.acc<64x64xf16>
tile.kernel @half target "sm_90a" grid 1 (%a: memref<64x64xf16>, %d: memref<64x64xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    %x, %y = tile.acquire %ring : !ring
    tile.load %a[%c0, %c0] to %x : memref<64x64xf16>, !s
    tile.load %a[%c0, %c0] to %y : memref<64x64xf16>, !s
    tile.publish %ring : !ring
  }
  tile.role @multiply warps 4 {
    %zero = tile.zero : !acc
    %x, %y = tile.wait %ring : !ring
    // expected-error @+1 {{layer 'half': not lowered for sm_90a: sums in 'f16'; f32 works}}
    %sum = tile.mma %x, %y into %zero : !s, !s, !acc
    tile.release %ring : !ring
    %out = tile.epilogue %sum at [%c0, %c0] (%v: vector<2xf16>) {
      tile.yield %v : vector<2xf16>
    } : !acc -> !tile.fragment<64x64xf16>
    tile.store %out to %d[%c0, %c0] panel 64 buffers 1 : !tile.fragment<64x64xf16>, memref<64x64xf16>
  }
}

// -----

!s = !tile.slot<64x64xi16, swizzle 128>
!ring = !tile.ring<2, !s>
tile.kernel @short target "sm_90a" grid 1 (%a: memref<64x64xi16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    %x = tile.acquire %ring : !ring
    // expected-error @+1 {{layer 'short': not lowered for sm_90a: tensor maps of 'i16'; f32, f16, bf16, i32, 4 and 8 bits work}}
    tile.load %a[%c0, %c0] to %x : memref<64x64xi16>, !s
    tile.publish %ring : !ring
  }
  tile.role @drop warps 4 {
    %x = tile.wait %ring : !ring
    tile.release %ring : !ring
  }
}

// -----

!s = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<2, !s, !s>
!acc = !tile.acc<64x64xf32>
tile.kernel @wide target "sm_90a" grid 1 (%a: memref<64x64xf16>, %d: memref<64x64xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    %x, %y = tile.acquire %ring : !ring
    tile.load %a[%c0, %c0] to %x : memref<64x64xf16>, !s
    tile.load %a[%c0, %c0] to %y : memref<64x64xf16>, !s
    tile.publish %ring : !ring
  }
  tile.role @multiply warps 4 {
    %zero = tile.zero : !acc
    %x, %y = tile.wait %ring : !ring
    %sum = tile.mma %x, %y into %zero : !s, !s, !acc
    tile.release %ring : !ring
    // expected-error @unknown {{layer 'layers.3.up': not lowered for sm_90a: an epilogue on 16 columns at once; 1, 2, 4 and 8 work}}
    %out = tile.epilogue %sum at [%c0, %c0] (%v: vector<16xf32>) {
      %h = arith.truncf %v : vector<16xf32> to vector<16xf16>
      tile.yield %h : vector<16xf16>
    } : !acc -> !tile.fragment<64x64xf16> loc("layers.3.up")
    tile.store %out to %d[%c0, %c0] panel 64 buffers 1 : !tile.fragment<64x64xf16>, memref<64x64xf16>
  }
}

// -----

tile.kernel @writes target "sm_90a" grid 1 (%a: memref<4xf32>) {
  %c0 = arith.constant 0 : index
  tile.role @all warps 4 {
    %x = memref.load %a[%c0] : memref<4xf32>
    // expected-error @+1 {{layer 'writes': not lowered for sm_90a: 'memref.store' on memory; memref.load works, and memref.store in a tile.once}}
    memref.store %x, %a[%c0] : memref<4xf32>
  }
}

// -----

// expected-error @+1 {{layer 'scalar': not lowered for sm_90a: a scalar argument of 'i1'; f16, bf16, f32, f64, i32, i64 and index work}}
tile.kernel @scalar target "sm_90a" grid 1 (%a: i1) {
  tile.role @all warps 4 {
  }
}

// -----

!w = !tile.slot<128x64xf16, swizzle 128>
!x = !tile.slot<64x64xf16, swizzle 128>
!stages = !tile.ring<2, !w, !x>
!acc = !tile.acc<128x64xf32>
tile.kernel @far target "sm_90a" grid 1 (%x: memref<128x64xf16>, %y: memref<64x64xf16>, %d: memref<64x128xf32>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %sx, %sy = tile.acquire %ring : !stages
      tile.load %x[%m, %c0] to %sx : memref<128x64xf16>, !w
      tile.load %y[%n, %c0] to %sy : memref<64x64xf16>, !x
      tile.publish %ring : !stages
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sx, %sy = tile.wait %ring : !stages
      %sum = tile.mma %sx, %sy into %zero : !w, !x, !acc
      tile.release %ring : !stages
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %bits = arith.bitcast %v : vector<2xf32> to vector<2xi32>
        // expected-error @+1 {{layer 'far': not lowered for sm_90a: blocks of 128 rows; 16, 32 and 64, of one warpgroup, work}}
        %most = tile.block_max %bits along m block 128 : vector<2xi32>
        %f = arith.bitcast %most : vector<2xi32> to vector<2xf32>
        tile.yield %f : vector<2xf32>
      } : !acc -> !tile.fragment<128x64xf32>
      tile.store %out to %d[%n, %m] transposed panel 64 buffers 1 : !tile.fragment<128x64xf32>, memref<64x128xf32>
    }
  }
}
