# The NVFP4 linear of ModelOpt: two nested DequantizeLinear per operand, Transpose and Cast before the MatMul. Import writes
# down what the file says, codes included (R8, R10, R16); canonical makes one product of scaled tensors of it (R6, R9).
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after import | FileCheck %s --check-prefix=IMPORT
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s --check-prefix=CANONICAL
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f16", [2, 32])
codes, scales = g.node("TRT_FP4DynamicQuantize", ["x", g.const(np.float32(0.5))], domain="trt", n=2, axis=-1, block_size=16,
                       scale_type=17)
s = g.node("DequantizeLinear", [scales, g.const(np.full(1, 0.5, np.float32))])  # a copy, of another shape (R4, R6)
xq = g.node("DequantizeLinear", [codes, s], axis=-1, block_size=16)
q = g.init("w_f4", np.full(64, 0x82, np.uint8), "e2m1", [4, 32], in_inputs=True)
s8 = g.init("w_f8_scale", np.full((4, 2), 0x38, np.uint8), "e4m3", in_inputs=True)
s = g.node("DequantizeLinear", [s8, g.init("w_f32_scale", np.full(1, 0.25, np.float32), in_inputs=True)])
w = g.node("Transpose", [g.node("DequantizeLinear", [q, s], axis=-1, block_size=16)], perm=[1, 0])
g.node("MatMul", [g.cast(xq, "f16"), g.cast(w, "f16")], outputs=["y"])
g.output("y", "f16", [2, 4])
g.save(sys.argv[1])

# IMPORT: func.func @main(%[[X:[a-z0-9]+]]: tensor<2x32xf16> {{.*}}) -> (tensor<2x4xf16>
# IMPORT: %[[Q:.*]] = nq.quantize %[[X]] recipe("trt-dynamic")
# IMPORT-DAG: %[[SX:.*]] = nq.scales %[[Q]] : tensor<2x32x!nq.nvfp4> -> tensor<2x2xf8E4M3FN>
# IMPORT-DAG: %[[CX:.*]] = nq.codes %[[Q]] : tensor<2x32x!nq.nvfp4> -> tensor<2x32xf4E2M1FN>
# IMPORT: nq.assemble %[[SX]] scales({{.*}}) : tensor<2x2xf8E4M3FN> -> tensor<2x2x!nq.fp8>
# IMPORT: nq.assemble %[[CX]] scales({{.*}}) : tensor<2x32xf4E2M1FN> -> tensor<2x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>
# IMPORT: %[[SW:.*]] = arith.constant dense<1.000000e+00> : tensor<4x2xf8E4M3FN>
# IMPORT: nq.assemble %[[SW]] scales(%{{.*}} : tensor<f32>) : tensor<4x2xf8E4M3FN> -> tensor<4x2x!nq.fp8>
# Codes 2 and 8 (-0) in turns, N rows of K, as in the file.
# IMPORT: %[[CW:.*]] = arith.constant dense<"0x{{(0208)+}}"> : tensor<4x32xf4E2M1FN>
# IMPORT: nq.assemble %[[CW]] scales({{.*}}) : tensor<4x32xf4E2M1FN> -> tensor<4x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>
# IMPORT: nq.matmul

# CANONICAL-DAG: %[[Q:.*]] = nq.quantize %{{.*}} recipe("trt-dynamic")
# CANONICAL-DAG: %[[W:.*]] = nq.constant {{.*}} global(dense<2.500000e-01> : tensor<f32>) : tensor<4x32x!nq.nvfp4>
# CANONICAL: %[[Y:.*]] = nq.matmul %[[Q]], %[[W]] transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<4x32x!nq.nvfp4>) -> tensor<2x4xf16>
# CANONICAL-NEXT: return %[[Y]]
