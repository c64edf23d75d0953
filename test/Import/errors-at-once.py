# One run reports everything that is wrong, each with the node's name, and nothing about nodes that only depend on a wrong one.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: not nibble compile %t.onnx --stop-after import 2>&1 | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f32", [2, 8])
a = g.node("Frobnicate", ["x"], name="layers.0/frob")
g.node("Relu", [a], name="layers.0/after", outputs=["y"])
g.output("y", "f32", [2, 8])
b = g.node("AttentionPlugin", ["x"], name="layers.1/attn", domain="trt_edgellm")
c = g.node("Transpose", ["x"], name="layers.2/transpose", perm=[0, 5])
q = g.node("QuantizeLinear", ["x", g.init("s", np.float32(np.nan))], name="layers.3/q", output_dtype=17)
d = g.node("MatMul", ["x", g.init("w", np.zeros((7, 4), np.float32))], name="layers.4/proj")
g.save(sys.argv[1])

# CHECK-NOT: layers.0/after
# CHECK: error: node 'layers.0/frob' (Frobnicate): operator is not supported
# CHECK: error: node 'layers.1/attn' (trt_edgellm::AttentionPlugin): operator is not supported; plugins of TensorRT-Edge-LLM
# CHECK: error: node 'layers.2/transpose' (Transpose): axis 5 is outside of a tensor of rank 2
# CHECK: error: node 'layers.3/q' (QuantizeLinear): scale at [] is NaN
# CHECK: error: node 'layers.4/proj' (MatMul): shapes [2, 8] and [7, 4] do not multiply
# CHECK-NOT: error
