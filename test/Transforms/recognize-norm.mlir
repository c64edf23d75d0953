// Decomposed normalizations, as exporters write them, become nq.norm.
// RUN: nibble-opt %s --split-input-file --recognize-norm --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-norm=allow-less-rounding --canonicalize | FileCheck %s --check-prefix=ROUND

// torch: Pow, ReduceMean, Add, Sqrt, Div, Mul in f32; the rounding to f16 before the gain stays.
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> ()>
#map2 = affine_map<(d0, d1) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d0, 0)>
#map4 = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @rms_llama
// CHECK-SAME: (%[[X:.*]]: tensor<2x8xf16>
// CHECK: %[[N:.*]] = nq.norm rms %[[X]] {axis = 1 : i64, epsilon = {{.*}}} : tensor<2x8xf16> -> tensor<2x8xf16>
// CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%{{.*}}, %[[N]] : tensor<8xf16>, tensor<2x8xf16>)
// CHECK: return %[[Y]]
// ROUND-LABEL: @rms_llama
// ROUND: nq.norm rms %{{.*}} scale(%{{.*}} : tensor<8xf16>)
// ROUND-NEXT: return
func.func @rms_llama(%arg0: tensor<2x8xf16>) -> tensor<2x8xf16> {
  %cst = arith.constant dense<[5.000000e-01, 6.430660e-01, 7.856440e-01, 9.287100e-01, 1.071290e+00, 1.213870e+00, 1.357420e+00, 1.500000e+00]> : tensor<8xf16>
  %cst_0 = arith.constant dense<1.000000e+00> : tensor<f32>
  %cst_1 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_2 = arith.constant 8.000000e+00 : f32
  %cst_3 = arith.constant 0.000000e+00 : f32
  %cst_4 = arith.constant dense<2.000000e+00> : tensor<f32>
  %0 = nq.cast %arg0 : tensor<2x8xf16> -> tensor<2x8xf32>
  %1 = tensor.empty() : tensor<2x8xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %cst_4 : tensor<2x8xf32>, tensor<f32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %15 = arith.mulf %in, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %3 = tensor.empty() : tensor<2xf32>
  %4 = linalg.fill ins(%cst_3 : f32) outs(%3 : tensor<2xf32>) -> tensor<2xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "reduction"]} ins(%2 : tensor<2x8xf32>) outs(%4 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.addf %out, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %5 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %6 = tensor.empty() : tensor<2x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.divf %in, %cst_2 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%7, %cst_1 : tensor<2x1xf32>, tensor<f32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %15 = arith.addf %in, %in_5 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%8 : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = math.sqrt %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %10 = linalg.generic {indexing_maps = [#map1, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%cst_0, %9 : tensor<f32>, tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %15 = arith.divf %in, %in_5 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %10 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %15 = arith.mulf %in, %in_5 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %12 = nq.cast %11 : tensor<2x8xf32> -> tensor<2x8xf16>
  %13 = tensor.empty() : tensor<2x8xf16>
  %14 = linalg.generic {indexing_maps = [#map4, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%cst, %12 : tensor<8xf16>, tensor<2x8xf16>) outs(%13 : tensor<2x8xf16>) {
  ^bb0(%in: f16, %in_5: f16, %out: f16):
    %15 = arith.extf %in : f16 to f32
    %16 = arith.extf %in_5 : f16 to f32
    %17 = arith.mulf %15, %16 : f32
    %18 = arith.truncf %17 : f32 to f16
    linalg.yield %18 : f16
  } -> tensor<2x8xf16>
  return %14 : tensor<2x8xf16>
}

// -----
// Gain 1 + w in f32, then one cast: all of it is the op.
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> ()>
#map2 = affine_map<(d0, d1) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d0, 0)>
#map4 = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @rms_gemma
// CHECK-SAME: (%[[X:.*]]: tensor<2x8xf16>
// CHECK-NEXT: %[[G:.*]] = arith.constant
// CHECK-NEXT: %[[Y:.*]] = nq.norm rms %[[X]] scale(%[[G]] : tensor<8xf32>) {{.*}} : tensor<2x8xf16> -> tensor<2x8xf16>
// CHECK-NEXT: return %[[Y]]
func.func @rms_gemma(%arg0: tensor<2x8xf16>) -> tensor<2x8xf16> {
  %cst = arith.constant dense<[5.000000e-01, 0.642857134, 0.785714268, 0.928571403, 1.07142854, 1.21428573, 1.35714293, 1.500000e+00]> : tensor<8xf32>
  %cst_0 = arith.constant 1.000000e+00 : f32
  %cst_1 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_2 = arith.constant 8.000000e+00 : f32
  %cst_3 = arith.constant 0.000000e+00 : f32
  %cst_4 = arith.constant dense<2.000000e+00> : tensor<f32>
  %0 = nq.cast %arg0 : tensor<2x8xf16> -> tensor<2x8xf32>
  %1 = tensor.empty() : tensor<2x8xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %cst_4 : tensor<2x8xf32>, tensor<f32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in : f32
    linalg.yield %14 : f32
  } -> tensor<2x8xf32>
  %3 = tensor.empty() : tensor<2xf32>
  %4 = linalg.fill ins(%cst_3 : f32) outs(%3 : tensor<2xf32>) -> tensor<2xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "reduction"]} ins(%2 : tensor<2x8xf32>) outs(%4 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.addf %out, %in : f32
    linalg.yield %14 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %5 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %6 = tensor.empty() : tensor<2x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.divf %in, %cst_2 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%7, %cst_1 : tensor<2x1xf32>, tensor<f32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.addf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%8 : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = math.sqrt %in : f32
    linalg.yield %14 : f32
  } -> tensor<2x1xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%9 : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.divf %cst_0, %in : f32
    linalg.yield %14 : f32
  } -> tensor<2x1xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %10 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x8xf32>
  %12 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel"]} ins(%11, %cst : tensor<2x8xf32>, tensor<8xf32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x8xf32>
  %13 = nq.cast %12 : tensor<2x8xf32> -> tensor<2x8xf16>
  return %13 : tensor<2x8xf16>
}

// -----
// Gain and shift per batch entry, computed at run time.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map2 = affine_map<(d0, d1, d2) -> ()>
#map3 = affine_map<(d0, d1, d2) -> (d0, d1, 0)>
#map4 = affine_map<(d0, d1, d2) -> (d0, 0, d2)>
// CHECK-LABEL: @rms_adaptive
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x8xf32>, %[[S:.*]]: tensor<2x1x8xf32>, %[[T:.*]]: tensor<2x1x8xf32>
// CHECK-NEXT: %[[Y:.*]] = nq.norm rms %[[X]] scale(%[[S]] : tensor<2x1x8xf32>) bias(%[[T]] : tensor<2x1x8xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @rms_adaptive(%arg0: tensor<2x3x8xf32>, %arg1: tensor<2x1x8xf32>, %arg2: tensor<2x1x8xf32>) -> tensor<2x3x8xf32> {
  %cst = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_0 = arith.constant 8.000000e+00 : f32
  %cst_1 = arith.constant 0.000000e+00 : f32
  %0 = tensor.empty() : tensor<2x3x8xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %arg0 : tensor<2x3x8xf32>, tensor<2x3x8xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %12 = arith.mulf %in, %in_2 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  %2 = tensor.empty() : tensor<2x3xf32>
  %3 = linalg.fill ins(%cst_1 : f32) outs(%2 : tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "reduction"]} ins(%1 : tensor<2x3x8xf32>) outs(%3 : tensor<2x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = arith.addf %out, %in : f32
    linalg.yield %12 : f32
  } -> tensor<2x3xf32>
  %expanded = tensor.expand_shape %4 [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xf32> into tensor<2x3x1xf32>
  %5 = tensor.empty() : tensor<2x3x1xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x3x1xf32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = arith.divf %in, %cst_0 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%6, %cst : tensor<2x3x1xf32>, tensor<f32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %12 = arith.addf %in, %in_2 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%7 : tensor<2x3x1xf32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = math.sqrt %in : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %8 : tensor<2x3x8xf32>, tensor<2x3x1xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %12 = arith.divf %in, %in_2 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%9, %arg1 : tensor<2x3x8xf32>, tensor<2x1x8xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %12 = arith.mulf %in, %in_2 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%10, %arg2 : tensor<2x3x8xf32>, tensor<2x1x8xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %12 = arith.addf %in, %in_2 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  return %11 : tensor<2x3x8xf32>
}

// -----
// A residual is as large as the tensor: it is no bias.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> ()>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map3 = affine_map<(d0, d1, d2) -> (d0, d1, 0)>
// CHECK-LABEL: @rms_residual
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x8xf32>, %[[R:.*]]: tensor<2x3x8xf32>
// CHECK: %[[N:.*]] = nq.norm rms %[[X]] {axis
// CHECK: linalg.generic {{.*}} ins(%[[N]], %[[R]] 
func.func @rms_residual(%arg0: tensor<2x3x8xf32>, %arg1: tensor<2x3x8xf32>) -> tensor<2x3x8xf32> {
  %cst = arith.constant dense<1.000000e+00> : tensor<f32>
  %cst_0 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_1 = arith.constant 8.000000e+00 : f32
  %cst_2 = arith.constant 0.000000e+00 : f32
  %cst_3 = arith.constant dense<2.000000e+00> : tensor<f32>
  %0 = tensor.empty() : tensor<2x3x8xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %cst_3 : tensor<2x3x8xf32>, tensor<f32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %12 = arith.mulf %in, %in : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  %2 = tensor.empty() : tensor<2x3xf32>
  %3 = linalg.fill ins(%cst_2 : f32) outs(%2 : tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "parallel", "reduction"]} ins(%1 : tensor<2x3x8xf32>) outs(%3 : tensor<2x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = arith.addf %out, %in : f32
    linalg.yield %12 : f32
  } -> tensor<2x3xf32>
  %expanded = tensor.expand_shape %4 [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xf32> into tensor<2x3x1xf32>
  %5 = tensor.empty() : tensor<2x3x1xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x3x1xf32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = arith.divf %in, %cst_1 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%6, %cst_0 : tensor<2x3x1xf32>, tensor<f32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %12 = arith.addf %in, %in_4 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%7 : tensor<2x3x1xf32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %12 = math.sqrt %in : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %9 = linalg.generic {indexing_maps = [#map1, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%cst, %8 : tensor<f32>, tensor<2x3x1xf32>) outs(%5 : tensor<2x3x1xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %12 = arith.divf %in, %in_4 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x1xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %9 : tensor<2x3x8xf32>, tensor<2x3x1xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %12 = arith.mulf %in, %in_4 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%10, %arg1 : tensor<2x3x8xf32>, tensor<2x3x8xf32>) outs(%0 : tensor<2x3x8xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %12 = arith.addf %in, %in_4 : f32
    linalg.yield %12 : f32
  } -> tensor<2x3x8xf32>
  return %11 : tensor<2x3x8xf32>
}

// -----
// torch: ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0, d1) -> (d0, 0)>
#map3 = affine_map<(d0, d1) -> ()>
#map4 = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @layer_torch
// CHECK-SAME: (%[[X:.*]]: tensor<2x8xf32>
// CHECK: %[[Y:.*]] = nq.norm layer %[[X]] scale(%{{.*}} : tensor<8xf32>) bias(%{{.*}} : tensor<8xf32>) {axis = 1 : i64
// CHECK-NEXT: return %[[Y]]
func.func @layer_torch(%arg0: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %cst = arith.constant dense<[-1.000000e+00, -0.714285731, -0.428571433, -0.142857149, 0.142857149, 0.428571433, 0.714285731, 1.000000e+00]> : tensor<8xf32>
  %cst_0 = arith.constant dense<[5.000000e-01, 0.642857134, 0.785714268, 0.928571403, 1.07142854, 1.21428573, 1.35714281, 1.500000e+00]> : tensor<8xf32>
  %cst_1 = arith.constant dense<9.99999974E-6> : tensor<f32>
  %cst_2 = arith.constant dense<2.000000e+00> : tensor<f32>
  %cst_3 = arith.constant 8.000000e+00 : f32
  %cst_4 = arith.constant 0.000000e+00 : f32
  %0 = tensor.empty() : tensor<2xf32>
  %1 = linalg.fill ins(%cst_4 : f32) outs(%0 : tensor<2xf32>) -> tensor<2xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%arg0 : tensor<2x8xf32>) outs(%1 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.addf %out, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %2 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %3 = tensor.empty() : tensor<2x1xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%3 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.divf %in, %cst_3 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %5 = tensor.empty() : tensor<2x8xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %4 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%5 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.subf %in, %in_6 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%6, %cst_2 : tensor<2x8xf32>, tensor<f32>) outs(%5 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.mulf %in, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%7 : tensor<2x8xf32>) outs(%1 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.addf %out, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2xf32>
  %expanded_5 = tensor.expand_shape %8 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded_5 : tensor<2x1xf32>) outs(%3 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.divf %in, %cst_3 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%9, %cst_1 : tensor<2x1xf32>, tensor<f32>) outs(%3 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.addf %in, %in_6 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%10 : tensor<2x1xf32>) outs(%3 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = math.sqrt %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %12 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel"]} ins(%6, %11 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%5 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.divf %in, %in_6 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %13 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel"]} ins(%12, %cst_0 : tensor<2x8xf32>, tensor<8xf32>) outs(%5 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.mulf %in, %in_6 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %14 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel"]} ins(%13, %cst : tensor<2x8xf32>, tensor<8xf32>) outs(%5 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_6: f32, %out: f32):
    %15 = arith.addf %in, %in_6 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  return %14 : tensor<2x8xf32>
}

// -----
// flax: the gain multiplies the inverse root; the last two dimensions are one.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> (d0)>
#map2 = affine_map<(d0, d1, d2) -> (d0, 0, 0)>
#map3 = affine_map<(d0, d1, d2) -> ()>
#map4 = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-LABEL: @layer_gain_on_root
// CHECK-SAME: (%[[X:.*]]: tensor<2x3x4xf32>
// CHECK: %[[Y:.*]] = nq.norm layer %[[X]] scale(%{{.*}} : tensor<3x4xf32>) {axis = 1 : i64
// CHECK-NEXT: return %[[Y]]
func.func @layer_gain_on_root(%arg0: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %cst = arith.constant dense<[[5.000000e-01, 0.590909064, 0.681818187, 0.772727251], [0.863636374, 0.954545438, 1.0454545, 1.13636363], [1.22727275, 1.31818187, 1.40909088, 1.500000e+00]]> : tensor<3x4xf32>
  %cst_0 = arith.constant dense<-5.000000e-01> : tensor<f32>
  %cst_1 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_2 = arith.constant 1.200000e+01 : f32
  %cst_3 = arith.constant 0.000000e+00 : f32
  %0 = tensor.empty() : tensor<2xf32>
  %1 = linalg.fill ins(%cst_3 : f32) outs(%0 : tensor<2xf32>) -> tensor<2xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction", "reduction"]} ins(%arg0 : tensor<2x3x4xf32>) outs(%1 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.addf %out, %in : f32
    linalg.yield %14 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %2 [[0, 1, 2]] output_shape [2, 1, 1] : tensor<2xf32> into tensor<2x1x1xf32>
  %3 = tensor.empty() : tensor<2x1x1xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x1x1xf32>) outs(%3 : tensor<2x1x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.divf %in, %cst_2 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1x1xf32>
  %5 = tensor.empty() : tensor<2x3x4xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %4 : tensor<2x3x4xf32>, tensor<2x1x1xf32>) outs(%5 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.subf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x3x4xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%6, %6 : tensor<2x3x4xf32>, tensor<2x3x4xf32>) outs(%5 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x3x4xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction", "reduction"]} ins(%7 : tensor<2x3x4xf32>) outs(%1 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.addf %out, %in : f32
    linalg.yield %14 : f32
  } -> tensor<2xf32>
  %expanded_4 = tensor.expand_shape %8 [[0, 1, 2]] output_shape [2, 1, 1] : tensor<2xf32> into tensor<2x1x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded_4 : tensor<2x1x1xf32>) outs(%3 : tensor<2x1x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %14 = arith.divf %in, %cst_2 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1x1xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%9, %cst_1 : tensor<2x1x1xf32>, tensor<f32>) outs(%3 : tensor<2x1x1xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.addf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1x1xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%10, %cst_0 : tensor<2x1x1xf32>, tensor<f32>) outs(%3 : tensor<2x1x1xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = math.powf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x1x1xf32>
  %12 = linalg.generic {indexing_maps = [#map2, #map4, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%11, %cst : tensor<2x1x1xf32>, tensor<3x4xf32>) outs(%5 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x3x4xf32>
  %13 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%6, %12 : tensor<2x3x4xf32>, tensor<2x3x4xf32>) outs(%5 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %14 = arith.mulf %in, %in_5 : f32
    linalg.yield %14 : f32
  } -> tensor<2x3x4xf32>
  return %13 : tensor<2x3x4xf32>
}
