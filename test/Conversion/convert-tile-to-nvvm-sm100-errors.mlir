// What is not written for Blackwell yet is refused, with the layer and the reason.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm100 --split-input-file --verify-diagnostics

!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<2, !a, !a>
!acc = !tile.acc<64x64xf32>
!accs = !tile.ring<1, !acc>
tile.kernel @rows target "sm_110a" grid 1 (%a: memref<64x64xf16>, %d: memref<64x64xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !ring
  %accs = tile.ring : !accs
  tile.role @load warps 1 {
    %x, %y = tile.acquire %ring : !ring
    tile.load %a[%c0, %c0] to %x : memref<64x64xf16>, !a
    tile.load %a[%c0, %c0] to %y : memref<64x64xf16>, !a
    tile.publish %ring : !ring
  }
  tile.role @multiply warps 1 {
    %empty = tile.acquire %accs : !accs
    %zero = tile.clear %empty : !acc
    %x, %y = tile.wait %ring : !ring
    // expected-error @+1 {{layer 'rows': not lowered for sm_110a: tiles of 64 rows; 128 work}}
    %sum = tile.mma %x, %y into %zero : !a, !a, !acc
    tile.release %ring : !ring
    tile.publish %accs(%sum : !acc) : !accs
  }
  tile.role @drop warps 1 {
    %acc = tile.wait %accs : !accs
    tile.release %accs : !accs
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!a = !tile.slot<128x64xf16, swizzle 128>
!b = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<2, !a, !b>
tile.kernel @warps target "sm_110a" grid 1 (%a: memref<128x64xf16>, %d: memref<128x64xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !ring
  %accs = tile.ring : !accs
  // expected-error @+1 {{layer 'warps': not lowered for sm_110a: results of 8 warps; 4 work}}
  tile.role @finish warps 8 {
    %acc = tile.wait %accs : !accs
    %out = tile.epilogue %acc at [%c0, %c0] (%x: vector<2xf32>) {
      %h = arith.truncf %x : vector<2xf32> to vector<2xf16>
      tile.yield %h : vector<2xf16>
    } : !acc -> !tile.fragment<128x64xf16>
    tile.store %out to %d[%c0, %c0] panel 32 buffers 1 : !tile.fragment<128x64xf16>, memref<128x64xf16>
    tile.release %accs : !accs
  }
  tile.role @load warps 1 {
    %x, %y = tile.acquire %ring : !ring
    tile.load %a[%c0, %c0] to %x : memref<128x64xf16>, !a
    tile.load %a[%c0, %c0] to %y : memref<128x64xf16>, !b
    tile.publish %ring : !ring
  }
  tile.role @multiply warps 1 {
    %empty = tile.acquire %accs : !accs
    %zero = tile.clear %empty : !acc
    %x, %y = tile.wait %ring : !ring
    %sum = tile.mma %x, %y into %zero : !a, !b, !acc
    tile.release %ring : !ring
    tile.publish %accs(%sum : !acc) : !accs
  }
}
