// Writes of states that the product must not make in place stay kernels of their own, with the reason.
// RUN: nibble-opt %s --split-input-file --fuse-qkv --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=WHY --input-file=%t.remarks

nq.state @key : tensor<1x1x8x16xf16>
// CHECK-LABEL: func.func @read_later
// CHECK: nq.region "gemm"
// CHECK: nq.yield
// CHECK: nq.update
// WHY: fuse-qkv{{.*}}'linalg.generic' of layer '/old' reads the old value{{.*}}rows stored by the product
func.func @read_later(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>) -> (tensor<1x1x16xf16>, tensor<1x1x8x16xf16>) attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %wk = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %k0 = nq.state_read @key : tensor<1x1x8x16xf16>
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 1, 1, 16] : tensor<1x1x16xf16> into tensor<1x1x1x16xf16>
  %k1 = nq.update %k0[%pos] with %ke axis 2 : tensor<1x1x8x16xf16>, tensor<1xi64>, tensor<1x1x1x16xf16>
  %e = tensor.empty() : tensor<1x1x8x16xf16>
  %old = linalg.generic {indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%k0 : tensor<1x1x8x16xf16>) outs(%e : tensor<1x1x8x16xf16>) {
  ^bb0(%a: f16, %o: f16):
    %n = arith.negf %a : f16
    linalg.yield %n : f16
  } -> tensor<1x1x8x16xf16> loc("/old")
  nq.state_write @key, %k1 : tensor<1x1x8x16xf16>
  return %q, %old : tensor<1x1x16xf16>, tensor<1x1x8x16xf16>
}

// -----
nq.state @key : tensor<1x1x16x8xf16>
// A cache with the positions innermost.
// CHECK-LABEL: func.func @innermost
// CHECK: nq.yield
// CHECK: nq.update
// WHY: fuse-qkv{{.*}}positions are the innermost axis: the store would write single elements
func.func @innermost(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>) -> tensor<1x1x16xf16> attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %wk = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %k0 = nq.state_read @key : tensor<1x1x16x8xf16>
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %ke = tensor.expand_shape %k [[0], [1], [2, 3]] output_shape [1, 1, 16, 1] : tensor<1x1x16xf16> into tensor<1x1x16x1xf16>
  %k1 = nq.update %k0[%pos] with %ke axis 3 : tensor<1x1x16x8xf16>, tensor<1xi64>, tensor<1x1x16x1xf16>
  nq.state_write @key, %k1 : tensor<1x1x16x8xf16>
  return %q : tensor<1x1x16xf16>
}

// -----
nq.state @key : tensor<1x8x16xf16>
// Two updates of one state: none of them is the last reader of the old value, or the maker of the new one.
// CHECK-LABEL: func.func @twice
// CHECK: nq.yield
// CHECK-COUNT-2: nq.update
// WHY: fuse-qkv{{.*}}'nq.update' of layer '/second' updates the same value again
// WHY: fuse-qkv{{.*}}'nq.update' of layer '/first' updates the same value before
func.func @twice(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>, %next: tensor<1xi64>) attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %wk = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %k0 = nq.state_read @key : tensor<1x8x16xf16>
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %k1 = nq.update %k0[%pos] with %q axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16> loc("/first")
  %k2 = nq.update %k1[%next] with %k axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16> loc("/second")
  nq.state_write @key, %k2 : tensor<1x8x16xf16>
  return
}

// -----
// The position comes from the product itself: the region cannot hold both, but the products stay together.
nq.state @key : tensor<1x8x16xf16>
// CHECK-LABEL: func.func @position_of_product
// CHECK: nq.region "gemm"{{.*}} fused ["fuse-qkv"]
// CHECK: nq.yield
// CHECK: nq.update
// WHY: fuse-qkv{{.*}}a value leaves the region and comes back through 'linalg.generic' of layer '/position'
func.func @position_of_product(%x: tensor<1x1x32xf16>) -> tensor<1xi64> attributes {nibble.entry} {
  %wq = nq.constant codes(dense<1.0> : tensor<1x32xf16>) : tensor<1x32xf16>
  %wk = nq.constant codes(dense<2.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %k0 = nq.state_read @key : tensor<1x8x16xf16>
  %q = nq.matmul %x, %wq transpose_b : (tensor<1x1x32xf16>, tensor<1x32xf16>) -> tensor<1x1x1xf16>
  %k = nq.matmul %x, %wk transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16>
  %e = tensor.empty() : tensor<1xi64>
  %pos = linalg.generic {indexing_maps = [affine_map<(a) -> (0, 0, a)>, affine_map<(a) -> (a)>],
      iterator_types = ["parallel"]} ins(%q : tensor<1x1x1xf16>) outs(%e : tensor<1xi64>) {
  ^bb0(%a: f16, %o: i64):
    %n = arith.fptosi %a : f16 to i64
    linalg.yield %n : i64
  } -> tensor<1xi64> loc("/position")
  %k1 = nq.update %k0[%pos] with %k axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16>
  nq.state_write @key, %k1 : tensor<1x8x16xf16>
  return %pos : tensor<1xi64>
}
