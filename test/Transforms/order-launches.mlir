// Branches that expand and shrink run one after the other; states are written
// over when nobody needs the old value any more.
// RUN: nibble-opt %s --order-launches | FileCheck %s
// RUN: nibble-opt %s --order-launches --remarks-filter=nibble --remark-format=emitRemark -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK

nq.state @cache : tensor<8xf32>
func.func private @expand(%x: tensor<8xf32>) -> tensor<1000xf32>
func.func private @shrink(%x: tensor<1000xf32>) -> tensor<8xf32>
func.func private @add(%x: tensor<8xf32>, %y: tensor<8xf32>) -> tensor<8xf32>

// REMARK: [Passed] order-launches | Category:nibble | chosen="peak of 3.97 KiB", entry=branches, {{.*}}reason="fewer bytes live at the fullest launch", rejected="order of the model, peak of 7.84 KiB"
// REMARK: [Passed] order-launches {{.*}} entry=state, {{.*}}reason="states are overwritten after their last reader"

// CHECK-LABEL: func.func @branches
func.func @branches(%x: tensor<8xf32>) -> tensor<8xf32> attributes {nibble.entry} {
  // CHECK: exec.launch @expand({{.*}}) layer "a"
  // CHECK-NEXT: exec.alias
  // CHECK-NEXT: exec.alias
  // CHECK-NEXT: exec.launch @shrink({{.*}}) layer "c"
  // CHECK-NEXT: exec.launch @expand({{.*}}) layer "b"
  // CHECK-NEXT: exec.launch @shrink({{.*}}) layer "d"
  %a = exec.launch @expand(%x) layer "a" kind "k" : (tensor<8xf32>) -> tensor<1000xf32>
  %b = exec.launch @expand(%x) layer "b" kind "k" : (tensor<8xf32>) -> tensor<1000xf32>
  %view = exec.alias %a : tensor<1000xf32> -> tensor<10x100xf32>
  %flat = exec.alias %view : tensor<10x100xf32> -> tensor<1000xf32>
  %c = exec.launch @shrink(%flat) layer "c" kind "k" : (tensor<1000xf32>) -> tensor<8xf32>
  %d = exec.launch @shrink(%b) layer "d" kind "k" : (tensor<1000xf32>) -> tensor<8xf32>
  %e = exec.launch @add(%c, %d) layer "e" kind "k" : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  return %e : tensor<8xf32>
}

// CHECK-LABEL: func.func @state
func.func @state(%x: tensor<8xf32>) -> tensor<8xf32> attributes {nibble.entry} {
  // CHECK: nq.state_read
  // CHECK-NEXT: exec.launch {{.*}} layer "reader"
  // CHECK-NEXT: exec.launch {{.*}} layer "writer"
  // CHECK-NEXT: nq.state_write
  %old = nq.state_read @cache : tensor<8xf32>
  %new = exec.launch @add(%old, %x) layer "writer" kind "k" : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %y = exec.launch @add(%x, %old) layer "reader" kind "k" : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  nq.state_write @cache, %new : tensor<8xf32>
  return %y : tensor<8xf32>
}
