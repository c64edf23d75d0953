// Sums of a stage times their scales, added while products of the next stage are under way: two partial accumulators, waits for all but the last products.
// RUN: nibble-opt %s --pass-pipeline="builtin.module(convert-gemms-to-tile{schedule='128x64 s4 c1x1 m4 w2 p2 late'})" | FileCheck %s --check-prefix=TILE
// RUN: nibble-opt %s --pass-pipeline="builtin.module(convert-gemms-to-tile{schedule='128x64 s4 c1x1 m4 w2 p2 late'},builtin.module(convert-tile-to-nvvm-sm90))" | FileCheck %s
// RUN: not nibble-opt %s --convert-gemms-to-tile="schedule='128x128 s4 c1x1 m4 w2 p2 late k2'" 2>&1 | FileCheck %s --check-prefix=MANY
// RUN: sed s/1520x/1296x/g %s | not nibble-opt --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2 late'" 2>&1 | FileCheck %s --check-prefix=ODD

// TILE: tile.promote %{{.*}} into %{{.*}} at[%{{.*}}] rows({{.*}}) cols({{.*}}) group 128 late
// ODD: late sums of 11 stages; multiples of 2 or 3 work
// MANY: 192 accumulators of 232 registers per thread
!x = tensor<72x1520x!nq.scaled<f8E4M3FN, f32 per 1x128>>
!w = tensor<208x1520x!nq.scaled<f8E4M3FN, f32 per 128x128>, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[], []] order [1, 0]>>>
// CHECK: llvm.func @blocks
// A loop of four stages: all sums but the last ones are added late.
// CHECK: nvvm.wgmma.mma_async
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK-NOT: llvm.intr.fma
// CHECK: nvvm.wgmma.mma_async
// CHECK: nvvm.wgmma.commit.group.sync.aligned
// CHECK: wgmma.wait_group.sync.aligned 1;
// CHECK: llvm.intr.fma
// CHECK: wgmma.wait_group.sync.aligned 1;
// CHECK: wgmma.wait_group.sync.aligned 1;
// CHECK-NOT: wgmma.mma_async
// CHECK: wgmma.wait_group.sync.aligned 0;
// CHECK: llvm.intr.fma
// CHECK: llvm.cond_br {{.*}}loop_annotation
// Twelve stages are three rounds of it.
// CHECK-NOT: nvvm.wgmma.mma_async
func.func private @blocks(%x: !x, %w: !w) -> tensor<72x208xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!x, !w) -> tensor<72x208xf16>
  return %0 : tensor<72x208xf16>
}
