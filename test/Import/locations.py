# Every op carries the name of its node; initializers are located at their own, nodes without a name at their first output.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after import --dump-stages %t.stages
# RUN: nibble-opt %t.stages/01-import.mlir --mlir-print-debuginfo --mlir-print-local-scope | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f32", [2, 8])
q = g.node("QuantizeLinear", ["x", g.init("s", np.float32(0.5)), g.init("zp", np.zeros(1, np.uint8), "e4m3")], name="/q")
x = g.node("DequantizeLinear", [q, "s"], name="/dq")
y = g.node("MatMul", [x, g.init("proj.weight", np.eye(8, dtype=np.float32))], name="/proj/MatMul")
g.node("Exp", [y], name="", outputs=["y"])
g.output("y", "f32", [2, 8])
g.save(sys.argv[1])

# CHECK: func.func @main(%{{.*}}: tensor<2x8xf32> {{{.*}}} loc("x"))
# CHECK: nq.quantize {{.*}} loc("/q")
# CHECK: nq.codes {{.*}} loc("/q")
# CHECK: nq.assemble {{.*}} loc("/dq")
# CHECK: nq.dequantize {{.*}} loc("/dq")
# CHECK: arith.constant {{.*}} : tensor<8x8xf32> loc("proj.weight")
# CHECK: nq.matmul {{.*}} loc("/proj/MatMul")
# CHECK: math.exp {{.*}} loc("y")
# CHECK: } -> tensor<2x8xf32> loc("y")
