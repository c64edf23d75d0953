// Kernels without products as kernels of a GPU.
// RUN: nibble-opt %s --lower-loops-to-gpu | FileCheck %s

// 16 bytes per access: 8 f16.
// CHECK-LABEL: gpu.func @add(
// CHECK-SAME: memref<1048576xf16> {llvm.noalias}, %{{.*}}: memref<1048576xf16> {llvm.noalias}, %{{.*}}: memref<1048576xf16> {llvm.noalias})
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>, nibble.blocks = 512 : i64
// CHECK: vector.load %{{.*}} {alignment = 16 : i64} : memref<1048576xf16>, vector<8xf16>
// CHECK: vector.store %{{.*}} {alignment = 16 : i64} : memref<1048576xf16>, vector<8xf16>
func.func private @add(%a: tensor<1024x1024xf16>, %b: tensor<1024x1024xf16>) -> tensor<1024x1024xf16> {
  %e = tensor.empty() : tensor<1024x1024xf16>
  %r = linalg.add ins(%a, %b : tensor<1024x1024xf16>, tensor<1024x1024xf16>) outs(%e : tensor<1024x1024xf16>) -> tensor<1024x1024xf16>
  return %r : tensor<1024x1024xf16>
}

// Rows of odd length: neighbours are threads.
// CHECK-LABEL: gpu.func @cast(
// CHECK: memref.load
// CHECK: memref.store
// CHECK-NOT: vector.load
func.func private @cast(%a: tensor<77x1023xf32>, %b: tensor<77x1xf32>) -> tensor<77x1023xf16> {
  %e = tensor.empty() : tensor<77x1023xf16>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, 0)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%a, %b : tensor<77x1023xf32>, tensor<77x1xf32>) outs(%e : tensor<77x1023xf16>) {
  ^bb0(%x: f32, %y: f32, %o: f16):
    %p = arith.mulf %x, %y : f32
    %h = arith.truncf %p : f32 to f16
    linalg.yield %h : f16
  } -> tensor<77x1023xf16>
  return %r : tensor<77x1023xf16>
}

// Threads of a row keep what they have read; what they have summed goes through
// shared memory once per fold.
// CHECK-LABEL: gpu.func @softmax(
// CHECK-SAME: workgroup(%arg2 : memref<6xf32, {{.*}} %arg3 : memref<6xf32, {{.*}})
// CHECK-SAME: known_block_size = array<i32: 192, 1, 1>, nibble.blocks = 970 : i64
// CHECK-NOT: nibble.workspace
// CHECK-COUNT-3: vector.load %{{.*}} : memref<940900xf32>, vector<2xf32>
// CHECK-NOT: memref<940900xf32>, vector
// CHECK: gpu.shuffle
// CHECK: gpu.barrier
// CHECK: math.exp
// CHECK: gpu.barrier
// CHECK-NOT: gpu.barrier
// CHECK-COUNT-3: vector.store %{{.*}} : memref<940900xf32>, vector<2xf32>
func.func private @softmax(%a: tensor<970x970xf32>) -> tensor<970x970xf32> {
  %e = tensor.empty() : tensor<970x970xf32>
  %r = linalg.softmax dimension(1) ins(%a : tensor<970x970xf32>) outs(%e : tensor<970x970xf32>) -> tensor<970x970xf32>
  return %r : tensor<970x970xf32>
}

// One launch: the last block writes the scale that goes on. 16 bytes per read.
// The sum waits for gains and scale: they are not read behind the barrier.
// CHECK-LABEL: gpu.func @norm_quantize(
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>, nibble.blocks = 971 : i64
// CHECK: vector.load %arg0{{.*}} {alignment = 16 : i64} : memref<1986560xf16>, vector<8xf16>
// CHECK: vector.load %arg1{{.*}} {alignment = 16 : i64} : memref<2048xf16>, vector<8xf16>
// CHECK: llvm.inline_asm {{.*}}mul.lo.u32
// CHECK: gpu.shuffle
// CHECK: gpu.barrier
// CHECK-NOT: vector.load %arg
// CHECK: vector.store {{.*}} {alignment = 8 : i64} : memref<1986560xi8>, vector<8xi8>
// CHECK-NOT: gpu.func @norm_quantize_1
func.func private @norm_quantize(%x: tensor<970x2048xf16>, %g: tensor<2048xf16>, %s: tensor<f16>) -> tensor<970x2048x!nq.fp8> {
  %n = nq.norm rms %x scale(%g : tensor<2048xf16>) {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<970x2048xf16> -> tensor<970x2048xf16>
  %q = nq.quantize %n scale(%s : tensor<f16>) : tensor<970x2048xf16> -> tensor<970x2048x!nq.fp8>
  return %q : tensor<970x2048x!nq.fp8>
}

// A thread has whole blocks of 16: no shuffle for their maxima, which are those
// of pairs, as are the comparisons with the borders of codes; 8 bytes per write.
// CHECK-LABEL: gpu.func @norm_nvfp4(
// CHECK-SAME: known_block_size = array<i32: 128, 1, 1>, nibble.blocks = 971 : i64
// CHECK: vector.load %arg0{{.*}} {alignment = 32 : i64} : memref<1986560xf16>, vector<16xf16>
// CHECK: gpu.barrier
// CHECK-NOT: gpu.shuffle
// CHECK-COUNT-7: max.NaN.f16x2
// CHECK-COUNT-3: fma.rz.f32
// CHECK-COUNT-24: set.gt.u32.f16x2
// CHECK: vector.store {{.*}} {alignment = 8 : i64} : memref<993280xi8>, vector<8xi8>
func.func private @norm_nvfp4(%x: tensor<970x2048xf16>, %g: tensor<2048xf16>, %s: tensor<f32>) -> tensor<970x2048x!nq.nvfp4> {
  %n = nq.norm rms %x scale(%g : tensor<2048xf16>) {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<970x2048xf16> -> tensor<970x2048xf16>
  %q = nq.quantize %n recipe("trt-dynamic") global(%s : tensor<f32>) : tensor<970x2048xf16> -> tensor<970x2048x!nq.nvfp4>
  return %q : tensor<970x2048x!nq.nvfp4>
}

// 72 threads have such a row: four rows on nine warps, parts of eight threads.
// CHECK-LABEL: gpu.func @norm_nvfp4_narrow(
// CHECK-SAME: workgroup(%{{.*}} : memref<36xf32
// CHECK-SAME: known_block_size = array<i32: 288, 1, 1>, nibble.blocks = 244 : i64
// CHECK-COUNT-3: gpu.shuffle
// CHECK-NOT: gpu.shuffle
// CHECK: gpu.barrier
// CHECK-NOT: gpu.barrier
// CHECK: gpu.return
func.func private @norm_nvfp4_narrow(%x: tensor<970x1152xf16>, %g: tensor<1152xf16>, %s: tensor<f32>) -> tensor<970x1152x!nq.nvfp4> {
  %n = nq.norm rms %x scale(%g : tensor<1152xf16>) {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<970x1152xf16> -> tensor<970x1152xf16>
  %q = nq.quantize %n recipe("trt-dynamic") global(%s : tensor<f32>) : tensor<970x1152xf16> -> tensor<970x1152x!nq.nvfp4>
  return %q : tensor<970x1152x!nq.nvfp4>
}

// Scales in tiles of 128x4: still one launch, whose threads find the place of
// each scale; three columns of padding are zero, rows of padding are not written.
// CHECK-LABEL: gpu.func @nvfp4_tiles(
// CHECK-NOT: nibble.workspace
// CHECK: vector.load %arg0{{.*}} vector<16xf16>
// CHECK: vector.store {{.*}} {alignment = 8 : i64} : memref<{{[0-9]+}}xi8>, vector<8xi8>
// CHECK-COUNT-4: memref.store {{.*}}xi8>
// CHECK-NOT: gpu.func @nvfp4_tiles_1
func.func private @nvfp4_tiles(%x: tensor<129x1104xf16>, %s: tensor<f32>) -> tensor<129x1104x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>> {
  %q = nq.quantize %x recipe("trt-dynamic") global(%s : tensor<f32>) : tensor<129x1104xf16> -> tensor<129x1104x!nq.nvfp4>
  %r = nq.reformat %q : tensor<129x1104x!nq.nvfp4> -> tensor<129x1104x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
  return %r : tensor<129x1104x!nq.nvfp4, #nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>>
}

// Behind a norm, too.
// CHECK-LABEL: gpu.func @norm_mxfp8_tiles(
// CHECK-NOT: nibble.workspace
// CHECK-NOT: gpu.func @norm_mxfp8_tiles_1
func.func private @norm_mxfp8_tiles(%x: tensor<1x970x2048xf16>, %g: tensor<2048xf16>) -> tensor<1x970x2048x!nq.mxfp8, #nq.layout<tiles [[], [], []] order [0, 1, 2] scales <tiles [[], [4, 32], [4]] order [0, 1, 4, 3, 2, 5]>>> {
  %n = nq.norm rms %x scale(%g : tensor<2048xf16>) {axis = 2 : i64, epsilon = 1.0e-6 : f64} : tensor<1x970x2048xf16> -> tensor<1x970x2048xf16>
  %q = nq.quantize %n recipe("modelopt") : tensor<1x970x2048xf16> -> tensor<1x970x2048x!nq.mxfp8>
  %r = nq.reformat %q : tensor<1x970x2048x!nq.mxfp8> -> tensor<1x970x2048x!nq.mxfp8, #nq.layout<tiles [[], [], []] order [0, 1, 2] scales <tiles [[], [4, 32], [4]] order [0, 1, 4, 3, 2, 5]>>>
  return %r : tensor<1x970x2048x!nq.mxfp8, #nq.layout<tiles [[], [], []] order [0, 1, 2] scales <tiles [[], [4, 32], [4]] order [0, 1, 4, 3, 2, 5]>>>
}

// Both halves of a pair are read once.
// CHECK-LABEL: gpu.func @rope(
// CHECK-COUNT-4: vector.load %{{.*}} {alignment = 16 : i64} : {{.*}} vector<8xf16>
// CHECK-COUNT-2: vector.store %{{.*}} {alignment = 16 : i64} : {{.*}} vector<8xf16>
// CHECK-NOT: vector.load
func.func private @rope(%x: tensor<1x8x970x128xf16>, %c: tensor<1x970x64xf16>, %d: tensor<1x970x64xf16>) -> tensor<1x8x970x128xf16> {
  %y = nq.rope %x, %c, %d : (tensor<1x8x970x128xf16>, tensor<1x970x64xf16>, tensor<1x970x64xf16>) -> tensor<1x8x970x128xf16>
  return %y : tensor<1x8x970x128xf16>
}

// Heads of a product that lie beside each other are read where they are; what
// is written is read before what says where to.
// CHECK-LABEL: gpu.func @rope_heads(
// CHECK-SAME: memref<248320xi16>) kernel attributes {known_block_size = array<i32: 256, 1, 1>
// CHECK-COUNT-4: vector.load {{.*}} {alignment = 8 : i64} : {{.*}} vector<4xi16>
// CHECK: memref.load %{{.*}} : memref<1xi64>
// CHECK: llvm.inline_asm {{.*}}mul.lo.u32
// CHECK: scf.if
// CHECK: vector.store
func.func private @rope_heads(%s: tensor<1x1x970x256xbf16>, %p: tensor<i64>, %x: tensor<1x50x1x256xbf16>, %c: tensor<1x50x128xbf16>, %d: tensor<1x50x128xbf16>) -> tensor<1x1x970x256xbf16> {
  %e = tensor.empty() : tensor<1x1x50x256xbf16>
  %t = linalg.transpose ins(%x : tensor<1x50x1x256xbf16>) outs(%e : tensor<1x1x50x256xbf16>) permutation = [0, 2, 1, 3]
  %y = nq.rope %t, %c, %d : (tensor<1x1x50x256xbf16>, tensor<1x50x128xbf16>, tensor<1x50x128xbf16>) -> tensor<1x1x50x256xbf16>
  %n = nq.update %s[%p] with %y axis 2 : tensor<1x1x970x256xbf16>, tensor<i64>, tensor<1x1x50x256xbf16>
  return %n : tensor<1x1x970x256xbf16>
}

// Short rows whose elements are not those of one thread: a warp does a row.
// CHECK-LABEL: gpu.func @norm_rope(
// CHECK-SAME: workgroup(%{{.*}} : memref<512xi8, {{.*}} %{{.*}} : memref<4096xi8
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>, nibble.blocks = 970 : i64
// CHECK-NOT: gpu.barrier
// CHECK: nvvm.bar.warp.sync
func.func private @norm_rope(%x: tensor<1x8x970x256xf16>, %g: tensor<256xf16>, %c: tensor<1x970x128xf16>, %d: tensor<1x970x128xf16>) -> tensor<1x8x970x256xf16> {
  %n = nq.norm rms %x scale(%g : tensor<256xf16>) {axis = 3 : i64, epsilon = 1.0e-6 : f64} : tensor<1x8x970x256xf16> -> tensor<1x8x970x256xf16>
  %y = nq.rope %n, %c, %d : (tensor<1x8x970x256xf16>, tensor<1x970x128xf16>, tensor<1x970x128xf16>) -> tensor<1x8x970x256xf16>
  return %y : tensor<1x8x970x256xf16>
}

// Tiles in shared memory, whose rows are an odd number of words.
// CHECK-LABEL: gpu.func @transpose(
// CHECK-SAME: memref<4224xf16
// CHECK: vector.load %{{.*}} {alignment = 16 : i64} : memref<1117440xf16>, vector<8xf16>
// CHECK: gpu.barrier
// CHECK: vector.store %{{.*}} : memref<1117440xf16>, vector<2xf16>
func.func private @transpose(%a: tensor<970x1152xf16>) -> tensor<1152x970xf16> {
  %e = tensor.empty() : tensor<1152x970xf16>
  %r = linalg.transpose ins(%a : tensor<970x1152xf16>) outs(%e : tensor<1152x970xf16>) permutation = [1, 0]
  return %r : tensor<1152x970xf16>
}

// Too few columns for the machine: parts, then their sum.
// CHECK-LABEL: gpu.func @columns(
// CHECK-SAME: memref<{{[0-9]+}}xi8> {llvm.noalias})
// CHECK-SAME: nibble.workspace
// CHECK-LABEL: gpu.func @columns_1(
func.func private @columns(%a: tensor<20000x64xf32>) -> tensor<64xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<64xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
  %r = linalg.reduce {arith.addf} ins(%a : tensor<20000x64xf32>) outs(%f : tensor<64xf32>) dimensions = [0]
  return %r : tensor<64xf32>
}

// The state and what becomes of it are one buffer.
// CHECK-LABEL: gpu.func @update(
// CHECK-SAME: %[[STATE:.*]]: memref<1048576xf16>, %{{.*}}: memref<1xi64> {llvm.noalias}, %{{.*}}: memref<1024xf16> {llvm.noalias}, %[[NEW:.*]]: memref<1048576xf16>)
// Positions that no index can be are outside.
// CHECK: arith.maxsi
// CHECK: arith.minsi
// CHECK: arith.cmpi ult
// CHECK: vector.store {{.*}}%[[NEW]]
// CHECK-NOT: %[[STATE]]
func.func private @update(%s: tensor<1x8x1024x128xf16>, %p: tensor<i64>, %r: tensor<1x8x1x128xf16>) -> tensor<1x8x1024x128xf16> {
  %n = nq.update %s[%p] with %r axis 2 : tensor<1x8x1024x128xf16>, tensor<i64>, tensor<1x8x1x128xf16>
  return %n : tensor<1x8x1024x128xf16>
}

// Nothing to do.
// CHECK-NOT: gpu.func @none
func.func private @none(%a: tensor<0x4xf32>) -> tensor<0x4xf32> {
  return %a : tensor<0x4xf32>
}
