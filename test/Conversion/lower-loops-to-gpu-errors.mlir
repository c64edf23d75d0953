// What no kernel can be made of is an error at its op.
// RUN: nibble-opt %s --lower-loops-to-gpu --split-input-file --verify-diagnostics

func.func private @read_twice(%s: tensor<8x4xf32>, %p: tensor<i64>, %r: tensor<1x4xf32>) -> (tensor<8x4xf32>, tensor<8x4xf16>) {
  // expected-error @+1 {{rows are written in place, so that only this op may know the old value, which must be an argument, and the new one must be a result of the kernel}}
  %n = nq.update %s[%p] with %r axis 0 : tensor<8x4xf32>, tensor<i64>, tensor<1x4xf32>
  %h = nq.cast %n : tensor<8x4xf32> -> tensor<8x4xf16>
  return %n, %h : tensor<8x4xf32>, tensor<8x4xf16>
}

// -----

func.func private @dynamic(%p: tensor<4xf32>, %n: tensor<?xf32>) -> tensor<4xf32> { // expected-error {{argument 1 has type 'tensor<?xf32>'; kernels take tensors of static shape}}
  return %p : tensor<4xf32>
}

// -----

func.func private @stranger(%p: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @+1 {{'tensor.generate' cannot be part of a loop kernel}}
  %r = tensor.generate {
  ^bb0(%i: index):
    %c = arith.constant 1.0 : f32
    tensor.yield %c : f32
  } : tensor<4xf32>
  return %r : tensor<4xf32>
}
