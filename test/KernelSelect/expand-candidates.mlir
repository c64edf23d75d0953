// An entry point for every schedule: its launch is named by the schedule, its kind is the key of the tuning database.
// RUN: nibble-opt %s --expand-candidates=max=2 | FileCheck %s
// RUN: not nibble-opt %S/select-kernels.mlir --expand-candidates 2>&1 | FileCheck %s --check-prefix=NONE

// CHECK-NOT: @main
// CHECK: func.func private @product_c0{{.*}}nibble.schedule = "[[FIRST:[^"]*]]"
// CHECK: func.func @"product/0"(%{{.*}} {nibble.name = "x0"}, %{{.*}} {nibble.name = "x1"}) -> ({{.*}} {nibble.name = "y0"}) attributes {nibble.entry}
// CHECK: exec.launch @product_c0({{.*}}) layer "[[FIRST]]" kind "{\22k\22:128,\22kernel\22:\22gemm.wgmma.f16\22,\22m\22:300,\22n\22:128,\22products\22:1,\22result_bytes\22:2}"
// CHECK: func.func @"product/1"
// CHECK-NOT: func.func
// NONE: no kernel of the model has a schedule to choose
func.func @main(%x: tensor<300x128xf16>, %w: tensor<128x128xf16>) -> tensor<300x128xf16> attributes {nibble.entry} {
  %0 = exec.launch @product(%x, %w) layer "dense" kind "matmul" : (tensor<300x128xf16>, tensor<128x128xf16>) -> tensor<300x128xf16>
  return %0 : tensor<300x128xf16>
}
func.func private @product(%a: tensor<300x128xf16>, %b: tensor<128x128xf16>) -> tensor<300x128xf16> attributes {nibble.kernel, nibble.kernel_class = "gemm.wgmma.f16", nibble.schedule = "128x64 s4 c1x1 m4 w2 p2"} {
  %0 = nq.matmul %a, %b transpose_b : (tensor<300x128xf16>, tensor<128x128xf16>) -> tensor<300x128xf16>
  return %0 : tensor<300x128xf16>
}
