// Sums in registers next to tensor memory that do not fit, or are not there.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    // expected-error @below {{sm_110a accumulates in tensor memory: acquire a stage of a ring of accumulators and tile.clear it}}
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    %q = tile.promote %z into %p packed(%s : !s) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %s = tile.wait %scales : !scales
    %p, %p2 = tile.wait %accs : !accs
    // expected-error @below {{adds to sums that are in tensor memory; those of a tile.zero are in registers}}
    %q = tile.promote %p into %p2 packed(%s : !s) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x160xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    // expected-error @below {{keeps '!tile.acc<128x160xf32>' in registers; 128 rows of up to 128 columns work}}
    %q = tile.promote %p into %z packed(%s : !s) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<8x1x16xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    // expected-error @below {{scales come from a slot of 1x1x128 without swizzle, not '!tile.slot<8x1x16xf16>'}}
    %q = tile.promote %p into %z packed(%s : !s) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 8 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    // expected-error @below {{is the work of four warps, beginning at a multiple of 4; role @finish has 8}}
    %q = tile.promote %p into %z packed(%s : !s) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    // expected-error @below {{is late; with tensor memory products of other stages are under way anyway}}
    %q = tile.promote %p into %z packed(%s : !s) late : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    // expected-error @below {{has a scale for 64 rows; tiles of 128 rows have one if it divides that}}
    %q = tile.promote %p into %z at [%c0, %c0, %c0] rows(%cols : memref<1x64xf32>) group 64 transposed : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %y = tile.acquire %accs : !accs
    // expected-error @below {{adds products that were not waited for (tile.wait)}}
    %q = tile.promote %y into %z at [%c0, %c0, %c0] rows(%rows : memref<128x1xf32>) : !acc, !acc
  }
}

// -----

!acc = !tile.acc<128x64xf32>
!accs = !tile.ring<1, !acc>
!s = !tile.slot<1x1x128xf16>
!scales = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<128x1xf32>, %cols: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  %accs = tile.ring : !accs
  %scales = tile.ring : !scales
  tile.role @finish warps 4 {
    %z = tile.zero : !acc
    %s = tile.wait %scales : !scales
    %p = tile.wait %accs : !accs
    %q = tile.promote %p into %z packed(%s : !s) : !acc, !acc
    tile.release %accs : !accs
    // expected-error @below {{uses a slot after its stage was given back (tile.release)}}
    %out = tile.epilogue %q at [%c0, %c0] (%x: vector<2xf32>) {
      %h = arith.truncf %x : vector<2xf32> to vector<2xf16>
      tile.yield %h : vector<2xf16>
    } : !acc -> !tile.fragment<128x64xf16>
    tile.release %scales : !scales
  }
}

// -----

!acc = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<1x64xf32>) {
  %c0 = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %z = tile.zero : !acc
    %y = tile.zero : !acc
    // expected-error @below {{has scales of exchanged operands; sm_90a takes those of rows and columns}}
    %q = tile.promote %y into %z at [%c0, %c0, %c0] rows(%rows : memref<1x64xf32>) transposed : !acc, !acc
  }
}
