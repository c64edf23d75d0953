// Constants of equal type and bytes are one; so quantizers with copies of a scale are, too.
// RUN: nibble-opt %s --share-constants --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks
// RUN: nibble-opt %s --share-constants --cse | FileCheck %s --check-prefix=CSE

// CHECK-LABEL: @plain
func.func @plain() -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x2xf32>, tensor<4xf32>) {
  // CHECK: %[[A:.*]] = nq.constant codes(dense_resource<a> : tensor<4xf32>) : tensor<4xf32>
  // CHECK-NEXT: %[[S:.*]] = nq.constant codes(dense_resource<a> : tensor<2x2xf32>) : tensor<2x2xf32>
  // CHECK-NEXT: %[[O:.*]] = nq.constant codes(dense_resource<other> : tensor<4xf32>) : tensor<4xf32>
  // CHECK-NEXT: return %[[A]], %[[A]], %[[A]], %[[S]], %[[O]]
  // REMARK: remark: [Passed] share-constants {{.*}}bytes=16
  %a = nq.constant codes(dense_resource<a> : tensor<4xf32>) : tensor<4xf32>
  %b = nq.constant codes(dense_resource<b> : tensor<4xf32>) : tensor<4xf32>
  %c = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %s = nq.constant codes(dense_resource<a> : tensor<2x2xf32>) : tensor<2x2xf32>
  %o = nq.constant codes(dense_resource<other> : tensor<4xf32>) : tensor<4xf32>
  return %a, %b, %c, %s, %o : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<2x2xf32>, tensor<4xf32>
}

// Data is shared across entry points.
// CHECK-LABEL: @other_function
func.func @other_function() -> tensor<4xf32> {
  // CHECK: nq.constant codes(dense_resource<a> : tensor<4xf32>)
  %b = nq.constant codes(dense_resource<b> : tensor<4xf32>) : tensor<4xf32>
  return %b : tensor<4xf32>
}

// Equal codes under other scales are another weight.
// CHECK-LABEL: @weights
func.func @weights() -> (tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) {
  // CHECK: %[[V:.*]] = nq.constant {{.*}} global(dense<5.000000e-01>
  // CHECK: %[[W:.*]] = nq.constant {{.*}} global(dense<2.500000e-01>
  // CHECK: return %[[V]], %[[V]], %[[W]]
  %v = nq.constant codes(dense_resource<codes> : tensor<32xi8>) scales(dense<56> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4>
  %u = nq.constant codes(dense_resource<codes2> : tensor<32xi8>) scales(dense<[56, 56, 56, 56]> : tensor<4xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x32x!nq.nvfp4>
  %w = nq.constant codes(dense_resource<codes2> : tensor<32xi8>) scales(dense<56> : tensor<4xi8>) global(dense<0.25> : tensor<f32>) : tensor<2x32x!nq.nvfp4>
  return %v, %u, %w : tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>
}

// ModelOpt writes a quantizer per consumer, each with its own scale.
// CSE-LABEL: @quantizers
func.func @quantizers(%x: tensor<2x32xf16>) -> (tensor<2x32x!nq.fp8>, tensor<2x32x!nq.fp8>, tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>) {
  // CSE: %[[Q:.*]] = nq.quantize %{{.*}} scale
  // CSE: %[[D:.*]] = nq.quantize %{{.*}} recipe("trt-dynamic")
  // CSE-NOT: nq.quantize
  // CSE: return %[[Q]], %[[Q]], %[[D]], %[[D]]
  %s0 = nq.constant codes(dense_resource<scale> : tensor<f32>) : tensor<f32>
  %s1 = nq.constant codes(dense_resource<scale2> : tensor<f32>) : tensor<f32>
  %q0 = nq.quantize %x scale(%s0 : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.fp8>
  %q1 = nq.quantize %x scale(%s1 : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.fp8>
  %d0 = nq.quantize %x recipe("trt-dynamic") global(%s0 : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  %d1 = nq.quantize %x recipe("trt-dynamic") global(%s1 : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
  return %q0, %q1, %d0, %d1 : tensor<2x32x!nq.fp8>, tensor<2x32x!nq.fp8>, tensor<2x32x!nq.nvfp4>, tensor<2x32x!nq.nvfp4>
}

{-#
  dialect_resources: {
    builtin: {
      a: "0x040000000000803F000000400000404000008040",
      b: "0x040000000000803F000000400000404000008040",
      other: "0x040000000000803F000000400000404000008140",
      scale: "0x040000000000003F",
      scale2: "0x040000000000003F",
      codes: "0x010000002121212121212121212121212121212121212121212121212121212121212121",
      codes2: "0x010000002121212121212121212121212121212121212121212121212121212121212121"
    }
  }
#-}
