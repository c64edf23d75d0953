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

// -----
!a8 = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r8 = !tile.ring<2, !a8>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x4xf32>) {
  %c0 = arith.constant 0 : index
  %r = tile.ring : !r8
  tile.role @multiply warps 4 {
    %x = tile.wait %r : !r8
    %zero = tile.zero : !acc
    %sum = tile.zero : !acc
    %p = tile.mma %x, %x into %zero : !a8, !a8, !acc
    // expected-error @below {{is late, which takes an accumulator that a loop carries, and yields}}
    %d = tile.promote %p into %sum at [%c0, %c0, %c0] rows(%rows : memref<64x4xf32>) late : !acc, !acc
    tile.release %r : !r8
  }
}

// -----
!s = !tile.slot<4x1x16xf32>
!a8 = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!acc = !tile.acc<64x64xf32>
!r8 = !tile.ring<2, !a8, !s>
tile.kernel @k target "sm_90a" grid 1 () {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tile.ring : !r8
  tile.role @multiply warps 4 {
    %sum = tile.zero : !acc
    %all = scf.for %k = %c0 to %c1 step %c1 iter_args(%c = %sum) -> (!acc) {
      %x, %s = tile.wait %r : !r8
      %zero = tile.zero : !acc
      %p = tile.mma %x, %x into %zero : !a8, !a8, !acc
      // expected-error @below {{is late, which works for products of this round of operands in shared memory, with scales in global memory}}
      %d = tile.promote %p into %c packed(%s : !s) late : !acc, !acc
      tile.release %r : !r8
      scf.yield %d : !acc
    }
  }
}

// -----
!a8 = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b8 = !tile.slot<176x128xf8E4M3FN, swizzle 128>
!acc = !tile.acc<64x176xf32>
!r8 = !tile.ring<2, !a8, !b8>
tile.kernel @k target "sm_90a" grid 1 (%rows: memref<64x4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = tile.ring : !r8
  tile.role @multiply warps 4 {
    %sum = tile.zero : !acc
    %all = scf.for %k = %c0 to %c1 step %c1 iter_args(%c = %sum) -> (!acc) {
      %x:2 = tile.wait %r : !r8
      %zero = tile.zero : !acc
      %p = tile.mma %x#0, %x#1 into %zero : !a8, !b8, !acc
      // expected-error @below {{is late, and three accumulators take 264 of the 255 registers of a thread of role @multiply}}
      %d = tile.promote %p into %c at [%c0, %c0, %k] rows(%rows : memref<64x4xf32>) late : !acc, !acc
      tile.release %r : !r8
      scf.yield %d : !acc
    }
  }
}
