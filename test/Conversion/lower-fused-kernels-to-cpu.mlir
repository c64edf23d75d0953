// Products and what follows them are one function: products go to strips in the scratch, the rest
// runs over blocks of their columns; products that nobody returns never reach an argument.
// RUN: nibble-opt %s --lower-kernels-to-cpu | FileCheck %s

#panels = #nq.layout<tiles [[16], []] order [0, 2, 1]>
#id = affine_map<(d0, d1) -> (d0, d1)>

func.func @main(%x: tensor<40x32xf16>, %g: tensor<512x32xf16, #panels>, %u: tensor<512x32xf16, #panels>, %s: tensor<f32>)
    -> tensor<40x512x!nq.fp8> attributes {nibble.entry} {
  // Two blocks of 256 columns in one block of rows, and a unit for the copy of the scale.
  // CHECK: exec.launch @k0_gemm({{.*}}) layer "mlp" kind "gemm" extent {{[0-9]+}} grain {{[0-9]+}} scratch {{[0-9]+}} {flops = 2621440 : i64}
  %0 = exec.launch @k0_gemm(%x, %g, %u, %s) layer "mlp" kind "gemm"
    : (tensor<40x32xf16>, tensor<512x32xf16, #panels>, tensor<512x32xf16, #panels>, tensor<f32>) -> tensor<40x512x!nq.fp8>
  return %0 : tensor<40x512x!nq.fp8>
}

func.func private @k0_gemm(%x: tensor<40x32xf16>, %g: tensor<512x32xf16, #panels>, %u: tensor<512x32xf16, #panels>, %s: tensor<f32>)
    -> tensor<40x512x!nq.fp8> {
  %0 = nq.matmul %x, %g transpose_b : (tensor<40x32xf16>, tensor<512x32xf16, #panels>) -> tensor<40x512xf16>
  %1 = nq.matmul %x, %u transpose_b : (tensor<40x32xf16>, tensor<512x32xf16, #panels>) -> tensor<40x512xf16>
  %e = tensor.empty() : tensor<40x512xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%0, %1 : tensor<40x512xf16>, tensor<40x512xf16>) outs(%e : tensor<40x512xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<40x512xf16>
  %q = nq.quantize %h scale(%s : tensor<f32>) : tensor<40x512xf16> -> tensor<40x512x!nq.fp8>
  return %q : tensor<40x512x!nq.fp8>
}

// CHECK-LABEL: module @cpu_kernels
// CHECK: func.func @k0_gemm(%[[X:.*]]: memref<2560xi8>, %[[G:.*]]: memref<32768xi8>, %[[U:.*]]: memref<32768xi8>, %[[S:.*]]: memref<4xi8>, %[[Q:.*]]: memref<20484xi8>, %{{.*}}: index, %{{.*}}: index, %[[SCRATCH:.*]]: memref<?xi8>)
// CHECK-DAG: %[[CODES:.*]] = memref.view %[[Q]]{{.*}} to memref<20480xi8>
// Both strips, then a row of each is read at once and only codes leave.
// CHECK-DAG: %[[STRIP:.*]] = memref.view %[[SCRATCH]]{{.*}} to memref<[[ROWS:[0-9]+]]xf16>
// CHECK: vector.load %[[G]][
// CHECK: vector.fma
// CHECK: vector.load %[[U]][
// CHECK: vector.fma
// CHECK: %[[ROW:.*]] = memref.view %[[SCRATCH]]{{.*}} to memref<[[BLOCK:[0-9]+]]xf16>
// CHECK-NEXT: arith.constant
// CHECK: %[[ROW2:.*]] = memref.view %[[SCRATCH]]{{.*}} to memref<[[BLOCK]]xf16>
// CHECK: vector.load %[[ROW]]
// CHECK: vector.load %[[ROW2]]
// CHECK-NOT: vector.store {{.*}}xf16>
// CHECK: vector.store %{{.*}}, %[[CODES]]
