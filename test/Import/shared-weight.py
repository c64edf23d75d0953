# A weight with several consumers (R21): the exporter casts to float16 for the first only, the others see float32. All of them
# multiply the same scaled tensor.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f16", [2, 32])
g.input("z", "f32", [2, 32])
q = g.init("w_f4", np.full(64, 0x21, np.uint8), "e2m1", [4, 32])
s = g.node("DequantizeLinear", [g.init("s8", np.full((4, 2), 0x38, np.uint8), "e4m3"), g.init("g", np.float32(0.25))])
w = g.node("DequantizeLinear", [q, s], axis=-1, block_size=16)
first = g.cast(g.node("Transpose", [w], perm=[1, 0]), "f16")
g.output(g.node("MatMul", ["x", first], name="first"), "f16", [2, 4])
g.output(g.node("MatMul", ["z", g.node("Transpose", [w], perm=[1, 0])], name="second"), "f32", [2, 4])
g.output(g.node("Gemm", ["z", w], name="third", transB=1), "f32", [2, 4])
g.save(sys.argv[1])

# CHECK: func.func @main(%[[X:[a-z0-9]+]]: tensor<2x32xf16> {{.*}}, %[[Z:[a-z0-9]+]]: tensor<2x32xf32>
# CHECK: %[[W:.*]] = nq.constant {{.*}} : tensor<4x32x!nq.nvfp4>
# CHECK-NOT: nq.constant
# CHECK-NOT: nq.dequantize
# CHECK-DAG: %[[A:.*]] = nq.matmul %[[X]], %[[W]] transpose_b : (tensor<2x32xf16>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
# CHECK-DAG: %[[B:.*]] = nq.matmul %[[Z]], %[[W]] transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf32>
# The second and the third are the same product.
# CHECK: return %[[A]], %[[B]], %[[B]]
