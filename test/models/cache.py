#!/usr/bin/env python3
# Writes one decoding step of a transformer with a key/value cache of fixed size, in the ways exporters write into it.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""cache.py --write scatter --layers 2 --length 32 -o step.onnx

Inputs: x [1,1,width], position [1] (int64), past_key_values.N.key and .value [1,heads,length,size]; outputs: y and
present.N.key, present.N.value of the same shapes. Slots after `position` are masked out.

--write  where          Where(arange == position, row, past)                (static caches written as masks)
         elements       ScatterElements along the axis of positions         (index_copy_)
         nd             ScatterND with index tuples                          (index_put_)
         tensor         TensorScatter, opset 24                              (the operator made for it)
         concat         Concat: the cache grows, which no engine can keep    (a dynamic cache)"""
import argparse

import numpy as np

from onnxfile import Graph

WRITES = ("where", "elements", "nd", "tensor", "concat")


class Step:
    def __init__(self, write, layers, length, heads, size, seed):
        self.write, self.layers, self.length, self.heads, self.size = write, layers, length, heads, size
        self.width, self.rng = heads * size, np.random.default_rng(seed)
        self.g = Graph(24 if write == "tensor" else 20, ir=11 if write == "tensor" else 10)

    def i64(self, *values):
        return self.g.const(np.asarray(values, np.int64))

    def linear(self, x, name):
        w = self.rng.normal(0, self.width**-0.5, (self.width, self.width)).astype(np.float32)
        return self.g.node("MatMul", [x, self.g.init(f"{name}.weight", w)])

    def heads_of(self, x):
        y = self.g.node("Reshape", [x, self.i64(1, 1, self.heads, self.size)])
        return self.g.node("Transpose", [y], perm=[0, 2, 1, 3])

    def put(self, past, row):
        """The cache with `row` [1,heads,1,size] at the position."""
        g, h, d = self.g, self.heads, self.size
        if self.write == "where":
            slots = g.const(np.arange(self.length, dtype=np.int64).reshape(1, 1, -1, 1))
            return g.node("Where", [g.node("Equal", [slots, "position"]), row, past])
        if self.write == "elements":
            index = g.node("Expand", [g.node("Reshape", ["position", self.i64(1, 1, 1, 1)]), self.i64(1, h, 1, d)])
            return g.node("ScatterElements", [past, index, row], axis=2)
        if self.write == "nd":
            batch_head = g.const(np.stack([np.zeros(h), np.arange(h)], -1).astype(np.int64).reshape(1, h, 1, 2))
            slot = g.node("Expand", [g.node("Reshape", ["position", self.i64(1, 1, 1, 1)]), self.i64(1, h, 1, 1)])
            return g.node("ScatterND", [past, g.node("Concat", [batch_head, slot], axis=-1), row])
        if self.write == "tensor":
            return g.node("TensorScatter", [past, row, "position"], axis=2)
        return g.node("Concat", [past, row], axis=2)

    def mask(self):
        """[1,1,1,T]: 0 up to the position, -inf behind it."""
        g, total = self.g, self.length + (self.write == "concat")
        slots = g.const(np.arange(total, dtype=np.int64).reshape(1, 1, 1, -1))
        hidden = g.node("Greater", [slots, "position"])
        return g.node("Where", [hidden, g.const(np.float32(-np.inf)), g.const(np.float32(0))])

    def attention(self, x, i, mask):
        g = self.g
        g.scope = f"/layers.{i}/self_attn"
        q, k, v = (self.heads_of(self.linear(x, f"layers.{i}.{p}")) for p in ("q", "k", "v"))
        keys, values = self.put(f"past_key_values.{i}.key", k), self.put(f"past_key_values.{i}.value", v)
        g.node("Identity", [keys], outputs=[f"present.{i}.key"])
        g.node("Identity", [values], outputs=[f"present.{i}.value"])
        s = g.node("MatMul", [q, g.node("Transpose", [keys], perm=[0, 1, 3, 2])])
        s = g.node("Add", [g.node("Mul", [s, g.const(np.float32(self.size**-0.5))]), mask])
        y = g.node("MatMul", [g.node("Softmax", [s], axis=-1), values])
        y = g.node("Reshape", [g.node("Transpose", [y], perm=[0, 2, 1, 3]), self.i64(1, 1, self.width)])
        return g.node("Add", [x, self.linear(y, f"layers.{i}.o")])

    def build(self):
        g, grown = self.g, self.length + (self.write == "concat")
        g.input("x", "f32", [1, 1, self.width])
        g.input("position", "i64", [1])
        for i in range(self.layers):
            for part in ("key", "value"):
                g.input(f"past_key_values.{i}.{part}", "f32", [1, self.heads, self.length, self.size])
        x, mask = "x", self.mask()
        for i in range(self.layers):
            x = self.attention(x, i, mask)
        g.scope = ""
        g.node("Identity", [x], outputs=["y"])
        g.output("y", "f32", [1, 1, self.width])
        for i in range(self.layers):
            for part in ("key", "value"):
                g.output(f"present.{i}.{part}", "f32", [1, self.heads, grown, self.size])
        return g


def write_step(path, write="where", layers=2, length=32, heads=2, size=16, seed=1):
    return Step(write, layers, length, heads, size, seed).build().save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", choices=WRITES, default="where")
    for name, default in (("layers", 2), ("length", 32), ("heads", 2), ("size", 16), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    write_step(a.output, a.write, a.layers, a.length, a.heads, a.size, a.seed)


if __name__ == "__main__":
    main()
