# One binding fixes a symbol wherever it stands; what stays open is asked for, with the option to complete.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: nibble compile %t.onnx --stop-after import --shape seq=5 | FileCheck %s
# RUN: nibble compile %t.onnx --stop-after import --shape x=1x5x8 | FileCheck %s
# RUN: not nibble compile %t.onnx --stop-after import 2>&1 | FileCheck %s --check-prefix=OPEN
# RUN: not nibble compile %t.onnx --stop-after import --shape x=1x5x8 --shape mask=1x6 2>&1 | FileCheck %s --check-prefix=CONTRADICTION
# RUN: not nibble compile %t.onnx --stop-after import --shape seq=5 --shape batch=2 2>&1 | FileCheck %s --check-prefix=UNKNOWN
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f32", [1, "seq", 8])
g.input("mask", "f32", [1, "seq"])
rows = g.node("Gather", [g.node("Shape", ["x"]), g.init("one", np.int64(1))], axis=0)
rows = g.node("Unsqueeze", [rows, g.init("zero", np.zeros(1, np.int64))])
target = g.node("Concat", [rows, g.init("minus", np.full(1, -1, np.int64))], axis=0)
m = g.node("Reshape", ["mask", target])
g.node("Mul", [g.node("Reshape", ["x", target]), m], outputs=["y"])
g.output("y", "f32", ["seq", 8])
g.save(sys.argv[1])

# CHECK: func.func @main(%{{.*}}: tensor<1x5x8xf32> {{.*}}, %{{.*}}: tensor<1x5xf32> {{.*}}) -> (tensor<5x8xf32>
# CHECK-NOT: i64
# OPEN: error: input 'x': dimension 1 ('seq') is not fixed; give it with --shape x=1x?x8
# OPEN: error: input 'mask': dimension 1 ('seq') is not fixed; give it with --shape mask=1x?
# CONTRADICTION: error: dimension 'seq' is 5 in 'x' but 6 in 'mask'; give shapes that agree
# UNKNOWN: error: shape given for 'batch', which is neither an input nor a symbolic dimension of the model
