// Masks that stay masks, and why.
// RUN: nibble-opt %s --split-input-file --recognize-lengths --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-lengths --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: nibble-opt %s --split-input-file --recognize-lengths=trust-large-masks --canonicalize | FileCheck %s --check-prefix=TRUST

// A score may outweigh a finite value.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
#scalar = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: @finite
// CHECK-NOT: lengths(
// CHECK: return
// REMARK: [Missed] recognize-lengths {{.*}}reason="scores may outweigh a mask of -1.000e+09", rejected="keys that end at a length"{{.*}}trust-large-masks
// TRUST-LABEL: @finite
// TRUST: nq.attention %{{.*}} lengths(
func.func @finite(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sle, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %hidden = arith.constant dense<-1.0e+9> : tensor<f32>
  %f = tensor.empty() : tensor<1x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #scalar, #scalar, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %zero, %hidden : tensor<1x4xi1>, tensor<f32>, tensor<f32>) outs(%f : tensor<1x4xf32>) {
  ^bb0(%a: i1, %b: f32, %c: f32, %o: f32):
    %r = arith.select %a, %b, %c : f32
    linalg.yield %r : f32
  } -> tensor<1x4xf32>
  %y = nq.attention %q, %k, %k mask(%1 : tensor<1x4xf32>) {scale = 1.0 : f64} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}

// -----
// Slots that are hidden in front of a position are no length.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
#scalar = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: @window
// CHECK-NOT: lengths(
// CHECK: return
func.func @window(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sgt, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %y = nq.attention %q, %k, %k mask(%0 : tensor<1x4xi1>) {scale = 1.0 : f64} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}

// -----
// Slots that are counted otherwise.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
#scalar = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: @strided
// CHECK-NOT: lengths(
// CHECK: return
func.func @strided(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 2, 4, 6]> : tensor<4xi64>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sle, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %y = nq.attention %q, %k, %k mask(%0 : tensor<1x4xi1>) {scale = 1.0 : f64} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}

// -----
// Causal up to the end of the cache is not causal up to the last key.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
#scalar = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: @causal
// CHECK-NOT: lengths(
// CHECK: return
func.func @causal(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sle, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %y = nq.attention %q, %k, %k mask(%0 : tensor<1x4xi1>) {scale = 1.0 : f64, causal, bottom_right} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}

// -----
// One row sees all keys that are there.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
#scalar = affine_map<(d0, d1) -> ()>
// CHECK-LABEL: @one_row
// CHECK: nq.attention %{{.*}} lengths(%{{.*}} : tensor<1xi64>) {scale
func.func @one_row(%q: tensor<1x2x1x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x1x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sle, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %y = nq.attention %q, %k, %k mask(%0 : tensor<1x4xi1>) {scale = 1.0 : f64, causal, bottom_right} : (tensor<1x2x1x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x1x8xf32>
  return %y : tensor<1x2x1x8xf32>
}

// -----
// The lowest f32 times a condition, as static caches are masked.
#map = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (0)>
#key = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @product
// CHECK-NOT: lengths(
// CHECK: return
// REMARK: [Missed] recognize-lengths {{.*}}reason="scores may outweigh a mask of -3.403e+38"
// TRUST-LABEL: @product
// TRUST: nq.attention %{{.*}} lengths(
func.func @product(%q: tensor<1x2x3x8xf32>, %k: tensor<1x2x4x8xf32>, %p: tensor<1xi64>) -> tensor<1x2x3x8xf32> {
  %slots = arith.constant dense<[0, 1, 2, 3]> : tensor<4xi64>
  %lowest = arith.constant dense<-3.40282347E+38> : tensor<1x4xf32>
  %e = tensor.empty() : tensor<1x4xi1>
  %0 = linalg.generic {indexing_maps = [#key, #one, #map], iterator_types = ["parallel", "parallel"]} ins(%slots, %p : tensor<4xi64>, tensor<1xi64>) outs(%e : tensor<1x4xi1>) {
  ^bb0(%a: i64, %b: i64, %o: i1):
    %r = arith.cmpi sgt, %a, %b : i64
    linalg.yield %r : i1
  } -> tensor<1x4xi1>
  %f = tensor.empty() : tensor<1x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<1x4xi1>) outs(%f : tensor<1x4xf32>) {
  ^bb0(%a: i1, %o: f32):
    %r = arith.uitofp %a : i1 to f32
    linalg.yield %r : f32
  } -> tensor<1x4xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%lowest, %1 : tensor<1x4xf32>, tensor<1x4xf32>) outs(%f : tensor<1x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<1x4xf32>
  %y = nq.attention %q, %k, %k mask(%2 : tensor<1x4xf32>) {scale = 1.0 : f64} : (tensor<1x2x3x8xf32>, tensor<1x2x4x8xf32>, tensor<1x2x4x8xf32>) -> tensor<1x2x3x8xf32>
  return %y : tensor<1x2x3x8xf32>
}
