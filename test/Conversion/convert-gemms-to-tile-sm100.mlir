// NVFP4 x NVFP4 on Blackwell, quantized again: block scales as tiles of 128 x 4, of which a tile of 96 columns touches two; four warps
// finish a tile while the next is multiplied, and store scales in the tiles that the next product reads. Weights of 4 bits next to f16
// are expanded to an operand in tensor memory.
// RUN: split-file %s %t
// RUN: nibble-opt %t/native.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='128x96 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=NATIVE
// RUN: nibble-opt %t/native.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20" | FileCheck %s --check-prefix=BEST
// RUN: not nibble-opt %t/native.mlir --convert-gemms-to-tile="chip=sm_110a schedule='t 128x96 s4 c1x1 m8 w1 p2'" 2>&1 | FileCheck %s --check-prefix=SWAPPED
// RUN: not nibble-opt %t/native.mlir --convert-gemms-to-tile="chip=sm_110a schedule='128x72 s4 c1x1 m8 w1 p2'" 2>&1 | FileCheck %s --check-prefix=ODD
// RUN: nibble-opt %t/expand.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='t 128x64 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=EXPAND

// SWAPPED: blocks of columns with scales are rows of several threads
// ODD: tile N = 72; multiples of 32, up to 256

//--- native.mlir
!act = tensor<300x256x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
!weight = tensor<640x256x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
!result = tensor<300x640x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>

// BEST: tile.kernel @native target "sm_110a"
// NATIVE-DAG: ![[SCALES:[a-z0-9]*]] = !tile.slot<1x4x2x256xf8E4M3FN>
// NATIVE-DAG: = !tile.slot<96x256xf4E2M1FN, swizzle 128>
// NATIVE-DAG: = !tile.ring<2, !tile.acc<128x96xf32>>
// NATIVE-DAG: = !tile.ring<4, !{{[a-z0-9]*}}, ![[SCALES]], !{{[a-z0-9]*}}, ![[SCALES]], ![[SCALES]]>
// NATIVE: tile.kernel @native target "sm_110a" grid 20 (%[[A:[a-z0-9]*]]: memref<300x256xf4E2M1FN>, %[[SA:[a-z0-9]*]]: memref<3x4x2x256xf8E4M3FN>, %[[B:[a-z0-9]*]]: memref<640x256xf4E2M1FN>, %[[SB:[a-z0-9]*]]: memref<5x4x2x256xf8E4M3FN>
// NATIVE-SAME: %[[D:[a-z0-9]*]]: memref<300x320xi8>, %[[SD:[a-z0-9]*]]: memref<3x10x2x256xi8>
// NATIVE: tile.role @finish warps 4
// NATIVE: tile.epilogue
// NATIVE: tile.block_max %{{.*}} along n block 16
// NATIVE: tile.store %{{.*}} to %[[D]]{{.*}} panel 16 buffers 2
// NATIVE: tile.store_blocks %{{.*}} to %[[SD]] block 16
// NATIVE: tile.role @load warps 1
// NATIVE: arith.divui
// NATIVE: tile.load %[[SB]]
// NATIVE: tile.load %[[SB]]
// NATIVE: tile.role @multiply warps 1
// NATIVE: %[[ROW:.*]] = arith.remui
// NATIVE: %[[TA:.*]] = tile.scales %{{.*}}
// NATIVE: %[[TB:.*]] = tile.scales %{{.*}}, %{{.*}} from %[[ROW]]
// NATIVE: tile.mma %{{.*}}, %{{.*}} into %{{.*}} scales(%[[TA]], %[[TB]]
func.func private @native(%x: !act, %w: !weight, %g: tensor<f32>) -> !result attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!act, !weight) -> tensor<300x640xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<300x640xf16> -> tensor<300x640x!nq.nvfp4>
  %2 = nq.reformat %1 : tensor<300x640x!nq.nvfp4> -> !result
  return %2 : !result
}

//--- expand.mlir
!weight = tensor<640x256x!nq.nvfp4, #nq.layout<tiles [[128], [2, 4, 4, 2]] order [0, 2, 3, 1, 4, 6, 5] scales <tiles [[128], [4]] order [0, 2, 1, 3]>>>
// EXPAND-DAG: = !tile.ring<3, !tile.operand<128x64xf16>>
// EXPAND: tile.kernel @expand {{.*}}(%{{.*}}: memref<100x256xf16>, %[[CODES:[a-z0-9]*]]: memref<5x4x4x256xi32>, %[[SCALES:[a-z0-9]*]]: memref<5x4x4x128xf8E4M3FN>
// EXPAND: tile.role @expand warps 4
// EXPAND: tile.expand_into %{{.*}}, %{{.*}} from f4E2M1FN scales(%{{.*}} : {{.*}}) per 16 exponent -7
// EXPAND: tile.mma %{{.*}}, %{{.*}} into %{{.*}} : !tile.operand<128x64xf16>
func.func private @expand(%x: tensor<100x256xf16>, %w: !weight) -> tensor<100x640xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<100x256xf16>, !weight) -> tensor<100x640xf16>
  return %0 : tensor<100x640xf16>
}
