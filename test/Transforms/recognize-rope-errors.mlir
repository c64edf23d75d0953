// What looks like a rotation and is not, with the reason.
// RUN: nibble-opt %s --split-input-file --recognize-rope --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-rope --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

// Tables that are arguments.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @different_halves
// CHECK-NOT: nq.rope
// CHECK: return
// REMARK: [Missed] recognize-rope {{.*}}reason="the elements of a pair have different angles, or their equality cannot be proved", rejected=nq.rope
func.func @different_halves(%arg0: tensor<1x2x3x4xf32>, %arg1: tensor<3x4xf32>, %arg2: tensor<3x4xf32>) -> tensor<1x2x3x4xf32> {
  %0 = tensor.empty() : tensor<1x2x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %arg1 : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %6 = arith.mulf %in, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 2] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %2 = tensor.empty() : tensor<1x2x3x2xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice : tensor<1x2x3x2xf32>) outs(%2 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %6 = arith.negf %in : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x2xf32>
  %extracted_slice_0 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %concat = tensor.concat dim(3) %3, %extracted_slice_0 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat, %arg2 : tensor<1x2x3x4xf32>, tensor<3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %6 = arith.mulf %in, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  %5 = linalg.generic {indexing_maps = [#map, #map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%1, %4 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%0 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_1: f32, %out: f32):
    %6 = arith.addf %in, %in_1 : f32
    linalg.yield %6 : f32
  } -> tensor<1x2x3x4xf32>
  return %5 : tensor<1x2x3x4xf32>
}

// -----
#map = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> (d1, d2, d3)>
// CHECK-LABEL: @table_per_head
// CHECK-NOT: nq.rope
// CHECK: return
// REMARK: [Missed] recognize-rope {{.*}}reason="input and tables are not [B, H, S, D] and [B or 1, 1, S, R]"
func.func @table_per_head(%arg0: tensor<1x2x3x4xf32>, %arg1: tensor<2x3x2xf32>) -> tensor<1x2x3x4xf32> {
  %concat = tensor.concat dim(2) %arg1, %arg1 : (tensor<2x3x2xf32>, tensor<2x3x2xf32>) -> tensor<2x3x4xf32>
  %0 = tensor.empty() : tensor<2x3x4xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%concat : tensor<2x3x4xf32>) outs(%0 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %9 = math.cos %in : f32
    linalg.yield %9 : f32
  } -> tensor<2x3x4xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel"]} ins(%concat : tensor<2x3x4xf32>) outs(%0 : tensor<2x3x4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %9 = math.sin %in : f32
    linalg.yield %9 : f32
  } -> tensor<2x3x4xf32>
  %3 = tensor.empty() : tensor<1x2x3x4xf32>
  %4 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0, %1 : tensor<1x2x3x4xf32>, tensor<2x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %9 = arith.mulf %in, %in_2 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  %extracted_slice = tensor.extract_slice %arg0[0, 0, 0, 2] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %5 = tensor.empty() : tensor<1x2x3x2xf32>
  %6 = linalg.generic {indexing_maps = [#map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%extracted_slice : tensor<1x2x3x2xf32>) outs(%5 : tensor<1x2x3x2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %9 = arith.negf %in : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x2xf32>
  %extracted_slice_0 = tensor.extract_slice %arg0[0, 0, 0, 0] [1, 2, 3, 2] [1, 1, 1, 1] : tensor<1x2x3x4xf32> to tensor<1x2x3x2xf32>
  %concat_1 = tensor.concat dim(3) %6, %extracted_slice_0 : (tensor<1x2x3x2xf32>, tensor<1x2x3x2xf32>) -> tensor<1x2x3x4xf32>
  %7 = linalg.generic {indexing_maps = [#map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%concat_1, %2 : tensor<1x2x3x4xf32>, tensor<2x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %9 = arith.mulf %in, %in_2 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  %8 = linalg.generic {indexing_maps = [#map1, #map1, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%4, %7 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>) outs(%3 : tensor<1x2x3x4xf32>) {
  ^bb0(%in: f32, %in_2: f32, %out: f32):
    %9 = arith.addf %in, %in_2 : f32
    linalg.yield %9 : f32
  } -> tensor<1x2x3x4xf32>
  return %8 : tensor<1x2x3x4xf32>
}
