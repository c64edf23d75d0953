// What cannot be a state is refused with the names and types.
// RUN: nibble-opt %s --split-input-file --bind-states=states=past=present --verify-diagnostics
// RUN: not nibble-opt %s --bind-states=states=past 2>&1 | FileCheck %s --check-prefix=FORM
// FORM: state 'past' is not INPUT=OUTPUT, with at most one * on each side

// expected-error @below {{state 'past': the input is 'tensor<1x2x6x16xf16>', the output 'present' is 'tensor<1x2x7x16xf16>'; a cache that grows along axis 2 has no fixed place. Export the model with a cache of fixed size}}
func.func @grows(%k: tensor<1x2x6x16xf16> {nibble.name = "past"}, %x: tensor<1x2x1x16xf16> {nibble.name = "x"})
    -> (tensor<1x2x7x16xf16> {nibble.name = "present"}) attributes {nibble.entry} {
  %y = tensor.concat dim(2) %k, %x : (tensor<1x2x6x16xf16>, tensor<1x2x1x16xf16>) -> tensor<1x2x7x16xf16>
  return %y : tensor<1x2x7x16xf16>
}

// -----
// expected-error @below {{the output 'present' is 'tensor<4xf16>'; a state has one type}}
func.func @types(%k: tensor<4xf32> {nibble.name = "past"}) -> (tensor<4xf16> {nibble.name = "present"}) attributes {nibble.entry} {
  %y = nq.cast %k : tensor<4xf32> -> tensor<4xf16>
  return %y : tensor<4xf16>
}

// -----
// expected-error @below {{state 'past': 'no_output' has no output 'present' to pair it with}}
func.func @no_output(%k: tensor<4xf32> {nibble.name = "past"}) -> (tensor<4xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  return %k : tensor<4xf32>
}

// -----
// expected-error @below {{state 'past': no entry point has such an input}}
module {
  // expected-note @below {{input 'x' of 'no_input'}}
  func.func @no_input(%k: tensor<4xf32> {nibble.name = "x"}) -> (tensor<4xf32> {nibble.name = "present"}) attributes {nibble.entry} {
    return %k : tensor<4xf32>
  }
}

// -----
func.func @one(%k: tensor<4xf32> {nibble.name = "past"}) -> (tensor<4xf32> {nibble.name = "present"}) attributes {nibble.entry} {
  return %k : tensor<4xf32>
}
// expected-error @below {{state 'past' is 'tensor<4xf32>' elsewhere, and 'tensor<5xf32>' in 'two'}}
func.func @two(%k: tensor<5xf32> {nibble.name = "past"}) -> (tensor<5xf32> {nibble.name = "present"}) attributes {nibble.entry} {
  return %k : tensor<5xf32>
}
