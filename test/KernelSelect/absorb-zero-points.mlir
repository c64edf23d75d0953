// Integer weights with zero points: codes less zero points, of 4 bits if they fit, else of 8.
// RUN: nibble-opt %s --absorb-zero-points --select-kernels=target=sm_90a --split-input-file | FileCheck %s
// RUN: nibble-opt %s --absorb-zero-points --split-input-file --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=TOLD
// RUN: nibble-opt %s --absorb-zero-points=target=sm_110a --split-input-file | FileCheck %s --check-prefix=THOR

// THOR: centered.codes

// Codes 7 and 9, zero points of 8: -1 and 1.
// TOLD: absorb-zero-points {{.*}}bytes=1152, chosen="si4 without zero points", instead=1216, layer=half,
// CHECK-LABEL: func.func @half
// CHECK: nq.constant codes(dense_resource<centered.codes> : tensor<1024xi8>) scales(dense<60> : tensor<128xi8>) : tensor<32x64x!nq.scaled<si4, f16 per 1x32>>
// CHECK: nibble.kernel_class = "gemm.wgmma.f16.expand"
// CHECK: centered.codes: "0x400000001F1F1F
!u = tensor<32x64x!nq.scaled<ui4, f16 per 1x32, zero_point>>
func.func @half(%x: tensor<65x64xf16>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<-105> : tensor<1024xi8>) scales(dense<60> : tensor<128xi8>) zero_points(dense<8> : tensor<64xi8>) : !u
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: !u):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> loc("half")
    nq.yield %0 : tensor<65x32xf16>
  } loc("half")
  return %y : tensor<65x32xf16>
}

// -----

// Codes 7 and 9, zero points of 15 and 0: -8 and 9. The model asks for 4 bits.
// TOLD: absorb-zero-points {{.*}}bytes=2176, chosen="si8 without zero points", instead=1216, layer=whole,
// CHECK-LABEL: func.func @whole
// CHECK: nq.constant codes(dense_resource<centered.codes> : tensor<2048xi8>) scales(dense<60> : tensor<128xi8>) : tensor<64x32x!nq.scaled<si8, f16 per 32x1>>
// CHECK: nibble.kernel_class = "gemm.wgmma.f16.expand8"
// CHECK: nibble.requested = "f16 x int4"
!u = tensor<64x32x!nq.scaled<ui4, f16 per 32x1, zero_point>>
func.func @whole(%x: tensor<65x64xf16>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<-105> : tensor<1024xi8>) scales(dense<60> : tensor<128xi8>) zero_points(dense<[15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0, 15, 0]> : tensor<64xi8>) : !u
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: !u):
    %0 = nq.matmul %a, %b : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> loc("whole")
    nq.yield %0 : tensor<65x32xf16>
  } loc("whole")
  return %y : tensor<65x32xf16>
}

// -----

// 255 less 0 is no signed number of 8 bits.
// TOLD: absorb-zero-points {{.*}}layer=wide, reason="codes less zero points are from 0 to 255: no 8-bit integers"
// CHECK-LABEL: func.func @wide
// CHECK: nibble.kernel_class = "gemm.simt.expand"
!u = tensor<32x64x!nq.scaled<ui8, f16 per 1x?, zero_point>>
func.func @wide(%x: tensor<65x64xf16>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<-1> : tensor<2048xi8>) scales(dense<60> : tensor<64xi8>) zero_points(dense<0> : tensor<32xi8>) : !u
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: !u):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64xf16>, !u) -> tensor<65x32xf16> loc("wide")
    nq.yield %0 : tensor<65x32xf16>
  } loc("wide")
  return %y : tensor<65x32xf16>
}
