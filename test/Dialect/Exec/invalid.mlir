// Verifiers of the plan.
// RUN: nibble-opt %s --split-input-file --verify-diagnostics

func.func @no_kernel(%x: tensor<4xf32>) {
  // expected-error @below {{layer 'l': kernel @missing is not a function}}
  %b = exec.launch @missing(%x) layer "l" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func private @k(%x: tensor<8xf32>) -> tensor<8xf32>
func.func @wrong_type(%x: tensor<4xf32>) {
  // expected-error @below {{layer 'l': operands do not match}}
  %b = exec.launch @k(%x) layer "l" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32>
func.func @offsets(%x: tensor<4xf32>) {
  // expected-error @below {{has 2 offsets for 1 results}}
  %b = exec.launch @k(%x) layer "l" kind "k" offsets [0, 64] : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @alias(%x: tensor<4xf32>) {
  // expected-error @below {{is not a reshape of}}
  %b = exec.alias %x : tensor<4xf32> -> tensor<5xf32>
  return
}

// -----
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32>
func.func @in_place(%x: tensor<4xf32>) {
  // expected-error @below {{in_place operand 1 of 1}}
  %b = exec.launch @k(%x) layer "l" kind "k" in_place [1] : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32>
func.func @in_place_count(%x: tensor<4xf32>) {
  // expected-error @below {{has 2 in_place operands for 1 results}}
  %b = exec.launch @k(%x) layer "l" kind "k" in_place [0, -1] : (tensor<4xf32>) -> tensor<4xf32>
  return
}
