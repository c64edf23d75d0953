#!/usr/bin/env python3
# Writes models of one row-wise kernel each: what moves memory and computes next to nothing.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""rows.py --kind norm-fp8 --rows 970 --width 2048 -o norm.onnx

--kind norm        RMSNormalization of x [rows, width], f16
       norm-fp8    the same, quantized to FP8 by one scale (the engine returns codes)
       norm-nvfp4  the same, quantized to NVFP4 by a dynamic scale per 16 elements
       softmax     Softmax of x [8, rows, width], f16
       rope        RotaryEmbedding of k [1, heads, rows, width], written into a cache of 2 * rows positions
       transpose   x [1, rows, heads, width] to [1, heads, rows, width]
       gather      rows of a table [vocabulary, width] by indices [rows]
       copy        x [rows, width] as it is"""
import argparse

import numpy as np

from onnxfile import Graph

KINDS = ("norm", "norm-fp8", "norm-nvfp4", "softmax", "rope", "transpose", "gather", "copy")
HEADS, VOCABULARY = 8, 4096


def norm(g, a):
    g.input("x", "f16", [a.rows, a.width])
    gain = g.init("gain", np.random.default_rng(1).normal(1, 0.1, a.width).astype(np.float16))
    outputs = ["y"] if a.kind == "norm" else None
    return g.node("RMSNormalization", ["x", gain], outputs=outputs, axis=-1, epsilon=1e-6)


def build_norm(g, a):
    norm(g, a)
    g.output("y", "f16", [a.rows, a.width])


def build_norm_fp8(g, a):
    y = norm(g, a)
    zero = g.init("zero", np.zeros((), np.uint8), "e4m3")
    g.node("QuantizeLinear", [y, g.const(np.float16(0.03125)), zero], outputs=["q"])
    g.output("q", "e4m3", [a.rows, a.width])


def build_norm_nvfp4(g, a):
    y = norm(g, a)
    g.node("TRT_FP4DynamicQuantize", [y, g.const(np.float32(0.002))], domain="trt", outputs=["codes", "scales"], axis=-1,
           block_size=16, scale_type=17)
    g.output("codes", "e2m1", [a.rows, a.width])
    g.output("scales", "e4m3", [a.rows, a.width // 16])


def build_softmax(g, a):
    g.input("x", "f16", [HEADS, a.rows, a.width])
    g.node("Softmax", ["x"], outputs=["y"], axis=-1)
    g.output("y", "f16", [HEADS, a.rows, a.width])


def build_rope(g, a):
    cache = [1, HEADS, 2 * a.rows, a.width]
    g.input("k", "f16", [1, HEADS, a.rows, a.width])
    g.input("position", "i64", [1])
    g.input("past", "f16", cache)
    angles = np.outer(np.arange(a.rows), 1e4 ** (-np.arange(a.width // 2) / (a.width // 2)))[None]
    cos, sin = (g.init(n, f(angles).astype(np.float16)) for n, f in (("cos", np.cos), ("sin", np.sin)))
    rotated = g.node("RotaryEmbedding", ["k", cos, sin])
    g.node("TensorScatter", ["past", rotated, "position"], outputs=["present"], axis=2)
    g.output("present", "f16", cache)


def build_transpose(g, a):
    g.input("x", "f16", [1, a.rows, HEADS, a.width])
    g.node("Transpose", ["x"], outputs=["y"], perm=[0, 2, 1, 3])
    g.output("y", "f16", [1, HEADS, a.rows, a.width])


def build_gather(g, a):
    table = np.random.default_rng(1).normal(0, 1, (VOCABULARY, a.width)).astype(np.float16)
    g.input("indices", "i64", [a.rows])
    g.node("Gather", [g.init("table", table), "indices"], outputs=["y"], axis=0)
    g.output("y", "f16", [a.rows, a.width])


def build_copy(g, a):
    g.input("x", "f16", [a.rows, a.width])
    g.node("Identity", ["x"], outputs=["y"])
    g.output("y", "f16", [a.rows, a.width])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kind", choices=KINDS, required=True)
    p.add_argument("--rows", type=int, default=970)
    p.add_argument("--width", type=int, default=2048)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    g = Graph(24, ir=11)
    globals()["build_" + a.kind.replace("-", "_")](g, a)
    g.save(a.output)


if __name__ == "__main__":
    main()
