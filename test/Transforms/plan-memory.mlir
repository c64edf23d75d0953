// Results that do not live together share addresses; aliases keep their source alive.
// RUN: nibble-opt %s --plan-memory | FileCheck %s

func.func private @k(%x: tensor<16xf32>) -> tensor<16xf32>
func.func private @add(%x: tensor<16xf32>, %y: tensor<16xf32>) -> tensor<16xf32>

// CHECK-LABEL: @chain
// CHECK-SAME: nibble.arena = 128
func.func @chain(%x: tensor<16xf32>) -> tensor<16xf32> attributes {nibble.entry} {
  // CHECK: layer "a" kind "k" offsets [0]
  // CHECK: layer "b" kind "k" offsets [64]
  // CHECK: layer "c" kind "k" offsets [0]
  // CHECK: layer "d" kind "k" offsets [-1]
  %a = exec.launch @k(%x) layer "a" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %b = exec.launch @k(%a) layer "b" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %c = exec.launch @k(%b) layer "c" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %d = exec.launch @k(%c) layer "d" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  return %d : tensor<16xf32>
}

// CHECK-LABEL: @kept_by_alias
// CHECK-SAME: nibble.arena = 192
func.func @kept_by_alias(%x: tensor<16xf32>) -> tensor<16xf32> attributes {nibble.entry} {
  %a = exec.launch @k(%x) layer "a" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %v = exec.alias %a : tensor<16xf32> -> tensor<4x4xf32>
  %b = exec.launch @k(%x) layer "b" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %c = exec.launch @k(%b) layer "c" kind "k" : (tensor<16xf32>) -> tensor<16xf32>
  %w = exec.alias %v : tensor<4x4xf32> -> tensor<16xf32>
  %d = exec.launch @add(%c, %w) layer "d" kind "add" : (tensor<16xf32>, tensor<16xf32>) -> tensor<16xf32>
  return %d : tensor<16xf32>
}
