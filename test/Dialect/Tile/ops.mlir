// Two GEMMs, as the lowerings for Hopper and for Blackwell will get them.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

// CHECK-DAG: ![[$A:slot[0-9]*]] = !tile.slot<128x128xf8E4M3FN, swizzle 128>
// CHECK-DAG: ![[$B:slot[0-9]*]] = !tile.slot<256x128xf8E4M3FN, swizzle 128>
// CHECK-DAG: ![[$SFA:slot[0-9]*]] = !tile.slot<1x4x2x256xf8E4M3FN>
// CHECK-DAG: ![[$STAGES:ring[0-9]*]] = !tile.ring<4, ![[$A]], ![[$B]]>
// CHECK-DAG: ![[$ACCRING:ring[0-9]*]] = !tile.ring<2, !tile.acc<128x208xf32>>

// FP8 on Hopper: D[976,32768] f16 = alpha * A * B^T, K = 2048. 128x256 per
// block, 4 stages of 128 bytes of K, a warpgroup that loads, two that multiply.
!a = !tile.slot<128x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<256x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<4, !a, !b>
!acc = !tile.acc<128x256xf32>

// CHECK-LABEL: tile.kernel @fp8_gemm target "sm_90a" grid 132 (%arg0: memref<976x2048xf8E4M3FN>
tile.kernel @fp8_gemm target "sm_90a" grid 132
    (%a: memref<976x2048xf8E4M3FN>, %b: memref<32768x2048xf8E4M3FN>,
     %d: memref<976x32768xf16>, %alpha: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %blocks = arith.constant 16 : index
  // CHECK: %[[RING:.*]] = tile.ring : ![[$STAGES]]
  %ring = tile.ring : !stages
  // CHECK: tile.role @load warps 4 registers 40 {
  tile.role @load warps 4 registers 40 {
    // CHECK: tile.for_tiles [8, 128] raster <m, group 4> (%[[M:.*]]: index, %[[N:.*]]: index) {
    tile.for_tiles [8, 128] raster <m, group 4> (%m: index, %n: index) {
      scf.for %k = %c0 to %blocks step %c1 {
        // CHECK: %[[SLOTS:.*]]:2 = tile.acquire %[[RING]] : ![[$STAGES]]
        %sa, %sb = tile.acquire %ring : !stages
        // CHECK: tile.load %arg0[%[[M]], %{{.*}}] to %[[SLOTS]]#0 : memref<976x2048xf8E4M3FN>, ![[$A]]
        tile.load %a[%m, %k] to %sa : memref<976x2048xf8E4M3FN>, !a
        tile.load %b[%n, %k] to %sb : memref<32768x2048xf8E4M3FN>, !b
        // CHECK: tile.publish %[[RING]] : ![[$STAGES]]
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps 8 registers 232 {
    tile.for_tiles [8, 128] raster <m, group 4> (%m: index, %n: index) {
      // CHECK: tile.zero : !tile.acc<128x256xf32>
      %zero = tile.zero : !acc
      %sum = scf.for %k = %c0 to %blocks step %c1 iter_args(%c = %zero) -> !acc {
        // CHECK: %[[FULL:.*]]:2 = tile.wait %[[RING]]
        %sa, %sb = tile.wait %ring : !stages
        // CHECK: tile.mma %[[FULL]]#0, %[[FULL]]#1 into %{{.*}} : ![[$A]], ![[$B]], !tile.acc<128x256xf32>
        %next = tile.mma %sa, %sb into %c : !a, !b, !acc
        // CHECK: tile.release %[[RING]]
        tile.release %ring : !stages
        scf.yield %next : !acc
      }
      // CHECK: tile.epilogue %{{.*}} at[%{{.*}}, %{{.*}}] (%{{.*}}: vector<2xf32>) {
      %out = tile.epilogue %sum at [%m, %n] (%x: vector<2xf32>) {
        %s = vector.broadcast %alpha : f32 to vector<2xf32>
        %y = arith.mulf %x, %s : vector<2xf32>
        %h = arith.truncf %y : vector<2xf32> to vector<2xf16>
        // CHECK: tile.yield %{{.*}} : vector<2xf16>
        tile.yield %h : vector<2xf16>
      // CHECK: } : !tile.acc<128x256xf32> -> !tile.fragment<128x256xf16>
      } : !acc -> !tile.fragment<128x256xf16>
      // CHECK: tile.store %{{.*}} to %arg2[%{{.*}}, %{{.*}}] panel 64 buffers 2 : !tile.fragment<128x256xf16>, memref<976x32768xf16>
      tile.store %out to %d[%m, %n] panel 64 buffers 2 : !tile.fragment<128x256xf16>, memref<976x32768xf16>
    }
  }
}

// Gate and up in neighbouring columns, scales per row and column, a cluster of
// two blocks along m that share the weights; two blocks' worth of K.
// CHECK-LABEL: tile.kernel @gated target "sm_90a" grid 132 cluster [2, 1] shared 229376 (
tile.kernel @gated target "sm_90a" grid 132 cluster [2, 1] shared 229376
    (%a: memref<970x256xf8E4M3FN>, %b: memref<32768x256xf8E4M3FN>, %rows: memref<970xf32>,
     %cols: memref<32768xf32>, %bias: memref<970x32768xbf16>, %d: memref<970x16384xf8E4M3FN>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 {
    tile.for_tiles [8, 128] raster <n, group 8> (%m: index, %n: index) {
      %sa, %sb = tile.acquire %ring : !stages
      tile.load %a[%m, %c0] to %sa : memref<970x256xf8E4M3FN>, !a
      // CHECK: multicast m : memref
      tile.load %b[%n, %c0] to %sb multicast m : memref<32768x256xf8E4M3FN>, !b
      tile.publish %ring : !stages
      %ta, %tb = tile.acquire %ring : !stages
      tile.load %a[%m, %c1] to %ta : memref<970x256xf8E4M3FN>, !a
      tile.load %b[%n, %c1] to %tb multicast m : memref<32768x256xf8E4M3FN>, !b
      tile.publish %ring : !stages
    }
  }
  tile.role @multiply warps 8 {
    tile.for_tiles [8, 128] raster <n, group 8> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %sa, %sb = tile.wait %ring : !stages
      %half = tile.mma %sa, %sb into %zero : !a, !b, !acc
      tile.release %ring : !stages
      %ta, %tb = tile.wait %ring : !stages
      %sum = tile.mma %ta, %tb into %half : !a, !b, !acc
      tile.release %ring : !stages
      // CHECK: rows(%{{.*}} : memref<970xf32>) cols(%{{.*}} : memref<32768xf32>) elements(%{{.*}} : memref<970x32768xbf16>)
      %out = tile.epilogue %sum at [%m, %n] rows(%rows : memref<970xf32>) cols(%cols : memref<32768xf32>)
          elements(%bias : memref<970x32768xbf16>)
          (%x: vector<2xf32>, %r: vector<2xf32>, %c: vector<2xf32>, %e: vector<2xbf16>) {
        %rc = arith.mulf %r, %c : vector<2xf32>
        %w = arith.extf %e : vector<2xbf16> to vector<2xf32>
        %y = math.fma %x, %rc, %w : vector<2xf32>
        %gate = vector.extract %y[0] : f32 from vector<2xf32>
        %up = vector.extract %y[1] : f32 from vector<2xf32>
        %t = math.tanh %gate : f32
        %p = arith.mulf %t, %up : f32
        %q = arith.truncf %p : f32 to f8E4M3FN
        %v = vector.broadcast %q : f8E4M3FN to vector<1xf8E4M3FN>
        tile.yield %v : vector<1xf8E4M3FN>
      } : !acc -> !tile.fragment<128x128xf8E4M3FN>
      tile.store %out to %d[%m, %n] panel 128 buffers 1 : !tile.fragment<128x128xf8E4M3FN>, memref<970x16384xf8E4M3FN>
    }
  }
}

// NVFP4 on Blackwell: D[970,16384] f16, K = 2048. 256 of K per stage with its
// block scales; two accumulators in tensor memory, so that the epilogue of one
// tile runs under the products of the next.
!fa = !tile.slot<128x256xf4E2M1FN, swizzle 128>
!fb = !tile.slot<208x256xf4E2M1FN, swizzle 128>
!fsa = !tile.slot<1x4x2x256xf8E4M3FN>
!fsb = !tile.slot<2x4x2x256xf8E4M3FN>
!fstages = !tile.ring<4, !fa, !fb, !fsa, !fsb>
!tacc = !tile.acc<128x208xf32>
!taccs = !tile.ring<2, !tacc>
!tsa = !tile.scales<128x16xf8E4M3FN>
!tsb = !tile.scales<256x16xf8E4M3FN>

// The scales of each tile of 208 columns are padded to 256 rows: 79 x 2 tiles.
// CHECK-LABEL: tile.kernel @nvfp4_gemm target "sm_110a" grid 20 (
tile.kernel @nvfp4_gemm target "sm_110a" grid 20
    (%a: memref<970x2048xf4E2M1FN>, %b: memref<16384x2048xf4E2M1FN>,
     %a_scales: memref<8x32x2x256xf8E4M3FN>, %b_scales: memref<158x32x2x256xf8E4M3FN>,
     %d: memref<970x16384xf16>, %alpha: f32) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %blocks = arith.constant 8 : index
  %ring = tile.ring : !fstages
  // CHECK: %[[ACCS:.*]] = tile.ring : ![[$ACCRING]]{{$}}
  %accs = tile.ring : !taccs
  tile.role @finish warps 4 {
    tile.for_tiles [8, 79] raster <m, group 8> (%m: index, %n: index) {
      // CHECK: %[[DONE:.*]] = tile.wait %[[ACCS]]
      %acc = tile.wait %accs : !taccs
      // CHECK: tile.epilogue %[[DONE]]
      %out = tile.epilogue %acc at [%m, %n] (%x: vector<16xf32>) {
        %s = vector.broadcast %alpha : f32 to vector<16xf32>
        %y = arith.mulf %x, %s : vector<16xf32>
        %h = arith.truncf %y : vector<16xf32> to vector<16xf16>
        tile.yield %h : vector<16xf16>
      } : !tacc -> !tile.fragment<128x208xf16>
      tile.release %accs : !taccs
      tile.store %out to %d[%m, %n] panel 16 buffers 2 : !tile.fragment<128x208xf16>, memref<970x16384xf16>
    }
  }
  tile.role @load warps 1 {
    tile.for_tiles [8, 79] raster <m, group 8> (%m: index, %n: index) {
      scf.for %k = %c0 to %blocks step %c1 {
        %sa, %sb, %ssa, %ssb = tile.acquire %ring : !fstages
        tile.load %a[%m, %k] to %sa : memref<970x2048xf4E2M1FN>, !fa
        tile.load %b[%n, %k] to %sb : memref<16384x2048xf4E2M1FN>, !fb
        // CHECK: tile.load %{{.*}}[%{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}] to %{{.*}} : memref<8x32x2x256xf8E4M3FN>, ![[$SFA]]
        tile.load %a_scales[%m, %k, %c0, %c0] to %ssa : memref<8x32x2x256xf8E4M3FN>, !fsa
        tile.load %b_scales[%n, %k, %c0, %c0] to %ssb : memref<158x32x2x256xf8E4M3FN>, !fsb
        tile.publish %ring : !fstages
      }
    }
  }
  tile.role @multiply warps 1 {
    tile.for_tiles [8, 79] raster <m, group 8> (%m: index, %n: index) {
      // CHECK: %[[EMPTY:.*]] = tile.acquire %[[ACCS]]
      %empty = tile.acquire %accs : !taccs
      // CHECK: tile.clear %[[EMPTY]] : !tile.acc<128x208xf32>
      %zero = tile.clear %empty : !tacc
      %sum = scf.for %k = %c0 to %blocks step %c1 iter_args(%c = %zero) -> !tacc {
        %sa, %sb, %ssa, %ssb = tile.wait %ring : !fstages
        // CHECK: %[[SA:.*]] = tile.scales %{{.*}} : ![[$SFA]] -> !tile.scales<128x16xf8E4M3FN>
        %ta = tile.scales %ssa : !fsa -> !tsa
        %tb = tile.scales %ssb : !fsb -> !tsb
        // CHECK: tile.mma %{{.*}}, %{{.*}} into %{{.*}} scales(%[[SA]], %{{.*}} : !tile.scales<128x16xf8E4M3FN>, !tile.scales<256x16xf8E4M3FN>)
        %next = tile.mma %sa, %sb into %c scales(%ta, %tb : !tsa, !tsb) : !fa, !fb, !tacc
        tile.release %ring : !fstages
        scf.yield %next : !tacc
      }
      // CHECK: tile.publish %[[ACCS]](%{{.*}} : !tile.acc<128x208xf32>) : ![[$ACCRING]]{{$}}
      tile.publish %accs(%sum : !tacc) : !taccs
    }
  }
}
