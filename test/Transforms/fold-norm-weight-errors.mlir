// Gains that must stay where they are, with the reason.
// RUN: nibble-opt %s --split-input-file --fold-norm-weight --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks

// CHECK-LABEL: @other_reader
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="'func.return' of layer '{{.*}}' reads the norm, too: only matmuls may"
func.func @other_reader(%x: tensor<4x2xf32>) -> (tensor<4x3xf32>, tensor<4x2xf32>) {
  %g = arith.constant dense<[2.0, 0.5]> : tensor<2xf32>
  %w = arith.constant dense<1.0> : tensor<2x3xf32>
  %n = nq.norm rms %x scale(%g : tensor<2xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf32> -> tensor<4x2xf32>
  %a = nq.matmul %n, %w : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  return %a, %n : tensor<4x3xf32>, tensor<4x2xf32>
}

// -----
// CHECK-LABEL: @quantized
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="the weight of layer 'up' is quantized: its codes stay as they are"
func.func @quantized(%x: tensor<4x16xf16>) -> tensor<4x2xf16> {
  %g = arith.constant dense<2.0> : tensor<16xf32>
  %w = nq.constant codes(dense<1> : tensor<16xi8>) scales(dense<56> : tensor<2xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x16x!nq.nvfp4>
  %n = nq.norm rms %x scale(%g : tensor<16xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x16xf16> -> tensor<4x16xf16>
  %a = nq.matmul %n, %w transpose_b : (tensor<4x16xf16>, tensor<2x16x!nq.nvfp4>) -> tensor<4x2xf16> loc("up")
  return %a : tensor<4x2xf16>
}

// -----
// CHECK-LABEL: @quantizer
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="'nq.quantize' of layer 'q' reads the norm, too: only matmuls may"
func.func @quantizer(%x: tensor<4x16xf16>, %s: tensor<f32>) -> tensor<4x16x!nq.fp8> {
  %g = arith.constant dense<2.0> : tensor<16xf32>
  %n = nq.norm rms %x scale(%g : tensor<16xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x16xf16> -> tensor<4x16xf16>
  %q = nq.quantize %n scale(%s : tensor<f32>) : tensor<4x16xf16> -> tensor<4x16x!nq.fp8> loc("q")
  return %q : tensor<4x16x!nq.fp8>
}

// -----
// CHECK-LABEL: @bias
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="the norm has a bias"
func.func @bias(%x: tensor<4x2xf32>) -> tensor<4x3xf32> {
  %g = arith.constant dense<[2.0, 0.5]> : tensor<2xf32>
  %w = arith.constant dense<1.0> : tensor<2x3xf32>
  %n = nq.norm layer %x scale(%g : tensor<2xf32>) bias(%g : tensor<2xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf32> -> tensor<4x2xf32>
  %a = nq.matmul %n, %w : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  return %a : tensor<4x3xf32>
}

// -----
// adaRMS.
// CHECK-LABEL: @run_time
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="the gain is computed at run time, or not one number per element of a row"
func.func @run_time(%x: tensor<4x2xf32>, %g: tensor<2xf32>) -> tensor<4x3xf32> {
  %w = arith.constant dense<1.0> : tensor<2x3xf32>
  %n = nq.norm rms %x scale(%g : tensor<2xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf32> -> tensor<4x2xf32>
  %a = nq.matmul %n, %w : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  return %a : tensor<4x3xf32>
}

// -----
// CHECK-LABEL: @overflow
// CHECK: nq.norm {{.*}} scale
// WHY: fold-norm-weight {{.*}}reason="the products with the weight of layer 'big' leave the range of its type"
func.func @overflow(%x: tensor<4x2xf16>) -> tensor<4x3xf16> {
  %g = arith.constant dense<[2.0, 3.0]> : tensor<2xf32>
  %w = arith.constant dense<30000.0> : tensor<2x3xf16>
  %n = nq.norm rms %x scale(%g : tensor<2xf32>) {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x2xf16> -> tensor<4x2xf16>
  %a = nq.matmul %n, %w : (tensor<4x2xf16>, tensor<2x3xf16>) -> tensor<4x3xf16> loc("big")
  return %a : tensor<4x3xf16>
}
