// Products that stay as they are, with the reason.
// RUN: nibble-opt %s --split-input-file --merge-sibling-products --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks

// CHECK-LABEL: func.func @global_scales
// CHECK-COUNT-2: nq.matmul
// WHY: their global scales differ
func.func @global_scales(%x: tensor<4x16xf16>) -> (tensor<1x4xf16>, tensor<1x4xf16>) {
  %w0 = nq.constant codes(dense<17> : tensor<8xi8>) scales(dense<56> : tensor<1xi8>) global(dense<0.5> : tensor<f32>) : tensor<1x16x!nq.nvfp4>
  %w1 = nq.constant codes(dense<34> : tensor<8xi8>) scales(dense<64> : tensor<1xi8>) global(dense<0.25> : tensor<f32>) : tensor<1x16x!nq.nvfp4>
  %p0 = nq.matmul %x, %w0 transpose_b : (tensor<4x16xf16>, tensor<1x16x!nq.nvfp4>) -> tensor<4x1xf16>
  %p1 = nq.matmul %x, %w1 transpose_b : (tensor<4x16xf16>, tensor<1x16x!nq.nvfp4>) -> tensor<4x1xf16>
  %i0 = tensor.empty() : tensor<1x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x1xf16>) outs(%i0 : tensor<1x4xf16>) permutation = [1, 0]
  %t1 = linalg.transpose ins(%p1 : tensor<4x1xf16>) outs(%i0 : tensor<1x4xf16>) permutation = [1, 0]
  return %t0, %t1 : tensor<1x4xf16>, tensor<1x4xf16>
}

// -----
// CHECK-LABEL: func.func @output
// CHECK-COUNT-2: nq.matmul
// WHY: a slice of the result of 'b' would have to be copied: it is an output of the graph
func.func @output(%x: tensor<4x2xf16>) -> (tensor<2x4xf16>, tensor<4x2xf16>) {
  %w = nq.constant codes(dense<1.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %v = nq.constant codes(dense<2.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %p0 = nq.matmul %x, %w : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("a")
  %p1 = nq.matmul %x, %v : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("b")
  %i0 = tensor.empty() : tensor<2x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  return %t0, %p1 : tensor<2x4xf16>, tensor<4x2xf16>
}

// -----
// CHECK-LABEL: func.func @operand
// CHECK-COUNT-3: nq.matmul
// WHY: a slice of the result of 'b' would have to be copied: 'nq.matmul' of layer 'c' multiplies matrices whose rows lie side by side
func.func @operand(%x: tensor<4x2xf16>) -> (tensor<2x4xf16>, tensor<4x2xf16>) {
  %w = nq.constant codes(dense<1.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %v = nq.constant codes(dense<2.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %p0 = nq.matmul %x, %w : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("a")
  %p1 = nq.matmul %x, %v : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("b")
  %p2 = nq.matmul %p1, %v : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("c")
  %i0 = tensor.empty() : tensor<2x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  return %t0, %p2 : tensor<2x4xf16>, tensor<4x2xf16>
}

// -----
// Gate and up, which fuse-gated-mlp forms into one kernel.
// CHECK-LABEL: func.func @gated
// CHECK-COUNT-2: nq.matmul
// WHY: 'linalg.generic' of layer 'times' combines its elements with those of 'up': they are products of one kernel
func.func @gated(%x: tensor<4x2xf16>) -> tensor<4x2xf16> {
  %w = nq.constant codes(dense<1.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %v = nq.constant codes(dense<2.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %p0 = nq.matmul %x, %w : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("gate")
  %p1 = nq.matmul %x, %v : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("up")
  %e = tensor.empty() : tensor<4x2xf16>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%p0, %p1 : tensor<4x2xf16>, tensor<4x2xf16>) outs(%e : tensor<4x2xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %n = arith.mulf %a, %b : f16
    linalg.yield %n : f16
  } -> tensor<4x2xf16> loc("times")
  return %r : tensor<4x2xf16>
}

// -----
// Two products with epilogues of their own are two kernels either way.
// CHECK-LABEL: func.func @epilogues
// CHECK-COUNT-2: nq.matmul
// WHY: what follows 'a' on its accumulators differs from what follows its sibling
func.func @epilogues(%x: tensor<4x2xf16>) -> (tensor<4x2xf16>, tensor<2x4xf16>) {
  %w = nq.constant codes(dense<1.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %v = nq.constant codes(dense<2.0> : tensor<2x2xf16>) : tensor<2x2xf16>
  %p0 = nq.matmul %x, %w : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("a")
  %p1 = nq.matmul %x, %v : (tensor<4x2xf16>, tensor<2x2xf16>) -> tensor<4x2xf16> loc("b")
  %e = tensor.empty() : tensor<4x2xf16>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%p0 : tensor<4x2xf16>) outs(%e : tensor<4x2xf16>) {
  ^bb0(%a: f16, %o: f16):
    %n = arith.negf %a : f16
    linalg.yield %n : f16
  } -> tensor<4x2xf16>
  %i0 = tensor.empty() : tensor<2x4xf16>
  %t1 = linalg.transpose ins(%p1 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  return %r, %t1 : tensor<4x2xf16>, tensor<2x4xf16>
}

// -----
// Blocks of 128 x 128 that would span two weights.
// CHECK-LABEL: func.func @blocks
// CHECK-COUNT-2: nq.matmul
// WHY: a block of scales would lie in two weights
func.func @blocks(%x: tensor<4x2xf16>) -> (tensor<2x4xf16>, tensor<2x4xf16>) {
  %w = nq.constant codes(dense<1> : tensor<4xi8>) scales(dense<0> : tensor<4xi8>) : tensor<2x2x!nq.scaled<f8E4M3FN, f32 per 128x128>>
  %v = nq.constant codes(dense<2> : tensor<4xi8>) scales(dense<0> : tensor<4xi8>) : tensor<2x2x!nq.scaled<f8E4M3FN, f32 per 128x128>>
  %p0 = nq.matmul %x, %w : (tensor<4x2xf16>, tensor<2x2x!nq.scaled<f8E4M3FN, f32 per 128x128>>) -> tensor<4x2xf16>
  %p1 = nq.matmul %x, %v : (tensor<4x2xf16>, tensor<2x2x!nq.scaled<f8E4M3FN, f32 per 128x128>>) -> tensor<4x2xf16>
  %i0 = tensor.empty() : tensor<2x4xf16>
  %t0 = linalg.transpose ins(%p0 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  %t1 = linalg.transpose ins(%p1 : tensor<4x2xf16>) outs(%i0 : tensor<2x4xf16>) permutation = [1, 0]
  return %t0, %t1 : tensor<2x4xf16>, tensor<2x4xf16>
}
