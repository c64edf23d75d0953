// MatMul - Softmax - MatMul, as exporters write it, becomes nq.attention.
// RUN: nibble-opt %s --split-input-file --recognize-attention --canonicalize | FileCheck %s

// torch SDPA: q and k^T times the square root of the scale; bool mask as float; guard against NaN.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @sdpa
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x8xf32>, %[[K:.*]]: tensor<1x4x3x8xf32>, %[[V:.*]]: tensor<1x4x3x8xf32>, %[[M:.*]]: tensor<1x1x3x3xi1>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] mask(%[[M]] : tensor<1x1x3x3xi1>) {scale = 0.35355336
// CHECK-NEXT: return %[[Y]]
func.func @sdpa(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x1x3x3xi1>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<0xFF800000> : tensor<f32>
  %cst_0 = arith.constant dense<0.000000e+00> : tensor<f32>
  %cst_1 = arith.constant dense<0.594603539> : tensor<f32>
  %0 = tensor.empty() : tensor<1x4x3x8xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %cst_1 : tensor<1x4x3x8xf32>, tensor<f32>) outs(%0 : tensor<1x4x3x8xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %14 = arith.mulf %in, %in_2 : f32
    linalg.yield %14 : f32
  } -> tensor<1x4x3x8xf32>
  %2 = tensor.empty() : tensor<1x4x8x3xf32>
  %transposed = linalg.transpose ins(%arg1 : tensor<1x4x3x8xf32>) outs(%2 : tensor<1x4x8x3xf32>) permutation = [0, 1, 3, 2] 
  %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%transposed, %cst_1 : tensor<1x4x8x3xf32>, tensor<f32>) outs(%2 : tensor<1x4x8x3xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %14 = arith.mulf %in, %in_2 : f32
    linalg.yield %14 : f32
  } -> tensor<1x4x8x3xf32>
  %4 = nq.matmul %1, %3 : (tensor<1x4x3x8xf32>, tensor<1x4x8x3xf32>) -> tensor<1x4x3x3xf32>
  %5 = tensor.empty() : tensor<1x1x3x3xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map1, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg3, %cst_0, %cst : tensor<1x1x3x3xi1>, tensor<f32>, tensor<f32>) outs(%5 : tensor<1x1x3x3xf32>) {
  ^bb0(%in: i1, %in_2: f32, %in_3: f32, %out: f32):
    %14 = arith.select %in, %in_2, %in_3 : f32
    linalg.yield %14 : f32
  } -> tensor<1x1x3x3xf32>
  %7 = tensor.empty() : tensor<1x4x3x3xf32>
  %8 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4, %6 : tensor<1x4x3x3xf32>, tensor<1x1x3x3xf32>) outs(%7 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %14 = arith.addf %in, %in_2 : f32
    linalg.yield %14 : f32
  } -> tensor<1x4x3x3xf32>
  %9 = linalg.softmax dimension(3) ins(%8 : tensor<1x4x3x3xf32>) outs(%7 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %10 = tensor.empty() : tensor<1x4x3x3xi1>
  %11 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%9 : tensor<1x4x3x3xf32>) outs(%10 : tensor<1x4x3x3xi1>) {
  ^bb0(%in: f32, %out: i1):
    %14 = arith.cmpf uno, %in, %in : f32
    linalg.yield %14 : i1
  } -> tensor<1x4x3x3xi1>
  %12 = linalg.generic {indexing_maps = [#map, #map1, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%11, %cst_0, %9 : tensor<1x4x3x3xi1>, tensor<f32>, tensor<1x4x3x3xf32>) outs(%7 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: i1, %in_2: f32, %in_3: f32, %out: f32):
    %14 = arith.select %in, %in_2, %in_3 : f32
    linalg.yield %14 : f32
  } -> tensor<1x4x3x3xf32>
  %13 = nq.matmul %12, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %13 : tensor<1x4x3x8xf32>
}

// -----
// Hugging Face, eager, f16: repeated heads, Mul, additive mask, softmax in f32.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @eager_grouped
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x8xf16>, %[[K:.*]]: tensor<1x2x3x8xf16>, %[[V:.*]]: tensor<1x2x3x8xf16>, %[[M:.*]]: tensor<1x1x3x3xf16>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] mask(%[[M]] : tensor<1x1x3x3xf16>) {scale = 0.353515625 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @eager_grouped(%arg0: tensor<1x4x3x8xf16>, %arg1: tensor<1x2x3x8xf16>, %arg2: tensor<1x2x3x8xf16>, %arg3: tensor<1x1x3x3xf16>) -> tensor<1x4x3x8xf16> {
  %cst = arith.constant dense<3.535160e-01> : tensor<f16>
  %0 = tensor.empty() : tensor<1x2x2x3x8xf16>
  %broadcasted = linalg.broadcast ins(%arg1 : tensor<1x2x3x8xf16>) outs(%0 : tensor<1x2x2x3x8xf16>) dimensions = [2] 
  %collapsed = tensor.collapse_shape %broadcasted [[0], [1, 2], [3], [4]] : tensor<1x2x2x3x8xf16> into tensor<1x4x3x8xf16>
  %1 = nq.matmul %arg0, %collapsed transpose_b : (tensor<1x4x3x8xf16>, tensor<1x4x3x8xf16>) -> tensor<1x4x3x3xf16>
  %2 = tensor.empty() : tensor<1x4x3x3xf16>
  %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1, %cst : tensor<1x4x3x3xf16>, tensor<f16>) outs(%2 : tensor<1x4x3x3xf16>) {
  ^bb0(%in: f16, %in_2: f16, %out: f16):
    %10 = arith.extf %in : f16 to f32
    %11 = arith.extf %in_2 : f16 to f32
    %12 = arith.mulf %10, %11 : f32
    %13 = arith.truncf %12 : f32 to f16
    linalg.yield %13 : f16
  } -> tensor<1x4x3x3xf16>
  %4 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%3, %arg3 : tensor<1x4x3x3xf16>, tensor<1x1x3x3xf16>) outs(%2 : tensor<1x4x3x3xf16>) {
  ^bb0(%in: f16, %in_2: f16, %out: f16):
    %10 = arith.extf %in : f16 to f32
    %11 = arith.extf %in_2 : f16 to f32
    %12 = arith.addf %10, %11 : f32
    %13 = arith.truncf %12 : f32 to f16
    linalg.yield %13 : f16
  } -> tensor<1x4x3x3xf16>
  %5 = nq.cast %4 : tensor<1x4x3x3xf16> -> tensor<1x4x3x3xf32>
  %6 = tensor.empty() : tensor<1x4x3x3xf32>
  %7 = linalg.softmax dimension(3) ins(%5 : tensor<1x4x3x3xf32>) outs(%6 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %8 = nq.cast %7 : tensor<1x4x3x3xf32> -> tensor<1x4x3x3xf16>
  %broadcasted_0 = linalg.broadcast ins(%arg2 : tensor<1x2x3x8xf16>) outs(%0 : tensor<1x2x2x3x8xf16>) dimensions = [2] 
  %collapsed_1 = tensor.collapse_shape %broadcasted_0 [[0], [1, 2], [3], [4]] : tensor<1x2x2x3x8xf16> into tensor<1x4x3x8xf16>
  %9 = nq.matmul %8, %collapsed_1 : (tensor<1x4x3x3xf16>, tensor<1x4x3x8xf16>) -> tensor<1x4x3x8xf16>
  return %9 : tensor<1x4x3x8xf16>
}

// -----
// A constant mask of -inf above the diagonal is causal; Div by the square root of D.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @causal_infinite
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x8xf32>, %[[K:.*]]: tensor<1x4x3x8xf32>, %[[V:.*]]: tensor<1x4x3x8xf32>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] {causal, scale = 0.353553
// CHECK-NEXT: return %[[Y]]
func.func @causal_infinite(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<[[[[0.000000e+00, 0xFF800000, 0xFF800000], [0.000000e+00, 0.000000e+00, 0xFF800000], [0.000000e+00, 0.000000e+00, 0.000000e+00]]]]> : tensor<1x1x3x3xf32>
  %cst_0 = arith.constant dense<2.82842708> : tensor<f32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %cst_0 : tensor<1x4x3x3xf32>, tensor<f32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %6 = arith.divf %in, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2, %cst : tensor<1x4x3x3xf32>, tensor<1x1x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %6 = arith.addf %in, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %4 = linalg.softmax dimension(3) ins(%3 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %5 : tensor<1x4x3x8xf32>
}

// -----
// f16 operands bound the scores, so a large finite value in f32 masks out.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @causal_bounded_by_type
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x8xf16>, %[[K:.*]]: tensor<1x4x3x8xf16>, %[[V:.*]]: tensor<1x4x3x8xf16>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] {causal, scale = 1.000000e+00 : f64} : {{.*}} -> tensor<1x4x3x8xf16>
// CHECK-NEXT: return %[[Y]]
func.func @causal_bounded_by_type(%arg0: tensor<1x4x3x8xf16>, %arg1: tensor<1x4x3x8xf16>, %arg2: tensor<1x4x3x8xf16>) -> tensor<1x4x3x8xf16> {
  %cst = arith.constant dense<[[0.000000e+00, -1.000000e+30, -1.000000e+30], [0.000000e+00, 0.000000e+00, -1.000000e+30], [0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<3x3xf32>
  %0 = nq.cast %arg0 : tensor<1x4x3x8xf16> -> tensor<1x4x3x8xf32>
  %1 = tensor.empty() : tensor<1x4x8x3xf16>
  %transposed = linalg.transpose ins(%arg1 : tensor<1x4x3x8xf16>) outs(%1 : tensor<1x4x8x3xf16>) permutation = [0, 1, 3, 2] 
  %2 = nq.cast %transposed : tensor<1x4x8x3xf16> -> tensor<1x4x8x3xf32>
  %3 = nq.matmul %0, %2 : (tensor<1x4x3x8xf32>, tensor<1x4x8x3xf32>) -> tensor<1x4x3x3xf32>
  %4 = tensor.empty() : tensor<1x4x3x3xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%3, %cst : tensor<1x4x3x3xf32>, tensor<3x3xf32>) outs(%4 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %10 = arith.addf %in, %in_0 : f32
    linalg.yield %10 : f32
  } -> tensor<1x4x3x3xf32>
  %6 = linalg.softmax dimension(3) ins(%5 : tensor<1x4x3x3xf32>) outs(%4 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %7 = nq.cast %arg2 : tensor<1x4x3x8xf16> -> tensor<1x4x3x8xf32>
  %8 = nq.matmul %6, %7 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  %9 = nq.cast %8 : tensor<1x4x3x8xf32> -> tensor<1x4x3x8xf16>
  return %9 : tensor<1x4x3x8xf16>
}

// -----
// The softcap bounds the scores; the mask is that of the last queries; KV cache by Concat.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
#map2 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @causal_softcap_past
// CHECK: %[[K:.*]] = tensor.concat dim(2)
// CHECK: %[[V:.*]] = tensor.concat dim(2)
// CHECK-NEXT: %[[Y:.*]] = nq.attention %{{.*}}, %[[K]], %[[V]] {bottom_right, causal, scale = 0.353553{{.*}} : f64, softcap = 5.000000e+01 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @causal_softcap_past(%arg0: tensor<1x4x2x8xf32>, %arg1: tensor<1x4x2x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x4x2x8xf32>, %arg4: tensor<1x4x3x8xf32>) -> tensor<1x4x2x8xf32> {
  %cst = arith.constant dense<[[0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00, -1.000000e+04], [0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<2x5xf32>
  %cst_0 = arith.constant dense<5.000000e+01> : tensor<f32>
  %cst_1 = arith.constant dense<0.353553385> : tensor<f32>
  %concat = tensor.concat dim(2) %arg2, %arg1 : (tensor<1x4x3x8xf32>, tensor<1x4x2x8xf32>) -> tensor<1x4x5x8xf32>
  %concat_2 = tensor.concat dim(2) %arg4, %arg3 : (tensor<1x4x3x8xf32>, tensor<1x4x2x8xf32>) -> tensor<1x4x5x8xf32>
  %0 = nq.matmul %arg0, %concat transpose_b : (tensor<1x4x2x8xf32>, tensor<1x4x5x8xf32>) -> tensor<1x4x2x5xf32>
  %1 = tensor.empty() : tensor<1x4x2x5xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %cst_1 : tensor<1x4x2x5xf32>, tensor<f32>) outs(%1 : tensor<1x4x2x5xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.mulf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x4x2x5xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2, %cst_0 : tensor<1x4x2x5xf32>, tensor<f32>) outs(%1 : tensor<1x4x2x5xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.divf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x4x2x5xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%3 : tensor<1x4x2x5xf32>) outs(%1 : tensor<1x4x2x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %9 = math.tanh %in : f32
    linalg.yield %9 : f32
  } -> tensor<1x4x2x5xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4, %cst_0 : tensor<1x4x2x5xf32>, tensor<f32>) outs(%1 : tensor<1x4x2x5xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.mulf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x4x2x5xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5, %cst : tensor<1x4x2x5xf32>, tensor<2x5xf32>) outs(%1 : tensor<1x4x2x5xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.addf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x4x2x5xf32>
  %7 = linalg.softmax dimension(3) ins(%6 : tensor<1x4x2x5xf32>) outs(%1 : tensor<1x4x2x5xf32>) -> tensor<1x4x2x5xf32>
  %8 = nq.matmul %7, %concat_2 : (tensor<1x4x2x5xf32>, tensor<1x4x5x8xf32>) -> tensor<1x4x2x8xf32>
  return %8 : tensor<1x4x2x8xf32>
}

// -----
// GPT-2: Where with -inf; here the condition says what is masked.
#map = affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
// CHECK-LABEL: @select_mask
// CHECK: arith.xori
// CHECK: %[[Y:.*]] = nq.attention {{.*}} mask(%{{.*}} : tensor<1x1x1x3xi1>) {scale = 1.000000e+00 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @select_mask(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x1x1x3xi1>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<0xFF800000> : tensor<f32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map2, #map2], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg3, %cst, %0 : tensor<1x1x1x3xi1>, tensor<f32>, tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: i1, %in_0: f32, %in_1: f32, %out: f32):
    %5 = arith.select %in, %in_0, %in_1 : f32
    linalg.yield %5 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.softmax dimension(3) ins(%2 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %4 = nq.matmul %3, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %4 : tensor<1x4x3x8xf32>
}

// -----
// OPT, CLIP: bmm on [B * H, S, D], the mask meets a view [B, H, S, T].
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @merged_heads
// CHECK-COUNT-3: tensor.expand_shape %{{.*}} {{\[\[}}0, 1], [2], [3]] output_shape [2, 4, 3, 8]
// CHECK: %[[Y:.*]] = nq.attention {{.*}} mask(%{{.*}} : tensor<2x1x3x3xf32>)
// CHECK: %[[Z:.*]] = tensor.collapse_shape %[[Y]]
// CHECK-NEXT: return %[[Z]]
func.func @merged_heads(%arg0: tensor<8x3x8xf32>, %arg1: tensor<8x3x8xf32>, %arg2: tensor<8x3x8xf32>, %arg3: tensor<2x1x3x3xf32>) -> tensor<8x3x8xf32> {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<8x3x8xf32>, tensor<8x3x8xf32>) -> tensor<8x3x3xf32>
  %expanded = tensor.expand_shape %0 [[0, 1], [2], [3]] output_shape [2, 4, 3, 3] : tensor<8x3x3xf32> into tensor<2x4x3x3xf32>
  %1 = tensor.empty() : tensor<2x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%expanded, %arg3 : tensor<2x4x3x3xf32>, tensor<2x1x3x3xf32>) outs(%1 : tensor<2x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.addf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<2x4x3x3xf32>
  %collapsed = tensor.collapse_shape %2 [[0, 1], [2], [3]] : tensor<2x4x3x3xf32> into tensor<8x3x3xf32>
  %3 = tensor.empty() : tensor<8x3x3xf32>
  %4 = linalg.softmax dimension(2) ins(%collapsed : tensor<8x3x3xf32>) outs(%3 : tensor<8x3x3xf32>) -> tensor<8x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<8x3x3xf32>, tensor<8x3x8xf32>) -> tensor<8x3x8xf32>
  return %5 : tensor<8x3x8xf32>
}

// -----
// K goes from [B, T, H, D] to [B, H, D, T] in one transpose; one head by broadcast of V and K.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> ()>
// CHECK-LABEL: @keys_from_positions_first
// CHECK-SAME: (%[[Q:.*]]: tensor<2x4x3x8xf32>, %[[K:.*]]: tensor<2x3x1x8xf32>, %[[V:.*]]: tensor<2x1x3x8xf32>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[K]] : tensor<2x3x1x8xf32>){{.*}} permutation = [0, 2, 1, 3]
// CHECK: %[[Y:.*]] = nq.attention %[[Q]], %[[T]], %[[V]] {scale = 2.500000e-01 : f64} :
// CHECK-NEXT: return %[[Y]]
func.func @keys_from_positions_first(%arg0: tensor<2x4x3x8xf32>, %arg1: tensor<2x3x1x8xf32>, %arg2: tensor<2x1x3x8xf32>) -> tensor<2x4x3x8xf32> {
  %cst = arith.constant dense<2.500000e-01> : tensor<f32>
  %0 = tensor.empty() : tensor<2x1x8x3xf32>
  %transposed = linalg.transpose ins(%arg1 : tensor<2x3x1x8xf32>) outs(%0 : tensor<2x1x8x3xf32>) permutation = [0, 2, 3, 1] 
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%transposed, %cst : tensor<2x1x8x3xf32>, tensor<f32>) outs(%0 : tensor<2x1x8x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.mulf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<2x1x8x3xf32>
  %2 = nq.matmul %arg0, %1 : (tensor<2x4x3x8xf32>, tensor<2x1x8x3xf32>) -> tensor<2x4x3x3xf32>
  %3 = tensor.empty() : tensor<2x4x3x3xf32>
  %4 = linalg.softmax dimension(3) ins(%2 : tensor<2x4x3x3xf32>) outs(%3 : tensor<2x4x3x3xf32>) -> tensor<2x4x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<2x4x3x3xf32>, tensor<2x1x3x8xf32>) -> tensor<2x4x3x8xf32>
  return %5 : tensor<2x4x3x8xf32>
}

// -----
// Two masks become one: position bias and padding.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> ()>
// CHECK-LABEL: @two_masks
// CHECK: %[[M:.*]] = linalg.generic
// CHECK: arith.select
// CHECK: %[[Y:.*]] = nq.attention {{.*}} mask(%[[M]] : tensor<1x4x3x3xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @two_masks(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x4x3x3xf32>, %arg4: tensor<1x1x1x3xi1>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<0xFF800000> : tensor<f32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %arg3 : tensor<1x4x3x3xf32>, tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.addf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.generic {indexing_maps = [#map1, #map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg4, %2, %cst : tensor<1x1x1x3xi1>, tensor<1x4x3x3xf32>, tensor<f32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: i1, %in_0: f32, %in_1: f32, %out: f32):
    %6 = arith.select %in, %in_0, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %4 = linalg.softmax dimension(3) ins(%3 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %5 : tensor<1x4x3x8xf32>
}

// -----
// FP8 keys and values with one scale are read as codes, also behind a repeat for query heads; so are queries if they are codes.
// CHECK-LABEL: @codes
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x16x!nq.fp8>, %[[K:.*]]: tensor<1x2x5x16x!nq.fp8>, %[[V:.*]]: tensor<1x2x5x16x!nq.fp8>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] {scale = 1.000000e+00 : f64} : (tensor<1x4x3x16x!nq.fp8>, tensor<1x2x5x16x!nq.fp8>, tensor<1x2x5x16x!nq.fp8>) -> tensor<1x4x3x16xf16>
// CHECK-NEXT: return %[[Y]]
func.func @codes(%q: tensor<1x4x3x16x!nq.fp8>, %k: tensor<1x2x5x16x!nq.fp8>, %v: tensor<1x2x5x16x!nq.fp8>) -> tensor<1x4x3x16xf16> {
  %0 = nq.dequantize %k : tensor<1x2x5x16x!nq.fp8> -> tensor<1x2x5x16xf16>
  %1 = nq.dequantize %v : tensor<1x2x5x16x!nq.fp8> -> tensor<1x2x5x16xf16>
  %2 = tensor.empty() : tensor<1x2x2x5x16xf16>
  %3 = linalg.broadcast ins(%0 : tensor<1x2x5x16xf16>) outs(%2 : tensor<1x2x2x5x16xf16>) dimensions = [2]
  %4 = linalg.broadcast ins(%1 : tensor<1x2x5x16xf16>) outs(%2 : tensor<1x2x2x5x16xf16>) dimensions = [2]
  %5 = tensor.collapse_shape %3 [[0], [1, 2], [3], [4]] : tensor<1x2x2x5x16xf16> into tensor<1x4x5x16xf16>
  %6 = tensor.collapse_shape %4 [[0], [1, 2], [3], [4]] : tensor<1x2x2x5x16xf16> into tensor<1x4x5x16xf16>
  %7 = nq.matmul %q, %5 transpose_b : (tensor<1x4x3x16x!nq.fp8>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x5xf16>
  %8 = tensor.empty() : tensor<1x4x3x5xf16>
  %9 = linalg.softmax dimension(3) ins(%7 : tensor<1x4x3x5xf16>) outs(%8 : tensor<1x4x3x5xf16>) -> tensor<1x4x3x5xf16>
  %10 = nq.matmul %9, %6 : (tensor<1x4x3x5xf16>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x16xf16>
  return %10 : tensor<1x4x3x16xf16>
}

// -----
// Keys alone are dequantized: values would have to be codes, too.
// CHECK-LABEL: @keys_alone
// CHECK: %[[K:.*]] = nq.dequantize
// CHECK: nq.attention %{{.*}}, %[[K]], %{{.*}} : (tensor<1x4x3x16xf16>, tensor<1x4x5x16xf16>, tensor<1x4x5x16xf16>)
func.func @keys_alone(%q: tensor<1x4x3x16xf16>, %k: tensor<1x4x5x16x!nq.fp8>, %v: tensor<1x4x5x16xf16>) -> tensor<1x4x3x16xf16> {
  %0 = nq.dequantize %k : tensor<1x4x5x16x!nq.fp8> -> tensor<1x4x5x16xf16>
  %1 = nq.matmul %q, %0 transpose_b : (tensor<1x4x3x16xf16>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x5xf16>
  %2 = tensor.empty() : tensor<1x4x3x5xf16>
  %3 = linalg.softmax dimension(3) ins(%1 : tensor<1x4x3x5xf16>) outs(%2 : tensor<1x4x3x5xf16>) -> tensor<1x4x3x5xf16>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5xf16>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// The softmax is quantized: its codes are those of nq.attention, as the values may be.
// CHECK-LABEL: @weights
// CHECK-SAME: (%[[Q:.*]]: tensor<1x4x3x16x!nq.fp8>, %[[K:.*]]: tensor<1x4x5x16x!nq.fp8>, %[[V:.*]]: tensor<1x4x5x16x!nq.fp8>
// CHECK-NEXT: %[[Y:.*]] = nq.attention %[[Q]], %[[K]], %[[V]] {scale = 1.000000e+00 : f64, weight_scale = 3.906250e-03 : f32, weight_type = f8E4M3FN}
// CHECK-NEXT: return %[[Y]]
func.func @weights(%q: tensor<1x4x3x16x!nq.fp8>, %k: tensor<1x4x5x16x!nq.fp8>, %v: tensor<1x4x5x16x!nq.fp8>) -> tensor<1x4x3x16xf16> {
  %s = arith.constant dense<3.906250e-03> : tensor<f32>
  %0 = nq.matmul %q, %k transpose_b : (tensor<1x4x3x16x!nq.fp8>, tensor<1x4x5x16x!nq.fp8>) -> tensor<1x4x3x5xf16>
  %1 = tensor.empty() : tensor<1x4x3x5xf16>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf16>) outs(%1 : tensor<1x4x3x5xf16>) -> tensor<1x4x3x5xf16>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) : tensor<1x4x3x5xf16> -> tensor<1x4x3x5x!nq.fp8>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.fp8>, tensor<1x4x5x16x!nq.fp8>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// The same for heads that share keys and values, dequantized in front of their repeat; the scale is an f16.
// CHECK-LABEL: @weights_of_a_group
// CHECK: nq.attention %{{.*}} {scale = 1.000000e+00 : f64, weight_scale = 3.906250e-03 : f32, weight_type = f8E5M2} : (tensor<1x8x3x16x!nq.fp8>, tensor<1x1x5x16x!nq.fp8>, tensor<1x1x5x16x!nq.fp8>)
// CHECK-NEXT: return
func.func @weights_of_a_group(%q: tensor<1x8x3x16x!nq.fp8>, %k: tensor<1x1x5x16x!nq.fp8>, %v: tensor<1x1x5x16x!nq.fp8>) -> tensor<1x8x3x16xf16> {
  %s = arith.constant dense<3.906250e-03> : tensor<f16>
  %0 = nq.dequantize %k : tensor<1x1x5x16x!nq.fp8> -> tensor<1x1x5x16xf16>
  %1 = nq.dequantize %v : tensor<1x1x5x16x!nq.fp8> -> tensor<1x1x5x16xf16>
  %2 = tensor.empty() : tensor<1x1x8x5x16xf16>
  %3 = linalg.broadcast ins(%0 : tensor<1x1x5x16xf16>) outs(%2 : tensor<1x1x8x5x16xf16>) dimensions = [2]
  %4 = linalg.broadcast ins(%1 : tensor<1x1x5x16xf16>) outs(%2 : tensor<1x1x8x5x16xf16>) dimensions = [2]
  %5 = tensor.collapse_shape %3 [[0], [1, 2], [3], [4]] : tensor<1x1x8x5x16xf16> into tensor<1x8x5x16xf16>
  %6 = tensor.collapse_shape %4 [[0], [1, 2], [3], [4]] : tensor<1x1x8x5x16xf16> into tensor<1x8x5x16xf16>
  %7 = nq.matmul %q, %5 transpose_b : (tensor<1x8x3x16x!nq.fp8>, tensor<1x8x5x16xf16>) -> tensor<1x8x3x5xf16>
  %8 = tensor.empty() : tensor<1x8x3x5xf16>
  %9 = linalg.softmax dimension(3) ins(%7 : tensor<1x8x3x5xf16>) outs(%8 : tensor<1x8x3x5xf16>) -> tensor<1x8x3x5xf16>
  %10 = nq.quantize %9 scale(%s : tensor<f16>) : tensor<1x8x3x5xf16> -> tensor<1x8x3x5x!nq.scaled<f8E5M2, f16 per tensor>>
  %11 = nq.dequantize %10 : tensor<1x8x3x5x!nq.scaled<f8E5M2, f16 per tensor>> -> tensor<1x8x3x5xf16>
  %12 = nq.matmul %11, %6 : (tensor<1x8x3x5xf16>, tensor<1x8x5x16xf16>) -> tensor<1x8x3x16xf16>
  return %12 : tensor<1x8x3x16xf16>
}
