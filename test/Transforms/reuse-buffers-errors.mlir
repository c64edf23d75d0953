// States must come as forward-states leaves them.
// RUN: nibble-opt %s --split-input-file --reuse-buffers --verify-diagnostics

nq.state @s : tensor<4xf32>
func.func @twice(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.entry} {
  nq.state_write @s, %x : tensor<4xf32>
  // expected-error @below {{state @s is read or written again in 'twice'; run forward-states before outline-kernels}}
  %y = nq.state_read @s : tensor<4xf32>
  return %y : tensor<4xf32>
}
