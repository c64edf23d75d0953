// The residual sum before a norm and the gain behind it are one pass over the rows.
// RUN: nibble-opt %s --fuse-rowwise | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>

// CHECK-LABEL: func.func @norm
func.func @norm(%x: tensor<4x64xf16>, %r: tensor<4x64xf16>, %gain: tensor<64xf16>) -> (tensor<4x64xf16>, tensor<4x64xf16>) {
  // CHECK: %[[R:.*]]:2 = nq.region "rowwise"({{.*}}) fused ["fuse-rowwise"]
  // CHECK: linalg.generic
  // CHECK: nq.norm
  // CHECK: linalg.generic
  // CHECK: return %[[R]]#1, %[[R]]#0
  %init = tensor.empty() : tensor<4x64xf16>
  %s = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %r : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.addf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  %n = nq.norm rms %s {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x64xf16> -> tensor<4x64xf16>
  %y = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%n, %gain : tensor<4x64xf16>, tensor<64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<4x64xf16>
  return %y, %s : tensor<4x64xf16>, tensor<4x64xf16>
}

// Rows of an embedding are looked up where they are read; a look-up with another reader stays outside.
// CHECK-LABEL: func.func @embedding
func.func @embedding(%ids: tensor<4xi64>, %other: tensor<4xi64>, %table: tensor<100x64xf16>) -> (tensor<4x64xf16>, tensor<4x64xf16>) {
  // CHECK: %[[KEPT:.*]] = linalg.generic
  // CHECK: nq.region "rowwise"(%{{.*}}, %{{.*}}, %[[KEPT]]) fused ["fuse-rowwise"]
  // CHECK: tensor.extract
  // CHECK: nq.norm
  %init = tensor.empty() : tensor<4x64xf16>
  %a = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%init : tensor<4x64xf16>) {
  ^bb0(%o: f16):
    %r = linalg.index 0 : index
    %c = linalg.index 1 : index
    %i = tensor.extract %ids[%r] : tensor<4xi64>
    %j = arith.index_cast %i : i64 to index
    %v = tensor.extract %table[%j, %c] : tensor<100x64xf16>
    linalg.yield %v : f16
  } -> tensor<4x64xf16>
  %b = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel", "parallel"]} outs(%init : tensor<4x64xf16>) {
  ^bb0(%o: f16):
    %r = linalg.index 0 : index
    %c = linalg.index 1 : index
    %i = tensor.extract %other[%r] : tensor<4xi64>
    %j = arith.index_cast %i : i64 to index
    %v = tensor.extract %table[%j, %c] : tensor<100x64xf16>
    linalg.yield %v : f16
  } -> tensor<4x64xf16>
  %s = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<4x64xf16>, tensor<4x64xf16>) outs(%init : tensor<4x64xf16>) {
  ^bb0(%p: f16, %q: f16, %o: f16):
    %t = arith.addf %p, %q : f16
    linalg.yield %t : f16
  } -> tensor<4x64xf16>
  %n = nq.norm rms %s {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x64xf16> -> tensor<4x64xf16>
  return %n, %b : tensor<4x64xf16>, tensor<4x64xf16>
}
