// Verifiers of types and of single ops.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{elements of 'f64'; TMA moves elements of 4, 8, 16 or 32 bits}}
func.func private @f(!tile.slot<8x128xf64>)

// -----
// expected-error @below {{a box of rank 6; TMA moves boxes of rank 1 to 5}}
func.func private @f(!tile.slot<1x1x1x1x1x128xi8>)

// -----
// expected-error @below {{extent 257 of a box; TMA allows 1 to 256}}
func.func private @f(!tile.slot<257x128xi8>)

// -----
// expected-error @below {{rows of 64 bits; TMA wants a multiple of 16 bytes}}
func.func private @f(!tile.slot<64x16xf4E2M1FN>)

// -----
// expected-error @below {{swizzle 48; there are 32, 64 and 128}}
func.func private @f(!tile.slot<8x48xi8, swizzle 48>)

// -----
// expected-error @below {{rows of 64 bytes in a swizzle that spans 128}}
func.func private @f(!tile.slot<8x32xf16, swizzle 128>)

// -----
// expected-error @below {{a slot of 512 bytes is not a multiple of its alignment, 1024 (8 rows)}}
func.func private @f(!tile.slot<4x128xi8, swizzle 128>)

// -----
// expected-error @below {{accumulators are f32 or f16, not 'bf16'}}
func.func private @f(!tile.acc<64x64xbf16>)

// -----
// expected-error @below {{an accumulator has two dimensions, both positive}}
func.func private @f(!tile.acc<64xf32>)

// -----
// expected-error @below {{a fragment of 'index'}}
func.func private @f(!tile.fragment<64x64xindex>)

// -----
// expected-error @below {{a fragment has two dimensions}}
func.func private @f(!tile.fragment<64x64x1xf32>)

// -----
// expected-error @below {{block scales are f8E4M3FN or f8E8M0FNU, not 'f8E5M2'}}
func.func private @f(!tile.scales<128x16xf8E5M2>)

// -----
// expected-error @below {{a tile of scales has two dimensions}}
func.func private @f(!tile.scales<128xf8E4M3FN>)

// -----
// expected-error @below {{208x16 scales are not whole tiles of 128x4}}
func.func private @f(!tile.scales<208x16xf8E4M3FN>)

// -----
// expected-error @below {{a ring of 0 stages; at least 1}}
func.func private @f(!tile.ring<0, !tile.slot<8x128xi8>>)

// -----
// expected-error @below {{a ring holds boxes of shared memory (!tile.slot), accumulators (!tile.acc) or operands (!tile.operand), nothing else, of one kind}}
func.func private @f(!tile.ring<2, !tile.slot<8x128xi8>, !tile.acc<64x64xf32>>)

// -----
// expected-error @below {{unknown target 'sm_80'; there are sm_90a, sm_100a, sm_110a}}
tile.kernel @k target "sm_80" grid 1 () {}

// -----
// expected-error @below {{cluster is [blocks along m, blocks along n], or with those along k behind, 1 to 8 blocks in all}}
tile.kernel @k target "sm_90a" grid 16 cluster [4, 4] () {}

// -----
// expected-error @below {{a grid of 131 blocks is not a number of clusters of 2}}
tile.kernel @k target "sm_90a" grid 131 cluster [2, 1] () {}

// -----
// expected-error @below {{attribute 'grid' failed to satisfy constraint: 64-bit signless integer attribute whose value is positive}}
tile.kernel @k target "sm_90a" grid 0 () {}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  // expected-error @below {{has 33 warps; a block has at most 32}}
  tile.role @r warps 33 {}
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  // expected-error @below {{asks for 250 registers; multiples of 8 from 24 to 256}}
  tile.role @r warps 4 registers 250 {}
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @one warps 1 {}
  // expected-error @below {{sets its registers, which whole warpgroups can}}
  tile.role @r warps 4 registers 64 {}
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @r warps 1 {
    // expected-error @below {{takes the number of tiles along m and along n}}
    tile.for_tiles [4] raster <m, group 1> (%m: index, %n: index) {}
  }
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @r warps 1 {
    // expected-error @below {{has two arguments, the index of the tile along m and along n}}
    tile.for_tiles [4, 4] raster <m, group 1> (%m: index) {}
  }
}

// -----
tile.kernel @k target "sm_90a" grid 2 cluster [2, 1] () {
  tile.role @r warps 1 {
    // expected-error @below {{3 tiles are not a multiple of the 2 blocks of a cluster; round up}}
    tile.for_tiles [3, 4] raster <m, group 1> (%m: index, %n: index) {}
  }
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  tile.role @r warps 1 {
    // expected-error @below {{a group of 0 rows of tiles; at least 1}}
    tile.for_tiles [4, 4] raster <m, group 0> (%m: index, %n: index) {}
  }
}

// -----
tile.kernel @k target "sm_90a" grid 1 () {
  // expected-error @below {{sm_90a has no tensor memory; accumulators are registers (tile.zero)}}
  %r = tile.ring : !tile.ring<2, !tile.acc<128x128xf32>>
}

// -----
!r = !tile.ring<2, !tile.acc<128x128xf32>>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 1 {
    %c = tile.acquire %r : !r
    // expected-error @below {{passes 0 accumulators to a ring of 1, or of another type}}
    tile.publish %r : !r
  }
}

// -----
func.func @f(%s: !tile.slot<64x128xi8>, %m: memref<64x128xi8>, %i: index) {
  // expected-error @below {{stands in no role of a kernel (tile.role)}}
  tile.load %m[%i, %i] to %s : memref<64x128xi8>, !tile.slot<64x128xi8>
  return
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xf8E4M3FN>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{at 2 coordinates does not match 'memref<64x128xf8E4M3FN>'}}
    tile.load %m[%i, %i] to %s : memref<64x128xf8E4M3FN>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<1x64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{at 3 coordinates does not match 'memref<1x64x128xi8>'}}
    tile.load %m[%i, %i, %i] to %s : memref<1x64x128xi8>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
!m = memref<64x128xi8, strided<[1, 64]>>
tile.kernel @k target "sm_90a" grid 1 (%m: !m) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{is not row-major}}
    tile.load %m[%i, %i] to %s : !m, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x100xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{are 800 bits apart; TMA wants multiples of 16 bytes}}
    tile.load %m[%i, %i] to %s : memref<64x100xi8>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 2 cluster [2, 1] (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{multicast along n, where the cluster has one block}}
    tile.load %m[%i, %i] to %s multicast n : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<24x128xi8, swizzle 128>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 2 cluster [2, 1] (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.acquire %r : !r
    // expected-error @below {{24 rows for 2 blocks; each loads a multiple of 8}}
    tile.load %m[%i, %i] to %s multicast m : memref<64x128xi8>, !s
    tile.publish %r : !r
  }
}

// -----
!s = !tile.slot<64x128xi8>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 (%m: memref<64x128xi8>) {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @load warps 1 {
    %s = tile.wait %r : !r
    // expected-error @below {{writes a slot that was not acquired (tile.acquire)}}
    tile.load %m[%i, %i] to %s : memref<64x128xi8>, !s
    tile.release %r : !r
  }
}

// -----
tile.kernel @k target "sm_100a" grid 1 () {
  tile.role @mma warps 4 {
    // expected-error @below {{sm_100a accumulates in tensor memory: acquire a stage of a ring of accumulators and tile.clear it}}
    %z = tile.zero : !tile.acc<128x128xf32>
  }
}

// -----
!c = !tile.acc<128x128xf32>
!r = !tile.ring<2, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %c = tile.wait %r : !r
    // expected-error @below {{clears an accumulator that was not acquired}}
    %z = tile.clear %c : !c
  }
}

// -----
!c = !tile.acc<128x128xf32>
!r = !tile.ring<2, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %c = tile.acquire %r : !r
    // expected-error @below {{clears in place, and that value has other uses}}
    %z = tile.clear %c : !c
    tile.publish %r(%c : !c) : !r
  }
}

// -----
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %s = tile.wait %r : !r
    // expected-error @below {{sm_90a has no tensor memory}}
    %t = tile.scales %s : !s -> !tile.scales<128x16xf8E4M3FN>
  }
}

// -----
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %s = tile.acquire %r : !r
    // expected-error @below {{reads a slot that was not waited for (tile.wait)}}
    %t = tile.scales %s : !s -> !tile.scales<128x16xf8E4M3FN>
  }
}

// -----
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %s = tile.wait %r : !r
    // expected-error @below {{comes from slots of Tx8x2x256x'f8E4M3FN' without swizzle}}
    %t = tile.scales %s : !s -> !tile.scales<128x32xf8E4M3FN>
  }
}

// -----
!s = !tile.slot<1x4x2x256xf8E4M3FN>
!r = !tile.ring<2, !s>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  tile.role @mma warps 4 {
    %s = tile.wait %r : !r
    // expected-error @below {{has 128 rows of scales in its slots for '!tile.scales<256x16xf8E4M3FN>'}}
    %t = tile.scales %s : !s -> !tile.scales<256x16xf8E4M3FN>
  }
}
