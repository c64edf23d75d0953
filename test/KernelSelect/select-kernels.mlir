// Each target gets the class that multiplies the model's formats, with bytes, flops, reasons and what was rejected.
// RUN: nibble-opt %s --select-kernels=target=sm_110a | FileCheck %s --check-prefixes=CHECK,THOR
// RUN: nibble-opt %s --select-kernels=target=sm_90a | FileCheck %s --check-prefixes=CHECK,HOPPER
// RUN: nibble-opt %s --select-kernels=target=cpu | FileCheck %s --check-prefixes=CHECK,CPU
// RUN: nibble-opt %s --select-kernels=target=sm_110a --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: nibble-opt %s --select-kernels=target=sm_90a --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=HOPPER-REMARK

// 2 m n k = 2 * 4 * 32 * 64. Codes, scales from the next multiple of 64 on, then the global scale: 128 + 64 + 4 and 1024 + 128 + 4.
// REMARK-DAG: select-kernels {{.*}}as_requested=true, bound=memory, bytes_read=1352, bytes_written=256, chosen=fp4,{{.*}}flops=16384,{{.*}}kernel=gemm.tcgen05.mxf4nvf4, layer=up,{{.*}}reason="the matrix unit multiplies these formats; not one kernel on tensor cores: A: scales of blocks are not stored in tiles of 128 x 4"{{.*}}rejected=[], requested=nvfp4,
// REMARK-DAG: select-kernels {{.*}}chosen=fp8,{{.*}}layer=f8,{{.*}}rejected="[{"kernel":"gemm.tcgen05.mxf4nvf4","reason":"operands are fp8, the instruction takes nvfp4 x nvfp4"}{{.*}}requested=fp8
// REMARK-DAG: select-kernels {{.*}}as_requested=true,{{.*}}chosen=f16,{{.*}}layer=w4a16,{{.*}}requested="f16 x nvfp4"
// HOPPER-REMARK-DAG: select-kernels {{.*}}as_requested=true,{{.*}}chosen=f32,{{.*}}kernel=gemm.simt.expand, layer=up,{{.*}}reason="no matrix instruction of this target multiplies nvfp4; the codes are exact in f32"

// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=gemm.stream.f16.expand, layer=w4a16,
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=gemm.wgmma.f16.expand, layer=rows,{{.*}}"kernel":"gemm.stream.f16.expand","reason":"M = 65 is larger than 64"
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=gemm.wgmma.f16.expand, layer=narrow,{{.*}}"kernel":"gemm.stream.f16.expand","reason":"K = 48 is not a multiple of 32"

// CHECK-LABEL: func.func @nvfp4
// THOR: nq.region "gemm"{{.*}} {nibble.kernel_class = "gemm.tcgen05.mxf4nvf4", nibble.math = "fp4"}
// HOPPER: nq.region "gemm"{{.*}} {nibble.kernel_class = "gemm.simt.expand", nibble.math = "f32"}
// CPU: nq.region "gemm"{{.*}} {nibble.kernel_class = "gemm.cpu", nibble.math = "f32"}
func.func @nvfp4(%x: tensor<4x64x!nq.nvfp4>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64x!nq.nvfp4>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64x!nq.nvfp4>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16> loc("up")
    nq.yield %0 : tensor<4x32xf16>
  } loc("up")
  return %y : tensor<4x32xf16>
}

// CHECK-LABEL: func.func @fp8
// THOR: nibble.kernel_class = "gemm.tcgen05.f8f6f4", nibble.math = "fp8"
// HOPPER: nibble.kernel_class = "gemm.wgmma.e4m3", nibble.math = "fp8"
func.func @fp8(%x: tensor<4x64x!nq.fp8>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<2048xi8>) scales(dense<0> : tensor<4xi8>) : tensor<32x64x!nq.fp8>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x64x!nq.fp8>, tensor<32x64x!nq.fp8>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64x!nq.fp8>, %b: tensor<32x64x!nq.fp8>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64x!nq.fp8>, tensor<32x64x!nq.fp8>) -> tensor<4x32xf16> loc("f8")
    nq.yield %0 : tensor<4x32xf16>
  } loc("f8")
  return %y : tensor<4x32xf16>
}

// Weights only: f16 activations, expanded on every GPU; nobody asked for more.
// CHECK-LABEL: func.func @w4a16
// THOR: nibble.kernel_class = "gemm.tcgen05.f16.expand", nibble.math = "f16"
// HOPPER: nibble.kernel_class = "gemm.stream.f16.expand", nibble.math = "f16"
func.func @w4a16(%x: tensor<4x64xf16>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x64xf16>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<4x32xf16> loc("w4a16")
    nq.yield %0 : tensor<4x32xf16>
  } loc("w4a16")
  return %y : tensor<4x32xf16>
}

// Weights are streamed for up to 64 rows, and expanded to operands of wgmma for more.
func.func @w4a16_rows(%x: tensor<65x64xf16>) -> tensor<65x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<1024xi8>) scales(dense<56> : tensor<128xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<65x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> {
  ^bb0(%a: tensor<65x64xf16>, %b: tensor<32x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<65x64xf16>, tensor<32x64x!nq.nvfp4>) -> tensor<65x32xf16> loc("rows")
    nq.yield %0 : tensor<65x32xf16>
  } loc("rows")
  return %y : tensor<65x32xf16>
}

func.func @w4a16_narrow(%x: tensor<4x48xf16>) -> tensor<4x32xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1> : tensor<768xi8>) scales(dense<56> : tensor<96xi8>) global(dense<0.5> : tensor<f32>) : tensor<32x48x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x48xf16>, tensor<32x48x!nq.nvfp4>) -> tensor<4x32xf16> {
  ^bb0(%a: tensor<4x48xf16>, %b: tensor<32x48x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x48xf16>, tensor<32x48x!nq.nvfp4>) -> tensor<4x32xf16> loc("narrow")
    nq.yield %0 : tensor<4x32xf16>
  } loc("narrow")
  return %y : tensor<4x32xf16>
}

// CHECK-LABEL: func.func @rows
// THOR: nq.region "rowwise"{{.*}} {nibble.kernel_class = "rows.simt", nibble.math = "f32"}
// CPU: nq.region "rowwise"{{.*}} {nibble.kernel_class = "loops.cpu", nibble.math = "f32"}
func.func @rows(%x: tensor<4x64xf16>) -> tensor<4x64xf16> attributes {nibble.entry} {
  %n = nq.region "rowwise"(%x) : (tensor<4x64xf16>) -> tensor<4x64xf16> {
  ^bb0(%a: tensor<4x64xf16>):
    %0 = nq.norm rms %a {axis = 1 : i64, epsilon = 1.0e-6} : tensor<4x64xf16> -> tensor<4x64xf16> loc("norm")
    nq.yield %0 : tensor<4x64xf16>
  } loc("norm")
  return %n : tensor<4x64xf16>
}

// A product that writes a row into a state moves the row, not the cache: 64 + 2 * 16 * 32 + 8 bytes read, 32 + 32 written.
// REMARK-DAG: select-kernels {{.*}}bytes_read=1096, bytes_written=64,{{.*}}layer=kv,
// The same for the update alone: 32 + 8 bytes read, 32 written.
// REMARK-DAG: select-kernels {{.*}}bytes_read=40, bytes_written=32,{{.*}}layer=alone,
nq.state @key : tensor<1x8x16xf16>
nq.state @value : tensor<1x8x16xf16>
// CHECK-LABEL: func.func @rows_of_a_state
func.func @rows_of_a_state(%x: tensor<1x1x32xf16>, %pos: tensor<1xi64>) -> tensor<1x1x16xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0> : tensor<16x32xf16>) : tensor<16x32xf16>
  %old = nq.state_read @key : tensor<1x8x16xf16>
  %other = nq.state_read @value : tensor<1x8x16xf16>
  %r:2 = nq.region "gemm"(%x, %w, %old, %pos) fused ["fuse-qkv"] : (tensor<1x1x32xf16>, tensor<16x32xf16>, tensor<1x8x16xf16>, tensor<1xi64>) -> (tensor<1x1x16xf16>, tensor<1x8x16xf16>) {
  ^bb0(%a: tensor<1x1x32xf16>, %b: tensor<16x32xf16>, %c: tensor<1x8x16xf16>, %p: tensor<1xi64>):
    %m = nq.matmul %a, %b transpose_b : (tensor<1x1x32xf16>, tensor<16x32xf16>) -> tensor<1x1x16xf16> loc("kv")
    %u = nq.update %c[%p] with %m axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16>
    nq.yield %m, %u : tensor<1x1x16xf16>, tensor<1x8x16xf16>
  } loc("kv")
  %s = nq.region "update"(%other, %pos, %r#0) : (tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16>) -> tensor<1x8x16xf16> {
  ^bb0(%c: tensor<1x8x16xf16>, %p: tensor<1xi64>, %m: tensor<1x1x16xf16>):
    %u = nq.update %c[%p] with %m axis 1 : tensor<1x8x16xf16>, tensor<1xi64>, tensor<1x1x16xf16> loc("alone")
    nq.yield %u : tensor<1x8x16xf16>
  } loc("alone")
  nq.state_write @key, %r#1 : tensor<1x8x16xf16>
  nq.state_write @value, %s : tensor<1x8x16xf16>
  return %r#0 : tensor<1x1x16xf16>
}

// FP8 with one scale is read by attention kernels as it is.
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=attention.wgmma, layer=codes,{{.*}}reason="scores stay on chip, softmax in f32; codes of queries and keys are multiplied as they are, those of values expanded, exactly, as weights have 16 bits"
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=attention.wgmma, layer=cached,{{.*}}reason="scores stay on chip, softmax in f32; codes of keys and values are expanded, exactly"{{.*}}requested="f16 x fp8"
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=attention.simt.f32, layer=mixed,{{.*}}"kernel":"attention.wgmma","reason":"queries and keys are of different types"
// HOPPER-REMARK-DAG: select-kernels {{.*}}kernel=attention.wgmma, layer=weights,{{.*}}reason="scores stay on chip, softmax in f32; codes of queries and keys are multiplied as they are; weights are divided by the sum of their row and rounded to codes, as the graph says, and multiplied with values as f16, both exactly; keys are read twice, first for that sum"{{.*}}requested="fp8, p fp8"
// CHECK-LABEL: func.func @attention
// HOPPER-COUNT-2: nibble.kernel_class = "attention.wgmma", nibble.math = "f16"
// HOPPER: nibble.kernel_class = "attention.simt.f32", nibble.math = "f32"
func.func @attention(%q: tensor<1x2x4x64xf16>, %c: tensor<1x2x4x64x!nq.fp8>) -> (tensor<1x2x4x64xf16>, tensor<1x2x4x64xf16>, tensor<1x2x4x64xf16>) attributes {nibble.entry} {
  %0 = nq.region "attention"(%c) : (tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> {
  ^bb0(%a: tensor<1x2x4x64x!nq.fp8>):
    %3 = nq.attention %a, %a, %a {scale = 1.0 : f64} : (tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> loc("codes")
    nq.yield %3 : tensor<1x2x4x64xf16>
  } loc("codes")
  %1 = nq.region "attention"(%q, %c) : (tensor<1x2x4x64xf16>, tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> {
  ^bb0(%a: tensor<1x2x4x64xf16>, %b: tensor<1x2x4x64x!nq.fp8>):
    %3 = nq.attention %a, %b, %b {scale = 1.0 : f64} : (tensor<1x2x4x64xf16>, tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> loc("cached")
    nq.yield %3 : tensor<1x2x4x64xf16>
  } loc("cached")
  %2 = nq.region "attention"(%q, %c) : (tensor<1x2x4x64xf16>, tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> {
  ^bb0(%a: tensor<1x2x4x64xf16>, %b: tensor<1x2x4x64x!nq.fp8>):
    %3 = nq.attention %b, %a, %a {scale = 1.0 : f64} : (tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64xf16>, tensor<1x2x4x64xf16>) -> tensor<1x2x4x64xf16> loc("mixed")
    nq.yield %3 : tensor<1x2x4x64xf16>
  } loc("mixed")
  return %0, %1, %2 : tensor<1x2x4x64xf16>, tensor<1x2x4x64xf16>, tensor<1x2x4x64xf16>
}

// Codes of weights and values are multiplied as they are, or values as f16.
// CHECK-LABEL: func.func @quantized_weights
// THOR: nibble.kernel_class = "attention.tcgen05", nibble.math = "fp8"
// HOPPER: nibble.kernel_class = "attention.wgmma", nibble.math = "f16"
func.func @quantized_weights(%c: tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> attributes {nibble.entry} {
  %0 = nq.region "attention"(%c) : (tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> {
  ^bb0(%a: tensor<1x2x4x64x!nq.fp8>):
    %3 = nq.attention %a, %a, %a {scale = 1.0 : f64, weight_type = f8E4M3FN, weight_scale = 0.01 : f32} : (tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64x!nq.fp8>, tensor<1x2x4x64x!nq.fp8>) -> tensor<1x2x4x64xf16> loc("weights")
    nq.yield %3 : tensor<1x2x4x64xf16>
  } loc("weights")
  return %0 : tensor<1x2x4x64xf16>
}
