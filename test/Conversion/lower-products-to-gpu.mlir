// Products of a kernel are launches of their own, and so is what they need and what needs them; values in between lie in the workspace.
// RUN: nibble-opt %s --lower-products-to-gpu | FileCheck %s
// RUN: nibble-opt %s --lower-products-to-gpu --compile-kernels-to-ptx=output=- -o /dev/null | FileCheck %s --check-prefix=PTX

#id = affine_map<(d0, d1) -> (d0, d1)>

// One tile of 32 x 64 per block of 128 threads; the accumulators go to the result.
// CHECK: func.func @alone
// CHECK-SAME: nibble.launches = ["alone_product0_gemm grid 4x1x1 block 128 values [0, 1, 2]"], nibble.workspace = 0
func.func @alone(%x: tensor<8x64xf16>, %w: tensor<256x64x!nq.nvfp4>) -> tensor<8x256xf16> {
  %0 = nq.matmul %x, %w transpose_b : (tensor<8x64xf16>, tensor<256x64x!nq.nvfp4>) -> tensor<8x256xf16>
  return %0 : tensor<8x256xf16>
}

// Gate, up, and what joins them.
// CHECK: func.func @gated
// CHECK-SAME: nibble.launches = ["gated_product0_gemm grid 8x1x1 block 128 values [0, 1, 4]"
// CHECK-SAME: "gated_product1_gemm grid 8x1x1 block 128 values [0, 2, 4+40960]
// CHECK-SAME: "gated_loops2 grid {{.*}} values [4, 4+40960, 3]"], nibble.workspace = 81920
func.func @gated(%x: tensor<40x32xf16>, %g: tensor<512x32xf16>, %u: tensor<512x32xf16>) -> tensor<40x512xf16> {
  %0 = nq.matmul %x, %g transpose_b : (tensor<40x32xf16>, tensor<512x32xf16>) -> tensor<40x512xf16>
  %1 = nq.matmul %x, %u transpose_b : (tensor<40x32xf16>, tensor<512x32xf16>) -> tensor<40x512xf16>
  %e = tensor.empty() : tensor<40x512xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%0, %1 : tensor<40x512xf16>, tensor<40x512xf16>) outs(%e : tensor<40x512xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<40x512xf16>
  return %h : tensor<40x512xf16>
}

// A long K in parts, which a second launch adds.
// CHECK: func.func @long
// CHECK-SAME: nibble.launches = ["long_product0_gemm grid 64x1x1 block 128 values [0, 1, 2, 3]", "long_product0_sum grid 1x1x1 block 128 values [0, 1, 2, 3]"], nibble.workspace = 65536
func.func @long(%x: tensor<4x8192xf16>, %w: tensor<64x8192xf16>) -> tensor<4x64xf32> {
  %0 = nq.matmul %x, %w transpose_b : (tensor<4x8192xf16>, tensor<64x8192xf16>) -> tensor<4x64xf32>
  return %0 : tensor<4x64xf32>
}

// A dequantizer is part of the product; a norm in front is not.
// CHECK: func.func @operands
// CHECK-SAME: nibble.launches = ["operands_loops0 {{.*}} values [0, 3]", "operands_product1_gemm {{.*}} values [1, 3, 2]"]
func.func @operands(%x: tensor<8x64xf16>, %w: tensor<64x32x!nq.fp8>) -> tensor<8x32xf32> {
  %n = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<8x64xf16> -> tensor<8x64xf16>
  %d = nq.dequantize %w : tensor<64x32x!nq.fp8> -> tensor<64x32xf16>
  %0 = nq.matmul %n, %d : (tensor<8x64xf16>, tensor<64x32xf16>) -> tensor<8x32xf32>
  return %0 : tensor<8x32xf32>
}

// Rows are (head, query) of a kv head.
// CHECK: func.func @attention
// CHECK-SAME: nibble.launches = ["attention_product0_flash grid 8x1x1 block 160 values [0, 1, 2, 3]"]
func.func @attention(%q: tensor<1x8x50x64xf16>, %k: tensor<1x2x77x64xf16>, %v: tensor<1x2x77x64xf16>) -> tensor<1x8x50x64xf16> {
  %0 = nq.attention %q, %k, %v {scale = 0.125 : f64, causal} : (tensor<1x8x50x64xf16>, tensor<1x2x77x64xf16>, tensor<1x2x77x64xf16>) -> tensor<1x8x50x64xf16>
  return %0 : tensor<1x8x50x64xf16>
}

// CHECK: gpu.module @gpu_kernels
// CHECK: gpu.func @alone_product0_gemm
// CHECK-SAME: workgroup({{.*}} : memref<{{[0-9]+}}xf32, #gpu.address_space<workgroup>> {llvm.align = 16 : i64}
// CHECK: scf.for
// CHECK: math.fma

// Operands come and go by 16 bytes.
// PTX: .entry alone_product0_gemm
// PTX: .minnctapersm 4
// PTX: ld.global{{.*}}.v4
// PTX: ld.shared.v4
// PTX: fma.rn.f32
