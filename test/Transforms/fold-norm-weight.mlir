// The gain of a norm is in the rows of the weights behind it, in both orders of storage and behind a rounding.
// RUN: nibble-opt %s --mlir-disable-threading --fold-norm-weight --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks

// CHECK-LABEL: func.func @inside
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<4x2xf32>
// CHECK: %[[N:.*]] = nq.norm rms %[[X]] {axis
// CHECK: %[[A:.*]] = nq.constant codes(dense_resource<weight.gain> : tensor<2x3xf32>)
// CHECK: nq.matmul %[[N]], %[[A]] :
// CHECK: %[[B:.*]] = nq.constant codes(dense_resource<weight.gain_1> : tensor<3x2xf32>)
// CHECK: nq.matmul %[[N]], %[[B]] transpose_b
// REMARK: [Passed] fold-norm-weight {{.*}}chosen="gain in the weights of 2 matmuls", layer=norm, reason="allowed; weight times gain is rounded once more to the type of the weight", with="gate, up"
func.func @inside(%x: tensor<4x2xf32>) -> (tensor<4x3xf32>, tensor<4x3xf32>) {
  %g = arith.constant dense<[2.0, 0.5]> : tensor<2xf32>
  %kn = arith.constant dense<[[1.0, 2.0, 3.0], [4.0, 8.0, 16.0]]> : tensor<2x3xf32>
  %nk = arith.constant dense<[[1.0, 4.0], [2.0, 8.0], [3.0, 16.0]]> : tensor<3x2xf32>
  %n = nq.norm rms %x scale(%g : tensor<2xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf32> -> tensor<4x2xf32> loc("norm")
  %a = nq.matmul %n, %kn : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32> loc("gate")
  %b = nq.matmul %n, %nk transpose_b : (tensor<4x2xf32>, tensor<3x2xf32>) -> tensor<4x3xf32> loc("up")
  return %a, %b : tensor<4x3xf32>, tensor<4x3xf32>
}

// The product behind the rounding to f16 is gone.
// CHECK-LABEL: func.func @behind
// CHECK-NOT: linalg.generic
// CHECK: %[[N:.*]] = nq.norm rms
// CHECK: nq.matmul %[[N]], %{{.*}} transpose_b
// REMARK: [Passed] fold-norm-weight {{.*}}chosen="gain in the weights of 1 matmuls"
func.func @behind(%x: tensor<4x2xf16>) -> tensor<4x3xf16> {
  %g = arith.constant dense<[2.0, 0.5]> : tensor<2xf16>
  %w = arith.constant dense<[[1.0, 4.0], [2.0, 8.0], [3.0, 16.0]]> : tensor<3x2xf16>
  %n = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf16> -> tensor<4x2xf16>
  %e = tensor.empty() : tensor<4x2xf16>
  %s = linalg.generic {indexing_maps = [affine_map<(a, b) -> (b)>, affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a, b)>],
      iterator_types = ["parallel", "parallel"]} ins(%g, %n : tensor<2xf16>, tensor<4x2xf16>) outs(%e : tensor<4x2xf16>) {
  ^bb0(%p: f16, %q: f16, %o: f16):
    %m = arith.mulf %p, %q : f16
    linalg.yield %m : f16
  } -> tensor<4x2xf16>
  %y = nq.matmul %s, %w transpose_b : (tensor<4x2xf16>, tensor<3x2xf16>) -> tensor<4x3xf16>
  return %y : tensor<4x3xf16>
}

// 2 4 6 / 2 4 8, and the same transposed; in f16 2 2, 4 4, 6 8.
// CHECK: weight.gain: "0x4000000000000040000080400000C040000000400000804000000041"
// CHECK: weight.gain_1: "0x40000000000000400000004000008040000080400000C04000000041"
