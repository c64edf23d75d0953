// Weights of 4 bits and many rows, and FP8 in blocks, on sm_90a: which class, and why not where the copy engine cannot move rows.
// RUN: nibble-opt %s --select-kernels=target=sm_90a --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: select-kernels {{.*}}kernel=gemm.wgmma.f16.promote32, layer=mixed,
// CHECK-DAG: select-kernels {{.*}}kernel=gemm.simt.expand, layer=odd,{{.*}}"kernel":"gemm.wgmma.f16.expand","reason":"rows of the result are 66 bytes; the copy engine wants multiples of 16"
// CHECK-DAG: select-kernels {{.*}}as_requested=true,{{.*}}kernel=gemm.wgmma.e4m3.block128, layer=blocks,{{.*}}reason="the matrix unit multiplies these formats; schedule estimated
// CHECK-DAG: select-kernels {{.*}}layer=shared,{{.*}}"kernel":"gemm.wgmma.e4m3.block128","reason":"rows of the activation share scales"

func.func @mixed(%x: tensor<65x64xf16>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<127> : tensor<64xi8>) : tensor<32x64x!nq.mxfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, tensor<32x64x!nq.mxfp4>) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: tensor<32x64x!nq.mxfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64xf16>, tensor<32x64x!nq.mxfp4>) -> tensor<65x32xf16> loc("mixed")
    nq.yield %0 : tensor<65x32xf16>
  } loc("mixed")
  return %y : tensor<65x32xf16>
}

func.func @odd(%x: tensor<65x64xf16>) -> tensor<65x33xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1056xi8>) scales(dense<56> : tensor<132xi8>) global(dense<0.5> : tensor<f32>) : tensor<33x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, tensor<33x64x!nq.nvfp4>) -> tensor<65x33xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: tensor<33x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64xf16>, tensor<33x64x!nq.nvfp4>) -> tensor<65x33xf16> loc("odd")
    nq.yield %0 : tensor<65x33xf16>
  } loc("odd")
  return %y : tensor<65x33xf16>
}

!x8 = tensor<65x256x!nq.scaled<f8E4M3FN, f32 per 1x128>>
!w8 = tensor<128x256x!nq.scaled<f8E4M3FN, f32 per 128x128>, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[], []] order [1, 0]>>>
func.func @blocks(%x: !x8, %w: !w8) -> tensor<65x128xf16> attributes {nibble.entry} {
  %y = nq.region "gemm"(%x, %w) : (!x8, !w8) -> tensor<65x128xf16> {
  ^bb0(%a: !x8, %b: !w8):
    %0 = nq.matmul %a, %b transpose_b : (!x8, !w8) -> tensor<65x128xf16> loc("blocks")
    nq.yield %0 : tensor<65x128xf16>
  } loc("blocks")
  return %y : tensor<65x128xf16>
}

!s8 = tensor<128x256x!nq.scaled<f8E4M3FN, f32 per 128x128>>
func.func @shared(%x: !s8, %w: !w8) -> tensor<128x128xf16> attributes {nibble.entry} {
  %y = nq.region "gemm"(%x, %w) {nibble.permitted = ["f32"]} : (!s8, !w8) -> tensor<128x128xf16> {
  ^bb0(%a: !s8, %b: !w8):
    %0 = nq.matmul %a, %b transpose_b : (!s8, !w8) -> tensor<128x128xf16> loc("shared")
    nq.yield %0 : tensor<128x128xf16>
  } loc("shared")
  return %y : tensor<128x128xf16>
}
