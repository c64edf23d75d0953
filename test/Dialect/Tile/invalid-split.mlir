// What the verifiers of slices of K refuse.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{cluster is [blocks along m, blocks along n], or with those along k behind, 1 to 8 blocks in all}}
tile.kernel @k target "sm_90a" grid 16 cluster [2, 2, 4] () {}

// -----
// expected-error @below {{a grid of 6 blocks is not a number of clusters of 4}}
tile.kernel @k target "sm_90a" grid 6 cluster [1, 1, 4] () {}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<4, !a>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1] (%a: memref<64x512xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %i = %c0 to %c4 step %c1 {
        // expected-error @below {{in a kernel whose cluster has one block along k: it does all K blocks}}
        %k = tile.slice %i of 8
      }
    }
  }
}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<4, !a>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] (%a: memref<64x512xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %i = %c0 to %c4 step %c1 {
        // expected-error @below {{cuts 1 K blocks into 2 slices}}
        %k = tile.slice %i of 1
      }
    }
  }
}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<4, !a>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] (%a: memref<64x512xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %i = %c0 to %c8 step %c1 {
        // expected-error @below {{of 8 K blocks each of 2 blocks does 4, which the loop counts from 0 in steps of 1}}
        %k = tile.slice %i of 8
      }
    }
  }
}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<4, !a>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] (%a: memref<64x512xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %i = %c0 to %c4 step %c1 {
        // expected-error @below {{counts by the index of the loop over K (scf.for)}}
        %k = tile.slice %m of 8
      }
    }
  }
}

// -----
!a = !tile.slot<64x64xf16, swizzle 128>
!ring = !tile.ring<4, !a>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] (%a: memref<64x512xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %ring = tile.ring : !ring
  tile.role @load warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      scf.for %i = %c0 to %c4 step %c1 {
        %s = tile.acquire %ring : !ring
        // expected-error @below {{is the same in 2 blocks along k, whose sums are added up; count K blocks by tile.slice}}
        tile.load %a[%m, %i] to %s : memref<64x512xf16>, !a
        tile.publish %ring : !ring
      }
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 2 cluster [2, 1] () {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{in a kernel whose cluster has one block along k}}
      %p = tile.reduce %zero : !acc -> !part
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 4 cluster [1, 1, 4] () {
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{gives each of 4 blocks '!tile.acc<64x16xf32>' of each accumulator}}
      %p = tile.reduce %zero : !acc -> !part
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] () {
  tile.role @multiply warps 4 {
    tile.for_tiles [2, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{adds up one tile per cluster; 1 clusters do 2 tiles}}
      %p = tile.reduce %zero : !acc -> !part
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] () {
  tile.role @multiply warps 8 turns 2 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{in role @multiply, whose teams take turns; all of its warps work on one tile}}
      %p = tile.reduce %zero : !acc -> !part
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] () {
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{is what an epilogue reads, and 'tile.reduce' does}}
      %p = tile.reduce %zero : !acc -> !part
      %q = tile.reduce %p : !part -> !tile.acc<64x16xf32>
    }
  }
}

// -----
!acc = !tile.acc<64x64xf32>
!part = !tile.acc<64x32xf32>
tile.kernel @k target "sm_90a" grid 2 cluster [1, 1, 2] () {
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // expected-error @below {{reads the sums of one of 2 blocks along k; tile.reduce adds them up}}
      %out = tile.epilogue %zero at [%m, %n] (%x: vector<2xf32>) {
        tile.yield %x : vector<2xf32>
      } : !acc -> !tile.fragment<64x64xf32>
    }
  }
}

// -----
!acc = !tile.acc<128x64xf32>
tile.kernel @k target "sm_100a" grid 2 cluster [1, 1, 2] () {
  %ring = tile.ring : !tile.ring<2, !acc>
  tile.role @multiply warps 4 {
    tile.for_tiles [1, 1] raster <m, group 1> (%m: index, %n: index) {
      %acc = tile.wait %ring : !tile.ring<2, !acc>
      // expected-error @below {{sm_100a accumulates in tensor memory, which this op does not add up}}
      %p = tile.reduce %acc : !acc -> !tile.acc<128x32xf32>
      tile.release %ring : !tile.ring<2, !acc>
    }
  }
}
