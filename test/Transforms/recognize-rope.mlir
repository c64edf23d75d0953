// Rotations of halves and pairs, as exporters write them, become nq.rope.
// RUN: nibble-opt %s --split-input-file --recognize-rope --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-rope=allow-less-rounding=false --canonicalize | FileCheck %s --check-prefix=EXACT

// torch: x cos + cat(-x2, x1) sin; constant tables keep one column per pair.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @rotate_half
// CHECK-SAME: (%[[X:.*]]: tensor<1x2x3x4xf32>
// CHECK-DAG: %[[C:.*]] = arith.constant dense<{{.*}}1.000000e+00, 1.000000e+00], [0.540302277, 0.950415253], [-0.416146845, 0.806578398]]]> : tensor<1x3x2xf32>
// CHECK-DAG: %[[S:.*]] = arith.constant dense<{{.*}}0.000000e+00, 0.000000e+00], [0.841470957, 0.310983598], [0.909297406, 0.591127098]]]> : tensor<1x3x2xf32>
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %[[C]], %[[S]] :
// CHECK-NEXT: return %[[Y]]
func.func @rotate_half(%arg0: tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32> {
  %cst = arith.constant dense<[[1.000000e+00, 1.000000e+00, 1.000000e+00, 1.000000e+00], [0.540302277, 0.950415253, 0.540302277, 0.950415253], [-0.416146845, 0.806578398, -0.416146845, 0.806578398]]> : tensor<3x4xf32>
  %cst_0 = arith.constant dense<[[0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.841470957, 0.310983598, 0.841470957, 0.310983598], [0.909297406, 0.591127098, 0.909297406, 0.591127098]]> : tensor<3x4xf32>
  %0 = tensor.empty() : tensor<1x2x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %cst : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %6 = arith.mulf %in, %in_2 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 2] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %2 = tensor.empty() : tensor<1x2x3x2xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice : tensor<1x2x3x2xf32>) outs(%2 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %6 = arith.negf %in : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x2xf32>
  %extracted_slice_1 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %concat = tensor.concat dim(3) %3, %extracted_slice_1 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat, %cst_0 : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %6 = arith.mulf %in, %in_2 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1, %4 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %6 = arith.addf %in, %in_2 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  return %5 : tensor<1x2x3x4xf32>
}

// -----
// Hugging Face: cos(cat(f, f)) of positions known at run time, for each batch entry.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @computed_tables
// CHECK-SAME: (%[[X:.*]]: tensor<2x2x3x4xf16>
// CHECK: math.cos
// CHECK: math.sin
// CHECK: tensor.extract_slice {{.*}}[0, 0, 0, 0] [2, 1, 3, 2]
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %{{.*}}, %{{.*}} : (tensor<2x2x3x4xf16>, tensor<2x3x2xf16>, tensor<2x3x2xf16>) -> tensor<2x2x3x4xf16>
// CHECK-NEXT: return %[[Y]]
// EXACT-LABEL: @computed_tables
// EXACT-NOT: nq.rope
// EXACT: return
func.func @computed_tables(%arg0: tensor<2x2x3x4xf16>, %arg1: tensor<2x3x2xf32>) -> tensor<2x2x3x4xf16> {
  %concat = tensor.concat dim(2) %arg1, %arg1 : (tensor<2x3x2xf32>, tensor<2x3x2xf32>) -> tensor<2x3x4xf32>
  %0 = tensor.empty() : tensor<2x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%concat : tensor<2x3x4xf32>) outs(%0 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %11 = math.cos %in : f32
    linalg.yield %11 : f32
  } -> tensor<2x3x4xf32>
  %2 = nq.cast %1 : tensor<2x3x4xf32> -> tensor<2x3x4xf16>
  %expanded = tensor.expand_shape %2 [[0], [1, 2], [3]] output_shape [2, 1, 3, 4] : tensor<2x3x4xf16> into tensor<2x1x3x4xf16>
  %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%concat : tensor<2x3x4xf32>) outs(%0 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %11 = math.sin %in : f32
    linalg.yield %11 : f32
  } -> tensor<2x3x4xf32>
  %4 = nq.cast %3 : tensor<2x3x4xf32> -> tensor<2x3x4xf16>
  %expanded_0 = tensor.expand_shape %4 [[0], [1, 2], [3]] output_shape [2, 1, 3, 4] : tensor<2x3x4xf16> into tensor<2x1x3x4xf16>
  %5 = tensor.empty() : tensor<2x2x3x4xf16>
  %6 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %expanded : tensor<2x2x3x4xf16>, tensor<2x1x3x4xf16>) outs(%5 : tensor<2x2x3x4xf16>) {
  ^bb0(%in: f16, %in_3: f16, %out: f16):
    %11 = arith.extf %in : f16 to f32
    %12 = arith.extf %in_3 : f16 to f32
    %13 = arith.mulf %11, %12 : f32
    %14 = arith.truncf %13 : f32 to f16
    linalg.yield %14 : f16
  } -> tensor<2x2x3x4xf16>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 2] [2, 2, 3, 2] [1, 1, 1, 1] : tensor<2x2x3x4xf16> to tensor<2x2x3x2xf16>
  %7 = tensor.empty() : tensor<2x2x3x2xf16>
  %8 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice : tensor<2x2x3x2xf16>) outs(%7 : tensor<2x2x3x2xf16>) {
  ^bb0(%in: f16, %out: f16):
    %11 = arith.extf %in : f16 to f32
    %12 = arith.negf %11 : f32
    %13 = arith.truncf %12 : f32 to f16
    linalg.yield %13 : f16
  } -> tensor<2x2x3x2xf16>
  %extracted_slice_1 = tensor.extract_slice %arg0[0, 0, 0, 0] [2, 2, 3, 2] [1, 1, 1, 1] : tensor<2x2x3x4xf16> to tensor<2x2x3x2xf16>
  %concat_2 = tensor.concat dim(3) %8, %extracted_slice_1 : (tensor<2x2x3x2xf16>, tensor<2x2x3x2xf16>) -> tensor<2x2x3x4xf16>
  %9 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat_2, %expanded_0 : tensor<2x2x3x4xf16>, tensor<2x1x3x4xf16>) outs(%5 : tensor<2x2x3x4xf16>) {
  ^bb0(%in: f16, %in_3: f16, %out: f16):
    %11 = arith.extf %in : f16 to f32
    %12 = arith.extf %in_3 : f16 to f32
    %13 = arith.mulf %11, %12 : f32
    %14 = arith.truncf %13 : f32 to f16
    linalg.yield %14 : f16
  } -> tensor<2x2x3x4xf16>
  %10 = linalg.generic {indexing_maps = [#map1, #map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%6, %9 : tensor<2x2x3x4xf16>, tensor<2x2x3x4xf16>) outs(%5 : tensor<2x2x3x4xf16>) {
  ^bb0(%in: f16, %in_3: f16, %out: f16):
    %11 = arith.extf %in : f16 to f32
    %12 = arith.extf %in_3 : f16 to f32
    %13 = arith.addf %11, %12 : f32
    %14 = arith.truncf %13 : f32 to f16
    linalg.yield %14 : f16
  } -> tensor<2x2x3x4xf16>
  return %10 : tensor<2x2x3x4xf16>
}

// -----
// Rows of a constant table gathered by position.
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
// CHECK-LABEL: @gathered_tables
// CHECK-SAME: (%[[X:.*]]: tensor<1x2x3x4xf32>
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %{{.*}}, %{{.*}} : (tensor<1x2x3x4xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @gathered_tables(%arg0: tensor<1x2x3x4xf32>, %arg1: tensor<1x3xi64>) -> tensor<1x2x3x4xf32> {
  %cst = arith.constant dense<[[0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.841470957, 0.310983598, 0.841470957, 0.310983598], [0.909297406, 0.591127098, 0.909297406, 0.591127098], [1.411200e-01, 0.812648892, 1.411200e-01, 0.812648892], [-0.756802499, 0.953580737, -0.756802499, 0.953580737]]> : tensor<5x4xf32>
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %c0 = arith.constant 0 : index
  %cst_0 = arith.constant dense<[[1.000000e+00, 1.000000e+00, 1.000000e+00, 1.000000e+00], [0.540302277, 0.950415253, 0.540302277, 0.950415253], [-0.416146845, 0.806578398, -0.416146845, 0.806578398], [-0.989992499, 0.582753599, -0.989992499, 0.582753599], [-0.653643608, 0.301137477, -0.653643608, 0.301137477]]> : tensor<5x4xf32>
  %0 = tensor.empty() : tensor<1x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel", "parallel", "parallel"]} outs(%0 : tensor<1x3x4xf32>) {
  ^bb0(%out: f32):
    %9 = linalg.index 1 : index
    %10 = linalg.index 2 : index
    %extracted = tensor.extract %arg1[%c0, %9] : tensor<1x3xi64>
    %11 = arith.index_cast %extracted : i64 to index
    %12 = arith.cmpi slt, %11, %c0 : index
    %13 = arith.addi %11, %c5 : index
    %14 = arith.select %12, %13, %11 : index
    %15 = arith.maxsi %14, %c0 : index
    %16 = arith.minsi %15, %c4 : index
    %extracted_3 = tensor.extract %cst_0[%16, %10] : tensor<5x4xf32>
    linalg.yield %extracted_3 : f32
  } -> tensor<1x3x4xf32>
  %expanded = tensor.expand_shape %1 [[0], [1, 2], [3]] output_shape [1, 1, 3, 4] : tensor<1x3x4xf32> into tensor<1x1x3x4xf32>
  %2 = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel", "parallel", "parallel"]} outs(%0 : tensor<1x3x4xf32>) {
  ^bb0(%out: f32):
    %9 = linalg.index 1 : index
    %10 = linalg.index 2 : index
    %extracted = tensor.extract %arg1[%c0, %9] : tensor<1x3xi64>
    %11 = arith.index_cast %extracted : i64 to index
    %12 = arith.cmpi slt, %11, %c0 : index
    %13 = arith.addi %11, %c5 : index
    %14 = arith.select %12, %13, %11 : index
    %15 = arith.maxsi %14, %c0 : index
    %16 = arith.minsi %15, %c4 : index
    %extracted_3 = tensor.extract %cst[%16, %10] : tensor<5x4xf32>
    linalg.yield %extracted_3 : f32
  } -> tensor<1x3x4xf32>
  %expanded_1 = tensor.expand_shape %2 [[0], [1, 2], [3]] output_shape [1, 1, 3, 4] : tensor<1x3x4xf32> into tensor<1x1x3x4xf32>
  %3 = tensor.empty() : tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %expanded : tensor<1x2x3x4xf32>, tensor<1x1x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.mulf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 2] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %5 = tensor.empty() : tensor<1x2x3x2xf32>
  %6 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice : tensor<1x2x3x2xf32>) outs(%5 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %9 = arith.negf %in : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x2xf32>
  %extracted_slice_2 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %concat = tensor.concat dim(3) %6, %extracted_slice_2 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %7 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat, %expanded_1 : tensor<1x2x3x4xf32>, tensor<1x1x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.mulf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  %8 = linalg.generic {indexing_maps = [#map1, #map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4, %7 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %9 = arith.addf %in, %in_3 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  return %8 : tensor<1x2x3x4xf32>
}

// -----
// JAX: cat(x1 cos - x2 sin, x2 cos + x1 sin) on [B, S, H, D], in f32 around a f16 tensor.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, 0, d3)>
// CHECK-LABEL: @split_positions_first
// CHECK-SAME: (%[[X:.*]]: tensor<1x3x2x4xf16>
// CHECK: %[[T:.*]] = linalg.transpose ins(%[[X]] : tensor<1x3x2x4xf16>){{.*}} permutation = [0, 2, 1, 3]
// CHECK: %[[R:.*]] = nq.rope %[[T]], %{{.*}}, %{{.*}} : (tensor<1x2x3x4xf16>, tensor<1x3x2xf32>, tensor<1x3x2xf32>) -> tensor<1x2x3x4xf16>
// CHECK: %[[Y:.*]] = linalg.transpose ins(%[[R]] : tensor<1x2x3x4xf16>){{.*}} permutation = [0, 2, 1, 3]
// CHECK-NEXT: return %[[Y]]
func.func @split_positions_first(%arg0: tensor<1x3x2x4xf16>, %arg1: tensor<1x3x1x2xf32>, %arg2: tensor<1x3x1x2xf32>) -> tensor<1x3x2x4xf16> {
  %0 = nq.cast %arg0 : tensor<1x3x2x4xf16> -> tensor<1x3x2x4xf32>
  %extracted_slice = tensor.extract_slice %0[0, 0, 0, 0] [1, 3, 2, 2] [1, 1, 1, 1] : tensor<1x3x2x4xf32> to tensor<1x3x2x2xf32>
  %extracted_slice_0 = tensor.extract_slice %0[0, 0, 0, 2] [1, 3, 2, 2] [1, 1, 1, 1] : tensor<1x3x2x4xf32> to tensor<1x3x2x2xf32>
  %1 = tensor.empty() : tensor<1x3x2x2xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice, %arg1 : tensor<1x3x2x2xf32>, tensor<1x3x1x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.mulf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice_0, %arg2 : tensor<1x3x2x2xf32>, tensor<1x3x1x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.mulf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2, %3 : tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.subf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice_0, %arg1 : tensor<1x3x2x2xf32>, tensor<1x3x1x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.mulf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice, %arg2 : tensor<1x3x2x2xf32>, tensor<1x3x1x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.mulf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %7 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%5, %6 : tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) outs(%1 : tensor<1x3x2x2xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %9 = arith.addf %in, %in_1 : f32
    linalg.yield %9 : f32
  } -> tensor<1x3x2x2xf32>
  %concat = tensor.concat dim(3) %4, %7 : (tensor<1x3x2x2xf32>, tensor<1x3x2x2xf32>) -> tensor<1x3x2x4xf32>
  %8 = nq.cast %concat : tensor<1x3x2x4xf32> -> tensor<1x3x2x4xf16>
  return %8 : tensor<1x3x2x4xf16>
}

// -----
// Even and odd elements: x cos + stack(-x_odd, x_even) sin.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @interleaved
// CHECK-SAME: (%[[X:.*]]: tensor<1x2x3x4xf32>
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %{{.*}}, %{{.*}} {interleaved} : (tensor<1x2x3x4xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @interleaved(%arg0: tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32> {
  %cst = arith.constant dense<[[1.000000e+00, 1.000000e+00, 1.000000e+00, 1.000000e+00], [0.540302277, 0.540302277, 0.950415253, 0.950415253], [-0.416146845, -0.416146845, 0.806578398, 0.806578398]]> : tensor<3x4xf32>
  %cst_0 = arith.constant dense<[[0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.841470957, 0.841470957, 0.310983598, 0.310983598], [0.909297406, 0.909297406, 0.591127098, 0.591127098]]> : tensor<3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 2] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %extracted_slice_1 = tensor.extract_slice %arg0[0, 0, 0, 1] [1, 2, 3, 2] [1, 1, 1, 2] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %0 = tensor.empty() : tensor<1x2x3x2xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice_1 : tensor<1x2x3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %6 = arith.negf %in : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x2xf32>
  %expanded = tensor.expand_shape %1 [[0], [1], [2], [3, 4]] output_shape [1, 2, 3, 2, 1] : tensor<1x2x3x2xf32> into tensor<1x2x3x2x1xf32>
  %expanded_2 = tensor.expand_shape %extracted_slice [[0], [1], [2], [3, 4]] output_shape [1, 2, 3, 2, 1] : tensor<1x2x3x2xf32> into tensor<1x2x3x2x1xf32>
  %concat = tensor.concat dim(4) %expanded, %expanded_2 : (tensor<1x2x3x2x1xf32>, tensor<1x2x3x2x1xf32>) -> tensor<1x2x3x2x2xf32>
  %collapsed = tensor.collapse_shape %concat [[0], [1], [2], [3, 4]] : tensor<1x2x3x2x2xf32> into tensor<1x2x3x4xf32>
  %2 = tensor.empty() : tensor<1x2x3x4xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %cst : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%2 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %6 = arith.mulf %in, %in_3 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed, %cst_0 : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%2 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %6 = arith.mulf %in, %in_3 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%3, %4 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%2 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_3: f32, %out: f32):
    %6 = arith.addf %in, %in_3 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  return %5 : tensor<1x2x3x4xf32>
}

// -----
// x.view(.., D / 2, 2).unbind(-1), products, stack: tables have one column per pair.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @interleaved_split
// CHECK-SAME: (%[[X:.*]]: tensor<1x2x3x4xf32>
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %{{.*}}, %{{.*}} {interleaved} : (tensor<1x2x3x4xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @interleaved_split(%arg0: tensor<1x2x3x4xf32>, %arg1: tensor<3x2xf32>, %arg2: tensor<3x2xf32>) -> tensor<1x2x3x4xf32> {
  %expanded = tensor.expand_shape %arg0 [[0], [1], [2], [3, 4]] output_shape [1, 2, 3, 2, 2] : tensor<1x2x3x4xf32> into tensor<1x2x3x2x2xf32>
  %extracted_slice = tensor.extract_slice %expanded[0, 0, 0, 0, 0] [1, 2, 3, 2, 1] [1, 1, 1, 1, 1] : tensor<1x2x3x2x2xf32> to tensor<1x2x3x2x1xf32>
  %collapsed = tensor.collapse_shape %extracted_slice [[0], [1], [2], [3, 4]] : tensor<1x2x3x2x1xf32> into tensor<1x2x3x2xf32>
  %extracted_slice_0 = tensor.extract_slice %expanded[0, 0, 0, 0, 1] [1, 2, 3, 2, 1] [1, 1, 1, 1, 1] : tensor<1x2x3x2x2xf32> to tensor<1x2x3x2x1xf32>
  %collapsed_1 = tensor.collapse_shape %extracted_slice_0 [[0], [1], [2], [3, 4]] : tensor<1x2x3x2x1xf32> into tensor<1x2x3x2xf32>
  %0 = tensor.empty() : tensor<1x2x3x2xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed, %arg1 : tensor<1x2x3x2xf32>, tensor<3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.mulf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed_1, %arg2 : tensor<1x2x3x2xf32>, tensor<3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.mulf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1, %2 : tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.subf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %expanded_2 = tensor.expand_shape %3 [[0], [1], [2], [3, 4]] output_shape [1, 2, 3, 2, 1] : tensor<1x2x3x2xf32> into tensor<1x2x3x2x1xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed, %arg2 : tensor<1x2x3x2xf32>, tensor<3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.mulf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%collapsed_1, %arg1 : tensor<1x2x3x2xf32>, tensor<3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.mulf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %6 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4, %5 : tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) outs(%0 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %7 = arith.addf %in, %in_5 : f32
    linalg.yield %7 : f32
  } -> tensor<1x2x3x2xf32>
  %expanded_3 = tensor.expand_shape %6 [[0], [1], [2], [3, 4]] output_shape [1, 2, 3, 2, 1] : tensor<1x2x3x2xf32> into tensor<1x2x3x2x1xf32>
  %concat = tensor.concat dim(4) %expanded_2, %expanded_3 : (tensor<1x2x3x2x1xf32>, tensor<1x2x3x2x1xf32>) -> tensor<1x2x3x2x2xf32>
  %collapsed_4 = tensor.collapse_shape %concat [[0], [1], [2], [3, 4]] : tensor<1x2x3x2x2xf32> into tensor<1x2x3x4xf32>
  return %collapsed_4 : tensor<1x2x3x4xf32>
}

// -----
// The first half of the elements rotates, the rest passes.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @partial
// CHECK-SAME: (%[[X:.*]]: tensor<1x2x3x8xf32>
// CHECK: %[[Y:.*]] = nq.rope %[[X]], %{{.*}}, %{{.*}} : (tensor<1x2x3x8xf32>, tensor<1x3x2xf32>, tensor<1x3x2xf32>) -> tensor<1x2x3x8xf32>
// CHECK-NEXT: return %[[Y]]
func.func @partial(%arg0: tensor<1x2x3x8xf32>) -> tensor<1x2x3x8xf32> {
  %cst = arith.constant dense<[[1.000000e+00, 1.000000e+00, 1.000000e+00, 1.000000e+00], [0.540302277, 0.950415253, 0.540302277, 0.950415253], [-0.416146845, 0.806578398, -0.416146845, 0.806578398]]> : tensor<3x4xf32>
  %cst_0 = arith.constant dense<[[0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00], [0.841470957, 0.310983598, 0.841470957, 0.310983598], [0.909297406, 0.591127098, 0.909297406, 0.591127098]]> : tensor<3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 4] [1, 1, 1, 1] : tensor<1x2x3x8xf32> to tensor<1x2x3x4xf32>
  %0 = tensor.empty() : tensor<1x2x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice, %cst : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %6 = arith.mulf %in, %in_5 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice_1 = tensor.extract_slice %extracted_slice[0, 0, 0, 2] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %2 = tensor.empty() : tensor<1x2x3x2xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice_1 : tensor<1x2x3x2xf32>) outs(%2 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %6 = arith.negf %in : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x2xf32>
  %extracted_slice_2 = tensor.extract_slice %extracted_slice[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %concat = tensor.concat dim(3) %3, %extracted_slice_2 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat, %cst_0 : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %6 = arith.mulf %in, %in_5 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1, %4 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_5: f32, %out: f32):
    %6 = arith.addf %in, %in_5 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice_3 = tensor.extract_slice %arg0[0, 0, 0, 4] [1, 2, 3, 4] [1, 1, 1, 1] : tensor<1x2x3x8xf32> to tensor<1x2x3x4xf32>
  %concat_4 = tensor.concat dim(3) %5, %extracted_slice_3 : (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x8xf32>
  return %concat_4 : tensor<1x2x3x8xf32>
}

// Tables gathered at a position at run time: the first half of their rows is gathered, nothing is sliced.
// CHECK-LABEL: @gathered
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<1x2x1x8xf32>
// CHECK-COUNT-2: tensor.extract {{.*}} : tensor<2x8xf32>
// CHECK-NOT: tensor.extract_slice
// CHECK: nq.rope %[[X]], {{.*}} (tensor<1x2x1x8xf32>, tensor<1x1x4xf32>, tensor<1x1x4xf32>) -> tensor<1x2x1x8xf32>
#g = affine_map<(d0, d1) -> (d0, d1)>
#all = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#rows = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
func.func @gathered(%x: tensor<1x2x1x8xf32>, %pos: tensor<1xi64>) -> tensor<1x2x1x8xf32> {
  %tc = arith.constant dense<[[1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 8.0, 7.0, 0.5, 0.25, 8.0, 7.0]]> : tensor<2x8xf32>
  %ts = arith.constant dense<[[5.0, 6.0, 7.0, 8.0, 5.0, 6.0, 7.0, 8.0], [0.5, 0.75, 9.0, 7.0, 0.5, 0.75, 9.0, 7.0]]> : tensor<2x8xf32>
  %e = tensor.empty() : tensor<1x8xf32>
  %cos = linalg.generic {indexing_maps = [#g], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<1x8xf32>) {
  ^bb0(%o: f32):
    %r = linalg.index 0 : index
    %c = linalg.index 1 : index
    %i = tensor.extract %pos[%r] : tensor<1xi64>
    %j = arith.index_cast %i : i64 to index
    %v = tensor.extract %tc[%j, %c] : tensor<2x8xf32>
    linalg.yield %v : f32
  } -> tensor<1x8xf32>
  %sin = linalg.generic {indexing_maps = [#g], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<1x8xf32>) {
  ^bb0(%o: f32):
    %r = linalg.index 0 : index
    %c = linalg.index 1 : index
    %i = tensor.extract %pos[%r] : tensor<1xi64>
    %j = arith.index_cast %i : i64 to index
    %v = tensor.extract %ts[%j, %c] : tensor<2x8xf32>
    linalg.yield %v : f32
  } -> tensor<1x8xf32>
  %low = tensor.extract_slice %x[0, 0, 0, 0] [1, 2, 1, 4] [1, 1, 1, 1] : tensor<1x2x1x8xf32> to tensor<1x2x1x4xf32>
  %high = tensor.extract_slice %x[0, 0, 0, 4] [1, 2, 1, 4] [1, 1, 1, 1] : tensor<1x2x1x8xf32> to tensor<1x2x1x4xf32>
  %eh = tensor.empty() : tensor<1x2x1x4xf32>
  %neg = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%high : tensor<1x2x1x4xf32>) outs(%eh : tensor<1x2x1x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<1x2x1x4xf32>
  %turned = tensor.concat dim(3) %neg, %low : (tensor<1x2x1x4xf32>, tensor<1x2x1x4xf32>) -> tensor<1x2x1x8xf32>
  %ex = tensor.empty() : tensor<1x2x1x8xf32>
  %xc = linalg.generic {indexing_maps = [#all, #rows, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%x, %cos : tensor<1x2x1x8xf32>, tensor<1x8xf32>) outs(%ex : tensor<1x2x1x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %n = arith.mulf %a, %b : f32
    linalg.yield %n : f32
  } -> tensor<1x2x1x8xf32>
  %xs = linalg.generic {indexing_maps = [#all, #rows, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%turned, %sin : tensor<1x2x1x8xf32>, tensor<1x8xf32>) outs(%ex : tensor<1x2x1x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %n = arith.mulf %a, %b : f32
    linalg.yield %n : f32
  } -> tensor<1x2x1x8xf32>
  %y = linalg.generic {indexing_maps = [#all, #all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%xc, %xs : tensor<1x2x1x8xf32>, tensor<1x2x1x8xf32>) outs(%ex : tensor<1x2x1x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %n = arith.addf %a, %b : f32
    linalg.yield %n : f32
  } -> tensor<1x2x1x8xf32>
  return %y : tensor<1x2x1x8xf32>
}
