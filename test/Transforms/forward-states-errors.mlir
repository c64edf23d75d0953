// States are accessed in the body of an entry point.
// RUN: nibble-opt %s --forward-states --verify-diagnostics

nq.state @s : tensor<4xf32>
func.func @branch(%c: i1, %x: tensor<4xf32>) attributes {nibble.entry} {
  scf.if %c {
    // expected-error @below {{must stand in the body of an entry point, not inside of 'scf.if'}}
    nq.state_write @s, %x : tensor<4xf32>
  }
  return
}
