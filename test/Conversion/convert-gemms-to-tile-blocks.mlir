// FP8 with scales per 128 k: sums of a stage times those of its rows and columns.
// RUN: nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2'" | FileCheck %s
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x96 s4 c1x1 m4 w2 p2'" 2>&1 | FileCheck %s --check-prefix=ODD

// ODD: error: kernel 'square' is no product on tensor cores: tile N = 96 does not divide the 128 columns of a block of scales
!x = tensor<72x400x!nq.scaled<f8E4M3FN, f32 per 1x128>>
!w = tensor<208x400x!nq.scaled<f8E4M3FN, f32 per 128x128>, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[], []] order [1, 0]>>>
// CHECK: tile.kernel @square target "sm_90a" grid 4 (%[[X:.*]]: memref<72x400xf8E4M3FN>, %[[SX:.*]]: memref<72x4xf32>, %[[W:.*]]: memref<208x400xf8E4M3FN>, %[[SW:.*]]: memref<4x2xf32>
// CHECK: tile.for_tiles {{.*}} (%[[M:.*]]: index, %[[N:.*]]: index)
// CHECK: tile.for_tiles {{.*}} (%[[M:.*]]: index, %[[N:.*]]: index)
// CHECK: scf.for %[[K:.*]] = {{.*}} iter_args(%[[SUM:.*]] = %{{.*}})
// CHECK: %[[ZERO:.*]] = tile.zero
// CHECK: %[[PART:.*]] = tile.mma %{{.*}}, %{{.*}} into %[[ZERO]]
// CHECK: tile.promote %[[PART]] into %[[SUM]] at[%[[M]], %[[N]], %[[K]]] rows(%[[SX]] : memref<72x4xf32>) cols(%[[SW]] : memref<4x2xf32>) group 128
func.func private @square(%x: !x, %w: !w) -> tensor<72x208xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!x, !w) -> tensor<72x208xf16>
  return %0 : tensor<72x208xf16>
}
