# What an operator does not understand is refused and named, not ignored; notes that ONNX leaves to producers are warned of, and
# what cannot change a result passes.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s %t.onnx
# RUN: not nibble compile %t.onnx --stop-after import 2>&1 | FileCheck %s
import sys

import numpy as np

from onnxfile import Graph

g = Graph(20)
g.input("x", "f32", [2, 8])
g.init("low", np.float32(0))
g.init("ones", np.ones(8, np.float32))
g.init("k", np.asarray([1]))
g.node("Relu", ["x"], name="unknown", slope=0.1)
g.node("Clip", ["x", "low"], name="twice", min=0.5)
g.node("LayerNormalization", ["x", "ones"], name="precision", stash_type=10)
g.node("Neg", ["low"], name="folded", tries=3)
g.node("Transpose", ["x", "low"], name="input", perm=[1, 0])
g.node("Gelu", ["x"], name="note", approximate="tanh", __layer="mlp")
g.node("TopK", ["x", "k"], name="harmless", n=2, sorted=0)
g.output(g.node("Identity", ["x"], name="last"), "f32", [2, 8])
g.save(sys.argv[1])

# CHECK: error: node 'unknown' (Relu): attribute 'slope' would be ignored: the operator does not have it
# CHECK: error: node 'twice' (Clip): attribute 'min' would be ignored
# CHECK: error: node 'precision' (LayerNormalization): stash_type asks for intermediate results in float16
# CHECK: error: node 'folded' (Neg): attribute 'tries' would be ignored
# CHECK: error: node 'input' (Transpose): input 1 ('low') is not one that this operator has
# CHECK: warning: node 'note' (Gelu): attribute '__layer' is a private note of the model's producer
# CHECK-NOT: harmless
# CHECK-NOT: error
