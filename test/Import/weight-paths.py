# The ways a weight reaches its product (R9): Transpose and MatMul with the Cast before or behind the Transpose, Gemm(transB), and
# data that the exporter transposed itself. No way costs a Transpose or a Cast. Scales differ, so that the layers stay apart.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s --implicit-check-not=transpose --implicit-check-not=nq.cast
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f16", [2, 32])
turn = lambda w: g.node("Transpose", [w], perm=[1, 0])


def weight(name, scale, n, k):
    q = g.init(name, np.full((n, k), 0x38, np.uint8), "e4m3")
    return g.node("DequantizeLinear", [q, g.init(f"{name}.scale", np.float32(scale))], name=f"{name}.dq")


def linear(name, w, op="MatMul", **attributes):
    g.output(g.node(op, ["x", w], name=name, **attributes), "f16", [2, 4])


linear("cast-behind", g.cast(turn(weight("a", 1, 4, 32)), "f16"))
linear("cast-before", turn(g.cast(weight("b", 2, 4, 32), "f16")))
linear("gemm", g.cast(weight("c", 4, 4, 32), "f16"), "Gemm", transB=1)
linear("folded", g.cast(weight("d", 8, 32, 4), "f16"))
g.save(sys.argv[1])

# CHECK: func.func @main(%[[X:[a-z0-9]+]]: tensor<2x32xf16>
# CHECK: nq.matmul %[[X]], %{{.*}} transpose_b : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16>
# CHECK: nq.matmul %[[X]], %{{.*}} transpose_b : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16>
# CHECK: nq.matmul %[[X]], %{{.*}} transpose_b : (tensor<2x32xf16>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf16>
# CHECK: nq.matmul %[[X]], %{{.*}} : (tensor<2x32xf16>, tensor<32x4x!nq.fp8>) -> tensor<2x4xf16>
