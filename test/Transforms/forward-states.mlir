// Reads come first, writes last; in between a state is a value.
// RUN: nibble-opt %s --forward-states | FileCheck %s

nq.state @s : tensor<4xf32>
nq.state @t : tensor<4xf32>
nq.state @old : tensor<4xf32>

// CHECK-LABEL: @read_after_write
func.func @read_after_write(%x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) attributes {nibble.entry} {
  // CHECK-SAME: %[[X:.*]]: tensor<4xf32>, %[[Y:.*]]: tensor<4xf32>
  // CHECK-NEXT: %[[OLD:.*]] = nq.state_read @s
  // CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[OLD]], %[[X]]
  // CHECK-NEXT: nq.state_write @s, %[[Y]]
  // CHECK-NEXT: return %[[SUM]], %[[X]]
  %a = nq.state_read @s : tensor<4xf32>
  nq.state_write @s, %x : tensor<4xf32>
  %b = nq.state_read @s : tensor<4xf32>
  %sum = arith.addf %a, %b : tensor<4xf32>
  nq.state_write @s, %y : tensor<4xf32>
  return %sum, %b : tensor<4xf32>, tensor<4xf32>
}

// CHECK-LABEL: @equal_reads
func.func @equal_reads() -> tensor<4xf32> attributes {nibble.entry} {
  // CHECK-NEXT: %[[S:.*]] = nq.state_read @s
  // CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[S]], %[[S]]
  %a = nq.state_read @s : tensor<4xf32>
  // What is written is what was there, and nobody reads @t.
  nq.state_write @s, %a : tensor<4xf32>
  %unused = nq.state_read @t : tensor<4xf32>
  %b = nq.state_read @s : tensor<4xf32>
  %sum = arith.addf %a, %b : tensor<4xf32>
  // CHECK-NEXT: return %[[SUM]]
  return %sum : tensor<4xf32>
}

// CHECK-LABEL: @swap
func.func @swap() attributes {nibble.entry} {
  // CHECK-DAG: %[[S:.*]] = nq.state_read @s
  // CHECK-DAG: %[[T:.*]] = nq.state_read @t
  // CHECK-DAG: nq.state_write @s, %[[T]]
  // CHECK-DAG: nq.state_write @t, %[[S]]
  %s = nq.state_read @s : tensor<4xf32>
  %t = nq.state_read @t : tensor<4xf32>
  nq.state_write @s, %t : tensor<4xf32>
  nq.state_write @t, %s : tensor<4xf32>
  return
}
