// Kernels of a plan for sm_90a: a product on tensor cores with its tensor maps, rows as loops; each launch says how it runs.
// RUN: nibble-opt %s --lower-kernels-to-gpu | FileCheck %s
// RUN: nibble-opt %s --lower-kernels-to-gpu --plan-memory | nibble-opt --compile-kernels-to-ptx="output=-" -o /dev/null | FileCheck %s --check-prefix=PTX

// CHECK: exec.launch @product({{.*}}) layer "dense" kind "matmul" {flops = 9830400 : i64, gpu = [#exec.gpu_launch<"product", grid = [{{.*}}], block = [{{.*}}], cluster = [{{.*}}], shared = {{.*}}, args = [<map = <type = 6, swizzle = 3, l2_promotion = 2, sizes = [128, 300], strides = [256], box = [64,
// CHECK: exec.launch @rows({{.*}}) layer "norm" kind "rowwise" {flops = 0 : i64, gpu = [#exec.gpu_launch<"rows
// What is computed stays.
// CHECK: func.func private @product
// CHECK: gpu.module @gpu_kernels
// PTX: .target sm_90a
// PTX-DAG: .visible .entry product(
// PTX-DAG: wgmma.mma_async
// PTX-DAG: .visible .entry rows
func.func @main(%x: tensor<300x128xf16>, %w: tensor<128x128xf16>) -> tensor<300x128xf16> attributes {nibble.entry} {
  %0 = exec.launch @product(%x, %w) layer "dense" kind "matmul" : (tensor<300x128xf16>, tensor<128x128xf16>) -> tensor<300x128xf16>
  %1 = exec.launch @rows(%0) layer "norm" kind "rowwise" : (tensor<300x128xf16>) -> tensor<300x128xf16>
  return %1 : tensor<300x128xf16>
}
func.func private @product(%a: tensor<300x128xf16>, %b: tensor<128x128xf16>) -> tensor<300x128xf16> attributes {nibble.kernel, nibble.kernel_class = "gemm.wgmma.f16", nibble.schedule = "128x64 s4 c1x1 m4 w2 p2"} {
  %0 = nq.matmul %a, %b transpose_b : (tensor<300x128xf16>, tensor<128x128xf16>) -> tensor<300x128xf16>
  return %0 : tensor<300x128xf16>
}
func.func private @rows(%a: tensor<300x128xf16>) -> tensor<300x128xf16> attributes {nibble.kernel, nibble.kernel_class = "rows.simt"} {
  %0 = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<300x128xf16> -> tensor<300x128xf16>
  return %0 : tensor<300x128xf16>
}
