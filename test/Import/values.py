# What constants mean, by numbers: the low nibble comes first (R12), code 8 is -0 (R13), an odd count leaves the last nibble unused
# (R18), and the global scale multiplies (R14).
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after canonical | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
q = g.init("q", np.asarray([0x21, 0xC8], np.uint8), "e2m1", [1, 4])
s = g.node("DequantizeLinear", [g.init("s", np.full((1, 1), 0x40, np.uint8), "e4m3"), g.init("g", np.float32(0.25))])
g.output(g.node("DequantizeLinear", [q, s], axis=-1, block_size=4), "f32", [1, 4])
odd = g.init("odd", np.asarray([0xF7, 0xA1], np.uint8), "i4", [3])
g.output(g.node("DequantizeLinear", [odd, g.init("two", np.float32(2))]), "f32", [3])
g.save(sys.argv[1])

# Codes 1, 2, 8, C times 2 times 0.25.
# CHECK-DAG: arith.constant dense<{{\[\[}}2.500000e-01, 5.000000e-01, -0.000000e+00, -1.000000e+00]]> : tensor<1x4xf32>
# CHECK-DAG: arith.constant dense<[1.400000e+01, -2.000000e+00, 2.000000e+00]> : tensor<3xf32>
