#!/usr/bin/env python3
# Writes encoder layers of SigLIP So400m: LayerNorm, attention with biases, tanh GELU; in any quantized spelling.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""siglip.py --format fp8 --layers 1 --tokens 256 --width 1152 --mlp 4304 --heads 16 -o siglip.onnx

Input "x" and output "y": [1,tokens,width]. Every image attends to itself only: no mask. Heads of 72 and K = 4304 divide by
8 and by 16, not by more."""
import argparse

import numpy as np

from blocks import Writer, gelu_tanh, softmax
from data import Outliers, activations, generator, weight
from linears import FORMATS, Val, linear, parse_format
from mlp import rename_output
from onnxfile import FLOATS, Graph


class Layer:
    def __init__(self, writer, tokens, width, mlp, heads):
        self.w, self.g, self.tokens, self.width, self.mlp = writer, writer.g, tokens, width, mlp
        self.heads, self.d = heads, width // heads

    def vector(self, scope, n, mean=0.0):
        return (mean + 0.1 * generator(self.w.seed, scope).standard_normal(n)).astype(np.float16).astype(np.float32)

    def norm(self, x, scope):
        g, elem = self.g, self.w.dtype
        gain, shift = self.vector(scope + "/gain", self.width, 1.0), self.vector(scope + "/bias", self.width)
        name = scope.strip("/").replace("/", ".")
        weights = [g.init(f"{name}.{part}", v.astype(FLOATS[elem]), elem) for part, v in (("weight", gain), ("bias", shift))]
        g.scope = scope
        y = g.node("LayerNormalization", [x.name, *weights], axis=-1, epsilon=1e-6)

        def value(v):
            d = v - v.mean(-1, keepdims=True)
            return d / np.sqrt((d * d).mean(-1, keepdims=True) + np.float32(1e-6)) * gain + shift
        return x.map(y, value)

    def linear(self, x, scope, n, k):
        return linear(self.g, x, scope, weight(self.w.seed, scope, n, k), self.w.fmt, self.w.dtype, self.vector(scope + "/bias", n))

    def split(self, x):
        y = self.g.node("Reshape", [x.name, self.g.const(np.asarray([1, self.tokens, self.heads, self.d], np.int64))])
        return x.map(self.g.node("Transpose", [y], perm=[0, 2, 1, 3]),
                     lambda v: v.reshape(1, self.tokens, self.heads, self.d).transpose(0, 2, 1, 3))

    def attention(self, x, scope):
        w, g = self.w, self.g
        q, k, v = (self.linear(x, f"{scope}/{p}_proj", self.width, self.width) for p in "qkv")
        g.scope, scale = scope, np.float32(self.d**-0.5)
        q, k, v = self.split(q), self.split(k), self.split(v)
        s = g.node("MatMul", [q.name, g.node("Transpose", [k.name], perm=[0, 1, 3, 2])])
        s = g.node("Mul", [s, w.scalar(scale)])
        p = s if w.dtype == "f32" else g.cast(s, "f32")
        p = g.node("Softmax", [p], axis=-1)
        p = p if w.dtype == "f32" else g.cast(p, w.dtype)
        y = g.node("Transpose", [g.node("MatMul", [p, v.name])], perm=[0, 2, 1, 3])
        y = g.node("Reshape", [y, g.const(np.asarray([1, self.tokens, self.width], np.int64))])

        def value():
            p = softmax(q.sample() @ k.sample().swapaxes(-1, -2) * scale)
            return (p @ v.sample()).transpose(0, 2, 1, 3).reshape(1, self.tokens, self.width)
        return self.linear(Val(y, value), f"{scope}/out_proj", self.width, self.width)

    def feed_forward(self, x, scope):
        h = self.linear(x, f"{scope}/fc1", self.mlp, self.width)
        self.g.scope = f"{scope}/activation_fn"
        h = h.map(self.g.node("Gelu", [h.name], approximate="tanh"), gelu_tanh)
        return self.linear(h, f"{scope}/fc2", self.width, self.mlp)

    def write(self, x, at):
        y = self.attention(self.norm(x, at + "/layer_norm1"), at + "/self_attn")
        self.g.scope = at
        x = self.w.add(x, y)
        y = self.feed_forward(self.norm(x, at + "/layer_norm2"), at + "/mlp")
        self.g.scope = at
        return self.w.add(x, y)


def write_siglip(path, fmt="dense", layers=1, tokens=256, width=1152, mlp=4304, heads=16, dtype="f16", seed=1, external="auto"):
    base, rank = parse_format(fmt)
    if rank == 2:
        raise SystemExit("encoder layers have rank-3 activations; use a format without -gemm")
    g = Graph(max(20, FORMATS[base][1]))
    g.input("x", dtype, [1, tokens, width])
    layer = Layer(Writer(g, fmt, dtype, seed), tokens, width, mlp, heads)
    x = Val("x", lambda: activations(seed, (1, tokens, width), Outliers(seed, width)))
    for i in range(layers):
        x = layer.write(x, f"/encoder/layers.{i}")
    rename_output(g, x.name, "y")
    g.output("y", dtype, [1, tokens, width])
    return g.save(path, external)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", default="dense", help="as in mlp.py, rank-3 forms")
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    for name, default in (("layers", 1), ("tokens", 256), ("width", 1152), ("mlp", 4304), ("heads", 16), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    write_siglip(a.output, a.format, a.layers, a.tokens, a.width, a.mlp, a.heads, a.dtype, a.seed)


if __name__ == "__main__":
    main()
