// A GEMM with two blocks per cluster that share the weights: barriers, roles,
// the first K block before the loop, the epilogue, panels.
// RUN: nibble-opt %s --convert-tile-to-nvvm-sm90 | FileCheck %s

!a = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!b = !tile.slot<64x128xf8E4M3FN, swizzle 128>
!stages = !tile.ring<4, !a, !b>
!acc = !tile.acc<64x64xf32>

// CHECK-LABEL: gpu.module @gpu_kernels
// CHECK: llvm.mlir.global external @nibble_dynamic_memory() {addr_space = 3 : i32, alignment = 1024 : i64}

// Arguments: two maps of loads, one of stores, one scalar that memory holds.
// CHECK: llvm.func @gemm(%[[A:[a-z0-9]*]]: !llvm.ptr {llvm.align = 64 : i64, llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}, %[[B:[a-z0-9]*]]: !llvm.ptr {
// CHECK-SAME: %{{[a-z0-9]*}}: !llvm.ptr<1>, %[[D:[a-z0-9]*]]: !llvm.ptr {
// CHECK-SAME: nibble.launch = {args = ["map 0 type 0 of 970x512 box 64x128 swizzle 3", "map 1 type 0 of 256x512 box 32x128 swizzle 3", "pointer 2", "map 3 type 6 of 970x256 box 16x64 swizzle 3"],
// CHECK-SAME: block = array<i64: 256, 1, 1>, cluster = array<i64: 2, 1, 1>, grid = array<i64: 8, 1, 1>, shared = 82944 : i64}
// CHECK-SAME: nvvm.cluster_dim = array<i32: 2, 1, 1>, nvvm.kernel, nvvm.minctasm = 1 : i32, nvvm.reqntid = array<i32: 256>
tile.kernel @gemm target "sm_90a" grid 8 cluster [2, 1]
    (%a: memref<970x512xf8E4M3FN>, %b: memref<256x512xf8E4M3FN>, %scale: memref<1xf32>, %d: memref<970x256xf16>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  // One arrival fills a stage; the 4 warps of both blocks empty it.
  // CHECK-DAG: %[[ONE:.*]] = llvm.mlir.constant(1 : i32)
  // CHECK-DAG: %[[EIGHT:.*]] = llvm.mlir.constant(8 : i32)
  // CHECK-COUNT-4: nvvm.mbarrier.init %{{.*}}, %[[ONE]]
  // CHECK-COUNT-4: nvvm.mbarrier.init %{{.*}}, %[[EIGHT]]
  // CHECK: nvvm.fence.mbarrier.init
  // CHECK: nvvm.griddepcontrol wait
  // CHECK: nvvm.griddepcontrol launch_dependents
  // CHECK: nvvm.cluster.arrive {aligned}
  %ring = tile.ring : !stages
  // CHECK: nvvm.setmaxregister {{ ?}}decrease 40
  // CHECK: nvvm.elect.sync
  tile.role @load warps 4 registers 40 {
    tile.for_tiles [16, 4] raster <m, group 4> (%m: index, %n: index) {
      scf.for %k = %c0 to %c4 step %c1 {
        %sa, %sb = tile.acquire %ring : !stages
        // CHECK: nvvm.mbarrier.try_wait
        // CHECK: nvvm.mbarrier.arrive.expect_tx
        // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[A]], %{{.*}}, box[%{{.*}}, %{{.*}}] :
        tile.load %a[%m, %k] to %sa : memref<970x512xf8E4M3FN>, !a
        // CHECK: nvvm.cp.async.bulk.tensor.shared.cluster.global %{{.*}}, %[[B]], %{{.*}}, box[%{{.*}}, %{{.*}}] multicast_mask = %{{.*}} :
        tile.load %b[%n, %k] to %sb multicast m : memref<256x512xf8E4M3FN>, !b
        tile.publish %ring : !stages
      }
    }
  }
  // CHECK: nvvm.setmaxregister {{ ?}}decrease 232
  // CHECK: nvvm.mapa
  tile.role @multiply warps 4 registers 232 {
    // CHECK: llvm.load %{{.*}} : !llvm.ptr<1> -> f32
    %alpha = memref.load %scale[%c0] : memref<1xf32>
    tile.for_tiles [16, 4] raster <m, group 4> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      // The first K block overwrites.
      // CHECK: nvvm.wgmma.fence.aligned
      // CHECK: nvvm.wgmma.mma_async {{.*}} D[<f32>, <zero>]
      // CHECK-COUNT-3: nvvm.wgmma.mma_async {{.*}} D[<f32>, <one>]
      // CHECK: nvvm.wgmma.commit.group.sync.aligned
      // CHECK-NOT: nvvm.mbarrier.arrive
      // The loop gives back the stage before.
      // CHECK-COUNT-4: nvvm.wgmma.mma_async {{.*}} D[<f32>, <one>]
      // CHECK: nvvm.wgmma.wait.group.sync.aligned 1
      // CHECK: nvvm.mbarrier.arrive %{{.*}} : !llvm.ptr<7>
      // CHECK: llvm.cond_br {{.*}} {loop_annotation
      %sum = scf.for %k = %c0 to %c4 step %c1 iter_args(%c = %zero) -> !acc {
        %sa, %sb = tile.wait %ring : !stages
        %next = tile.mma %sa, %sb into %c : !a, !b, !acc
        tile.release %ring : !stages
        scf.yield %next : !acc
      }
      // CHECK: llvm.inline_asm has_side_effects asm_dialect = att "wgmma.wait_group.sync.aligned 0;"
      // CHECK: nvvm.mbarrier.arrive
      // CHECK: nvvm.cp.async.bulk.wait_group 0 {read}
      // CHECK: nvvm.bar.warp.sync
      // CHECK: arith.mulf
      // CHECK: arith.truncf
      %out = tile.epilogue %sum at [%m, %n] (%x: vector<2xf32>) {
        %s = vector.broadcast %alpha : f32 to vector<2xf32>
        %y = arith.mulf %x, %s : vector<2xf32>
        %h = arith.truncf %y : vector<2xf32> to vector<2xf16>
        tile.yield %h : vector<2xf16>
      } : !acc -> !tile.fragment<64x64xf16>
      // CHECK: nvvm.stmatrix {{.*}}layout = #nvvm.mma_layout<row>
      // CHECK: nvvm.fence.proxy
      // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta %[[D]]
      tile.store %out to %d[%m, %n] panel 64 buffers 2 : !tile.fragment<64x64xf16>, memref<970x256xf16>
    }
  }
  // CHECK: nvvm.cp.async.bulk.wait_group 0{{$}}
  // CHECK: nvvm.cluster.arrive{{$}}
  // CHECK: llvm.return
}

// Weights on the M side: the result is transposed on its way out, four warps
// meet at a barrier, and the last panel of 64 overlaps the one before.
// CHECK-LABEL: llvm.func @swapped
// CHECK-SAME: "map 2 type 6 of 100x256 box 64x64 swizzle 3"
!w = !tile.slot<64x64xf16, swizzle 128>
!x = !tile.slot<104x64xf16, swizzle 128>
!two = !tile.ring<2, !w, !x>
!wide = !tile.acc<64x104xf32>
tile.kernel @swapped target "sm_90a" grid 4
    (%w: memref<256x64xf16>, %x: memref<100x64xf16>, %d: memref<100x256xf16>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !two
  tile.role @load warps 4 {
    tile.for_tiles [4, 1] raster <m, group 1> (%m: index, %n: index) {
      %sw, %sx = tile.acquire %ring : !two
      tile.load %w[%m, %c0] to %sw : memref<256x64xf16>, !w
      tile.load %x[%n, %c0] to %sx : memref<100x64xf16>, !x
      tile.publish %ring : !two
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [4, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !wide
      %sw, %sx = tile.wait %ring : !two
      %sum = tile.mma %sw, %sx into %zero : !w, !x, !wide
      tile.release %ring : !two
      %out = tile.epilogue %sum at [%m, %n] (%v: vector<2xf32>) {
        %h = arith.truncf %v : vector<2xf32> to vector<2xf16>
        tile.yield %h : vector<2xf16>
      } : !wide -> !tile.fragment<64x104xf16>
      // CHECK: nvvm.barrier id = %{{.*}} number_of_threads
      // CHECK-COUNT-4: nvvm.stmatrix {{.*}}layout = #nvvm.mma_layout<col>
      // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
      // CHECK-COUNT-4: nvvm.stmatrix {{.*}}layout = #nvvm.mma_layout<col>
      // CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
      // CHECK-NOT: nvvm.stmatrix
      tile.store %out to %d[%n, %m] transposed panel 64 buffers 2 : !tile.fragment<64x104xf16>, memref<100x256xf16>
    }
  }
}

// Gate and up join to FP8: two instructions' worth of bytes in one store; the
// clamped one needs no test for overflow.
// CHECK-LABEL: llvm.func @gated
!v = !tile.slot<128x64xf16, swizzle 128>
!pair = !tile.ring<2, !w, !v>
!both = !tile.acc<64x128xf32>
tile.kernel @gated target "sm_90a" grid 4
    (%w: memref<256x64xf16>, %x: memref<128x64xf16>, %bias: memref<128xf32>, %e: memref<256x64xf8E4M3FN>) {
  %c0 = arith.constant 0 : index
  %ring = tile.ring : !pair
  tile.role @load warps 4 {
    // One thread of one block.
    // CHECK: llvm.store
    tile.once {
      %v = memref.load %bias[%c0] : memref<128xf32>
      memref.store %v, %bias[%c0] : memref<128xf32>
    }
    tile.for_tiles [4, 1] raster <m, group 1> (%m: index, %n: index) {
      %sw, %sx = tile.acquire %ring : !pair
      tile.load %w[%m, %c0] to %sw : memref<256x64xf16>, !w
      tile.load %x[%n, %c0] to %sx : memref<128x64xf16>, !v
      tile.publish %ring : !pair
    }
  }
  tile.role @multiply warps 4 {
    tile.for_tiles [4, 1] raster <m, group 1> (%m: index, %n: index) {
      %zero = tile.zero : !both
      %sw, %sx = tile.wait %ring : !pair
      %sum = tile.mma %sw, %sx into %zero : !w, !v, !both
      tile.release %ring : !pair
      // CHECK: arith.truncf %{{.*}} : vector<2xf32> to vector<2xf8E4M3FN>
      // CHECK: llvm.store %{{.*}} : vector<1xi8>, !llvm.ptr<3>
      %out = tile.epilogue %sum at [%m, %n] cols(%bias : memref<128xf32>) (%v: vector<2xf32>, %b: vector<2xf32>) {
        %high = arith.constant dense<448.0> : vector<2xf32>
        %low = arith.constant dense<-448.0> : vector<2xf32>
        %y = arith.addf %v, %b : vector<2xf32>
        %r = arith.minimumf %y, %high : vector<2xf32>
        %s = arith.maximumf %r, %low : vector<2xf32>
        %q = arith.truncf %s : vector<2xf32> to vector<2xf8E4M3FN>
        %g = vector.extract %q[0] : f8E4M3FN from vector<2xf8E4M3FN>
        %o = vector.broadcast %g : f8E4M3FN to vector<1xf8E4M3FN>
        tile.yield %o : vector<1xf8E4M3FN>
      } : !both -> !tile.fragment<64x64xf8E4M3FN>
      tile.store %out to %e[%m, %n] panel 64 buffers 1 : !tile.fragment<64x64xf8E4M3FN>, memref<256x64xf8E4M3FN>
    }
  }
}

// Kernels for other machines stay.
// CHECK: tile.kernel @other target "sm_110a"
tile.kernel @other target "sm_110a" grid 1 () {
  tile.role @nothing warps 1 {
  }
}
