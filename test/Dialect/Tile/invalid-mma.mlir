// Matrix products that a target does not have, and what epilogues and stores may not do.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{(M x N) do not fit each other}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{operands of an mma are stored with a swizzle}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.acquire %r : !r
    %c = tile.zero : !c
    // expected-error @below {{operands come from a stage that was waited for (tile.wait)}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{updates its accumulator in place, and that value has other uses}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
    %e = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 1 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{sm_90a multiplies in whole warpgroups: role @multiply has warps 0 to 0}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<64x256xf4E2M1FN, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{sm_90a has no mma of 'f4E2M1FN' and 'f4E2M1FN'; expand 4-bit weights first}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!b = !tile.slot<64x64xbf16, swizzle 128>
!c = !tile.acc<64x64xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{sm_90a has no mma of 'f16' and 'bf16'}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x64xbf16, swizzle 128>
!b = !tile.slot<64x64xbf16, swizzle 128>
!c = !tile.acc<64x64xf16>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{sm_90a accumulates bf16 in f32 only}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<8x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<64x8xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 8 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{M = 64 is not a multiple of 128}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<256x256xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{the accumulator takes 512 of the 255 registers of a thread of role @multiply}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b>
tile.kernel @k target "sm_90a" grid 1 () {
  %r = tile.ring : !r
  tile.role @multiply warps 4 registers 128 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !c
    // expected-error @below {{the accumulator takes 128 of the 128 registers of a thread of role @multiply}}
    %d = tile.mma %a, %b into %c : !a, !b, !c
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b = tile.wait %r : !r
    // expected-error @below {{sm_100a has no mma of 'f4E2M1FN' and 'f4E2M1FN'; 4-bit operands need block scales}}
    %d = tile.mma %a, %b into %z : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!c = !tile.acc<256x128xf32>
!r = !tile.ring<1, !a, !b>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b = tile.wait %r : !r
    // expected-error @below {{sm_100a has no mma of 256 rows (M) here; 64 or 128}}
    %d = tile.mma %a, %b into %z : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<64x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E4M3FN>
!t0 = !tile.scales<128x16xf8E4M3FN>
!s1 = !tile.slot<1x4x2x256xf8E4M3FN>
!t1 = !tile.scales<128x16xf8E4M3FN>
!c = !tile.acc<64x128xf32>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_110a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{sm_110a has no mma of 64 rows (M) with block scales; 128}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E4M3FN>
!t0 = !tile.scales<128x16xf8E4M3FN>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b, !s0>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    // expected-error @below {{has scales for 1 operands; A and B have each their own}}
    %d = tile.mma %a, %b into %z scales(%t0 : !t0) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!s0 = !tile.slot<1x1x2x256xf8E4M3FN>
!t0 = !tile.scales<128x4xf8E4M3FN>
!s1 = !tile.slot<1x1x2x256xf8E4M3FN>
!t1 = !tile.scales<128x4xf8E4M3FN>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{has no mma of 'f8E4M3FN' and 'f8E4M3FN' with scales of 'f8E4M3FN' and 'f8E4M3FN'}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E4M3FN>
!t0 = !tile.scales<128x16xf8E4M3FN>
!s1 = !tile.slot<1x4x2x256xf8E8M0FNU>
!t1 = !tile.scales<128x16xf8E8M0FNU>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{with scales of 'f8E4M3FN' and 'f8E8M0FNU'}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E8M0FNU>
!t0 = !tile.scales<128x16xf8E8M0FNU>
!s1 = !tile.slot<1x4x2x256xf8E8M0FNU>
!t1 = !tile.scales<128x16xf8E8M0FNU>
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{needs 128x8 scales (one per 32 along K, rows padded to 128)}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<208x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E4M3FN>
!t0 = !tile.scales<128x16xf8E4M3FN>
!s1 = !tile.slot<1x4x2x256xf8E4M3FN>
!t1 = !tile.scales<128x16xf8E4M3FN>
!c = !tile.acc<128x208xf32>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{needs 256x16 scales (one per 16 along K, rows padded to 128)}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!b = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!s0 = !tile.slot<1x4x2x256xf8E4M3FN>
!t0 = !tile.scales<128x16xf8E4M3FN>
!s1 = !tile.slot<1x4x2x256xf8E4M3FN>
!t1 = !tile.scales<128x16xf8E4M3FN>
!c = !tile.acc<128x128xf16>
!r = !tile.ring<1, !a, !b, !s0, !s1>
!cs = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %r = tile.ring : !r
  %cs = tile.ring : !cs
  tile.role @multiply warps 1 {
    %c = tile.acquire %cs : !cs
    %z = tile.clear %c : !c
    %a, %b, %s0, %s1 = tile.wait %r : !r
    %t0 = tile.scales %s0 : !s0 -> !t0
    %t1 = tile.scales %s1 : !s1 -> !t1
    // expected-error @below {{sm_100a accumulates scaled products in f32 only}}
    %d = tile.mma %a, %b into %z scales(%t0, %t1 : !t0, !t1) : !a, !b, !c
    tile.publish %cs(%d : !c) : !cs
  }
}

// -----
!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!t = !tile.scales<128x4xf8E8M0FNU>
!r = !tile.ring<1, !a, !a>
tile.kernel @k target "sm_90a" grid 1 (%t: !t) {
  %r = tile.ring : !r
  tile.role @multiply warps 4 {
    %a, %b = tile.wait %r : !r
    %c = tile.zero : !tile.acc<64x64xf32>
    // expected-error @below {{sm_90a has no mma with block scales}}
    %d = tile.mma %a, %b into %c scales(%t, %t : !t, !t) : !a, !a, !tile.acc<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 2 {
    %c = tile.zero : !c
    // expected-error @below {{reads accumulators with whole warpgroups: role @multiply needs a multiple of 4 warps}}
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    // expected-error @below {{the first argument of the body is a vector whose length divides the 64 columns}}
    %o = tile.epilogue %c at [%i, %i] (%x: vector<3xf32>) {
      tile.yield %x : vector<3xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    // expected-error @below {{the first argument of the body is a vector whose length divides the 64 columns}}
    %o = tile.epilogue %c at [%i, %i] (%x: f32) {
      tile.yield %x : f32
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    // expected-error @below {{the body takes ('vector<2xf32>'), not ('vector<2xf16>')}}
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf16>) {
      tile.yield %x : vector<2xf16>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%r: memref<64x1xf32>) {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    // expected-error @below {{operand 'memref<64x1xf32>' where rank 1 belongs}}
    %o = tile.epilogue %c at [%i, %i] rows(%r : memref<64x1xf32>) (%x: vector<2xf32>) {
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    // expected-error @below {{the body ends in a tile.yield of 1 values}}
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      tile.yield %x, %x : vector<2xf32>, vector<2xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 () {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      // expected-error @below {{'vector<2xf32>' for every 2 of '!tile.acc<64x64xf32>' does not make '!tile.fragment<64x32xf32>'}}
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<64x32xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%r: memref<64xf32>) {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      // expected-error @below {{has side effects; the body of an epilogue is arithmetic on registers}}
      %l = memref.load %r[%i] : memref<64xf32>
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<64x64xf32>
tile.kernel @k target "sm_90a" grid 1 (%v: vector<2xf32>) {
  %i = arith.constant 0 : index
  tile.role @multiply warps 4 {
    %c = tile.zero : !c
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      // expected-error @below {{takes 'vector<2xf32>' from outside; an epilogue may take scalars}}
      %y = arith.addf %x, %v : vector<2xf32>
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<64x64xf32>
  }
}

// -----
!c = !tile.acc<128x128xf32>
!r = !tile.ring<1, !c>
tile.kernel @k target "sm_100a" grid 1 () {
  %i = arith.constant 0 : index
  %r = tile.ring : !r
  tile.role @finish warps 4 {
    %c = tile.acquire %r : !r
    // expected-error @below {{reads an accumulator in tensor memory that was not waited for (tile.wait)}}
    %o = tile.epilogue %c at [%i, %i] (%x: vector<2xf32>) {
      tile.yield %x : vector<2xf32>
    } : !c -> !tile.fragment<128x128xf32>
    tile.publish %r(%c : !c) : !r
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf32>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 4] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{does not match 'memref<100x256xf32>'}}
      tile.store %f to %d[%m, %n] panel 64 buffers 1 : !f, memref<100x256xf32>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 4] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{a panel of 128 of 64 columns is 256 bytes wide; 32, 64 or 128}}
      tile.store %f to %d[%m, %n] panel 128 buffers 1 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x32xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 4] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{a panel of 64 of 32 columns is 128 bytes wide}}
      tile.store %f to %d[%m, %n] panel 64 buffers 1 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 4] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{attribute 'buffers' failed to satisfy constraint}}
      tile.store %f to %d[%m, %n] panel 64 buffers 0 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 4] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{dimension 0 has 2 tiles of 64, the loop goes over 1}}
      tile.store %f to %d[%m, %n] panel 64 buffers 1 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 8] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{dimension 1 has 4 tiles of 64, the loop goes over 8}}
      tile.store %f to %d[%m, %n] panel 64 buffers 1 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [4, 2] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{transposed panels of 20 columns}}
      tile.store %f to %d[%n, %m] transposed panel 20 buffers 1 : !f, memref<100x256xf16>
    }
  }
}

// -----
!f = !tile.fragment<64x64xf16>
tile.kernel @k target "sm_90a" grid 8 (%f: !f, %d: memref<100x256xf16>) {
  tile.role @multiply warps 4 {
    tile.for_tiles [4, 1] raster <m, group 1> (%m: index, %n: index) {
      // expected-error @below {{dimension 0 has 2 tiles of 64, the loop goes over 1}}
      tile.store %f to %d[%n, %m] transposed panel 64 buffers 1 : !f, memref<100x256xf16>
    }
  }
}
