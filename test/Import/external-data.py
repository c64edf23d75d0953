# Weights beside the model (R20): read where they lie, and refused by tensor and key where the description cannot be followed.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t
# RUN: %python %s %t
# RUN: nibble compile %t/good.onnx --stop-after import | FileCheck %s
# RUN: not nibble compile %t/bad.onnx --stop-after import 2>&1 | FileCheck %s --check-prefix=BAD
import sys

import numpy as np
import onnx

from onnxfile import Graph

BAD = [("unknown", "key", "compression", "zstd"), ("base", "key", "basepath", "/data"), ("twice", "key", "offset", "0"),
       ("sum", "key", "checksum", "0" * 40), ("outside", "location", "location", "../w.bin"), ("short", "length", "length", "12")]


def model(names):
    g = Graph(20)
    g.input("x", "f32", [256])
    for name in names:
        w = g.init(name, np.arange(256, dtype=np.float32))
        g.output(g.node("Mul", ["x", w], name=f"layers.{name}"), "f32", [256])
    return g


model(["w"]).save(f"{sys.argv[1]}/good.onnx", "always")
path = model([name for name, *_ in BAD]).save(f"{sys.argv[1]}/bad.onnx", "always")
m = onnx.load(path, load_external_data=False)
for tensor, (_, replaced, key, value) in zip(m.graph.initializer, BAD):
    kept = [(e.key, e.value) for e in tensor.external_data if e.key != replaced]
    del tensor.external_data[:]
    for k, v in [*kept, (key, value)]:
        tensor.external_data.add(key=k, value=v)
path.write_bytes(m.SerializeToString())

# CHECK: arith.constant dense<"0x000000000000803F0000004000004040
# BAD: error: node 'layers.unknown' (Mul): initializer 'unknown': external data key 'compression' is not one that ONNX defines
# BAD: error: node 'layers.base' (Mul): initializer 'base': external data key 'basepath' is '/data', but data files are only read in the model's own folder
# BAD: error: node 'layers.twice' (Mul): initializer 'twice': external data key 'offset' is given twice
# BAD: error: node 'layers.sum' (Mul): initializer 'sum': external data file 'bad.onnx_data' has SHA1 {{[0-9a-f]+}} but the model wants 0000
# BAD: error: node 'layers.outside' (Mul): initializer 'outside': external data location '../w.bin' leaves the model's folder
# BAD: error: node 'layers.short' (Mul): initializer 'short': external data length is 12 bytes but type and shape need 1024
