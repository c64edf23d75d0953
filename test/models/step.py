#!/usr/bin/env python3
# Writes one decoding step of Gemma-style layers with a key/value cache: RMSNorm, RoPE, GQA, GeGLU; in any quantized spelling.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""step.py --format nvfp4 --layers 2 --length 32 --width 256 --mlp 512 --heads 4 --kv-heads 1 --head-dim 64 -o step.onnx

Inputs: x [1,1,width], position [1] (int64), past_key_values.N.key and .value [1,kv-heads,length,head-dim]; outputs: y and
present.N.key, present.N.value of the same shapes. Rows are written by TensorScatter (opset 24); the tables of RoPE are
gathered at the position; slots behind it are masked. See cache.py for other ways to write a cache."""
import argparse

import numpy as np

from blocks import Attention, Writer
from decoder import branch, sample_input
from linears import FORMATS, Val, parse_format
from mlp import rename_output
from onnxfile import FLOATS, Graph


# Of a cache of codes.
CACHE_SCALE = 0.0625


class CachedAttention(Attention):
    """Attention of one new position on a cache of `length` slots."""

    def __init__(self, writer, length, heads, kv_heads, head_dim, cache):
        super().__init__(writer, length, heads, kv_heads, head_dim, causal=False)
        self.length, self.tables, self.cache = length, (self.cos, self.sin), cache
        self.seq = 1
        self.cos, self.sin = self.cos[:1], self.sin[:1]  # of the calibration sample: position 0
        self.rows, self.hidden = None, None

    def shared(self):
        """cos, sin [1,head_dim] and the mask [1,1,1,length]: once for all layers."""
        if self.rows is None:
            w, g = self.w, self.w.g
            g.scope = ""
            table = lambda t: g.const(t.astype(FLOATS[w.dtype]), w.dtype)
            self.rows = [g.node("Gather", [table(t), "position"], axis=0) for t in self.tables]
            slots = g.const(np.arange(self.length, dtype=np.int64).reshape(1, 1, 1, -1))
            behind = g.node("Greater", [slots, "position"])
            self.hidden = g.node("Where", [behind, w.scalar(-np.inf), w.scalar(0)])
        return self.rows

    def put_row(self, name, rows):
        """The cache with the new row; present.N is an output."""
        g, row = self.w.g, rows.name
        if self.cache == "e4m3":
            scale = self.w.scalar(CACHE_SCALE)
            row = g.node("QuantizeLinear", [row, scale, g.const(np.zeros((), np.uint8), "e4m3")], saturate=1)
        cache = g.node("TensorScatter", [f"past_key_values.{name}", row, "position"], axis=2)
        g.node("Identity", [cache], outputs=[f"present.{name}"])
        if self.cache == "e4m3":
            cache = g.node("DequantizeLinear", [cache, scale])
        # The sample has one position, which sees itself only.
        return rows.map(cache, lambda v: v)

    def repeat_cache(self, x):
        self.seq, seq = self.length, self.seq
        y = self.repeat(x)
        self.seq = seq
        return y

    def write(self, x, scope, width, reads, layer):
        w, g = self.w, self.w.g
        project = lambda name, heads: w.linear(x, f"{scope}/{name}", heads * self.d, width, reads)
        q, k, v = project("q_proj", self.heads), project("k_proj", self.kv), project("v_proj", self.kv)
        cos, sin = self.shared()
        g.scope = scope
        q = self.rotate(self.split(q, self.heads), cos, sin)
        k = self.put_row(f"{layer}.key", self.rotate(self.split(k, self.kv), cos, sin))
        v = self.put_row(f"{layer}.value", self.split(v, self.kv))
        k, v = self.repeat_cache(k), self.repeat_cache(v)
        k_t = k.map(g.node("Transpose", [k.name], perm=[0, 1, 3, 2]), lambda t: t)
        s = g.node("Mul", [g.node("MatMul", [q.name, k_t.name]), w.scalar(np.float32(self.d**-0.5))])
        s = g.node("Add", [s, self.hidden])
        p = s if w.dtype == "f32" else g.cast(s, "f32")
        p = g.node("Softmax", [p], axis=-1)
        p = p if w.dtype == "f32" else g.cast(p, w.dtype)
        y = g.node("Transpose", [g.node("MatMul", [p, v.name])], perm=[0, 2, 1, 3])
        y = g.node("Reshape", [y, g.const(np.asarray([0, 1, self.heads * self.d], np.int64))])
        y = v.map(y, lambda t: t.transpose(0, 2, 1, 3).reshape(*t.shape[:1], 1, -1))
        return w.linear(y, f"{scope}/o_proj", width, self.heads * self.d)


def write_step(path, fmt="nvfp4", layers=1, length=32, width=256, mlp=512, heads=4, kv_heads=1, head_dim=64, dtype="f16", seed=1, counted=False,
               cache=None):
    """`counted`: output next_position [1] = position + 1, for a position that the engine counts in a state. `cache`: its type, that of
    activations or "e4m3" (codes to CACHE_SCALE)."""
    cache = cache or dtype
    base, rank = parse_format(fmt)
    if rank == 2:
        raise SystemExit("decoder layers have rank-3 activations; use a format without -gemm")
    g = Graph(max(24, FORMATS[base][1]), ir=11)
    g.input("x", dtype, [1, 1, width])
    g.input("position", "i64", [1])
    caches = [f"{i}.{part}" for i in range(layers) for part in ("key", "value")]
    for name in caches:
        g.input(f"past_key_values.{name}", cache, [1, kv_heads, length, head_dim])
    w = Writer(g, fmt, dtype, seed)
    x = Val("x", lambda: sample_input(1, width, seed))
    attend = CachedAttention(w, length, heads, kv_heads, head_dim, cache)
    for i in range(layers):
        at = f"/layers.{i}"
        x = branch(w, x, at + "/input_layernorm", width, True, lambda h: attend.write(h, at + "/self_attn", width, w.channels(width), i))
        x = branch(w, x, at + "/post_attention_layernorm", width, True, lambda h: w.gated_mlp(h, at + "/mlp", width, mlp))
    rename_output(g, x.name, "y")
    g.output("y", dtype, [1, 1, width])
    for name in caches:
        g.output(f"present.{name}", cache, [1, kv_heads, length, head_dim])
    if counted:
        g.scope = ""
        g.node("Add", ["position", g.const(np.ones(1, np.int64))], outputs=["next_position"])
        g.output("next_position", "i64", [1])
    return g.save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", default="nvfp4", help="as in mlp.py, rank-3 forms")
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    p.add_argument("--cache", choices=["e4m3"], help="its type, if not that of activations")
    sizes = (("layers", 1), ("length", 32), ("width", 256), ("mlp", 512), ("heads", 4), ("kv-heads", 1), ("head-dim", 64), ("seed", 1))
    for name, default in sizes:
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    write_step(a.output, a.format, a.layers, a.length, a.width, a.mlp, a.heads, a.kv_heads, a.head_dim, a.dtype, a.seed, cache=a.cache)


if __name__ == "__main__":
    main()
