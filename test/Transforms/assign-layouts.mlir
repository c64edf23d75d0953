// Each tensor gets one layout: producers store it, loads undo it, constants are packed; what is left is a region with its reason.
// RUN: nibble-opt %s --assign-layouts=target=sm_110a --remarks-filter=nibble --remark-format=emitRemark 2>&1 \
// RUN:   | FileCheck %s -D'$PITCH=nq.layout<tiles [[], [8]] order [0, 1, 2]>' -D'$TILES=nq.layout<tiles [[], []] order [0, 1] scales <tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]>>'

// Bytes read and written: 4 x 588 and 4 x 592 elements of two bytes.
// CHECK-DAG: remark: [Missed] assign-layouts {{.*}}bytes=9440, chosen="reformat at run time"{{.*}}reason="inputs of the graph are row-major"
// CHECK-DAG: remark: [Missed] assign-layouts {{.*}}bytes=9440, chosen="reformat at run time"{{.*}}reason="its readers want different layouts"
// CHECK-DAG: remark: [Missed] assign-layouts {{.*}}bytes=704, chosen="reformat at run time"{{.*}}reason="its rows are written in place into a state, which is row-major"
// CHECK-DAG: remark: [Passed] assign-layouts {{.*}}bytes=4736, {{.*}}reason="its reader wants it so; the store of the producer computes the addresses"
// CHECK-DAG: remark: [Passed] assign-layouts {{.*}}bytes=75776, {{.*}}reason="constants are packed at compile time"

// K = 588 in f16: rows of 1176 bytes are padded to 592 elements, by the store of the producer.
// CHECK-LABEL: func.func @stored
// CHECK: %[[W:.*]] = nq.constant {{.*}} : tensor<64x588xf16, #[[$PITCH]]>
// CHECK: %[[N:.*]] = nq.region "rowwise"(%{{.*}}) : (tensor<4x588xf16>) -> tensor<4x588xf16, #[[$PITCH]]>
// CHECK: %[[S:.*]] = nq.reformat %{{.*}} {reason = "absorbed by store"} : tensor<4x588xf16> -> tensor<4x588xf16, #[[$PITCH]]>
// CHECK: nq.yield %[[S]]
// CHECK: nq.region "gemm"(%[[N]], %[[W]])
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<4x588xf16, #[[$PITCH]]>, %{{.*}}: tensor<64x588xf16, #[[$PITCH]]>)
func.func @stored(%x: tensor<4x588xf16>) -> tensor<4x64xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<64x588xf16>) : tensor<64x588xf16>
  %n = nq.region "rowwise"(%x) : (tensor<4x588xf16>) -> tensor<4x588xf16> {
  ^bb0(%a: tensor<4x588xf16>):
    %0 = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x588xf16> -> tensor<4x588xf16>
    nq.yield %0 : tensor<4x588xf16>
  }
  %y = nq.region "gemm"(%n, %w) : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x588xf16>, %b: tensor<64x588xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16>
    nq.yield %0 : tensor<4x64xf16>
  }
  return %y : tensor<4x64xf16>
}

// Loops read what a product wants in their own way: no reformat.
// CHECK-LABEL: func.func @loaded
// CHECK-NOT: nq.region "reformat"
// CHECK: nq.region "elementwise"(%{{.*}}) : (tensor<4x588xf16, #[[$PITCH]]>)
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<4x588xf16, #[[$PITCH]]>):
// CHECK-NEXT: nq.reformat %[[A]] {reason = "absorbed by load"} : tensor<4x588xf16, #[[$PITCH]]> -> tensor<4x588xf16>
func.func @loaded(%x: tensor<4x588xf16>) -> (tensor<4x64xf16>, tensor<4x588xf32>) attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<64x588xf16>) : tensor<64x588xf16>
  %n = nq.region "rowwise"(%x) : (tensor<4x588xf16>) -> tensor<4x588xf16> {
  ^bb0(%a: tensor<4x588xf16>):
    %0 = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x588xf16> -> tensor<4x588xf16>
    nq.yield %0 : tensor<4x588xf16>
  }
  %y = nq.region "gemm"(%n, %w) : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x588xf16>, %b: tensor<64x588xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16>
    nq.yield %0 : tensor<4x64xf16>
  }
  %z = nq.region "elementwise"(%n) : (tensor<4x588xf16>) -> tensor<4x588xf32> {
  ^bb0(%a: tensor<4x588xf16>):
    %0 = nq.cast %a : tensor<4x588xf16> -> tensor<4x588xf32>
    nq.yield %0 : tensor<4x588xf32>
  }
  return %y, %z : tensor<4x64xf16>, tensor<4x588xf32>
}

// Block scales come in 128x4 tiles; the weights are packed, the quantizer stores them so.
// CHECK-LABEL: func.func @scales
// CHECK: nq.constant {{.*}} : tensor<32x64x!nq.nvfp4, #[[$TILES]]>
// CHECK: nq.region "quantize"({{.*}}) : (tensor<4x64xf16>, tensor<f32>) -> tensor<4x64x!nq.nvfp4, #[[$TILES]]>
// CHECK: nq.region "gemm"({{.*}}) : (tensor<4x64x!nq.nvfp4, #[[$TILES]]>, tensor<32x64x!nq.nvfp4, #[[$TILES]]>) -> tensor<4x32xf16>
func.func @scales(%x: tensor<4x64xf16>, %g: tensor<f32>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %q = nq.region "quantize"(%x, %g) : (tensor<4x64xf16>, tensor<f32>) -> tensor<4x64x!nq.nvfp4> {
  ^bb0(%a: tensor<4x64xf16>, %b: tensor<f32>):
    %0 = nq.quantize %a recipe("trt-dynamic") global(%b : tensor<f32>) : tensor<4x64xf16> -> tensor<4x64x!nq.nvfp4>
    nq.yield %0 : tensor<4x64x!nq.nvfp4>
  }
  %y = nq.region "gemm"(%q, %w) : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64x!nq.nvfp4>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16>
    nq.yield %0 : tensor<4x32xf16>
  }
  return %y : tensor<4x32xf16>
}

// Inputs of the graph come as they come.
// CHECK-LABEL: func.func @input
// CHECK: nq.region "reformat"(%{{.*}}) : (tensor<4x588xf16>) -> tensor<4x588xf16, #[[$PITCH]]>
// CHECK: nq.reformat {{.*}} {reason = "inputs of the graph are row-major"}
func.func @input(%x: tensor<4x588xf16>) -> tensor<4x64xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<64x588xf16>) : tensor<64x588xf16>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x588xf16>, %b: tensor<64x588xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16>
    nq.yield %0 : tensor<4x64xf16>
  }
  return %y : tensor<4x64xf16>
}

// A product and the output want different layouts: one reformat, once.
// CHECK-LABEL: func.func @disagree
// CHECK: nq.region "rowwise"
// CHECK-COUNT-1: nq.region "reformat"
// CHECK-NOT: nq.region "reformat"
// CHECK: return
func.func @disagree(%x: tensor<4x588xf16>) -> (tensor<4x64xf16>, tensor<4x588xf16>) attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<64x588xf16>) : tensor<64x588xf16>
  %n = nq.region "rowwise"(%x) : (tensor<4x588xf16>) -> tensor<4x588xf16> {
  ^bb0(%a: tensor<4x588xf16>):
    %0 = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x588xf16> -> tensor<4x588xf16>
    nq.yield %0 : tensor<4x588xf16>
  }
  %y = nq.region "gemm"(%n, %w) : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x588xf16>, %b: tensor<64x588xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x588xf16>, tensor<64x588xf16>) -> tensor<4x64xf16>
    nq.yield %0 : tensor<4x64xf16>
  }
  return %y, %n : tensor<4x64xf16>, tensor<4x588xf16>
}

// A cache with heads of 20 elements, 40 bytes: attention wants 24, but its rows are written in place, in the order of the state.
// CHECK-LABEL: func.func @step
// CHECK: %[[R:.*]]:2 = nq.region "gemm"({{.*}}) -> (tensor<1x1x20xf16>, tensor<1x1x8x20xf16>)
// CHECK: %[[P:.*]] = nq.region "reformat"(%[[R]]#1)
// CHECK: nq.region "attention"(%{{.*}}, %[[P]], %[[P]])
// CHECK: nq.state_write @cache, %[[R]]#1
nq.state @cache : tensor<1x1x8x20xf16>
func.func @step(%x: tensor<1x1x64xf16>, %q: tensor<1x1x1x24xf16>, %pos: tensor<1xi64>) -> (tensor<1x1x20xf16>, tensor<1x1x1x20xf16>) attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<20x64xf16>) : tensor<20x64xf16>
  %old = nq.state_read @cache : tensor<1x1x8x20xf16>
  %r:2 = nq.region "gemm"(%x, %w, %old, %pos) : (tensor<1x1x64xf16>, tensor<20x64xf16>, tensor<1x1x8x20xf16>, tensor<1xi64>) -> (tensor<1x1x20xf16>, tensor<1x1x8x20xf16>) {
  ^bb0(%a: tensor<1x1x64xf16>, %b: tensor<20x64xf16>, %c: tensor<1x1x8x20xf16>, %p: tensor<1xi64>):
    %m = nq.matmul %a, %b transpose_b : (tensor<1x1x64xf16>, tensor<20x64xf16>) -> tensor<1x1x20xf16>
    %e = tensor.expand_shape %m [[0], [1, 2], [3]] output_shape [1, 1, 1, 20] : tensor<1x1x20xf16> into tensor<1x1x1x20xf16>
    %u = nq.update %c[%p] with %e axis 2 : tensor<1x1x8x20xf16>, tensor<1xi64>, tensor<1x1x1x20xf16>
    nq.yield %m, %u : tensor<1x1x20xf16>, tensor<1x1x8x20xf16>
  }
  %qs = tensor.extract_slice %q[0, 0, 0, 0] [1, 1, 1, 20] [1, 1, 1, 1] : tensor<1x1x1x24xf16> to tensor<1x1x1x20xf16>
  %y = nq.region "attention"(%qs, %r#1, %r#1) : (tensor<1x1x1x20xf16>, tensor<1x1x8x20xf16>, tensor<1x1x8x20xf16>) -> tensor<1x1x1x20xf16> {
  ^bb0(%a: tensor<1x1x1x20xf16>, %b: tensor<1x1x8x20xf16>, %c: tensor<1x1x8x20xf16>):
    %0 = nq.attention %a, %b, %c {scale = 0.25 : f64} : (tensor<1x1x1x20xf16>, tensor<1x1x8x20xf16>, tensor<1x1x8x20xf16>) -> tensor<1x1x1x20xf16>
    nq.yield %0 : tensor<1x1x1x20xf16>
  }
  nq.state_write @cache, %r#1 : tensor<1x1x8x20xf16>
  return %r#0, %y : tensor<1x1x20xf16>, tensor<1x1x1x20xf16>
}
