// Rows on Blackwell: 32 bytes per access where that leaves threads enough, codes by its conversions.
// RUN: nibble-opt %s --lower-loops-to-gpu=chip=sm_110a | FileCheck %s
// RUN: nibble-opt %s --lower-loops-to-gpu=chip=sm_110a | nibble-opt --compile-kernels-to-ptx="chip=sm_110a output=-" -o /dev/null | FileCheck %s --check-prefix=PTX
// RUN: nibble-opt %s --lower-loops-to-gpu | FileCheck %s --check-prefix=HOPPER

// CHECK: gpu.module @gpu_kernels attributes {nibble.chip = "sm_110a"}
// HOPPER: gpu.module @gpu_kernels {

// CHECK-LABEL: gpu.func @norm(
// CHECK: vector.load {{.*}}vector<16xf16>
// CHECK: vector.store {{.*}}vector<16xf16>
// HOPPER-LABEL: gpu.func @norm(
// HOPPER: vector.load {{.*}}vector<8xf16>
// PTX: .entry norm(
// PTX: ld.global.nc.v8.b32
// PTX: st.global.v8.b32
func.func private @norm(%x: tensor<4096x2048xf16>) -> tensor<4096x2048xf16> {
  %0 = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<4096x2048xf16> -> tensor<4096x2048xf16>
  return %0 : tensor<4096x2048xf16>
}

// Threads would be too few.
// CHECK-LABEL: gpu.func @few(
// CHECK: vector.load {{.*}}vector<8xf16>
func.func private @few(%x: tensor<64x2048xf16>) -> tensor<64x2048xf16> {
  %0 = nq.norm rms %x {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<64x2048xf16> -> tensor<64x2048xf16>
  return %0 : tensor<64x2048xf16>
}

// CHECK-LABEL: gpu.func @nvfp4(
// CHECK: max.NaN.xorsign.abs.bf16x2
// CHECK: fma.rn.f32.bf16
// CHECK: cvt.rn.satfinite.e2m1x2.f32
// HOPPER-LABEL: gpu.func @nvfp4(
// HOPPER-NOT: e2m1x2
// HOPPER: set.gt.u32.bf16x2
func.func private @nvfp4(%x: tensor<970x2048xbf16>, %g: tensor<f32>) -> tensor<970x2048x!nq.nvfp4> {
  %0 = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<970x2048xbf16> -> tensor<970x2048x!nq.nvfp4>
  return %0 : tensor<970x2048x!nq.nvfp4>
}

// CHECK-LABEL: gpu.func @mxfp8(
// CHECK-NOT: arith.divf
// HOPPER-LABEL: gpu.func @mxfp8(
// HOPPER: arith.divf
func.func private @mxfp8(%x: tensor<970x2048xf16>) -> tensor<970x2048x!nq.mxfp8> {
  %0 = nq.quantize %x recipe("trt-dynamic") : tensor<970x2048xf16> -> tensor<970x2048x!nq.mxfp8>
  return %0 : tensor<970x2048x!nq.mxfp8>
}
