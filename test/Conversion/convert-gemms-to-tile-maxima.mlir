// Quantizers that find the scale of a block: along N, with packed codes and a scale per block; along M where weights are expanded.
// RUN: split-file %s %t
// RUN: nibble-opt %t/columns.mlir --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2'" | FileCheck %s --check-prefix=COLUMNS
// RUN: not nibble-opt %t/columns.mlir --convert-gemms-to-tile="schedule='128x72 s4 c1x1 m4 w2 p2'" 2>&1 | FileCheck %s --check-prefix=ODD
// RUN: not nibble-opt %t/columns.mlir --convert-gemms-to-tile="schedule='t 128x64 s4 c1x1 m4 w2 p2'" 2>&1 | FileCheck %s --check-prefix=NIBBLES
// RUN: nibble-opt %t/rows.mlir --convert-gemms-to-tile="schedule='t 128x72 s4 c1x1 m4 w2 p2'" | FileCheck %s --check-prefix=ROWS
// RUN: nibble-opt %t/float.mlir --convert-gemms-to-tile="schedule='128x128 s4 c1x1 m4 w2 p2'" | FileCheck %s --check-prefix=FLOAT
// RUN: not nibble-opt %t/float.mlir --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2'" 2>&1 | FileCheck %s --check-prefix=NARROW
// RUN: not nibble-opt %t/partial.mlir --convert-gemms-to-tile 2>&1 | FileCheck %s --check-prefix=PARTIAL

// ODD: blocks of 16 columns with scales do not make up 72 of 72 columns of a tile
// NIBBLES: two codes of 4 bits of a byte are columns, not rows, of one thread
// NARROW: blocks of 128 columns with scales do not make up 64 of 64 columns of a tile
// PARTIAL: scales are those of 16 columns; powers of 2 from 8 on that divide the 200 columns have a kernel

//--- columns.mlir
// The maximum is one of bits of f16; codes are compared with borders in halves of a word.
// COLUMNS: tile.kernel @columns {{.*}}, %[[D:.*]]: memref<72x160xi8>, %[[S:.*]]: memref<72x20xi8>
// COLUMNS: tile.epilogue
// COLUMNS: %[[H:.*]] = arith.truncf %{{.*}} : vector<2xf32> to vector<2xf16>
// COLUMNS: %[[MOST:.*]] = tile.block_max %{{.*}} along n block 16 : vector<2xi16>
// COLUMNS: arith.truncf %{{.*}} : vector<2xf32> to vector<2xf8E4M3FN>
// COLUMNS-COUNT-7: cvt.rz.f16x2.f32
// COLUMNS-COUNT-3: set.gt.u32.f16x2
// COLUMNS: tile.yield %{{.*}}, %{{.*}} : vector<1xi8>, vector<2xi8>
// COLUMNS: tile.store %{{.*}} to %[[D]]{{.*}} panel 32 buffers 2 : !tile.fragment<128x32xi8>, memref<72x160xi8>
// COLUMNS: tile.store_blocks %{{.*}} to %[[S]] block 16 : !tile.fragment<128x64xi8>, memref<72x20xi8>
func.func private @columns(%x: tensor<72x96xf16>, %w: tensor<320x96xf16>, %g: tensor<f32>) -> tensor<72x320x!nq.nvfp4> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, tensor<320x96xf16>) -> tensor<72x320xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<72x320xf16> -> tensor<72x320x!nq.nvfp4>
  return %1 : tensor<72x320x!nq.nvfp4>
}

//--- rows.mlir
// Codes times scales are multiplied as pairs of f16, and stored as that: no code is taken apart.
!w = tensor<208x96x!nq.nvfp4, #nq.layout<tiles [[2, 8], [4, 2, 4, 2]] order [0, 3, 2, 6, 4, 7, 5, 1] scales <tiles [[2, 8], [4]] order [0, 3, 2, 4, 1]>>>
// ROWS: tile.kernel @rows
// ROWS: tile.block_max %{{.*}} along m block 16 : vector<2xi16>
// ROWS-COUNT-2: mul.rn.f16x2
// ROWS: tile.store {{.*}} transposed panel 64 {{.*}}memref<72x208xf16>
func.func private @rows(%x: tensor<72x96xf16>, %w: !w, %g: tensor<f32>) -> tensor<72x208x!nq.scaled<f16, f32 per tensor>> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, !w) -> tensor<72x208xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<72x208xf16> -> tensor<72x208x!nq.nvfp4>
  %2 = nq.widen %1 : tensor<72x208x!nq.nvfp4> -> tensor<72x208x!nq.scaled<f16, f32 per tensor>>
  return %2 : tensor<72x208x!nq.scaled<f16, f32 per tensor>>
}

//--- float.mlir
// FLOAT: tile.kernel @float {{.*}}memref<72x256xi8>, %[[S:.*]]: memref<72x2xf32>
// FLOAT: tile.block_max %{{.*}} along n block 128 : vector<2xi32>
// FLOAT: tile.store_blocks %{{.*}} to %[[S]] block 128 : !tile.fragment<128x128xf32>, memref<72x2xf32>
func.func private @float(%x: tensor<72x96xf16>, %w: tensor<256x96xf16>) -> tensor<72x256x!nq.scaled<f8E4M3FN, f32 per 1x128>> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, tensor<256x96xf16>) -> tensor<72x256xf32>
  %1 = nq.quantize %0 recipe("modelopt") : tensor<72x256xf32> -> tensor<72x256x!nq.scaled<f8E4M3FN, f32 per 1x128>>
  return %1 : tensor<72x256x!nq.scaled<f8E4M3FN, f32 per 1x128>>
}

//--- partial.mlir
func.func private @partial(%x: tensor<72x96xf16>, %w: tensor<200x96xf16>, %g: tensor<f32>) -> tensor<72x200x!nq.scaled<f16, f32 per tensor>> attributes {nibble.kernel} {
  %0 = nq.matmul %x, %w transpose_b : (tensor<72x96xf16>, tensor<200x96xf16>) -> tensor<72x200xf16>
  %1 = nq.quantize %0 recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<72x200xf16> -> tensor<72x200x!nq.nvfp4>
  %2 = nq.widen %1 : tensor<72x200x!nq.nvfp4> -> tensor<72x200x!nq.scaled<f16, f32 per tensor>>
  return %2 : tensor<72x200x!nq.scaled<f16, f32 per tensor>>
}
