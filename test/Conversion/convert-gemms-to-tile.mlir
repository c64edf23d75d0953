// Products of a plan as tile.kernel: gate and up share A, scales per tensor go
// into one factor outside of the loop, what follows is the body of the epilogue.
// RUN: nibble-opt %s --convert-gemms-to-tile="schedule='128x64 s4 c1x1 m4 w2 p2'" | FileCheck %s
// RUN: nibble-opt %s --convert-gemms-to-tile | FileCheck %s --check-prefix=BEST

!act = !nq.scaled<f8E4M3FN, f16 per tensor>
#kmajor = #nq.layout<tiles [[], []] order [1, 0]>
!weight = tensor<256x512x!nq.scaled<f8E4M3FN, f16 per tensor>, #kmajor>

// CHECK-LABEL: module @tiles
// CHECK: tile.kernel @gated target "sm_90a" grid 24 (%[[A:.*]]: memref<300x256xf8E4M3FN>, %[[GATE:.*]]: memref<512x256xf8E4M3FN>, %[[UP:.*]]: memref<512x256xf8E4M3FN>
// BEST: tile.kernel @gated target "sm_90a"
// CHECK: tile.role @load warps 4 registers 40
// The scale of the result is that of the quantizer.
// CHECK: tile.once
// CHECK: memref.store
// CHECK: tile.for_tiles [3, 8] raster <m, group 4>
// CHECK: tile.load %[[A]]
// CHECK: tile.load %[[GATE]]
// CHECK: tile.load %[[UP]]
// CHECK: tile.role @multiply warps 8 registers 232
// CHECK: %[[SA:.*]] = arith.extf %{{.*}} : f16 to f32
// CHECK: %[[SB:.*]] = arith.extf %{{.*}} : f16 to f32
// CHECK: %[[SCALE:.*]] = arith.mulf %[[SA]], %[[SB]] : f32
// CHECK: tile.mma
// CHECK: tile.mma
// CHECK: tile.release
// CHECK: tile.epilogue %{{.*}}#0, %{{.*}}#1 at[{{.*}}] ({{.*}}: vector<2xf32>, {{.*}}: vector<2xf32>)
// CHECK: vector.broadcast %[[SCALE]]
// CHECK: tile.store %{{.*}} to %{{.*}} panel 64 buffers 2 : !tile.fragment<128x64xi8>, memref<300x512xi8>
#id = affine_map<(d0, d1) -> (d0, d1)>
func.func private @gated(%x: tensor<300x256x!act>, %gate: !weight, %up: !weight, %scale: tensor<f16>) -> tensor<300x512x!act> attributes {nibble.kernel} {
  %g = nq.matmul %x, %gate : (tensor<300x256x!act>, !weight) -> tensor<300x512xf16>
  %u = nq.matmul %x, %up : (tensor<300x256x!act>, !weight) -> tensor<300x512xf16>
  %empty = tensor.empty() : tensor<300x512xf16>
  %h = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%g, %u : tensor<300x512xf16>, tensor<300x512xf16>) outs(%empty : tensor<300x512xf16>) {
  ^bb0(%a: f16, %b: f16, %o: f16):
    %p = arith.mulf %a, %b : f16
    linalg.yield %p : f16
  } -> tensor<300x512xf16>
  %q = nq.quantize %h scale(%scale : tensor<f16>) : tensor<300x512xf16> -> tensor<300x512x!act>
  return %q : tensor<300x512x!act>
}

// A bias is one element per column, a residual lies as the result does.
// CHECK: tile.kernel @biased
// CHECK: tile.epilogue %{{[^ ]*}} at[{{.*}}] cols(%{{.*}} : memref<512xf16>) elements(%{{.*}} : memref<300x512xf16>)
#col = affine_map<(d0, d1) -> (d1)>
func.func private @biased(%x: tensor<300x128xf16>, %w: tensor<512x128xf16>, %bias: tensor<512xf16>, %r: tensor<300x512xf16>) -> tensor<300x512xf16> attributes {nibble.kernel} {
  %y = nq.matmul %x, %w transpose_b : (tensor<300x128xf16>, tensor<512x128xf16>) -> tensor<300x512xf16>
  %empty = tensor.empty() : tensor<300x512xf16>
  %h = linalg.generic {indexing_maps = [#id, #col, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%y, %bias, %r : tensor<300x512xf16>, tensor<512xf16>, tensor<300x512xf16>) outs(%empty : tensor<300x512xf16>) {
  ^bb0(%a: f16, %b: f16, %c: f16, %o: f16):
    %s = arith.addf %a, %b : f16
    %t = arith.addf %s, %c : f16
    linalg.yield %t : f16
  } -> tensor<300x512xf16>
  return %h : tensor<300x512xf16>
}
