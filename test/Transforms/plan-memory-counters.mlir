// Counters are the beginning of the arena in all entry points: no buffer lies there.
// RUN: nibble-opt %s --plan-memory | FileCheck %s

func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32>

// CHECK-LABEL: @counts
// CHECK-SAME: nibble.arena = 448
func.func @counts(%x: tensor<16xf32>) -> tensor<16xf32> attributes {nibble.entry} {
  // CHECK: layer "a" kind "k" offsets [384] {counters = 12 : i64
  // CHECK: layer "b" kind "k" offsets [-1]
  // CHECK-SAME: workspace_offset = 256
  %a = exec.launch @k(%x) layer "a" kind "k" {counters = 12 : i64} : (tensor<16xf32>) -> tensor<16xf32>
  %b = exec.launch @k(%a) layer "b" kind "k" {counters = 4 : i64, workspace = 128 : i64} : (tensor<16xf32>) -> tensor<16xf32>
  return %b : tensor<16xf32>
}

// CHECK-LABEL: @counts_nothing
// CHECK-SAME: nibble.arena = 320
func.func @counts_nothing(%x: tensor<16xf32>) -> tensor<16xf32> attributes {nibble.entry} {
  // CHECK: layer "a" kind "k" offsets [256]
  %a = exec.launch @k(%x) layer "a" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %b = exec.launch @k(%a) layer "b" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  return %b : tensor<16xf32>
}
