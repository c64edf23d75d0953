# Every layer has a format of its own (R22), and what one layer is does not depend on its neighbours: the raw weight of the
# last layer is plain NVFP4 (amax / 2688) though FP8 activations occur in the model.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s
import sys

import numpy as np

from onnxfile import ELEM, Graph

g = Graph(21)
g.input("x", "f32", [2, 32])
ones = lambda *dims: np.ones(dims, np.float32)
codes = lambda name, elem, *dims: g.init(name, np.full(dims, 0x11, np.uint8), elem, [32, 32])
y = g.node("MatMul", ["x", g.init("dense", ones(32, 32))], name="dense")
s = g.init("s", np.float32(0.5))
y = g.node("DequantizeLinear", [g.node("QuantizeLinear", [y, s], output_dtype=ELEM["e4m3"]), s])
y = g.node("MatMul", [y, g.node("DequantizeLinear", [codes("w8", "e4m3", 32, 32), s])], name="fp8")
w = g.node("DequantizeLinear", [codes("w4", "i4", 512), g.init("s4", ones(2, 32))], axis=0, block_size=16)
y = g.node("MatMul", [y, w], name="int4")
w = g.node("DequantizeLinear", [codes("wx", "e4m3", 32, 32), g.init("sx", np.full((32, 1), 127, np.uint8), "e8m0")], axis=1,
           block_size=32, output_dtype=ELEM["f32"])
y = g.node("Gemm", [y, w], name="mx", transB=1)
w = g.node("TRT_FP4QDQ", [g.init("raw", np.full((32, 32), 448, np.float32))], domain="trt", block_size=16)
g.node("Gemm", [y, w], name="nvfp4", transB=1, outputs=["y"])
g.output("y", "f32", [2, 32])
g.save(sys.argv[1])

# CHECK: %[[A:.*]] = nq.matmul %{{.*}} : (tensor<2x32xf32>, tensor<32x32xf32>) -> tensor<2x32xf32>
# CHECK: %[[Q:.*]] = nq.quantize %[[A]] scale
# CHECK: %[[B:.*]] = nq.matmul %[[Q]], %{{.*}} : (tensor<2x32x!nq.fp8>, tensor<32x32x!nq.fp8>) -> tensor<2x32xf32>
# CHECK: %[[C:.*]] = nq.matmul %[[B]], %{{.*}} : (tensor<2x32xf32>, tensor<32x32x!nq.scaled<si4, f32 per 16x1>>) -> tensor<2x32xf32>
# CHECK: %[[D:.*]] = nq.matmul %[[C]], %{{.*}} transpose_b : (tensor<2x32xf32>, tensor<32x32x!nq.mxfp8>) -> tensor<2x32xf32>
# CHECK: %[[R:.*]] = nq.constant {{.*}} global(dense<0.166666672> : tensor<f32>) : tensor<32x32x!nq.nvfp4>
# CHECK: nq.matmul %[[D]], %[[R]] transpose_b : (tensor<2x32xf32>, tensor<32x32x!nq.nvfp4>) -> tensor<2x32xf32>
