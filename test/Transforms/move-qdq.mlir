// Elements move as codes: dequantize sinks, quantize hoists, where the scaled type allows it.
// RUN: nibble-opt %s --move-qdq --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks

// CHECK-LABEL: @per_tensor
// CHECK-SAME: (%[[Q:.*]]: tensor<4x6x!nq.fp8>)
func.func @per_tensor(%q: tensor<4x6x!nq.fp8>) -> tensor<3x4xf16> {
  // CHECK: %[[T:.*]] = linalg.transpose ins(%[[Q]] : tensor<4x6x!nq.fp8>) outs(%{{.*}} : tensor<6x4x!nq.fp8>) permutation = [1, 0]
  // CHECK: %[[S:.*]] = tensor.extract_slice %[[T]][3, 0] [3, 4] [1, 1] : tensor<6x4x!nq.fp8> to tensor<3x4x!nq.fp8>
  // CHECK: %[[D:.*]] = nq.dequantize %[[S]] : tensor<3x4x!nq.fp8> -> tensor<3x4xf32>
  // CHECK: %[[C:.*]] = nq.cast %[[D]]
  // CHECK: return %[[C]]
  // REMARK-DAG: remark: [Passed] move-qdq {{.*}}chosen="dequantize behind 'linalg.transpose'
  %d = nq.dequantize %q : tensor<4x6x!nq.fp8> -> tensor<4x6xf32>
  %c = nq.cast %d : tensor<4x6xf32> -> tensor<4x6xf16>
  %e = tensor.empty() : tensor<6x4xf16>
  %t = linalg.transpose ins(%c : tensor<4x6xf16>) outs(%e : tensor<6x4xf16>) permutation = [1, 0]
  %s = tensor.extract_slice %t[3, 0] [3, 4] [1, 1] : tensor<6x4xf16> to tensor<3x4xf16>
  return %s : tensor<3x4xf16>
}

// Blocks along the last dimension are carried along by what leaves it alone.
// CHECK-LABEL: @blocks_kept
// CHECK-SAME: (%[[Q:.*]]: tensor<2x3x32x!nq.nvfp4>)
func.func @blocks_kept(%q: tensor<2x3x32x!nq.nvfp4>) -> tensor<6x16xf32> {
  // CHECK: linalg.transpose ins(%[[Q]] : tensor<2x3x32x!nq.nvfp4>)
  // CHECK: tensor.collapse_shape {{.*}} : tensor<3x2x32x!nq.nvfp4> into tensor<6x32x!nq.nvfp4>
  // CHECK: tensor.extract_slice {{.*}}[0, 16] [6, 16] [1, 1] : tensor<6x32x!nq.nvfp4> to tensor<6x16x!nq.nvfp4>
  // CHECK: nq.dequantize %{{.*}} : tensor<6x16x!nq.nvfp4> -> tensor<6x16xf32>
  %d = nq.dequantize %q : tensor<2x3x32x!nq.nvfp4> -> tensor<2x3x32xf32>
  %e = tensor.empty() : tensor<3x2x32xf32>
  %t = linalg.transpose ins(%d : tensor<2x3x32xf32>) outs(%e : tensor<3x2x32xf32>) permutation = [1, 0, 2]
  %c = tensor.collapse_shape %t [[0, 1], [2]] : tensor<3x2x32xf32> into tensor<6x32xf32>
  %s = tensor.extract_slice %c[0, 16] [6, 16] [1, 1] : tensor<6x32xf32> to tensor<6x16xf32>
  return %s : tensor<6x16xf32>
}

// A transpose of the blocked dimension needs another type, a slice at 8 cuts a block.
// CHECK-LABEL: @blocks_cut
func.func @blocks_cut(%q: tensor<4x32x!nq.nvfp4>) -> (tensor<32x4xf32>, tensor<4x16xf32>) {
  // CHECK-COUNT-2: nq.dequantize %{{.*}} : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf32>
  // CHECK: linalg.transpose ins(%{{.*}} : tensor<4x32xf32>)
  // CHECK: tensor.extract_slice %{{.*}} : tensor<4x32xf32> to tensor<4x16xf32>
  // REMARK-DAG: remark: [Missed] move-qdq {{.*}}a blocked dimension goes where the type has other blocks
  // REMARK-DAG: remark: [Missed] move-qdq {{.*}}the slice starts inside of a block
  %d = nq.dequantize %q : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf32>
  %f = nq.dequantize %q : tensor<4x32x!nq.nvfp4> -> tensor<4x32xf32>
  %e = tensor.empty() : tensor<32x4xf32>
  %t = linalg.transpose ins(%d : tensor<4x32xf32>) outs(%e : tensor<32x4xf32>) permutation = [1, 0]
  %s = tensor.extract_slice %f[0, 8] [4, 16] [1, 1] : tensor<4x32xf32> to tensor<4x16xf32>
  return %t, %s : tensor<32x4xf32>, tensor<4x16xf32>
}

// Equal scales, held by different constants: one tensor. Others: none.
// CHECK-LABEL: @concat
func.func @concat(%x: tensor<2x4xf32>, %y: tensor<3x4xf32>, %t: tensor<f32>) -> (tensor<5x4xf32>, tensor<5x4xf32>) {
  // CHECK: %[[C:.*]] = tensor.concat dim(0) %{{.*}} : (tensor<2x4x!nq.fp8>, tensor<3x4x!nq.fp8>) -> tensor<5x4x!nq.fp8>
  // CHECK: nq.dequantize %[[C]]
  // CHECK: tensor.concat dim(0) %{{.*}} : (tensor<2x4xf32>, tensor<3x4xf32>)
  %s0 = arith.constant dense<0.5> : tensor<f32>
  %s1 = nq.constant codes(dense<0.5> : tensor<1xf32>) : tensor<1xf32>
  %q = nq.quantize %x scale(%s0 : tensor<f32>) : tensor<2x4xf32> -> tensor<2x4x!nq.fp8>
  %r = nq.quantize %y scale(%s1 : tensor<1xf32>) : tensor<3x4xf32> -> tensor<3x4x!nq.fp8>
  %u = nq.quantize %y scale(%t : tensor<f32>) : tensor<3x4xf32> -> tensor<3x4x!nq.fp8>
  %d = nq.dequantize %q : tensor<2x4x!nq.fp8> -> tensor<2x4xf32>
  %f = nq.dequantize %r : tensor<3x4x!nq.fp8> -> tensor<3x4xf32>
  %g = nq.dequantize %u : tensor<3x4x!nq.fp8> -> tensor<3x4xf32>
  %c = tensor.concat dim(0) %d, %f : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<5x4xf32>
  %h = tensor.concat dim(0) %d, %g : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<5x4xf32>
  return %c, %h : tensor<5x4xf32>, tensor<5x4xf32>
}

// Dynamic blocks are the same on both sides of a reshape and of a broadcast.
// CHECK-LABEL: @quantize_first
// CHECK-SAME: (%[[X:.*]]: tensor<2x32xf16>, %[[G:.*]]: tensor<f32>)
func.func @quantize_first(%x: tensor<2x32xf16>, %g: tensor<f32>) -> tensor<3x2x1x32x!nq.nvfp4> {
  // CHECK: %[[Q:.*]] = nq.quantize %[[X]] recipe("trt-dynamic") global(%[[G]] : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  // CHECK: linalg.broadcast ins(%[[Q]] : tensor<2x32x!nq.nvfp4>)
  // CHECK: tensor.expand_shape {{.*}} : tensor<3x2x32x!nq.nvfp4> into tensor<3x2x1x32x!nq.nvfp4>
  // REMARK-DAG: remark: [Passed] move-qdq {{.*}}chosen="quantize in front of 'linalg.broadcast'
  %e = tensor.empty() : tensor<3x2x32xf16>
  %b = linalg.broadcast ins(%x : tensor<2x32xf16>) outs(%e : tensor<3x2x32xf16>) dimensions = [0]
  %r = tensor.expand_shape %b [[0], [1, 2], [3]] output_shape [3, 2, 1, 32] : tensor<3x2x32xf16> into tensor<3x2x1x32xf16>
  %q = nq.quantize %r recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<3x2x1x32xf16> -> tensor<3x2x1x32x!nq.nvfp4>
  return %q : tensor<3x2x1x32x!nq.nvfp4>
}

// Not above a slice (more elements), nor where others read the transposed values.
// CHECK-LABEL: @quantize_stays
func.func @quantize_stays(%x: tensor<8x32xf16>, %s: tensor<f32>) -> (tensor<2x32x!nq.fp8>, tensor<32x8x!nq.fp8>, tensor<32x8xf16>) {
  // CHECK: tensor.extract_slice
  // CHECK: nq.quantize
  // CHECK: linalg.transpose
  // CHECK: nq.quantize
  %h = tensor.extract_slice %x[0, 0] [2, 32] [1, 1] : tensor<8x32xf16> to tensor<2x32xf16>
  %q = nq.quantize %h scale(%s : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.fp8>
  %e = tensor.empty() : tensor<32x8xf16>
  %t = linalg.transpose ins(%x : tensor<8x32xf16>) outs(%e : tensor<32x8xf16>) permutation = [1, 0]
  %r = nq.quantize %t scale(%s : tensor<f32>) : tensor<32x8xf16> -> tensor<32x8x!nq.fp8>
  return %q, %r, %t : tensor<2x32x!nq.fp8>, tensor<32x8x!nq.fp8>, tensor<32x8xf16>
}

// Somebody computes with the dequantized values: they stay where they are.
// CHECK-LABEL: @others_compute
func.func @others_compute(%q: tensor<4x6x!nq.fp8>) -> (tensor<6x4xf32>, tensor<4x6xf32>) {
  // CHECK: nq.dequantize %{{.*}} : tensor<4x6x!nq.fp8> -> tensor<4x6xf32>
  // CHECK: linalg.transpose ins(%{{.*}} : tensor<4x6xf32>)
  %d = nq.dequantize %q : tensor<4x6x!nq.fp8> -> tensor<4x6xf32>
  %e = tensor.empty() : tensor<6x4xf32>
  %t = linalg.transpose ins(%d : tensor<4x6xf32>) outs(%e : tensor<6x4xf32>) permutation = [1, 0]
  %n = nq.norm rms %d {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<4x6xf32> -> tensor<4x6xf32>
  return %t, %n : tensor<6x4xf32>, tensor<4x6xf32>
}
