// Rules of a policy become attributes of layers; every decision is a remark.
// RUN: nibble-opt %s --assign-precision="policy=%S/Inputs/assign-precision.policy" --remarks-filter=nibble --remark-format=emitRemark 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t
// RUN: nibble-opt %s --assign-precision="format={nvfp4 activations=none}" | FileCheck %s --check-prefix=DEFAULT

#map = affine_map<(d0, d1) -> (d0, d1)>
func.func @main(%ids: tensor<8xi64>, %x: tensor<8x32xf32>) -> tensor<8x16xf32> attributes {nibble.entry} {
  // CHECK: linalg.generic
  // CHECK-SAME: attrs = {nibble.precision = "bf16"}
  %table = nq.constant codes(dense<0.5> : tensor<100x32xf32>) : tensor<100x32xf32>
  %e = tensor.empty() : tensor<8x32xf32>
  %embedded = linalg.generic {indexing_maps = [#map], iterator_types = ["parallel", "parallel"]} outs(%e : tensor<8x32xf32>) {
  ^bb0(%o: f32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %id = tensor.extract %ids[%i] : tensor<8xi64>
    %row = arith.index_cast %id : i64 to index
    %v = tensor.extract %table[%row, %j] : tensor<100x32xf32>
    linalg.yield %v : f32
  } -> tensor<8x32xf32> loc("/embed/Gather")

  // CHECK: nq.norm
  // CHECK-SAME: nibble.requested = "f32"
  // CHECK-NOT: nibble.precision
  %one = arith.constant dense<1.0> : tensor<32xf32>
  %n = nq.norm rms %embedded scale(%one : tensor<32xf32>) {axis = 1 : i64, epsilon = 1.0e-6 : f64}
         : tensor<8x32xf32> -> tensor<8x32xf32> loc("/norm")

  // CHECK: nq.matmul
  // CHECK-SAME: nibble.precision = "fp8 recipe=modelopt scales=channel activations=fp8", nibble.requested = "fp8", nibble.weight_amax = 2.500000e-01 : f32
  // DEFAULT: nq.matmul
  // DEFAULT-SAME: nibble.precision = "nvfp4 recipe=modelopt-torch block=16 activations=none"
  %wq = nq.constant codes(dense<0.25> : tensor<32x32xf32>) : tensor<32x32xf32>
  %q = nq.matmul %n, %wq : (tensor<8x32xf32>, tensor<32x32xf32>) -> tensor<8x32xf32> loc("/attn/q_proj")

  // A product of activations has operands, but no weight.
  // CHECK: nq.matmul
  // CHECK-SAME: {nibble.precision = "bf16", nibble.requested = "bf16"}
  // DEFAULT: nq.matmul
  // DEFAULT-NOT: nibble
  // DEFAULT-SAME: -> tensor<8x8xf32>
  %s = nq.matmul %q, %n transpose_b : (tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<8x8xf32> loc("/attn/scores")
  // CHECK: nq.matmul
  // CHECK-NOT: nibble
  // CHECK-SAME: -> tensor<8x32xf32>
  %c = nq.matmul %s, %n : (tensor<8x8xf32>, tensor<8x32xf32>) -> tensor<8x32xf32> loc("/context")

  // CHECK: nq.matmul
  // CHECK-SAME: nibble.precision = "nvfp4 recipe=modelopt-onnx block=16 activations=nvfp4 activation-recipe=trt-dynamic"
  %wu = nq.constant codes(dense<1.0> : tensor<16x32xf32>) : tensor<16x32xf32>
  %u = nq.matmul %c, %wu transpose_b : (tensor<8x32xf32>, tensor<16x32xf32>) -> tensor<8x16xf32> loc("/mlp/up")

  // CHECK: nq.matmul
  // CHECK-SAME: nibble.precision = "bf16"
  %wh = nq.constant codes(dense<1.0> : tensor<16x16xf32>) : tensor<16x16xf32>
  %h = nq.matmul %u, %wh : (tensor<8x16xf32>, tensor<16x16xf32>) -> tensor<8x16xf32> loc("/head/MatMul")
  return %h : tensor<8x16xf32>
}

// REMARK: chosen=f32, kind=norm, layer=/norm, reason="it computes in f32", requested=f32, rule=assign-precision.policy:5
// REMARK: chosen="fp8 recipe=modelopt scales=channel activations=fp8", kind=linear, layer=/attn/q_proj, {{.*}} requested=fp8, rule=assign-precision.policy:3
