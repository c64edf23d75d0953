// Results take over what dies; states are written where they lie, or copied.
// RUN: nibble-opt %s --split-input-file --reuse-buffers --plan-memory | FileCheck %s

#id = affine_map<(d0, d1) -> (d0, d1)>
#tr = affine_map<(d0, d1) -> (d1, d0)>
func.func private @add(%x: tensor<16x16xf32>, %y: tensor<16x16xf32>) -> tensor<16x16xf32> attributes {nibble.kernel} {
  %e = tensor.empty() : tensor<16x16xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<16x16xf32>, tensor<16x16xf32>) outs(%e : tensor<16x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<16x16xf32>
  return %r : tensor<16x16xf32>
}
func.func private @addt(%x: tensor<16x16xf32>, %y: tensor<16x16xf32>) -> tensor<16x16xf32> attributes {nibble.kernel} {
  %e = tensor.empty() : tensor<16x16xf32>
  %r = linalg.generic {indexing_maps = [#tr, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<16x16xf32>, tensor<16x16xf32>) outs(%e : tensor<16x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<16x16xf32>
  return %r : tensor<16x16xf32>
}

// CHECK-LABEL: @in_place
// CHECK-SAME: nibble.arena = 2048 : i64, nibble.arena_bound = 2048
func.func @in_place(%x: tensor<16x16xf32>) -> tensor<16x16xf32> attributes {nibble.entry} {
  // The first operand is an input: not ours.
  // CHECK: layer "a" kind "k" offsets [0]
  %a = exec.launch @add(%x, %x) layer "a" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // CHECK: layer "b" kind "k" in_place [1] offsets [0]
  %b = exec.launch @add(%x, %a) layer "b" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // Its transposed operand cannot be written over, and neither can one that is read twice.
  // CHECK: layer "c" kind "k" offsets [1024]
  %c = exec.launch @addt(%b, %x) layer "c" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // CHECK: layer "d" kind "k" offsets [0]
  %d = exec.launch @add(%c, %c) layer "d" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // CHECK: layer "e" kind "k" in_place [1] offsets [0]
  %e = exec.launch @addt(%x, %d) layer "e" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // An output is written into the caller's buffer.
  // CHECK: layer "f" kind "k" offsets [-1]
  %f = exec.launch @add(%x, %e) layer "f" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  return %f : tensor<16x16xf32>
}

// CHECK-LABEL: @still_read
func.func @still_read(%x: tensor<16x16xf32>) -> tensor<16x16xf32> attributes {nibble.entry} {
  // CHECK: layer "a" kind "k" offsets [{{0|1024}}]
  %a = exec.launch @add(%x, %x) layer "a" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  // CHECK: layer "b" kind "k" offsets [{{0|1024}}]
  %b = exec.launch @add(%a, %x) layer "b" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  %c = exec.launch @add(%a, %b) layer "c" kind "k" : (tensor<16x16xf32>, tensor<16x16xf32>) -> tensor<16x16xf32>
  return %c : tensor<16x16xf32>
}

// -----
// A cache that a step writes rows into: the update runs in the state, and attention reads it there.
nq.state @cache : tensor<2x64x8xf16>
func.func private @update(%c: tensor<2x64x8xf16>, %p: tensor<i64>, %r: tensor<2x1x8xf16>) -> tensor<2x64x8xf16> attributes {nibble.kernel} {
  %0 = nq.update %c[%p] with %r axis 1 : tensor<2x64x8xf16>, tensor<i64>, tensor<2x1x8xf16>
  return %0 : tensor<2x64x8xf16>
}
func.func private @use(%c: tensor<2x64x8xf16>) -> tensor<2x1x8xf16>
// CHECK-LABEL: @step
func.func @step(%p: tensor<i64>, %r: tensor<2x1x8xf16>) -> tensor<2x1x8xf16> attributes {nibble.entry} {
  %old = nq.state_read @cache : tensor<2x64x8xf16>
  // CHECK: exec.launch @update({{.*}}) layer "kv" kind "update" in_place [0] offsets [-1]
  %new = exec.launch @update(%old, %p, %r) layer "kv" kind "update" : (tensor<2x64x8xf16>, tensor<i64>, tensor<2x1x8xf16>) -> tensor<2x64x8xf16>
  // CHECK-NEXT: layer "attention"
  %y = exec.launch @use(%new) layer "attention" kind "k" : (tensor<2x64x8xf16>) -> tensor<2x1x8xf16>
  // CHECK-NEXT: nq.state_write
  nq.state_write @cache, %new : tensor<2x64x8xf16>
  return %y : tensor<2x1x8xf16>
}
// Somebody reads the old value afterwards: the update gets a copy, the state the result at the end.
// CHECK-LABEL: @reads_old
func.func @reads_old(%p: tensor<i64>, %r: tensor<2x1x8xf16>) -> tensor<2x1x8xf16> attributes {nibble.entry} {
  // CHECK: %[[OLD:.*]] = nq.state_read
  %old = nq.state_read @cache : tensor<2x64x8xf16>
  // CHECK-NEXT: %[[COPY:.*]] = exec.launch @copy0(%[[OLD]]) layer "kv" kind "copy" offsets [0]
  // CHECK-NEXT: %[[NEW:.*]] = exec.launch @update(%[[COPY]], {{.*}} in_place [0] offsets [0]
  %new = exec.launch @update(%old, %p, %r) layer "kv" kind "update" : (tensor<2x64x8xf16>, tensor<i64>, tensor<2x1x8xf16>) -> tensor<2x64x8xf16>
  // CHECK-NEXT: exec.launch @use(%[[OLD]])
  %y = exec.launch @use(%old) layer "attention" kind "k" : (tensor<2x64x8xf16>) -> tensor<2x1x8xf16>
  // CHECK-NEXT: %[[LAST:.*]] = exec.launch @copy0(%[[NEW]]) layer "state cache" kind "copy" offsets [-1]
  // CHECK-NEXT: nq.state_write @cache, %[[LAST]]
  nq.state_write @cache, %new : tensor<2x64x8xf16>
  return %y : tensor<2x1x8xf16>
}
// An update without a state: its output is a copy of what was made in place.
// CHECK-LABEL: @functional
func.func @functional(%c: tensor<2x64x8xf16>, %p: tensor<i64>, %r: tensor<2x1x8xf16>) -> tensor<2x64x8xf16> attributes {nibble.entry} {
  // CHECK: %[[COPY:.*]] = exec.launch @copy0(%{{.*}}) layer "kv" kind "copy" offsets [0]
  // CHECK-NEXT: %[[NEW:.*]] = exec.launch @update(%[[COPY]], {{.*}} in_place [0] offsets [0]
  // CHECK-NEXT: %[[Y:.*]] = exec.launch @copy0(%[[NEW]]) layer "kv" kind "copy" offsets [-1]
  %new = exec.launch @update(%c, %p, %r) layer "kv" kind "update" : (tensor<2x64x8xf16>, tensor<i64>, tensor<2x1x8xf16>) -> tensor<2x64x8xf16>
  // CHECK-NEXT: return %[[Y]]
  return %new : tensor<2x64x8xf16>
}

// -----
nq.state @s : tensor<4xf32>
nq.state @t : tensor<4xf32>
// Both values are saved before one is overwritten... by copies of copies.
// CHECK-LABEL: @swap
func.func @swap() attributes {nibble.entry} {
  // CHECK: %[[S:.*]] = nq.state_read @s
  // CHECK-NEXT: %[[S1:.*]] = exec.launch @copy0(%[[S]])
  // CHECK-NEXT: %[[T:.*]] = nq.state_read @t
  // CHECK-NEXT: %[[T1:.*]] = exec.launch @copy0(%[[T]])
  %s = nq.state_read @s : tensor<4xf32>
  %t = nq.state_read @t : tensor<4xf32>
  // CHECK: nq.state_write @s, %{{.*}}
  nq.state_write @s, %t : tensor<4xf32>
  nq.state_write @t, %s : tensor<4xf32>
  return
}
// An input, an output and two states at once.
// CHECK-LABEL: @shared
func.func @shared(%x: tensor<4xf32>) -> tensor<4xf32> attributes {nibble.entry} {
  // CHECK-NEXT: %[[Y:.*]] = exec.launch @k(%{{.*}}) layer "y" kind "k" offsets [-1]
  // CHECK-NEXT: %[[S:.*]] = exec.launch @copy0(%[[Y]]) layer "state s" kind "copy" offsets [-1]
  // CHECK-NEXT: %[[T:.*]] = exec.launch @copy0(%[[Y]]) layer "state t" kind "copy" offsets [-1]
  %y = exec.launch @k(%x) layer "y" kind "k" : (tensor<4xf32>) -> tensor<4xf32>
  // CHECK-NEXT: nq.state_write @s, %[[S]]
  // CHECK-NEXT: nq.state_write @t, %[[T]]
  nq.state_write @s, %y : tensor<4xf32>
  nq.state_write @t, %y : tensor<4xf32>
  return %y : tensor<4xf32>
}
func.func private @k(%x: tensor<4xf32>) -> tensor<4xf32>

// -----
// A product that stores rows into two states: both results take over the states, the third has a buffer of its own.
nq.state @key : tensor<1x8x16xf16>
nq.state @value : tensor<1x8x16xf16>
func.func private @qkv(%x: tensor<1x1x32xf16>, %w: tensor<16x32xf16>, %k: tensor<1x8x16xf16>, %p: tensor<i64>, %v: tensor<1x8x16xf16>)
    -> (tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>) attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %1 = nq.update %k[%p] with %0 axis 1 : tensor<1x8x16xf16>, tensor<i64>, tensor<1x1x16xf16>
  %2 = nq.update %v[%p] with %0 axis 1 : tensor<1x8x16xf16>, tensor<i64>, tensor<1x1x16xf16>
  return %0, %1, %2 : tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>
}
func.func private @use(%q: tensor<1x1x16xf16>, %k: tensor<1x8x16xf16>, %v: tensor<1x8x16xf16>) -> tensor<1x1x16xf16>
// CHECK-LABEL: @step_of_product
func.func @step_of_product(%x: tensor<1x1x32xf16>, %w: tensor<16x32xf16>, %p: tensor<i64>) -> tensor<1x1x16xf16> attributes {nibble.entry} {
  %k = nq.state_read @key : tensor<1x8x16xf16>
  %v = nq.state_read @value : tensor<1x8x16xf16>
  // CHECK: exec.launch @qkv({{.*}}) layer "qkv" kind "matmul" in_place [-1, 2, 4] offsets [0, -1, -1]
  %r:3 = exec.launch @qkv(%x, %w, %k, %p, %v) layer "qkv" kind "matmul" : (tensor<1x1x32xf16>, tensor<16x32xf16>, tensor<1x8x16xf16>, tensor<i64>, tensor<1x8x16xf16>) -> (tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>)
  // CHECK-NEXT: layer "attention"
  %y = exec.launch @use(%r#0, %r#1, %r#2) layer "attention" kind "k" : (tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>) -> tensor<1x1x16xf16>
  nq.state_write @key, %r#1 : tensor<1x8x16xf16>
  nq.state_write @value, %r#2 : tensor<1x8x16xf16>
  return %y : tensor<1x1x16xf16>
}
// The old keys are read later: their update gets a copy, that of the values runs in the state.
// CHECK-LABEL: @old_keys_later
func.func @old_keys_later(%x: tensor<1x1x32xf16>, %w: tensor<16x32xf16>, %p: tensor<i64>) -> tensor<1x1x16xf16> attributes {nibble.entry} {
  // CHECK: %[[K:.*]] = nq.state_read @key
  // CHECK: %[[V:.*]] = nq.state_read @value
  %k = nq.state_read @key : tensor<1x8x16xf16>
  %v = nq.state_read @value : tensor<1x8x16xf16>
  // CHECK: %[[C:.*]] = exec.launch {{.*}}(%[[K]]) layer "qkv" kind "copy" offsets
  // CHECK: %[[R:.*]]:3 = exec.launch @qkv({{[^,]*}}, {{[^,]*}}, %[[C]], {{[^,]*}}, %[[V]]) layer "qkv" kind "matmul" in_place [-1, 2, 4]
  %r:3 = exec.launch @qkv(%x, %w, %k, %p, %v) layer "qkv" kind "matmul" : (tensor<1x1x32xf16>, tensor<16x32xf16>, tensor<1x8x16xf16>, tensor<i64>, tensor<1x8x16xf16>) -> (tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>)
  %y = exec.launch @use(%r#0, %k, %r#2) layer "attention" kind "k" : (tensor<1x1x16xf16>, tensor<1x8x16xf16>, tensor<1x8x16xf16>) -> tensor<1x1x16xf16>
  // CHECK: %[[END:.*]] = exec.launch {{.*}}(%[[R]]#1) layer "state key" kind "copy"
  // CHECK: nq.state_write @key, %[[END]]
  nq.state_write @key, %r#1 : tensor<1x8x16xf16>
  nq.state_write @value, %r#2 : tensor<1x8x16xf16>
  return %y : tensor<1x1x16xf16>
}
