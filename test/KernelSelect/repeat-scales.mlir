// FP8 weights in square blocks next to f16: a scale for each row, which the kernel that expands them loads with the codes.
// RUN: nibble-opt %s --repeat-scales --select-kernels=target=sm_90a --mlir-elide-resource-strings-if-larger=4096 | FileCheck %s
// RUN: nibble-opt %s --repeat-scales --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=TOLD
// RUN: nibble-opt %s --repeat-scales=target=sm_110a | FileCheck %s --check-prefix=THOR

// THOR: rows.scales
// TOLD: repeat-scales {{.*}}bytes=1600, chosen="a scale for each row of a block", instead=16, layer=w8a16

// Blocks of 128: rows 0 to 127, then 128 to 199, of two scales each (1 and 2, then 3 and 4).
// CHECK-LABEL: func.func @w8a16
// CHECK: nq.constant codes(dense<1> : tensor<51200xi8>) scales(dense_resource<rows.scales> : tensor<1600xi8>) : tensor<200x256x!nq.scaled<f8E4M3FN, f32 per 1x128>
// CHECK: {nibble.kernel_class = "gemm.wgmma.f16.expand8"
// CHECK: rows.scales: "0x40000000{{(0000803F00000040)+(0000404000008040)+"}}
func.func @w8a16(%x: tensor<65x256xf16>) -> tensor<65x200xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<51200xi8>) scales(dense<[0, 0, -128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, -128, 64]> : tensor<16xi8>) : tensor<200x256x!nq.scaled<f8E4M3FN, f32 per 128x128>>
  %y = nq.region "gemm"(%x, %w) : (tensor<65x256xf16>, tensor<200x256x!nq.scaled<f8E4M3FN, f32 per 128x128>>) -> tensor<65x200xf16> {
  ^bb0(%a: tensor<65x256xf16>, %b: tensor<200x256x!nq.scaled<f8E4M3FN, f32 per 128x128>>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x256xf16>, tensor<200x256x!nq.scaled<f8E4M3FN, f32 per 128x128>>) -> tensor<65x200xf16> loc("w8a16")
    nq.yield %0 : tensor<65x200xf16>
  } loc("w8a16")
  return %y : tensor<65x200xf16>
}
