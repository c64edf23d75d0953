// Rows that end inside of 16 bytes (208 codes of 4 bits, as 4304 do) begin at multiples of them: copies have the pitch of the layout and end with K. Codes
// that are spread to bytes are copied by 128, with their gaps, which are zeros.
// RUN: split-file %s %t
// RUN: nibble-opt %t/native.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20" | FileCheck %s --check-prefix=NATIVE
// RUN: nibble-opt %t/spread.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20" | FileCheck %s --check-prefix=SPREAD
// RUN: not nibble-opt %t/heads.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20" 2>&1 | FileCheck %s --check-prefix=HEADS
// RUN: not nibble-opt %t/unpadded.mlir --convert-gemms-to-tile="chip=sm_110a multiprocessors=20" 2>&1 | FileCheck %s --check-prefix=UNPADDED

//--- native.mlir
!act = tensor<300x208x!nq.nvfp4, #nq.layout<tiles [[], [32]] order [0, 1, 2] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
!weight = tensor<208x208x!nq.nvfp4, #nq.layout<tiles [[], [32]] order [0, 1, 2] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>

// NATIVE: tile.kernel @native target "sm_110a" grid {{[0-9]+}} (%{{[^:]*}}: memref<300x208xf4E2M1FN, strided<[224, 1]>>, %{{[^:]*}}: memref<3x4x2x256xf8E4M3FN>, %{{[^:]*}}: memref<208x208xf4E2M1FN, strided<[224, 1]>>
// NATIVE-SAME: memref<300x104xi8, strided<[112, 1]>>, %{{[^:]*}}: memref<3x4x2x256xi8>
func.func private @native(%x: !act, %w: !weight, %g: tensor<f32>) -> !act attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!act, !weight) -> tensor<300x208xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<300x208xf16> -> tensor<300x208x!nq.nvfp4>
  %2 = nq.reformat %1 : tensor<300x208x!nq.nvfp4> -> !act
  return %2 : !act
}

//--- spread.mlir
!act = tensor<300x208x!nq.mxfp8, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
!weight = tensor<640x208x!nq.mxfp4, #nq.layout<tiles [[], [128]] order [0, 1, 2] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>

// SPREAD: tile.kernel @spread {{.*}}: memref<300x208xf8E4M3FN>, %{{[^:]*}}: memref<3x2x2x256xf8E8M0FNU>, %{{[^:]*}}: memref<640x256xf4E2M1FN>, %{{[^:]*}}: memref<5x2x2x256xf8E8M0FNU>
func.func private @spread(%x: !act, %w: !weight) -> tensor<300x640xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (!act, !weight) -> tensor<300x640xf16>
  return %0 : tensor<300x640xf16>
}

//--- heads.mlir
// Gaps behind each head are none behind rows.
!heads = tensor<300x2x100xf16, #nq.layout<tiles [[], [], [8]] order [0, 1, 2, 3]>>

// HEADS: a result does not lie as the product does
func.func private @heads(%x: tensor<300x256xf16>, %w: tensor<200x256xf16>) -> !heads attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<300x256xf16>, tensor<200x256xf16>) -> tensor<300x200xf16>
  %1 = tensor.expand_shape %0 [[0], [1, 2]] output_shape [300, 2, 100] : tensor<300x200xf16> into tensor<300x2x100xf16>
  %2 = nq.reformat %1 : tensor<300x2x100xf16> -> !heads
  return %2 : !heads
}

//--- unpadded.mlir
// UNPADDED: rows of A are 200 bytes; the copy engine wants multiples of 16
func.func private @unpadded(%x: tensor<300x100xf16>, %w: tensor<640x100xf16>) -> tensor<300x640xf16> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<300x100xf16>, tensor<640x100xf16>) -> tensor<300x640xf16>
  return %0 : tensor<300x640xf16>
}
