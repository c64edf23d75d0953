// Norms that read their rows themselves, with the reason; options that make no sense.
// RUN: nibble-opt %s --split-input-file --fuse-norm-statistics="target=sm_110a" --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks
// RUN: nibble-opt %s --split-input-file --fuse-norm-statistics --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=CPU
// RUN: not nibble-opt %s --split-input-file --fuse-norm-statistics="target=sm_1" 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not nibble-opt %s --split-input-file --fuse-norm-statistics="tile=0" 2>&1 | FileCheck %s --check-prefix=TILE
// TARGET: error: there is no target 'sm_1'
// TILE: error: tiles of 0 columns: use 1 or more
// CHECK-NOT: nq.statistics

// All multiprocessors have rows, and the sums would be read often.
// WHY: fuse-norm-statistics{{.*}}the norm reads its rows first{{.*}}/many{{.*}}970 rows of 2048: a norm without them waits 0.50 us{{.*}}takes 3.63 us on 20 multiprocessors
// CPU: fuse-norm-statistics{{.*}}/many{{.*}}a core has a row in its cache when it normalizes it
func.func @many_rows(%x: tensor<970x32xf16>, %w: tensor<2048x32xf16>) -> tensor<970x2048xf16> {
  %p = nq.region "gemm" (%x, %w) : (tensor<970x32xf16>, tensor<2048x32xf16>) -> tensor<970x2048xf16> {
  ^bb0(%a: tensor<970x32xf16>, %b: tensor<2048x32xf16>):
    %m = nq.matmul %a, %b transpose_b : (tensor<970x32xf16>, tensor<2048x32xf16>) -> tensor<970x2048xf16>
    nq.yield %m : tensor<970x2048xf16>
  }
  %q = nq.region "rowwise" (%p) : (tensor<970x2048xf16>) -> tensor<970x2048xf16> {
  ^bb0(%a: tensor<970x2048xf16>):
    %n = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<970x2048xf16> -> tensor<970x2048xf16> loc("/many")
    nq.yield %n : tensor<970x2048xf16>
  }
  return %q : tensor<970x2048xf16>
}

// -----
// WHY: fuse-norm-statistics{{.*}}/both{{.*}}the norm is over several dimensions
func.func @over_rows_too(%x: tensor<4x32xf16>, %w: tensor<64x32xf16>) -> tensor<4x64xf16> {
  %p = nq.region "gemm" (%x, %w) : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x32xf16>, %b: tensor<64x32xf16>):
    %m = nq.matmul %a, %b transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
    nq.yield %m : tensor<4x64xf16>
  }
  %q = nq.region "rowwise" (%p) : (tensor<4x64xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x64xf16>):
    %n = nq.norm rms %a {axis = 0 : i64, epsilon = 1.0e-6 : f64} : tensor<4x64xf16> -> tensor<4x64xf16> loc("/both")
    nq.yield %n : tensor<4x64xf16>
  }
  return %q : tensor<4x64xf16>
}

// -----
// A norm of each head.
// WHY: fuse-norm-statistics{{.*}}/q_norm{{.*}}rows of the norm are no whole rows of the product
// WHY: fuse-norm-statistics{{.*}}/k_norm{{.*}}a reshape between them cuts or joins rows
func.func @heads(%x: tensor<4x32xf16>, %w: tensor<64x32xf16>) -> (tensor<4x4x16xf16>, tensor<4x4x16xf16>) {
  %p:2 = nq.region "gemm" (%x, %w) : (tensor<4x32xf16>, tensor<64x32xf16>) -> (tensor<4x4x16xf16>, tensor<4x64xf16>) {
  ^bb0(%a: tensor<4x32xf16>, %b: tensor<64x32xf16>):
    %m = nq.matmul %a, %b transpose_b : (tensor<4x32xf16>, tensor<64x32xf16>) -> tensor<4x64xf16>
    %h = tensor.expand_shape %m [[0], [1, 2]] output_shape [4, 4, 16] : tensor<4x64xf16> into tensor<4x4x16xf16>
    nq.yield %h, %m : tensor<4x4x16xf16>, tensor<4x64xf16>
  }
  %q = nq.region "rowwise" (%p#0) : (tensor<4x4x16xf16>) -> tensor<4x4x16xf16> {
  ^bb0(%a: tensor<4x4x16xf16>):
    %n = nq.norm rms %a {axis = 2 : i64, epsilon = 1.0e-6 : f64} : tensor<4x4x16xf16> -> tensor<4x4x16xf16> loc("/q_norm")
    nq.yield %n : tensor<4x4x16xf16>
  }
  %e = tensor.expand_shape %p#1 [[0], [1, 2]] output_shape [4, 4, 16] : tensor<4x64xf16> into tensor<4x4x16xf16>
  %k = nq.region "rowwise" (%e) : (tensor<4x4x16xf16>) -> tensor<4x4x16xf16> {
  ^bb0(%a: tensor<4x4x16xf16>):
    %n = nq.norm rms %a {axis = 2 : i64, epsilon = 1.0e-6 : f64} : tensor<4x4x16xf16> -> tensor<4x4x16xf16> loc("/k_norm")
    nq.yield %n : tensor<4x4x16xf16>
  }
  return %q, %k : tensor<4x4x16xf16>, tensor<4x4x16xf16>
}

// -----
// Rows that a product writes into a cache.
// WHY: fuse-norm-statistics{{.*}}/rows{{.*}}its rows are written into a state
func.func @state(%x: tensor<1x32xf16>, %w: tensor<64x32xf16>, %old: tensor<8x64xf16>, %pos: tensor<i64>) -> tensor<8x64xf16> {
  %p = nq.region "gemm" (%x, %w, %old, %pos) : (tensor<1x32xf16>, tensor<64x32xf16>, tensor<8x64xf16>, tensor<i64>) -> tensor<8x64xf16> {
  ^bb0(%a: tensor<1x32xf16>, %b: tensor<64x32xf16>, %c: tensor<8x64xf16>, %d: tensor<i64>):
    %m = nq.matmul %a, %b transpose_b : (tensor<1x32xf16>, tensor<64x32xf16>) -> tensor<1x64xf16>
    %u = nq.update %c[%d] with %m axis 0 : tensor<8x64xf16>, tensor<i64>, tensor<1x64xf16>
    nq.yield %u : tensor<8x64xf16>
  }
  %q = nq.region "rowwise" (%p) : (tensor<8x64xf16>) -> tensor<8x64xf16> {
  ^bb0(%a: tensor<8x64xf16>):
    %n = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<8x64xf16> -> tensor<8x64xf16> loc("/rows")
    nq.yield %n : tensor<8x64xf16>
  }
  return %q : tensor<8x64xf16>
}

// -----
// Norms of anything but a product are none of the pass's business.
// WHY-NOT: /input
func.func @input(%x: tensor<4x64xf16>) -> tensor<4x64xf16> {
  %q = nq.region "rowwise" (%x) : (tensor<4x64xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x64xf16>):
    %n = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<4x64xf16> -> tensor<4x64xf16> loc("/input")
    nq.yield %n : tensor<4x64xf16>
  }
  return %q : tensor<4x64xf16>
}
