#!/usr/bin/env python3
# Writes attention on a cache of which the beginning is filled, in the ways exporters say so.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""filled.py --spelling where --queries 1 --slots 256 -o filled.onnx

Inputs: q [batch,heads,queries,size], k and v [batch,kv-heads,slots,size], and what says how much is filled; output y like q.

--spelling  where     position [1]: Where(slot > position, -inf, 0) is added to the scores          (static caches, one query)
            rows      position [1]: query s sees slots <= position + s, a bool mask                 (a prefill into a cache)
            tokens    lengths [batch] (int32): Where(slot < length, score, -inf)                    (padded batches)
            valid     lengths [batch]: nonpad_kv_seqlen of the Attention operator, opset 24
            causal    the same with is_causal
            finite    as `where` with -1e9 for -inf, which is no length unless it is allowed"""
import argparse

import numpy as np

from onnxfile import FLOATS, Graph

SPELLINGS = ("where", "rows", "tokens", "valid", "causal", "finite")


class Filled:
    def __init__(self, spelling, batch, heads, kv_heads, queries, slots, size, dtype):
        self.spelling, self.dtype, self.size = spelling, dtype, size
        self.batch, self.heads, self.kv_heads, self.queries, self.slots = batch, heads, kv_heads, queries, slots
        self.g = Graph(24, ir=11)

    def i64(self, *values):
        return self.g.const(np.asarray(values, np.int64))

    def scalar(self, value):
        return self.g.const(np.asarray(value, FLOATS[self.dtype]), self.dtype)

    def repeat(self, x):
        """Matrices of a kv head for each of its query heads."""
        group = self.heads // self.kv_heads
        if group == 1:
            return x
        wide = self.g.node("Expand", [self.g.node("Unsqueeze", [x, self.i64(2)]),
                                      self.i64(self.batch, self.kv_heads, group, self.slots, self.size)])
        return self.g.node("Reshape", [wide, self.i64(self.batch, self.heads, self.slots, self.size)])

    def masked(self, scores):
        g, slots = self.g, np.arange(self.slots, dtype=np.int64)
        infinity, zero = self.scalar(-1e9 if self.spelling == "finite" else -np.inf), self.scalar(0)
        if self.spelling in ("where", "finite"):
            hidden = g.node("Greater", [g.const(slots.reshape(1, 1, 1, -1)), "position"])
            return g.node("Add", [scores, g.node("Where", [hidden, infinity, zero])])
        if self.spelling == "rows":
            rows = g.node("Add", ["position", g.const(np.arange(self.queries, dtype=np.int64))])
            seen = g.node("LessOrEqual", [g.const(slots), g.node("Unsqueeze", [rows, self.i64(1)])])
            return g.node("Add", [scores, g.node("Where", [seen, zero, infinity])])
        length = g.node("Reshape", ["lengths", self.i64(self.batch, 1, 1, 1)])
        return g.node("Where", [g.node("Less", [g.const(slots.astype(np.int32)), length]), scores, infinity])

    def build(self):
        g, d = self.g, self.dtype
        g.input("q", d, [self.batch, self.heads, self.queries, self.size])
        for name in "kv":
            g.input(name, d, [self.batch, self.kv_heads, self.slots, self.size])
        if self.spelling in ("where", "rows", "finite"):
            g.input("position", "i64", [1])
        else:
            g.input("lengths", "i32" if self.spelling == "tokens" else "i64", [self.batch])
        if self.spelling in ("valid", "causal"):
            g.node("Attention", ["q", "k", "v", "", "", "", "lengths"], outputs=["y"], scale=float(self.size**-0.5),
                   is_causal=int(self.spelling == "causal"))
        else:
            s = g.node("MatMul", ["q", g.node("Transpose", [self.repeat("k")], perm=[0, 1, 3, 2])])
            s = self.masked(g.node("Mul", [s, self.scalar(self.size**-0.5)]))
            g.node("MatMul", [g.node("Softmax", [s], axis=-1), self.repeat("v")], outputs=["y"])
        g.output("y", d, [self.batch, self.heads, self.queries, self.size])
        return g


def write_filled(path, spelling, batch=1, heads=4, kv_heads=2, queries=1, slots=256, size=64, dtype="f16"):
    return Filled(spelling, batch, heads, kv_heads, queries, slots, size, dtype).build().save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--spelling", choices=SPELLINGS, default="where")
    p.add_argument("--dtype", choices=list(FLOATS), default="f16")
    for name, default in (("batch", 1), ("heads", 4), ("kv-heads", 2), ("queries", 1), ("slots", 256), ("size", 64)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    write_filled(a.output, a.spelling, a.batch, a.heads, a.kv_heads, a.queries, a.slots, a.size, a.dtype)


if __name__ == "__main__":
    main()
