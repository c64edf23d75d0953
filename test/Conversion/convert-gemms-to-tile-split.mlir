// K in slices, where tiles are few: a cluster for each tile, an epilogue of a part of the columns.
// RUN: nibble-opt %s --convert-gemms-to-tile="schedule='128x72 s4 c1x1 m4 w2 p2 k2'" | FileCheck %s
// RUN: nibble-opt %s --convert-gemms-to-tile="schedule='t 64x48 s4 c2x1 m4 w1 p2 k3'" | FileCheck %s --check-prefix=SWAPPED
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c2x1 m4 w2 p2 k5'" 2>&1 | FileCheck %s --check-prefix=CLUSTER
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2 k8'" 2>&1 | FileCheck %s --check-prefix=STAGES
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='64x64 s4 c1x1 m4 w2 p2 pp k2'" 2>&1 | FileCheck %s --check-prefix=TURNS
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='64x32 s4 c1x1 m4 w1 p2 k4'" 2>&1 | FileCheck %s --check-prefix=NARROW
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2 k1'" 2>&1 | FileCheck %s --check-prefix=ONE
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x128 s6 c1x1 m4 w2 p2 k4'" 2>&1 | FileCheck %s --check-prefix=MEMORY

// CLUSTER: 10 blocks in a cluster; 8 is the most
// STAGES: 7 blocks of K for 8 slices
// TURNS: warpgroups that take turns have no tile together to split K of
// NARROW: rows of 16 bytes of a result; the store writes panels of 32 bytes or more
// ONE: '128x64 s4 c1x1 m4 w2 p2 k1' is no schedule
// MEMORY: bytes of shared memory of 232448

// CHECK: tile.kernel @product target "sm_90a" grid 6 cluster [1, 1, 2]
// CHECK: tile.for_tiles [1, 3]
// CHECK: scf.for %[[I:.*]] =
// CHECK: %[[K:.*]] = tile.slice %[[I]] of 7
// CHECK: tile.load %{{.*}}[%{{.*}}, %[[K]]]
// CHECK: tile.load %{{.*}}[%{{.*}}, %[[K]]]
// CHECK: %[[SUM:.*]] = scf.for
// CHECK: %[[PART:.*]] = tile.reduce %[[SUM]] : !tile.acc<128x72xf32> -> !tile.acc<128x40xf32>
// CHECK: tile.epilogue %[[PART]]
// CHECK: tile.store %{{.*}} panel 32 buffers 2 : !tile.fragment<128x40xf16>
// SWAPPED: tile.kernel @product target "sm_90a" grid 24 cluster [2, 1, 3]
// SWAPPED: tile.load %{{.*}} multicast m
// SWAPPED: tile.reduce %{{.*}} : !tile.acc<64x48xf32> -> !tile.acc<64x16xf32>
// SWAPPED: tile.store %{{.*}} transposed panel 16 buffers 2
func.func private @product(%x: tensor<72x416xf16>, %w: tensor<200x416xf16>) -> tensor<72x200xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x416xf16>, tensor<200x416xf16>) -> tensor<72x200xf16>
  return %0 : tensor<72x200xf16>
}
