// Kernels whose roles do not fit each other, or do not fit the target.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{role @read waits for this ring, and nobody publishes it}}
  %r = tile.ring : !r
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{nobody waits for this ring}}
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{nobody waits for this ring}}
  %r = tile.ring : !r
  tile.role @idle warps 1 {}
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{is published by @load and @more; one role fills a ring}}
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @more warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{role @both waits for what it publishes itself}}
  %r = tile.ring : !r
  tile.role @both warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
    %t = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{role @load publishes 1 stages, role @read waits for 2: one of them would hang}}
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
    %t = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  // expected-error @below {{is used inside a tile.for_tiles and outside of one, which run differently often}}
  %r = tile.ring : !r
  tile.role @load warps 1 {
    tile.for_tiles [2, 2] raster <m, group 1> (%a: index, %b: index) {
      %s = tile.acquire %r : !r
      tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
      tile.publish %r : !r
    }
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    tile.for_tiles [2, 2] raster <m, group 1> (%a: index, %b: index) {
      %s = tile.acquire %r : !r
      tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
      tile.publish %r : !r
    }
  }
  tile.role @read warps 1 {
    // expected-error @below {{goes over other tiles, or in another order, than role @load}}
    tile.for_tiles [2, 4] raster <m, group 1> (%a: index, %b: index) {
      %s = tile.wait %r : !r
      tile.release %r : !r
    }
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    tile.for_tiles [2, 2] raster <m, group 1> (%a: index, %b: index) {
      %s = tile.acquire %r : !r
      tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
      tile.publish %r : !r
    }
  }
  tile.role @read warps 1 {
    // expected-error @below {{goes over other tiles, or in another order, than role @load}}
    tile.for_tiles [2, 2] raster <n, group 1> (%a: index, %b: index) {
      %s = tile.wait %r : !r
      tile.release %r : !r
    }
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    // expected-error @below {{takes a second stage of the ring before a tile.release of the first}}
    %t = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    // expected-error @below {{gives back a stage that was not taken before it in this block}}
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{gives back a stage that was not taken before it in this block}}
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    // expected-error @below {{no tile.release follows in this block}}
    %s = tile.wait %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.publish %r : !r
    // expected-error @below {{uses a slot after its stage was given back (tile.publish)}}
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    // expected-error @below {{slot 0 is loaded 0 times beside the tile.publish; each slot is loaded once}}
    %s = tile.acquire %r : !r
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    // expected-error @below {{slot 0 is loaded 2 times beside the tile.publish}}
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %p = arith.cmpi eq, %i, %i : index
    scf.if %p {
      // expected-error @below {{inside 'scf.if', which does not run a constant number of times}}
      %s = tile.wait %r : !r
      tile.release %r : !r
    }
  }
}

// -----
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64xf32>) {
  %i = arith.constant 0 : index
  // expected-error @below {{has side effects and stands in no role}}
  %x = memref.load %m[%i] : memref<64xf32>
  tile.role @r warps 1 {}
}

// -----
// expected-error @below {{has 0 roles with 0 warps; at least 1, at most 32 warps}}
tile.kernel @k target "sm_90a" grid 1 () {
}

// -----
// expected-error @below {{has 2 roles with 40 warps; at least 1, at most 32 warps}}
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @a warps 32 {}
  tile.role @b warps 8 {}
}

// -----
// expected-error @below {{sets the registers of 1 of 2 roles; all or none}}
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @a warps 4 registers 40 {}
  tile.role @b warps 4 {}
}

// -----
// expected-error @below {{its roles take 98304 registers, sm_90a has 65536}}
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @a warps 8 registers 256 {}
  tile.role @b warps 4 registers 256 {}
}

// -----
// expected-error @below {{allows itself 232449 bytes of shared memory, a block on sm_90a may have 232448}}
tile.kernel @k target "sm_90a" grid 1 shared 232449 () {
  tile.role @a warps 1 {}
}

// -----
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!r = !tile.ring<5, !a, !b>
// expected-error @below {{needs 245840 bytes of shared memory for rings and staging, and may have 232448; use fewer stages or a smaller tile}}
tile.kernel @k target "sm_90a" grid 1 (%a: memref<128x128xf8E4M3FN>, %b: memref<256x128xf8E4M3FN>, %f: !tile.fragment<128x256xf16>, %d: memref<128x256xf16>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %sa, %sb = tile.acquire %r : !r
    tile.load %a[%i, %i] to %sa : memref<128x128xf8E4M3FN>, !a
    tile.load %b[%i, %i] to %sb : memref<256x128xf8E4M3FN>, !b
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %sa, %sb = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!r = !tile.ring<2, !a, !b>
// expected-error @below {{needs 98336 bytes of shared memory for rings and staging, and may have 98304}}
tile.kernel @k target "sm_90a" grid 1 shared 98304 (%a: memref<128x128xf8E4M3FN>, %b: memref<256x128xf8E4M3FN>, %f: !tile.fragment<128x256xf16>, %d: memref<128x256xf16>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %sa, %sb = tile.acquire %r : !r
    tile.load %a[%i, %i] to %sa : memref<128x128xf8E4M3FN>, !a
    tile.load %b[%i, %i] to %sb : memref<256x128xf8E4M3FN>, !b
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %sa, %sb = tile.wait %r : !r
    tile.release %r : !r
  }
}

// -----
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!r = !tile.ring<4, !a, !b>
// expected-error @below {{needs 263168 bytes of shared memory for rings and staging, and may have 232448}}
tile.kernel @k target "sm_90a" grid 1 (%a: memref<128x128xf8E4M3FN>, %b: memref<256x128xf8E4M3FN>, %f: !tile.fragment<128x256xf16>, %d: memref<128x256xf16>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %sa, %sb = tile.acquire %r : !r
    tile.load %a[%i, %i] to %sa : memref<128x128xf8E4M3FN>, !a
    tile.load %b[%i, %i] to %sb : memref<256x128xf8E4M3FN>, !b
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %sa, %sb = tile.wait %r : !r
    tile.release %r : !r
    tile.store %f to %d[%i, %i] panel 64 buffers 4 : !tile.fragment<128x256xf16>, memref<128x256xf16>
  }
}

// -----
!c = !tile.acc<128x256xf32>
!cs = !tile.ring<2, !c>
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!r = !tile.ring<1, !s>
// expected-error @below {{needs 528 columns of tensor memory for accumulators and scales, sm_100a has 512}}
tile.kernel @k target "sm_100a" grid 1 (%m: memref<1x4x2x256xf8E4M3FN>) {
  %i = arith.constant 0 : index
  %cs = tile.ring : !cs
  %r = tile.ring : !r
  tile.role @finish warps 4 {
    %c = tile.wait %cs : !cs
    tile.release %cs : !cs
  }
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    tile.load %m[%i, %i, %i, %i] to %s : memref<1x4x2x256xf8E4M3FN>, !s
    tile.publish %r : !r
  }
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %s = tile.wait %r : !r
    %t = tile.scales %s : !s -> !tile.scales<128x16xf8E4M3FN>
    tile.release %r : !r
    tile.publish %cs(%c : !c) : !cs
  }
}

// -----

// A team is whole warpgroups.
tile.kernel @half_teams target "sm_90a" grid 1 () {
  // expected-error @below {{'tile.role' op takes turns in 2 teams with 4 warps; a team is whole warpgroups, 4 warps each, beginning at a multiple of 4}}
  tile.role @multiply warps 4 turns 2 {
  }
}

// -----

tile.kernel @no_tiles target "sm_90a" grid 1 () {
  // expected-error @below {{'tile.role' op takes turns on tiles in 0 tile.for_tiles; one works}}
  tile.role @multiply warps 8 turns 2 {
  }
}

// -----

!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<4, !a>
tile.kernel @fills_in_turns target "sm_90a" grid 1 (%a: memref<64x128xf8E4M3FN>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !stages
  tile.role @load warps 8 turns 2 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{'tile.acquire' op in role @load, which takes turns; such a role fills no ring}}
      %s = tile.acquire %ring : !stages
      tile.load %a[%m, %c0] to %s : memref<64x128xf8E4M3FN>, !a
      tile.publish %ring : !stages
    }
  }
  tile.role @read warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %s = tile.wait %ring : !stages
      tile.release %ring : !stages
    }
  }
}

// -----
// expected-error @below {{a pair of blocks is a cluster of [2, 1] on a target with tensor memory}}
tile.kernel @k target "sm_90a" grid 2 cluster [2, 1] pair (%m: memref<64x128xi8>) {}

// -----
// expected-error @below {{a pair of blocks is a cluster of [2, 1] on a target with tensor memory}}
tile.kernel @k target "sm_110a" grid 4 cluster [4, 1] pair (%m: memref<64x128xi8>) {}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_110a" grid 2 cluster [2, 1] (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{one half for each block, in a kernel whose blocks are no pairs}}
    tile.load %m[%i, %i] to %s half : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
  tile.role @read warps 1 {
    %s = tile.wait %r : !r
    tile.release %r : !r
  }
}
