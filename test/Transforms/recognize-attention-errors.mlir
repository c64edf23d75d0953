// What looks like attention and is not, with the reason; what options change.
// RUN: nibble-opt %s --split-input-file --recognize-attention --canonicalize | FileCheck %s
// RUN: nibble-opt %s --split-input-file --recognize-attention --remark-format=emitRemark --remarks-filter=nibble -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: nibble-opt %s --split-input-file --recognize-attention="trust-large-masks allow-less-rounding=false" --canonicalize | FileCheck %s --check-prefix=TRUST

// CHECK-LABEL: @weights_used_elsewhere
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="scores or weights are used elsewhere, too", rejected=nq.attention
func.func @weights_used_elsewhere(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>) -> (tensor<1x4x3x8xf32>, tensor<1x4x3x3xf32>) {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %3 = nq.matmul %2, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %3, %2 : tensor<1x4x3x8xf32>, tensor<1x4x3x3xf32>
}

// -----
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> ()>
// CHECK-LABEL: @mask_inside_scale
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="a mask is applied before the scale or the softcap"
func.func @mask_inside_scale(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<3x3xf32>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<5.000000e-01> : tensor<f32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %arg3 : tensor<1x4x3x3xf32>, tensor<3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.addf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.generic {indexing_maps = [#map, #map2, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%2, %cst : tensor<1x4x3x3xf32>, tensor<f32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.mulf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<1x4x3x3xf32>
  %4 = linalg.softmax dimension(3) ins(%3 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %5 : tensor<1x4x3x8xf32>
}

// -----
#map = affine_map<(d0, d1, d2, d3) -> (d0, 0, 0, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map2 = affine_map<(d0, d1, d2, d3) -> ()>
// CHECK-LABEL: @finite_select
// CHECK-NOT: nq.attention
// CHECK: return
// TRUST-LABEL: @finite_select
// TRUST: nq.attention {{.*}} mask(%{{.*}} : tensor<1x1x1x3xi1>)
// REMARK: [Missed] recognize-attention {{.*}}reason="rows without a visible position have equal weights, as masked positions have a finite value", rejected=nq.attention, suggestion="mask with -inf, or allow it: --allow-rewrite trust-large-masks"
func.func @finite_select(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x1x1x3xi1>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<-3.40282347E+38> : tensor<f32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map2, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg3, %0, %cst : tensor<1x1x1x3xi1>, tensor<1x4x3x3xf32>, tensor<f32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: i1, %in_0: f32, %in_1: f32, %out: f32):
    %5 = arith.select %in, %in_0, %in_1 : f32
    linalg.yield %5 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.softmax dimension(3) ins(%2 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %4 = nq.matmul %3, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %4 : tensor<1x4x3x8xf32>
}

// -----
// Stays an added mask.
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d2, d3)>
// CHECK-LABEL: @finite_causal
// CHECK: nq.attention {{.*}} mask(%{{.*}} : tensor<3x3xf32>) {scale
// CHECK: return
// TRUST-LABEL: @finite_causal
// TRUST: nq.attention %{{.*}}, %{{.*}}, %{{[a-z0-9]*}} {causal, scale
// REMARK: [Missed] recognize-attention {{.*}}reason="scores have no known bound, so adding -3.000e+38 need not mask out", rejected=causal
// REMARK: [Passed] recognize-attention {{.*}}chosen="nq.attention, 4 heads on 4, masked"
func.func @finite_causal(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<[[0.000000e+00, -3.000000e+38, -3.000000e+38], [0.000000e+00, 0.000000e+00, -3.000000e+38], [0.000000e+00, 0.000000e+00, 0.000000e+00]]> : tensor<3x3xf32>
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %cst : tensor<1x4x3x3xf32>, tensor<3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %5 = arith.addf %in, %in_0 : f32
    linalg.yield %5 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.softmax dimension(3) ins(%2 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %4 = nq.matmul %3, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %4 : tensor<1x4x3x8xf32>
}

// -----
// CHECK-LABEL: @half_precision
// CHECK: nq.attention
// CHECK: return
// TRUST-LABEL: @half_precision
// TRUST-NOT: nq.attention
// TRUST: return
// REMARK: [Passed] recognize-attention {{.*}}reason="softmax between two products; scores and weights are not rounded to f16 or bf16 any more"
func.func @half_precision(%arg0: tensor<1x4x3x8xf16>, %arg1: tensor<1x4x3x8xf16>, %arg2: tensor<1x4x3x8xf16>) -> tensor<1x4x3x8xf16> {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf16>, tensor<1x4x3x8xf16>) -> tensor<1x4x3x3xf16>
  %1 = tensor.empty() : tensor<1x4x3x3xf16>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x3xf16>) outs(%1 : tensor<1x4x3x3xf16>) -> tensor<1x4x3x3xf16>
  %3 = nq.matmul %2, %arg2 : (tensor<1x4x3x3xf16>, tensor<1x4x3x8xf16>) -> tensor<1x4x3x8xf16>
  return %3 : tensor<1x4x3x8xf16>
}

// -----
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d1, 0, 0)>
// CHECK-LABEL: @temperature_per_head
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the scores go through an op that attention does not have"
func.func @temperature_per_head(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<4x1x1xf32>) -> tensor<1x4x3x8xf32> {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%0, %arg3 : tensor<1x4x3x3xf32>, tensor<4x1x1xf32>) outs(%1 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %5 = arith.mulf %in, %in_0 : f32
    linalg.yield %5 : f32
  } -> tensor<1x4x3x3xf32>
  %3 = linalg.softmax dimension(3) ins(%2 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %4 = nq.matmul %3, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %4 : tensor<1x4x3x8xf32>
}

// -----
// CHECK-LABEL: @shared_queries
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the queries are shared by heads or batch entries"
func.func @shared_queries(%arg0: tensor<1x1x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32> {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x1x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %3 = nq.matmul %2, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %3 : tensor<1x4x3x8xf32>
}

// -----
#map = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
// CHECK-LABEL: @not_a_product
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the scores do not come from a matrix product"
func.func @not_a_product(%arg0: tensor<1x4x3x3xf32>, %arg1: tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32> {
  %0 = tensor.empty() : tensor<1x4x3x3xf32>
  %1 = linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg0 : tensor<1x4x3x3xf32>) outs(%0 : tensor<1x4x3x3xf32>) {
  ^bb0(%in: f32, %out: f32):
    %4 = math.exp %in : f32
    linalg.yield %4 : f32
  } -> tensor<1x4x3x3xf32>
  %2 = linalg.softmax dimension(3) ins(%1 : tensor<1x4x3x3xf32>) outs(%0 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %3 = nq.matmul %2, %arg1 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %3 : tensor<1x4x3x8xf32>
}

// -----
// CHECK-LABEL: @constant_keys
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="keys or values are constants: the product is a linear layer"
func.func @constant_keys(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32> {
  %cst = arith.constant dense<[[-1.000000e+00, -0.913043498, -0.826086938], [-0.739130437, -0.652173936, -0.565217376], [-0.478260875, -0.391304344, -0.304347813], [-0.217391297, -0.130434781, -0.0434782617], [0.0434782617, 0.130434781, 0.217391297], [0.304347813, 0.391304344, 0.478260875], [0.565217376, 0.652173936, 0.739130437], [0.826086938, 0.913043498, 1.000000e+00]]> : tensor<8x3xf32>
  %0 = nq.matmul %arg0, %cst : (tensor<1x4x3x8xf32>, tensor<8x3xf32>) -> tensor<1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x4x3x3xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x3xf32>) outs(%1 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %3 = nq.matmul %2, %arg1 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %3 : tensor<1x4x3x8xf32>
}

// -----
#map = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map1 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, 0, d3, d4)>
// CHECK-LABEL: @mask_of_windows
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="a mask does not have the dimensions [B, H, S, T]"
func.func @mask_of_windows(%arg0: tensor<1x4x3x8xf32>, %arg1: tensor<1x4x3x8xf32>, %arg2: tensor<1x4x3x8xf32>, %arg3: tensor<1x1x1x3x3xf32>) -> tensor<1x4x3x8xf32> {
  %0 = nq.matmul %arg0, %arg1 transpose_b : (tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x3xf32>
  %expanded = tensor.expand_shape %0 [[0], [1, 2], [3], [4]] output_shape [1, 1, 4, 3, 3] : tensor<1x4x3x3xf32> into tensor<1x1x4x3x3xf32>
  %1 = tensor.empty() : tensor<1x1x4x3x3xf32>
  %2 = linalg.generic {indexing_maps = [#map, #map1, #map], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%expanded, %arg3 : tensor<1x1x4x3x3xf32>, tensor<1x1x1x3x3xf32>) outs(%1 : tensor<1x1x4x3x3xf32>) {
  ^bb0(%in: f32, %in_0: f32, %out: f32):
    %6 = arith.addf %in, %in_0 : f32
    linalg.yield %6 : f32
  } -> tensor<1x1x4x3x3xf32>
  %collapsed = tensor.collapse_shape %2 [[0], [1, 2], [3], [4]] : tensor<1x1x4x3x3xf32> into tensor<1x4x3x3xf32>
  %3 = tensor.empty() : tensor<1x4x3x3xf32>
  %4 = linalg.softmax dimension(3) ins(%collapsed : tensor<1x4x3x3xf32>) outs(%3 : tensor<1x4x3x3xf32>) -> tensor<1x4x3x3xf32>
  %5 = nq.matmul %4, %arg2 : (tensor<1x4x3x3xf32>, tensor<1x4x3x8xf32>) -> tensor<1x4x3x8xf32>
  return %5 : tensor<1x4x3x8xf32>
}

// -----
// CHECK-LABEL: @codes_of_queries
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="an operand is a scaled tensor, but keys and values are not both FP8 with one scale: the products stay what the model quantized"
func.func @codes_of_queries(%q: tensor<1x4x3x16x!nq.fp8>, %k: tensor<1x4x5x16xf16>, %v: tensor<1x4x5x16xf16>) -> tensor<1x4x3x16xf16> {
  %0 = nq.matmul %q, %k transpose_b : (tensor<1x4x3x16x!nq.fp8>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x5xf16>
  %1 = tensor.empty() : tensor<1x4x3x5xf16>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf16>) outs(%1 : tensor<1x4x3x5xf16>) -> tensor<1x4x3x5xf16>
  %3 = nq.matmul %2, %v : (tensor<1x4x3x5xf16>, tensor<1x4x5x16xf16>) -> tensor<1x4x3x16xf16>
  return %3 : tensor<1x4x3x16xf16>
}

// -----
// CHECK-LABEL: @scale_at_run_time
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the scale of the weights is no constant", rejected=nq.attention
func.func @scale_at_run_time(%q: tensor<1x4x3x16xf32>, %v: tensor<1x4x5x16xf32>, %s: tensor<f32>) -> tensor<1x4x3x16xf16> {
  %0 = nq.matmul %q, %v transpose_b : (tensor<1x4x3x16xf32>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x5xf32>
  %1 = tensor.empty() : tensor<1x4x3x5xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf32>) outs(%1 : tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) : tensor<1x4x3x5xf32> -> tensor<1x4x3x5x!nq.fp8>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.fp8>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// CHECK-LABEL: @weights_of_int8
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the weights are quantized to something else than FP8 with one scale", rejected=nq.attention
func.func @weights_of_int8(%q: tensor<1x4x3x16xf32>, %v: tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16> {
  %s = arith.constant dense<0.01> : tensor<f32>
  %0 = nq.matmul %q, %v transpose_b : (tensor<1x4x3x16xf32>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x5xf32>
  %1 = tensor.empty() : tensor<1x4x3x5xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf32>) outs(%1 : tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) : tensor<1x4x3x5xf32> -> tensor<1x4x3x5x!nq.scaled<si8, f32 per tensor>>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.scaled<si8, f32 per tensor>>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// CHECK-LABEL: @zero_scale
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the scale of weights, 0.000000e+00, is no positive normal number", rejected=nq.attention
func.func @zero_scale(%q: tensor<1x4x3x16xf32>, %v: tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16> {
  %s = arith.constant dense<0.0> : tensor<f32>
  %0 = nq.matmul %q, %v transpose_b : (tensor<1x4x3x16xf32>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x5xf32>
  %1 = tensor.empty() : tensor<1x4x3x5xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf32>) outs(%1 : tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) : tensor<1x4x3x5xf32> -> tensor<1x4x3x5x!nq.fp8>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.fp8>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// CHECK-LABEL: @weights_that_overflow
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="the weights become NaN or infinite where they do not fit codes", rejected=nq.attention
func.func @weights_that_overflow(%q: tensor<1x4x3x16xf32>, %v: tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16> {
  %s = arith.constant dense<0.001> : tensor<f32>
  %0 = nq.matmul %q, %v transpose_b : (tensor<1x4x3x16xf32>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x5xf32>
  %1 = tensor.empty() : tensor<1x4x3x5xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf32>) outs(%1 : tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) {saturate = false} : tensor<1x4x3x5xf32> -> tensor<1x4x3x5x!nq.fp8>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.fp8>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16>
  return %4 : tensor<1x4x3x16xf16>
}

// -----
// CHECK-LABEL: @codes_used_elsewhere
// CHECK-NOT: nq.attention
// CHECK: return
// REMARK: [Missed] recognize-attention {{.*}}reason="scores or weights are used elsewhere, too", rejected=nq.attention
func.func @codes_used_elsewhere(%q: tensor<1x4x3x16xf32>, %v: tensor<1x4x5x16xf32>) -> (tensor<1x4x3x16xf16>, tensor<1x4x3x5x!nq.fp8>) {
  %s = arith.constant dense<0.01> : tensor<f32>
  %0 = nq.matmul %q, %v transpose_b : (tensor<1x4x3x16xf32>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x5xf32>
  %1 = tensor.empty() : tensor<1x4x3x5xf32>
  %2 = linalg.softmax dimension(3) ins(%0 : tensor<1x4x3x5xf32>) outs(%1 : tensor<1x4x3x5xf32>) -> tensor<1x4x3x5xf32>
  %3 = nq.quantize %2 scale(%s : tensor<f32>) : tensor<1x4x3x5xf32> -> tensor<1x4x3x5x!nq.fp8>
  %4 = nq.matmul %3, %v : (tensor<1x4x3x5x!nq.fp8>, tensor<1x4x5x16xf32>) -> tensor<1x4x3x16xf16>
  return %4, %3 : tensor<1x4x3x16xf16>, tensor<1x4x3x5x!nq.fp8>
}
