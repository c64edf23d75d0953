// Weights of 4 bits on the M side, expanded; scales that have no exact 16-bit format are those of sums.
// RUN: nibble-opt %s --convert-gemms-to-tile="schedule='t 128x72 s4 c1x1 m4 w2 p2'" | FileCheck %s
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2'" 2>&1 | FileCheck %s --check-prefix=STRAIGHT
// RUN: nibble-opt %s --convert-gemms-to-tile | FileCheck %s --check-prefix=BEST

// STRAIGHT: error: kernel 'nvfp4' is no product on tensor cores: weights that are expanded are the M side, and are not shared
// BEST: tile.kernel @nvfp4 target "sm_90a"
!w = tensor<200x96x!nq.nvfp4, #nq.layout<tiles [[2, 8], [4, 2, 4, 2]] order [0, 3, 2, 6, 4, 7, 5, 1] scales <tiles [[2, 8], [4]] order [0, 3, 2, 4, 1]>>>
// 13 tiles of 16 rows, two stages of 64 k; the global scale times 2^7 is one factor.
// CHECK: tile.kernel @nvfp4 target "sm_90a" grid 2 (%[[X:.*]]: memref<72x96xf16>, %[[C:.*]]: memref<13x2x128xi32>, %[[S:.*]]: memref<13x2x64xf8E4M3FN>, %{{.*}}: memref<1xf32>
// CHECK: tile.load %[[X]]
// CHECK: tile.load %[[C]][%{{.*}}, %{{.*}}, %{{.*}}] to %{{.*}} : memref<13x2x128xi32>, !{{.*}}
// CHECK: tile.load %[[S]]
// CHECK: %[[SEVEN:.*]] = arith.constant 1.280000e+02 : f32
// CHECK: arith.mulf %[[SEVEN]], %{{.*}} : f32
// CHECK: %[[W:.*]] = tile.expand %{{.*}} from f4E2M1FN scales({{.*}}) per 16 exponent -7 : {{.*}} -> !tile.expanded<128x64xf16>
// CHECK: tile.mma %[[W]]
// CHECK-NOT: tile.promote
// CHECK: tile.store {{.*}} transposed
func.func private @nvfp4(%x: tensor<72x96xf16>, %w: !w) -> tensor<72x200xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, !w) -> tensor<72x200xf16>
  return %0 : tensor<72x200xf16>
}

// Groups of 128 are two stages, which load the same scales.
!i = tensor<200x256x!nq.scaled<si4, f16 per 1x128>, #nq.layout<tiles [[2, 8], [4, 2, 4, 2]] order [0, 3, 2, 6, 4, 7, 5, 1] scales <tiles [[2, 8], [1]] order [0, 3, 2, 4, 1]>>>
// CHECK: tile.kernel @int4 {{.*}}: memref<13x4x128xi32>, %[[S:.*]]: memref<13x2x16xf16>
// CHECK: %[[HALF:.*]] = arith.divui
// CHECK: tile.load %[[S]][%{{.*}}, %[[HALF]], %{{.*}}]
// CHECK: scf.for {{.*}} iter_args(%[[SUM:.*]] = %{{.*}})
// CHECK: %[[W:.*]] = tile.expand %{{.*}} from si4 exponent 0
// CHECK: %[[ZERO:.*]] = tile.zero
// CHECK: %[[PART:.*]] = tile.mma %[[W]], %{{.*}} into %[[ZERO]]
// CHECK: tile.promote %[[PART]] into %[[SUM]] packed(
func.func private @int4(%x: tensor<72x256xbf16>, %w: !i) -> tensor<72x200xbf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x256xbf16>, !i) -> tensor<72x200xbf16>
  return %0 : tensor<72x200xbf16>
}

// A residual lies as the result does: across the tile.
#id = affine_map<(d0, d1) -> (d0, d1)>
// CHECK: tile.kernel @residual
// CHECK: tile.epilogue {{.*}} elements(%{{.*}} : memref<72x200xf16>) transposed
func.func private @residual(%x: tensor<72x96xf16>, %w: !w, %r: tensor<72x200xf16>) -> tensor<72x200xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, !w) -> tensor<72x200xf16>
  %e = tensor.empty() : tensor<72x200xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%0, %r : tensor<72x200xf16>, tensor<72x200xf16>) outs(%e : tensor<72x200xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %s = arith.addf %a, %b : f16
    linalg.yield %s : f16
  } -> tensor<72x200xf16>
  return %h : tensor<72x200xf16>
}
