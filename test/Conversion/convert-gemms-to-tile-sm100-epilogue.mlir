// Epilogues on Blackwell: a body has 8 columns, as many as a word has codes of 4 bits. What follows from the maximum of a block is a
// scalar: the scale, and the reciprocal of what elements are divided by. Codes are conversions.
// RUN: split-file %s %t
// RUN: nibble-opt %t/nvfp4.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='128x96 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=NVFP4
// RUN: nibble-opt %t/bf16.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='128x96 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=BF16
// RUN: nibble-opt %t/mxfp8.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20 schedule='128x96 s4 c1x1 m8 w1 p2'" | FileCheck %s --check-prefix=MXFP8

//--- nvfp4.mlir
// NVFP4: tile.epilogue {{.*}}(%{{.*}}: vector<8xf32>)
// NVFP4: %[[MOST:.*]] = tile.block_max %{{.*}} along n block 16 : vector<8xi16>
// NVFP4: %[[ONE:.*]] = vector.extract %[[MOST]][0] : i16 from vector<8xi16>
// NVFP4: arith.truncf %{{.*}} : f32 to f8E4M3FN
// NVFP4: rcp.approx.ftz.f32
// NVFP4: math.fma %{{.*}} : vector<8xf32>
// NVFP4: cvt.rn.satfinite.e2m1x2.f32 a, $2, $1; {{.*}}mov.b32 $0, {a, b, c, d};
// NVFP4-NOT: scf.if
// NVFP4: tile.yield %{{.*}}, %{{.*}} : vector<4xi8>, vector<8xi8>
func.func private @nvfp4(%x: tensor<300x256xf16>, %w: tensor<640x256xf16>, %g: tensor<f32>) -> tensor<300x640x!nq.nvfp4> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<300x256xf16>, tensor<640x256xf16>) -> tensor<300x640xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<300x640xf16> -> tensor<300x640x!nq.nvfp4>
  return %1 : tensor<300x640x!nq.nvfp4>
}

//--- bf16.mlir
// Numbers of bf16 may be too small or too large for a reciprocal: widening them multiplies by a power of two.
// BF16: tile.block_max
// BF16-COUNT-8: fma.rn.f32.bf16
// BF16: cvt.rn.satfinite.e2m1x2.f32
func.func private @bf16(%x: tensor<300x256xbf16>, %w: tensor<640x256xbf16>, %g: tensor<f32>) -> tensor<300x640x!nq.nvfp4> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<300x256xbf16>, tensor<640x256xbf16>) -> tensor<300x640xbf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<300x640xbf16> -> tensor<300x640x!nq.nvfp4>
  return %1 : tensor<300x640x!nq.nvfp4>
}

//--- mxfp8.mlir
// The exponent of a block is integer arithmetic, without a quotient.
// MXFP8: tile.block_max
// MXFP8-NOT: arith.divf
// MXFP8: arith.truncf %{{.*}} : vector<8xf32> to vector<8xf8E4M3FN>
// MXFP8: arith.andi %{{.*}} : vector<2xi32>
// MXFP8: tile.yield
func.func private @mxfp8(%x: tensor<300x256xf16>, %w: tensor<640x256xf16>) -> tensor<300x640x!nq.mxfp8> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<300x256xf16>, tensor<640x256xf16>) -> tensor<300x640xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") : tensor<300x640xf16> -> tensor<300x640x!nq.mxfp8>
  return %1 : tensor<300x640x!nq.mxfp8>
}
