// Plans in which a launch writes over what is still read are not planned.
// RUN: nibble-opt %s --split-input-file --plan-memory --verify-diagnostics

#id = affine_map<(d0) -> (d0)>
func.func private @neg(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.kernel} {
  %e = tensor.empty() : tensor<4xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]} ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.negf %a : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  return %r : tensor<4xf32>
}
func.func private @add(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32>
func.func @still_read(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.entry} {
  %a = exec.launch @neg(%x) layer "a" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{layer 'b' (k) writes over an operand that is still read; run reuse-buffers before plan-memory}}
  %b = exec.launch @neg(%a) layer "b" kind "k" in_place [0] : (tensor<4xf32>) -> tensor<4xf32>
  %c = exec.launch @add(%a, %b) layer "c" kind "k" : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %c : tensor<4xf32>
}

// -----
func.func private @unknown(%x: tensor<4xf32>) -> tensor<4xf32>
func.func @unsafe(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.entry} {
  %a = exec.launch @unknown(%x) layer "a" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{layer 'b' (k) cannot run in place: the kernel is unknown}}
  %b = exec.launch @unknown(%a) layer "b" kind "k" in_place [0] : (tensor<4xf32>) -> tensor<4xf32>
  %c = exec.launch @unknown(%b) layer "c" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  return %c : tensor<4xf32>
}

// -----
nq.state @s : tensor<4xf32>
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32>
func.func @overwritten(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.entry} {
  %old = nq.state_read @s : tensor<4xf32>
  %new = exec.launch @k(%x) layer "writer" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  // expected-error @below {{layer 'reader' (k) reads state 's' when layer 'writer' writes over it}}
  %y = exec.launch @k(%old) layer "reader" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  nq.state_write @s, %new : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----
nq.state @s : tensor<4xf32>
func.func @no_launch(%x: tensor<4xf32>) attributes {nibble.entry} {
  // expected-error @below {{state @s gets a value that no launch can write into it}}
  nq.state_write @s, %x : tensor<4xf32>
  return
}

// -----
func.func private @update(%c: tensor<8xf16>, %p: tensor<i64>, %r: tensor<1xf16>) -> tensor<8xf16> attributes {nibble.kernel} {
  %0 = nq.update %c[%p] with %r axis 0 : tensor<8xf16>, tensor<i64>, tensor<1xf16>
  return %0 : tensor<8xf16>
}
func.func @update_alone(%c: tensor<8xf16>, %p: tensor<i64>, %r: tensor<1xf16>) -> tensor<8xf16> attributes {nibble.entry} {
  // expected-error @below {{layer 'kv' (update) must run in place}}
  %0 = exec.launch @update(%c, %p, %r) layer "kv" kind "update" : (tensor<8xf16>, tensor<i64>, tensor<1xf16>) -> tensor<8xf16>
  return %0 : tensor<8xf16>
}
