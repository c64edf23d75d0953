# Casts around quantizers (R8): before the quantizer, behind the DequantizeLinear, and between that of the scales and that of the codes.
# The last one rounds the scales, so it stays part of the type; none of them hides the scaled tensor from the product.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f16", [2, 32])
half = g.const(np.float32(0.5))
codes, scales = g.node("TRT_FP4DynamicQuantize", [g.cast("x", "f32"), half], domain="trt", n=2, axis=-1, block_size=16)
x = g.node("DequantizeLinear", [codes, g.node("DequantizeLinear", [scales, half])], axis=-1, block_size=16)


def weight(name, convert):
    q = g.init(name, np.full(64, 0x21, np.uint8), "e2m1", [4, 32])
    s8 = g.init(f"{name}.scale", np.arange(0x38, 0x40, dtype=np.uint8).reshape(4, 2), "e4m3")
    s = g.node("DequantizeLinear", [s8, g.init(f"{name}.global", np.float32(0.1))])
    return convert(g.node("DequantizeLinear", [q, convert(s)], axis=-1, block_size=16))


a = g.node("MatMul", [g.cast(x, "f16"), g.cast(g.node("Transpose", [weight("a", lambda v: v)], perm=[1, 0]), "f16")])
b = g.node("Gemm", [g.cast(x, "f16"), weight("b", lambda v: g.cast(v, "f16"))], transB=1)
g.output(a, "f16", [2, 4])
g.output(b, "f16", [2, 4])
g.save(sys.argv[1])

# CHECK: %[[Q:.*]] = nq.quantize %{{.*}} recipe("trt-dynamic") {{.*}} -> tensor<2x32x!nq.nvfp4>
# CHECK: nq.matmul %[[Q]], %{{.*}} transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
# CHECK: %[[W:.*]] = nq.constant {{.*}} : tensor<4x32x!nq.scaled<f4E2M1FN, f16 per 1x16>>
# CHECK: nq.matmul %[[Q]], %[[W]] transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.scaled<f4E2M1FN, f16 per 1x16>>) -> tensor<2x4xf16>
