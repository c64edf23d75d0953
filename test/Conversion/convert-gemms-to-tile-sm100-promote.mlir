// Products for Blackwell of which blocks of K are scaled in f32: INT4 in groups of 128, two stages of 64 k each, whose scales come by a
// ring of their own; FP8 in blocks of 128 k, with operands as they are and exchanged.
// RUN: split-file %s %t
// RUN: nibble-opt %t/groups.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='t 128x64 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=GROUPS
// RUN: nibble-opt %t/blocks.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='128x64 s4 c1x1 m4 w1 p2'" | FileCheck %s --check-prefix=BLOCKS
// RUN: nibble-opt %t/blocks.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='t 128x32 s4 c1x1 m4 w1 p2'" | FileCheck %s --check-prefix=SWAPPED
// RUN: not nibble-opt %t/blocks.mlir --convert-gemms-to-tile="chip=sm_110a schedule='128x96 s4 c1x1 m4 w1 p2'" 2>&1 | FileCheck %s --check-prefix=ODD
// RUN: not nibble-opt %t/groups.mlir --convert-gemms-to-tile="chip=sm_110a schedule='t 128x128 s4 c1x1 m8 w1 p2'" 2>&1 | FileCheck %s --check-prefix=WIDE

// ODD: tile N = 96 does not divide the 128 columns of a block of scales
// WIDE: 128 sums and 0 scales of columns in registers of a thread; 96 sums, and 160 of both, are the most

//--- groups.mlir
!weight = tensor<640x456x!nq.scaled<si4, f16 per 1x128>, #nq.layout<tiles [[128], [2, 4, 4, 2]] order [0, 2, 3, 1, 4, 6, 5] scales <tiles [[128], [1]] order [0, 2, 1, 3]>>>
// GROUPS-DAG: = !tile.ring<3, !tile.operand<128x64xf16>>
// GROUPS-DAG: = !tile.ring<4, !tile.acc<128x64xf32>>
// GROUPS-DAG: ![[SCALE:[a-z0-9]*]] = !tile.slot<1x1x128xf16>
// GROUPS-DAG: = !tile.ring<8, ![[SCALE]]>
// 456 k are eight stages, four groups.
// GROUPS: tile.kernel @groups {{.*}}(%[[X:[a-z0-9]*]]: memref<100x456xf16>, %[[CODES:[a-z0-9]*]]: memref<5x8x4x256xi32>, %[[SCALES:[a-z0-9]*]]: memref<5x4x128xf16>
// GROUPS: tile.role @finish warps 4
// GROUPS: %[[ZERO:.*]] = tile.zero
// GROUPS: %[[THREE:.*]] = arith.constant 3 : index
// GROUPS: %[[SUM:.*]] = scf.for %{{.*}} = %{{.*}} to %[[THREE]] {{.*}} iter_args(%[[ACC:.*]] = %[[ZERO]])
// GROUPS: %[[S:.*]] = tile.wait
// GROUPS: %[[P:.*]] = tile.wait
// GROUPS: %[[Q:.*]] = tile.promote %[[P]] into %[[ACC]] packed(%[[S]] :
// GROUPS-COUNT-2: tile.release
// GROUPS: scf.yield %[[Q]]
// GROUPS: %[[LAST:.*]] = tile.promote %{{.*}} into %[[SUM]] packed(
// GROUPS: tile.epilogue %[[LAST]]
// GROUPS: tile.store
// GROUPS: tile.release
// GROUPS: tile.role @expand warps 4
// GROUPS: tile.expand_into %{{.*}}, %{{.*}} from si4 exponent 0
// GROUPS: tile.role @load warps 1
// GROUPS: scf.for %[[GROUP:[a-z0-9]*]] =
// GROUPS: tile.load %[[SCALES]][%{{.*}}, %[[GROUP]], %{{.*}}]
// GROUPS: scf.for
// GROUPS: tile.load %[[X]]
// GROUPS: tile.load %[[CODES]]
// GROUPS: tile.role @multiply warps 1
// GROUPS: scf.for
// GROUPS: tile.acquire
// GROUPS: tile.clear
// GROUPS: scf.for
// GROUPS: tile.mma
// GROUPS: tile.publish
func.func private @groups(%x: tensor<100x456xf16>, %w: !weight) -> tensor<100x640xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<100x456xf16>, !weight) -> tensor<100x640xf16>
  return %0 : tensor<100x640xf16>
}

//--- blocks.mlir
!x = tensor<72x400x!nq.scaled<f8E4M3FN, f32 per 1x128>>
!w = tensor<208x400x!nq.scaled<f8E4M3FN, f32 per 128x128>, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[], []] order [1, 0]>>>
// BLOCKS: tile.kernel @square target "sm_110a" {{.*}}(%[[X:.*]]: memref<72x400xf8E4M3FN>, %[[SX:.*]]: memref<72x4xf32>, %[[W:.*]]: memref<208x400xf8E4M3FN>, %[[SW:.*]]: memref<4x2xf32>
// BLOCKS: tile.for_tiles {{.*}} (%[[M:.*]]: index, %[[N:.*]]: index)
// BLOCKS: scf.for %[[K:[a-z0-9]*]] =
// BLOCKS: tile.promote %{{.*}} into %{{.*}} at[%[[M]], %[[N]], %[[K]]] rows(%[[SX]] : memref<72x4xf32>) cols(%[[SW]] : memref<4x2xf32>) group 128 :
// SWAPPED: tile.kernel @square {{.*}}%[[SX:[a-z0-9]*]]: memref<72x4xf32>, %{{.*}}, %[[SW:[a-z0-9]*]]: memref<4x2xf32>
// SWAPPED: tile.promote {{.*}} rows(%[[SW]] : memref<4x2xf32>) cols(%[[SX]] : memref<72x4xf32>) group 128 transposed :
func.func private @square(%x: !x, %w: !w) -> tensor<72x208xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!x, !w) -> tensor<72x208xf16>
  return %0 : tensor<72x208xf16>
}
