// Masks that hide what lies behind a position become lengths.
// RUN: nibble-opt %s --split-input-file --recognize-lengths --canonicalize | FileCheck %s

// where(slot > position, -inf, 0) is position + 1 keys; positions beyond the cache stay beyond it.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#one = affine_map<(d0, d1, d2, d3) -> (0)>
#scalar = affine_map<(d0, d1, d2, d3) -> ()>
// CHECK-LABEL: @behind
// CHECK-SAME: (%[[Q:.*]]: tensor<1x2x1x8xf32>, %[[K:.*]]: tensor<1x2x4x8xf32>, %[[P:.*]]: tensor<1xi64>)
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1 : i64
// CHECK-DAG: %[[END:.*]] = arith.constant 5 : i64
// CHECK: %[[N:.*]] = linalg.generic {{.*}} ins(%[[P]] : tensor<1xi64>)
// CHECK: %[[X:.*]] = arith.minsi %{{.*}}, %[[END]] : i64
// CHECK: arith.addi %[[X]], %[[ONE]] : i64
// CHECK: nq.attention %[[Q]], %[[K]], %[[K]] lengths(%[[N]] : tensor<1xi64>) {scale
func.func @behind(%q: tensor<1x2x1x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x1x8xf32> {
  %slots = arith.constant dense<[[[[0, 1, 2, 3]]]]> : tensor<1x1x1x4xi64>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %hidden = arith.constant dense<0xFF800000> : tensor<f32>
  %e = tensor.empty() : tensor<1x1x1x4xi1>
  %0 = linalg.generic {indexing_maps = [#map, #one, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%slots, %p : tensor<1x1x1x4xi64>, tensor<1xi64>) outs(%e : tensor<1x1x1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sgt, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x1x1x4xi1>
  %f = tensor.empty() : tensor<1x1x1x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #scalar, #scalar, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %hidden, %zero : tensor<1x1x1x4xi1>, tensor<f32>, tensor<f32>) outs(%f : tensor<1x1x1x4xf32>) {
  ^bb0(%a: i1, %b: f32, %c: f32, %o: f32):
    %r = arith.select %a, %b, %c : f32
    linalg.yield %r : f32
  } -> tensor<1x1x1x4xf32>
  %y = nq.attention %q, %k, %k mask(%1 : tensor<1x1x1x4xf32>) {scale = 1.0 : f64} : (tensor<1x2x1x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x1x8xf32>
  return %y : tensor<1x2x1x8xf32>
}

// -----
// slot <= position + row: the last of three rows sees position + 3 keys.
#map = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#key = affine_map<(d0, d1) -> (d1)>
#id = affine_map<(d0) -> (d0)>
#zero = affine_map<(d0) -> (0)>
// CHECK-LABEL: @rows
// CHECK: arith.constant 3 : i32
// CHECK: nq.attention %{{.*}} lengths(%{{.*}} : tensor<1xi32>) {bottom_right, causal, scale
func.func @rows(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi32>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %rows = arith.constant dense<[0, 1, 2]> : tensor<3xi64>
  %d = tensor.empty() : tensor<3xi64>
  %0 = linalg.generic {indexing_maps = [#zero, #id, #id], iterator_types = ["parallel"]} ins(%p, %rows : tensor<1xi32>, tensor<3xi64>) outs(%d : tensor<3xi64>) {
  ^bb0(%a: i32, %b: i64, %o: i64):
    %w = arith.extsi %a : i32 to i64
    %r = arith.addi %w, %b : i64
    linalg.yield %r : i64
  } -> tensor<3xi64>
  %1 = tensor.expand_shape %0 [[0, 1]] output_shape [3, 1] : tensor<3xi64> into tensor<3x1xi64>
  %e = tensor.empty() : tensor<3x4xi1>
  %2 = linalg.generic {indexing_maps = [#key, #row, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %1 : tensor<4xi64>, tensor<3x1xi64>) outs(%e : tensor<3x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sle, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<3x4xi1>
  %y = nq.attention %q, %k, %k mask(%2 : tensor<3x4xi1>) {scale = 1.0 : f64} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}

// -----
// One length per batch entry, as it is; the other part stays a mask.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#batch = affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, 0)>
#key = affine_map<(d0, d1, d2, d3) -> (d3)>
#cross = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @batch
// CHECK-SAME: %[[N:[a-z0-9]*]]: tensor<2xi64>, %[[M:[a-z0-9]*]]: tensor<3x4xi1>
// CHECK-NEXT: nq.attention %{{.*}} mask(%[[M]] : tensor<3x4xi1>) lengths(%[[N]] : tensor<2xi64>) {scale
func.func @batch(%q: tensor<2x2x3x8xf32>, %k: tensor<2x2x4x8xf32>, %n: tensor<2xi64>, %m: tensor<3x4xi1>) -> tensor<2x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %true = arith.constant true
  %0 = tensor.expand_shape %n [[0, 1, 2, 3]] output_shape [2, 1, 1, 1] : tensor<2xi64> into tensor<2x1x1x1xi64>
  %e = tensor.empty() : tensor<2x1x1x4xi1>
  %1 = linalg.generic {indexing_maps = [#key, #batch, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%slots, %0 : tensor<4xi64>, tensor<2x1x1x1xi64>) outs(%e : tensor<2x1x1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sge, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<2x1x1x4xi1>
  %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1 : tensor<2x1x1x4xi1>) outs(%e : tensor<2x1x1x4xi1>) {
  ^bb0(%a: i1, %o: i1):
    %r = arith.xori %a, %true : i1
    linalg.yield %r : i1
  } -> tensor<2x1x1x4xi1>
  %f = tensor.empty() : tensor<2x1x3x4xi1>
  %3 = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2, d3) -> (d0, d1, 0, d3)>, #cross, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2, %m : tensor<2x1x1x4xi1>, tensor<3x4xi1>) outs(%f : tensor<2x1x3x4xi1>) {
  ^bb0(%a: i1, %b: i1, %o: i1):
    %r = arith.andi %a, %b : i1
    linalg.yield %r : i1
  } -> tensor<2x1x3x4xi1>
  %y = nq.attention %q, %k, %k mask(%3 : tensor<2x1x3x4xi1>) {scale = 1.0 : f64} : (tensor<2x2x3x8xf32>, tensor<2x2x4x8xf32>, tensor<2x2x4x8xf32>) -> tensor<2x2x3x8xf32>
  return %y : tensor<2x2x3x8xf32>
}
