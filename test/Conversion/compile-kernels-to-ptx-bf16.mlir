// A product that is rounded to bf16 is rounded once, by the instruction, and not in integers before.
// RUN: nibble-opt %s --lower-products-to-gpu --compile-kernels-to-ptx=output=- -o /dev/null | FileCheck %s

// CHECK-LABEL: .visible .entry rounded
// CHECK-NOT: setp.nan
// CHECK: cvt.rn.bf16{{(x2)?}}.f32
// CHECK-NOT: setp.nan
func.func @rounded(%x: tensor<128x64xbf16>, %w: tensor<256x64xbf16>) -> tensor<128x256xbf16> {
  %0 = nq.matmul %x, %w transpose_b : (tensor<128x64xbf16>, tensor<256x64xbf16>) -> tensor<128x256xbf16>
  return %0 : tensor<128x256xbf16>
}
