// Every op of exec survives a round trip.
// RUN: nibble-opt %s | nibble-opt | FileCheck %s

// CHECK: func.func private @k
func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32>

// CHECK-LABEL: @main
func.func @main(%x: tensor<4x4xf32>) -> tensor<16xf32> attributes {nibble.entry} {
  // CHECK: exec.alias %{{.*}} : tensor<4x4xf32> -> tensor<16xf32>
  %a = exec.alias %x : tensor<4x4xf32> -> tensor<16xf32>
  // CHECK: exec.launch @k(%{{.*}}) layer "l" kind "k" in_place [-1] extent 16 grain 4 scratch 64 offsets [-1]
  %b = exec.launch @k(%a) layer "l" kind "k" in_place [-1] extent 16 grain 4 scratch 64 offsets [-1] : (tensor<16xf32>) -> tensor<16xf32>
  return %b : tensor<16xf32>
}
