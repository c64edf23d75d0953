// Expansions that are not exact or not packed so, and scales of sums that do not fit.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x32xf8E8M0FNU>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{'f4E2M1FN' with scales of 'f8E8M0FNU' is not exact in 'f16'}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 32 exponent 0 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{is exact times 2^-7, not times 2^0}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent 0 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{'si4' with scales of 'f8E4M3FN' is not exact in 'f16'}}
    %w = tile.expand %c from si4 scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{scales come from a slot of 4x1x32 without swizzle, not '!tile.slot<4x1x64xf8E4M3FN>'}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 32 exponent -7 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{has a scale per 8 elements of K; 16 and 32 work}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 8 exponent -7 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{codes come from a slot of 8x1x128 without swizzle, not '!tile.slot<4x1x128xi32>'}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<128x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{makes '!tile.expanded<64x128xf16>'; multiples of 64 rows of 32 or 64 elements work}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<64x128xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_110a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    // expected-error @below {{sm_110a takes no operand of an mma from registers}}
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<64x64xf16>
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<64x64xf16>
    tile.release %r : !r
    %z = tile.zero : !acc
    // expected-error @below {{uses a slot after its stage was given back (tile.release)}}
    %d = tile.mma %w, %x into %z : !tile.expanded<64x64xf16>, !x, !acc
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    %a = tile.zero : !acc
    %b = tile.zero : !acc
    // expected-error @below {{has no scales}}
    %d = tile.promote %a into %b : !acc, !acc
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    %a = tile.zero : !acc
    %b = tile.zero : !acc
    // expected-error @below {{has 0 coordinates; scales in memory are at [m, n, block of K], others at none}}
    %d = tile.promote %a into %b rows(%rows : memref<64x1xf32>) : !acc, !acc
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    %a = tile.zero : !acc
    %b = tile.zero : !acc
    // expected-error @below {{scales come from a slot of 4x1x16 without swizzle, not '!tile.slot<4x1x64xf8E4M3FN>'}}
    %d = tile.promote %a into %b packed(%s : !s) : !acc, !acc
  }
}

// -----
!c = !tile.slot<4x1x128xi32>
!s = !tile.slot<4x1x64xf8E4M3FN>
!x = !tile.slot<64x64xf16, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r = !tile.ring<1, !x, !c, !s>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x1xf32>) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %x, %c, %s = tile.wait %r : !r
    %a = tile.zero : !acc
    %b = tile.zero : !acc
    %i = arith.constant 0 : index
    // expected-error @below {{has a scale for 96 columns; tiles of 64 columns have one if it divides that}}
    %d = tile.promote %a into %b at [%i, %i, %i] cols(%rows : memref<64x1xf32>) group 96 : !acc, !acc
  }
}
