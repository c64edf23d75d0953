// What looks like a normalization and is not, with the reason.
// RUN: nibble-opt %s --split-input-file --recognize-norm --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-norm --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: nibble-opt %s --split-input-file --recognize-norm=allow-less-rounding --canonicalize | FileCheck %s --check-prefix=ROUND

// Channels in the second dimension; the last node names the layer.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2) -> ()>
#map2 = affine_map<(d0, d1, d2) -> (d0, d2, d1)>
#map3 = affine_map<(d0, d1, d2) -> (d0, d1)>
#map4 = affine_map<(d0, d1, d2) -> (d0, 0, d2)>
// CHECK-LABEL: @other_dimension
// CHECK-NOT: nq.norm
// CHECK: return
// REMARK: [Missed] recognize-norm {{.*}}layer=/norm/Mul_1, reason="the mean is not over the last dimensions", rejected=nq.norm
func.func @other_dimension(%arg0: tensor<2x8x3xf32>) -> tensor<2x8x3xf32> {
  %cst = arith.constant dense<1.000000e+00> : tensor<f32>
  %cst_0 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_1 = arith.constant 8.000000e+00 : f32
  %cst_2 = arith.constant 0.000000e+00 : f32
  %cst_3 = arith.constant dense<2.000000e+00> : tensor<f32>
  %0 = tensor.empty() : tensor<2x8x3xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %cst_3 : tensor<2x8x3xf32>, tensor<f32>) outs(%0 : tensor<2x8x3xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %11 = arith.mulf %in, %in : f32
    linalg.yield %11 : f32
  } -> tensor<2x8x3xf32>
  %2 = tensor.empty() : tensor<2x3xf32>
  %3 = linalg.fill ins(%cst_2 : f32) outs(%2 : tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = linalg.generic {indexing_maps = [#map2, #map3], iterator_types = ["parallel", "parallel", "reduction"]} ins(%1 : tensor<2x8x3xf32>) outs(%3 : tensor<2x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %11 = arith.addf %out, %in : f32
    linalg.yield %11 : f32
  } -> tensor<2x3xf32>
  %expanded = tensor.expand_shape %4 [[0], [1, 2]] output_shape [2, 1, 3] : tensor<2x3xf32> into tensor<2x1x3xf32>
  %5 = tensor.empty() : tensor<2x1x3xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%expanded : tensor<2x1x3xf32>) outs(%5 : tensor<2x1x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %11 = arith.divf %in, %cst_1 : f32
    linalg.yield %11 : f32
  } -> tensor<2x1x3xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%6, %cst_0 : tensor<2x1x3xf32>, tensor<f32>) outs(%5 : tensor<2x1x3xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %11 = arith.addf %in, %in_4 : f32
    linalg.yield %11 : f32
  } -> tensor<2x1x3xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%7 : tensor<2x1x3xf32>) outs(%5 : tensor<2x1x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %11 = math.sqrt %in : f32
    linalg.yield %11 : f32
  } -> tensor<2x1x3xf32>
  %9 = linalg.generic {indexing_maps = [#map1, #map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%cst, %8 : tensor<f32>, tensor<2x1x3xf32>) outs(%5 : tensor<2x1x3xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %11 = arith.divf %in, %in_4 : f32
    linalg.yield %11 : f32
  } -> tensor<2x1x3xf32>
  %10 = linalg.generic {indexing_maps = [#map, #map4, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%arg0, %9 : tensor<2x8x3xf32>, tensor<2x1x3xf32>) outs(%0 : tensor<2x8x3xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %11 = arith.mulf %in, %in_4 : f32
    linalg.yield %11 : f32
  } -> tensor<2x8x3xf32> loc("/norm/Mul_1")
  return %10 : tensor<2x8x3xf32>
}

// -----
// All in f16.
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> ()>
#map2 = affine_map<(d0, d1) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: @rounded_squares
// CHECK-NOT: nq.norm
// CHECK: return
// ROUND-LABEL: @rounded_squares
// ROUND: nq.norm rms %{{.*}} {axis = 1 : i64
// REMARK: [Missed] recognize-norm {{.*}}reason="a step before the last is rounded to f16 or bf16", rejected=nq.norm, suggestion="export normalizations in float32, or allow it: --allow-rewrite allow-less-rounding"
func.func @rounded_squares(%arg0: tensor<2x8xf16>) -> tensor<2x8xf16> {
  %cst = arith.constant dense<1.000000e+00> : tensor<f16>
  %cst_0 = arith.constant dense<1.013280e-06> : tensor<f16>
  %cst_1 = arith.constant 8.000000e+00 : f32
  %cst_2 = arith.constant 0.000000e+00 : f32
  %cst_3 = arith.constant dense<2.000000e+00> : tensor<f16>
  %0 = tensor.empty() : tensor<2x8xf16>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %cst_3 : tensor<2x8xf16>, tensor<f16>) outs(%0 : tensor<2x8xf16>) {
  ^bb0(%in: f16, %in_4: f16, %out: f16):
    %13 = arith.extf %in : f16 to f32
    %14 = arith.mulf %13, %13 : f32
    %15 = arith.truncf %14 : f32 to f16
    linalg.yield %15 : f16
  } -> tensor<2x8xf16>
  %2 = tensor.empty() : tensor<2xf32>
  %3 = linalg.fill ins(%cst_2 : f32) outs(%2 : tensor<2xf32>) -> tensor<2xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "reduction"]} ins(%1 : tensor<2x8xf16>) outs(%3 : tensor<2xf32>) {
  ^bb0(%in: f16, %out: f32):
    %13 = arith.extf %in : f16 to f32
    %14 = arith.addf %out, %13 : f32
    linalg.yield %14 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %4 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %5 = tensor.empty() : tensor<2x1xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%5 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %13 = arith.divf %in, %cst_1 : f32
    linalg.yield %13 : f32
  } -> tensor<2x1xf32>
  %7 = nq.cast %6 : tensor<2x1xf32> -> tensor<2x1xf16>
  %8 = tensor.empty() : tensor<2x1xf16>
  %9 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%7, %cst_0 : tensor<2x1xf16>, tensor<f16>) outs(%8 : tensor<2x1xf16>) {
  ^bb0(%in: f16, %in_4: f16, %out: f16):
    %13 = arith.extf %in : f16 to f32
    %14 = arith.extf %in_4 : f16 to f32
    %15 = arith.addf %13, %14 : f32
    %16 = arith.truncf %15 : f32 to f16
    linalg.yield %16 : f16
  } -> tensor<2x1xf16>
  %10 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%9 : tensor<2x1xf16>) outs(%8 : tensor<2x1xf16>) {
  ^bb0(%in: f16, %out: f16):
    %13 = arith.extf %in : f16 to f32
    %14 = math.sqrt %13 : f32
    %15 = arith.truncf %14 : f32 to f16
    linalg.yield %15 : f16
  } -> tensor<2x1xf16>
  %11 = linalg.generic {indexing_maps = [#map1, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%cst, %10 : tensor<f16>, tensor<2x1xf16>) outs(%8 : tensor<2x1xf16>) {
  ^bb0(%in: f16, %in_4: f16, %out: f16):
    %13 = arith.extf %in : f16 to f32
    %14 = arith.extf %in_4 : f16 to f32
    %15 = arith.divf %13, %14 : f32
    %16 = arith.truncf %15 : f32 to f16
    linalg.yield %16 : f16
  } -> tensor<2x1xf16>
  %12 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %11 : tensor<2x8xf16>, tensor<2x1xf16>) outs(%0 : tensor<2x8xf16>) {
  ^bb0(%in: f16, %in_4: f16, %out: f16):
    %13 = arith.extf %in : f16 to f32
    %14 = arith.extf %in_4 : f16 to f32
    %15 = arith.mulf %13, %14 : f32
    %16 = arith.truncf %15 : f32 to f16
    linalg.yield %16 : f16
  } -> tensor<2x8xf16>
  return %12 : tensor<2x8xf16>
}

// -----
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> (d0)>
#map2 = affine_map<(d0, d1) -> ()>
#map3 = affine_map<(d0, d1) -> (d0, 0)>
// CHECK-LABEL: @other_squares
// CHECK-NOT: nq.norm
// CHECK: return
// REMARK: [Missed] recognize-norm {{.*}}reason="the squares are not those of the value that is divided"
func.func @other_squares(%arg0: tensor<2x8xf32>, %arg1: tensor<2x8xf32>) -> tensor<2x8xf32> {
  %cst = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_0 = arith.constant 8.000000e+00 : f32
  %cst_1 = arith.constant 0.000000e+00 : f32
  %0 = tensor.empty() : tensor<2x8xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg1, %arg1 : tensor<2x8xf32>, tensor<2x8xf32>) outs(%0 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %10 = arith.mulf %in, %in_2 : f32
    linalg.yield %10 : f32
  } -> tensor<2x8xf32>
  %2 = tensor.empty() : tensor<2xf32>
  %3 = linalg.fill ins(%cst_1 : f32) outs(%2 : tensor<2xf32>) -> tensor<2xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "reduction"]} ins(%1 : tensor<2x8xf32>) outs(%3 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %10 = arith.addf %out, %in : f32
    linalg.yield %10 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %4 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %5 = tensor.empty() : tensor<2x1xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%5 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %10 = arith.divf %in, %cst_0 : f32
    linalg.yield %10 : f32
  } -> tensor<2x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel"]} ins(%6, %cst : tensor<2x1xf32>, tensor<f32>) outs(%5 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %10 = arith.addf %in, %in_2 : f32
    linalg.yield %10 : f32
  } -> tensor<2x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%7 : tensor<2x1xf32>) outs(%5 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %10 = math.sqrt %in : f32
    linalg.yield %10 : f32
  } -> tensor<2x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%arg0, %8 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%0 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %10 = arith.divf %in, %in_2 : f32
    linalg.yield %10 : f32
  } -> tensor<2x8xf32>
  return %9 : tensor<2x8xf32>
}

// -----
#map = affine_map<(d0, d1) -> (d0, d1)>
#map1 = affine_map<(d0, d1) -> ()>
#map2 = affine_map<(d0, d1) -> (d0)>
#map3 = affine_map<(d0, d1) -> (d0, 0)>
#map4 = affine_map<(d0, d1) -> (d1)>
// CHECK-LABEL: @rounded_gain
// CHECK: nq.norm rms %{{[a-z0-9]+}} {
// CHECK: arith.mulf
// REMARK: [Passed] recognize-norm {{.*}}chosen="nq.norm rms"
// REMARK: [Missed] recognize-norm {{.*}}reason="the normalized value is rounded to f16 or bf16 before it", rejected="gain in nq.norm"
func.func @rounded_gain(%arg0: tensor<2x8xf16>, %arg1: tensor<8xf16>) -> tensor<2x8xf16> {
  %cst = arith.constant dense<1.000000e+00> : tensor<f32>
  %cst_0 = arith.constant dense<9.99999997E-7> : tensor<f32>
  %cst_1 = arith.constant 8.000000e+00 : f32
  %cst_2 = arith.constant 0.000000e+00 : f32
  %cst_3 = arith.constant dense<2.000000e+00> : tensor<f32>
  %0 = nq.cast %arg0 : tensor<2x8xf16> -> tensor<2x8xf32>
  %1 = tensor.empty() : tensor<2x8xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %cst_3 : tensor<2x8xf32>, tensor<f32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %15 = arith.mulf %in, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %3 = tensor.empty() : tensor<2xf32>
  %4 = linalg.fill ins(%cst_2 : f32) outs(%3 : tensor<2xf32>) -> tensor<2xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map2], iterator_types = ["parallel", "reduction"]} ins(%2 : tensor<2x8xf32>) outs(%4 : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.addf %out, %in : f32
    linalg.yield %15 : f32
  } -> tensor<2xf32>
  %expanded = tensor.expand_shape %5 [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %6 = tensor.empty() : tensor<2x1xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%expanded : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = arith.divf %in, %cst_1 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel"]} ins(%7, %cst_0 : tensor<2x1xf32>, tensor<f32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %15 = arith.addf %in, %in_4 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %9 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]} ins(%8 : tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %15 = math.sqrt %in : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %10 = linalg.generic {indexing_maps = [#map1, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%cst, %9 : tensor<f32>, tensor<2x1xf32>) outs(%6 : tensor<2x1xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %15 = arith.divf %in, %in_4 : f32
    linalg.yield %15 : f32
  } -> tensor<2x1xf32>
  %11 = linalg.generic {indexing_maps = [#map, #map3, #map], iterator_types = ["parallel", "parallel"]} ins(%0, %10 : tensor<2x8xf32>, tensor<2x1xf32>) outs(%1 : tensor<2x8xf32>) {
  ^bb0(%in: f32, %in_4: f32, %out: f32):
    %15 = arith.mulf %in, %in_4 : f32
    linalg.yield %15 : f32
  } -> tensor<2x8xf32>
  %12 = nq.cast %11 : tensor<2x8xf32> -> tensor<2x8xf16>
  %13 = tensor.empty() : tensor<2x8xf16>
  %14 = linalg.generic {indexing_maps = [#map4, #map, #map], iterator_types = ["parallel", "parallel"]} ins(%arg1, %12 : tensor<8xf16>, tensor<2x8xf16>) outs(%13 : tensor<2x8xf16>) {
  ^bb0(%in: f16, %in_4: f16, %out: f16):
    %15 = arith.extf %in : f16 to f32
    %16 = arith.extf %in_4 : f16 to f32
    %17 = arith.mulf %15, %16 : f32
    %18 = arith.truncf %17 : f32 to f16
    linalg.yield %18 : f16
  } -> tensor<2x8xf16>
  return %14 : tensor<2x8xf16>
}
