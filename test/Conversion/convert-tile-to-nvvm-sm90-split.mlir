// Three blocks of a cluster with a slice of K each: what they send each other, and in which order it is added up.
// RUN: nibble-opt %S/../Dialect/Tile/split.mlir --convert-tile-to-nvvm-sm90 | FileCheck %s

// CHECK: llvm.func @split
// CHECK-SAME: nvvm.cluster_dim = array<i32: 3, 1, 1>
// The barrier of the sums: one thread says how many bytes come.
// CHECK: nvvm.fence.mbarrier.init
// CHECK: nvvm.cluster.arrive
// CHECK: nvvm.cluster.wait
// All products are done; 64 rows x 16 columns of f32 from three blocks.
// CHECK: wgmma.wait_group.sync.aligned 0;
// CHECK: nvvm.mbarrier.arrive.expect_tx
// CHECK-COUNT-3: nvvm.mapa {{.*}} -> !llvm.ptr<7>
// Two chunks for each of the three blocks; the last two parts share one.
// CHECK-COUNT-6: st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32
// CHECK-NOT: st.async
// CHECK: nvvm.mbarrier.try_wait
// CHECK-COUNT-3: ld.shared.v4.b32
// CHECK: llvm.fadd
// CHECK: llvm.intr.umin
// CHECK: nvvm.cp.async.bulk.tensor.global.shared.cta
// CHECK: nvvm.cluster.arrive
// CHECK: nvvm.cluster.wait
